// SPDX-License-Identifier: GPL-3.0-or-later
// Longest prefixes in table main, and comparing what they gave before.
#include "core/plan/underlay.hpp"

#include <algorithm>
#include <csignal>

namespace failclosed {

namespace {

/// Slept for less is not told from reading two clocks one after the other.
constexpr Seconds kShortestSleep{2};

const Link* link_of(const MainRoute& route, const Snapshot& snapshot)
{
    const auto found = std::ranges::find(snapshot.links, route.device, &Link::index);
    return found == snapshot.links.end() ? nullptr : &*found;
}

std::vector<IpAddress> sources_on(const Link& link, Family family)
{
    std::vector<IpAddress> sources;
    for (const auto& [address, length] : link.addresses) {
        if (address.family() == family && !address.is_link_local()) {
            sources.push_back(address);
        }
    }
    std::ranges::sort(sources);
    return sources;
}

/// Whether packets past the tunnels use it: not pieces of a default route (see plan_routing).
bool counts(const MainRoute& route)
{
    return route.destination.length() == 0 || route.destination.length() >= kShortestNetwork;
}

bool is_to_server_alone(const MainRoute& route)
{
    return route.gateway && route.destination.length() == route.destination.address().bits();
}

bool is_better(const MainRoute& a, const MainRoute& b)
{
    if (is_to_server_alone(a) != is_to_server_alone(b)) {
        return is_to_server_alone(b);
    }
    if (a.destination.length() != b.destination.length()) {
        return a.destination.length() > b.destination.length();
    }
    return a.metric < b.metric;
}

bool has_same(const std::vector<UnderlayPath>& paths, const UnderlayPath& path)
{
    return std::ranges::any_of(
        paths, [&](const UnderlayPath& other) { return is_same_path(other, path); });
}

/// Something led out before that does not any more, and something does now.
bool is_other_way_out(const std::vector<UnderlayPath>& before, const std::vector<UnderlayPath>& now)
{
    const bool all_stay =
        std::ranges::all_of(before, [&](const UnderlayPath& path) { return has_same(now, path); });
    return !now.empty() && (before.empty() || !all_stay);
}

std::vector<UnderlayPath> as_list(const std::optional<UnderlayPath>& path)
{
    return path ? std::vector{*path} : std::vector<UnderlayPath>{};
}

} // namespace

bool is_underlay(const State& state, const Link& link)
{
    return !link.loopback && !link.is_program_tunnel &&
           std::ranges::find(state.tunnels, link.name, &Tunnel::interface) == state.tunnels.end() &&
           std::ranges::find(state.inside, link.name, &InsideNetworks::interface) ==
               state.inside.end();
}

std::vector<MainRoute> underlay_defaults(Family family, const State& state,
                                         const Snapshot& snapshot)
{
    std::vector<MainRoute> defaults;
    for (const auto& route : snapshot.main_routes) {
        const Link* link = link_of(route, snapshot);
        if (route.destination == IpPrefix::any(family) && link != nullptr &&
            is_underlay(state, *link)) {
            defaults.push_back(route);
        }
    }
    return defaults;
}

std::optional<UnderlayPath> path_to(const IpAddress& server, const State& state,
                                    const Snapshot& snapshot)
{
    const MainRoute* best = nullptr;
    const Link* device = nullptr;
    for (const auto& route : snapshot.main_routes) {
        if (!counts(route) || route.destination.family() != server.family() ||
            !route.destination.contains(server) || (best != nullptr && !is_better(route, *best))) {
            continue;
        }
        const Link* link = link_of(route, snapshot);
        if (link != nullptr && link->up && is_underlay(state, *link)) {
            best = &route;
            device = link;
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    UnderlayPath path{server.family(), device->name, best->gateway,
                      sources_on(*device, server.family())};
    return path.sources.empty() ? std::nullopt : std::optional(std::move(path));
}

std::vector<UnderlayPath> paths_to_servers(const State& state, const Snapshot& snapshot)
{
    std::vector<UnderlayPath> paths;
    for (const auto& server : state.servers) {
        for (const auto& endpoint : server.endpoints()) {
            auto path = path_to(endpoint.address, state, snapshot);
            if (path && std::ranges::find(paths, *path) == paths.end()) {
                paths.push_back(*std::move(path));
            }
        }
    }
    std::ranges::sort(paths);
    return paths;
}

std::optional<UnderlayPath> path_of(const Tunnel& tunnel, const State& state,
                                    const Snapshot& snapshot)
{
    if (tunnel.server) {
        return path_to(*tunnel.server, state, snapshot);
    }
    auto paths = paths_to_servers(state, snapshot);
    return paths.empty() ? std::nullopt : std::optional(std::move(paths.front()));
}

bool is_same_path(const UnderlayPath& a, const UnderlayPath& b)
{
    return a.family == b.family && a.interface == b.interface && a.gateway == b.gateway &&
           std::ranges::find_first_of(a.sources, b.sources) != a.sources.end();
}

Reconnection plan_reconnection(const State& state, const Snapshot& snapshot)
{
    const bool slept = snapshot.suspended - state.underlay.suspended >= kShortestSleep;
    Reconnection reconnection;
    for (const auto& tunnel : state.tunnels) {
        const auto now = as_list(path_of(tunnel, state, snapshot));
        if (tunnel.owner &&
            (is_other_way_out(as_list(tunnel.path), now) || (slept && !now.empty()))) {
            reconnection.owners.push_back(*tunnel.owner);
        }
    }
    const auto now = paths_to_servers(state, snapshot);
    reconnection.waiting = is_other_way_out(state.underlay.paths, now) || (slept && !now.empty());
    return reconnection;
}

void remember_paths(State& state, const Snapshot& snapshot)
{
    for (auto& tunnel : state.tunnels) {
        tunnel.path = path_of(tunnel, state, snapshot);
    }
    state.underlay.paths = paths_to_servers(state, snapshot);
    state.underlay.suspended = snapshot.suspended;
}

std::optional<int> reconnect_signal(ReconnectSignal configured, const TunnelProgram& program)
{
    const auto hup = program.handles_hup ? std::optional(SIGHUP) : std::nullopt;
    const auto usr1 = program.handles_usr1 ? std::optional(SIGUSR1) : std::nullopt;
    switch (configured) {
    case ReconnectSignal::Auto:
        return program.can_start_anew && hup ? hup : usr1;
    case ReconnectSignal::Hup:
        return hup;
    case ReconnectSignal::Usr1:
        return usr1;
    case ReconnectSignal::None:
        return std::nullopt;
    }
    return std::nullopt;
}

} // namespace failclosed
