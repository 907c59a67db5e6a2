// SPDX-License-Identifier: GPL-3.0-or-later
// What recorded and made-up calls of NetworkManager's dispatcher come to.
#include <gtest/gtest.h>

#include "core/codec/network_manager/environment.hpp"
#include "tests/unit/mutator.hpp"
#include "tests/unit/recording.hpp"

namespace failclosed {
namespace {

using test::Call;
using Texts = std::vector<std::string>;

/// A call of the dispatcher's; "tunnel" is what the kernel says of the device.
struct Dispatch : Call {
    DeviceFacts facts;
    /// How often the kernel was asked.
    mutable int asked = 0;

    static Dispatch load(const std::filesystem::path& path)
    {
        Dispatch call{Call::load(path), {}};
        call.facts.is_program_tunnel = call.remarks == Texts{"tunnel"};
        return call;
    }

    static Dispatch named(const std::string& name)
    {
        return load(test::fixtures() / (name + ".env"));
    }

    [[nodiscard]] Result<NetworkManagerEvent> parse() const
    {
        const auto entry_pointers = test::to_pointers(entries);
        const auto find = [&](const InterfaceName&) {
            ++asked;
            return facts;
        };
        return parse_network_manager_event(test::to_pointers(arguments),
                                           Environment(entry_pointers), find);
    }

