// SPDX-License-Identifier: GPL-3.0-or-later
// Our lines in the hosts file: put, replaced and removed without a trace.
#include <string>

#include <gtest/gtest.h>

#include "core/codec/files/hosts_file.hpp"

namespace failclosed {
namespace {

HostsEntry entry(const char* name, const char* address)
{
    return {*HostName::parse(name), *IpAddress::parse(address)};
}

const HostsPlan kPlan = {
    {entry("vpn.example", "203.0.113.2"), entry("vpn.example", "2001:db8::2")}};

using Contents = std::optional<std::string>;

class HostsFile : public testing::TestWithParam<Contents> {};

TEST_P(HostsFile, RemovingRestoresTheOriginal)
{
    EXPECT_EQ(remove_hosts_entries(put_hosts_entries(GetParam(), kPlan)), GetParam());
}

TEST_P(HostsFile, AddingTwiceEqualsAddingOnce)
{
    const Contents once = put_hosts_entries(GetParam(), kPlan);
    EXPECT_EQ(put_hosts_entries(once, kPlan), once);
}

TEST_P(HostsFile, NewEntriesReplaceOldOnes)
{
    const HostsPlan other = {{entry("other.example", "203.0.113.9")}};
    EXPECT_EQ(put_hosts_entries(put_hosts_entries(GetParam(), other), kPlan),
              put_hosts_entries(GetParam(), kPlan));
}

TEST_P(HostsFile, AnEmptyPlanRemoves)
{
    EXPECT_EQ(put_hosts_entries(put_hosts_entries(GetParam(), kPlan), {}), GetParam());
    EXPECT_EQ(put_hosts_entries(GetParam(), {}), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Originals, HostsFile,
                         testing::Values(Contents(), Contents(""), Contents("\n"),
                                         Contents("127.0.0.1 localhost\n"),
                                         Contents("127.0.0.1 localhost"),
                                         Contents("\n\n::1 localhost\n\n\n"),
                                         Contents("127.0.0.1 localhost\r\n"),
                                         Contents("# by\n# failclosed\n# by failclosed"),
                                         Contents(std::string("1\0 2\xff\n", 6))));

TEST(HostsFileText, HasOneLineForEachAddress)
{
    const std::string text = *put_hosts_entries("127.0.0.1 localhost", kPlan);
    EXPECT_NE(text.find("\n203.0.113.2 vpn.example # by failclosed\n"), std::string::npos);
    EXPECT_NE(text.find("\n2001:db8::2 vpn.example # by failclosed\n"), std::string::npos);
    EXPECT_TRUE(text.ends_with("\n127.0.0.1 localhost"));
}

TEST(HostsFileText, TextOfTheUserBetweenOurLinesStays)
{
    std::string text = *put_hosts_entries("127.0.0.1 localhost\n", kPlan);
    text.insert(text.find("2001:"), "192.0.2.7 mine.example\n");
    text += "192.0.2.8 also.mine\n";
    EXPECT_EQ(remove_hosts_entries(text),
              "192.0.2.7 mine.example\n127.0.0.1 localhost\n192.0.2.8 also.mine\n");
}

TEST(HostsFileText, ALineOfOursThatTheUserHasChangedStays)
{
    EXPECT_EQ(remove_hosts_entries("203.0.113.2 vpn.example # by failclosed, pinned\n"),
              "203.0.113.2 vpn.example # by failclosed, pinned\n");
}

TEST(HostsFileText, LosingSomeOfOurLinesKeepsAllOthers)
{
    const std::string text = *put_hosts_entries("127.0.0.1 localhost\n", kPlan);
    for (std::size_t line = 0; line != text.npos && line < text.size();
         line = text.find('\n', line) == text.npos ? text.npos : text.find('\n', line) + 1) {
        const std::string torn = text.substr(line);
        EXPECT_TRUE(remove_hosts_entries(torn) == "127.0.0.1 localhost\n") << torn;
    }
}

TEST(HostsFileText, AFileThatWasMissingStaysOnceTheUserWroteIntoIt)
{
    const Contents ours = put_hosts_entries(std::nullopt, kPlan);
    EXPECT_EQ(remove_hosts_entries(*ours + "192.0.2.7 mine.example\n"), "192.0.2.7 mine.example\n");
}

} // namespace
} // namespace failclosed
