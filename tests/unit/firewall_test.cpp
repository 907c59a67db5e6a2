// SPDX-License-Identifier: GPL-3.0-or-later
// Properties of every planned firewall. Single decisions are rows of the security table.
#include <algorithm>
#include <array>
#include <ranges>
#include <set>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "core/plan/firewall/sets.hpp"
#include "tests/support/refused_services.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::port;
using test::prefix;

constexpr std::uint32_t kServerMark = 0x51;

Server server(const char* remote, Identity identity = {{0, 65534}, {}})
{
    return {Remote::parse(remote).value(), std::move(identity), {}};
}

State closed_state()
{
    State state;
    state.servers = {server("203.0.113.2:1194/udp"), server("[2001:db8:113::2]:443/tcp"),
                     server("203.0.113.3:51820/udp", {{0}, kServerMark})};
    return state;
}

Tunnel tunnel(const char* name, std::vector<InterfaceAddress> addresses,
              std::vector<IpPrefix> networks, std::vector<IpAddress> resolvers)
{
    return {
        device(name), std::move(addresses), std::move(networks), {}, std::move(resolvers), {}, {}};
}

State up_state()
{
    State state = closed_state();
    state.tunnels = {tunnel("tun0", {{address("10.8.0.2"), 24}, {address("fd00:8::2"), 64}},
                            {prefix("10.99.0.0/16"), prefix("2001:db8:c0::/64")},
                            {address("10.8.0.1")}),
                     tunnel("tun1", {{address("10.9.0.2"), 24}}, {}, {})};
    return state;
}

/// A tunnel that claims everything, a resolver of the local network, and the address of this
/// machine there.
State hostile_state()
{
    State state = closed_state();
    state.tunnels = {tunnel("tun0", {{address("10.66.0.2"), 0}, {address("fe80::10"), 0}},
                            {prefix("0.0.0.0/0"), prefix("::/0"), prefix("0.0.0.0/1"),
                             prefix("128.0.0.0/1"), prefix("224.0.0.0/8"), prefix("127.0.0.0/8")},
                            {address("192.168.50.1"), address("fe80::1"), address("203.0.113.2")})};
    return state;
}

Snapshot snapshot()
{
    Snapshot seen;
    seen.links = {
        {device("lo"), 1, true, true, false, {{address("127.0.0.1"), 8}}},
        {device("eth0"),
         2,
         true,
         false,
         false,
         {{address("192.168.50.10"), 24}, {address("2001:db8:50::10"), 64}}},
    };
    return seen;
}

Config with_lan(LanPolicy::Kind kind, std::vector<IpPrefix> prefixes = {})
{
    Config config;
    config.lan = {kind, std::move(prefixes)};
    return config;
}

Ruleset plan(const State& state, const Config& config = {},
             Expressions expressions = Expressions::All)
{
    return plan_firewall(state, config, snapshot(), expressions);
}

/// With every option that adds rules.
Config with_all_roles()
{
    Config config;
    config.forward = {device("br0")};
    config.inbound = {{Transport::Tcp, port(22), prefix("198.51.100.0/24")},
                      {Transport::Udp, port(51820), prefix("::/0")}};
    config.belt_allow = {MacAddress::parse("52:54:00:12:34:56").value(), prefix("192.168.50.66/32"),
                         prefix("2001:db8:50::66/128"), EtherType{0x88e5}};
    return config;
}

State signing_in()
{
    State state = closed_state();
    state.portal = Portal{1001, {}, {address("192.168.50.1")}, Seconds{60}};
    return state;
}

/// One of every form.
std::vector<Ruleset> all_rulesets()
{
    State portless = up_state();
    portless.servers.push_back(server("203.0.113.4/esp"));
    Config names = with_lan(LanPolicy::Kind::Deny);
    names.lan_names = true;
    names.log = false;
    return {base_ruleset(),
            plan({}),
            plan(closed_state()),
            plan(up_state()),
            plan(up_state(), {}, Expressions::Essential),
            plan(up_state(), names),
            plan(hostile_state(), with_lan(LanPolicy::Kind::OnLink)),
            plan(portless),
            plan(up_state(), with_all_roles()),
            plan(up_state(), with_all_roles(), Expressions::WithoutBelt),
            plan(up_state(), with_all_roles(), Expressions::Essential),
            plan(signing_in(), with_all_roles()),
            plan(signing_in(), {}, Expressions::Essential)};
}

const Chain& chain(const Ruleset& ruleset, const std::string& name)
{
    return *std::ranges::find(ruleset.tables.front().chains, name, &Chain::name);
}

template <typename Visit> void each_rule(const Ruleset& ruleset, Visit visit)
{
    for (const Table& table : ruleset.tables) {
        for (const Chain& one : table.chains) {
            for (const Rule& rule : one.rules) {
                visit(table, rule);
            }
        }
    }
}

template <typename T> bool has_action(const Ruleset& ruleset)
{
    bool found = false;
    each_rule(ruleset, [&](const Table&, const Rule& rule) {
        found = found || std::ranges::any_of(rule.actions, [](const Action& action) {
                    return std::holds_alternative<T>(action);
                });
    });
    return found;
}

// ---- Form ----

TEST(Firewall, HasNoTableIfUnarmed)
{
    State state = up_state();
    state.armed = Armed::No;
    EXPECT_EQ(plan(state), Ruleset());
    EXPECT_FALSE(plan(State()).tables.empty()) << "armed is the default";
}

TEST(Firewall, EachFormUsesWhatItsKernelSupports)
{
    for (const State& state : {closed_state(), up_state(), signing_in()}) {
        const Ruleset all = plan(state, with_all_roles());
        ASSERT_EQ(all.tables.size(), 3U);
        EXPECT_EQ(all.tables[0].family, TableFamily::Inet);
        EXPECT_EQ(all.tables[1].family, TableFamily::Arp);
        EXPECT_EQ(all.tables[2].family, TableFamily::Netdev);
        Ruleset rest = all;
        rest.tables.pop_back();
        EXPECT_EQ(plan(state, with_all_roles(), Expressions::WithoutBelt), rest);
        EXPECT_EQ(plan(state, with_all_roles(), Expressions::Essential).tables.size(), 2U);
    }
}

