// SPDX-License-Identifier: GPL-3.0-or-later
// What recorded and made-up script environments of OpenVPN come to.
#include <gtest/gtest.h>

#include "core/codec/openvpn/environment.hpp"
#include "core/codec/tunnel_parts.hpp"
#include "tests/unit/recording.hpp"

namespace failclosed {
namespace {

using test::recording;
using test::Recording;

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

TunnelUp up(const Recording& recording)
{
    const auto result = recording.parse();
    return result ? std::get<TunnelUp>(*result->event)
                  : throw std::runtime_error(result.error().message());
}

std::vector<std::string> remotes(const Recording& recording)
{
    std::vector<std::string> texts;
    for (const auto& server : up(recording).servers) {
        texts.push_back(to_string(server.remote));
    }
    return texts;
}

Warnings warnings(const Recording& recording)
{
    const auto result = recording.parse();
    return result ? result->warnings : Warnings{result.error().message()};
}

using Texts = std::vector<std::string>;

// ---- Recordings: every mode and script type, against the event that is written next to it ----

class RecordedTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(RecordedTest, GivesTheExpectedEvent)
{
    auto expected = GetParam();
    expected.replace_extension(".expected");
    EXPECT_EQ(test::to_text(Recording::load(GetParam()).parse()), test::read_text(expected));
}

INSTANTIATE_TEST_SUITE_P(All, RecordedTest, testing::ValuesIn(test::all_recordings()),
                         [](const auto& parameter) { return test::test_name(parameter.param); });

TEST(OpenvpnEnvironment, RecordingsAreThere)
{
    EXPECT_GE(test::all_recordings().size(), 70U);
}

// ---- Variables ----

TEST(OpenvpnEnvironment, LineBreaksStartNoVariables)
{
    auto script = recording("tun-subnet/up");
    script.set("X", "a\nremote_2=6.6.6.6\nremote_port_2=1194\nproto_2=udp");
    EXPECT_EQ(remotes(script), Texts{"203.0.113.2:1194/udp"});
}

TEST(OpenvpnEnvironment, TheFirstOfTwoVariablesIsUsed)
{
    const std::vector<const char*> entries = {"a=1", "b", "=x", "a=2", "a_1=x"};
    const Environment environment(entries);
    EXPECT_EQ(environment.get("a"), "1");
    EXPECT_EQ(environment.get("b"), "");
    EXPECT_EQ(environment.numbered("a_").size(), 1U);
}

TEST(OpenvpnEnvironment, UnknownScriptsAreNotOurs)
{
    for (const char* type : {"", "tls-verify", "client-connect", "learn-address", "up\n"}) {
        auto script = recording("tun-subnet/up");
        script.set("script_type", type);
        const auto result = script.parse();
        ASSERT_TRUE(result);
        EXPECT_FALSE(result->event) << type;
    }
}

TEST(OpenvpnEnvironment, DeviceIsThatOfTheVariable)
{
    auto script = recording("tun-subnet/up");
    script.arguments.insert(script.arguments.begin(), "--an-option-of-the-administrator");
    EXPECT_EQ(up(script).tunnel.interface.text(), "vpn0");
    script.unset("dev");
    script.arguments = {"tun7"};
    EXPECT_EQ(up(script).tunnel.interface.text(), "tun7");
}

// ---- Refused as a whole ----

TEST(OpenvpnEnvironment, WrongDeviceIsAnError)
{
    for (const char* type : {"up", "route-up", "down", "route-pre-down"}) {
        for (const char* name : {"a/b", "..", "a b", "a\nb", "0123456789abcdef", "a:b"}) {
            auto script = recording("tun-subnet/up");
            script.set("script_type", type);
            script.set("dev", name);
            EXPECT_FALSE(script.parse()) << type << " " << name;
        }
    }
    auto script = recording("tun-subnet/up");
    script.unset("dev");
    script.arguments.clear();
    EXPECT_FALSE(script.parse());
}

TEST(OpenvpnEnvironment, WrongAddressIsAnError)
{
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"ifconfig_local", "127.0.0.1"},
        {"ifconfig_local", "2001:db8::1"},
        {"ifconfig_local", "10.0.0.1\n"},
        {"ifconfig_local", "010.0.0.1"},
        {"ifconfig_local", "10.0.0.1 10.0.0.2"},
        {"ifconfig_netmask", "255.0.255.0"},
        {"ifconfig_netmask", "24"},
        {"ifconfig_netmask", "ffff::"},
        {"ifconfig_remote", "::1"},
        {"ifconfig_ipv6_local", "10.0.0.1"},
        {"ifconfig_ipv6_local", "ff02::1"},
        {"ifconfig_ipv6_local", "fe80::1%eth0"},
        {"ifconfig_ipv6_netbits", "129"},
        {"ifconfig_ipv6_netbits", ""},
        {"ifconfig_ipv6_netbits", "064"},
    };
    for (const auto& [name, value] : cases) {
        auto script = recording("tun-subnet/up");
        script.set(name, value);
        EXPECT_FALSE(script.parse()) << name << "=" << value;
    }
    auto script = recording("tun-subnet/up");
    script.unset("ifconfig_local");
    EXPECT_TRUE(script.parse()) << "IPv6 alone is enough";
    script.unset("ifconfig_ipv6_local");
    EXPECT_FALSE(script.parse());
}

