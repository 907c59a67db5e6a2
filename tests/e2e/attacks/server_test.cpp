// SPDX-License-Identifier: GPL-3.0-or-later
// The VPN server as attacker, and attackers who change its pushed routes, resolvers and options.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char canary[] = "/run/canary";

std::string push(const std::string& option)
{
    return "push \"" + option + "\"";
}

std::vector<std::string> push_all(const std::vector<std::string>& options)
{
    std::vector<std::string> lines;
    for (const auto& option : options) {
        lines.push_back(push(option));
    }
    return lines;
}

/// What programs send that have never heard of routes, to hosts of the internet.
std::vector<Kind> ordinary_kinds()
{
    return {{"udp4", Way::Udp, Via::Route, addr::site4, 4000, traffic_uid},
            {"udp6", Way::Udp, Via::Route, addr::site6, 4000, traffic_uid},
            {"tcp4", Way::TcpSyn, Via::Route, addr::site4, 443, traffic_uid},
            {"ping4", Way::RawPing, Via::Route, addr::site4, 0, 0},
            {"root4", Way::Udp, Via::Route, addr::other_server4, 4000, 0},
            {"dns4", Way::Dns, Via::Route, addr::resolver4, 53, 0},
            {"dns6", Way::Dns, Via::Route, addr::resolver6, 53, traffic_uid}};
}

std::uint64_t pour(Target& target)
{
    const Traffic traffic(target.lab(), {.kinds = ordinary_kinds()});
    EXPECT_TRUE(traffic.wait_all_sent(10));
    return target.leaked();
}

/// What the hook itself has written into OpenVPN's log.
std::vector<std::string> told(const std::string& log)
{
    std::vector<std::string> lines;
    std::istringstream text(log);
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("failclosed: ")) {
            lines.push_back(line);
        }
    }
    return lines;
}

// ---- Routes past the tunnel ----

class PushedRoutes
    : public ::testing::TestWithParam<std::pair<const char*, std::vector<std::string>>> {};

/// All of the internet by `count` routes of `bits` bits each, through the network's own gateway.
std::vector<std::string> in_pieces(unsigned count, unsigned bits)
{
    std::vector<std::string> routes;
    for (unsigned i = 0; i < count; ++i) {
        routes.push_back("route " + std::to_string(i * 256 / count) + ".0.0.0 " +
                         std::to_string(256 - (1U << (8 - bits))) + ".0.0.0 net_gateway");
    }
    return routes;
}

TEST_P(PushedRoutes, TakeNothingPastTheTunnel)
{
    Target::Options options;
    options.server.extra = push_all(GetParam().second);
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            if (target.guard() != Guard::None) {
                // Each is told of once. Of IPv6 a closed machine shows OpenVPN no gateway, and such
                // a route is one into the tunnel.
                EXPECT_EQ(std::ranges::count_if(
                              GetParam().second,
                              [](const auto& route) { return route.starts_with("route "); }),
                          std::ssize(told(target.vpn().log())))
                    << target.vpn().log();
            }
            return pour(target);
        },
        options);
}

// Every route of the tunnel's own then leads to the network's gateway. In other topologies the
// server's own word for it comes last.
TEST(PushedGateway, OfTheNetworkTakesNothingPastTheTunnel)
{
    Target::Options options;
    options.server.topology = "net30";
    options.server.inside6 = false;
    options.server.extra = {push("route-gateway 192.168.50.1")};
    expect_outcomes_at_once({.firewall = Holds, .routing = Holds, .belt = Holds}, pour, options);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, PushedRoutes,
    ::testing::Values(
        // With an address of the gateway's in the place of the word for IPv6.
        std::pair("ToOneHost", std::vector<std::string>{"route 198.51.100.20 255.255.255.255 "
                                                        "net_gateway",
                                                        "route-ipv6 2001:db8:99::20/128 "
                                                        "2001:db8:50::1"}),
        std::pair("InQuarters", in_pieces(4, 2)), std::pair("InEighths", in_pieces(8, 3))),
    [](const auto& test) { return test.param.first; });