/// The names of the sets and chains that each table has beyond those of a plain plan.
std::set<std::string> more_than_plain(const Ruleset& ruleset)
{
    std::set<std::string> names;
    const auto visit = [](const Ruleset& all, auto each) {
        for (const Table& table : all.tables) {
            for (const Set& set : table.sets) {
                each(std::string(set.handle.name.text()));
            }
            for (const Chain& one : table.chains) {
                each(one.name);
            }
        }
    };
    visit(ruleset, [&](const std::string& name) { names.insert(name); });
    State plain = closed_state();
    std::erase_if(plain.servers, [](const Server& one) { return one.identity.mark.has_value(); });
    visit(plan(plain), [&](const std::string& name) { names.erase(name); });
    return names;
}

TEST(Firewall, LeavesOutUnneededRules)
{
    using Names = std::set<std::string>;
    State state;
    state.servers = {server("203.0.113.2:1194/udp")};
    EXPECT_EQ(more_than_plain(plan(state)), Names());
    Config config;
    config.forward = {device("br0")};
    EXPECT_EQ(more_than_plain(plan(state, config)),
              (Names{"downstream4", "downstream6", "downstream_device", "redirect_dns",
                     "masquerade_downstream"}));
    config = {};
    config.inbound = {{Transport::Tcp, port(22), prefix("0.0.0.0/0")}};
    EXPECT_EQ(more_than_plain(plan(state, config)),
              (Names{"guest_device", "inbound4", "inbound6"}));
    config = {};
    config.belt_allow = {prefix("192.168.50.66/32")};
    EXPECT_EQ(more_than_plain(plan(state, config)), Names{"allowed_source4"});
    state.portal = Portal{1001, {}, {address("192.168.50.1")}, Seconds{60}};
    EXPECT_EQ(more_than_plain(plan(state)),
              (Names{"portal", "portal_gid", "portal_resolver4", "portal_resolver6",
                     "portal_silently", "portal_uid"}));
    state.portal.reset();
    state.servers = {server("203.0.113.3:51820/udp", {{0}, kServerMark})};
    EXPECT_EQ(more_than_plain(plan(state)),
              (Names{"vpn_host_mark4", "vpn_host_mark6", "vpn_mark4", "vpn_mark6"}));
    state.servers = {server("203.0.113.4/esp")};
    EXPECT_EQ(more_than_plain(plan(state)),
              (Names{"portless_server4", "portless_server6", "vpn_portless_mark4",
                     "vpn_portless_mark6", "vpn_portless_uid4", "vpn_portless_uid6"}));
}

TEST(Firewall, TimedSetsAreTheSameInEachTableThatFiltersLeavingPackets)
{
    const Ruleset ruleset = plan(signing_in());
    std::vector<SetHandle> timed = portal_sets();
    timed.insert(timed.end(), {sets::kBootstrap(Family::V4), sets::kBootstrap(Family::V6)});
    EXPECT_EQ(timed.size(), 6U);
    for (const SetHandle& handle : timed) {
        EXPECT_TRUE(handle.timeouts);
        for (const std::size_t table : {0U, 2U}) {
            EXPECT_EQ(std::ranges::count(ruleset.tables[table].sets, Set{handle, {}}), 1)
                << handle.name.text();
        }
    }
}

TEST(Firewall, TimedElementsAdmitOneSignInAndQueriesToResolvers)
{
    const auto questions = [](const char* resolver) {
        return std::vector<SetElement>{{{address(resolver), Transport::Tcp, port(53)}, {}},
                                       {{address(resolver), Transport::Udp, port(53)}, {}}};
    };
    EXPECT_EQ(bootstrap_elements(address("192.168.50.1")),
              (Set{sets::kBootstrap(Family::V4), questions("192.168.50.1")}));
    Portal portal{1001, {}, {address("192.168.50.1"), address("fe80::1")}, Seconds{60}};
    const Set resolver4{sets::kPortalResolver(Family::V4), questions("192.168.50.1")};
    const Set resolver6{sets::kPortalResolver(Family::V6), questions("fe80::1")};
    EXPECT_EQ(portal_elements(portal),
              (std::vector<Set>{{sets::kPortalUid, {{{Uid{1001}}, {}}}}, resolver4, resolver6}));
    portal.gid = 4242;
    EXPECT_EQ(portal_elements(portal),
              (std::vector<Set>{{sets::kPortalGid, {{{Gid{4242}}, {}}}}, resolver4, resolver6}));
}

TEST(Firewall, BaseFormNeedsNothingButLoopback)
{
    const Ruleset base = base_ruleset();
    ASSERT_EQ(base.tables.size(), 1U);
    EXPECT_TRUE(base.tables[0].sets.empty());
    each_rule(base, [](const Table&, const Rule& rule) {
        EXPECT_TRUE(rule.actions.empty()) << rule.comment;
        EXPECT_TRUE(std::holds_alternative<Verdict>(rule.end)) << rule.comment;
        for (const Match& match : rule.matches) {
            EXPECT_FALSE(std::holds_alternative<InSet>(match)) << rule.comment;
            if (const auto* from = std::get_if<FromInterface>(&match)) {
                EXPECT_EQ(from->name, device("lo"));
            }
            if (const auto* to = std::get_if<ToInterface>(&match)) {
                EXPECT_EQ(to->name, device("lo"));
            }
        }
    });
}

TEST(Firewall, EveryRuleHasAReason)
{
    for (const Ruleset& ruleset : all_rulesets()) {
        each_rule(ruleset, [](const Table&, const Rule& rule) {
            EXPECT_FALSE(rule.comment.empty());
            EXPECT_LE(rule.comment.size(), 127U) << rule.comment;
        });
    }
}

