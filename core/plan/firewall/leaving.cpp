// SPDX-License-Identifier: GPL-3.0-or-later
// Which packets may leave by a device that is not a tunnel.
#include "core/plan/firewall/leaving.hpp"

#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/refused_services.hpp"

namespace failclosed {

namespace {

// Order matters: rules that refuse a service or an address come before those that admit a network,
// so that DNS, a server's address or a tunnel's network can never pass as "local network".

Verdict refusal(const Leaving& leaving)
{
    return leaving.place == Place::Output ? Verdict::Reject : Verdict::Drop;
}

/// The kernel accepts no chain with `reject` after routing: postrouting has its own chains, which
/// drop.
std::string chain_at(const std::string& name, Place place)
{
    return place == Place::Postrouting ? name + "_silently" : name;
}

/// Admits, and in the output hook marks the flow, so that its answers are recognised.
Rule admit_flow(const Leaving& leaving, std::string comment, std::vector<Match> matches,
                std::uint32_t mark)
{
    Rule rule = allow(std::move(comment), std::move(matches));
    return leaving.place == Place::Output ? with(mark_flow(mark), std::move(rule)) : rule;
}

/// Admits, and in the output hook marks the flow before, so that ICMP errors about it are admitted.
/// Two rules, because a rule that sets a connection mark does not match an untracked packet.
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
        rules.push_back(allow("VPN server, by its tunnel program, later fragment",
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
    // First: while a device has no address of its own, the kernel sends over it with an address of
    // another device, and to a server that address is the tunnel's. At postrouting the output hook
    // has already checked this.
    if (leaving.place != Place::Postrouting) {
        for (const Family family : kFamilies) {
            rules.push_back(no_tunnel_address_elsewhere(family, refusal(leaving)));
        }
    }
    const auto admit = [&](const SetHandle& who) {
        // The connection mark admits answers to the flow, and packets that the kernel sends in it
        // without a socket: data of an offloaded tunnel, resets and final acknowledgements.
        auto rule = admit_flow(leaving, kServerComment, {outgoing(who)}, kUnderlayMark);
        // One counter per packet.
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
    // Egress has no connection marks: the output hook has marked the packets.
    const bool egress = leaving.place == Place::Egress;
    rules.push_back(jump("flow of a tunnel program",
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
    // A program that binds the port of an ended tunnel program would send in that flow.
    chain.rules.push_back(go_back("packet with a socket: not admitted by its flow", {HasSocket{}}));
    for (const Family family : kFamilies) {
        auto rule =
            allow("VPN server, by the kernel in the same flow", {outgoing(sets::kServer(family))});
        if (leaving.place == Place::Output) {
            rule = with(mark_packet(), std::move(rule));
        } else {
            // A guest's socket is not visible here, and its packets keep a mark that it has set.
            rule.matches.emplace_back(outgoing(sets::kOwn(family)));
        }
        chain.rules.push_back(std::move(rule));
    }
    return chain;
}

// ---- Inbound answers, DHCP and neighbour discovery, sign-in ----

/// Only flows begun by a remote host have the connection mark, not those that a local program
/// begins from the service's port. The belt cannot read connection marks, so the packets are marked
/// as well. Guests can set that mark, but have no socket in this network namespace. Answers of this
/// machine have no socket either if the kernel sends them (WireGuard), or if the program has closed
/// its socket before all data was sent: these are recognised by their source.
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
        chain.rules.push_back(admit_flow(leaving, "sign-in to the network: DNS",
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

/// To guests and to the networks behind this machine; DHCP and router advertisements go to hosts
/// without an address, or to groups.
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
        add_local(rules, leaving, "to a network behind this machine",
                  outgoing(sets::kDownstream(family)));
    }
}

/// The log line and the refusal, in a chain of their own, so that packets pay for one look-up.
Chain refused(const std::string& name, const Leaving& leaving, const char* reason, bool logged)
{
    const auto refuse_it = logged ? leaving.refusals : Refusals(/*logged=*/false);
    return {chain_at(name, leaving.place), std::nullopt, refuse_it(reason, {}, refusal(leaving))};
}

const SetOf<Transport, Port, Decision>& refused_service_map(Place place)
{
    return place == Place::Postrouting ? sets::kRefusedServiceSilently : sets::kRefusedService;
}

constexpr const char* kForeignServerComment = "VPN server, not by its tunnel program";

/// What is refused whatever the local network admits: refused services, other people's packets to
/// servers, and addresses and networks of tunnels.
Chain past_tunnel(const Leaving& leaving)
{
    Chain chain{chain_at(chains::kPastTunnel, leaving.place), std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(
        dispatch("refused services", refused_service_map(leaving.place), Direction::Outgoing));
    for (const Family family : kFamilies) {
        // In the other places transport_rules() refuse it.
        if (leaving.place == Place::Postrouting) {
            rules.push_back(no_tunnel_address_elsewhere(family, Verdict::Drop));
        }
        rules.push_back(go_to(kForeignServerComment, {outgoing(sets::kServer(family))},
                              chain_at(chains::kForeignServer, leaving.place)));
        rules.push_back(refuse("tunnel network outside the tunnel",
                               {outgoing(sets::kTunnelNetwork(family))}, refusal(leaving)));
    }
    return chain;
}

} // namespace

/// For example of a flow whose route was taken away: it would show that address to the network.
Rule no_tunnel_address_elsewhere(Family family, Verdict verdict)
{
    return refuse("tunnel address outside the tunnel", {outgoing(sets::kTunnelDestination(family))},
                  verdict);
}

Rule refused_before_lan(Place place)
{
    return jump("services and addresses refused outside the tunnel", {},
                chain_at(chains::kPastTunnel, place));
}

// Dropped, not rejected: the answer to a source route follows the reversed route.
Chain source_route()
{
    Chain chain{chains::kSourceRoute, std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(go_back("Router Alert as the only option", {HasRouterAlertAlone{}}));
    rules.push_back(refuse("IPv4 options", {HasIpOptions{}}, Verdict::Drop));
    // The first match spares most packets the search through their headers.
    rules.push_back(
        refuse("IPv6 routing header", {HasMoreHeaders{}, HasRoutingHeader{}}, Verdict::Drop));
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
    if (leaving.place != Place::Postrouting) { // postrouting shares the chain of the output hook
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
        // For the reason that is counted: postrouting checks the packets that are admitted.
        rules.push_back(no_source_route());
    }
    append(rules, leaving.refusals(egress ? "frame outside the tunnel" : "sent outside the tunnel",
                                   {}, refusal(leaving)));
    return rules;
}

} // namespace failclosed
