// SPDX-License-Identifier: GPL-3.0-or-later
// The network as attacker: what it says about routes and names, and what follows from that.
#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::HasSubstr;

constexpr std::uint16_t some_port = 4000;
constexpr std::uint16_t echo_port = 7;

// ---- What the client sends during a change ----

Kinds new_flows_to(const std::string& to)
{
    return {{"udp " + to, Way::Udp, Via::Route, to, some_port, traffic_uid},
            {"tcp " + to, Way::TcpSyn, Via::Route, to, 443, traffic_uid},
            {"ping " + to, Way::RawPing, Via::Route, to, 0, 0}};
}

/// With two that were there before.
Kinds flows_to(const std::string& to)
{
    return new_flows_to(to) +
           Kinds{{"live udp " + to, Way::UdpConnected, Via::Route, to, echo_port, 0},
                 {"live tcp " + to, Way::TcpConnected, Via::Route, to, echo_port, 0}};
}

/// Names and encrypted names asked at one address.
Kinds questions_to(const std::string& to)
{
    return {{"dns " + to, Way::Dns, Via::Route, to, 53, traffic_uid},
            {"dns-tcp " + to, Way::TcpSyn, Via::Route, to, 53, traffic_uid},
            {"dot " + to, Way::TcpSyn, Via::Route, to, 853, traffic_uid},
            {"http " + to, Way::Udp, Via::Route, to, 80, 0}};
}

/// Counts what leaks until each kind has sent some times more.
std::uint64_t pour(Target& target, Traffic& traffic)
{
    EXPECT_TRUE(traffic.wait_all_sent(10));
    target.wait_for_leak();
    traffic.stop();
    return target.leaked();
}

/// The same, and without protection each of them has to be seen: else it would prove nothing.
std::uint64_t pour_each(Target& target, Traffic& traffic)
{
    for (const auto& [name, sent] : traffic.sent()) {
        EXPECT_TRUE(target.guard() != Guard::None ||
                    target.sniffer().wait_until(
                        [&](const Counts& seen) { return seen.leaked_kinds.contains(name); }))
            << name << ": " << target.sniffer().counts().text();
    }
    return pour(target, traffic);
}

/// The belt alone lets any neighbour be asked for, and what the network says is on the link counts
/// as one: the wire hears the question, but nothing of the packet.
void expect_questions_alone(Target& target)
{
    if (target.guard() == Guard::Belt) {
        for (const auto& [name, count] : target.sniffer().counts().leaked_kinds) {
            EXPECT_EQ(name, "") << count;
        }
    }
}

/// With all locks the owner is told of it as well.
void expect_told(const Target& target, const std::string& what)
{
    if (target.guard() == Guard::All) {
        EXPECT_THAT(failclosed(target.client(), {"status"}).out, HasSubstr(what));
    }
}

bool has_route(const Box& client, const std::string& family, const std::string& text)
{
    return eventually([&] {
        return client.must({"ip", family, "route", "show", "table", "main"}).find(text) !=
               std::string::npos;
    });
}

/// None is renewed while a test lasts: the hook would put the other locks back in the middle of it.
Dhcp lasting(Dhcp dhcp)
{
    dhcp.lease = 3600;
    dhcp.t1 = 1800;
    dhcp.t2 = 3000;
    return dhcp;
}

Target::Options leased(const Dhcp& dhcp = {})
{
    Target::Options options;
    options.lab.static_addresses = false;
    options.lab.dns_extra = dhcp_arguments(lasting(dhcp));
    options.dhcpcd = Dhcpcd::Options{.ipv6 = false};
    // What is inside the tunnel has leaked wherever else it is seen.
    options.policy.never_lan = {"10.8.0.0/24"};
    return options;
}