// ---- Servers ----

TEST(OpenvpnEnvironment, RemotesGoByNumberWithGaps)
{
    auto script = recording("tun-subnet/up");
    script.unset("remote_1");
    for (const char* number : {"2", "10", "12", "100"}) {
        script.set(std::string("remote_") + number, std::string("192.0.2.") + number);
        script.set(std::string("remote_port_") + number, std::string("5") + number);
        script.set(std::string("proto_") + number, "tcp-client");
    }
    EXPECT_EQ(remotes(script), (Texts{"192.0.2.2:52/tcp", "192.0.2.10:510/tcp",
                                      "192.0.2.12:512/tcp", "192.0.2.100:5100/tcp"}));
}

TEST(OpenvpnEnvironment, ProtocolsHaveManyNames)
{
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"udp", "udp"},          {"udp4", "udp4"},        {"udp6", "udp6"},
        {"tcp", "tcp"},          {"tcp4", "tcp4"},        {"tcp-client", "tcp"},
        {"tcp4-client", "tcp4"}, {"tcp6-client", "tcp6"}, {"tcp6", "tcp6"},
    };
    for (const auto& [name, text] : cases) {
        auto script = recording("tun-subnet/up");
        script.set("remote_1", "vpn.example");
        script.set("proto_1", name);
        EXPECT_EQ(remotes(script), Texts{std::string("vpn.example:1194/") + text});
    }
    for (const char* name :
         {"tcp-server", "tcp6-server", "sctp", "udp-client", "udp5", "UDP", "udp "}) {
        auto script = recording("tun-subnet/up");
        script.set("proto_1", name);
        EXPECT_EQ(remotes(script), Texts{}) << name;
        EXPECT_EQ(warnings(script).size(), 1U) << name;
    }
}

TEST(OpenvpnEnvironment, ProxyReplacesTheRemote)
{
    auto script = recording("tun-subnet/up");
    script.set("remote_2", "hidden.example");
    script.set("remote_port_2", "443");
    script.set("proto_2", "tcp4-client");
    script.set("http_proxy_server_2", "proxy.example");
    script.set("http_proxy_port_2", "3128");
    script.set("remote_3", "hidden.example");
    script.set("remote_port_3", "1194");
    script.set("proto_3", "udp");
    script.set("socks_proxy_server_3", "192.0.2.9");
    script.set("socks_proxy_port_3", "1080");
    EXPECT_EQ(remotes(script),
              (Texts{"203.0.113.2:1194/udp", "proxy.example:3128/tcp4", "192.0.2.9:1080/tcp4"}));
    script.unset("http_proxy_port_2");
    EXPECT_EQ(remotes(script), (Texts{"203.0.113.2:1194/udp", "192.0.2.9:1080/tcp4"}));
}

