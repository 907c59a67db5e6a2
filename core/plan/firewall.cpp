// SPDX-License-Identifier: GPL-3.0-or-later
// Rules, in the order in which packets meet them, and the sets that they look into.
#include "core/plan/firewall.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/networks.hpp"

namespace failclosed {

namespace {

// Priorities of linux/netfilter_ipv4.h. Raw comes before reassembly, which answers what it does
// not get whole; the check of what enters a tunnel comes after source NAT, so that it sees the
// address that will be on the wire.
constexpr int kPriorityRaw = -450;
constexpr int kPriorityMangle = -150;
constexpr int kPriorityFilter = 0;
constexpr int kPriorityAfterNat = 300;

namespace icmp {
constexpr std::uint8_t kDestinationUnreachable = 3;
constexpr std::uint8_t kRedirect = 5;
} // namespace icmp

namespace icmpv6 {
constexpr std::uint8_t kDestinationUnreachable = 1;
constexpr std::uint8_t kPacketTooBig = 2;
constexpr std::uint8_t kTimeExceeded = 3;
constexpr std::uint8_t kParameterProblem = 4;
constexpr std::uint8_t kListenerQuery = 130;
constexpr std::uint8_t kListenerReport = 131;
constexpr std::uint8_t kListenerDone = 132;
constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kRouterAdvertisement = 134;
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::uint8_t kRedirect = 137;
constexpr std::uint8_t kListenerReportV2 = 143;
} // namespace icmpv6

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

/// "lan" of IPv4 is the set "lan4".
std::string of_family(const std::string& name, Family family)
{
    return name + (family == Family::V4 ? "4" : "6");
}

Field source(Family family)
{
    return family == Family::V4 ? Field::Source4 : Field::Source6;
}

Field destination(Family family)
{
    return family == Family::V4 ? Field::Destination4 : Field::Destination6;
}

std::vector<Field> endpoint_fields(Family family)
{
    return {destination(family), Field::Protocol, Field::DestinationPort};
}

std::vector<Field> source_endpoint_fields(Family family)
{
    return {source(family), Field::Protocol, Field::SourcePort};
}

/// The flow was begun by an admitted program: its packets, and ICMP errors about it, carry the
/// connection mark that the first one set.
HasConntrackMark of_admitted_flow()
{
    return {kUnderlayMark, kUnderlayMarkMask};
}

std::vector<Field> with_front(Field front, std::vector<Field> fields)
{
    fields.insert(fields.begin(), front);
    return fields;
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

// ---- What every machine needs to have a network at all (also in the base form) ----

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

/// A refusal, and before it the line in the log where the configuration wants one.
class Refusals {
  public:
    explicit Refusals(bool logged) : logged_(logged) {}

    [[nodiscard]] std::vector<Rule>
    operator()(const std::string& comment, const std::vector<Match>& matches, Verdict verdict) const
    {
        std::vector<Rule> rules;
        if (logged_) {
            rules.push_back(
                {comment, matches, false, {Log{"failclosed: " + comment + ": ", 6, 5}}, {}});
        }
        rules.push_back(refuse(comment, matches, verdict));
        return rules;
    }

  private:
    bool logged_;
};

// Order matters in every chain below: what is refused by name stands before what is admitted by
// place, so that DNS, a server's address or a tunnel's network can never pass as "local network".

Chain prerouting_raw()
{
    Chain chain{"prerouting_raw", BaseChain{Hook::Prerouting, kPriorityRaw, Verdict::Accept}, {}};
    chain.rules.push_back(allow("loopback", {FromInterface{loopback()}}));
    for (const Family family : kFamilies) {
        chain.rules.push_back(allow("a tunnel's address on its own device",
                                    {InSet{{Field::InputInterface, destination(family)},
                                           of_family("tunnel_address", family)}}));
        // CVE-2019-14899. Strict rp_filter does not stop it: early demux skips source validation.
        chain.rules.push_back(
            refuse("a tunnel's address on another device",
                   {InSet{{destination(family)}, of_family("tunnel_destination", family)}},
                   Verdict::Drop));
    }
    return chain;
}

Chain prerouting_mark()
{
    Chain chain{
        "prerouting_mark", BaseChain{Hook::Prerouting, kPriorityMangle, Verdict::Accept}, {}};
    // rp_filter would look for the server inside the tunnel; the mark sends it to main.
    chain.rules.push_back(
        {"answers of VPN servers are validated on the underlay",
         {InConntrackState{.established = true, .related = true}, of_admitted_flow()},
         false,
         {SetMark{kUnderlayMark, kUnderlayMarkMask}},
         {}});
    return chain;
}

/// The kernel answers what it cannot forward ("time exceeded", "unreachable", redirects) before
/// any later chain, and to a source elsewhere it would do so through the tunnel. After the
/// translation of destinations, so that published services of guests count as forwarded.
Chain prerouting_filter()
{
    return {"prerouting_filter",
            BaseChain{Hook::Prerouting, kPriorityFilter, Verdict::Accept},
            {{"by device", {}, false, {}, Dispatch{{Field::InputInterface}, "inner_device"}},
             {"through this machine", {ToOthers{}}, false, {}, Goto{"passing_through"}}}};
}

Rule no_tunnel_network_elsewhere(Family family)
{
    return refuse("a tunnel's network on another device",
                  {InSet{{source(family)}, of_family("tunnel_network", family)}}, Verdict::Drop);
}

Chain passing_through(const Refusals& refusals)
{
    Chain chain{"passing_through", std::nullopt, {}};
    for (const Family family : kFamilies) {
        chain.rules.push_back(no_tunnel_network_elsewhere(family));
        chain.rules.push_back(
            allow("from the local network", {InSet{{source(family)}, of_family("lan", family)}}));
        chain.rules.push_back(allow("from a private network",
                                    {InSet{{source(family)}, of_family("private", family)}}));
    }
    append(chain.rules, refusals("through this machine from elsewhere", {}, Verdict::Drop));
    return chain;
}

Chain input(const Refusals& refusals, bool portless)
{
    Chain chain{"input", BaseChain{Hook::Input, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    rules.push_back(
        {"by device", {}, false, {}, Dispatch{{Field::InputInterface}, "input_device"}});
    const InConntrackState established{.established = true, .related = false};
    const InConntrackState related{.established = false, .related = true};
    for (const Family family : kFamilies) {
        rules.push_back(allow(
            "answers of VPN servers",
            {established, InSet{source_endpoint_fields(family), of_family("server", family)}}));
        if (portless) {
            rules.push_back(allow(
                "answers of VPN servers",
                {InSet{{source(family), Field::Protocol}, of_family("portless_server", family)}}));
        }
        rules.push_back(allow(
            "bootstrap DNS answers",
            {established, InSet{source_endpoint_fields(family), of_family("bootstrap", family)}}));
    }
    rules.push_back(allow("ICMP errors about VPN servers",
                          {IcmpType{icmp::kDestinationUnreachable}, related, of_admitted_flow()}));
    for (const auto type : {icmpv6::kDestinationUnreachable, icmpv6::kPacketTooBig}) {
        rules.push_back(allow("ICMPv6 errors about VPN servers",
                              {Icmpv6Type{type}, related, of_admitted_flow()}));
    }
    append(rules, dhcp_in());
    rules.push_back(
        allow("neighbour discovery",
              {HopLimit{255}, InSet{{Field::Icmpv6Kind, Field::Source6}, "neighbour_in"}}));
    rules.push_back(listener_query());
    rules.push_back(refuse("ICMP redirect", {IcmpType{icmp::kRedirect}}, Verdict::Drop));
    rules.push_back(refuse("ICMPv6 redirect", {Icmpv6Type{icmpv6::kRedirect}}, Verdict::Drop));
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_network_elsewhere(family));
        rules.push_back(
            allow("local network", {InSet{{source(family)}, of_family("lan", family)}}));
    }
    append(rules, refusals("in from outside the tunnel", {}, Verdict::Drop));
    return chain;
}

Chain from_tunnel()
{
    Chain chain{"from_tunnel", std::nullopt, {}};
    auto& rules = chain.rules;
    rules.push_back(allow("neighbour discovery inside a tunnel",
                          {HopLimit{255}, InSet{{Field::Icmpv6Kind}, "neighbour_inside"}}));
    for (const Family family : kFamilies) {
        rules.push_back(allow(
            "a tunnel's own networks",
            {InSet{{Field::InputInterface, source(family)}, of_family("tunnel_source", family)}}));
        rules.push_back(refuse("private sources that are not the tunnel's",
                               {InSet{{source(family)}, of_family("private", family)}},
                               Verdict::Drop));
    }
    rules.push_back(allow("from a tunnel", {}));
    return chain;
}

/// What is refused whatever the local network admits: DNS, local name services, other people's
/// packets to servers, and addresses and networks of tunnels.
Chain past_tunnel(const Refusals& refusals, const Config& config)
{
    Chain chain{"past_tunnel", std::nullopt, {}};
    auto& rules = chain.rules;
    append(rules, refusals("DNS outside the tunnel",
                           {InSet{{Field::Protocol, Field::DestinationPort}, "dns_port"}},
                           Verdict::Reject));
    if (!config.lan_names) {
        rules.push_back(refuse("local name service",
                               {InSet{{Field::Protocol, Field::DestinationPort}, "name_port"}},
                               Verdict::Reject));
    }
    for (const Family family : kFamilies) {
        // A flow whose route was taken away would show that address to the local network.
        rules.push_back(refuse("a tunnel's address outside of it",
                               {InSet{{source(family)}, of_family("tunnel_destination", family)}},
                               Verdict::Reject));
        append(rules, refusals("a VPN server by somebody else",
                               {InSet{endpoint_fields(family), of_family("server", family)}},
                               Verdict::Reject));
        rules.push_back(refuse("a tunnel's network outside of it",
                               {InSet{{destination(family)}, of_family("tunnel_network", family)}},
                               Verdict::Reject));
    }
    return chain;
}

/// Stands before every rule that admits the local network.
Rule refused_before_lan()
{
    return {"refused past the tunnel", {}, false, {}, Jump{"past_tunnel"}};
}

Chain forward(const Refusals& refusals)
{
    Chain chain{"forward", BaseChain{Hook::Forward, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    const InSet from_tunnel{{Field::InputInterface}, "tunnel_device"};
    rules.push_back(allow("answers from a tunnel",
                          {from_tunnel, InConntrackState{.established = true, .related = true}}));
    rules.push_back(refuse("new flows from a tunnel", {from_tunnel}, Verdict::Drop));
    rules.push_back(allow("into a tunnel", {InSet{{Field::OutputInterface}, "tunnel_device"}}));
    // Below, refusals are answered: to the local network only, never through a tunnel.
    for (const Family family : kFamilies) {
        rules.push_back(no_tunnel_network_elsewhere(family));
        append(rules,
               refusals("forwarded outside the tunnel",
                        {InSet{{source(family)}, of_family("lan", family), true}}, Verdict::Drop));
    }
    rules.push_back(refused_before_lan());
    for (const Family family : kFamilies) {
        rules.push_back(allow("between local networks",
                              {InSet{{destination(family)}, of_family("lan", family)}}));
    }
    append(rules, refusals("forwarded outside the tunnel", {}, Verdict::Reject));
    return chain;
}

/// The connection mark admits what answers such a flow, and what the kernel itself sends in it:
/// data of an offloaded tunnel, resets and final acknowledgements, which belong to no socket.
SetConntrackMark remember_flow()
{
    return {kUnderlayMark, kUnderlayMarkMask};
}

/// Kinds of servers that few machines have.
struct Needs {
    bool marks = false;
    bool portless = false;
};

std::vector<Rule> vpn_transport(const Needs& needs)
{
    std::vector<Rule> rules;
    const auto admit = [&](const char* set, Field who, Family family, bool ports) {
        auto fields = with_front(who, endpoint_fields(family));
        if (!ports) {
            fields.pop_back();
        }
        rules.push_back({"VPN server, by its tunnel program",
                         {InSet{fields, of_family(set, family)}},
                         true,
                         {remember_flow()},
                         Verdict::Accept});
    };
    for (const Family family : kFamilies) {
        admit("vpn_uid", Field::SocketUid, family, true);
        if (needs.marks) {
            admit("vpn_mark", Field::Mark, family, true);
        }
        if (needs.portless) {
            admit("vpn_portless_uid", Field::SocketUid, family, false);
            admit("vpn_portless_mark", Field::Mark, family, false);
        }
    }
    rules.push_back({"in a flow of a tunnel program's",
                     {of_admitted_flow()},
                     false,
                     {},
                     Jump{"admitted_flow"}});
    return rules;
}

Chain admitted_flow()
{
    Chain chain{"admitted_flow", std::nullopt, {}};
    // Whoever binds the port of a tunnel program that has ended sends in its flow.
    chain.rules.push_back(
        {"a socket is admitted by its user only", {HasSocket{}}, false, {}, Verdict::Return});
    for (const Family family : kFamilies) {
        chain.rules.push_back(allow("VPN server, by the kernel in the same flow",
                                    {InSet{endpoint_fields(family), of_family("server", family)}}));
    }
    return chain;
}

Chain output(const Refusals& refusals, const Needs& needs)
{
    Chain chain{"output", BaseChain{Hook::Output, kPriorityFilter, Verdict::Drop}, {}};
    auto& rules = chain.rules;
    rules.push_back(
        {"by device", {}, false, {}, Dispatch{{Field::OutputInterface}, "inner_device"}});
    append(rules, vpn_transport(needs));
    append(rules, dhcp_out());
    rules.push_back(allow("DHCP renewals to the lease's server",
                          {FromPort{Transport::Udp, port(68)}, ToPort{Transport::Udp, port(67)},
                           InSet{{Field::OutputInterface, Field::Destination4}, "lease_server"}}));
    rules.push_back(
        allow("neighbour discovery",
              {HopLimit{255}, InSet{{Field::Icmpv6Kind, Field::Destination6}, "neighbour_out"}}));
    rules.push_back(
        allow("multicast listener reports",
              {HopLimit{1}, InSet{{Field::Icmpv6Kind, Field::Destination6}, "listener_out"}}));
    for (const Family family : kFamilies) {
        rules.push_back({"bootstrap DNS, by the refresh helper",
                         {FromUid{Uid{0}}, HasMark{kUnderlayMark, kUnderlayMarkMask},
                          InSet{endpoint_fields(family), of_family("bootstrap", family)}},
                         false,
                         {remember_flow()},
                         Verdict::Accept});
    }
    rules.push_back(refused_before_lan());
    for (const Family family : kFamilies) {
        rules.push_back(
            allow("local network", {InSet{{destination(family)}, of_family("lan", family)}}));
    }
    append(rules, refusals("out past the tunnel", {}, Verdict::Reject));
    return chain;
}

Chain postrouting()
{
    Chain chain{
        "postrouting", BaseChain{Hook::Postrouting, kPriorityAfterNat, Verdict::Accept}, {}};
    chain.rules.push_back(
        {"by device", {}, false, {}, Dispatch{{Field::OutputInterface}, "leaving_device"}});
    return chain;
}

Chain into_tunnel(Expressions expressions)
{
    Chain chain{"into_tunnel", std::nullopt, {}};
    auto& rules = chain.rules;
    // MPTCP announces the machine's other addresses to the peer (ADD_ADDR).
    if (expressions == Expressions::All) {
        rules.push_back({"no MPTCP inside a tunnel",
                         {OfTransport{Transport::Tcp}},
                         false,
                         {StripMptcpOption{}},
                         {}});
    } else {
        rules.push_back(refuse("no MPTCP inside a tunnel", {HasMptcpOption{}}, Verdict::Drop));
    }
    const auto from_own = [](Family family) {
        return allow(
            "from the tunnel's own address",
            {InSet{{Field::OutputInterface, source(family)}, of_family("tunnel_address", family)}});
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
    rules.push_back(allow("neighbour discovery inside a tunnel",
                          {FromNetwork{prefix("fe80::/10")}, HopLimit{255},
                           InSet{{Field::Icmpv6Kind}, "neighbour_inside"}}));
    // Flows older than the tunnel would carry the address of the underlay into it.
    rules.push_back(refuse("into a tunnel from another address", {}, Verdict::Drop));
    return chain;
}

// ---- Sets ----

Set elements_of(std::string name, std::vector<Field> key, std::vector<SetElement> elements,
                bool intervals = false)
{
    std::ranges::sort(elements);
    const auto rest = std::ranges::unique(elements);
    elements.erase(rest.begin(), rest.end());
    Set set;
    set.name = std::move(name);
    set.key = std::move(key);
    set.intervals = intervals;
    set.verdicts = !elements.empty() && elements.front().decision.has_value();
    set.elements = std::move(elements);
    return set;
}

Set prefix_set(std::string name, Field field, const std::vector<IpPrefix>& prefixes)
{
    std::vector<SetElement> elements;
    for (const auto& one : prefixes) {
        elements.push_back({{one}, {}});
    }
    return elements_of(std::move(name), {field}, std::move(elements), true);
}

Set device_map(std::string name, Field field, const State& state, bool with_loopback,
               const Decision& for_tunnels)
{
    std::vector<SetElement> elements;
    if (with_loopback) {
        elements.push_back({{loopback()}, Decision(Verdict::Accept)});
    }
    for (const auto& tunnel : state.tunnels) {
        elements.push_back({{tunnel.interface}, for_tunnels});
    }
    Set map = elements_of(std::move(name), {field}, std::move(elements));
    map.verdicts = true;
    return map;
}

Set device_set(std::string name, const State& state)
{
    std::vector<SetElement> elements;
    for (const auto& tunnel : state.tunnels) {
        elements.push_back({{tunnel.interface}, {}});
    }
    return elements_of(std::move(name), {Field::InputInterface}, std::move(elements));
}

/// What neighbour discovery and multicast listener discovery say, and with whom. Solicitations go
/// to the link's own groups and connected networks only, because they name the address that is
/// asked for; redirects are no part of it.
void add_neighbour_sets(std::vector<Set>& sets, const State& state, const Snapshot& snapshot)
{
    const auto element = [](std::uint8_t type, const IpPrefix& network) {
        return SetElement{{Icmpv6Type{type}, network}, {}};
    };
    std::vector<SetElement> out = {
        element(icmpv6::kRouterSolicitation, prefix("ff02::2/128")),
        element(icmpv6::kNeighbourSolicitation, prefix("ff02::1:ff00:0/104")),
        element(icmpv6::kNeighbourAdvertisement, prefix("ff02::1/128"))};
    for (const auto& network : connected_prefixes(Family::V6, state, snapshot)) {
        out.push_back(element(icmpv6::kNeighbourSolicitation, network));
        out.push_back(element(icmpv6::kNeighbourAdvertisement, network));
    }
    sets.push_back(elements_of("neighbour_out", {Field::Icmpv6Kind, Field::Destination6},
                               std::move(out), true));
    sets.push_back(elements_of("listener_out", {Field::Icmpv6Kind, Field::Destination6},
                               {element(icmpv6::kListenerReportV2, prefix("ff02::16/128")),
                                element(icmpv6::kListenerReport, prefix("ff02::/16")),
                                element(icmpv6::kListenerDone, prefix("ff02::2/128"))},
                               true));
    sets.push_back(
        elements_of("neighbour_in", {Field::Icmpv6Kind, Field::Source6},
                    {element(icmpv6::kRouterAdvertisement, prefix("fe80::/10")),
                     element(icmpv6::kNeighbourSolicitation, IpPrefix::any(Family::V6)),
                     element(icmpv6::kNeighbourAdvertisement, IpPrefix::any(Family::V6))},
                    true));
    sets.push_back(elements_of("neighbour_inside", {Field::Icmpv6Kind},
                               {{{Icmpv6Type{icmpv6::kNeighbourSolicitation}}, {}},
                                {{Icmpv6Type{icmpv6::kNeighbourAdvertisement}}, {}}}));
}

Set lease_servers(const State& state, const Snapshot& snapshot)
{
    std::vector<SetElement> elements;
    for (const auto& lease : usable_leases(state, snapshot)) {
        elements.push_back({{lease.interface, lease.server}, {}});
    }
    return elements_of("lease_server", {Field::OutputInterface, Field::Destination4},
                       std::move(elements));
}

/// tunnel_address, tunnel_destination, tunnel_source and tunnel_network of one family.
void add_tunnel_sets(std::vector<Set>& sets, Family family, const State& state)
{
    std::vector<SetElement> addresses;
    std::vector<SetElement> destinations;
    std::vector<SetElement> sources;
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == family) {
                addresses.push_back({{tunnel.interface, own.address}, {}});
                destinations.push_back({{own.address}, {}});
            }
        }
        State alone;
        alone.tunnels = {tunnel};
        for (const auto& network : tunnel_networks(family, alone)) {
            sources.push_back({{tunnel.interface, network}, {}});
        }
    }
    sets.push_back(elements_of(of_family("tunnel_address", family),
                               {Field::InputInterface, destination(family)}, std::move(addresses)));
    sets.push_back(elements_of(of_family("tunnel_destination", family), {destination(family)},
                               std::move(destinations)));
    sets.push_back(elements_of(of_family("tunnel_source", family),
                               {Field::InputInterface, source(family)}, std::move(sources), true));
    sets.push_back(prefix_set(of_family("tunnel_network", family), destination(family),
                              tunnel_networks(family, state)));
}

std::vector<KeyPart> endpoint_key(const Endpoint& endpoint)
{
    std::vector<KeyPart> key{endpoint.address, endpoint.transport};
    if (endpoint.port) {
        key.emplace_back(*endpoint.port);
    }
    return key;
}

/// One set of what may be sent to servers of one family, with or without ports.
template <typename Admitted, typename Key>
Set admitted_set(std::string name, Field who, Family family, bool ports,
                 const std::vector<Admitted>& admitted, Key key_of)
{
    std::vector<SetElement> elements;
    for (const auto& one : admitted) {
        if (one.endpoint.address.family() == family && one.endpoint.port.has_value() == ports) {
            auto key = endpoint_key(one.endpoint);
            key.insert(key.begin(), key_of(one));
            elements.push_back({std::move(key), {}});
        }
    }
    auto fields = with_front(who, endpoint_fields(family));
    if (!ports) {
        fields.pop_back();
    }
    return elements_of(std::move(name), std::move(fields), std::move(elements));
}

Set server_set(std::string name, Family family, bool ports, const Admissions& admitted)
{
    std::vector<SetElement> elements;
    for (const auto& endpoint : admitted.endpoints) {
        if (endpoint.address.family() == family && endpoint.port.has_value() == ports) {
            elements.push_back({endpoint_key(endpoint), {}});
        }
    }
    auto fields = endpoint_fields(family);
    if (!ports) {
        fields.pop_back();
    }
    return elements_of(std::move(name), std::move(fields), std::move(elements));
}

void add_server_sets(std::vector<Set>& sets, Family family, const Admissions& admitted, bool ports,
                     bool marks)
{
    const std::string portless = ports ? "" : "portless_";
    const auto by_uid = [](const AdmittedUid& one) { return KeyPart(Uid{one.uid}); };
    const auto by_mark = [](const AdmittedMark& one) { return KeyPart(Mark{one.mark}); };
    sets.push_back(server_set(of_family(portless + "server", family), family, ports, admitted));
    sets.push_back(admitted_set(of_family("vpn_" + portless + "uid", family), Field::SocketUid,
                                family, ports, admitted.uids, by_uid));
    if (marks) {
        sets.push_back(admitted_set(of_family("vpn_" + portless + "mark", family), Field::Mark,
                                    family, ports, admitted.marks, by_mark));
    }
}

Set port_set(std::string name, const std::vector<std::pair<Transport, std::uint16_t>>& ports)
{
    std::vector<SetElement> elements;
    for (const auto& [transport, number] : ports) {
        elements.push_back({{transport, port(number)}, {}});
    }
    return elements_of(std::move(name), {Field::Protocol, Field::DestinationPort},
                       std::move(elements));
}

std::vector<Set> plan_sets(const State& state, const Config& config, const Snapshot& snapshot,
                           const Admissions& admitted, const Needs& needs)
{
    std::vector<Set> sets;
    sets.push_back(
        device_map("input_device", Field::InputInterface, state, true, Goto{"from_tunnel"}));
    sets.push_back(
        device_map("inner_device", Field::OutputInterface, state, true, Verdict::Accept));
    sets.push_back(
        device_map("leaving_device", Field::OutputInterface, state, false, Goto{"into_tunnel"}));
    sets.push_back(device_set("tunnel_device", state));
    for (const Family family : kFamilies) {
        add_tunnel_sets(sets, family, state);
        add_server_sets(sets, family, admitted, true, needs.marks);
        if (needs.portless) {
            add_server_sets(sets, family, admitted, false, true);
        }
        sets.push_back(bootstrap_set(family));
        sets.push_back(prefix_set(of_family("lan", family), destination(family),
                                  lan_prefixes(family, state, config, snapshot)));
        sets.push_back(
            prefix_set(of_family("private", family), source(family), private_prefixes(family)));
    }
    add_neighbour_sets(sets, state, snapshot);
    sets.push_back(lease_servers(state, snapshot));
    sets.push_back(port_set("dns_port", {{Transport::Udp, 53},
                                         {Transport::Tcp, 53},
                                         {Transport::Udp, 853},
                                         {Transport::Tcp, 853}}));
    if (!config.lan_names) {
        // NetBIOS, mDNS, LLMNR.
        sets.push_back(port_set("name_port", {{Transport::Udp, 137},
                                              {Transport::Udp, 5353},
                                              {Transport::Udp, 5355},
                                              {Transport::Tcp, 5355}}));
    }
    return sets;
}

/// The address of a tunnel is neither answered for nor used in ARP on other links.
Table plan_arp(const State& state)
{
    Table table{TableFamily::Arp, kTableName, {}, {}};
    std::vector<SetElement> addresses;
    std::vector<SetElement> destinations;
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == Family::V4) {
                addresses.push_back({{tunnel.interface, own.address}, {}});
                destinations.push_back({{own.address}, {}});
            }
        }
    }
    table.sets.push_back(elements_of("tunnel_address4", {Field::InputInterface, Field::ArpTarget},
                                     std::move(addresses)));
    table.sets.push_back(
        elements_of("tunnel_destination4", {Field::ArpTarget}, std::move(destinations)));
    const auto chain = [](const char* name, Hook hook, Field device, Field address) {
        return Chain{name,
                     BaseChain{hook, kPriorityFilter, Verdict::Accept},
                     {allow("a tunnel's address on its own device",
                            {InSet{{device, address}, "tunnel_address4"}}),
                      refuse("a tunnel's address on another device",
                             {InSet{{address}, "tunnel_destination4"}}, Verdict::Drop)}};
    };
    table.chains.push_back(chain("input", Hook::Input, Field::InputInterface, Field::ArpTarget));
    table.chains.push_back(chain("output", Hook::Output, Field::OutputInterface, Field::ArpSource));
    return table;
}

} // namespace

