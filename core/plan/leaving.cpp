// SPDX-License-Identifier: GPL-3.0-or-later
// What may leave by a device that is no tunnel.
#include "core/plan/leaving.hpp"

#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/refused_services.hpp"

namespace failclosed {

namespace {

// Order matters: what is refused by name stands before what is admitted by place, so that DNS, a
// server's address or a tunnel's network can never pass as "local network".

Verdict refusal(const Leaving& leaving)
{
    return leaving.place == Place::Output ? Verdict::Reject : Verdict::Drop;
}

/// The kernel takes no chain that answers refusals where a packet is on its way out already, so
/// there is another one without answers.
std::string chain_at(const std::string& name, Place place)
{
    return place == Place::Postrouting ? name + "_silently" : name;
}

/// Admits, and in the output hook notes the flow, so that its answers are known.
Rule admit_flow(const Leaving& leaving, std::string comment, std::vector<Match> matches,
                std::uint32_t mark)
{
    Rule rule = allow(std::move(comment), std::move(matches));
    return leaving.place == Place::Output ? with(mark_flow(mark), std::move(rule)) : rule;
}

/// Admits, and in the output hook notes the flow before, so that ICMP errors about it are known: a
/// packet in no known flow goes out as well, but no rule with a connection mark takes it.
void add_local(std::vector<Rule>& rules, const Leaving& leaving, const std::string& comment,
               const InSet& where)
{
    if (leaving.place == Place::Output) {
        rules.push_back(mark(comment, {where}, mark_flow(kLocalMark)));
    }
    rules.push_back(allow(comment, {where}));
}

// ---- VPN transport ----

void add_later_fragments(std::vector<Rule>& rules, const Needs& needs)
{
    const auto admit = [&](Family family, const SetHandle& who) {
        rules.push_back(allow("VPN server, by its tunnel program, a later fragment",
                              {LaterFragment{family}, outgoing(who)}));
    };
    for (const Family family : kFamilies) {
        admit(family, sets::kVpnHostUid(family));
        if (needs.marks) {
            admit(family, sets::kVpnHostMark(family));
        }
    }
}

} // namespace

std::vector<Rule> transport_rules(const Leaving& leaving)
{
    const Needs& needs = leaving.in.needs;
    std::vector<Rule> rules;
    // Before all that is admitted: while a device has no address of its own, the kernel sends by a
    // route over it with an address of another device, and to a server that is the tunnel's. The
    // output hook has seen that before postrouting.
    if (leaving.place != Place::Postrouting) {
        for (const Family family : kFamilies) {
            rules.push_back(no_tunnel_address_elsewhere(family, refusal(leaving)));
        }
    }
    const auto admit = [&](const SetHandle& who) {
        // The connection mark admits what answers such a flow, and what the kernel itself sends in
        // it: data of an offloaded tunnel, resets and final acknowledgements, which belong to no
        // socket.
        auto rule = admit_flow(leaving, kServerComment, {outgoing(who)}, kUnderlayMark);
        // Once is enough.
        rules.push_back(leaving.place == Place::Output ? counted(std::move(rule)) : rule);
    };
    for (const Family family : kFamilies) {
        admit(sets::kVpnUid(family));
        if (needs.marks) {
            admit(sets::kVpnMark(family));
        }
        if (needs.portless) {
            admit(sets::kVpnPortlessUid(family));
            admit(sets::kVpnPortlessMark(family));
        }
    }
    // Where nothing is known of flows any more, the output hook has marked the packets.
    const bool egress = leaving.place == Place::Egress;
    rules.push_back(jump("in a flow of a tunnel program's",
                         {egress ? Match(marked()) : Match(of_flow(kUnderlayMark))},
                         chains::kAdmittedFlow));
    if (egress) {
        add_later_fragments(rules, needs);
    }
    return rules;
}

namespace {

Chain admitted_flow(const Leaving& leaving)
{
    Chain chain{chains::kAdmittedFlow, std::nullopt, {}};
    // Whoever binds the port of a tunnel program that has ended sends in its flow.
    chain.rules.push_back(go_back("a socket is admitted by its user only", {HasSocket{}}));
    for (const Family family : kFamilies) {
        auto rule =
            allow("VPN server, by the kernel in the same flow", {outgoing(sets::kServer(family))});
        if (leaving.place == Place::Output) {
            rule = with(mark_packet(), std::move(rule));
        } else {
            // A guest's socket is none here, and its packets keep the mark that it has set.
            rule.matches.emplace_back(outgoing(sets::kOwn(family)));
        }
        chain.rules.push_back(std::move(rule));
    }
    return chain;
}

// ---- What answers, asks for an address, or signs in ----

/// Only flows that somebody outside began: a program here that takes the service's port for a flow
/// of its own finds no mark. For the belt, which knows of no flows, the packets are marked as well.
/// Guests can mark theirs: their sockets are another network namespace's, and count as none. But
/// neither have this machine's own answers a socket where the kernel gives them (WireGuard), or
/// where a program has closed before all was sent: these are known by their source.
void add_inbound_answers(std::vector<Rule>& rules, const Leaving& leaving)
{
    const auto answers = [&](Family family, std::vector<Match> matches) {
        matches.emplace_back(outgoing(sets::kInbound(family)));
        return allow("answers of an inbound service", std::move(matches));
    };
    for (const Family family : kFamilies) {
        if (leaving.place != Place::Egress) {
            const InConntrackState established{.established = true, .related = false};
            rules.push_back(
                with(mark_packet(), answers(family, {established, of_flow(kInboundMark)})));
        } else {
            rules.push_back(answers(family, {marked(), HasSocket{}}));
            rules.push_back(answers(family, {marked(), outgoing(sets::kOwn(family))}));
        }
    }
}

std::vector<Rule> neighbours_and_leases()
{
    auto rules = dhcp_out();
    rules.push_back(allow("DHCP renewals to the lease's server",
                          {FromPort{Transport::Udp, port(68)}, ToPort{Transport::Udp, port(67)},
                           outgoing(sets::kLeaseServer)}));
    rules.push_back(allow("neighbour discovery", {HopLimit{255}, outgoing(sets::kNeighbourOut)}));
    rules.push_back(
        allow("multicast listener reports", {HopLimit{1}, outgoing(sets::kListenerOut)}));
    return rules;
}

void add_bootstrap(std::vector<Rule>& rules, const Leaving& leaving)
{
    for (const Family family : kFamilies) {
        rules.push_back(admit_flow(leaving, "bootstrap DNS, by the refresh helper",
                                   {marked(), FromUid{Uid{0}}, outgoing(sets::kBootstrap(family))},
                                   kUnderlayMark));
    }
}

Chain portal(const Leaving& leaving)
{
    Chain chain{chain_at(chains::kPortal, leaving.place), std::nullopt, {}};
    for (const Family family : kFamilies) {
        chain.rules.push_back(admit_flow(leaving, "sign-in to the network: its resolver",
                                         {outgoing(sets::kPortalResolver(family))}, kPortalMark));
    }
    chain.rules.push_back(refused_before_lan(leaving.place));
    for (const int number : {80, 443}) {
        chain.rules.push_back(admit_flow(
            leaving, "sign-in to the network: web pages",
            {ToPort{Transport::Tcp, port(static_cast<std::uint16_t>(number))}}, kPortalMark));
    }
    return chain;
}

void add_portal(std::vector<Rule>& rules, Place place)
{
    const std::string portal = chain_at(chains::kPortal, place);
    rules.push_back(jump("a user signs in to the network", {outgoing(sets::kPortalUid)}, portal));
    rules.push_back(
        jump("a program signs in to the network", {outgoing(sets::kPortalGid)}, portal));
}

/// To guests and to the network behind this machine; what is served to them has no address of
/// theirs yet, or goes to all of them.
void add_downstream(std::vector<Rule>& rules, const Leaving& leaving)
{
    const InSet downstream = outgoing(sets::kDownstreamDevice);
    rules.push_back(allow("DHCP served behind this machine",
                          {InFamily{Family::V4}, downstream, FromPort{Transport::Udp, port(67)},
                           ToPort{Transport::Udp, port(68)}}));
    rules.push_back(allow("router advertisement behind this machine",
                          {downstream, Icmpv6Type{icmpv6::kRouterAdvertisement},
                           ToNetwork{prefix("ff02::1/128")}, HopLimit{255}}));
    for (const Family family : kFamilies) {
        add_local(rules, leaving, "behind this machine", outgoing(sets::kDownstream(family)));
    }
}

/// One look-up leads to the line in the log and the refusal.
Chain refused(const std::string& name, const Leaving& leaving, const char* reason, bool logged)
{
    const auto refuse_it = logged ? leaving.refusals : Refusals(/*logged=*/false);
    return {chain_at(name, leaving.place), std::nullopt, refuse_it(reason, {}, refusal(leaving))};
}

const SetOf<Transport, Port, Decision>& refused_service_map(Place place)
{
    return place == Place::Postrouting ? sets::kRefusedServiceSilently : sets::kRefusedService;
}

constexpr const char* kForeignServerComment = "a VPN server by somebody else";

/// What is refused whatever the local network admits: refused services, other people's packets to
/// servers, and addresses and networks of tunnels.
Chain past_tunnel(const Leaving& leaving)
{
    Chain chain{chain_at(chains::kPastTunnel, leaving.place), std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(
        dispatch("refused services", refused_service_map(leaving.place), Direction::Outgoing));
    for (const Family family : kFamilies) {
        // Elsewhere it is refused before all that is admitted.
        if (leaving.place == Place::Postrouting) {
            rules.push_back(no_tunnel_address_elsewhere(family, Verdict::Drop));
        }
        rules.push_back(go_to(kForeignServerComment, {outgoing(sets::kServer(family))},
                              chain_at(chains::kForeignServer, leaving.place)));
        rules.push_back(refuse("a tunnel's network outside of it",
                               {outgoing(sets::kTunnelNetwork(family))}, refusal(leaving)));
    }
    return chain;
}

} // namespace

/// For example of a flow whose route was taken away: it would show that address to the network.
Rule no_tunnel_address_elsewhere(Family family, Verdict verdict)
{
    return refuse("a tunnel's address outside of it", {outgoing(sets::kTunnelDestination(family))},
                  verdict);
}

Rule refused_before_lan(Place place)
{
    return jump("refused past the tunnel", {}, chain_at(chains::kPastTunnel, place));
}

// Dropped, not rejected: the answer to a source route goes back over the same stations.
Chain source_route()
{
    Chain chain{chains::kSourceRoute, std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(go_back("router alert", {HasRouterAlertAlone{}}));
    rules.push_back(refuse("options of IPv4", {HasIpOptions{}}, Verdict::Drop));
    // The first match spares most packets the search through their headers.
    rules.push_back(
        refuse("routing header", {HasMoreHeaders{}, HasRoutingHeader{}}, Verdict::Drop));
    return chain;
}

Rule no_source_route()
{
    return jump("more than a plain IPv4 header", {HasLongerHeader{}}, chains::kSourceRoute);
}

Set refused_service_ports(const Leaving& leaving)
{
    SetBuilder map(refused_service_map(leaving.place));
    for (const auto& service : refused_services(leaving.in.config)) {
        for (const auto& [transport, number] : service.ports) {
            map.add(transport, port(number), Goto{chain_at(service.chain, leaving.place)});
        }
    }
    return map.take();
}

std::vector<Chain> leaving_chains(const Leaving& leaving)
{
    std::vector<Chain> all;
    for (const auto& service : refused_services(leaving.in.config)) {
        all.push_back(refused(service.chain, leaving, service.reason, service.logged));
    }
    all.push_back(refused(chains::kForeignServer, leaving, kForeignServerComment, true));
    all.push_back(past_tunnel(leaving));
    if (leaving.in.needs.portal) {
        all.push_back(portal(leaving));
    }
    if (leaving.place != Place::Postrouting) { // there it is that of the output hook
        all.push_back(admitted_flow(leaving));
    }
    return all;
}

std::vector<Rule> leaving_rules(const Leaving& leaving)
{
    const Needs& needs = leaving.in.needs;
    const bool egress = leaving.place == Place::Egress;
    std::vector<Rule> rules;
    if (needs.inbound) {
        add_inbound_answers(rules, leaving);
    }
    append(rules, neighbours_and_leases());
    add_bootstrap(rules, leaving);
    if (needs.portal) {
        add_portal(rules, leaving.place);
    }
    if (needs.downstream && !egress) { // these devices have no belt
        add_downstream(rules, leaving);
    }
    rules.push_back(refused_before_lan(leaving.place));
    for (const Family family : kFamilies) {
        add_local(rules, leaving, "local network", outgoing(sets::kLan(family)));
    }
    if (leaving.place == Place::Output) {
        // Elsewhere this stands first. Here postrouting still follows what was admitted.
        rules.push_back(no_source_route());
    }
    append(rules, leaving.refusals(egress ? "onto the wire past the tunnel" : "out past the tunnel",
                                   {}, refusal(leaving)));
    return rules;
}

} // namespace failclosed