TEST(OpenvpnEnvironment, WrongRemotesAreLeftOutOneByOne)
{
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"127.0.0.1", "1194"},  {"224.0.0.1", "1194"},    {"0.0.0.0", "1194"},
        {"$(id)", "1194"},      {"../x", "1194"},         {"a b", "1194"},
        {"vpn.example", "0"},   {"vpn.example", "70000"}, {"vpn.example", "https"},
        {"vpn.example", ""},    {"vpn.example", "01194"}, {"255.255.255.255", "1194"},
        {"vpn\n.example", "1"},
    };
    for (const auto& [host, port] : cases) {
        auto script = recording("tun-subnet/up");
        script.set("remote_2", host);
        script.set("remote_port_2", port);
        script.set("proto_2", "udp");
        EXPECT_EQ(remotes(script), Texts{"203.0.113.2:1194/udp"}) << host;
        ASSERT_EQ(warnings(script).size(), 1U) << host;
        EXPECT_FALSE(has_control_characters(warnings(script)[0])) << host;
    }
}

TEST(OpenvpnEnvironment, TransportsOfTheConfigurationCountToo)
{
    auto script = recording("tun-subnet/up");
    script.unset("proto_1");
    script.set("remote_1", "vpn.example");
    EXPECT_EQ(remotes(script), Texts{"vpn.example:1194/udp"});
    script.facts.config =
        parse_openvpn_config("remote vpn.example 1194 tcp4\nremote other.example 1194 udp");
    EXPECT_EQ(remotes(script), Texts{"vpn.example:1194/tcp4"});
    script.set("proto_1", "udp");
    EXPECT_EQ(remotes(script), (Texts{"vpn.example:1194/udp", "vpn.example:1194/tcp4"}));
}

TEST(OpenvpnEnvironment, IdentityHasRootTheProcessAndTheLaterUser)
{
    auto script = recording("tun-subnet/up");
    script.facts.ancestors = {{{900, 1}, 500}, {{1000, 2}, 501}};
    script.facts.config_user = 65534;
    script.facts.config = OpenvpnConfig{};
    script.facts.config->mark = 77;
    const auto event = up(script);
    EXPECT_EQ(event.tunnel.owner, (ProcessId{1000, 2}));
    EXPECT_EQ(event.servers[0].identity.uids, (std::vector<uid_t>{0, 501, 65534}));
    EXPECT_EQ(event.servers[0].identity.mark, 77U);
}

TEST(OpenvpnEnvironment, TheKernelsOwnerOverridesTheEnvironment)
{
    auto script = recording("tun-subnet/up");
    script.set("daemon_pid", "1");
    EXPECT_EQ(up(script).tunnel.owner, (ProcessId{1000, 4711}));
    EXPECT_EQ(warnings(script).size(), 1U);
    script.facts.ancestors.clear();
    EXPECT_FALSE(up(script).tunnel.owner);
}

// ---- Which server answered ----

struct AnswerCase {
    Texts hosts;
    Texts protocols;
    std::string connected;
    Texts servers;
};

TEST(OpenvpnEnvironment, AnswerBelongsToAServer)
{
    const std::vector<AnswerCase> cases = {
        {{"203.0.113.2"}, {"tcp-client"}, "203.0.113.2:1194/tcp", {"203.0.113.2:1194/tcp"}},
        {{"vpn.example"}, {"tcp-client"}, "203.0.113.2:1194/tcp", {"vpn.example:1194/tcp"}},
        {{"192.0.2.1"}, {"udp"}, "", {"192.0.2.1:1194/udp"}},
        {{"vpn.example"}, {"udp6"}, "", {"vpn.example:1194/udp6"}},
        {{"a.example", "203.0.113.2"},
         {"udp", "tcp-client"},
         "203.0.113.2:1194/tcp",
         {"a.example:1194/udp", "203.0.113.2:1194/tcp"}},
        {{"a.example", "b.example"},
         {"udp", "udp"},
         "203.0.113.2:1194/udp",
         {"a.example:1194/udp", "b.example:1194/udp"}},
        {{"a.example", "b.example"},
         {"udp", "tcp-client"},
         "",
         {"a.example:1194/udp", "b.example:1194/tcp", "203.0.113.2:1194/udp",
          "203.0.113.2:1194/tcp"}},
        {{"a.example", "a.example"},
         {"udp", "tcp-client"},
         "",
         {"a.example:1194/udp", "a.example:1194/tcp"}},
    };
    for (const auto& [hosts, protocols, connected, servers] : cases) {
        auto script = recording("tun-subnet/up");
        for (std::size_t i = 0; i < hosts.size(); ++i) {
            const auto number = std::to_string(i + 1);
            script.set("remote_" + number, hosts[i]);
            script.set("remote_port_" + number, "1194");
            script.set("proto_" + number, protocols[i]);
        }
        const auto event = up(script);
        EXPECT_EQ(event.connected ? to_string(*event.connected) : "", connected) << hosts[0];
        EXPECT_EQ(remotes(script), servers);
    }
}