Set bootstrap_set(Family family)
{
    Set set;
    set.name = of_family("bootstrap", family);
    set.key = endpoint_fields(family);
    set.timeouts = true;
    return set;
}

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
    append(output.rules, dhcp_out());
    append(output.rules, neighbour_discovery_out());
    table.chains = {std::move(input), std::move(forward), std::move(output)};
    return {{std::move(table)}};
}

Ruleset plan_firewall(const State& state, const Config& config, const Snapshot& snapshot,
                      Expressions expressions)
{
    if (state.armed == Armed::No) {
        return {};
    }
    const Refusals refusals(config.log && expressions == Expressions::All);
    const Admissions admitted = admissions(state);
    const bool all_ports = std::ranges::all_of(
        admitted.endpoints, [](const Endpoint& endpoint) { return endpoint.port.has_value(); });
    const Needs needs{.marks = !admitted.marks.empty(), .portless = !all_ports};
    Table table{TableFamily::Inet, kTableName, {}, {}};
    table.sets = plan_sets(state, config, snapshot, admitted, needs);
    table.chains = {from_tunnel(),
                    into_tunnel(expressions),
                    past_tunnel(refusals, config),
                    admitted_flow(),
                    prerouting_raw(),
                    prerouting_mark(),
                    input(refusals, needs.portless),
                    forward(refusals),
                    output(refusals, needs),
                    postrouting()};
    if (expressions == Expressions::All) {
        table.chains.push_back(passing_through(refusals));
        table.chains.push_back(prerouting_filter());
    }
    return {{std::move(table), plan_arp(state)}};
}

} // namespace failclosed
