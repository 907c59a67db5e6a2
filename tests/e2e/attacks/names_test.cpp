// SPDX-License-Identifier: GPL-3.0-or-later
// Name resolution as attacker and as leak: who is asked for what, when, and what comes of a lie.
#include <chrono>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/resolvers.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;
using ::testing::Not;
using Strings = std::set<std::string>;

/// What a program gets for the name. Of a resolver that does not answer it is tired soon.
std::string look_up(const Box& client, const std::string& name)
{
    return client
        .run(Command{"getent", "ahostsv4", name}.with_env({"RES_OPTIONS=timeout:1 attempts:1"}))
        .out;
}

/// Whether the name has this address for programs. A resolver that is slow once is asked again.
bool is_found(const Box& client, const std::string& name, const std::string& address)
{
    return eventually([&] { return look_up(client, name).find(address) != std::string::npos; });
}

/// How many of the questions for names with this end the network's resolver has heard.
std::uint64_t heard(Lab& lab, const std::string& end)
{
    std::uint64_t count = 0;
    for (const auto& name : lab.dns().names_asked()) {
        count += name.ends_with(end) ? 1U : 0U;
    }
    return count;
}

/// Waits until what `lock` has started has learnt the address.
bool wait_for_address(const Box& client)
{
    return eventually([&] { return !our_hosts(client).empty(); }, 2 * patience);
}

// ---- A tunnel's life ----

// Every state of a tunnel, and a question in each: only the VPN's own name is ever heard, and that
// only until its server has proved who it is.
TEST(Questions, DoNotReachTheNetworksResolverInAnyState)
{
    for (const bool locked : {false, true}) {
        SCOPED_TRACE(locked);
        Lab lab(locked ? with_product() : Lab::Options{});
        VpnServer server(lab);
        const Box& client = lab.client();
        int state = 0;
        const auto ask = [&] {
            look_up(client, "state" + std::to_string(++state) + ".example.org");
            return heard(lab, ".example.org");
        };
        if (locked) {
            client.must({"failclosed", "lock", "--server", "vpn4.example.net:1194/udp"});
            ASSERT_TRUE(wait_for_address(client));
        }
        ask();
        server.kill();
        VpnClient::Options options = client_to({"vpn4.example.net 1194"});
        options.hooks = locked;
        VpnClient vpn(lab, options);
        ASSERT_TRUE(vpn.wait_trying());
        ask();
        server.start();
        ASSERT_TRUE(vpn.wait_connected(1, connection_patience)) << vpn.log();
        if (locked) {
            EXPECT_EQ(lab.dns().names_asked(), Strings{"vpn4.example.net"});
            ASSERT_TRUE(eventually([&] { return !client.run({"pgrep", "-x", "refresh"}).ok(); }));
            lab.dns().forget_queries();
        }
        ask();
        vpn.hup();
        ask();
        ASSERT_TRUE(vpn.wait_connected(2, connection_patience)) << vpn.log();
        server.kill();
        ASSERT_TRUE(vpn.process().wait_for("SIGUSR1[soft,ping-restart]")) << vpn.log();
        ask();
        server.start();
        ASSERT_TRUE(vpn.wait_connected(3, connection_patience)) << vpn.log();
        if (locked) {
            EXPECT_TRUE(is_found(client, "www.example.org", addr::site4));
        }
        vpn.kill();
        ask();
        vpn.start();
        ASSERT_TRUE(vpn.wait_connected(4, connection_patience)) << vpn.log();
        vpn.term();
        ASSERT_TRUE(vpn.process().wait());
        const std::uint64_t questions = ask();
        if (locked) {
            EXPECT_THAT(lab.dns().names_asked(), IsEmpty());
        } else {
            EXPECT_GT(questions, 3U) << "nothing keeps them away";
        }
    }
}

// A program that waits for its resolver's silence holds its user up.
TEST(Questions, AreRefusedAtOnceWhileNothingIsConnected)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    // If the question is not refused, it takes the resolver a minute to give up.
    const Process question = client.start(Command{"getent", "ahostsv4", "www.example.org"}.with_env(
        {"RES_OPTIONS=timeout:30 attempts:2"}));
    EXPECT_TRUE(question.wait(patience)) << "it waits for an answer";
}

// ---- resolv.conf in other hands ----

TEST(ResolvConf, ChangedByAnotherProgramLeaksNoQuery)
{
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds}, [](Target& target) {
            // DHCP's, IPv6's, the router's by its address on the link (RDNSS), and a public one.
            for (const std::string& resolver :
                 {std::string(addr::gateway4), std::string(addr::gateway6),
                  std::string(addr::gateway_link) + "%eth0", std::string(addr::resolver4)}) {
                target.client().write_file("/etc/resolv.conf", "nameserver " + resolver + "\n");
                look_up(target.client(), "www.example.org");
            }
            return target.leaked() + heard(target.lab(), "");
        });
}

