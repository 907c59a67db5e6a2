// SPDX-License-Identifier: GPL-3.0-or-later
// networkd.conf(5) as systemd reads it: order of files, masks, booleans, broken files.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/codec/files/networkd_config.hpp"

namespace failclosed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kKeep = "[Network]\nManageForeignRoutingPolicyRules=no\n"
                              "ManageForeignRoutes=no\nManageForeignNextHops=no\n";

NetworkdConfig parse(const std::string& text)
{
    return parse_networkd_config({{"a.conf", text}});
}

bool deletes_rules(const std::string& text)
{
    return parse(text).rules.is_on;
}

bool deletes_rules_by(const std::string& value)
{
    return deletes_rules("[Network]\nManageForeignRoutingPolicyRules=no\n"
                         "ManageForeignRoutingPolicyRules=" +
                         value + "\n");
}

TEST(NetworkdConfigTest, WithoutAFileItDeletesAllThree)
{
    const NetworkdConfig config = parse_networkd_config({});
    EXPECT_EQ(config.rules, (NetworkdSetting{true, ""}));
    EXPECT_EQ(config.routes, (NetworkdSetting{true, ""}));
    EXPECT_EQ(config.next_hops, (NetworkdSetting{true, ""}));
    EXPECT_EQ(config.stopped_at, "");
}

TEST(NetworkdConfigTest, OurDropInKeepsAllThree)
{
    const NetworkdConfig config = parse(kKeep);
    EXPECT_EQ(config.rules, (NetworkdSetting{false, "a.conf"}));
    EXPECT_EQ(config.routes, (NetworkdSetting{false, "a.conf"}));
    EXPECT_EQ(config.next_hops, (NetworkdSetting{false, "a.conf"}));
}

TEST(NetworkdConfigTest, LaterFilesOverrideEarlierOnes)
{
    const NetworkdConfig config = parse_networkd_config(
        {{"90-failclosed.conf", kKeep}, {"99-own.conf", "[Network]\nManageForeignRoutes=yes\n"}});
    EXPECT_EQ(config.rules, (NetworkdSetting{false, "90-failclosed.conf"}));
    EXPECT_EQ(config.routes, (NetworkdSetting{true, "99-own.conf"}));
}

TEST(NetworkdConfigTest, BooleansAreThoseOfSystemd)
{
    for (const char* value : {"1", "yes", "y", "true", "t", "on", "YES", "On", " yes \t"}) {
        EXPECT_TRUE(deletes_rules_by(value)) << value;
    }
    for (const char* value : {"0", "no", "n", "false", "f", "off", "No"}) {
        EXPECT_FALSE(deletes_rules_by(value)) << value;
    }
    // Ignored by systemd: the earlier assignment stands.
    for (const char* value : {"", "2", "maybe", "\"yes\"", "yes # indeed", "enable"}) {
        EXPECT_FALSE(deletes_rules_by(value)) << value;
    }
}

TEST(NetworkdConfigTest, OtherSectionsAndOtherCaseAreIgnored)
{
    EXPECT_TRUE(deletes_rules("ManageForeignRoutingPolicyRules=no\n"));
    EXPECT_TRUE(deletes_rules("[network]\nManageForeignRoutingPolicyRules=no\n"));
    EXPECT_TRUE(deletes_rules("[DHCPv4]\nManageForeignRoutingPolicyRules=no\n"));
    EXPECT_TRUE(deletes_rules("[Network]\nmanageforeignroutingpolicyrules=no\n"));
    EXPECT_TRUE(deletes_rules("[Network]\nManageForeignRoutingPolicyRules\n"));
}

TEST(NetworkdConfigTest, CommentsAndContinuationsAreReadAsSystemdDoes)
{
    EXPECT_TRUE(deletes_rules("[Network]\n# ManageForeignRoutingPolicyRules=no\n"));
    EXPECT_TRUE(deletes_rules("[Network]\n ; ManageForeignRoutingPolicyRules=no\n"));
    EXPECT_FALSE(deletes_rules("[Network]\nManageForeignRoutingPolicyRules=\\\n# why\n  no\n"));
    // The next line belongs to a value that is no boolean then.
    EXPECT_TRUE(deletes_rules("[Network]\nSpeedMeter=\\\nManageForeignRoutingPolicyRules=no\n"));
    // An escaped backslash does not continue.
    EXPECT_FALSE(deletes_rules("[Network]\nSpeedMeter=\\\\\nManageForeignRoutingPolicyRules=no\n"));
    EXPECT_FALSE(deletes_rules("\xef\xbb\xbf[Network]\r\nManageForeignRoutingPolicyRules = no"));
}

// systemd reads neither the rest of it nor the files that follow: ours may be one of them.
TEST(NetworkdConfigTest, ABrokenSectionHeaderEndsTheReading)
{
    const NetworkdConfig config =
        parse_networkd_config({{"10-own.conf", "[Network]\nManageForeignRoutes=no\n[Network\n"},
                               {"90-failclosed.conf", kKeep}});
    EXPECT_EQ(config.stopped_at, "10-own.conf");
    EXPECT_EQ(config.routes, (NetworkdSetting{false, "10-own.conf"}));
    EXPECT_TRUE(config.rules.is_on);
}

TEST(NetworkdConfigTest, HostileBytesAreReadToTheirEnd)
{
    EXPECT_TRUE(deletes_rules(std::string("\0\0[Network]\\", 12)));
    EXPECT_TRUE(deletes_rules(std::string(1 << 16, '\\')));
    EXPECT_TRUE(deletes_rules("[Network]\n====\n=no\n"));
    EXPECT_EQ(parse("[").stopped_at, "a.conf");
}

TEST(EffectiveDropInsTest, AreSortedByNameAndTheStrongestFolderWins)
{
    EXPECT_THAT(
        effective_drop_ins({"/etc/d/90-failclosed.conf", "/etc/d/10-a.conf", "/run/d/50-b.conf",
                            "/usr/lib/d/90-failclosed.conf", "/usr/lib/d/20-c.conf"}),
        ElementsAre("/etc/d/10-a.conf", "/usr/lib/d/20-c.conf", "/run/d/50-b.conf",
                    "/etc/d/90-failclosed.conf"));
}

TEST(EffectiveDropInsTest, OtherNamesAreLeftOut)
{
    EXPECT_THAT(effective_drop_ins({"/etc/d/a.conf~", "/etc/d/.hidden.conf", "/etc/d/b.conf.bak"}),
                IsEmpty());
}

} // namespace
} // namespace failclosed