// ---- Routes that take the tunnel's own ground away ----

struct Ground {
    const char* title;
    std::vector<std::string> pushes;
    bool ordinary; ///< whether an ordinary client's tunnel lives on
    bool redirect = true;
    std::vector<std::string> told = {}; ///< lines of the hook, without their beginning
};

std::vector<std::string> every_first_byte()
{
    std::vector<std::string> routes;
    for (int i = 1; i < 224; ++i) {
        if (i != 127) {
            routes.push_back("route " + std::to_string(i) + ".0.0.0 255.0.0.0");
        }
    }
    return routes;
}

const Ground grounds[] = {
    {"TheServer", {"route 203.0.113.2", "route 203.0.113.0 255.255.255.0"}, false},
    {"TheServersNetwork", {"route 203.0.113.0 255.255.255.0"}, false, false},
    {"NoRouteToTheServer", {"redirect-gateway local"}, false},
    {"TheGateway", {"route 192.168.50.1"}, true},
    {"TheLocalNetwork", {"route 192.168.50.0 255.255.255.0"}, true},
    {"TheLocalNetworkInHalves", {"redirect-gateway block-local"}, true},
    {"AllPrivateNetworks",
     {"route 10.0.0.0 255.0.0.0", "route 172.16.0.0 255.240.0.0", "route 192.168.0.0 255.255.0.0",
      "route-ipv6 fd00::/8"},
     true},
    {"AllNetworks",
     every_first_byte(),
     false,
     false,
     {"route 168, '169.0.0.0' netmask '255.0.0.0', is ignored: not a network inside a tunnel"}},
    {"UnusableDestinations",
     {"route 127.0.0.0 255.0.0.0", "route 169.254.0.0 255.255.0.0", "route 0.0.0.0 255.0.0.0",
      "route 255.0.0.0 255.0.0.0", "route-ipv6 fe80::/10", "route-ipv6 ff00::/8",
      "route-ipv6 ::1/128"},
     true,
     true,
     {"route 1, '127.0.0.0' netmask '255.0.0.0', is ignored: not a network inside a tunnel",
      "route 2, '169.254.0.0' netmask '255.255.0.0', is ignored: not a network inside a tunnel",
      "route 3, '0.0.0.0' netmask '255.0.0.0', is ignored: not a network inside a tunnel",
      "route 4, '255.0.0.0' netmask '255.0.0.0', is ignored: not a network inside a tunnel",
      "IPv6 route 1, 'fe80::/10', is ignored: not a network inside a tunnel",
      "IPv6 route 2, 'ff00::/8', is ignored: not a network inside a tunnel",
      "IPv6 route 3, '::1/128', is ignored: not a network inside a tunnel"}},
};

class PushedGround : public ::testing::TestWithParam<Ground> {};

// What a company may well push, and what only an attacker does: the transport needs the server, the
// gateway and the underlay's device, even if a push claims them.
TEST_P(PushedGround, KeepsTheTunnelUp)
{
    const Ground& ground = GetParam();
    Target::Options options;
    options.server.extra = push_all(ground.pushes);
    options.client.redirect_gateway = ground.redirect;
    options.client.extra = {"hand-window 4"}; // as flood.hpp's impatient()
    {
        Target ordinary(Guard::None, options);
        EXPECT_EQ(ordinary.tunnel_works(), ground.ordinary);
    }
    Target target(Guard::All, options);
    for (std::size_t connection = 1; connection <= 2; ++connection) {
        ASSERT_TRUE(target.vpn().wait_connected(connection, 40s)) << target.vpn().log();
        EXPECT_TRUE(target.tunnel_works()) << target.vpn().log();
        EXPECT_TRUE(target.tunnel_works(addr::inside6));
        EXPECT_EQ(failclosed(target.client(), {"check"}).status, 0);
        if (connection == 1) {
            std::vector<std::string> lines;
            for (const auto& line : ground.told) {
                lines.push_back("failclosed: " + line);
            }
            EXPECT_THAT(told(target.vpn().log()), ElementsAreArray(lines));
            target.vpn().hup();
        }
    }
    EXPECT_EQ(pour(target), 0U) << target.sniffer().counts().text();
    target.vpn().term();
    ASSERT_TRUE(target.vpn().process().wait());
    EXPECT_EQ(pour(target), 0U) << target.sniffer().counts().text();
}