// Programs that ask by themselves, and one that asks for others.
TEST(OtherPaths, ToTheNetworksResolverAreRefused)
{
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds}, [](Target& target) {
            const Box& client = target.client();
            const Process stub = client.start(
                {"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-",
                 "--user=root", "--pid-file", "--no-resolv", "--server=192.168.50.1",
                 "--interface=lo", "--bind-interfaces", "--cache-size=0"});
            EXPECT_TRUE(stub.wait_for("started")) << stub.output();
            const Traffic traffic(
                target.lab(),
                {.kinds = {{"stub", Way::Dns, Via::Route, "127.0.0.1", 53, traffic_uid},
                           {"dns", Way::Dns, Via::Route, addr::gateway4, 53, traffic_uid},
                           {"dns6", Way::Dns, Via::Route, addr::gateway6, 53, traffic_uid},
                           {"dns-tcp", Way::TcpSyn, Via::Route, addr::gateway4, 53, traffic_uid},
                           {"dot", Way::TcpSyn, Via::Route, addr::gateway4, 853, traffic_uid},
                           {"doq", Way::Udp, Via::Route, addr::gateway4, 853, traffic_uid}}});
            EXPECT_TRUE(traffic.wait_all_sent(5));
            if (target.guard() == Guard::None) {
                for (const auto& sent : traffic.sent()) {
                    EXPECT_TRUE(target.sniffer().wait_until([&](const Counts& seen) {
                        return seen.leaked_kinds.contains(sent.first);
                    })) << sent.first;
                }
            }
            return target.leaked() + heard(target.lab(), "");
        });
}

// ---- What a lease says of names ----

// The network's search list, and the name that browsers look their proxy up by (WPAD).
TEST(SearchList, OfALeaseReachesNoResolver)
{
    const auto run = [](Guard guard) {
        Target::Options options;
        options.lab.static_addresses = false;
        options.lab.dns_extra = dhcp_arguments(
            {.extra = {"--dhcp-option=119,evil.example", "--dhcp-option=15,evil.example",
                       "--dhcp-option-force=252,http://192.168.50.1/wpad.dat"}});
        options.dhcpcd = Dhcpcd::Options{.ipv6 = false};
        Target target(guard, options);
        if (guard == Guard::None) {
            EXPECT_THAT(target.client().read_file("/etc/resolv.conf"), HasSubstr("evil.example"));
        }
        target.lab().dns().forget_queries();
        target.server().dns().forget_queries();
        for (const char* name : {"wpad", "intranet", "www.example.org"}) {
            look_up(target.client(), name);
        }
        target.dhcpcd().recorder().forget();
        target.dhcpcd().rebind();
        EXPECT_TRUE(target.dhcpcd().wait_lease()) << target.dhcpcd().log();
        look_up(target.client(), "wpad");
        return std::pair(heard(target.lab(), "evil.example") + heard(target.lab(), "wpad"),
                         target.server().dns().names_asked());
    };
    EXPECT_GT(run(Guard::None).first, 0U);
    const auto [outside, inside] = run(Guard::All);
    EXPECT_EQ(outside, 0U);
    EXPECT_THAT(inside, Contains("www.example.org"));
    for (const auto& name : inside) {
        EXPECT_THAT(name, Not(HasSubstr("evil")));
    }
}

// CVE-2011-0997, CVE-2014-6271, CVE-2018-1111: what a lease says reaches hooks that are root's.
TEST(HostileLease, IsNotExecuted)
{
    const std::vector<std::string> texts = {"$(touch /run/canary)", "`touch /run/canary`",
                                            "x';touch /run/canary;'", "() { :;}; touch /run/canary",
                                            std::string(200, 'a')};
    for (const bool careless : {true, false}) {
        Lab lab(careless ? Lab::Options{.static_addresses = false}
                         : with_product({.static_addresses = false}));
        if (careless) {
            lab.client().write_file("/usr/lib/dhcpcd/dhcpcd-hooks/95-careless",
                                    "eval \"text=\\\"$new_root_path\\\"\"\n");
        } else {
            lab.client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
        }
        lab.dns().restart(dhcp_arguments());
        Dhcpcd dhcpcd(lab.client(), {.ipv6 = false});
        // dhcpcd 10 loses its helpers if SIGHUP comes while it starts.
        ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
        for (const auto& text : texts) {
            std::vector<std::string> extra;
            for (const int option : {12, 15, 17, 40, 64, 66, 67, 100, 101, 114, 252}) {
                extra.push_back("--dhcp-option-force=" + std::to_string(option) + "," + text);
            }
            lab.dns().restart(dhcp_arguments({.extra = extra}));
            dhcpcd.recorder().forget();
            dhcpcd.rebind();
            ASSERT_TRUE(lab.dns().wait_lease()) << dhcpcd.log();
            ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
        }
        EXPECT_EQ(lab.client().exists("/run/canary"), careless) << dhcpcd.log();
        if (!careless) {
            EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
        }
    }
}

// ---- systemd-resolved ----