/// Ends dhcpcd, once it has told of what the test is about, and leaves what it has set: no hook of
/// its puts the other locks back from here on.
void end_dhcpcd(Target& target)
{
    target.dhcpcd().kill();
    if (!eventually(
            [&] { return !target.client().run({"pgrep", "-f", "dhcpcd-run-hooks"}).ok(); })) {
        throw LabError("the hooks do not end");
    }
    target.keep_guard();
}

/// Offers another lease and waits until the client has it, its hooks included.
void lease_anew(Target& target, const Dhcp& dhcp)
{
    target.lab().dns().restart(dhcp_arguments(lasting(dhcp)));
    target.dhcpcd().recorder().forget();
    target.dhcpcd().rebind();
    if (!target.dhcpcd().wait_lease("eth0", connection_patience)) {
        throw LabError("no new lease:\n" + target.dhcpcd().log());
    }
    end_dhcpcd(target);
}

// ---- Routes in a lease ----

/// RFC 3442: a site, the VPN's server and resolver, a range of the client's own link, one of the
/// internet, and all of it in pieces that are smaller than OpenVPN's halves.
constexpr char injected[] =
    "--dhcp-option=121,0.0.0.0/0,192.168.50.1,198.51.100.20/32,192.168.50.1,"
    "203.0.113.2/32,192.168.50.2,10.8.0.1/32,192.168.50.1,192.168.50.0/25,192.168.50.2,"
    "198.51.100.0/24,192.168.50.1,0.0.0.0/1,192.168.50.1,128.0.0.0/1,192.168.50.1,"
    "0.0.0.0/2,192.168.50.1,64.0.0.0/2,192.168.50.1,128.0.0.0/2,192.168.50.1,"
    "192.0.0.0/2,192.168.50.1";

Kinds kinds_of_injected()
{
    return flows_to(addr::site4) + questions_to(addr::inside4) + questions_to(addr::resolver4) +
           Kinds{{"server port", Way::Udp, Via::Route, addr::server4, 1194, traffic_uid},
                 {"server other port", Way::Udp, Via::Route, addr::server4, some_port, 0},
                 {"quarter", Way::Udp, Via::Route, addr::other_server4, some_port, 0}};
}

// CVE-2024-3661.
TEST(TunnelVision, RoutesOfALeaseTakeNothingOutOfTheTunnel)
{
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            const auto kinds = kinds_of_injected();
            Traffic traffic(target.lab(), {.kinds = kinds});
            lease_anew(target, {.extra = {injected}});
            EXPECT_TRUE(has_route(target.client(), "-4", "198.51.100.20 via 192.168.50.1"));
            const std::uint64_t leaked = pour_each(target, traffic);
            if (target.guard() == Guard::All || target.guard() == Guard::Routing) {
                EXPECT_TRUE(target.tunnel_works(addr::site4));
            }
            expect_told(target, "198.51.100.20/32 (public) past the tunnel: via 192.168.50.1");
            expect_told(target, "10.8.0.1/32 (with a tunnel's resolver) past the tunnel");
            return leaked;
        },
        leased());
}

TEST(TunnelVision, RoutesOfALeaseTakeNothingOutUnderNetworkManager)
{
    Target::Options options = leased();
    options.dhcpcd.reset();
    options.begin = false;
    expect_outcomes(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            SystemBus bus(target.client());
            NetworkManager manager(bus);
            manager.connect_ethernet({.method6 = "disabled"});
            target.begin();
            const auto kinds = flows_to(addr::site4) + questions_to(addr::inside4);
            Traffic traffic(target.lab(), {.kinds = kinds});
            target.lab().dns().restart(dhcp_arguments({.extra = {injected}}));
            manager.nmcli({"connection", "up", "eth0"});
            EXPECT_TRUE(has_route(target.client(), "-4", "198.51.100.20 via 192.168.50.1"));
            // Entries that hooks have restored by then.
            EXPECT_TRUE(manager.wait_for_event_done("up", "eth0", 2, connection_patience))
                << manager.recorder().text();
            target.keep_guard();
            const std::uint64_t leaked = pour_each(target, traffic);
            return leaked;
        },
        options);
}

