// SPDX-License-Identifier: GPL-3.0-or-later
// What recorded and made-up calls of dhcpcd's hook come to.
#include <gtest/gtest.h>

#include "core/codec/dhcpcd_environment.hpp"
#include "tests/unit/mutator.hpp"
#include "tests/unit/recording.hpp"

namespace failclosed {
namespace {

using test::Call;

DhcpcdEvent parse(const std::vector<std::string>& entries)
{
    const auto pointers = test::to_pointers(entries);
    return parse_dhcpcd_event(Environment(pointers));
}

std::string text(const std::vector<std::string>& entries)
{
    const auto result = parse(entries);
    return test::to_text(result.event, result.warnings);
}

class RecordedHookTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(RecordedHookTest, GivesTheExpectedEvent)
{
    auto expected = GetParam();
    expected.replace_extension(".expected");
    EXPECT_EQ(text(Call::load(GetParam()).entries), test::read_text(expected));
}

TEST_P(RecordedHookTest, ChangedInAnyWayIsOnlyANetworkChange)
{
    const auto original = Call::load(GetParam());
    for (unsigned seed = 0; seed < test::kRounds && !HasFailure(); ++seed) {
        Call call = original;
        test::Mutator(seed).change(call);
        const auto result = parse(call.entries);
        for (const auto& line : result.warnings) {
            EXPECT_FALSE(has_control_characters(line));
            EXPECT_LT(line.size(), 1000U);
        }
        const auto* changed = result.event ? std::get_if<UnderlayChanged>(&*result.event) : nullptr;
        EXPECT_TRUE(!result.event || changed != nullptr) << "seed " << seed;
        EXPECT_TRUE(changed == nullptr || !changed->lease_server || changed->leased_interface);
    }
}

INSTANTIATE_TEST_SUITE_P(All, RecordedHookTest, testing::ValuesIn(test::recordings_in("dhcpcd")),
                         [](const auto& parameter) { return test::test_name(parameter.param); });

TEST(DhcpcdEnvironment, RecordingsAreThere)
{
    EXPECT_GE(test::recordings_in("dhcpcd").size(), 25U);
}

TEST(DhcpcdEnvironment, EveryReasonIsAChange)
{
    const std::string lease = "new_dhcp_server_identifier=192.0.2.1";
    for (const char* reason : {"PREINIT",
                               "CARRIER",
                               "NOCARRIER_ROAMING",
                               "ROUTERADVERT",
                               "BOUND6",
                               "RENEW6",
                               "REBIND6",
                               "REBOOT6",
                               "EXPIRE6",
                               "RELEASE6",
                               "STOP6",
                               "INFORM6",
                               "DELEGATED6",
                               "DHCP6",
                               "IPV4LL",
                               "3RDPARTY",
                               "UNKNOWN",
                               "RECONFIGURE",
                               "",
                               "bound",
                               "BOUND ",
                               "BOUND\n",
                               "NO-SUCH"}) {
        EXPECT_EQ(text({std::string("reason=") + reason, "interface=eth0", lease}),
                  "UnderlayChanged\n")
            << reason;
    }
    for (const char* reason :
         {"BOUND", "RENEW", "REBIND", "REBOOT", "INFORM", "TIMEOUT", "STATIC"}) {
        EXPECT_EQ(text({std::string("reason=") + reason, "interface=eth0", lease}),
                  "UnderlayChanged lease of eth0 by 192.0.2.1\n")
            << reason;
        EXPECT_EQ(text({std::string("reason=") + reason, "interface=eth0"}), "UnderlayChanged\n");
    }
    for (const char* reason :
         {"EXPIRE", "NAK", "RELEASE", "STOP", "FAIL", "NOCARRIER", "DEPARTED"}) {
        EXPECT_EQ(text({std::string("reason=") + reason, "interface=eth0", lease}),
                  "UnderlayChanged lease of eth0 is over\n")
            << reason;
    }
}

TEST(DhcpcdEnvironment, AddressThatStaysKeepsItsLease)
{
    EXPECT_EQ(text({"reason=STOPPED", "interface=eth0", "if_down=false"}), "UnderlayChanged\n");
    EXPECT_EQ(text({"reason=STOPPED", "interface=eth0", "if_down=true"}),
              "UnderlayChanged lease of eth0 is over\n");
}

TEST(DhcpcdEnvironment, ClearedEnvironmentIsAChange)
{
    EXPECT_EQ(text({}), "UnderlayChanged\n");
    EXPECT_EQ(text({"PATH=/bin"}), "UnderlayChanged\n");
}

TEST(DhcpcdEnvironment, TestAndDumpGiveNoEvent)
{
    for (const char* reason : {"TEST", "DUMP", "DUMP6"}) {
        EXPECT_EQ(text({std::string("reason=") + reason, "interface=eth0"}), "no event\n");
    }
}

TEST(DhcpcdEnvironment, WrongValuesAreLeftOut)
{
    for (const char* server : {"0.0.0.0", "255.255.255.255", "::1", "2001:db8::1", "1.2.3.4\n"}) {
        const auto result = parse({"reason=BOUND", "interface=eth0",
                                   std::string("new_dhcp_server_identifier=") + server});
        EXPECT_EQ(result.event, Event(UnderlayChanged{})) << server;
        EXPECT_EQ(result.warnings.size(), 1U) << server;
    }
    for (const char* device : {"", "a b", "..", "eth0\n", "0123456789abcdef"}) {
        for (const char* reason : {"BOUND", "NAK"}) {
            const auto result =
                parse({std::string("reason=") + reason, std::string("interface=") + device,
                       "new_dhcp_server_identifier=192.0.2.1"});
            EXPECT_EQ(result.event, Event(UnderlayChanged{})) << device;
            EXPECT_EQ(result.warnings.size(), 1U) << device;
        }
    }
}

} // namespace
} // namespace failclosed