TEST(Firewall, TrafficChainsHavePolicyDrop)
{
    for (const Ruleset& ruleset : all_rulesets()) {
        for (const char* name : {"input", "forward", "output", "postrouting"}) {
            EXPECT_EQ(chain(ruleset, name).base->policy, Verdict::Drop) << name;
        }
        for (const Table& table : ruleset.tables) {
            for (const Chain& one : table.chains) {
                EXPECT_TRUE(!one.base || one.base->hook != Hook::Egress ||
                            one.base->policy == Verdict::Drop)
                    << one.name;
            }
        }
    }
}

std::set<std::string> reached_chains(const Table& table)
{
    std::set<std::string> reached;
    for (const Set& set : table.sets) {
        for (const SetElement& element : set.elements) {
            if (element.decision && std::holds_alternative<Goto>(*element.decision)) {
                reached.insert(std::get<Goto>(*element.decision).chain);
            }
        }
    }
    for (const Chain& one : table.chains) {
        for (const Rule& rule : one.rules) {
            if (const auto* jump = std::get_if<Jump>(&rule.end)) {
                reached.insert(jump->chain);
            } else if (const auto* to = std::get_if<Goto>(&rule.end)) {
                reached.insert(to->chain);
            }
        }
    }
    return reached;
}

TEST(Firewall, EveryChainIsReached)
{
    const State both = [] {
        State state = up_state();
        state.portal = signing_in().portal;
        return state;
    }();
    for (const Ruleset& ruleset : {plan(up_state()), plan(both, with_all_roles())}) {
        for (const Table& table : ruleset.tables) {
            const auto reached = reached_chains(table);
            for (const Chain& one : table.chains) {
                EXPECT_TRUE(one.base || reached.contains(one.name)) << one.name;
            }
        }
    }
}

/// The names of the sets that rules of `table` look into. Each rule names a set exactly as the
/// table has it: key, kinds of elements and all.
std::set<std::string_view> sets_in_use(const Table& table)
{
    std::set<std::string_view> used;
    const auto look_up = [&](const SetHandle& handle, bool verdicts) {
        EXPECT_EQ(std::ranges::count(table.sets, handle, &Set::handle), 1) << handle.name.text();
        EXPECT_EQ(handle.verdicts, verdicts) << handle.name.text();
        used.insert(handle.name.text());
    };
    for (const Chain& one : table.chains) {
        for (const Rule& rule : one.rules) {
            for (const Match& match : rule.matches) {
                if (const auto* in = std::get_if<InSet>(&match)) {
                    look_up(in->set, false);
                }
            }
            if (const auto* dispatch = std::get_if<Dispatch>(&rule.end)) {
                look_up(dispatch->map, true);
            }
        }
    }
    return used;
}

TEST(Firewall, RulesAndTablesHaveTheSameSets)
{
    for (const Ruleset& ruleset : all_rulesets()) {
        for (const Table& table : ruleset.tables) {
            const auto used = sets_in_use(table);
            for (const Set& set : table.sets) {
                const std::string_view name = set.handle.name.text();
                EXPECT_TRUE(used.contains(name)) << name;
                for (const SetElement& element : set.elements) {
                    EXPECT_EQ(element.key.size(), set.handle.key.size()) << name;
                    EXPECT_EQ(element.decision.has_value(), set.handle.verdicts) << name;
                }
            }
            EXPECT_EQ(used.size(), table.sets.size()) << "two sets of one name";
        }
    }
}

TEST(Firewall, RulesAreIndependentOfTheSetsElements)
{
    State many = up_state();
    for (int i = 1; i <= 200; ++i) {
        const std::string host = "198.51.100." + std::to_string(i);
        many.servers.push_back(server((host + ":1194/udp").c_str()));
        many.servers.push_back(server((host + ":443/tcp").c_str(), {{0}, kServerMark}));
    }
    const auto chains = [](const Ruleset& ruleset) {
        std::vector<std::vector<Chain>> all;
        std::ranges::transform(ruleset.tables, std::back_inserter(all), &Table::chains);
        return all;
    };
    EXPECT_EQ(chains(plan(many)), chains(plan(closed_state())));
    EXPECT_EQ(chains(plan(hostile_state())), chains(plan(closed_state())));
    EXPECT_EQ(chains(plan(up_state(), with_lan(LanPolicy::Kind::Deny))), chains(plan(up_state())));
    Config forward = with_all_roles();
    const auto before = chains(plan(closed_state(), forward));
    forward.forward.push_back(device("br1"));
    forward.inbound.push_back({Transport::Udp, port(7), prefix("203.0.113.0/24")});
    EXPECT_EQ(chains(plan(closed_state(), forward)), before);
}

TEST(Firewall, LogsOnlyIfConfigured)
{
    Config silent;
    silent.log = false;
    EXPECT_TRUE(has_action<Log>(plan(up_state())));
    EXPECT_FALSE(has_action<Log>(plan(up_state(), silent)));
}

// ---- Packets ----

Packet packet_to(const char* to, std::uint8_t protocol = IPPROTO_UDP, std::uint16_t to_port = 9999)
{
    Packet packet;
    packet.destination = address(to);
    packet.source =
        address(packet.destination.family() == Family::V4 ? "192.168.50.10" : "2001:db8:50::10");
    packet.protocol = protocol;
    packet.output = device("eth0");
    if (protocol == IPPROTO_UDP || protocol == IPPROTO_TCP) {
        packet.source_port = port(40000);
        packet.destination_port = port(to_port);
    }
    packet.uid = 1000;
    return packet;
}

bool passes(const Ruleset& ruleset, const Packet& packet, Path path = Path::Sent)
{
    return evaluate_path(ruleset, path, packet).verdict == Verdict::Accept;
}

Packet packet_from(const char* name, const char* from, const char* to,
                   std::uint8_t protocol = IPPROTO_UDP)
{
    Packet packet;
    packet.input = device(name);
    packet.source = address(from);
    packet.destination = address(to);
    packet.protocol = protocol;
    return packet;
}

