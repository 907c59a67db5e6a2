// SPDX-License-Identifier: GPL-3.0-or-later
// The tables, and the chains for packets that leave.
#include "core/plan/firewall/firewall.hpp"

#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/arriving.hpp"
#include "core/plan/firewall/belt.hpp"
#include "core/plan/firewall/passing.hpp"

namespace failclosed {

namespace {

Chain output(const Leaving& leaving)
{
    Chain chain{"output", BaseChain{Hook::Output, kPriorityFilter, Verdict::Drop}, {}};
    chain.rules.push_back(dispatch("by device", sets::kInnerDevice, Direction::Outgoing));
    append(chain.rules, transport_rules(leaving));
    append(chain.rules, leaving_rules(leaving));
    return chain;
}

/// Admits forwarded packets only. Packets that a tunnel device of this machine has encapsulated
/// have an input device too, but their source is an address of this machine.
std::vector<Rule> forwarded_answers(Expressions expressions)
{
    if (expressions != Expressions::Essential) {
        return {answers_from_tunnel({FromOthers{}})};
    }
    std::vector<Rule> rules;
    for (const Family family : kFamilies) {
        rules.push_back(answers_from_tunnel({negated(outgoing(sets::kOwn(family))),
                                             negated(outgoing(sets::kTunnelDestination(family)))}));
    }
    return rules;
}

/// After the output hook a chain of type route or nat can make the kernel choose another device;
/// only postrouting sees the final one. One chain for all packets: a further base chain would cost
/// each packet into a tunnel more than these rules.
Chain postrouting(const Leaving& leaving, Expressions expressions)
{
    Chain chain{"postrouting", BaseChain{Hook::Postrouting, kPriorityAfterNat, Verdict::Drop}, {}};
    chain.rules.push_back(dispatch("by device", sets::kLeavingDevice, Direction::Outgoing));
    chain.rules.push_back(no_source_route());
    append(chain.rules, transport_rules(leaving));
    append(chain.rules, forwarded_answers(expressions));
    append(chain.rules, leaving_rules(leaving));
    return chain;
}

Chain into_tunnel(Expressions expressions)
{
    Chain chain{chains::kIntoTunnel, std::nullopt, {}};
    auto& rules = chain.rules;
    // MPTCP announces the machine's other addresses to the peer (ADD_ADDR).
    if (expressions != Expressions::Essential) {
        rules.push_back({.comment = "no MPTCP inside a tunnel",
                         .matches = {OfTransport{Transport::Tcp}},
                         .actions = {StripMptcpOption{}}});
    } else {
        rules.push_back(refuse("no MPTCP inside a tunnel", {HasMptcpOption{}}, Verdict::Drop));
    }
    const auto from_own = [](Family family) {
        return allow("from the tunnel's own address", {outgoing(sets::kTunnelAddress(family))});
    };
    rules.push_back(from_own(Family::V4));
    // The kernel answers a malformed hop-by-hop header and missing fragments before any rule sees
    // them, on every device: a neighbour could use this to find the tunnel's address, with the
    // source address of its own host.
    for (const auto type : {icmpv6::kTimeExceeded, icmpv6::kParameterProblem}) {
        rules.push_back(
            refuse("ICMPv6 error sent before filtering", {Icmpv6Type{type}}, Verdict::Drop));
    }
    rules.push_back(from_own(Family::V6));
    rules.push_back(
        allow("neighbour discovery inside a tunnel",
              {FromNetwork{prefix("fe80::/10")}, HopLimit{255}, outgoing(sets::kNeighbourInside)}));
    // Flows older than the tunnel would carry the address of the underlay into it.
    rules.push_back(refuse("into a tunnel with another source address", {}, Verdict::Drop));
    return chain;
}

/// ARP on other links neither answers for a tunnel's address nor uses it as source.
Table plan_arp(const State& state)
{
    Table table{TableFamily::Arp, kTableName, {}, {}};
    table.sets = {tunnel_addresses(Family::V4, state), tunnel_destinations(Family::V4, state)};
    const auto chain = [](const char* name, Hook hook, Direction direction) {
        return Chain{
            name,
            BaseChain{hook, kPriorityFilter, Verdict::Accept},
            {allow("tunnel address on its own device",
                   {InSet{sets::kTunnelAddress(Family::V4), direction}}),
             refuse("tunnel address on another device",
                    {InSet{sets::kTunnelDestination(Family::V4), direction}}, Verdict::Drop)}};
    };
    table.chains.push_back(chain("input", Hook::Input, Direction::IncomingArp));
    table.chains.push_back(chain("output", Hook::Output, Direction::OutgoingArp));
    return table;
}

} // namespace

Ruleset plan_firewall(const State& state, const Config& config, const Snapshot& snapshot,
                      Expressions expressions)
{
    if (state.armed == Armed::No) {
        return {};
    }
    const bool essential = expressions == Expressions::Essential;
    const Refusals refusals(config.log && !essential);
    const FirewallInputs in(state, config, snapshot);
    const Leaving leaving{in, refusals, Place::Output};
    const Leaving at_last{in, refusals, Place::Postrouting};
    Table table{TableFamily::Inet, kTableName, leaving_sets(in), leaving_chains(leaving)};
    table.sets.push_back(refused_service_ports(leaving));
    table.sets.push_back(refused_service_ports(at_last));
    if (essential) {
        table.sets.push_back(own_addresses(Family::V4, in));
        table.sets.push_back(own_addresses(Family::V6, in));
    }
    for (auto& set : inet_sets(in)) {
        table.sets.push_back(std::move(set));
    }
    table.chains.push_back(source_route());
    for (auto& chain : leaving_chains(at_last)) {
        table.chains.push_back(std::move(chain));
    }
    const auto add = [&](Chain chain) { table.chains.push_back(std::move(chain)); };
    add(from_tunnel());
    add(into_tunnel(expressions));
    add(prerouting_raw());
    add(prerouting_mark(in.needs, !essential));
    if (!essential) {
        add(passing_through(refusals, in.needs));
    }
    add(prerouting_filter(expressions));
    add(input(refusals, in.needs));
    add(forward(refusals, in.needs));
    add(output(leaving));
    add(postrouting(at_last, expressions));
    if (!essential && in.needs.downstream) {
        add(redirect_dns(state, config));
        add(masquerade());
    }
    Ruleset ruleset{{std::move(table), plan_arp(state)}};
    if (expressions == Expressions::All) {
        ruleset.tables.push_back(plan_belt(in, refusals));
    }
    return ruleset;
}

} // namespace failclosed
