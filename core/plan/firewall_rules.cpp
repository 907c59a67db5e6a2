// SPDX-License-Identifier: GPL-3.0-or-later
// The words that our tables are written in.
#include "core/plan/firewall_rules.hpp"

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

HasConntrackMark of_admitted_flow()
{
    return {kUnderlayMark, kUnderlayMarkMask};
}

Rule allow(std::string comment, std::vector<Match> matches)
{
    return {std::move(comment), std::move(matches), false, {}, Verdict::Accept};
}

Rule refuse(std::string comment, std::vector<Match> matches, Verdict verdict)
{
    return {std::move(comment), std::move(matches), true, {}, verdict};
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
            {comment, matches, false, {Log{"failclosed: " + comment + ": ", 6, 5}}, {}});
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

} // namespace failclosed