/// How many bytes go to the VPN server while a known amount is asked for inside the tunnel.
std::size_t bytes_to_server(Target& target)
{
    constexpr std::size_t payload = 600; // keepalives are shorter
    // Where each is answered, each has been sent before this ends.
    const std::string wait = target.has_to_leak() ? "1" : "8";
    Wiretap wire(target.isp(), "lan0");
    target.client().run({"ping", "-n", "-q", "-c", "20", "-i", "0.01", "-W", wait, "-s",
                         std::to_string(payload), addr::site4});
    target.sniffer().settle();
    std::size_t bytes = 0;
    for (const auto& seen : wire.seen()) {
        const bool transport = !seen.outgoing && seen.holds(address_bytes(addr::server4));
        bytes += transport && seen.frame.size() > payload ? seen.frame.size() : 0;
    }
    return bytes;
}

// Blocked packets reveal to the network which site is used: the tunnel's volume drops, without
// protection and with locks that only drop.
TEST(TunnelVision, DoesNotReduceTheTunnelsVolume)
{
    expect_outcomes_at_once(
        {.firewall = Leaks, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            const std::size_t before = bytes_to_server(target);
            EXPECT_GT(before, 20U * 600U);
            lease_anew(target, {.extra = {injected}});
            const std::size_t after = bytes_to_server(target);
            return before > after ? before - after : after - before;
        },
        leased());
}

// ---- Networks that claim to be local ----

/// The ISP hides its clients' addresses, as these networks have no way back.
void hide_clients(const Lab& lab)
{
    lab.isp().nft("table ip hide { chain out { type nat hook postrouting priority 100;\n"
                  "oifname \"wan0\" masquerade\n}\n}\n");
    // And answers for all addresses, so that not only queries are sent.
    lab.isp().sysctl("net.ipv4.conf.lan0.proxy_arp", "1");
}

// CVE-2023-36672, CVE-2023-35838.
TEST(TunnelCrack, APublicNetworkIsNotLocal)
{
    Target::Options options = leased({.network = "198.51.100", .gateway = "198.51.100.2"});
    options.prepare = [](Lab& lab) {
        lab.isp().ip("addr add 198.51.100.2/24 dev lan0\n"
                     "route add 198.51.100.96/27 dev lan0\nroute add 198.51.100.128/25 dev lan0\n");
        hide_clients(lab);
    };
    // The client and its gateway, and no other host of that network.
    for (const char* own : {"198.51.100.0/30", "198.51.100.96/27", "198.51.100.128/25"}) {
        options.policy.link.emplace_back(own);
    }
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            const auto kinds = new_flows_to(addr::site4) + questions_to(addr::resolver4);
            Traffic traffic(target.lab(), {.kinds = kinds});
            const std::uint64_t leaked = pour(target, traffic);
            expect_questions_alone(target);
            expect_told(target, "the network of eth0, 198.51.100.0/24, has public addresses");
            return leaked;
        },
        options);
}

// The network's prefix is one inside of the tunnel: its resolver seems to be a neighbour.
TEST(TunnelCrack, TheTunnelsNetworkIsNotLocal)
{
    Target::Options options = leased();
    options.lab.dns_extra = {"--dhcp-range=10.8.0.100,10.8.0.120,255.255.255.128,120",
                             "--dhcp-option=option:router,10.8.0.3",
                             "--dhcp-option=option:dns-server,10.8.0.1", "--dhcp-authoritative"};
    options.prepare = [](Lab& lab) {
        lab.isp().ip("addr add 10.8.0.3/25 dev lan0\naddr add 10.8.0.1/25 dev lan0\n");
        hide_clients(lab);
    };
    // OpenVPN's own route to its server would lead through a gateway that seems to be inside.
    options.client.redirect_gateway = false;
    options.policy.link.insert(options.policy.link.end(), {"10.8.0.3/32", "10.8.0.96/27"});
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            const auto kinds = new_flows_to(addr::inside4) + questions_to(addr::inside4);
            Traffic traffic(target.lab(), {.kinds = kinds});
            const std::uint64_t leaked = pour(target, traffic);
            expect_questions_alone(target);
            expect_told(target, "the network of eth0, 10.8.0.0/25, overlaps");
            return leaked;
        },
        options);
}

