// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: read as it was written, or not at all.
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "core/codec/files/journal.hpp"

namespace failclosed {
namespace {

using Kind = ResolvConfBefore::Kind;

const std::string kBytes = std::string("\0\xff\n[group]\nkey=value\\;\"", 24);

Journal full_journal()
{
    return {.resolv_conf = ResolvConfBefore{Kind::Regular, kBytes},
            .resolv_conf_left = INT64_MAX,
            .network_manager = "@a{sv} {}",
            .resolvconf = "/sbin/resolvconf",
            .resolved_links = {*InterfaceName::parse("tun0"), *InterfaceName::parse("t;=]")},
            .sysctls = {{{"net", "ipv4", "conf", "all", "rp_filter"}, "2", "1"}, {{}, "", kBytes}}};
}

TEST(Journal, IsReadAsItWasWritten)
{
    const Result<Journal> read = parse_journal(render_journal(full_journal()));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, full_journal());
}

TEST(Journal, MayBeEmpty)
{
    const Result<Journal> read = parse_journal(render_journal({}));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, Journal());
}

TEST(Journal, DistinguishesAnEmptyFileFromNoFileAndFromALink)
{
    for (const ResolvConfBefore& before :
         {ResolvConfBefore{Kind::Absent, ""}, ResolvConfBefore{Kind::Regular, ""},
          ResolvConfBefore{Kind::Link, "../run/x/resolv.conf"}}) {
        Journal journal;
        journal.resolv_conf = before;
        const Result<Journal> read = parse_journal(render_journal(journal));
        ASSERT_TRUE(read);
        EXPECT_EQ(read->resolv_conf, before);
    }
}

TEST(Journal, EveryTruncationIsAnError)
{
    const std::string text = render_journal(full_journal());
    for (std::size_t size = 0; size < text.size(); size++) {
        EXPECT_FALSE(parse_journal(text.substr(0, size))) << size;
    }
}

TEST(Journal, EveryChangedByteIsAnError)
{
    const std::string text = render_journal(full_journal());
    for (std::size_t i = 0; i < text.size(); i++) {
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        EXPECT_FALSE(parse_journal(changed)) << i;
    }
}

TEST(Journal, OtherContentsAreAnError)
{
    for (const std::string& text : {std::string(), std::string("\n"), std::string("#"),
                                    std::string(100000, 'x'), kBytes, std::string(64, '\0')}) {
        EXPECT_FALSE(parse_journal(text));
    }
}

} // namespace
} // namespace failclosed