    [[nodiscard]] std::string text() const
    {
        const auto result = parse();
        return result ? test::to_text(result->event, result->warnings)
                      : "error: " + result.error().message() + "\n";
    }
};

Dispatch call(const char* device, const char* action, const std::vector<std::string>& entries = {})
{
    Dispatch made;
    made.arguments = {device, action};
    made.entries = entries;
    return made;
}

TunnelUp up(const Dispatch& call)
{
    return std::get<TunnelUp>(call.parse()->event.value());
}

std::vector<std::filesystem::path> all_calls()
{
    std::vector<std::filesystem::path> paths;
    for (const char* folder :
         {"networkmanager", "networkmanager-external-tun", "networkmanager-openvpn"}) {
        const auto found = test::recordings_in(folder);
        paths.insert(paths.end(), found.begin(), found.end());
    }
    return paths;
}

// ---- Recordings, against the event that is written next to each ----

class RecordedDispatchTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(RecordedDispatchTest, GivesTheExpectedEvent)
{
    auto expected = GetParam();
    expected.replace_extension(".expected");
    EXPECT_EQ(Dispatch::load(GetParam()).text(), test::read_text(expected));
}

TEST_P(RecordedDispatchTest, ChangedInAnyWayOpensNothing)
{
    const auto original = Dispatch::load(GetParam());
    for (unsigned seed = 0; seed < test::kRounds && !HasFailure(); ++seed) {
        Dispatch call = original;
        call.facts.is_wireguard = seed % 2 == 0;
        test::Mutator(seed).change(call);
        const auto result = call.parse();
        if (!result) {
            EXPECT_NE(call.arguments.size(), 2U);
            continue;
        }
        EXPECT_LE(result->warnings.size(), kMaxWarnings + 1);
        for (const auto& line : result->warnings) {
            EXPECT_FALSE(has_control_characters(line));
            EXPECT_LT(line.size(), 1000U);
        }
        if (!result->event) {
            continue;
        }
        if (const auto* event = std::get_if<TunnelUp>(&*result->event)) {
            EXPECT_TRUE(event->servers.empty());
            EXPECT_FALSE(event->tunnel.owner);
            ASSERT_TRUE(event->profile);
            EXPECT_FALSE(has_control_characters(event->profile->uuid));
            EXPECT_LE(event->profile->uuid.size(), 40U);
            EXPECT_EQ(event->profile->settings, VpnProfileFacts::Settings::Other)
                << "NetworkManager has not been asked yet";
            for (const auto& resolver : event->tunnel.resolvers) {
                EXPECT_TRUE(resolver.is_unicast_host() && !resolver.is_link_local());
            }
            const auto back = read_running(write_running({.tunnels = {event->tunnel}}));
            EXPECT_TRUE(back && back->tunnels.at(0) == event->tunnel);
        } else if (const auto* changed = std::get_if<UnderlayChanged>(&*result->event)) {
            EXPECT_TRUE(!changed->lease_server || changed->leased_interface);
        } else {
            EXPECT_TRUE(std::holds_alternative<TunnelDown>(*result->event) ||
                        std::holds_alternative<TunnelFound>(*result->event))
                << call.text();
        }
        if (HasFailure()) {
            FAIL() << "seed " << seed << ": " << call.text();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, RecordedDispatchTest, testing::ValuesIn(all_calls()),
                         [](const auto& parameter) { return test::test_name(parameter.param); });

TEST(NetworkManagerEnvironment, RecordingsAreThere)
{
    EXPECT_GE(all_calls().size(), 29U);
}

// ---- Events that do not concern us ----

TEST(NetworkManagerEnvironment, OtherActionsGiveNoEvent)
{
    for (const auto& made :
         {call("none", "hostname"), call("lo", "up"), call("lo", "device-add"), call("eth0", ""),
          call("eth0", "up "), call("eth0", "UP"), call("eth0", "vpn-"), call("none", "up")}) {
        const auto result = made.parse();
        ASSERT_TRUE(result);
        EXPECT_EQ(*result, NetworkManagerEvent{}) << made.arguments[1];
        EXPECT_EQ(made.asked, 0);
    }
}

TEST(NetworkManagerEnvironment, TakesTwoArguments)
{
    for (const Texts& arguments :
         {Texts{}, Texts{"eth0"}, Texts{"eth0", "up", "now"}, Texts{"--help"}}) {
        Dispatch made;
        made.arguments = arguments;
        EXPECT_FALSE(made.parse());
    }
}

// ---- Devices ----

TEST(NetworkManagerEnvironment, EveryActionOfADeviceIsAChange)
{
    for (const char* action :
         {"pre-up", "up", "pre-down", "down", "dhcp4-change", "dhcp6-change", "reapply",
          "connectivity-change", "dns-change", "device-add", "device-delete", "vpn-pre-down"}) {
        EXPECT_TRUE(
            std::holds_alternative<UnderlayChanged>(call("eth0", action).parse()->event.value()))
            << action;
    }
}

TEST(NetworkManagerEnvironment, LeaseIsOfTheIpDevice)
{
    auto made = call("wwan0", "dhcp4-change",
                     {"DEVICE_IP_IFACE=ppp0", "DHCP4_DHCP_SERVER_IDENTIFIER=192.0.2.1"});
    EXPECT_EQ(made.text(), "UnderlayChanged lease of ppp0 by 192.0.2.1\n");
    made.unset("DEVICE_IP_IFACE");
    EXPECT_EQ(made.text(), "UnderlayChanged lease of wwan0 by 192.0.2.1\n");
}

TEST(NetworkManagerEnvironment, WrongLeaseIsLeftOut)
{
    for (const char* server : {"0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.1", "::1",
                               "2001:db8::1", "192.0.2.1\n", "192.0.2.1 ", "x", "192.0.2.1/24"}) {
        const auto made =
            call("eth0", "dhcp4-change", {std::string("DHCP4_DHCP_SERVER_IDENTIFIER=") + server});
        EXPECT_EQ(made.parse()->event, Event(UnderlayChanged{})) << server;
        EXPECT_EQ(made.parse()->warnings.size(), 1U) << server;
    }
    const auto nobody = call("a b", "down", {"DHCP4_DHCP_SERVER_IDENTIFIER=192.0.2.1"});
    EXPECT_EQ(nobody.text(),
              "UnderlayChanged\nwarning: invalid device name from NetworkManager: 'a b'\n");
}

// Otherwise a server inside of the tunnel would be one of the underlay's.
TEST(NetworkManagerEnvironment, LeasesInTunnelsAreIgnored)
{
    for (const char* action : {"dhcp4-change", "reapply", "down", "dhcp6-change"}) {
        auto made = call("vpn0", action, {"DHCP4_DHCP_SERVER_IDENTIFIER=10.8.0.1"});
        made.facts.is_program_tunnel = true;
        EXPECT_EQ(made.text(), "UnderlayChanged\n") << action;
    }
}

// ---- Tunnels of NetworkManager's own ----

TEST(NetworkManagerEnvironment, VpnWithoutADeviceIsRefused)
{
    for (const char* action : {"vpn-pre-up", "vpn-up"}) {
        for (const char* device : {"", "lan0", "a/b"}) {
            auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
            made.arguments = {"lan0", action};
            made.set("VPN_IP_IFACE", device);
            const auto result = made.parse();
            EXPECT_EQ(result->event, Event(UnderlayChanged{}));
            EXPECT_NE(result->warnings.back().find("no device of its own"), std::string::npos);
        }
    }
}

TEST(NetworkManagerEnvironment, VpnWithoutAnAddressIsNoTunnel)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    made.set("VPN_IP4_ADDRESS_0", "198.51.100.2");
    made.set("VPN_IP6_ADDRESS_0", "fe80::1/64 ::");
    const auto result = made.parse();
    const auto& event = std::get<TunnelUp>(result->event.value());
    EXPECT_TRUE(event.tunnel.addresses.empty()) << "admission refuses it";
    EXPECT_TRUE(event.has_unusable_address);
    EXPECT_EQ(result->warnings.size(), 1U);
}

// What the kernel takes for an address but no host can have: it must not pass for a change of the
// network beneath, and the device be found by its own `up` later.
TEST(NetworkManagerEnvironment, AnUnusableAddressIsAnnouncedForRefusal)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    EXPECT_FALSE(up(made).has_unusable_address);
    made.set("VPN_IP4_ADDRESS_0", "240.0.0.2/24 0.0.0.0");
    EXPECT_TRUE(up(made).has_unusable_address);
    made.set("VPN_IP6_ADDRESS_0", "fe80::1/64 ::");
    EXPECT_TRUE(up(made).has_unusable_address);
    auto wireguard = Dispatch::named("networkmanager-openvpn/vpn0_up");
    wireguard.facts.is_wireguard = true;
    wireguard.unset("CONNECTION_EXTERNAL");
    wireguard.set("IP4_ADDRESS_0", "240.0.0.2/24 0.0.0.0");
    EXPECT_TRUE(up(wireguard).has_unusable_address);
}

TEST(NetworkManagerEnvironment, WrongAddressesAreLeftOutOneByOne)
{
    for (const char* address :
         {"127.0.0.1/8", "0.0.0.0/0", "10.0.0.1/0", "10.0.0.1/33", "10.0.0.1/08", "10.0.0.1",
          "2001:db8::1/64", "10.0.0.1\n/24", "", " ", "/24", "224.0.0.1/4", "255.255.255.255/32"}) {
        auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
        made.set("VPN_IP4_ADDRESS_1", address);
        EXPECT_EQ(up(made).tunnel, up(Dispatch::named("networkmanager-openvpn/vpn0_vpn-up")).tunnel)
            << address;
        EXPECT_TRUE(up(made).has_unusable_address);
        EXPECT_EQ(made.parse()->warnings.size(), 1U) << address;
    }
}

TEST(NetworkManagerEnvironment, RoutesNamesAndDomainsHaveTheirForms)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    made.set("VPN_IP4_ROUTE_1", "0.0.0.0/0 198.51.100.1 50");
    made.set("VPN_IP4_ROUTE_2", "10.20.0.0/16");
    made.set("VPN_IP6_ROUTE_1", "fe80::/64 :: 1024");
    made.set("VPN_IP4_NAMESERVERS", "198.51.100.193#dns.example  10.20.0.53");
    made.set("VPN_IP4_DOMAINS", "~corp.example ~. s1.example");
    made.unset("VPN_IP6_DOMAINS");
    EXPECT_EQ(made.parse()->warnings, Texts{});
    const auto tunnel = up(made).tunnel;
    EXPECT_EQ(tunnel.resolvers, (std::vector{IpAddress::parse("198.51.100.193").value(),
                                             IpAddress::parse("10.20.0.53").value(),
                                             IpAddress::parse("2001:db8:c0::53").value()}));
    EXPECT_EQ(tunnel.search_domains, std::vector{HostName::parse("s1.example").value()});
    Texts networks;
    for (const auto& network : tunnel.networks) {
        networks.push_back(network.to_string());
    }
    EXPECT_EQ(networks, (Texts{"10.20.0.0/16", "198.51.100.0/25", "198.51.100.192/26",
                               "2001:db8:8::/64", "2001:db8:c0::/64"}));
}

TEST(NetworkManagerEnvironment, GatewayIsOnTheTunnelsLink)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    made.set("VPN_IP4_GATEWAY", "203.0.113.2"); // the server outside
    EXPECT_EQ(up(made).tunnel.gateways, (std::vector{IpAddress::parse("198.51.100.1").value(),
                                                     IpAddress::parse("2001:db8:8::1").value()}));
    made.set("VPN_IP4_GATEWAY", "198.51.100.9");
    EXPECT_EQ(up(made).tunnel.gateways[0], IpAddress::parse("198.51.100.9"));
    made.set("VPN_IP4_GATEWAY", "198.51.100.2"); // its own address
    EXPECT_EQ(up(made).tunnel.gateways[0], IpAddress::parse("198.51.100.1"));
}