// CVE-2023-36673, CVE-2023-36671: the network's resolver says that the VPN's name is the site's
// address, and the network hands the tunnel on to the true server.
TEST(TunnelCrack, AServersNameWithTheSitesAddressAdmitsNoOtherUser)
{
    Target::Options options;
    options.lab.names["vpn4.example.net"] = {addr::site4};
    options.lab.names["vpn.example.net"] = {addr::site4};
    options.prepare = [](Lab& lab) {
        lab.isp().nft("table ip relay { chain in { type nat hook prerouting priority -100;\n"
                      "ip daddr 198.51.100.20 udp dport 1194 dnat to 203.0.113.2\n}\n}\n");
    };
    options.client.remotes = {"vpn4.example.net 1194"};
    options.lock = {"--server", "vpn4.example.net:1194/udp"};
    options.policy.servers = {{addr::site4, "udp", 1194}};
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            // As the tunnel program's own user only what is not the server's port.
            const auto kinds =
                new_flows_to(addr::site4) +
                Kinds{{"its port", Way::Udp, Via::Route, addr::site4, 1194, traffic_uid},
                      {"its port by tcp", Way::TcpSyn, Via::Route, addr::site4, 1194, 0},
                      {"other port", Way::Udp, Via::Route, addr::site4, some_port, 0}};
            Traffic traffic(target.lab(), {.kinds = kinds});
            const std::uint64_t leaked = pour_each(target, traffic);
            if (target.guard() == Guard::All || target.guard() == Guard::Routing) {
                // OpenVPN itself takes no packet for its server's address.
                EXPECT_TRUE(target.tunnel_works(addr::resolver4));
            }
            return leaked;
        },
        options);
}

// ---- Names ----

/// Looks a name up as programs do, and counts it where the ISP's resolver has heard it.
std::uint64_t look_up(Target& target, const std::string& name)
{
    target.client().run(
        Command{"getent", "ahostsv4", name}.with_env({"RES_OPTIONS=timeout:1 attempts:1"}));
    target.sniffer().settle();
    return target.lab().dns().names_asked().count(name);
}

// Perta et al., PETS 2015: the network claims to hold the address of the tunnel's resolver.
TEST(NameHijack, TheTunnelsResolverIsQueriedOnlyInside)
{
    Target::Options options = leased();
    options.prepare = [](Lab& lab) { lab.isp().ip("addr add 10.8.0.1/32 dev lan0\n"); };
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            lease_anew(target, {.gateway = addr::inside4,
                                .resolver = addr::inside4,
                                .extra = {"--dhcp-option=121,0.0.0.0/0,192.168.50.1,"
                                          "10.8.0.1/32,0.0.0.0"}});
            EXPECT_TRUE(has_route(target.client(), "-4", "10.8.0.1 dev eth0"));
            const std::uint64_t asked = look_up(target, "www.example.org");
            const std::uint64_t leaked = target.leaked();
            expect_questions_alone(target);
            EXPECT_TRUE(asked == 0 || target.guard() == Guard::None);
            return asked + leaked;
        },
        options);
}

// Another server's lease: its gateway, its resolver, and the client's own address.
TEST(NameHijack, ARogueDhcpServersResolverIsNotQueried)
{
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            lease_anew(target, {.gateway = addr::other_gateway4, .resolver = addr::other_gateway4});
            EXPECT_TRUE(has_route(target.client(), "-4", "default via 192.168.50.2"));
            const std::uint64_t asked = look_up(target, "www.example.org");
            return asked + target.leaked();
        },
        leased());
}