INSTANTIATE_TEST_SUITE_P(Pushes, PushedGround, ::testing::ValuesIn(grounds),
                         [](const auto& test) { return std::string(test.param.title); });

// The client's own address on the wire, its gateway's and the server's, as the tunnel's. With the
// latter two nothing could work, and the tunnel need not come up.
TEST(PushedAddress, OfAnotherHostLeaksNothing)
{
    for (const std::string address : {addr::client4, addr::gateway4, addr::server4}) {
        SCOPED_TRACE(address);
        const Lab lab(with_product());
        VpnServer server(lab);
        lab.internet().write_file("/run/clients/DEFAULT",
                                  "ifconfig-push " + address + " 255.255.255.0\n");
        server.restart({"client-config-dir /run/clients"});
        const Sniffer sniffer(lab);
        lab.client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
        const VpnClient vpn(lab);
        ASSERT_TRUE(vpn.process().wait_until([](const std::string& log) {
            return log.find("Initialization Sequence Completed") != std::string::npos ||
                   log.find("Exiting due to fatal error") != std::string::npos;
        })) << vpn.log();
        EXPECT_THAT(vpn.log(), HasSubstr("ifconfig " + address + " 255.255.255.0"));
        const Traffic traffic(lab, {.kinds = ordinary_kinds()});
        EXPECT_TRUE(traffic.wait_all_sent(10));
        vpn.term();
        ASSERT_TRUE(vpn.process().wait());
        EXPECT_TRUE(traffic.wait_all_sent(10));
        sniffer.settle();
        EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
        EXPECT_EQ(failclosed(lab.client(), {"reapply"}).status, 0);
        EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
    }
}

/// OpenVPN's own transport needs these addresses, and the device keeps it while OpenVPN lives: with
/// `persist-tun` a server that pushes it would keep every later one away.
class TakenAddress : public ::testing::TestWithParam<const char*> {};

