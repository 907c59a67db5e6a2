// SPDX-License-Identifier: GPL-3.0-or-later
// Plans rules and routes that lead every packet into the tunnel.
#include "core/plan/routing/routing.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include <linux/rtnetlink.h>

#include "core/plan/constants.hpp"
#include "core/plan/refused_services.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

constexpr std::uint32_t kMetric = 1024;
// Not the highest number, which IPv6 uses for its own empty entry.
constexpr std::uint32_t kLastMetric = 0xfffffffe;

/// Inputs of all parts of a plan.
struct Inputs {
    const State& state;
    const Config& config;
    const Snapshot& snapshot;
};

RoutingRule lookup(Family family, std::uint32_t priority, std::uint32_t table)
{
    return {.family = family,
            .priority = priority,
            .action = RoutingRule::Action::Lookup,
            .target = table};
}

RoutingRule goto_servers(const Endpoint& endpoint)
{
    return {.family = endpoint.address.family(),
            .priority = kAdmittedPriority,
            .action = RoutingRule::Action::Goto,
            .target = kServerPriority};
}

std::uint32_t table_of_tunnel(std::size_t position)
{
    return kSingleTunnelTable + static_cast<std::uint32_t>(position);
}

bool has_several_tunnels(const State& state)
{
    return state.tunnels.size() > 1;
}

/// The device of `tunnel` if it can be used for `family` now, otherwise null.
const Link* usable_link(const Tunnel& tunnel, Family family, const Snapshot& snapshot)
{
    const auto in_family = [&](const InterfaceAddress& address) {
        return address.address.family() == family;
    };
    const Link* link = snapshot.find(tunnel.interface);
    return link != nullptr && link->up && std::ranges::any_of(tunnel.addresses, in_family) &&
                   std::ranges::any_of(link->addresses, in_family)
               ? link
               : nullptr;
}

// ---- Routes ----

Route through(const Tunnel& tunnel, const Link& link, std::uint32_t table,
              const IpPrefix& destination)
{
    Route route{table, destination, kMetric, Route::Type::Unicast, link.index, std::nullopt};
    const bool on_link =
        link.point_to_point ||
        std::ranges::any_of(tunnel.addresses, [&](const InterfaceAddress& address) {
            return address.prefix().contains(destination);
        });
    const auto gateway =
        std::ranges::find(tunnel.gateways, destination.family(), &IpAddress::family);
    if (!on_link && gateway != tunnel.gateways.end()) {
        route.gateway = *gateway;
    }
    return route;
}

void add_throw(std::vector<Route>& routes, const IpPrefix& destination)
{
    routes.push_back({kServerTable, destination, kMetric, Route::Type::Throw, 0, std::nullopt});
}

void add_networks(std::vector<Route>& routes, const Tunnel& tunnel, const Link& link,
                  std::uint32_t table, Family family)
{
    State alone;
    alone.tunnels = {tunnel};
    for (const auto& network : tunnel_networks(family, alone)) {
        routes.push_back(through(tunnel, link, table, network));
    }
}

void add_default(std::vector<Route>& routes, const Tunnel& tunnel, const Link& link,
                 std::uint32_t table, Family family)
{
    routes.push_back(through(tunnel, link, table, IpPrefix::any(family)));
}

void add_unreachable(std::vector<Route>& routes, std::uint32_t table, const IpPrefix& destination)
{
    routes.push_back({table, destination, kLastMetric, Route::Type::Unreachable, 0, std::nullopt});
}

/// The networks of all tunnels, the default route of the first one, and an unreachable default.
void add_shared_table(std::vector<Route>& routes, const Inputs& in, std::uint32_t table,
                      Family family)
{
    for (const auto& tunnel : in.state.tunnels) {
        const Link* link = usable_link(tunnel, family, in.snapshot);
        if (link == nullptr) {
            continue;
        }
        add_networks(routes, tunnel, *link, table, family);
        if (&tunnel == &in.state.tunnels.front()) {
            add_default(routes, tunnel, *link, table, family);
        }
    }
    add_unreachable(routes, table, IpPrefix::any(family));
}

/// Each network inside a tunnel; if that tunnel has ended or cannot be used, into the first one or
/// unreachable. The kernel removes the routes of a device that vanishes before any event announces
/// it.
void add_network_table(std::vector<Route>& routes, const Inputs& in, Family family)
{
    const Link* first = nullptr;
    for (const auto& tunnel : in.state.tunnels) {
        const Link* link = usable_link(tunnel, family, in.snapshot);
        if (link != nullptr) {
            add_networks(routes, tunnel, *link, kNetworkTable, family);
            first = &tunnel == &in.state.tunnels.front() ? link : first;
        }
    }
    for (const auto& network : tunnel_networks(family, in.state)) {
        if (first != nullptr) {
            routes.push_back(through(in.state.tunnels.front(), *first, kNetworkTable, network));
        }
        add_unreachable(routes, kNetworkTable, network);
    }
}