// What a captive portal's resolver says of the VPN's name: the network's own host, or this machine.
TEST(NameHijack, AServersNameThatIsPrivateOrLoopbackOpensNothing)
{
    Target::Options options;
    options.lab.names["vpn4.example.net"] = {addr::neighbour4, "127.0.0.1"};
    options.prepare = [](Lab& lab) {
        // It hands the tunnel on, as it wants to look at all that comes beside it.
        lab.isp().nft("table ip relay { chain in { type nat hook prerouting priority -100;\n"
                      "ip daddr 192.168.50.9 udp dport 1194 dnat to 203.0.113.2\n}\n}\n");
    };
    options.client.remotes = {"vpn4.example.net 1194"};
    options.client.extra = {"server-poll-timeout 1"}; // where it tries this machine first
    options.lock = {"--server", "vpn4.example.net:1194/udp"};
    options.policy.servers = {{addr::neighbour4, "udp", 1194}};
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            target.vpn().kill();
            Traffic traffic(target.lab(),
                            {.kinds = new_flows_to(addr::site4) + new_flows_to(addr::site6) +
                                      questions_to(addr::resolver4)});
            const std::uint64_t leaked = pour_each(target, traffic);
            expect_told(target, "192.168.50.9, which is none on the internet");
            if (target.guard() == Guard::All) {
                target.vpn().start();
                EXPECT_TRUE(target.vpn().wait_connected(2, connection_patience))
                    << target.vpn().log();
            }
            return leaked;
        },
        options);
}

// ---- Default routes, rules and devices that come and go ----

TEST(DefaultRoute, WithTheBestMetricTakesNoPacket)
{
    Target::Options options;
    options.client.redirect_gateway = false;
    options.client.extra = {"redirect-gateway"}; // in the default route's place
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            const auto kinds = flows_to(addr::site4);
            Traffic traffic(target.lab(), {.kinds = kinds});
            target.client().ip("route replace default via 192.168.50.1 dev eth0 metric 0\n");
            const std::uint64_t leaked = pour_each(target, traffic);
            if (target.guard() == Guard::All) {
                EXPECT_TRUE(target.tunnel_works(addr::site4));
            }
            return leaked;
        },
        options);
}

// systemd-networkd with ManageForeignRoutingPolicyRules, a resume, another VPN's clean-up.
TEST(Rules, DeletedByAnotherProgramLeakWithRoutesOnly)
{
    Target::Options options;
    options.client.redirect_gateway = false; // nothing but the rules leads into the tunnel
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Leaks, .belt = Holds},
        [](Target& target) {
            const auto kinds = new_flows_to(addr::site4) + new_flows_to(addr::site6);
            Traffic traffic(target.lab(), {.kinds = kinds});
            for (const char* family : {"-4", "-6"}) {
                target.client().must({"ip", family, "rule", "flush"}); // all but "lookup local"
                target.client().must(
                    {"ip", family, "rule", "add", "pref", "32766", "lookup", "main"});
            }
            const std::uint64_t leaked = pour(target, traffic);
            if (target.guard() == Guard::All) {
                EXPECT_NE(failclosed(target.client(), {"check"}).status, 0);
                EXPECT_EQ(failclosed(target.client(), {"reapply"}).status, 0);
                EXPECT_TRUE(target.tunnel_works(addr::site4));
            }
            return leaked;
        },
        options);
}