TEST_P(TakenAddress, DoesNotKeepAnHonestServerAway)
{
    const Lab lab(with_product());
    VpnServer server(lab);
    lab.internet().write_file("/run/clients/DEFAULT",
                              std::string("ifconfig-push ") + GetParam() + " 255.255.255.0\n");
    server.restart({"client-config-dir /run/clients", push("ping 1"), push("ping-restart 3")});
    const Sniffer sniffer(lab);
    lab.client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    VpnClient::Options options;
    options.extra = {"persist-tun", "persist-key", "hand-window 4", "connect-retry 1 1"};
    {
        VpnClient vpn(lab, options);
        ASSERT_TRUE(vpn.process().wait()) << vpn.log();
        EXPECT_THAT(vpn.log(), HasSubstr("Exiting due to fatal error"));
        EXPECT_THAT(vpn.log(), HasSubstr("is not used as a tunnel: "));
        const auto checked = failclosed(lab.client(), {"check"});
        EXPECT_EQ(checked.status, 0) << checked.out << checked.err;
        EXPECT_TRUE(answers(lab.client(), addr::gateway4)) << "the network is there as before";
        // The same address, and a server that pushes what it should.
        server.restart({});
    }
    // What systemd does for a service that ends.
    const VpnClient vpn(lab, options);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    const Traffic traffic(lab, {.kinds = ordinary_kinds()});
    EXPECT_TRUE(traffic.wait_all_sent(10));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

INSTANTIATE_TEST_SUITE_P(Of, TakenAddress,
                         ::testing::Values(addr::client4, addr::gateway4, addr::server4),
                         [](const auto& test) {
                             const std::string address = test.param;
                             return address == addr::client4    ? "TheClient"
                                    : address == addr::gateway4 ? "TheGateway"
                                                                : "TheServer";
                         });

// A network that gives the machine the tunnel's address: the tunnel gives way, so that packets of
// its own transport are not dropped as the tunnel's, and nothing leaves.
TEST(TunnelsAddress, TakenByTheNetworkEndsTheTunnelAndLetsNothingOut)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    const Sniffer sniffer(lab);
    lab.client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    const VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_TRUE(answers(lab.client(), addr::site4));
    lab.client().ip("address add 10.8.0.2/24 dev eth0\n");
    const Outcome outcome = failclosed(lab.client(), {"reapply"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("tun0 is not used as a tunnel: another device"));
    EXPECT_THAT(
        lab.client().must({"nft", "list", "set", "inet", "failclosed", "tunnel_destination4"}),
        Not(HasSubstr("elements")));
    const Traffic traffic(lab, {.kinds = ordinary_kinds()});
    EXPECT_TRUE(traffic.wait_all_sent(10));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
}

// ---- Options ----

/// Each of them fires in a script that does not take text for text.
const std::vector<std::string> hostile_options = {
    "dhcp-option DOMAIN $(touch$IFS/run/canary)",
    "dhcp-option DOMAIN `touch$IFS/run/canary`",
    "dhcp-option DOMAIN x;touch$IFS/run/canary",
    "dhcp-option DOMAIN a\\\\\\\\nnameserver\\\\\\\\t6.6.6.6",
    "dhcp-option DOMAIN ~.",
    "dhcp-option DOMAIN " + std::string(200, 'a'),
    "dhcp-option DNS 6.6.6.6;touch$IFS/run/canary",
    "dhcp-option DNS 127.0.0.1",
    "dhcp-option DNS 169.254.1.1",
    "dhcp-option DNS 224.0.0.251",
    "dhcp-option DNS 0.0.0.0",
    "dhcp-option DNS 255.255.255.255",
    "dhcp-option DNS6 fe80::1",
    "dhcp-option DNS6 ::1",
};

/// As many a script of the trade does it: a shell reads what the server said as its own language.
constexpr char careless_hook[] = "#!/bin/sh\n"
                                 "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
                                 "for option in $(seq 1 100); do\n"
                                 "    eval \"text=\\$foreign_option_$option\"\n"
                                 "    eval \"set -- $text\"\n"
                                 "    case $2 in\n"
                                 "    DOMAIN) printf \"search ${text##* }\\n\" ;;\n"
                                 "    DNS) echo \"nameserver $3\" ;;\n"
                                 "    esac\n"
                                 "done >/etc/resolv.conf 2>/dev/null\n"
                                 "exit 0\n";

TEST(PushedOptions, AreNotExecuted)
{
    Target::Options options;
    options.server.extra = push_all(hostile_options);
    {
        Target::Options careless = options;
        careless.prepare = [](Lab& lab) {
            lab.client().write_file("/etc/openvpn/careless", careless_hook, 0755);
        };
        careless.client.extra = {"script-security 2", "up /etc/openvpn/careless"};
        Target target(Guard::None, careless);
        EXPECT_TRUE(target.client().exists(canary)) << target.vpn().log();
        EXPECT_THAT(target.client().read_file("/etc/resolv.conf"), HasSubstr("\nnameserver\t6.6"));
    }
    Target target(Guard::All, options);
    EXPECT_FALSE(target.client().exists(canary));
    EXPECT_EQ(target.client().read_file("/etc/resolv.conf"),
              "# failclosed\n# Made while a tunnel is up; changes are lost. See failclosed(8).\n"
              "nameserver 10.8.0.1\nnameserver fd00:8::1\n");
    const auto lines = told(target.vpn().log());
    EXPECT_EQ(lines.size(), hostile_options.size()) << target.vpn().log();
    for (const auto& line : lines) {
        EXPECT_THAT(line, HasSubstr(" is ignored: "));
        EXPECT_EQ(std::ranges::count(lines, line), 1) << line;
        EXPECT_LT(line.size(), 200U);
    }
    EXPECT_TRUE(target.tunnel_works());
    EXPECT_EQ(pour(target), 0U) << target.sniffer().counts().text();
}

// OpenVPN 2.6 has a second way to say it.
TEST(PushedOptions, AreReadInTheirNewerFormToo)
{
    Target::Options options;
    options.server.resolver = false;
    options.server.extra =
        push_all({"dns server 1 address 127.0.0.1", "dns server 2 address 10.8.0.1",
                  "dns server 3 address 10.8.0.3:5353", "dns server 4 address 224.0.0.251",
                  "dns search-domains corp.example x;touch$IFS/run/canary"});
    Target target(Guard::All, options);
    EXPECT_FALSE(target.client().exists(canary));
    EXPECT_EQ(target.client().read_file("/etc/resolv.conf"),
              "# failclosed\n# Made while a tunnel is up; changes are lost. See failclosed(8).\n"
              "nameserver 10.8.0.1\nsearch corp.example\n")
        << target.vpn().log();
    const auto lines = told(target.vpn().log());
    for (const auto& line : lines) {
        EXPECT_EQ(std::ranges::count(lines, line), 1) << line;
    }
    EXPECT_TRUE(target.tunnel_works());
}

// ---- Resolvers ----

std::vector<Kind> questions_to(const std::string& resolver)
{
    return {{"udp@root", Way::Dns, Via::Route, resolver, 53, 0},
            {"udp@user", Way::Dns, Via::Route, resolver, 53, traffic_uid},
            {"tcp@user", Way::TcpSyn, Via::Route, resolver, 53, traffic_uid}};
}

// The network's own resolver, and a public one: asked inside of the tunnel, where they may or may
// not be.
TEST(PushedResolver, OutsideTheTunnelIsQueriedInside)
{
    for (const std::string resolver : {addr::gateway4, addr::resolver4}) {
        Target::Options options;
        options.server.resolver = false;
        options.server.extra = {push("dhcp-option DNS " + resolver)};
        // Without a tunnel's default the way to a public one is the network's.
        options.client.redirect_gateway = false;
        expect_outcomes_at_once(
            {.firewall = Holds, .routing = Holds, .belt = Holds},
            [&](Target& target) {
                if (target.guard() != Guard::None) {
                    EXPECT_THAT(target.client().read_file("/etc/resolv.conf"),
                                HasSubstr("nameserver " + resolver + "\n"));
                }
                const Traffic traffic(target.lab(), {.kinds = questions_to(resolver)});
                EXPECT_TRUE(traffic.wait_all_sent(10));
                const std::uint64_t leaked = target.leaked();
                return leaked + target.lab().dns().queries().size();
            },
            options);
    }
}

// OpenVPN is root's: what root asks there is in nothing different from what OpenVPN sends.
TEST(PushedResolver, AtTheServersPortIsNotQueried)
{
    Target::Options options;
    options.server.port = 53;
    options.server.resolver = false;
    options.server.extra = {push("dhcp-option DNS 203.0.113.2"), push("dhcp-option DNS 10.8.0.1")};
    options.client.remotes = {"203.0.113.2 53"};
    options.lock = {"--server", "203.0.113.2:53/udp"};
    options.policy.servers = {{addr::server4, "udp", 53}};
    Target target(Guard::All, options);
    EXPECT_EQ(target.client().read_file("/etc/resolv.conf"),
              "# failclosed\n# Made while a tunnel is up; changes are lost. See failclosed(8).\n"
              "nameserver 10.8.0.1\n");
    EXPECT_THAT(told(target.vpn().log()),
                ElementsAreArray({"failclosed: resolver '203.0.113.2' is not used: the VPN server "
                                  "itself is at this address and port 53"}));
    // What would leave if it were: root's questions to just that port.
    const Traffic traffic(target.lab(), {.kinds = questions_to(addr::server4)});
    EXPECT_TRUE(traffic.wait_all_sent(10));
    target.sniffer().settle();
    for (const auto& [kind, count] : target.sniffer().counts().leaked_kinds) {
        EXPECT_EQ(kind, "udp@root") << count;
    }
    EXPECT_GT(target.leaked(), 0U);
    EXPECT_TRUE(target.tunnel_works());
}

// ---- The hook, called by another program ----

/// A machine with one tun device of this name, and nothing of ours yet.
class Hook : public ::testing::Test {
  protected:
    Hook() : lab_(with_product()) {}

    const Box& client() const { return lab_.client(); }

    void make_device(const std::string& name) const
    {
        client().must({"ip", "tuntap", "add", "dev", name, "mode", "tun"});
        client().must({"ip", "address", "add", "10.8.0.2/24", "dev", name});
        client().must({"ip", "link", "set", name, "up"});
    }

    Outcome run(const Variables& variables, std::vector<std::string> argv = {hook_path}) const
    {
        Command command(std::move(argv));
        command.env.clear();
        for (const auto& [name, value] : variables) {
            command.env.push_back(name + "=" + value);
        }
        return client().run(command);
    }

    void expect_closed() const
    {
        EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
        EXPECT_FALSE(client().exists(canary));
        const Sniffer sniffer(lab_);
        const Traffic traffic(lab_, {.kinds = ordinary_kinds()});
        EXPECT_TRUE(traffic.wait_all_sent(5));
        sniffer.settle();
        EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    }

    Lab lab_;
};

TEST_F(Hook, ReadsNoVariableFromALineOfAValue)
{
    make_device("tun0");
    Variables variables = openvpn_up("tun0");
    const std::string spoof = "x\nremote_2=6.6.6.6\nremote_port_2=1194\nproto_2=udp\n"
                              "foreign_option_9=dhcp-option DNS 6.6.6.6";
    for (const char* name : {"X", "tls_id_0", "X509_0_CN", "common_name", "remote_9",
                             "foreign_option_2", "route_network_1", "password"}) {
        variables[name] = spoof;
    }
    // As scripts that search what env(1) prints have it.
    const Outcome careless =
        run(variables, {"/bin/sh", "-c", "PATH=/usr/bin:/bin; env | grep -c '^remote_2=6.6.6.6$'"});
    EXPECT_EQ(careless.out, "8\n");
    const Outcome outcome = run(variables);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 2) << outcome.err;
    EXPECT_EQ(endpoints(client()), std::set<std::string>{"203.0.113.2:1194/udp"});
    EXPECT_THAT(client().read_file("/etc/resolv.conf"), Not(HasSubstr("6.6.6.6")));
    EXPECT_THAT(client().must({"nft", "list", "ruleset"}), Not(HasSubstr("6.6.6.6")));
    expect_closed();
}