void add_tables_of_tunnels(std::vector<Route>& routes, const Inputs& in, Family family)
{
    for (std::size_t i = 0; i < in.state.tunnels.size(); ++i) {
        const auto& tunnel = in.state.tunnels[i];
        const Link* link = usable_link(tunnel, family, in.snapshot);
        if (link != nullptr) {
            add_networks(routes, tunnel, *link, table_of_tunnel(i), family);
            add_default(routes, tunnel, *link, table_of_tunnel(i), family);
        }
        add_unreachable(routes, table_of_tunnel(i), IpPrefix::any(family));
    }
}

/// The underlay's default routes, for admitted packets that main would lead back into the tunnel.
void add_underlay_defaults(std::vector<Route>& routes, const Inputs& in, Family family)
{
    if (in.state.tunnels.empty()) {
        return;
    }
    for (const auto& found : underlay_defaults(family, in.state, in.snapshot)) {
        routes.push_back({kUnderlayTable, IpPrefix::any(family), found.metric, Route::Type::Unicast,
                          found.device, found.gateway});
    }
}

/// A tunnel program adds the tunnel's networks to main as well. Its own packets to a server inside
/// such a network would go back into the tunnel, so these servers have routes that precede main.
void add_servers_inside(std::vector<Route>& routes, const Inputs& in, const Admissions& admitted,
                        Family family)
{
    if (in.state.tunnels.empty()) {
        return;
    }
    const auto networks = tunnel_networks(family, in.state);
    for (const auto& endpoint : admitted.endpoints) {
        const bool is_inside = std::ranges::any_of(
            networks, [&](const IpPrefix& network) { return network.contains(endpoint.address); });
        const auto path =
            is_inside ? path_to(endpoint.address, in.state, in.snapshot) : std::nullopt;
        const Link* link = path ? in.snapshot.find(path->interface) : nullptr;
        if (link != nullptr) {
            routes.push_back({kUnderlayTable, IpPrefix::host(endpoint.address), kMetric,
                              Route::Type::Unicast, link->index, path->gateway});
        }
    }
}

/// Table S, for admitted users: throws for the servers and the local network.
void add_throws(std::vector<Route>& routes, const Inputs& in, const Admissions& admitted,
                Family family)
{
    for (const auto& endpoint : admitted.endpoints) {
        if (endpoint.address.family() == family) {
            add_throw(routes, IpPrefix::host(endpoint.address));
        }
    }
    const auto networks = tunnel_networks(family, in.state);
    for (const auto& lan : lan_prefixes(family, in.state, in.config, in.snapshot)) {
        const bool inside_tunnel = std::ranges::any_of(
            networks, [&](const IpPrefix& network) { return network.contains(lan); });
        if (!inside_tunnel) {
            add_throw(routes, lan);
        }
    }
}

auto key(const Route& route)
{
    return std::tie(route.table, route.destination, route.metric);
}

/// Keeps the first of several routes with the same kernel key.
std::vector<Route> first_of_each_key(std::vector<Route> routes)
{
    std::ranges::stable_sort(routes, {}, key);
    const auto rest = std::ranges::unique(routes, {}, key);
    routes.erase(rest.begin(), rest.end());
    return routes;
}

std::vector<Route> plan_routes(const Inputs& in, const Admissions& admitted)
{
    std::vector<Route> routes;
    for (const auto family : kFamilies) {
        // Before the networks: a server inside a pushed network is reached outside the tunnel.
        add_throws(routes, in, admitted, family);
        add_shared_table(routes, in, kTunnelTable, family);
        add_shared_table(routes, in, kServerTable, family);
        add_network_table(routes, in, family);
        add_underlay_defaults(routes, in, family);
        add_servers_inside(routes, in, admitted, family);
        if (has_several_tunnels(in.state)) {
            add_tables_of_tunnels(routes, in, family);
        }
    }
    return first_of_each_key(std::move(routes));
}

// ---- Rules ----

