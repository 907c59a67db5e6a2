// SPDX-License-Identifier: GPL-3.0-or-later
// Rules, in the order in which packets meet them, and the sets that they look into.
#include "core/plan/firewall.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/plan/belt.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/dns.hpp"
#include "core/plan/leaving.hpp"

namespace failclosed {

namespace {

// Priorities of linux/netfilter_ipv4.h. Raw comes before reassembly, which answers what it does
// not get whole; the last look at what leaves comes after source NAT, so that it sees the addresses
// that will be on the wire.
constexpr int kPriorityRaw = -450;
constexpr int kPriorityMangle = -150;
constexpr int kPriorityDestinationNat = -100;
constexpr int kPriorityFilter = 0;
constexpr int kPrioritySourceNat = 100;
constexpr int kPriorityAfterNat = 300;

// ---- What every machine needs to have a network at all (also in the base form) ----

// Neighbour discovery names addresses, so it goes to the link's own groups and neighbours only;
// redirects are no part of it.
std::vector<Rule> neighbour_discovery_out()
{
    const auto out = [](const char* comment, std::uint8_t type, const char* to) {
        return allow(comment, {Icmpv6Type{type}, ToNetwork{prefix(to)}, HopLimit{255}});
    };
    const auto listener = [](std::uint8_t type, const char* to) {
        return allow("multicast listener reports",
                     {Icmpv6Type{type}, ToNetwork{prefix(to)}, HopLimit{1}});
    };
    return {out("router solicitation", icmpv6::kRouterSolicitation, "ff02::2/128"),
            out("neighbour solicitation", icmpv6::kNeighbourSolicitation, "ff02::1:ff00:0/104"),
            out("neighbour solicitation", icmpv6::kNeighbourSolicitation, "fe80::/10"),
            out("neighbour advertisement", icmpv6::kNeighbourAdvertisement, "ff02::1/128"),
            out("neighbour advertisement", icmpv6::kNeighbourAdvertisement, "fe80::/10"),
            listener(icmpv6::kListenerReportV2, "ff02::16/128"),
            listener(icmpv6::kListenerReport, "ff02::/16"),
            listener(icmpv6::kListenerDone, "ff02::2/128")};
}

Rule listener_query()
{
    return allow("multicast listener query", {FromNetwork{prefix("fe80::/10")},
                                              Icmpv6Type{icmpv6::kListenerQuery}, HopLimit{1}});
}

std::vector<Rule> neighbour_discovery_in()
{
    return {
        allow("router advertisement", {FromNetwork{prefix("fe80::/10")},
                                       Icmpv6Type{icmpv6::kRouterAdvertisement}, HopLimit{255}}),
        allow("neighbour solicitation",
              {Icmpv6Type{icmpv6::kNeighbourSolicitation}, HopLimit{255}}),
        allow("neighbour advertisement",
              {Icmpv6Type{icmpv6::kNeighbourAdvertisement}, HopLimit{255}}),
        listener_query()};
}

// ---- The full form ----

// Order matters in every chain below: what is refused by name stands before what is admitted by
// place, so that DNS, a server's address or a tunnel's network can never pass as "local network".

Chain prerouting_raw()
{
    Chain chain{"prerouting_raw", BaseChain{Hook::Prerouting, kPriorityRaw, Verdict::Accept}, {}};
    chain.rules.push_back(allow("loopback", {FromInterface{loopback()}}));
    // CVE-2020-8558: somebody has set route_localnet. The kernel itself refuses ::1.
    chain.rules.push_back(
        refuse("loopback from outside", {ToNetwork{prefix("127.0.0.0/8")}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        chain.rules.push_back(allow("a tunnel's address on its own device",
                                    {incoming(sets::tunnel_address(family))}));
        // CVE-2019-14899. Strict rp_filter does not stop it: early demux skips source validation.
        chain.rules.push_back(refuse("a tunnel's address on another device",
                                     {incoming(sets::tunnel_destination(family))}, Verdict::Drop));
    }
    return chain;
}

/// A guest that asks in somebody else's name would have this machine send answers there.
InSet not_from_guests()
{
    return negated(incoming(sets::guest_device));
}

/// rp_filter would look for the other end inside the tunnel; the mark sends it to main.
Chain prerouting_mark(const Needs& needs, bool essential)
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
        if (!essential) {
            // Else guests would be led past the tunnel to where such a service is open.
            rules.push_back(allow("through this machine", {ToOthers{}}));
        }
        const InSet not_inside = negated(incoming(sets::tunnel_device));
        for (const Family family : kFamilies) {
            rules.push_back(mark("and packets to inbound services",
                                 {not_inside, not_from_guests(), incoming(sets::inbound(family))},
                                 mark_packet()));
        }
    }
    return chain;
}

/// Questions of those behind this machine to any resolver but its own go to that of the tunnel.
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
                         .matches = {InFamily{family}, incoming(sets::downstream_device),
                                     ToPort{transport, port(kDnsPort)}, ToOthers{}},
                         .end = RedirectTo{*resolver}}));
        }
    }
    return chain;
}

