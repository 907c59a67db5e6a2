// SPDX-License-Identifier: GPL-3.0-or-later
// What opened the programs before this one, each shown to leak without failclosed and to hold.
#include <cstdio>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// What a test does once with the product's hooks and the lock, and once without.
enum class Protected { No, Yes };

VpnClient::Options client_with(Protected is_protected)
{
    VpnClient::Options options;
    options.hooks = is_protected == Protected::Yes;
    return options;
}

void lock_if(const Lab& lab, Protected is_protected)
{
    if (is_protected == Protected::Yes) {
        ASSERT_EQ(failclosed(lab.client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
    }
}

void expect_leak(const Counts& counts, Protected is_protected)
{
    EXPECT_EQ(counts.lost, 0U);
    if (is_protected == Protected::Yes) {
        EXPECT_EQ(counts.leaked, 0U) << counts.text();
    } else {
        EXPECT_GT(counts.leaked, 0U);
        ::testing::Test::RecordProperty("leaked_without", static_cast<int>(counts.leaked));
        std::printf("without failclosed: %d leaked\n", static_cast<int>(counts.leaked));
    }
}

// Flows that began inside the tunnel, when their route is taken away.
struct Trigger {
    const char* name;
    std::string ip;
};

const Trigger triggers[] = {
    {"LinkDown", "link set tun0 down\n"},
    {"RoutesDeleted", "route del 0.0.0.0/1\nroute del 128.0.0.0/1\n"
                      "route del ::/3\nroute del 2000::/4\n"},
    {"RouteInjected", "route add 198.51.100.20/32 via 192.168.50.1 dev eth0\n"
                      "route add 2001:db8:99::20/128 via fe80::1 dev eth0\n"},
};

class LiveFlows : public ::testing::TestWithParam<std::tuple<Trigger, Protected>> {};

TEST_P(LiveFlows, StayInsideTheTunnelOrStop)
{
    const auto& [trigger, is_protected] = GetParam();
    const Lab lab(with_product());
    const VpnServer server(lab);
    lock_if(lab, is_protected);
    VpnClient client(lab, client_with(is_protected));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    Sniffer sniffer(lab);
    Traffic traffic(lab, {.kinds = connected_kinds()});
    sniffer.settle();
    sniffer.reset();
    lab.client().ip(trigger.ip);
    ASSERT_TRUE(traffic.wait_all_sent(100));
    sniffer.settle();
    const auto counts = sniffer.counts();
    expect_leak(counts, is_protected);
    if (is_protected == Protected::No) {
        EXPECT_THAT(counts.text(), AnyOf(HasSubstr("from 10.8.0.2"), HasSubstr("10.8.0.2")));
    } else if (std::string(trigger.name) != "LinkDown") {
        traffic.stop();
        EXPECT_TRUE(gets_answers(lab.client(), addr::site4)) << "routes of others have no effect";
    }
}

INSTANTIATE_TEST_SUITE_P(Triggers, LiveFlows,
                         ::testing::Combine(::testing::ValuesIn(triggers),
                                            ::testing::Values(Protected::No, Protected::Yes)),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param).name) +
                                    (std::get<1>(test.param) == Protected::Yes ? "Holds"
                                                                               : "LeaksWithout");
                         });

// What made a hook fail on its way, and OpenVPN with it.
struct Setting {
    const char* name;
    std::string push;
    std::string proto = "udp";
    bool redirect_gateway = true;
};

const Setting settings[] = {
    {"RoutePastTheTunnel", "push \"route 198.51.100.20 255.255.255.255 net_gateway\""},
    {"ProtocolWithFamily", "", "udp4"},
    {"NoRedirectGateway", "", "udp", false},
};

class FailingHooks : public ::testing::TestWithParam<std::tuple<Setting, Protected>> {};

