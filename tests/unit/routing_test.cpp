// SPDX-License-Identifier: GPL-3.0-or-later
// Which rules and routes a state asks for.
#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "core/plan/constants.hpp"
#include "core/plan/routing/route_decision.hpp"
#include "core/plan/routing/routing.hpp"
#include "tests/support/refused_services.hpp"

namespace failclosed {
namespace {

IpAddress address(std::string_view text)
{
    return IpAddress::parse(text).value();
}

IpPrefix prefix(std::string_view text)
{
    return IpPrefix::parse(text).value();
}

InterfaceAddress on_link(std::string_view text, unsigned length)
{
    return {address(text), length};
}

Link link(std::string_view name, unsigned index, std::vector<InterfaceAddress> addresses)
{
    return {.name = InterfaceName::parse(name).value(),
            .index = index,
            .up = true,
            .loopback = false,
            .point_to_point = true,
            .addresses = std::move(addresses)};
}

Tunnel tunnel(const Link& link)
{
    return {.interface = link.name,
            .addresses = link.addresses,
            .networks = {},
            .gateways = {},
            .resolvers = {},
            .search_domains = {},
            .owner = {}};
}

class PlanRoutingTest : public testing::Test {
  protected:
    PlanRoutingTest()
    {
        config_.lan.kind = LanPolicy::Kind::Deny;
        snapshot_.links = {link("eth0", 2, {on_link("192.168.1.5", 24)}),
                           link("tun0", 3, {on_link("10.8.0.2", 24), on_link("fd08::2", 64)}),
                           link("tun1", 4, {on_link("10.9.0.2", 24)})};
    }

    const Link& tun(unsigned number) const { return snapshot_.links[number + 1]; }

    void add_server(std::string_view remote, Identity identity = {})
    {
        state_.servers.push_back({Remote::parse(remote).value(), std::move(identity), {}});
    }

    RoutingPlan plan() const { return plan_routing(state_, config_, snapshot_); }

    static bool is_of_local_network(const RoutingRule& rule)
    {
        return rule.priority >= kLocalPriority && rule.priority < kServerPriority;
    }

    /// The rules and routes of one family as text; the rules for the local network, which are
    /// always the same, by themselves.
    std::vector<std::string> rules(Family family = Family::V4, bool of_local_network = false) const
    {
        std::vector<std::string> lines;
        for (const auto& rule : plan().rules) {
            if (rule.family == family && is_of_local_network(rule) == of_local_network) {
                lines.push_back(to_string(rule));
            }
        }
        return lines;
    }

    std::vector<std::string> routes(std::uint32_t table, Family family = Family::V4) const
    {
        std::vector<std::string> lines;
        for (const auto& route : plan().routes) {
            if (route.table == table && route.destination.family() == family) {
                const auto text = to_string(route, snapshot_);
                lines.push_back(text.substr(0, text.find(" table")));
            }
        }
        return lines;
    }

    using Lines = std::vector<std::string>;
    static constexpr char kNextHops[] =
        "5011 iif lo uidrange 0-0 lookup main suppress_prefixlength 7";