TEST(OpenvpnEnvironment, AnswerOfUnknownTransportIsTheNamesAddress)
{
    auto script = recording("tun-subnet/up");
    for (const char* number : {"1", "2"}) {
        script.set(std::string("remote_") + number, "a.example");
        script.set(std::string("remote_port_") + number, "1194");
    }
    script.set("proto_2", "tcp-client");
    for (const auto& server : up(script).servers) {
        ASSERT_EQ(server.addresses.size(), 1U);
        EXPECT_EQ(server.addresses[0].address, address("203.0.113.2"));
    }
}

TEST(OpenvpnEnvironment, WrongAnswerIsLeftOut)
{
    for (const char* text : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "x", "1.2.3.4\n"}) {
        auto script = recording("tun-subnet/up");
        script.set("remote_1", "vpn.example");
        script.set("trusted_ip", text);
        EXPECT_FALSE(up(script).connected) << text;
        EXPECT_EQ(warnings(script).size(), 1U) << text;
    }
}

// ---- Routes ----

TEST(OpenvpnEnvironment, RoutesAroundTheTunnelAreNotInIt)
{
    auto script = recording("tun-redirect/up");
    script.set("route_network_1", "198.18.0.0");
    script.set("route_netmask_1", "255.254.0.0");
    script.set("route_gateway_1", "192.168.50.1");
    script.set("route_ipv6_network_1", "2001:db8:aa::/48");
    script.set("route_ipv6_gateway_1", "2001:db8:50::1");
    script.set("route_network_2", "10.20.0.0");
    script.set("route_netmask_2", "255.255.0.0");
    script.set("route_gateway_2", "198.51.100.1");
    script.set("route_network_3", "10.30.1.1");
    const auto networks = up(script).tunnel.networks;
    const auto has = [&](const char* text) {
        return std::ranges::find(networks, IpPrefix::parse(text).value()) != networks.end();
    };
    EXPECT_FALSE(has("198.18.0.0/15"));
    EXPECT_FALSE(has("2001:db8:aa::/48"));
    EXPECT_TRUE(has("10.20.0.0/16"));
    EXPECT_TRUE(has("10.30.1.1/32"));
}

TEST(OpenvpnEnvironment, WrongRoutesAreLeftOutOneByOne)
{
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"10.0.0.0", "255.0.255.0"}, {"010.0.0.0", "255.0.0.0"}, {"::", "::"},
        {"127.0.0.0", "255.0.0.0"},  {"224.0.0.0", "240.0.0.0"}, {"10.0.0.0\n", "255.0.0.0"},
        {"10.0.0.0", "-1"},
    };
    const auto expected = up(recording("tun-redirect/up")).tunnel.networks;
    for (const auto& [network, mask] : cases) {
        auto script = recording("tun-redirect/up");
        script.set("route_network_7", network);
        script.set("route_netmask_7", mask);
        EXPECT_EQ(up(script).tunnel.networks, expected) << network;
        EXPECT_EQ(warnings(script).size(), 1U) << network;
    }
    auto script = recording("tun-redirect/up");
    script.set("route_network_7", "0.0.0.0");
    script.set("route_netmask_7", "128.0.0.0");
    script.set("route_ipv6_network_7", "fe80::%eth0/64");
    EXPECT_EQ(up(script).tunnel.networks, expected);
}