TEST_F(Hook, TreatsEveryDeviceNameAsData)
{
    const std::string shell = "a;touch${IFS}b";
    const std::vector<std::string> names = {
        shell,   "tun0;x", "a\"b", "a'b",    "$(id)",    "tun*",  "100%d",          "@tun0",
        "#tun0", "-n",     "a\\b", "{drop}", "\xc3\xa4", "input", "0123456789abcde"};
    // A script that leaves its quotes out.
    client().must({"ip", "tuntap", "add", "dev", shell, "mode", "tun"});
    run({{"dev", shell}}, {"/bin/sh", "-c", "PATH=/usr/bin:/bin; eval \"ip link show $dev\""});
    EXPECT_TRUE(client().exists("/b"));
    client().must({"rm", "-f", "/b"});
    client().must({"ip", "tuntap", "del", "dev", shell, "mode", "tun"});
    for (const std::string& name : names) {
        SCOPED_TRACE(name);
        // ip(8) makes a number of "%d" itself, and has no name that begins with a hyphen.
        if (!client().run({"ip", "tuntap", "add", "dev", name, "mode", "tun"}).ok() ||
            !client().exists("/sys/class/net/" + name)) {
            std::printf("no device can be called %s\n", name.c_str());
            continue;
        }
        client().must({"ip", "address", "add", "10.8.0.2/24", "dev", name});
        client().must({"ip", "link", "set", "dev", name, "up"});
        const Outcome outcome = run(openvpn_up(name));
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        EXPECT_EQ(outcome.err, "");
        EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
        EXPECT_THAT(client().must({"ip", "route", "get", addr::site4}), HasSubstr("dev " + name));
        EXPECT_THAT(client().must({"failclosed", "status", "--json"}),
                    HasSubstr("\"10.8.0.2/24\""));
        EXPECT_FALSE(client().exists("/b"));
        client().must({"ip", "tuntap", "del", "dev", name, "mode", "tun"});
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
        expect_closed();
    }
}