TEST_P(FailingHooks, StayClosed)
{
    const auto& [setting, is_protected] = GetParam();
    const Lab lab(with_product());
    VpnServer::Options server_options;
    server_options.extra = {setting.push};
    const VpnServer server(lab, server_options);
    VpnClient::Options options = client_with(is_protected);
    options.proto = setting.proto;
    options.redirect_gateway = setting.redirect_gateway;
    if (is_protected == Protected::No) {
        // A hook that fails as theirs did, before it has set its firewall up.
        options.extra = {"script-security 2", "up /bin/false"};
    }
    VpnClient client(lab, options);
    if (is_protected == Protected::Yes) {
        ASSERT_TRUE(client.wait_connected()) << client.log();
    } else {
        ASSERT_TRUE(client.process().wait()) << client.log();
    }
    const Sniffer sniffer(lab);
    Traffic traffic(lab);
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    expect_leak(sniffer.counts(), is_protected);
    if (is_protected == Protected::Yes) {
        traffic.stop();
        EXPECT_TRUE(gets_answers(lab.client(), addr::site4));
        EXPECT_TRUE(gets_answers(lab.client(), addr::site6));
        EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Settings, FailingHooks,
                         ::testing::Combine(::testing::ValuesIn(settings),
                                            ::testing::Values(Protected::No, Protected::Yes)),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param).name) +
                                    (std::get<1>(test.param) == Protected::Yes ? "Holds"
                                                                               : "LeaksWithout");
                         });

// The other half of it: a hook that cannot understand OpenVPN ends it, and still closes.
TEST(FailingHook, OfFailclosedClosesFirst)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    VpnClient::Options options;
    options.extra = {"setenv-safe unused 1", "up \"/usr/bin/env ifconfig_local=broken "
                                             "/etc/openvpn/failclosed\""};
    VpnClient client(lab, options);
    ASSERT_TRUE(client.process().wait()) << client.log();
    EXPECT_THAT(client.log(), HasSubstr("failclosed: invalid tunnel address"));
    const Sniffer sniffer(lab);
    const Traffic traffic(lab);
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    expect_leak(sniffer.counts(), Protected::Yes);
}

class Reconnect : public ::testing::TestWithParam<Protected> {};

TEST_P(Reconnect, LeaksNothing)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    lock_if(lab, GetParam());
    VpnClient client(lab, client_with(GetParam()));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    Sniffer sniffer(lab);
    const Traffic traffic(lab, {.interval = std::chrono::milliseconds(2)});
    // Bound to the device they leave without failclosed even while the tunnel is up: what counts
    // here are those that went through it.
    const EchoFlow flow(lab, addr::site4, std::chrono::microseconds(100));
    sniffer.settle();
    sniffer.reset();
    client.hup();
    // Such a load leaves little processor time to OpenVPN.
    ASSERT_TRUE(client.wait_connected(2, 4 * patience)) << client.log();
    sniffer.settle();
    const auto counts = sniffer.counts();
    expect_leak(counts, GetParam());
    EXPECT_EQ(counts.leaked_kinds.contains("udp4@user"), GetParam() == Protected::No);
    EXPECT_TRUE(flow.wait_answers(10));
}

INSTANTIATE_TEST_SUITE_P(Hup, Reconnect, ::testing::Values(Protected::No, Protected::Yes),
                         [](const auto& test) {
                             return test.param == Protected::Yes ? "Holds" : "LeaksWithout";
                         });