/// Plugs in eth1 and makes it the best way out. Returns what leaves by it, and by eth0.
std::uint64_t plug_in_and_use(Target& target, bool announce)
{
    const Sniffer second(target.lab(), {}, "lan1");
    target.lab().second_uplink_up();
    target.client().ip("route add default via 192.168.60.1 dev eth1 metric 0\n"
                       "route add ::/0 via 2001:db8:60::1 dev eth1 metric 1\n");
    if (announce && target.guard() != Guard::None) {
        // As NetworkManager's dispatcher and dhcpcd's hook: the tunnel moves to the new way.
        EXPECT_EQ(failclosed(target.client(), {"reapply"}).status, 0);
        EXPECT_TRUE(target.vpn().wait_connected(2, connection_patience)) << target.vpn().log();
        target.keep_guard();
    }
    const auto kinds = new_flows_to(addr::site4) + new_flows_to(addr::site6);
    Traffic traffic(target.lab(), {.kinds = kinds});
    for (const char* address : {addr::site4, addr::site6}) {
        target.client().run({"ping", "-n", "-q", "-c2", "-i0.01", "-W1", "-I", "eth1", address});
    }
    EXPECT_TRUE(traffic.wait_all_sent(10));
    if (target.has_to_leak()) {
        second.wait_until([](const Counts& seen) { return seen.leaked > 0; });
    }
    traffic.stop();
    const std::uint64_t first = target.leaked();
    second.settle();
    return first + second.leaked();
}

TEST(NewUplink, LeaksNothingBeforeAHookHasRun)
{
    // The device is not announced yet, and the belt needs the device.
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Leaks},
                            [](Target& target) { return plug_in_and_use(target, false); });
}

TEST(NewUplink, LeaksNothingAfterHooksHaveRun)
{
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds},
                            [](Target& target) { return plug_in_and_use(target, true); });
}

// A look-up that fails with a device named counts as "on the link": the wire is asked.
TEST(BoundSockets, LeakWithUnreachableRoutesOnly)
{
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds, .alive = false},
                            [](Target& target) {
                                target.vpn().kill();
                                const auto kinds = bound_kinds();
                                Traffic traffic(target.lab(), {.kinds = kinds});
                                return pour(target, traffic);
                            });
}

// ---- Router advertisements ----

/// Sends it until the client has taken it.
void advertise(Target& target, const Advertisement& advertisement, const std::string& route)
{
    const Frame frame = ethernet({.from = mac_of(target.isp(), "lan0"), .to = group_mac("ff02::1")},
                                 router_advertisement(advertisement));
    EXPECT_TRUE(eventually([&] {
        send_frame(target.isp(), "lan0", frame);
        return target.client().must({"ip", "-6", "route"}).find(route) != std::string::npos;
    })) << target.client().must({"ip", "-6", "route"});
}

/// The site's own network is on this link, and the site behind this router.
const Advertisement rogue = {.on_link = "2001:db8:99::",
                             .slaac = "2001:db8:66::",
                             .route = "2001:db8:99::20/128",
                             .resolver = "2001:db8:50::1"};

TEST(RogueRouter, PrefixAndRoutesTakeNothingOutOfTheTunnel)
{
    Target::Options options;
    options.policy.link.emplace_back("2001:db8:66::/64");
    options.prepare = [](Lab& lab) {
        for (const char* setting : {"accept_ra", "accept_ra_rt_info_max_plen"}) {
            lab.client().sysctl(std::string("net.ipv6.conf.eth0.") + setting,
                                std::string(setting) == "accept_ra" ? "2" : "128");
        }
    };
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [](Target& target) {
            const auto kinds = flows_to(addr::site6);
            Traffic traffic(target.lab(), {.kinds = kinds});
            advertise(target, rogue, "2001:db8:99::20 via fe80::1");
            const std::uint64_t leaked = pour_each(target, traffic);
            expect_told(target, "a route leads 2001:db8:99::20/128 (public) past the tunnel");
            if (target.guard() == Guard::All) {
                EXPECT_TRUE(target.tunnel_works(addr::site6));
            }
            return leaked;
        },
        options);
}