TEST(Firewall, LoopbackIsOpenInEveryForm)
{
    for (const Ruleset& ruleset : all_rulesets()) {
        Packet packet = packet_to("127.0.0.1");
        packet.output = device("lo");
        EXPECT_TRUE(passes(ruleset, packet));
        EXPECT_TRUE(passes(ruleset, packet_from("lo", "127.0.0.1", "127.0.0.53"), Path::Received));
        EXPECT_TRUE(passes(ruleset, packet_from("lo", "10.8.0.2", "10.8.0.2"), Path::Received))
            << "a tunnel's own address is reached over lo";
    }
}

TEST(Firewall, BaseFormAcceptsLeasesAndDiscovery)
{
    Packet lease = packet_from("eth0", "192.168.50.1", "192.168.50.10");
    lease.source_port = port(67);
    lease.destination_port = port(68);
    EXPECT_TRUE(passes(base_ruleset(), lease, Path::Received));
    lease.destination_port = port(69);
    EXPECT_FALSE(passes(base_ruleset(), lease, Path::Received));
    Packet router = packet_from("eth0", "fe80::1", "ff02::1", IPPROTO_ICMPV6);
    router.icmp_type = 134;
    router.hop_limit = 255;
    EXPECT_TRUE(passes(base_ruleset(), router, Path::Received));
    router.hop_limit = 64;
    EXPECT_FALSE(passes(base_ruleset(), router, Path::Received));
}

TEST(Firewall, AnswersOfServersAreMarkedForSourceValidation)
{
    Packet answer = packet_from("eth0", "203.0.113.2", "192.168.50.10");
    answer.source_port = port(1194);
    answer.destination_port = port(40000);
    answer.flow = TrackedFlow{TrackedFlow::State::Established, kUnderlayMark};
    const auto mark = [&] {
        return evaluate(plan(up_state()), Hook::Prerouting, answer).packet.mark;
    };
    EXPECT_EQ(mark(), kUnderlayMark);
    answer.flow->state = TrackedFlow::State::New;
    EXPECT_EQ(mark(), 0U);
    answer.flow->state = TrackedFlow::State::Established;
    answer.flow->mark = 0;
    EXPECT_EQ(mark(), 0U) << "a flow that no admitted program began";
}

TEST(Firewall, PacketsToInboundServicesAreMarkedForSourceValidation)
{
    const Ruleset ruleset = plan(up_state(), with_all_roles());
    Packet packet = packet_from("eth0", "198.51.100.20", "192.168.50.10", IPPROTO_TCP);
    packet.source_port = port(40000);
    packet.destination_port = port(22);
    const auto mark = [&] { return evaluate(ruleset, Hook::Prerouting, packet).packet.mark; };
    EXPECT_EQ(mark(), kUnderlayMark);
    packet.destination_port = port(23);
    EXPECT_EQ(mark(), 0U);
    packet.destination_port = port(22);
    packet.input = device("tun0");
    EXPECT_EQ(mark(), 0U) << "answered through the tunnel";
    packet.input = device("br0");
    packet.destination = address("203.0.113.99");
    packet.for_others = true;
    EXPECT_EQ(mark(), 0U) << "a guest's own, to another host's service";
}

TEST(Firewall, DnsFromBehindThisMachineGoesToTheFirstResolverOfItsFamily)
{
    const auto resolver = [](const State& state, const char* to, const Config& config) {
        Packet question = packet_from("br0", "172.20.0.2", to);
        if (question.destination.family() == Family::V6) {
            question.source = address("fd20::2");
        }
        question.source_port = port(40000);
        question.destination_port = port(53);
        question.for_others = true;
        return evaluate(plan(state, config), Hook::Prerouting, question)
            .packet.destination.to_string();
    };
    Config config = with_all_roles();
    EXPECT_EQ(resolver(up_state(), "9.9.9.9", config), "10.8.0.1");
    EXPECT_EQ(resolver(up_state(), "2620:fe::9", config), "2620:fe::9") << "there is none";
    EXPECT_EQ(resolver(closed_state(), "9.9.9.9", config), "9.9.9.9");
    config.dns_servers = {address("127.0.0.1"), address("192.0.2.53"), address("2001:db8::53")};
    EXPECT_EQ(resolver(up_state(), "9.9.9.9", config), "192.0.2.53");
    EXPECT_EQ(resolver(up_state(), "2620:fe::9", config), "2001:db8::53");
}

TEST(Firewall, OnlyPacketsFromBehindThisMachineAreTranslatedIntoTunnels)
{
    const Ruleset ruleset = plan(up_state(), with_all_roles());
    Packet packet = packet_from("br0", "172.20.0.2", "198.51.100.20");
    packet.masquerade_source = address("10.8.0.2");
    const auto source = [&](const char* input, const char* output) {
        packet.input = device(input);
        packet.output = device(output);
        return evaluate(ruleset, Hook::Postrouting, packet).packet.source.to_string();
    };
    EXPECT_EQ(source("br0", "tun0"), "10.8.0.2");
    EXPECT_EQ(source("br0", "eth0"), "172.20.0.2");
    EXPECT_EQ(source("br1", "tun0"), "172.20.0.2") << "is not named: it is dropped";
    packet.input.reset();
    packet.source = address("192.168.50.10");
    packet.output = device("tun0");
    EXPECT_EQ(evaluate(ruleset, Hook::Postrouting, packet).packet.source, address("192.168.50.10"))
        << "this machine's own: it is dropped";
}

TEST(Firewall, EssentialFormDropsMultipathInsteadOfStrippingIt)
{
    Packet multipath = packet_to("198.51.100.20", IPPROTO_TCP, 443);
    multipath.output = device("tun0");
    multipath.source = address("10.8.0.2");
    multipath.mptcp = true;
    const Trace stripped = evaluate_path(plan(up_state()), Path::Sent, multipath);
    EXPECT_EQ(stripped.verdict, Verdict::Accept);
    EXPECT_FALSE(stripped.packet.mptcp);

    const Ruleset essential = plan(up_state(), {}, Expressions::Essential);
    EXPECT_FALSE(has_action<StripMptcpOption>(essential));
    EXPECT_FALSE(has_action<Log>(essential));
    EXPECT_FALSE(passes(essential, multipath));
    multipath.mptcp = false;
    EXPECT_TRUE(passes(essential, multipath));
}