TEST_F(Hook, IsIndependentOfTheCallersEnvironment)
{
    make_device("tun0");
    client().must({"mkdir", "-p", "/run/gone"});
    Variables variables = openvpn_up("tun0");
    variables["LC_ALL"] = variables["LANG"] = "tr_TR.UTF-8";
    variables["LD_LIBRARY_PATH"] = variables["LD_BIND_NOW"] = "/run/evil";
    variables["MALLOC_CHECK_"] = "3";
    variables["G_MESSAGES_DEBUG"] = "all";
    const std::string how = "umask 0; cd /run/gone && /bin/rmdir /run/gone; ulimit -n 32; "
                            "trap '' PIPE HUP TERM; exec " +
                            std::string(hook_path) + " <&- >&- 2>&-";
    EXPECT_EQ(run(variables, {"/bin/sh", "-c", how}).status, 0);
    for (const char* path : {"/run/failclosed/state", "/var/lib/failclosed/servers"}) {
        EXPECT_EQ(client().must({"stat", "-c", "%a %u:%g", path}), "600 0:0\n") << path;
    }
    for (const char* path : {"/etc/resolv.conf", "/etc/hosts"}) {
        EXPECT_EQ(client().must({"stat", "-c", "%a %u:%g", path}), "644 0:0\n") << path;
    }
    EXPECT_THAT(client().read_file("/etc/resolv.conf"), HasSubstr("nameserver 10.8.0.1\n"));
    expect_closed();
}

