// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: what may come in.
#include "core/plan/arriving.hpp"

#include <string>

#include "core/plan/constants.hpp"
#include "core/plan/leaving.hpp"

namespace failclosed {

namespace {

// Order matters in every chain: what is refused by name stands before what is admitted by place, so
// that DNS, a server's address or a tunnel's network can never pass as "local network".

/// A guest that asks in somebody else's name would have this machine send answers there.
InSet not_from_guests()
{
    return negated(incoming(sets::kGuestDevice));
}

/// From a server, an inbound service's peer or a page that somebody signs in at: about flows that
/// are known alone.
void add_icmp_errors(std::vector<Rule>& rules, const std::string& about, HasConntrackMark flow)
{
    const InConntrackState related{.established = false, .related = true};
    rules.push_back(allow("ICMP errors about " + about,
                          {IcmpType{icmp::kDestinationUnreachable}, related, flow}));
    for (const auto type : {icmpv6::kDestinationUnreachable, icmpv6::kPacketTooBig}) {
        rules.push_back(allow("ICMPv6 errors about " + about, {Icmpv6Type{type}, related, flow}));
    }
}

/// Whoever is near could else claim errors about flows inside a tunnel: end them, or mark them by
/// the size of their packets (MLLVD-CR-24-05).
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

/// They have no addresses yet, and ask for them and for routers.
void add_requests_from_behind(std::vector<Rule>& rules)
{
    const InSet downstream = incoming(sets::kDownstreamDevice);
    rules.push_back(allow("DHCP requests from behind this machine",
                          {InFamily{Family::V4}, downstream, FromPort{Transport::Udp, port(68)},
                           ToPort{Transport::Udp, port(67)}}));
    rules.push_back(allow("router solicitation from behind this machine",
                          {downstream, Icmpv6Type{icmpv6::kRouterSolicitation}, HopLimit{255}}));
}

/// A guest that says it is a router would become this machine's way out (CVE-2020-13401).
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
    // CVE-2020-8558: somebody has set route_localnet. The kernel itself refuses ::1.
    chain.rules.push_back(
        refuse("loopback from outside", {ToNetwork{prefix("127.0.0.0/8")}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        chain.rules.push_back(allow("a tunnel's address on its own device",
                                    {incoming(sets::kTunnelAddress(family))}));
        // CVE-2019-14899. Strict rp_filter does not stop it: early demux skips source validation.
        chain.rules.push_back(refuse("a tunnel's address on another device",
                                     {incoming(sets::kTunnelDestination(family))}, Verdict::Drop));
    }
    return chain;
}

/// rp_filter would look for the other end inside the tunnel; the mark sends it to main.
Chain prerouting_mark(const Needs& needs, bool routes)
{
    Chain chain{
        "prerouting_mark", BaseChain{Hook::Prerouting, kPriorityMangle, Verdict::Accept}, {}};
    auto& rules = chain.rules;
    const InConntrackState answers{.established = true, .related = true};
    rules.push_back(mark("answers of VPN servers are validated on the underlay",
                         {answers, of_flow(kUnderlayMark)}, mark_packet()));
    if (needs.portal) {
        rules.push_back(mark("so are those to somebody who signs in",
                             {answers, of_flow(kPortalMark)}, mark_packet()));
    }
    if (needs.inbound) {
        if (routes) {
            // Else guests would be led past the tunnel to where such a service is open.
            rules.push_back(allow("through this machine", {ToOthers{}}));
        }
        const InSet not_inside = negated(incoming(sets::kTunnelDevice));
        for (const Family family : kFamilies) {
            rules.push_back(mark("and packets to inbound services",
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
        rules.push_back(
            allow("answers to somebody who signs in", {established, of_flow(kPortalMark)}));
        add_icmp_errors(rules, "a sign-in", of_flow(kPortalMark));
    }
    rules.push_back(no_source_route());
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
    append(rules, refusals("in from outside the tunnel", {}, Verdict::Drop));
    return chain;
}

Chain from_tunnel()
{
    Chain chain{chains::kFromTunnel, std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(allow("neighbour discovery inside a tunnel",
                          {HopLimit{255}, incoming(sets::kNeighbourInside)}));
    for (const Family family : kFamilies) {
        rules.push_back(allow("a tunnel's own networks", {incoming(sets::kTunnelSource(family))}));
        rules.push_back(refuse("private sources that are not the tunnel's",
                               {incoming(sets::kPrivateNetwork(family))}, Verdict::Drop));
    }
    rules.push_back(allow("from a tunnel", {}));
    return chain;
}

} // namespace failclosed