void add_admitted(std::vector<RoutingRule>& rules, const Admissions& admitted)
{
    for (const auto& [uid, endpoint] : admitted.uids) {
        auto rule = goto_servers(endpoint);
        // Only packets of this machine: forwarded ones would match uid 0.
        rule.local_only = true;
        rule.uid = uid;
        rule.transport = endpoint.transport;
        rule.destination_port = endpoint.port;
        rules.push_back(rule);
    }
    for (const auto& [mark, endpoint] : admitted.marks) {
        auto rule = goto_servers(endpoint);
        rule.mark = mark;
        rules.push_back(rule);
    }
}

/// A renewal goes to the lease's server, which may be outside the local network.
void add_lease_servers(std::vector<RoutingRule>& rules, const Inputs& in)
{
    const auto lan = lan_prefixes(Family::V4, in.state, in.config, in.snapshot);
    for (const auto& lease : usable_leases(in.state, in.snapshot)) {
        if (std::ranges::any_of(
                lan, [&](const IpPrefix& prefix) { return prefix.contains(lease.server); })) {
            continue;
        }
        rules.push_back({.family = Family::V4,
                         .priority = kUnderlayPriority,
                         .action = RoutingRule::Action::Goto,
                         .target = kPastTunnelPriority,
                         .to = IpPrefix::host(lease.server),
                         .local_only = true,
                         .transport = Transport::Udp,
                         .destination_port = Port::make(67)});
    }
}

/// Packets from a tunnel's address stay in that tunnel.
void add_tunnel_sources(std::vector<RoutingRule>& rules, const State& state, std::uint32_t priority)
{
    for (std::size_t i = 0; i < state.tunnels.size(); ++i) {
        for (const auto& [address, length] : state.tunnels[i].addresses) {
            if (!address.is_link_local()) {
                auto rule = lookup(address.family(), priority,
                                   has_several_tunnels(state) ? table_of_tunnel(i) : kTunnelTable);
                rule.from = IpPrefix::host(address);
                rules.push_back(rule);
            }
        }
    }
}

/// Answers of an inbound service leave the way the request came, also through a tunnel. The
/// firewall admits them only in a flow that a remote host began.
void add_inbound(std::vector<RoutingRule>& rules, const Inputs& in)
{
    if (!in.config.inbound.empty()) {
        add_tunnel_sources(rules, in.state, kTunnelAnswerPriority);
    }
    for (const auto& service : in.config.inbound) {
        // In the kernel, a rule for all destinations has no destination.
        const bool is_any = service.from.length() == 0;
        rules.push_back({.family = service.from.family(),
                         .priority = kInboundPriority,
                         .action = RoutingRule::Action::Goto,
                         .target = kPastTunnelPriority,
                         .to = is_any ? std::nullopt : std::optional(service.from),
                         .local_only = true,
                         .transport = service.transport,
                         .source_port = service.port});
    }
}

/// A sign-in: DNS to the network's resolvers and web pages outside the tunnel.
void add_portal(std::vector<RoutingRule>& rules, const State& state)
{
    if (!state.portal) {
        return;
    }
    const auto add = [&](Family family, std::optional<IpPrefix> to, Transport transport,
                         std::uint16_t number) {
        rules.push_back({.family = family,
                         .priority = kPortalPriority,
                         .action = RoutingRule::Action::Goto,
                         .target = kPastTunnelPriority,
                         .to = to,
                         .local_only = true,
                         .uid = state.portal->uid,
                         .transport = transport,
                         .destination_port = Port::make(number)});
    };
    for (const auto& resolver : state.portal->resolvers) {
        add(resolver.family(), IpPrefix::host(resolver), Transport::Udp, 53);
        add(resolver.family(), IpPrefix::host(resolver), Transport::Tcp, 53);
    }
    for (const Family family : kFamilies) {
        add(family, std::nullopt, Transport::Tcp, 80);
        add(family, std::nullopt, Transport::Tcp, 443);
    }
}

RoutingRule to_local_network(const IpPrefix& prefix)
{
    return {.family = prefix.family(),
            .priority = kLanPriority,
            .action = RoutingRule::Action::Goto,
            .target = kLocalPriority,
            .to = prefix};
}

/// Guests and networks behind this machine, independent of `lan`.
void add_downstream(std::vector<RoutingRule>& rules, const Inputs& in, Family family)
{
    for (const auto& network : downstream_networks(family, in.state, in.config, in.snapshot)) {
        if (network.prefix.address().is_link_local()) {
            // For answers to DHCPv6. These addresses exist on every device: the firewall checks the
            // device.
            rules.push_back(to_local_network(network.prefix));
            continue;
        }
        auto rule = lookup(family, kDownstreamPriority, RT_TABLE_MAIN);
        rule.to = network.prefix;
        rules.push_back(rule);
    }
}