TEST(Firewall, EssentialFormNeedsNoRouteLookUp)
{
    const auto asks = [](const Ruleset& ruleset) {
        bool found = false;
        each_rule(ruleset, [&](const Table&, const Rule& rule) {
            found = found || std::ranges::any_of(rule.matches, [](const Match& match) {
                        return std::holds_alternative<ToOthers>(match) ||
                               std::holds_alternative<FromOthers>(match);
                    });
        });
        return found;
    };
    EXPECT_TRUE(asks(plan(up_state())));
    EXPECT_FALSE(asks(plan(up_state(), {}, Expressions::Essential)));
}

TEST(Firewall, PacketsAreFilteredByTheirFinalDevice)
{
    for (const Expressions expressions :
         {Expressions::All, Expressions::WithoutBelt, Expressions::Essential}) {
        Ruleset ruleset = plan(up_state(), {}, expressions);
        std::erase_if(ruleset.tables,
                      [](const Table& table) { return table.family == TableFamily::Netdev; });
        Packet packet = packet_to("192.168.50.20");
        packet.source = address("10.8.0.2");
        for (const char* first : {"tun0", "lo"}) {
            packet.output = device(first);
            EXPECT_TRUE(passes(ruleset, packet)) << first;
            packet.rerouted = device("eth0");
            EXPECT_FALSE(passes(ruleset, packet)) << first;
            packet.rerouted.reset();
        }
    }
}

TEST(Firewall, RefusedTunnelCarriesNothing)
{
    State state = closed_state();
    state.refused = {device("vpn6"), device("eth0")};
    Snapshot seen = snapshot();
    seen.links.push_back({.name = device("vpn6"), .index = 9, .up = true, .can_be_tunnel = true});
    for (const Expressions expressions : {Expressions::All, Expressions::Essential}) {
        const Ruleset ruleset = plan_firewall(state, {}, seen, expressions);
        EXPECT_EQ(plan_firewall(state, {}, snapshot(), expressions).tables, ruleset.tables)
            << "the end of the device changes nothing";
        Packet packet = packet_to("192.168.50.20");
        packet.source = address("192.168.50.10");
        packet.output = device("eth0");
        EXPECT_TRUE(passes(ruleset, packet))
            << "a network card is no tunnel, even with a tunnel's former name";
        packet.rerouted = device("vpn6");
        EXPECT_FALSE(passes(ruleset, packet));
        packet.rerouted.reset();
        packet.output = device("vpn6");
        EXPECT_FALSE(passes(ruleset, packet));
        Packet server = packet_to("203.0.113.2", IPPROTO_UDP, 1194);
        server.uid = 0;
        server.output = device("vpn6");
        EXPECT_FALSE(passes(ruleset, server));
        packet.input = device("vpn6");
        EXPECT_EQ(evaluate(ruleset, Hook::Input, packet).verdict, Verdict::Drop);
    }
}

// What a tunnel device wraps comes in by that device, as forwarded packets do.
TEST(Firewall, TransportOfATunnelInsideATunnelIsNotForwarded)
{
    for (const Expressions expressions : {Expressions::All, Expressions::Essential}) {
        const Ruleset ruleset = plan(up_state(), {}, expressions);
        Packet packet = packet_to("198.51.100.20", IPPROTO_UDP, 51820);
        packet.uid.reset();
        packet.input = device("tun1");
        packet.output = device("eth0");
        packet.flow = TrackedFlow{TrackedFlow::State::Established, 0};
        for (const char* own : {"192.168.50.10", "10.8.0.2"}) {
            packet.source = address(own);
            EXPECT_EQ(evaluate(ruleset, Hook::Postrouting, packet).verdict, Verdict::Drop) << own;
        }
        packet.source = address("198.51.100.20");
        packet.destination = address("172.20.0.2");
        packet.output = device("br0");
        packet.for_others = true;
        EXPECT_EQ(evaluate(ruleset, Hook::Postrouting, packet).verdict, Verdict::Accept)
            << "an answer for a guest";
    }
}

TEST(Firewall, TunnelsAddressesAreGuardedBeforeReassembly)
{
    constexpr int kReassembly = -400; // NF_IP_PRI_CONNTRACK_DEFRAG, linux/netfilter_ipv4.h
    EXPECT_LT(chain(plan(up_state()), "prerouting_raw").base->priority, kReassembly);
}

TEST(Firewall, FlowOfATunnelProgramAdmitsNoOtherUsersSocket)
{
    for (const State& state : {closed_state(), up_state()}) {
        Packet packet = packet_to("203.0.113.2", IPPROTO_UDP, 1194);
        packet.flow = TrackedFlow{TrackedFlow::State::Established, kUnderlayMark};
        EXPECT_FALSE(passes(plan(state), packet));
        packet.uid.reset();
        EXPECT_TRUE(passes(plan(state), packet)) << "the kernel's own";
        packet.uid = 0;
        EXPECT_TRUE(passes(plan(state), packet));
    }
}

TEST(Firewall, TunnelsDoNotCarryEachOthersAddresses)
{
    const Ruleset ruleset = plan(up_state());
    Packet packet = packet_to("198.51.100.20");
    packet.source = address("10.9.0.2");
    packet.output = device("tun1");
    EXPECT_TRUE(passes(ruleset, packet));
    packet.output = device("tun0");
    EXPECT_FALSE(passes(ruleset, packet));
}