/// A VPN server knows one address of each family: what comes from behind takes this machine's.
Chain masquerade()
{
    Chain chain{"masquerade_downstream",
                BaseChain{Hook::Postrouting, kPrioritySourceNat, Verdict::Accept, ChainType::Nat},
                {}};
    chain.rules.push_back(
        counted({.comment = "from behind this machine into a tunnel",
                 .matches = {incoming(sets::downstream_device), outgoing(sets::tunnel_device)},
                 .end = Masquerade{}}));
    return chain;
}

/// The kernel answers what it cannot forward ("time exceeded", "unreachable", redirects) before
/// any later chain, and to a source elsewhere it would do so through the tunnel. After the
/// translation of destinations, so that published services of guests count as forwarded.
Chain prerouting_filter()
{
    return {"prerouting_filter",
            BaseChain{Hook::Prerouting, kPriorityFilter, Verdict::Accept},
            {dispatch(sets::inner_device, Direction::Incoming),
             go_to("through this machine", {ToOthers{}}, chains::kPassingThrough)}};
}

Rule no_tunnel_network_elsewhere(Family family)
{
    return refuse("a tunnel's network on another device", {incoming(sets::tunnel_network(family))},
                  Verdict::Drop);
}

Rule from_behind(Family family)
{
    return allow("from behind this machine", {incoming(sets::downstream(family))});
}

Chain passing_through(const Refusals& refusals, const Needs& needs)
{
    Chain chain{chains::kPassingThrough, std::nullopt, {}};
    for (const Family family : kFamilies) {
        chain.rules.push_back(no_tunnel_network_elsewhere(family));
        if (needs.downstream) {
            chain.rules.push_back(from_behind(family));
        }
        chain.rules.push_back(allow("from the local network", {incoming(sets::lan(family))}));
        chain.rules.push_back(
            allow("from a private network", {incoming(sets::private_network(family))}));
    }
    append(chain.rules, refusals("through this machine from elsewhere", {}, Verdict::Drop));
    return chain;
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
    constexpr std::array kTypes = {icmp::kDestinationUnreachable, icmp::kTimeExceeded,
                                   icmp::kParameterProblem};
    constexpr std::array kTypes6 = {icmpv6::kDestinationUnreachable, icmpv6::kPacketTooBig,
                                    icmpv6::kTimeExceeded, icmpv6::kParameterProblem};
    const InConntrackState related{.established = false, .related = true};
    const auto add = [&](const std::string& kind, Family family, const Match& type) {
        rules.push_back(allow(kind + " errors about the local network",
                              {type, related, of_flow(kLocalMark), incoming(sets::lan(family))}));
        rules.push_back(refuse(kind + " errors about other flows", {type}, Verdict::Drop));
    };
    for (const auto type : kTypes) {
        add("ICMP", Family::V4, IcmpType{type});
    }
    for (const auto type : kTypes6) {
        add("ICMPv6", Family::V6, Icmpv6Type{type});
    }
}

/// They have no addresses yet, and ask for them and for routers.
void add_requests_from_behind(std::vector<Rule>& rules)
{
    const InSet downstream = incoming(sets::downstream_device);
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
                  {incoming(sets::downstream_device), Icmpv6Type{icmpv6::kRouterAdvertisement}},
                  Verdict::Drop);
}