/// A tunnel program that adds a route to its server gives the underlay's gateway without a device.
/// The kernel then looks up the gateway by these rules, as user 0, and would find it behind the
/// tunnel if it is not in an allowed local network.
void add_gateways(std::vector<RoutingRule>& rules, const Inputs& in, Family family)
{
    for (const auto& found : underlay_defaults(family, in.state, in.snapshot)) {
        if (found.gateway && !found.gateway->is_link_local()) {
            auto rule = to_local_network(IpPrefix::host(*found.gateway));
            rule.local_only = true;
            rule.uid = 0;
            rules.push_back(rule);
        }
    }
}

/// A network manager adds a route through the gateway of a new network before it announces the
/// network. For an IPv4 route of main the kernel looks up the gateway by these rules, as user 0 and
/// with link scope, so that the unreachable default of table T does not apply. Packets do not
/// match, except those of root with SO_DONTROUTE, and those of root over main's routes while
/// another program has emptied table T: the firewall filters these.
RoutingRule find_next_hops()
{
    auto rule = lookup(Family::V4, kNextHopPriority, RT_TABLE_MAIN);
    rule.local_only = true;
    rule.uid = 0;
    rule.suppressed_length = kShortestNetwork - 1;
    return rule;
}

/// Packets to the local network: refused services are excluded, other packets are looked up in
/// main, and go into the tunnel if main has no route.
void add_local_network(std::vector<RoutingRule>& rules, const Inputs& in, Family family)
{
    for (const auto& prefix : lan_prefixes(family, in.state, in.config, in.snapshot)) {
        rules.push_back(to_local_network(prefix));
    }
    add_gateways(rules, in, family);
    for (const auto& service : refused_services(in.config)) {
        if (service.refused_by != RefusedBy::FirewallAndRoutes) {
            continue;
        }
        for (const auto& [transport, number] : service.ports) {
            rules.push_back({.family = family,
                             .priority = kLocalPriority,
                             // If the rule also matched received packets, the kernel would dissect
                             // each of them.
                             .local_only = true,
                             .transport = transport,
                             .destination_port = Port::make(number)});
        }
    }
    rules.push_back(lookup(family, kLocalPriority + 1, RT_TABLE_MAIN));
    rules.push_back(lookup(family, kLocalPriority + 2, kTunnelTable));
    rules.push_back({.family = family, .priority = kLocalPriority + 3});
}

std::vector<RoutingRule> plan_rules(const Inputs& in, const Admissions& admitted)
{
    std::vector<RoutingRule> rules;
    add_admitted(rules, admitted);
    add_lease_servers(rules, in);
    add_inbound(rules, in);
    add_portal(rules, in.state);
    rules.push_back(find_next_hops());
    if (has_several_tunnels(in.state)) {
        add_tunnel_sources(rules, in.state, kTunnelSourcePriority);
    }
    for (const auto family : kFamilies) {
        rules.push_back({.family = family,
                         .priority = kUnderlayPriority,
                         .action = RoutingRule::Action::Goto,
                         .target = kPastTunnelPriority,
                         .mark = kUnderlayMark,
                         .mark_mask = kUnderlayMarkMask});
        rules.push_back(lookup(family, kTunnelNetworkPriority, kNetworkTable));
        add_downstream(rules, in, family);
        add_local_network(rules, in, family);
        rules.push_back(lookup(family, kTunnelPriority, kTunnelTable));
        // Needed if table T was emptied: IPv6 removes even unreachable routes when `lo` goes down.
        rules.push_back({.family = family, .priority = kClosedPriority});
        rules.push_back(lookup(family, kServerPriority, kServerTable));
        // Packets that table S has thrown: first those to servers with a route of their own.
        auto servers_inside = lookup(family, kPastTunnelPriority, kUnderlayTable);
        servers_inside.suppressed_length = 0;
        rules.push_back(servers_inside);
        // The parts of a default route that a tunnel program adds to main (redirect-gateway) would
        // lead its own packets into the tunnel.
        auto past_tunnel = lookup(family, kUnderlayMainPriority, RT_TABLE_MAIN);
        past_tunnel.suppressed_length = kShortestNetwork - 1;
        rules.push_back(past_tunnel);
        rules.push_back(lookup(family, kDefaultPriority, kUnderlayTable));
        // A copy of the kernel's own rule, which `ip rule flush` removes.
        rules.push_back(lookup(family, kMainPriority, RT_TABLE_MAIN));
    }
    std::ranges::sort(rules);
    const auto rest = std::ranges::unique(rules);
    rules.erase(rest.begin(), rest.end());
    return rules;
}