TEST(Firewall, TunnelWithADefaultNetmaskHasOnlyItsAddress)
{
    const Ruleset ruleset = plan(hostile_state());
    EXPECT_TRUE(passes(ruleset, packet_to("192.168.50.20"))) << "still the local network";
    Packet forged = packet_from("tun0", "192.168.50.20", "192.168.50.10");
    EXPECT_FALSE(passes(ruleset, forged, Path::Received));
    forged.source = address("198.51.100.20");
    EXPECT_TRUE(passes(ruleset, forged, Path::Received));
}

TEST(Firewall, ServersWithoutPortsAreAdmittedByProtocol)
{
    State state = closed_state();
    state.servers.push_back(server("203.0.113.4/esp"));
    const Ruleset ruleset = plan(state);
    Packet esp = packet_to("203.0.113.4", IPPROTO_ESP);
    EXPECT_FALSE(passes(ruleset, esp));
    esp.uid = 0;
    EXPECT_TRUE(passes(ruleset, esp));
    EXPECT_FALSE(passes(plan(closed_state()), esp));
    Packet gre = esp;
    gre.protocol = IPPROTO_GRE;
    EXPECT_FALSE(passes(ruleset, gre));
    const Packet answer = packet_from("eth0", "203.0.113.4", "192.168.50.10", IPPROTO_ESP);
    EXPECT_TRUE(passes(ruleset, answer, Path::Received));
    EXPECT_FALSE(passes(plan(closed_state()), answer, Path::Received));
}

struct LanCase {
    Config config;
    const char* to;
    bool passes;
};

TEST(Firewall, LocalNetworkIsAsConfigured)
{
    using Kind = LanPolicy::Kind;
    const Config list = with_lan(Kind::List, {prefix("192.168.50.0/28"), prefix("8.8.8.0/24")});
    const std::vector<LanCase> cases = {
        {with_lan(Kind::Deny), "192.168.50.20", false},
        {with_lan(Kind::Deny), "fe80::1", false},
        {with_lan(Kind::Deny), "224.0.0.1", false},
        {with_lan(Kind::OnLink), "192.168.50.20", true},
        {with_lan(Kind::OnLink), "192.168.51.20", false},
        {with_lan(Kind::OnLink), "2001:db8:50::20", false},
        {with_lan(Kind::OnLink), "fe80::1", true},
        {with_lan(Kind::OnLink), "224.0.0.1", true},
        {with_lan(Kind::Private), "172.31.0.1", true},
        {with_lan(Kind::Private), "172.32.0.1", false},
        {with_lan(Kind::Private), "169.254.1.1", true},
        {with_lan(Kind::Private), "fdff::1", true},
        {with_lan(Kind::Private), "ff05::1:3", true},
        {with_lan(Kind::Private), "ff0e::1", false},
        {list, "192.168.50.15", true},
        {list, "192.168.50.16", false},
        {list, "8.8.8.8", true},
        {list, "224.0.0.1", false},
        {strictest_config(), "192.168.50.20", false},
    };
    for (const LanCase& one : cases) {
        EXPECT_EQ(passes(plan(up_state(), one.config), packet_to(one.to)), one.passes)
            << static_cast<int>(one.config.lan.kind) << " " << one.to;
    }
}

// ---- Sweeps: what passes the underlay is on a list that knows nothing of rules ----

constexpr std::array kDestinations = {
    "203.0.113.2",     "203.0.113.3",     "198.51.100.20",   "8.8.8.8",
    "100.64.0.1",      "0.0.0.0",         "255.255.255.255", "240.0.0.1",
    "192.168.50.1",    "192.168.50.20",   "192.168.50.255",  "10.1.2.3",
    "10.8.0.1",        "10.8.0.2",        "10.99.1.1",       "127.0.0.1",
    "169.254.1.1",     "224.0.0.251",     "233.1.2.3",       "239.255.255.250",
    "2001:db8:113::2", "2001:db8:99::20", "2001:db8:50::1",  "2001:db8:c0::53",
    "fd00:8::1",       "fd12::1",         "fe80::1",         "::1",
    "ff02::1",         "ff02::2",         "ff02::16",        "ff02::fb",
    "ff02::1:2",       "ff02::1:ff00:1",  "ff05::1:3",       "ff0e::1"};
constexpr std::array<std::uint8_t, 3> kHopLimits = {255, 64, 1};
constexpr std::uint8_t kIcmp = IPPROTO_ICMP;
constexpr std::uint8_t kIcmpv6 = IPPROTO_ICMPV6;
constexpr std::array<std::uint8_t, 8> kIcmpTypes = {8, 128, 130, 133, 135, 136, 137, 143};

const std::set<std::uint16_t>& swept_ports()
{
    static const auto ports = [] {
        auto numbers = oracle::refused_port_numbers();
        numbers.insert({67, 443, 1194, 51820});
        return numbers;
    }();
    return ports;
}

std::vector<Packet> packets_to(const char* to)
{
    std::vector<Packet> packets;
    for (const auto protocol : {std::uint8_t{IPPROTO_UDP}, std::uint8_t{IPPROTO_TCP}}) {
        for (const std::uint16_t to_port : swept_ports()) {
            packets.push_back(packet_to(to, protocol, to_port));
        }
    }
    Packet lease = packet_to(to, IPPROTO_UDP, 67);
    lease.source_port = port(68);
    packets.push_back(lease);
    lease.destination_port = port(547);
    lease.source_port = port(546);
    packets.push_back(lease);
    for (const std::uint8_t type : kIcmpTypes) {
        const bool v4 = packets.front().destination.family() == Family::V4;
        Packet message = packet_to(to, v4 ? kIcmp : kIcmpv6);
        message.icmp_type = type;
        for (const std::uint8_t hop_limit : kHopLimits) {
            message.hop_limit = hop_limit;
            packets.push_back(message);
        }
    }
    packets.push_back(packet_to(to, IPPROTO_ESP));
    packets.push_back(packet_to(to, IPPROTO_GRE));
    return packets;
}

struct Sender {
    std::optional<uid_t> uid;
    std::uint32_t mark = 0;
};

constexpr std::array<Sender, 7> kSenders = {{{0, 0},
                                             {0, kUnderlayMark},
                                             {65534, 0},
                                             {1000, 0},
                                             {1000, kServerMark},
                                             {{}, 0},
                                             {{}, kServerMark}}};