TEST(NetworkManagerEnvironment, CountsAreLimited)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    std::string resolvers;
    std::string domains;
    for (int i = 0; i < 5000; ++i) {
        const std::string number = std::to_string(i);
        const std::string address =
            "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".1";
        made.entries.push_back("VPN_IP4_ADDRESS_1" + number + "=" + address + "/32 0.0.0.0");
        made.entries.push_back("VPN_IP4_ROUTE_1" + number + "=" + address + "/32 0.0.0.0 1");
        resolvers += address + " ";
        domains += "a" + number + ".example ";
    }
    made.set("VPN_IP4_NAMESERVERS", resolvers);
    made.set("VPN_IP4_DOMAINS", domains);
    const auto tunnel = up(made).tunnel;
    EXPECT_LE(tunnel.addresses.size(), 128U);
    EXPECT_EQ(tunnel.networks.size(), 4096U);
    EXPECT_EQ(tunnel.resolvers.size(), 16U);
    EXPECT_EQ(tunnel.search_domains.size(), 32U);
    EXPECT_EQ(made.parse()->warnings.size(), 4U);
}

TEST(NetworkManagerEnvironment, ProfileIsAUuid)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_vpn-up");
    EXPECT_EQ(up(made).profile->uuid, "b524f1cd-b799-4dab-830b-cfe0a6e46934");
    for (const std::string uuid : {"", "x", "../../etc", "b524f1cd\n", "b524 f1cd",
                                   "00000000000000000000000000000000000000000"}) {
        made.set("CONNECTION_UUID", uuid);
        EXPECT_EQ(up(made).profile->uuid, "") << uuid;
        EXPECT_EQ(made.parse()->warnings.size(), 1U) << uuid;
    }
}

// The kernel's own tunnel is up before any server has answered.
TEST(NetworkManagerEnvironment, WireguardOfNetworkManagersOwnIsAnnounced)
{
    auto made = Dispatch::named("networkmanager-openvpn/vpn0_up");
    made.facts.is_wireguard = true;
    EXPECT_EQ(made.text(), "TunnelFound vpn0\n") << "another program's";
    made.unset("CONNECTION_EXTERNAL");
    EXPECT_EQ(up(made).tunnel.addresses,
              up(Dispatch::named("networkmanager-openvpn/vpn0_vpn-up")).tunnel.addresses);
    made.facts.is_wireguard = false;
    EXPECT_EQ(made.text(), "TunnelFound vpn0\n");
    made.arguments[1] = "pre-up";
    made.facts.is_wireguard = true;
    EXPECT_EQ(made.text(), "UnderlayChanged\n");
}

} // namespace
} // namespace failclosed