Chain input(const Refusals& refusals, const Needs& needs)
{
    Chain chain{"input", BaseChain{Hook::Input, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    rules.push_back(dispatch(sets::input_device, Direction::Incoming));
    const InConntrackState established{.established = true, .related = false};
    for (const Family family : kFamilies) {
        rules.push_back(
            allow("answers of VPN servers", {established, incoming(sets::server(family))}));
        if (needs.portless) {
            rules.push_back(
                allow("answers of VPN servers", {incoming(sets::portless_server(family))}));
        }
        rules.push_back(
            allow("bootstrap DNS answers", {established, incoming(sets::bootstrap(family))}));
    }
    add_icmp_errors(rules, "VPN servers", of_flow(kUnderlayMark));
    if (needs.portal) {
        rules.push_back(
            allow("answers to somebody who signs in", {established, of_flow(kPortalMark)}));
        add_icmp_errors(rules, "a sign-in", of_flow(kPortalMark));
    }
    append(rules, source_route_rules());
    append(rules, dhcp_in());
    if (needs.downstream) {
        rules.push_back(no_router_behind());
    }
    rules.push_back(allow("neighbour discovery", {HopLimit{255}, incoming(sets::neighbour_in)}));
    rules.push_back(listener_query());
    rules.push_back(refuse("ICMP redirect", {IcmpType{icmp::kRedirect}}, Verdict::Drop));
    rules.push_back(refuse("ICMPv6 redirect", {Icmpv6Type{icmpv6::kRedirect}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_network_elsewhere(family));
    }
    if (needs.inbound) {
        for (const Family family : kFamilies) {
            const Rule service =
                allow("inbound service", {not_from_guests(), incoming(sets::inbound(family))});
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
        rules.push_back(allow("local network", {incoming(sets::lan(family))}));
    }
    append(rules, refusals("in from outside the tunnel", {}, Verdict::Drop));
    return chain;
}

Chain from_tunnel()
{
    Chain chain{chains::kFromTunnel, std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(allow("neighbour discovery inside a tunnel",
                          {HopLimit{255}, incoming(sets::neighbour_inside)}));
    for (const Family family : kFamilies) {
        rules.push_back(allow("a tunnel's own networks", {incoming(sets::tunnel_source(family))}));
        rules.push_back(refuse("private sources that are not the tunnel's",
                               {incoming(sets::private_network(family))}, Verdict::Drop));
    }
    rules.push_back(allow("from a tunnel", {}));
    return chain;
}

/// What of others' packets may pass through this machine. `place` is Output in the forward hook,
/// where refusals are answered, or Postrouting.
std::vector<Rule> forwarding_rules(const Refusals& refusals, const Needs& needs, Place place)
{
    const bool answered = place == Place::Output;
    const InSet from_tunnel = incoming(sets::tunnel_device);
    auto rules = source_route_rules({negated(outgoing(sets::tunnel_device))});
    rules.push_back(allow("answers from a tunnel",
                          {from_tunnel, InConntrackState{.established = true, .related = true}}));
    rules.push_back(refuse("new flows from a tunnel", {from_tunnel}, Verdict::Drop));
    rules.push_back(allow("into a tunnel", {outgoing(sets::tunnel_device)}));
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_network_elsewhere(family));
        if (needs.downstream) {
            rules.push_back(
                allow("between networks behind this machine",
                      {incoming(sets::downstream_device), outgoing(sets::downstream(family))}));
        }
        // Below, refusals are answered: to the local network only, never through a tunnel.
        append(rules, refusals("forwarded outside the tunnel",
                               {negated(incoming(sets::lan(family)))}, Verdict::Drop));
    }
    rules.push_back(refused_before_lan(place));
    for (const Family family : kFamilies) {
        rules.push_back(allow("between local networks", {outgoing(sets::lan(family))}));
    }
    append(rules, refusals("forwarded outside the tunnel", {},
                           answered ? Verdict::Reject : Verdict::Drop));
    return rules;
}

Chain forward(const Refusals& refusals, const Needs& needs)
{
    return {"forward", BaseChain{Hook::Forward, kPriorityFilter, Verdict::Drop},
            forwarding_rules(refusals, needs, Place::Output)};
}

Chain output(const Leaving& leaving)
{
    Chain chain{"output", BaseChain{Hook::Output, kPriorityFilter, Verdict::Drop}, {}};
    chain.rules.push_back(dispatch(sets::inner_device, Direction::Outgoing));
    append(chain.rules, transport_rules(leaving));
    append(chain.rules, source_route_rules()); // transport gets this look at postrouting
    append(chain.rules, leaving_rules(leaving));
    return chain;
}

/// What comes in and goes out again, but not what a tunnel device of this machine has wrapped into
/// packets of its own: those too came from a device, and have to be judged as packets from here.
std::vector<Rule> forwarded_rules(Expressions expressions)
{
    const auto rule = [](std::vector<Match> matches) {
        return go_to("through this machine", std::move(matches), chains::kForwarded);
    };
    if (expressions != Expressions::Essential) {
        return {rule({HasInput{}, FromOthers{}})};
    }
    std::vector<Rule> rules;
    for (const Family family : kFamilies) {
        rules.push_back(rule({HasInput{}, negated(outgoing(sets::own(family))),
                              negated(outgoing(sets::tunnel_destination(family)))}));
    }
    return rules;
}

/// The output hook sees the device that was chosen first. A chain of type route or nat there makes
/// the kernel choose anew, and this hook alone sees the outcome. One chain for all: each costs
/// every packet into a tunnel more than the rules that it meets there.
Chain postrouting(const Leaving& leaving, Expressions expressions)
{
    Chain chain{"postrouting", BaseChain{Hook::Postrouting, kPriorityAfterNat, Verdict::Drop}, {}};
    chain.rules.push_back(dispatch(sets::leaving_device, Direction::Outgoing));
    // Transport first, which is most of it.
    append(chain.rules, source_route_rules());
    append(chain.rules, transport_rules(leaving));
    append(chain.rules, forwarded_rules(expressions));
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
        return allow("from the tunnel's own address", {outgoing(sets::tunnel_address(family))});
    };
    rules.push_back(from_own(Family::V4));
    // A malformed hop-by-hop header and missing fragments are answered before any rule sees them,
    // from whatever device they came: so a neighbour could ask, in the name of its own host, who
    // has the tunnel's address.
    for (const auto type : {icmpv6::kTimeExceeded, icmpv6::kParameterProblem}) {
        rules.push_back(
            refuse("ICMPv6 answers before any rule", {Icmpv6Type{type}}, Verdict::Drop));
    }
    rules.push_back(from_own(Family::V6));
    rules.push_back(
        allow("neighbour discovery inside a tunnel",
              {FromNetwork{prefix("fe80::/10")}, HopLimit{255}, outgoing(sets::neighbour_inside)}));
    // Flows older than the tunnel would carry the address of the underlay into it.
    rules.push_back(refuse("into a tunnel from another address", {}, Verdict::Drop));
    return chain;
}

/// The address of a tunnel is neither answered for nor used in ARP on other links.
Table plan_arp(const State& state)
{
    Table table{TableFamily::Arp, kTableName, {}, {}};
    table.sets = {tunnel_addresses(Family::V4, state), tunnel_destinations(Family::V4, state)};
    const auto chain = [](const char* name, Hook hook, Direction direction) {
        return Chain{
            name,
            BaseChain{hook, kPriorityFilter, Verdict::Accept},
            {allow("a tunnel's address on its own device",
                   {InSet{sets::tunnel_address(Family::V4), direction}}),
             refuse("a tunnel's address on another device",
                    {InSet{sets::tunnel_destination(Family::V4), direction}}, Verdict::Drop)}};
    };
    table.chains.push_back(chain("input", Hook::Input, Direction::IncomingArp));
    table.chains.push_back(chain("output", Hook::Output, Direction::OutgoingArp));
    return table;
}

} // namespace

Ruleset base_ruleset()
{
    Table table{TableFamily::Inet, kTableName, {}, {}};
    Chain input{"input", BaseChain{Hook::Input, kPriorityFilter, Verdict::Drop}, {}};
    input.rules.push_back(allow("loopback", {FromInterface{loopback()}}));
    append(input.rules, dhcp_in());
    append(input.rules, neighbour_discovery_in());
    Chain forward{"forward", BaseChain{Hook::Forward, kPriorityFilter, Verdict::Drop}, {}};
    Chain output{"output", BaseChain{Hook::Output, kPriorityFilter, Verdict::Drop}, {}};
    output.rules.push_back(allow("loopback", {ToInterface{loopback()}}));
    output.rules.push_back(refuse("options of IPv4", {HasIpOptions{}}, Verdict::Drop));
    output.rules.push_back(refuse("routing header", {HasRoutingHeader{}}, Verdict::Drop));
    append(output.rules, dhcp_out());
    append(output.rules, neighbour_discovery_out());
    Chain postrouting{"postrouting", BaseChain{Hook::Postrouting, kPriorityAfterNat, Verdict::Drop},
                      output.rules};
    table.chains = {std::move(input), std::move(forward), std::move(output),
                    std::move(postrouting)};
    return {{std::move(table)}};
}

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
    add(prerouting_mark(in.needs, essential));
    add(input(refusals, in.needs));
    add(forward(refusals, in.needs));
    add(output(leaving));
    add({chains::kForwarded, std::nullopt,
         forwarding_rules(refusals, in.needs, Place::Postrouting)});
    add(postrouting(at_last, expressions));
    if (!essential) {
        add(passing_through(refusals, in.needs));
        add(prerouting_filter());
        if (in.needs.downstream) {
            add(redirect_dns(state, config));
            add(masquerade());
        }
    }
    Ruleset ruleset{{std::move(table), plan_arp(state)}};
    if (expressions == Expressions::All) {
        ruleset.tables.push_back(plan_belt(in, refusals));
    }
    return ruleset;
}

} // namespace failclosed
