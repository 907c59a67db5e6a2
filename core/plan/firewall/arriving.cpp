// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: which packets for this machine are accepted.
#include "core/plan/firewall/arriving.hpp"

#include <string>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/leaving.hpp"

namespace failclosed {

namespace {

// Order matters in every chain: rules that refuse an address come before those that admit a
// network, so that a tunnel's network can never pass as "local network".

/// A guest could forge the source, so that this machine sends answers to that address.
InSet not_from_guests()
{
    return negated(incoming(sets::kGuestDevice));
}

/// Accepts ICMP errors about marked flows only: of VPN servers, inbound services and sign-ins.
void add_icmp_errors(std::vector<Rule>& rules, const std::string& about, HasConntrackMark flow)
{
    const InConntrackState related{.established = false, .related = true};
    rules.push_back(allow("ICMP errors about " + about,
                          {IcmpType{icmp::kDestinationUnreachable}, related, flow}));
    for (const auto type : {icmpv6::kDestinationUnreachable, icmpv6::kPacketTooBig}) {
        rules.push_back(allow("ICMPv6 errors about " + about, {Icmpv6Type{type}, related, flow}));
    }
}

/// Otherwise a neighbour could forge errors about flows inside a tunnel, to end them or to mark
/// them by their packet size (MLLVD-CR-24-05).
void add_local_icmp_errors(std::vector<Rule>& rules)
{
    const InConntrackState related{.established = false, .related = true};
    const auto add = [&](const std::string& kind, Family family, const InSet& error) {
        rules.push_back(allow(kind + " errors about the local network",
                              {error, related, of_flow(kLocalMark), incoming(sets::kLan(family))}));
        rules.push_back(refuse(kind + " errors about other flows", {error}, Verdict::Drop));
    };
    add("ICMP", Family::V4, incoming(sets::kIcmpError));
    add("ICMPv6", Family::V6, incoming(sets::kIcmpv6Error));
}

/// DHCP and router solicitations, sent before these hosts have an address.
void add_requests_from_behind(std::vector<Rule>& rules)
{
    const InSet downstream = incoming(sets::kDownstreamDevice);
    rules.push_back(allow("DHCP requests from behind this machine",
                          {InFamily{Family::V4}, downstream, FromPort{Transport::Udp, port(68)},
                           ToPort{Transport::Udp, port(67)}}));
    rules.push_back(allow("router solicitation from behind this machine",
                          {downstream, Icmpv6Type{icmpv6::kRouterSolicitation}, HopLimit{255}}));
}

/// Otherwise a guest could become this machine's default router (CVE-2020-13401).
Rule no_router_behind()
{
    return refuse("router advertisement from behind this machine",
                  {incoming(sets::kDownstreamDevice), Icmpv6Type{icmpv6::kRouterAdvertisement}},
                  Verdict::Drop);
}

} // namespace

Chain prerouting_raw()
{
    Chain chain{"prerouting_raw", BaseChain{Hook::Prerouting, kPriorityRaw, Verdict::Accept}, {}};
    chain.rules.push_back(allow("loopback", {FromInterface{loopback()}}));
    // CVE-2020-8558: if route_localnet is set. The kernel itself refuses ::1.
    chain.rules.push_back(
        refuse("loopback address from outside", {ToNetwork{prefix("127.0.0.0/8")}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        chain.rules.push_back(
            allow("tunnel address on its own device", {incoming(sets::kTunnelAddress(family))}));
        // CVE-2019-14899. Strict rp_filter does not stop it: early demux skips source validation.
        chain.rules.push_back(refuse("tunnel address on another device",
                                     {incoming(sets::kTunnelDestination(family))}, Verdict::Drop));
    }
    return chain;
}

/// Without the mark rp_filter would expect these sources inside the tunnel; with it, in main.
Chain prerouting_mark(const Needs& needs, bool routes)
{
    Chain chain{
        "prerouting_mark", BaseChain{Hook::Prerouting, kPriorityMangle, Verdict::Accept}, {}};
    auto& rules = chain.rules;
    const InConntrackState answers{.established = true, .related = true};
    rules.push_back(mark("mark answers of VPN servers for rp_filter",
                         {answers, of_flow(kUnderlayMark)}, mark_packet()));
    if (needs.portal) {
        rules.push_back(mark("mark answers to a sign-in for rp_filter",
                             {answers, of_flow(kPortalMark)}, mark_packet()));
    }
    if (needs.inbound) {
        if (routes) {
            // Otherwise packets of guests to the peers of a service would bypass the tunnel.
            rules.push_back(allow("forwarded packet", {ToOthers{}}));
        }
        const InSet not_inside = negated(incoming(sets::kTunnelDevice));
        for (const Family family : kFamilies) {
            rules.push_back(mark("mark packets to inbound services for rp_filter",
                                 {not_inside, not_from_guests(), incoming(sets::kInbound(family))},
                                 mark_packet()));
        }
    }
    return chain;
}

Chain input(const Refusals& refusals, const Needs& needs)
{
    Chain chain{"input", BaseChain{Hook::Input, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    rules.push_back(dispatch("by device", sets::kInputDevice, Direction::Incoming));
    const InConntrackState established{.established = true, .related = false};
    for (const Family family : kFamilies) {
        rules.push_back(
            allow("answers of VPN servers", {established, incoming(sets::kServer(family))}));
        if (needs.portless) {
            rules.push_back(
                allow("answers of VPN servers", {incoming(sets::kPortlessServer(family))}));
        }
        rules.push_back(
            allow("bootstrap DNS answers", {established, incoming(sets::kBootstrap(family))}));
    }
    add_icmp_errors(rules, "VPN servers", of_flow(kUnderlayMark));
    if (needs.portal) {
        rules.push_back(allow("answers to a sign-in", {established, of_flow(kPortalMark)}));
        add_icmp_errors(rules, "a sign-in", of_flow(kPortalMark));
    }
    append(rules, dhcp_in());
    if (needs.downstream) {
        rules.push_back(no_router_behind());
    }
    rules.push_back(allow("neighbour discovery", {HopLimit{255}, incoming(sets::kNeighbourIn)}));
    rules.push_back(listener_query());
    rules.push_back(refuse("ICMP redirect", {IcmpType{icmp::kRedirect}}, Verdict::Drop));
    rules.push_back(refuse("ICMPv6 redirect", {Icmpv6Type{icmpv6::kRedirect}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_network_elsewhere(family));
    }
    if (needs.inbound) {
        for (const Family family : kFamilies) {
            const Rule service =
                allow("inbound service", {not_from_guests(), incoming(sets::kInbound(family))});
            rules.push_back(counted(with(mark_flow(kInboundMark), service)));
        }
        add_icmp_errors(rules, "inbound services", of_flow(kInboundMark));
    }
    if (needs.downstream) {
        add_requests_from_behind(rules);
    }
    add_local_icmp_errors(rules);
    for (const Family family : kFamilies) {
        if (needs.downstream) {
            rules.push_back(from_behind(family));
        }
        rules.push_back(allow("local network", {incoming(sets::kLan(family))}));
    }
    append(rules, refusals("received outside the tunnel", {}, Verdict::Drop));
    return chain;
}

Chain from_tunnel()
{
    Chain chain{chains::kFromTunnel, std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(allow("neighbour discovery inside a tunnel",
                          {HopLimit{255}, incoming(sets::kNeighbourInside)}));
    for (const Family family : kFamilies) {
        rules.push_back(
            allow("from the tunnel's own networks", {incoming(sets::kTunnelSource(family))}));
        rules.push_back(refuse("private source outside the tunnel's networks",
                               {incoming(sets::kPrivateNetwork(family))}, Verdict::Drop));
    }
    rules.push_back(allow("from a tunnel", {}));
    return chain;
}

} // namespace failclosed