/// Seconds in user and system mode, from what a shell's `times` has printed: "0m0.01s 0m0.00s", and
/// the same for its children in the second line.
double time_of_children(const std::string& times)
{
    double minutes[2] = {};
    double seconds[2] = {};
    const std::size_t line = times.find('\n') + 1;
    if (std::sscanf(times.c_str() + line, "%lfm%lfs %lfm%lfs", &minutes[0], &seconds[0],
                    &minutes[1], &seconds[1]) != 4) {
        throw LabError("no times: " + times);
    }
    return 60 * (minutes[0] + minutes[1]) + seconds[0] + seconds[1];
}

/// `count` routes, and as many that lead past the tunnel.
Variables with_routes(Variables variables, int count)
{
    for (int i = 1; i <= count; ++i) {
        const std::string n = std::to_string(i);
        const std::string network = std::to_string(64 + i / 250) + "." + std::to_string(i % 250);
        variables["route_network_" + n] = "100." + network + ".0";
        variables["route_netmask_" + n] = "255.255.255.0";
        variables["route_gateway_" + n] = "10.8.0.1";
        variables["route_network_" + std::to_string(count + i)] = "198." + network + ".0";
        variables["route_gateway_" + std::to_string(count + i)] = addr::gateway4;
    }
    return variables;
}

TEST_F(Hook, TakesTimeInProportionToTheNumberOfRoutes)
{
    make_device("tun0");
    // What it takes of the processor, its own and the kernel's for it.
    const auto time_with = [&](int count) {
        const Outcome outcome =
            run(with_routes(openvpn_up("tun0"), count),
                {"/bin/sh", "-c", std::string(hook_path) + "; code=$?; times; exit $code"});
        const double took = time_of_children(outcome.out);
        std::printf("%d routes, and as many that are refused: %.2f s\n", count, took);
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        EXPECT_LE(std::ranges::count(outcome.err, '\n'), 17) << outcome.err;
        return took;
    };
    const double some = time_with(500);
    // Four times as many take sixteen times as long if each is compared with every other one.
    EXPECT_LT(time_with(2000), 8 * some + 0.1);
    EXPECT_THAT(client().must({"ip", "route", "get", "100.71.249.9"}), HasSubstr("dev tun0"));
    expect_closed();
}

} // namespace

} // namespace failclosed::lab