/// About twenty thousand packets out of eth0: of several users, from several addresses.
template <typename Visit> void sweep(Visit visit)
{
    for (const char* to : kDestinations) {
        for (Packet packet : packets_to(to)) {
            const bool v4 = packet.destination.family() == Family::V4;
            const std::array from = v4 ? std::array{"192.168.50.10", "198.51.100.1"}
                                       : std::array{"2001:db8:50::10", "fe80::10"};
            for (const char* source : from) {
                packet.source = address(source);
                for (const Sender& sender : kSenders) {
                    packet.uid = sender.uid;
                    packet.mark = sender.mark;
                    visit(packet);
                }
            }
        }
    }
}

bool is_inside(const IpAddress& target, std::initializer_list<const char*> prefixes)
{
    return std::ranges::any_of(prefixes,
                               [&](const char* text) { return prefix(text).contains(target); });
}

bool goes_to(const Packet& packet, const char* to, std::uint8_t protocol, std::uint16_t to_port)
{
    return packet.destination == address(to) && packet.protocol == protocol &&
           packet.destination_port == port(to_port);
}

bool is_transport(const Packet& packet)
{
    const bool program = packet.uid == 0U || packet.uid == 65534U;
    return (program && goes_to(packet, "203.0.113.2", IPPROTO_UDP, 1194)) ||
           (program && goes_to(packet, "2001:db8:113::2", IPPROTO_TCP, 443)) ||
           (packet.mark == kServerMark && goes_to(packet, "203.0.113.3", IPPROTO_UDP, 51820));
}

bool is_lease(const Packet& packet)
{
    return (goes_to(packet, "255.255.255.255", IPPROTO_UDP, 67) &&
            packet.source_port == port(68)) ||
           (goes_to(packet, "ff02::1:2", IPPROTO_UDP, 547) && packet.source_port == port(546) &&
            packet.source.is_link_local());
}

bool is_discovery(const Packet& packet, std::initializer_list<const char*> neighbours)
{
    if (packet.protocol != IPPROTO_ICMPV6) {
        return false;
    }
    switch (packet.icmp_type) {
    case 133:
        return packet.hop_limit == 255 && packet.destination == address("ff02::2");
    case 135:
        return packet.hop_limit == 255 && (is_inside(packet.destination, {"ff02::1:ff00:0/104"}) ||
                                           is_inside(packet.destination, neighbours));
    case 136:
        return packet.hop_limit == 255 && (packet.destination == address("ff02::1") ||
                                           is_inside(packet.destination, neighbours));
    case 143:
        return packet.hop_limit == 1 && packet.destination == address("ff02::16");
    default:
        return false;
    }
}

/// As the tests' own list has it, not the product's.
const oracle::RefusedPort* refused_service(const Packet& packet)
{
    return packet.destination_port
               ? oracle::find_refused(packet.protocol, packet.destination_port->number())
               : nullptr;
}

bool is_local(const Packet& packet)
{
    return is_inside(packet.destination, {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                          "169.254.0.0/16", "224.0.0.0/24", "239.255.0.0/16",
                                          "fc00::/7", "fe80::/10", "ff02::/16", "ff05::/16"}) &&
           refused_service(packet) == nullptr;
}