// ---- Text ----

std::string_view family_option(Family family)
{
    return family == Family::V4 ? "-4" : "-6";
}

std::string hexadecimal(std::uint32_t value)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "0x";
    for (int shift = 28; shift >= 0; shift -= 4) {
        text += digits[value >> shift & 0xfU];
    }
    return text;
}

std::string device_name(unsigned index, const Snapshot& snapshot)
{
    const auto found = std::ranges::find(snapshot.links, index, &Link::index);
    return found == snapshot.links.end() ? "if" + std::to_string(index) : found->name.text();
}

std::string_view prefix_of(Route::Type type)
{
    switch (type) {
    case Route::Type::Unicast:
        return "";
    case Route::Type::Throw:
        return "throw ";
    case Route::Type::Unreachable:
        return "unreachable ";
    }
    return "";
}

std::string to_string(RoutingRule::Action action, std::uint32_t target)
{
    switch (action) {
    case RoutingRule::Action::Lookup:
        return " lookup " + (target == RT_TABLE_MAIN ? "main" : std::to_string(target));
    case RoutingRule::Action::Goto:
        return " goto " + std::to_string(target);
    case RoutingRule::Action::Unreachable:
        return " unreachable";
    }
    return "";
}

} // namespace

RoutingPlan plan_routing(const State& state, const Config& config, const Snapshot& snapshot)
{
    if (state.armed == Armed::No) {
        return {};
    }
    const Inputs in{state, config, snapshot};
    const auto admitted = admissions(state);
    return {plan_rules(in, admitted), plan_routes(in, admitted)};
}

std::string to_string(const RoutingRule& rule)
{
    std::string text = std::to_string(rule.priority);
    if (rule.from) {
        text += " from " + rule.from->to_string();
    }
    if (rule.to) {
        text += " to " + rule.to->to_string();
    }
    if (rule.mark) {
        text += " fwmark " + hexadecimal(*rule.mark) + "/" + hexadecimal(rule.mark_mask);
    }
    if (rule.local_only) {
        text += " iif lo";
    }
    if (rule.uid) {
        text += " uidrange " + std::to_string(*rule.uid) + "-" + std::to_string(*rule.uid);
    }
    if (rule.transport) {
        text += " ipproto " + std::to_string(static_cast<unsigned>(*rule.transport));
    }
    if (rule.source_port) {
        text += " sport " + std::to_string(rule.source_port->number());
    }
    if (rule.destination_port) {
        text += " dport " + std::to_string(rule.destination_port->number());
    }
    text += to_string(rule.action, rule.target);
    if (rule.suppressed_length) {
        text += " suppress_prefixlength " + std::to_string(*rule.suppressed_length);
    }
    return text;
}

std::string to_string(const Route& route, const Snapshot& snapshot)
{
    std::string text(prefix_of(route.type));
    text += route.destination.to_string();
    if (route.gateway) {
        text += " via " + route.gateway->to_string() + " onlink";
    }
    if (route.device != 0) {
        text += " dev " + device_name(route.device, snapshot);
    }
    return text + " table " + std::to_string(route.table) + " metric " +
           std::to_string(route.metric);
}

std::string to_ip_commands(const RoutingPlan& plan, const Snapshot& snapshot)
{
    const auto protocol = " protocol " + std::to_string(kRouteProtocol) + "\n";
    std::string text;
    for (const auto& route : plan.routes) {
        text += "ip ";
        text += family_option(route.destination.family());
        text += " route add " + to_string(route, snapshot);
        // As in append_addition(): ip(8) would use scope link for a route without a gateway.
        text += route.type == Route::Type::Unicast && !route.gateway ? " scope global" : "";
        text += protocol;
    }
    for (const auto& rule : plan.rules) {
        text += "ip ";
        text += family_option(rule.family);
        text += " rule add pref " + to_string(rule) + protocol;
    }
    return text;
}

std::vector<Sysctl> plan_sysctls(const State& state)
{
    if (state.armed == Armed::No) {
        return {};
    }
    // Without it rp_filter looks up the route back to a server without the mark of its packets,
    // finds the tunnel or no route, and drops them (Documentation/networking/ip-sysctl.rst). Set
    // even without rp_filter: another program may enable it later.
    return {{{"net", "ipv4", "conf", "all", "src_valid_mark"}, "1"}};
}

} // namespace failclosed