// Such a network would take in what every machine and every link has: 0.0.0.0 and 255.255.255.255
// are DHCP's, fe80:: is where routers announce themselves.
TEST(OpenvpnEnvironment, RoutesToUnusableDestinationsAreLeftOut)
{
    const auto expected = up(recording("tun-redirect/up")).tunnel.networks;
    for (const auto& [network, mask] :
         std::vector<std::pair<const char*, const char*>>{{"0.0.0.0", "255.0.0.0"},
                                                          {"0.0.0.0", "255.255.255.255"},
                                                          {"169.254.0.0", "255.255.0.0"},
                                                          {"169.254.169.254", "255.255.255.255"},
                                                          {"239.255.0.0", "255.255.0.0"},
                                                          {"255.0.0.0", "255.0.0.0"},
                                                          {"255.255.255.255", "255.255.255.255"}}) {
        auto script = recording("tun-redirect/up");
        script.set("route_network_7", network);
        script.set("route_netmask_7", mask);
        EXPECT_EQ(up(script).tunnel.networks, expected) << network;
        EXPECT_EQ(warnings(script).size(), 1U) << network;
    }
    for (const char* network : {"::/8", "::1/128", "::/128", "fe80::/10", "fe80::/64", "fe00::/8",
                                "ff02::/16", "ff00::/8"}) {
        auto script = recording("tun-redirect/up");
        script.set("route_ipv6_network_7", network);
        EXPECT_EQ(up(script).tunnel.networks, expected) << network;
        EXPECT_EQ(warnings(script).size(), 1U) << network;
    }
}

// Otherwise the cause of an unreachable network would not be visible.
TEST(OpenvpnEnvironment, RoutesAroundTheTunnelAreReportedOnce)
{
    auto script = recording("tun-redirect/up");
    script.set("route_network_7", "198.51.100.20");
    script.set("route_netmask_7", "255.255.255.255");
    script.set("route_gateway_7", "192.168.50.1");
    script.set("route_ipv6_network_7", "2001:db8:99::/48");
    script.set("route_ipv6_gateway_7", "2001:db8:50::1");
    EXPECT_EQ(
        warnings(script),
        (Texts{"route 7, '198.51.100.20' netmask '255.255.255.255', is ignored: it bypasses the "
               "tunnel",
               "IPv6 route 7, '2001:db8:99::/48', is ignored: it bypasses the tunnel"}));
    // Servers and the local network are past the tunnel.
    script.set("route_network_7", "203.0.113.2");
    script.set("route_ipv6_network_7", "fd12:3456::/32");
    EXPECT_EQ(warnings(script), Texts{});
}

// ---- Names ----

TEST(OpenvpnEnvironment, ResolversOnceAndInOrder)
{
    auto script = recording("tun-newdns/up");
    const auto expected = std::vector{address("198.51.100.193"), address("2001:db8:c0::53")};
    EXPECT_EQ(up(script).tunnel.resolvers, expected);
    script.set("foreign_option_9", "dhcp-option DNS 10.9.9.9");
    script.set("foreign_option_10", "dhcp-option DNS 10.10.10.10");
    script.set("dns_server_10_address_1", "10.0.0.10");
    script.set("dns_server_2_address_1", "10.0.0.2");
    script.set("dns_server_3_address_1", "10.0.0.3");
    script.set("dns_server_3_transport", "DoT");
    script.set("dns_server_4_address_1", "10.0.0.4");
    script.set("dns_server_4_port_1", "5353");
    auto more = expected;
    for (const char* text : {"10.0.0.2", "10.0.0.10", "10.9.9.9", "10.10.10.10"}) {
        more.push_back(address(text));
    }
    EXPECT_EQ(up(script).tunnel.resolvers, more);
    EXPECT_EQ(warnings(script).size(), 2U);
}

// OpenVPN 2.6 tells its newer options a second time as foreign ones, which have no place for a
// port.
TEST(OpenvpnEnvironment, RepeatedOptionsAreReportedOnce)
{
    auto script = recording("tun-nopull/up");
    script.set("dns_server_1_address_1", "10.8.0.3");
    script.set("dns_server_1_port_1", "5353");
    script.set("dns_server_2_address_1", "224.0.0.251");
    script.set("dns_search_domain_1", "$(id)");
    script.set("foreign_option_1", "dhcp-option DNS 10.8.0.3");
    script.set("foreign_option_2", "dhcp-option DNS 224.0.0.251");
    script.set("foreign_option_3", "dhcp-option DOMAIN-SEARCH $(id)");
    EXPECT_TRUE(up(script).tunnel.resolvers.empty());
    EXPECT_EQ(warnings(script),
              (Texts{"resolver '10.8.0.3' is ignored: only plain DNS on port 53 is supported",
                     "invalid resolver is ignored: '224.0.0.251'",
                     "invalid search domain is ignored: '$(id)'"}));
}