/// Exactly `permitted` packets pass.
template <typename Permitted> void expect_passing(const Ruleset& ruleset, Permitted permitted)
{
    std::size_t count = 0;
    sweep([&](const Packet& packet) {
        ++count;
        const Trace trace = evaluate_path(ruleset, Path::Sent, packet);
        ASSERT_EQ(trace.verdict == Verdict::Accept, permitted(packet))
            << packet.source.to_string() << " to " << packet.destination.to_string() << " protocol "
            << int{packet.protocol} << " port "
            << (packet.destination_port ? packet.destination_port->number() : 0) << " type "
            << int{packet.icmp_type} << " hops " << int{packet.hop_limit} << " uid "
            << static_cast<int>(packet.uid.value_or(uid_t(-1))) << " mark " << packet.mark << ": "
            << trace.steps.front().comment;
    });
    EXPECT_GT(count, 20'000U);
}

bool is_always_permitted(const Packet& packet)
{
    return is_transport(packet) || is_lease(packet) ||
           is_discovery(packet, {"fe80::/10", "2001:db8:50::/64"});
}

TEST(FirewallSweep, BaseFormPassesLeasesAndDiscovery)
{
    expect_passing(base_ruleset(), [](const Packet& packet) {
        return is_lease(packet) || is_discovery(packet, {"fe80::/10"});
    });
}

TEST(FirewallSweep, ClosedPassesTransportHousekeepingAndLan)
{
    expect_passing(plan(closed_state()), [](const Packet& packet) {
        return is_always_permitted(packet) || is_local(packet);
    });
}

TEST(FirewallSweep, UpPassesTheSameExceptTunnelNetworks)
{
    expect_passing(plan(up_state()), [](const Packet& packet) {
        return is_always_permitted(packet) ||
               (is_local(packet) &&
                !is_inside(packet.destination,
                           {"10.8.0.0/24", "10.9.0.0/24", "10.99.0.0/16", "fd00:8::/64"}));
    });
}

TEST(FirewallSweep, StrictestPassesTransportAndHousekeeping)
{
    for (const State& state : {closed_state(), up_state()}) {
        expect_passing(plan(state, strictest_config()), is_always_permitted);
    }
}

TEST(FirewallSweep, ForgottenServersPassHousekeepingOnly)
{
    expect_passing(plan({}, strictest_config()), [](const Packet& packet) {
        return is_lease(packet) || is_discovery(packet, {"fe80::/10", "2001:db8:50::/64"});
    });
}

TEST(FirewallSweep, HostileTunnelOpensNothing)
{
    const Ruleset ruleset = plan(hostile_state());
    const Ruleset before = plan(closed_state());
    sweep([&](const Packet& packet) {
        ASSERT_TRUE(!passes(ruleset, packet) || passes(before, packet))
            << packet.destination.to_string();
    });
}

// What a program sends meets both; what only the belt lets pass, others may put onto the wire.
TEST(FirewallSweep, BeltAndOutputHookAgree)
{
    for (const State& state : {closed_state(), up_state(), hostile_state(), signing_in()}) {
        for (const Config& config :
             {Config(), strictest_config(), with_lan(LanPolicy::Kind::OnLink)}) {
            const Ruleset ruleset = plan(state, config);
            sweep([&](const Packet& packet) {
                ASSERT_EQ(evaluate(ruleset, Hook::Output, packet).verdict == Verdict::Accept,
                          evaluate(ruleset, Hook::Egress, packet).verdict == Verdict::Accept)
                    << packet.destination.to_string();
            });
        }
    }
}

TEST(FirewallSweep, RolesOpenNothingElse)
{
    for (const State& state : {closed_state(), up_state()}) {
        for (const LanPolicy::Kind lan : {LanPolicy::Kind::Private, LanPolicy::Kind::Deny}) {
            Config roles = with_all_roles();
            roles.lan.kind = lan;
            const Ruleset ruleset = plan(state, roles);
            const Ruleset before = plan(state, with_lan(lan));
            sweep([&](const Packet& packet) {
                ASSERT_EQ(passes(ruleset, packet), passes(before, packet))
                    << packet.destination.to_string();
            });
        }
    }
}

TEST(FirewallSweep, ASignInPassesDnsAndWebPages)
{
    Ruleset ruleset = plan(signing_in());
    for (Table& table : ruleset.tables) {
        for (Set& set : table.sets) {
            if (set.handle == sets::kPortalUid) {
                set.elements = {{{Uid{1001}}, {}}};
            } else if (set.handle == sets::kPortalResolver(Family::V4)) {
                set.elements = {{{address("192.168.50.1"), Transport::Udp, port(53)}, {}}};
            }
        }
    }
    const Ruleset before = plan(closed_state());
    std::size_t more = 0;
    sweep([&](Packet packet) {
        ASSERT_EQ(passes(ruleset, packet), passes(before, packet)) << "another user's";
        packet.uid = 1001;
        const bool is_server = packet.destination == address("2001:db8:113::2");
        const bool is_sign_in =
            goes_to(packet, "192.168.50.1", IPPROTO_UDP, 53) ||
            (packet.protocol == IPPROTO_TCP && packet.destination_port == port(443) && !is_server);
        ASSERT_EQ(passes(ruleset, packet), passes(before, packet) || is_sign_in)
            << packet.destination.to_string();
        more += is_sign_in ? 1 : 0;
    });
    EXPECT_GT(more, 100U);
}

TEST(FirewallSweep, DnsNeverPassesOutsideTheTunnel)
{
    Config names;
    names.lan_names = true;
    for (const Ruleset& ruleset :
         {plan(hostile_state()), plan(hostile_state(), names),
          plan(up_state(), with_lan(LanPolicy::Kind::List, {prefix("0.0.0.0/0"), prefix("::/0")})),
          plan(hostile_state(), with_lan(LanPolicy::Kind::OnLink), Expressions::Essential),
          plan(up_state(), with_all_roles()), plan(signing_in(), with_all_roles())}) {
        sweep([&](const Packet& packet) {
            const auto* refused = refused_service(packet);
            if (refused != nullptr && !refused->admitted_by_lan_names) {
                Packet guest = packet;
                guest.input = device("br0");
                ASSERT_FALSE(passes(ruleset, packet)) << packet.destination.to_string();
                ASSERT_FALSE(passes(ruleset, guest, Path::Forwarded))
                    << packet.destination.to_string();
                ASSERT_TRUE(ruleset.tables.size() < 3 || !passes(ruleset, packet, Path::Frame))
                    << packet.destination.to_string();
            }
        });
    }
}

// A refusal is answered to the source: where that lies behind a tunnel, or anywhere in the
// Internet, a neighbour would learn which tunnel this machine uses.
TEST(FirewallSweep, OnlyTheLocalNetworkGetsAnswersToForwardedPackets)
{
    constexpr std::array kSources = {"198.51.100.1", "100.64.0.1",      "10.8.0.1",   "10.8.0.2",
                                     "10.99.1.1",    "172.20.0.2",      "10.1.2.3",   "224.0.0.1",
                                     "fd20::2",      "2001:db8:50::20", "fe80::1",    "fd00:8::1",
                                     "fd00:8::2",    "2001:db8:c0::53", "2001:db8::1"};
    std::size_t refused = 0;
    for (const Ruleset& ruleset : all_rulesets()) {
        sweep([&](Packet packet) {
            if (packet.uid || packet.mark != 0) {
                return; // what is forwarded has no sender
            }
            packet.input = device("br0");
            for (const char* source : kSources) {
                packet.source = address(source);
                if (packet.source.family() == packet.destination.family() &&
                    evaluate(ruleset, Hook::Forward, packet).verdict == Verdict::Reject) {
                    ++refused;
                    Packet answer = packet_to(source, kIcmp);
                    answer.icmp_type = 8;
                    answer.uid.reset();
                    ASSERT_TRUE(passes(ruleset, answer)) << source;
                }
            }
        });
    }
    EXPECT_GT(refused, 1'000U);
}

TEST(FirewallSweep, GuestsReachOnlyTheLocalNetwork)
{
    const Ruleset ruleset = plan(closed_state());
    sweep([&](Packet packet) {
        packet.input = device("br0");
        packet.uid.reset();
        const bool from_local =
            is_inside(packet.source, {"10.0.0.0/8", "192.168.0.0/16", "fc00::/7", "fe80::/10"});
        ASSERT_EQ(passes(ruleset, packet, Path::Forwarded), from_local && is_local(packet))
            << packet.source.to_string() << " to " << packet.destination.to_string();
    });
}

} // namespace
} // namespace failclosed