// The ISP's resolver answers the server's name with an alias for a bank.
TEST(HostsFile, IgnoresNamesInventedByAResolver)
{
    Lab::Options options = with_product();
    options.names = {{"www.bank.example", {addr::server4}}};
    options.dns_extra = {"--cname=vpn.example.net,www.bank.example"};
    Lab lab(options);
    ASSERT_THAT(lab.client().must({"getent", "-s", "dns", "hosts", "vpn.example.net"}),
                HasSubstr("www.bank.example"))
        << "what the hook before this one wrote down";
    VpnServer::Options server_options;
    server_options.names = options.names;
    VpnServer server(lab, server_options);
    server.dns().restart(options.dns_extra);
    failclosed(lab.client(), {"lock", "--server", "vpn.example.net:1194/udp"});
    const std::set<std::string> expected = {"203.0.113.2 vpn.example.net"};
    EXPECT_TRUE(eventually([&] { return our_hosts(lab.client()) == expected; }));
    VpnClient client(lab, client_to({"vpn.example.net 1194"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    server.dns().forget_queries();
    const Outcome refreshed = failclosed(lab.client(), {"refresh"});
    ASSERT_EQ(refreshed.status, 0) << refreshed.err;
    EXPECT_FALSE(server.dns().queries().empty());
    EXPECT_EQ(our_hosts(lab.client()), expected);
    EXPECT_THAT(lab.client().read_file("/etc/hosts"), Not(HasSubstr("bank")));
}

// Early in the boot: `lo` is down, there is no `ping`, and no PATH.
class WithoutTools : public ::testing::TestWithParam<Protected> {};

TEST_P(WithoutTools, Ipv6IsClosedToo)
{
    const Lab lab(with_product());
    lab.client().must({"sh", "-c", "rm -f /bin/ping /usr/bin/ping /sbin/ip6tables /usr/sbin/nft"});
    lab.client().ip("link set lo down\n");
    if (GetParam() == Protected::Yes) {
        // An unknown user in the configuration does not keep the machine open either.
        lab.client().write_file("/etc/openvpn/broken.conf",
                                "remote 203.0.113.2 1194\nuser tunnel-without-account\n");
        Command lock{"/usr/sbin/failclosed", "lock"};
        lock.env = {};
        EXPECT_EQ(lab.client().run(lock).status, 0);
    }
    const Sniffer sniffer(lab);
    const Traffic traffic(lab);
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    const auto counts = sniffer.counts();
    expect_leak(counts, GetParam());
    EXPECT_EQ(counts.leaked_kinds.contains("udp6@user"), GetParam() == Protected::No);
}

INSTANTIATE_TEST_SUITE_P(Lock, WithoutTools, ::testing::Values(Protected::No, Protected::Yes),
                         [](const auto& test) {
                             return test.param == Protected::Yes ? "Holds" : "LeaksWithout";
                         });

// Flows older than the tunnel carry the address of the wire into it.
class OlderFlows : public ::testing::TestWithParam<Protected> {};

TEST_P(OlderFlows, DoNotCarryTheAddressOfTheWireIntoTheTunnel)
{
    const Lab lab(with_product());
    VpnServer::Options options;
    options.extra = {"verb 4"};
    VpnServer server(lab, options);
    Traffic traffic(lab, {.kinds = connected_kinds()});
    VpnClient client(lab, client_with(GetParam()));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    ASSERT_TRUE(traffic.wait_all_sent(100));
    traffic.stop();
    // What was sent before has reached the server then.
    ASSERT_TRUE(gets_answers(lab.client(), addr::inside4));
    const char* foreign = "bad source address from client";
    if (GetParam() == Protected::Yes) {
        EXPECT_EQ(server.process().count(foreign), 0U) << server.process().output();
    } else {
        EXPECT_TRUE(server.process().wait_for(foreign));
        std::printf("without failclosed: %zu packets from a foreign address in the tunnel\n",
                    server.process().count(foreign));
    }
}

INSTANTIATE_TEST_SUITE_P(Tunnel, OlderFlows, ::testing::Values(Protected::No, Protected::Yes),
                         [](const auto& test) {
                             return test.param == Protected::Yes ? "Holds" : "LeaksWithout";
                         });

// A resolver of one's own on loopback. (Remotes in the order of their numbers: servers_test.cpp.)
TEST(LoopbackResolver, IsNotRefused)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    const Process stub = lab.client().start(
        {"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-",
         "--user=root", "--pid-file", "--no-hosts", "--no-resolv", "--server=10.8.0.1",
         "--interface=lo", "--bind-interfaces"});
    ASSERT_TRUE(stub.wait_for("started")) << stub.output();
    VpnClient client(lab);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    const Command look_up{"busybox", "nslookup", "www.example.org", "127.0.0.1"};
    EXPECT_THAT(lab.client().must(look_up), HasSubstr(addr::site4));

    // Their rule, for comparison: DNS that is not on the tunnel's device is refused.
    lab.client().nft("table inet before {\nchain output {\n"
                     "type filter hook output priority 10\n"
                     "oifname != tun0 udp dport 53 reject\n}\n}\n");
    EXPECT_FALSE(lab.client().run(look_up).ok());
}

} // namespace

} // namespace failclosed::lab