    State state_;
    Config config_;
    Snapshot snapshot_;
};

TEST_F(PlanRoutingTest, UnarmedMeansAnEmptyPlan)
{
    state_.armed = Armed::No;
    state_.tunnels = {tunnel(tun(0))};
    add_server("203.0.113.10:1194");
    EXPECT_EQ(plan(), RoutingPlan());
    EXPECT_TRUE(plan_sysctls(state_).empty());
}

TEST_F(PlanRoutingTest, TheDefaultStateIsClosedInBothFamilies)
{
    Lines closed = {"4980 fwmark 0x00fc0000/0x00ff0000 goto 5029",
                    "5000 lookup 64598",
                    "5010 lookup 64600",
                    "5012 unreachable",
                    "5020 lookup 64601",
                    "5029 lookup 64599 suppress_prefixlength 0",
                    "5030 lookup main suppress_prefixlength 7",
                    "5031 lookup 64599",
                    "5032 lookup main"};
    EXPECT_EQ(rules(Family::V6), closed);
    // A network comes up through an unknown gateway.
    closed.insert(closed.begin() + 3, kNextHops);
    EXPECT_EQ(rules(Family::V4), closed);
    for (const auto table : {kTunnelTable, kServerTable}) {
        EXPECT_EQ(routes(table, Family::V4), (Lines{"unreachable 0.0.0.0/0"}));
        EXPECT_EQ(routes(table, Family::V6), (Lines{"unreachable ::/0"}));
    }
}

TEST_F(PlanRoutingTest, DnsIsExcludedFromTheLocalNetwork)
{
    Lines expected;
    for (const auto& [protocol, port] : oracle::ports_refused_by_lock_2()) {
        expected.push_back("5013 iif lo ipproto " + std::to_string(protocol) + " dport " +
                           std::to_string(port) + " unreachable");
    }
    expected.insert(expected.end(), {"5014 lookup main", "5015 lookup 64600", "5016 unreachable"});
    for (const auto family : kFamilies) {
        EXPECT_EQ(rules(family, true), expected);
    }
}

TEST_F(PlanRoutingTest, OneTunnelCarriesEverything)
{
    state_.tunnels = {tunnel(tun(0))};
    EXPECT_EQ(routes(kTunnelTable),
              (Lines{"0.0.0.0/0 dev tun0", "unreachable 0.0.0.0/0", "10.8.0.0/24 dev tun0"}));
    EXPECT_EQ(routes(kTunnelTable, Family::V6),
              (Lines{"::/0 dev tun0", "unreachable ::/0", "fd08::/64 dev tun0"}));
    EXPECT_EQ(rules(), (Lines{"4980 fwmark 0x00fc0000/0x00ff0000 goto 5029", "5000 lookup 64598",
                              "5010 lookup 64600", kNextHops, "5012 unreachable",
                              "5020 lookup 64601", "5029 lookup 64599 suppress_prefixlength 0",
                              "5030 lookup main suppress_prefixlength 7", "5031 lookup 64599",
                              "5032 lookup main"}));
    EXPECT_TRUE(routes(kSingleTunnelTable).empty());
}

TEST_F(PlanRoutingTest, WhileATunnelIsUpTheUnderlaysDefaultsAreKept)
{
    snapshot_.main_routes = {
        MainRoute{IpPrefix::any(Family::V4), 2, IpAddress::parse("192.168.50.1"), 100},
        MainRoute{IpPrefix::any(Family::V4), tun(0).index, std::nullopt, 0},
        MainRoute{IpPrefix::any(Family::V6), 2, IpAddress::parse("fe80::1"), 1024}};
    EXPECT_TRUE(routes(kUnderlayTable).empty());
    state_.tunnels = {tunnel(tun(0))};
    EXPECT_EQ(routes(kUnderlayTable).size(), 1U);
    EXPECT_EQ(routes(kUnderlayTable, Family::V6).size(), 1U);
    const auto all = plan().routes;
    const auto kept = std::ranges::find(all, kUnderlayTable, &Route::table);
    ASSERT_NE(kept, all.end());
    EXPECT_EQ(*kept, (Route{kUnderlayTable, IpPrefix::any(Family::V4), 100, Route::Type::Unicast, 2,
                            IpAddress::parse("192.168.50.1")}));
}

// OpenVPN adds `SERVER via GATEWAY` and names no device: the kernel finds it by these rules.
TEST_F(PlanRoutingTest, TheUnderlaysGatewayIsFoundInMainByUser0)
{
    snapshot_.main_routes = {
        MainRoute{IpPrefix::any(Family::V4), 2, IpAddress::parse("192.168.50.1"), 100},
        MainRoute{IpPrefix::any(Family::V4), tun(0).index, std::nullopt, 0},
        MainRoute{IpPrefix::any(Family::V6), 2, IpAddress::parse("fe80::1"), 1024}};
    EXPECT_EQ(std::ranges::count(rules(), "5001 to 192.168.50.1/32 iif lo uidrange 0-0 goto 5013"),
              1);
    EXPECT_EQ(rules().size(), 11U);
    EXPECT_EQ(rules(Family::V6).size(), 9U);
}

TEST_F(PlanRoutingTest, UnreachableHasTheLowestPrecedence)
{
    state_.tunnels = {tunnel(tun(0))};
    for (const auto& route : plan().routes) {
        const bool last = route.type == Route::Type::Unreachable;
        EXPECT_EQ(route.metric, last ? 0xfffffffe : 1024U);
    }
}

TEST_F(PlanRoutingTest, EachUserProtocolAndPortHasOneRule)
{
    add_server("203.0.113.10:1194/udp", {{0, 65534}, std::nullopt});
    add_server("203.0.113.11:1194/udp", {{0}, std::nullopt});
    add_server("[2001:db8::1]:443/tcp", {{0}, std::nullopt});
    add_server("203.0.113.12/gre", {{7}, std::nullopt});
    const auto lines = rules();
    EXPECT_EQ(Lines(lines.begin() + 1, lines.end() - 9),
              (Lines{"4985 iif lo uidrange 0-0 ipproto 17 dport 1194 goto 5020",
                     "4985 iif lo uidrange 7-7 ipproto 47 goto 5020",
                     "4985 iif lo uidrange 65534-65534 ipproto 17 dport 1194 goto 5020"}));
    EXPECT_EQ(rules(Family::V6)[1], "4985 iif lo uidrange 0-0 ipproto 6 dport 443 goto 5020");
    EXPECT_EQ(routes(kServerTable), (Lines{"unreachable 0.0.0.0/0", "throw 203.0.113.10/32",
                                           "throw 203.0.113.11/32", "throw 203.0.113.12/32"}));
    EXPECT_EQ(routes(kTunnelTable), (Lines{"unreachable 0.0.0.0/0"}));
}

TEST_F(PlanRoutingTest, AMarkReplacesTheUser)
{
    add_server("203.0.113.10:1194/udp", {{0}, 0x1234});
    EXPECT_EQ(rules()[1], "4985 fwmark 0x00001234/0xffffffff goto 5020");
    EXPECT_EQ(rules().size(), 11U);
}

TEST_F(PlanRoutingTest, TheLocalNetworkIsThrownExceptTunnelNetworks)
{
    config_.lan = {LanPolicy::Kind::List,
                   {prefix("192.168.0.0/16"), prefix("10.8.0.0/25"), prefix("10.9.0.0/16")}};
    state_.tunnels = {tunnel(tun(0))};
    state_.tunnels[0].networks = {prefix("192.168.9.0/24")};
    EXPECT_EQ(rules(), (Lines{"4980 fwmark 0x00fc0000/0x00ff0000 goto 5029", "5000 lookup 64598",
                              "5001 to 10.8.0.0/25 goto 5013", "5001 to 10.9.0.0/16 goto 5013",
                              "5001 to 192.168.0.0/16 goto 5013", "5010 lookup 64600", kNextHops,
                              "5012 unreachable", "5020 lookup 64601",
                              "5029 lookup 64599 suppress_prefixlength 0",
                              "5030 lookup main suppress_prefixlength 7", "5031 lookup 64599",
                              "5032 lookup main"}));
    EXPECT_EQ(routes(kServerTable),
              (Lines{"0.0.0.0/0 dev tun0", "unreachable 0.0.0.0/0", "10.8.0.0/24 dev tun0",
                     "throw 10.9.0.0/16", "throw 192.168.0.0/16", "192.168.9.0/24 dev tun0"}));
}

// If a tunnel ends before its device (down-pre), its networks are unreachable.
TEST_F(PlanRoutingTest, APointToPointLinkHasNoLocalNetwork)
{
    config_.lan = {LanPolicy::Kind::OnLink, {}};
    const std::string inside = "5001 to 10.8.0.0/24 goto 5013";
    EXPECT_EQ(std::ranges::count(rules(), inside), 0);
    snapshot_.links[1].point_to_point = false;
    EXPECT_EQ(std::ranges::count(rules(), inside), 1);
}

TEST_F(PlanRoutingTest, AServerInsideAPushedNetworkIsReachedOutside)
{
    add_server("198.51.100.7:443/tcp");
    state_.tunnels = {tunnel(tun(0))};
    state_.tunnels[0].networks = {prefix("198.51.100.0/24"), prefix("198.51.100.7/32")};
    const auto lines = routes(kServerTable);
    EXPECT_EQ(std::ranges::count(lines, "throw 198.51.100.7/32"), 1);
    EXPECT_EQ(std::ranges::count(lines, "198.51.100.7/32 dev tun0"), 0);
    EXPECT_EQ(std::ranges::count(lines, "198.51.100.0/24 dev tun0"), 1);
    // Independent of routes that its program adds to main for the pushed network.
    snapshot_.main_routes = {
        {.destination = IpPrefix::any(Family::V4),
         .device = 2,
         .gateway = address("192.168.1.1"),
         .metric = 100},
        {.destination = prefix("198.51.100.0/24"), .device = 3, .gateway = {}}};
    EXPECT_EQ(routes(kUnderlayTable), (Lines{"0.0.0.0/0 via 192.168.1.1 onlink dev eth0",
                                             "198.51.100.7/32 via 192.168.1.1 onlink dev eth0"}));
    const auto decision = [&] {
        return decide_route(plan(), {.destination = address("198.51.100.7"),
                                     .source = {},
                                     .uid = 0,
                                     .transport = Transport::Tcp,
                                     .destination_port = Port::make(443)});
    };
    EXPECT_EQ(decision().device, 2U);
    state_.tunnels[0].networks = {prefix("198.51.0.0/18")};
    EXPECT_EQ(routes(kUnderlayTable), Lines{"0.0.0.0/0 via 192.168.1.1 onlink dev eth0"});
    EXPECT_EQ(decision().kind, RouteDecision::Kind::Main);
}

// A packet is compared with one rule after the other, and a server may push thousands of networks.
TEST_F(PlanRoutingTest, NetworksInsideAddNoRules)
{
    state_.tunnels = {tunnel(tun(0)), tunnel(tun(1))};
    const auto before = rules();
    state_.tunnels[1].networks = {prefix("10.20.0.0/16")};
    state_.inside = {{InterfaceName::parse("tun9").value(), {prefix("10.40.0.0/16")}}};
    EXPECT_EQ(rules(), before);
    // Each has its own unreachable default: its device may vanish before an event.
    EXPECT_EQ(routes(kNetworkTable),
              (Lines{"10.8.0.0/24 dev tun0", "unreachable 10.8.0.0/24", "10.9.0.0/24 dev tun1",
                     "unreachable 10.9.0.0/24", "10.20.0.0/16 dev tun1", "unreachable 10.20.0.0/16",
                     "10.40.0.0/16 dev tun0", "unreachable 10.40.0.0/16"}));
    // Its tunnel is not usable: into the first one, or nowhere.
    snapshot_.links[2].up = false;
    EXPECT_EQ(routes(kNetworkTable)[4], "10.20.0.0/16 dev tun0");
    snapshot_.links[1].up = false;
    EXPECT_EQ(routes(kNetworkTable)[2], "unreachable 10.20.0.0/16");
}

TEST_F(PlanRoutingTest, PartsOfADefaultRouteAreLeftOut)
{
    state_.tunnels = {tunnel(tun(0))};
    state_.tunnels[0].networks = {prefix("0.0.0.0/1"), prefix("128.0.0.0/1"), prefix("2000::/3")};
    EXPECT_EQ(routes(kTunnelTable).size(), 3U);
    EXPECT_EQ(routes(kTunnelTable, Family::V6).size(), 3U);
}

TEST_F(PlanRoutingTest, WithoutTheDeviceAllIsUnreachable)
{
    state_.tunnels = {tunnel(tun(0))};
    const auto with_device = rules();
    for (const auto& change : std::vector<std::function<void(Snapshot&)>>{
             [](Snapshot& snapshot) { snapshot.links.clear(); },
             [](Snapshot& snapshot) { snapshot.links[1].up = false; },
             [](Snapshot& snapshot) { snapshot.links[1].addresses.clear(); }}) {
        const auto before = snapshot_;
        change(snapshot_);
        EXPECT_EQ(routes(kTunnelTable), (Lines{"unreachable 0.0.0.0/0"}));
        EXPECT_EQ(routes(kTunnelTable, Family::V6), (Lines{"unreachable ::/0"}));
        EXPECT_EQ(rules(), with_device);
        snapshot_ = before;
    }
}

TEST_F(PlanRoutingTest, AFamilyThatTheFirstTunnelLacksIsUnreachable)
{
    state_.tunnels = {tunnel(tun(1)), tunnel(tun(0))};
    EXPECT_EQ(routes(kTunnelTable, Family::V6), (Lines{"unreachable ::/0", "fd08::/64 dev tun0"}));
    EXPECT_EQ(routes(kTunnelTable), (Lines{"0.0.0.0/0 dev tun1", "unreachable 0.0.0.0/0",
                                           "10.8.0.0/24 dev tun0", "10.9.0.0/24 dev tun1"}));
}

TEST_F(PlanRoutingTest, SeveralTunnelsHaveSeparateTables)
{
    state_.tunnels = {tunnel(tun(0)), tunnel(tun(1))};
    const auto lines = rules();
    EXPECT_EQ(std::ranges::count(lines, "4990 from 10.8.0.2/32 lookup 64602"), 1);
    EXPECT_EQ(std::ranges::count(lines, "4990 from 10.9.0.2/32 lookup 64603"), 1);
    EXPECT_EQ(routes(kSingleTunnelTable + 1),
              (Lines{"0.0.0.0/0 dev tun1", "unreachable 0.0.0.0/0", "10.9.0.0/24 dev tun1"}));
    EXPECT_EQ(routes(kSingleTunnelTable + 1, Family::V6), (Lines{"unreachable ::/0"}));
}

TEST_F(PlanRoutingTest, TheDefaultNeverMovesToAnotherTunnel)
{
    state_.tunnels = {tunnel(tun(0)), tunnel(tun(1))};
    snapshot_.links[1].up = false;
    EXPECT_EQ(routes(kTunnelTable), (Lines{"unreachable 0.0.0.0/0", "10.9.0.0/24 dev tun1"}));
}

TEST_F(PlanRoutingTest, GatewaysAreUsedOnlyOnLinksWithNeighbours)
{
    state_.tunnels = {tunnel(tun(0))};
    state_.tunnels[0].gateways = {address("10.8.0.1"), address("fd08::1")};
    state_.tunnels[0].networks = {prefix("172.30.0.0/16")};
    EXPECT_EQ(routes(kTunnelTable)[0], "0.0.0.0/0 dev tun0");
    snapshot_.links[1].point_to_point = false;
    EXPECT_EQ(routes(kTunnelTable),
              (Lines{"0.0.0.0/0 via 10.8.0.1 onlink dev tun0", "unreachable 0.0.0.0/0",
                     "10.8.0.0/24 dev tun0", "172.30.0.0/16 via 10.8.0.1 onlink dev tun0"}));
    EXPECT_EQ(routes(kTunnelTable, Family::V6)[0], "::/0 via fd08::1 onlink dev tun0");
}

TEST_F(PlanRoutingTest, RulesOfOneFamilyOnlyNameThatFamily)
{
    config_.lan.kind = LanPolicy::Kind::Private;
    state_.tunnels = {tunnel(tun(0)), tunnel(tun(1))};
    add_server("203.0.113.10:1194");
    add_server("[2001:db8::1]:1194");
    for (const auto& rule : plan().rules) {
        EXPECT_TRUE(!rule.from || rule.from->family() == rule.family);
        EXPECT_TRUE(!rule.to || rule.to->family() == rule.family);
    }
}

TEST_F(PlanRoutingTest, PlansAreSortedWithoutDuplicates)
{
    state_.tunnels = {tunnel(tun(0)), tunnel(tun(0))};
    add_server("203.0.113.10:1194");
    add_server("203.0.113.10:1194");
    const auto all = plan();
    EXPECT_TRUE(std::ranges::is_sorted(all.rules));
    EXPECT_TRUE(std::ranges::is_sorted(all.routes));
    EXPECT_EQ(std::ranges::adjacent_find(all.rules), all.rules.end());
    EXPECT_EQ(std::ranges::adjacent_find(all.routes), all.routes.end());
}

// ---- Services, sign-ins, and what is behind this machine ----

TEST_F(PlanRoutingTest, AnswersOfInboundServicesGoOutsideTheTunnel)
{
    config_.inbound = {{Transport::Tcp, Port::make(22).value(), prefix("198.51.100.0/24")},
                       {Transport::Udp, Port::make(51820).value(), IpPrefix::any(Family::V4)},
                       {Transport::Udp, Port::make(51820).value(), IpPrefix::any(Family::V6)}};
    state_.tunnels = {tunnel(tun(0))};
    const auto lines = rules();
    EXPECT_EQ(
        Lines(lines.begin(), lines.begin() + 4),
        (Lines{"4979 from 10.8.0.2/32 lookup 64600", "4980 fwmark 0x00fc0000/0x00ff0000 goto 5029",
               // The kernel shows no destination where all of them are meant.
               "4981 iif lo ipproto 17 sport 51820 goto 5029",
               "4981 to 198.51.100.0/24 iif lo ipproto 6 sport 22 goto 5029"}));
    EXPECT_EQ(rules(Family::V6)[2], "4981 iif lo ipproto 17 sport 51820 goto 5029");
    config_.inbound.clear();
    EXPECT_FALSE(rules()[0].starts_with("4979"));
}

RouteQuery query(const char* to, uid_t uid, Transport transport, std::uint16_t from_port,
                 std::uint16_t to_port)
{
    RouteQuery made{.destination = address(to),
                    .source = std::nullopt,
                    .uid = uid,
                    .transport = transport,
                    .destination_port = Port::make(to_port)};
    made.source_port = Port::make(from_port);
    return made;
}

TEST_F(PlanRoutingTest, AServiceAnswersOnTheRequestsPath)
{
    config_.inbound = {{Transport::Tcp, Port::make(22).value(), IpPrefix::any(Family::V4)}};
    state_.tunnels = {tunnel(tun(0))};
    auto answer = query("198.51.100.20", 0, Transport::Tcp, 22, 40000);
    EXPECT_EQ(decide_route(plan(), answer).kind, RouteDecision::Kind::Main);
    answer.source = address("192.168.1.5");
    EXPECT_EQ(decide_route(plan(), answer).kind, RouteDecision::Kind::Main);
    answer.source = address("10.8.0.2");
    EXPECT_EQ(decide_route(plan(), answer).device, tun(0).index) << "through the tunnel";
    answer.source.reset();
    answer.source_port = Port::make(2222);
    EXPECT_EQ(decide_route(plan(), answer).device, tun(0).index);
    answer.source_port = Port::make(22);
    answer.transport = Transport::Udp;
    EXPECT_EQ(decide_route(plan(), answer).device, tun(0).index);
}

TEST_F(PlanRoutingTest, OnlyASignInIsRoutedOutsideTheTunnel)
{
    state_.portal = Portal{1001, {}, {address("192.168.1.1")}, Seconds{60}};
    const auto lines = rules();
    EXPECT_EQ(
        Lines(lines.begin() + 1, lines.begin() + 5),
        (Lines{"4982 iif lo uidrange 1001-1001 ipproto 6 dport 80 goto 5029",
               "4982 iif lo uidrange 1001-1001 ipproto 6 dport 443 goto 5029",
               "4982 to 192.168.1.1/32 iif lo uidrange 1001-1001 ipproto 6 dport 53 goto 5029",
               "4982 to 192.168.1.1/32 iif lo uidrange 1001-1001 ipproto 17 dport 53 goto "
               "5029"}));
    const auto leads = [&](const char* to, uid_t uid, Transport transport, std::uint16_t port) {
        return decide_route(plan(), query(to, uid, transport, 40000, port)).kind;
    };
    using Kind = RouteDecision::Kind;
    EXPECT_EQ(leads("192.168.1.1", 1001, Transport::Udp, 53), Kind::Main);
    EXPECT_EQ(leads("192.168.1.2", 1001, Transport::Udp, 53), Kind::Unreachable);
    EXPECT_EQ(leads("192.168.1.1", 1000, Transport::Udp, 53), Kind::Unreachable);
    EXPECT_EQ(leads("198.51.100.20", 1001, Transport::Tcp, 443), Kind::Main);
    EXPECT_EQ(leads("2001:db8:99::20", 1001, Transport::Tcp, 80), Kind::Main);
    EXPECT_EQ(leads("198.51.100.20", 1001, Transport::Udp, 443), Kind::Unreachable);
    EXPECT_EQ(leads("198.51.100.20", 1001, Transport::Tcp, 8080), Kind::Unreachable);
    EXPECT_EQ(leads("198.51.100.20", 1000, Transport::Tcp, 443), Kind::Unreachable);
    state_.portal.reset();
    EXPECT_EQ(leads("198.51.100.20", 1001, Transport::Tcp, 443), Kind::Unreachable);
}

TEST_F(PlanRoutingTest, NetworksBehindThisMachineAreLookedUpInMain)
{
    snapshot_.links.push_back(link("br0", 5, {on_link("172.20.0.1", 16), on_link("fd20::1", 64)}));
    snapshot_.links.back().point_to_point = false;
    config_.forward = {snapshot_.links.back().name};
    state_.tunnels = {tunnel(tun(0))};
    const auto lines = rules();
    EXPECT_EQ(lines[1], "4995 to 172.20.0.0/16 lookup main");
    EXPECT_EQ(lines[2], "5000 lookup 64598");
    EXPECT_EQ(rules(Family::V6)[1], "4995 to fd20::/64 lookup main");
    state_.tunnels[0].networks = {prefix("172.20.128.0/17")};
    EXPECT_EQ(rules()[1], "5000 lookup 64598") << "the tunnel's come first";
    EXPECT_EQ(rules(Family::V6)[1], "4995 to fd20::/64 lookup main");
}

// DHCPv6 is served from one such address to another.
TEST_F(PlanRoutingTest, LinkLocalAddressesBehindThisMachineAreReachedWithoutALocalNetwork)
{
    snapshot_.links.push_back(link("br0", 5, {on_link("fd20::1", 64)}));
    snapshot_.links.back().point_to_point = false;
    config_.lan.kind = LanPolicy::Kind::Deny;
    const auto leads = [&](std::uint16_t port) {
        return decide_route(plan(), query("fe80::7", 0, Transport::Udp, 547, port)).kind;
    };
    using Kind = RouteDecision::Kind;
    EXPECT_EQ(leads(546), Kind::Unreachable);
    config_.forward = {snapshot_.links.back().name};
    EXPECT_EQ(leads(546), Kind::Main);
    EXPECT_EQ(leads(53), Kind::Unreachable);
}

// A program that was admitted, a mark or a source comes first: they name more than a network.
TEST_F(PlanRoutingTest, AServerBehindThisMachineIsStillAServer)
{
    snapshot_.links.push_back(link("br0", 5, {on_link("172.20.0.1", 16)}));
    snapshot_.links.back().point_to_point = false;
    config_.forward = {snapshot_.links.back().name};
    add_server("172.20.0.7:1194/udp");
    state_.tunnels = {tunnel(tun(0))};
    const auto decision = decide_route(plan(), query("172.20.0.7", 0, Transport::Udp, 40000, 1194));
    ASSERT_TRUE(decision.rule);
    EXPECT_EQ(decision.kind, RouteDecision::Kind::Main);
    EXPECT_EQ(decision.rule->priority, kUnderlayMainPriority);
}

TEST_F(PlanRoutingTest, PrintsAsIpCommands)
{
    snapshot_.links.clear();
    EXPECT_TRUE(to_ip_commands(plan(), snapshot_)
                    .starts_with("ip -4 route add unreachable 0.0.0.0/0 table 64600 metric "
                                 "4294967294 protocol 252\n"));
    EXPECT_TRUE(to_ip_commands(plan(), snapshot_)
                    .ends_with("ip -6 rule add pref 5032 lookup main protocol 252\n"));
    EXPECT_EQ(to_ip_commands({}, snapshot_), "");
}

} // namespace
} // namespace failclosed