TEST(OpenvpnEnvironment, AResolverAtTheServersPortIsReported)
{
    auto script = recording("tun-nopull/up");
    script.set("foreign_option_1", "dhcp-option DNS 203.0.113.2");
    EXPECT_EQ(warnings(script), Texts{});
    script.set("remote_port_1", "53");
    script.set("trusted_port", "53");
    EXPECT_EQ(warnings(script),
              Texts{"resolver '203.0.113.2' is not used: the VPN server itself is "
                    "at this address and port 53"});
}

TEST(OpenvpnEnvironment, HostileOptionsAreLeftOut)
{
    for (const char* option :
         {"dhcp-option DNS 127.0.0.1", "dhcp-option DNS 0.0.0.0", "dhcp-option DNS ::",
          "dhcp-option DNS 224.0.0.251", "dhcp-option DNS 169.254.1.1", "dhcp-option DNS fe80::1",
          "dhcp-option DNS6 10.0.0.1", "dhcp-option DNS 10.0.0.1 10.0.0.2",
          "dhcp-option DNS 10.0.0.1\nnameserver 6.6.6.6", "dhcp-option DNS",
          "dhcp-option DNS $(touch /run/canary)", "dhcp-option DOMAIN a\\nnameserver\\t6.6.6.6",
          "dhcp-option DOMAIN a\nnameserver 6.6.6.6", "dhcp-option DOMAIN `id`",
          "dhcp-option DOMAIN-SEARCH ../../etc", "dhcp-option DOMAIN -x", "dhcp-option DOMAIN "}) {
        auto script = recording("tun-nopull/up");
        script.set("foreign_option_1", option);
        const auto tunnel = up(script).tunnel;
        EXPECT_TRUE(tunnel.resolvers.empty()) << option;
        EXPECT_TRUE(tunnel.search_domains.empty()) << option;
        ASSERT_EQ(warnings(script).size(), 1U) << option;
        EXPECT_FALSE(has_control_characters(warnings(script)[0])) << option;
    }
}

TEST(OpenvpnEnvironment, OtherOptionsAreIgnored)
{
    for (const char* option : {"dhcp-option WINS 10.0.0.1", "dhcp-option DOMAIN-ROUTE a.example",
                               "dhcp-option", "", "redirect-gateway def1"}) {
        auto script = recording("tun-nopull/up");
        script.set("foreign_option_1", option);
        EXPECT_TRUE(warnings(script).empty()) << option;
    }
}

// ---- Limits ----

TEST(OpenvpnEnvironment, CountsAreBoundedWithOneWarningEach)
{
    auto script = recording("tun-nopull/up");
    for (unsigned i = 1; i <= 5000; ++i) {
        const auto number = std::to_string(i);
        const auto low = std::to_string(i % 250 + 1);
        const auto high = std::to_string(i / 250);
        script.entries.push_back("route_network_" + number + "=10.1." + high + "." + low);
        script.entries.push_back("remote_" + std::to_string(i + 1) + "=192.0." + high + "." + low);
        script.entries.push_back("remote_port_" + std::to_string(i + 1) + "=1194");
        script.entries.push_back("foreign_option_" + number + "=dhcp-option DNS 10.2." + high +
                                 "." + low);
        script.entries.push_back("dns_search_domain_" + number + "=d" + number + ".example");
    }
    const auto event = up(script);
    EXPECT_EQ(event.servers.size(), kMaxRemotes);
    EXPECT_EQ(event.tunnel.networks.size(), kMaxRoutes);
    EXPECT_EQ(event.tunnel.resolvers.size(), kMaxResolvers);
    EXPECT_EQ(event.tunnel.search_domains.size(), kMaxSearchDomains);
    EXPECT_EQ(warnings(script).size(), 4U);
}

TEST(OpenvpnEnvironment, LongValuesAreTruncatedInWarnings)
{
    auto script = recording("tun-subnet/up");
    script.set("foreign_option_1", "dhcp-option DOMAIN " + std::string(100'000, 'a'));
    ASSERT_EQ(warnings(script).size(), 1U);
    EXPECT_LT(warnings(script)[0].size(), 200U);
}

} // namespace
} // namespace failclosed