// With "~." on both links it asks both, by sockets that name the link.
TEST(Resolved, WithTwoDefaultLinksQueriesOnlyInsideTheTunnel)
{
    Target::Options options;
    options.begin = false;
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds},
        [](Target& target) {
            const Box& client = target.client();
            SystemBus bus(client);
            const Resolved resolved(bus);
            client.must({"resolvectl", "dns", "eth0", addr::gateway4});
            client.must({"resolvectl", "domain", "eth0", "~.", "org"});
            client.must({"resolvectl", "default-route", "eth0", "yes"});
            client.must({"resolvectl", "llmnr", "eth0", "no"});
            target.begin();
            target.lab().dns().forget_queries();
            if (target.guard() == Guard::All) {
                EXPECT_TRUE(is_found(client, "www.example.org", addr::site4))
                    << resolved.settings("tun0");
            } else {
                look_up(client, "www.example.org");
            }
            return target.leaked() + heard(target.lab(), "");
        },
        options);
}

// ---- A resolver that lies about the VPN's name ----

/// Addresses of this machine, of the link, of groups, and unspecified ones.
const Strings no_servers = {"127.0.0.1",       "0.0.0.0", "169.254.1.1", "224.0.0.251",
                            "255.255.255.255", "::1",     "fe80::66",    "ff02::1"};

TEST(FalseAnswer, WithAnUnusableAddressIsRejected)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().set("vpn4.example.net", {no_servers.begin(), no_servers.end()});
    client.must({"failclosed", "lock", "--server", "vpn4.example.net:1194/udp"});
    ASSERT_TRUE(eventually([&] { return lab.dns().names_asked().contains("vpn4.example.net"); }));
    EXPECT_NE(failclosed(client, {"refresh"}).status, 0);
    EXPECT_THAT(endpoints(client), IsEmpty());
    EXPECT_THAT(our_hosts(client), IsEmpty());
    // With a true one among them it is as if they were not there.
    auto mixed = no_servers;
    mixed.insert(addr::server4);
    lab.dns().set("vpn4.example.net", {mixed.begin(), mixed.end()});
    EXPECT_EQ(failclosed(client, {"refresh"}).status, 0);
    EXPECT_TRUE(eventually([&] { return endpoints(client) == Strings{"203.0.113.2:1194/udp"}; }));
    EXPECT_EQ(our_hosts(client), Strings{"203.0.113.2 vpn4.example.net"});
}

// The site is a victim: the attacker makes this machine send packets to it, visible to others.
TEST(FalseAnswer, ThatNamesASiteOpensNothingElseAndKeepsTheTrueServer)
{
    for (const std::string lie : {addr::site4, addr::neighbour4}) {
        SCOPED_TRACE(lie);
        Lab lab(with_product());
        const Box& client = lab.client();
        client.must({"failclosed", "lock", "--server", "vpn4.example.net:1194/udp"});
        ASSERT_TRUE(wait_for_address(client));
        ASSERT_EQ(endpoints(client).size(), 1U);
        VpnClient::Options options = client_to({"vpn4.example.net 1194"});
        options.extra = {"server-poll-timeout 1"};
        {
            const VpnServer server(lab);
            const VpnClient before(lab, options);
            ASSERT_TRUE(before.wait_connected()) << before.log(); // the true one is verified
            before.term();
            ASSERT_TRUE(before.process().wait());
        }
        lab.dns().set("vpn4.example.net", {lie});
        EXPECT_EQ(failclosed(client, {"refresh"}).status, 0);
        EXPECT_EQ(endpoints(client), (Strings{"203.0.113.2:1194/udp", lie + ":1194/udp"}));
        Policy policy;
        policy.servers = {{addr::server4, "udp", 1194}, {lie, "udp", 1194}};
        const Sniffer sniffer(lab, policy);
        const Traffic traffic(
            lab, {.kinds = {{"its port", Way::Udp, Via::Route, lie, 1194, traffic_uid},
                            {"other port", Way::Udp, Via::Route, addr::site4, 80, 0},
                            {"other protocol", Way::TcpSyn, Via::Route, addr::site4, 1194, 0},
                            {"ping", Way::RawPing, Via::Route, addr::site4, 0, 0}}});
        const std::string named = "the VPN server vpn4.example.net has the address " + lie;
        EXPECT_THAT(client.run({"failclosed", "status"}).out, HasSubstr(named));
        EXPECT_THAT(client.run({"failclosed", "doctor"}).out, HasSubstr(named));
        EXPECT_TRUE(traffic.wait_all_sent(20));
        const VpnServer server(lab);
        const VpnClient vpn(lab, options);
        ASSERT_TRUE(vpn.wait_connected(1, 25s)) << vpn.log();
        EXPECT_TRUE(eventually([&] { return answers(client, addr::inside4); }));
        EXPECT_EQ(endpoints(client), Strings{"203.0.113.2:1194/udp"}) << "the lie is over";
        EXPECT_TRUE(traffic.wait_all_sent(20));
        sniffer.settle();
        EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
        EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    }
}

} // namespace

} // namespace failclosed::lab
