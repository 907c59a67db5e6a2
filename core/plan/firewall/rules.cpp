// SPDX-License-Identifier: GPL-3.0-or-later
// Helpers to write rules.
#include "core/plan/firewall/rules.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/plan/constants.hpp"

namespace failclosed {

InterfaceName loopback()
{
    return *InterfaceName::parse("lo");
}

IpPrefix prefix(const char* text)
{
    return *IpPrefix::parse(text);
}

Port port(std::uint16_t number)
{
    return *Port::make(number);
}

InSet outgoing(const SetHandle& set)
{
    return {set, Direction::Outgoing};
}

InSet incoming(const SetHandle& set)
{
    return {set, Direction::Incoming};
}

InSet negated(InSet match)
{
    match.negated = !match.negated;
    return match;
}

HasMark marked()
{
    return {kUnderlayMark, kUnderlayMarkMask};
}

SetMark mark_packet()
{
    return {kUnderlayMark, kUnderlayMarkMask};
}

HasConntrackMark of_flow(std::uint32_t mark)
{
    return {mark, kUnderlayMarkMask};
}

SetConntrackMark mark_flow(std::uint32_t mark)
{
    return {mark, kUnderlayMarkMask};
}

Rule allow(std::string comment, std::vector<Match> matches)
{
    return {.comment = std::move(comment), .matches = std::move(matches), .end = Verdict::Accept};
}

Rule refuse(std::string comment, std::vector<Match> matches, Verdict verdict)
{
    return counted({.comment = std::move(comment), .matches = std::move(matches), .end = verdict});
}

Rule mark(std::string comment, std::vector<Match> matches, Action action)
{
    return with(std::move(action), {.comment = std::move(comment), .matches = std::move(matches)});
}

Rule jump(std::string comment, std::vector<Match> matches, std::string chain)
{
    return {.comment = std::move(comment),
            .matches = std::move(matches),
            .end = Jump{std::move(chain)}};
}

Rule go_to(std::string comment, std::vector<Match> matches, std::string chain)
{
    return {.comment = std::move(comment),
            .matches = std::move(matches),
            .end = Goto{std::move(chain)}};
}

Rule go_back(std::string comment, std::vector<Match> matches)
{
    return {.comment = std::move(comment), .matches = std::move(matches), .end = Verdict::Return};
}

Rule dispatch(std::string comment, const SetHandle& map, Direction direction)
{
    return {.comment = std::move(comment), .end = Dispatch{map, direction}};
}

Rule counted(Rule rule)
{
    rule.counted = true;
    return rule;
}

Rule with(Action action, Rule rule)
{
    rule.actions.push_back(std::move(action));
    return rule;
}

void append(std::vector<Rule>& rules, std::vector<Rule> more)
{
    rules.insert(rules.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
}

std::vector<Rule> Refusals::operator()(const std::string& comment,
                                       const std::vector<Match>& matches, Verdict verdict) const
{
    std::vector<Rule> rules;
    if (logged_) {
        rules.push_back(
            {.comment = comment,
             .matches = matches,
             .actions = {
                 Log{.prefix = "failclosed: " + comment + ": ", .per_minute = 6, .burst = 5}}});
    }
    rules.push_back(refuse(comment, matches, verdict));
    return rules;
}

Needs needs_of(const State& state, const Config& config, const Admissions& admitted)
{
    return {
        .marks = !admitted.marks.empty(),
        .portless = !std::ranges::all_of(
            admitted.endpoints, [](const Endpoint& endpoint) { return endpoint.port.has_value(); }),
        .portal = state.portal.has_value(),
        .inbound = !config.inbound.empty(),
        .downstream = !config.forward.empty()};
}

std::vector<Rule> dhcp_out()
{
    return {allow("DHCP requests",
                  {InFamily{Family::V4}, ToNetwork{prefix("255.255.255.255/32")},
                   FromPort{Transport::Udp, port(68)}, ToPort{Transport::Udp, port(67)}}),
            allow("DHCPv6 requests",
                  {FromNetwork{prefix("fe80::/10")}, ToNetwork{prefix("ff02::1:2/128")},
                   FromPort{Transport::Udp, port(546)}, ToPort{Transport::Udp, port(547)}})};
}

std::vector<Rule> dhcp_in()
{
    return {allow("DHCP answers", {InFamily{Family::V4}, FromPort{Transport::Udp, port(67)},
                                   ToPort{Transport::Udp, port(68)}}),
            allow("DHCPv6 answers",
                  {FromNetwork{prefix("fe80::/10")}, ToNetwork{prefix("fe80::/10")},
                   FromPort{Transport::Udp, port(547)}, ToPort{Transport::Udp, port(546)}})};
}

Rule listener_query()
{
    return allow("multicast listener query", {FromNetwork{prefix("fe80::/10")},
                                              Icmpv6Type{icmpv6::kListenerQuery}, HopLimit{1}});
}

Rule no_tunnel_network_elsewhere(Family family)
{
    return refuse("tunnel network on another device", {incoming(sets::kTunnelNetwork(family))},
                  Verdict::Drop);
}

Rule from_behind(Family family)
{
    return allow("from a network behind this machine", {incoming(sets::kDownstream(family))});
}

} // namespace failclosed
