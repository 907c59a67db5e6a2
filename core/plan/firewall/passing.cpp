// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: which packets this machine may forward.
#include "core/plan/firewall/passing.hpp"

#include <algorithm>
#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/names/dns.hpp"

namespace failclosed {

Rule answers_from_tunnel(std::vector<Match> more)
{
    more.insert(more.begin(), incoming(sets::kTunnelDevice));
    more.emplace_back(InConntrackState{.established = true, .related = true});
    return allow("answers from a tunnel", std::move(more));
}

/// The kernel sends ICMP errors and redirects for packets that it cannot forward, or whose options
/// it cannot parse, before any later chain. To remote sources, and along a source route, it would
/// send them through the tunnel. This chain follows destination NAT, so that published services of
/// guests count as forwarded.
Chain prerouting_filter(Expressions expressions)
{
    Chain chain{
        "prerouting_filter", BaseChain{Hook::Prerouting, kPriorityFilter, Verdict::Accept}, {}};
    chain.rules.push_back(dispatch("by device", sets::kInnerDevice, Direction::Incoming));
    chain.rules.push_back(no_source_route());
    if (expressions != Expressions::Essential) {
        chain.rules.push_back(go_to("forwarded packet", {ToOthers{}}, chains::kPassingThrough));
    }
    return chain;
}

Chain passing_through(const Refusals& refusals, const Needs& needs)
{
    Chain chain{chains::kPassingThrough, std::nullopt, {}};
    for (const Family family : kFamilies) {
        chain.rules.push_back(no_tunnel_network_elsewhere(family));
        if (needs.downstream) {
            chain.rules.push_back(from_behind(family));
        }
        chain.rules.push_back(allow("from the local network", {incoming(sets::kLan(family))}));
        chain.rules.push_back(
            allow("from a private network", {incoming(sets::kPrivateNetwork(family))}));
    }
    append(chain.rules, refusals("forwarded from outside the local network", {}, Verdict::Drop));
    return chain;
}

/// Forwarded packets have their final device here. Postrouting filters them once more by the rules
/// for packets of this machine, except answers from a tunnel.
Chain forward(const Refusals& refusals, const Needs& needs)
{
    Chain chain{"forward", BaseChain{Hook::Forward, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    rules.push_back(answers_from_tunnel({}));
    rules.push_back(
        refuse("new flows from a tunnel", {incoming(sets::kTunnelDevice)}, Verdict::Drop));
    rules.push_back(allow("into a tunnel", {outgoing(sets::kTunnelDevice)}));
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_address_elsewhere(family, Verdict::Drop));
        rules.push_back(no_tunnel_network_elsewhere(family));
        if (needs.downstream) {
            rules.push_back(
                allow("between networks behind this machine",
                      {incoming(sets::kDownstreamDevice), outgoing(sets::kDownstream(family))}));
        }
        // Below, refusals are answered: to the local network only, never through a tunnel.
        append(rules, refusals("forwarded outside the tunnel",
                               {negated(incoming(sets::kLan(family)))}, Verdict::Drop));
    }
    rules.push_back(refused_before_lan(Place::Output));
    for (const Family family : kFamilies) {
        rules.push_back(allow("between local networks", {outgoing(sets::kLan(family))}));
    }
    append(rules, refusals("forwarded outside the tunnel", {}, Verdict::Reject));
    return chain;
}

/// Sends DNS queries of networks behind this machine to the tunnel's resolver, unless they are for
/// a resolver of this machine.
Chain redirect_dns(const State& state, const Config& config)
{
    Chain chain{
        "redirect_dns",
        BaseChain{Hook::Prerouting, kPriorityDestinationNat, Verdict::Accept, ChainType::Nat},
        {}};
    const auto resolvers = plan_dns(state, config).resolvers();
    for (const Family family : kFamilies) {
        const auto resolver = std::ranges::find_if(resolvers, [&](const IpAddress& address) {
            return address.family() == family && !address.is_loopback();
        });
        if (resolver == resolvers.end()) {
            continue;
        }
        for (const Transport transport : {Transport::Udp, Transport::Tcp}) {
            chain.rules.push_back(
                counted({.comment = "DNS from behind this machine",
                         .matches = {InFamily{family}, incoming(sets::kDownstreamDevice),
                                     ToPort{transport, port(kDnsPort)}, ToOthers{}},
                         .end = RedirectTo{*resolver}}));
        }
    }
    return chain;
}

/// A VPN server accepts one address of each family as source: the tunnel's.
Chain masquerade()
{
    Chain chain{"masquerade_downstream",
                BaseChain{Hook::Postrouting, kPrioritySourceNat, Verdict::Accept, ChainType::Nat},
                {}};
    chain.rules.push_back(
        counted({.comment = "from behind this machine into a tunnel",
                 .matches = {incoming(sets::kDownstreamDevice), outgoing(sets::kTunnelDevice)},
                 .end = Masquerade{}}));
    return chain;
}

} // namespace failclosed