TEST(RogueRouter, PrefixAndRoutesTakeNothingOutUnderDhcpcd)
{
    Target::Options options = leased();
    options.lab.dns_extra = dhcp_and_ra();
    options.dhcpcd = Dhcpcd::Options{};
    options.policy.link.emplace_back("2001:db8:66::/64");
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            Traffic traffic(target.lab(), {.kinds = flows_to(addr::site6)});
            target.dhcpcd().recorder().forget();
            // dhcpcd 10 takes routes, too (RFC 4191), and the site's would hide that its network
            // is on the link: the belt alone refuses what goes to a router.
            Advertisement advertisement = rogue;
            advertisement.route.clear();
            advertise(target, advertisement, "2001:db8:99::/64 dev eth0");
            EXPECT_TRUE(target.dhcpcd().recorder().wait_until([](const std::vector<Event>& events) {
                return std::ranges::any_of(events, [](const Event& event) {
                    const auto prefix = event.env.find("nd1_prefix_information1_prefix");
                    return event.source == "dhcpcd-end" && event.action == "ROUTERADVERT" &&
                           prefix != event.env.end() && prefix->second == rogue.on_link;
                });
            })) << target.dhcpcd().recorder().text();
            end_dhcpcd(target);
            const std::uint64_t leaked = pour(target, traffic);
            expect_questions_alone(target);
            if (target.guard() == Guard::All) {
                EXPECT_TRUE(target.tunnel_works(addr::site6));
            }
            return leaked;
        },
        options);
}

// ---- Redirects ----

TEST(Redirect, OfTheTransportIsNotFollowed)
{
    Target::Options options;
    options.lock = {"--server", "203.0.113.2:1194/udp", "--server", "[2001:db8:113::2]:1194/udp"};
    options.prepare = [](Lab& lab) {
        // Only the router that is used may redirect, and it signs with its link-local address.
        lab.client().ip("route replace ::/0 via fe80::1 dev eth0 metric 100\n");
    };
    // It moves no packet out of the tunnel, but sends the transport to the attacker.
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Leaks},
        [](Target& target) {
            const Mac router = mac_of(target.isp(), "lan0");
            const Mac client = mac_of(target.client(), "eth0");
            const std::string link = link_local(router);
            Wiretap wire(target.isp(), "lan0");
            target.tunnel_works();
            const auto transport = wire.wait_for([](const Seen& seen) {
                return !seen.outgoing && seen.type() == 0x0800 &&
                       seen.holds(address_bytes(addr::server4));
            });
            if (!transport) {
                throw LabError("no packet of the tunnel's");
            }
            const Frame quoted(transport->frame.begin() + 14, transport->frame.begin() + 42);
            const Frame redirect4 = ethernet(
                {router, client}, icmp({.from = addr::gateway4, .to = addr::client4},
                                       {.type = 5, .code = 1, .rest = 0xc0a83209}, quoted));
            const Frame redirect6 = ethernet(
                {router, client},
                icmp({.from = addr::gateway_link, .to = addr::client6, .hops = 255}, {.type = 137},
                     joined({address_bytes(link), address_bytes(addr::server6)})));
            for (int i = 0; i < 5; ++i) {
                wire.send(redirect4);
                wire.send(redirect6);
                // In between it asks for the new router's hardware address.
                target.client().run({"ping", "-c1", "-W1", addr::neighbour4});
            }
            std::uint64_t followed = 0;
            for (const auto& [server, way] :
                 {std::pair<std::string, std::string>{addr::server4, addr::neighbour4},
                  {addr::server6, link}}) {
                const Outcome found =
                    target.client().run({"ip", "route", "get", server, "oif", "eth0", "ipproto",
                                         "udp", "dport", "1194", "uid", "0"});
                EXPECT_TRUE(found.ok()) << found.err;
                followed += found.out.find("via " + way) != std::string::npos;
            }
            EXPECT_TRUE(target.guard() != Guard::None || followed == 2);
            return followed;
        },
        options);
}

} // namespace

} // namespace failclosed::lab
