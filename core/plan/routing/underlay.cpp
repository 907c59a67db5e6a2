// SPDX-License-Identifier: GPL-3.0-or-later
// Finds paths by the longest prefix in table main, and compares them with the remembered ones.
#include "core/plan/routing/underlay.hpp"

#include <algorithm>
#include <csignal>

namespace failclosed {

namespace {

/// A shorter sleep cannot be distinguished from the time between reading two clocks.
constexpr Seconds kShortestSleep{2};

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

/// Whether packets outside the tunnels use it: not parts of a default route (see plan_routing).
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

/// A usable route outside the tunnels.
struct WayOut {
    const MainRoute& route;
    const Link& link;
};

std::vector<WayOut> ways_out(const State& state, const Snapshot& snapshot)
{
    std::vector<WayOut> ways;
    for (const auto& route : snapshot.main_routes) {
        const auto link = std::ranges::find(snapshot.links, route.device, &Link::index);
        if (counts(route) && link != snapshot.links.end() && link->up &&
            is_underlay(state, *link)) {
            ways.push_back({route, *link});
        }
    }
    return ways;
}

std::optional<UnderlayPath> path_over(const std::vector<WayOut>& ways, const IpAddress& server)
{
    const WayOut* best = nullptr;
    for (const auto& way : ways) {
        if (way.route.destination.family() == server.family() &&
            way.route.destination.contains(server) &&
            (best == nullptr || is_better(way.route, best->route))) {
            best = &way;
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    UnderlayPath path{server.family(), best->link.name, best->route.gateway,
                      sources_on(best->link, server.family())};
    return path.sources.empty() ? std::nullopt : std::optional(std::move(path));
}

void add_path(std::vector<UnderlayPath>& paths, std::optional<UnderlayPath> path)
{
    if (path && std::ranges::find(paths, *path) == paths.end()) {
        paths.push_back(*std::move(path));
    }
}

const UnderlayPath* find_same(const std::vector<UnderlayPath>& paths, const UnderlayPath& path)
{
    const auto found = std::ranges::find_if(
        paths, [&](const UnderlayPath& other) { return is_same_path(other, path); });
    return found == paths.end() ? nullptr : &*found;
}

bool all_are_in(const std::vector<UnderlayPath>& paths, const std::vector<UnderlayPath>& others)
{
    return std::ranges::all_of(
        paths, [&](const UnderlayPath& path) { return find_same(others, path) != nullptr; });
}

/// A new path exists, and a former one is gone, or there was none.
bool is_other_way_out(const std::vector<UnderlayPath>& before, const std::vector<UnderlayPath>& now)
{
    return !all_are_in(now, before) && (before.empty() || !all_are_in(before, now));
}

UnderlayPath with_common_sources(UnderlayPath path, const UnderlayPath& other)
{
    std::erase_if(path.sources, [&](const IpAddress& source) {
        return std::ranges::find(other.sources, source) == other.sources.end();
    });
    return path;
}

bool slept_since(const State& state, const Snapshot& snapshot)
{
    return snapshot.suspended - state.underlay.suspended >= kShortestSleep;
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
    for (const auto& way : ways_out(state, snapshot)) {
        if (way.route.destination == IpPrefix::any(family)) {
            defaults.push_back(way.route);
        }
    }
    return defaults;
}

std::optional<UnderlayPath> path_to(const IpAddress& address, const State& state,
                                    const Snapshot& snapshot)
{
    return path_over(ways_out(state, snapshot), address);
}

std::vector<UnderlayPath> paths_to_servers(const State& state, const Snapshot& snapshot)
{
    const auto ways = ways_out(state, snapshot);
    std::vector<UnderlayPath> paths;
    for (const auto& server : state.servers) {
        for (const auto& endpoint : server.endpoints()) {
            add_path(paths, path_over(ways, endpoint.address));
        }
    }
    std::ranges::sort(paths);
    return paths;
}

std::vector<UnderlayPath> paths_of(const Program& program, const State& state,
                                   const Snapshot& snapshot)
{
    if (!program.server) {
        return paths_to_servers(state, snapshot);
    }
    const auto ways = ways_out(state, snapshot);
    std::vector<UnderlayPath> paths;
    add_path(paths, path_over(ways, *program.server));
    for (const auto& server : state.servers) {
        const auto endpoints = server.endpoints();
        if (std::ranges::find(endpoints, *program.server, &Endpoint::address) == endpoints.end()) {
            continue;
        }
        for (const auto& endpoint : endpoints) {
            if (endpoint.address.family() != program.server->family()) {
                add_path(paths, path_over(ways, endpoint.address));
            }
        }
    }
    return paths;
}

bool is_same_path(const UnderlayPath& a, const UnderlayPath& b)
{
    return a.family == b.family && a.interface == b.interface && a.gateway == b.gateway &&
           std::ranges::find_first_of(a.sources, b.sources) != a.sources.end();
}

Reconnection plan_reconnection(const State& state, const Snapshot& snapshot)
{
    const bool slept = slept_since(state, snapshot);
    const auto all = paths_to_servers(state, snapshot);
    Reconnection reconnection;
    reconnection.waiting = is_other_way_out(state.underlay.paths, all) || (slept && !all.empty());
    for (const auto& program : state.programs) {
        const auto paths = paths_of(program, state, snapshot);
        const bool stays = program.path && find_same(paths, *program.path) != nullptr;
        if (!paths.empty() && (!stays || slept)) {
            reconnection.programs.push_back(program.id);
        }
    }
    return reconnection;
}

void remember_paths(State& state, const Snapshot& snapshot)
{
    auto all = paths_to_servers(state, snapshot);
    for (auto& path : all) {
        if (const auto* before = find_same(state.underlay.paths, path)) {
            path = with_common_sources(std::move(path), *before);
        }
    }
    state.underlay.paths = std::move(all);
    for (auto& program : state.programs) {
        const auto paths = paths_of(program, state, snapshot);
        const auto* same = program.path ? find_same(paths, *program.path) : nullptr;
        if (same != nullptr) {
            program.path = with_common_sources(*same, *program.path);
        } else {
            program.path = paths.empty() ? std::nullopt : std::optional(paths.front());
        }
    }
    state.underlay.suspended = std::max(state.underlay.suspended, snapshot.suspended);
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

std::optional<std::vector<DueSignal>> due_signals(const State& state, const Snapshot& snapshot,
                                                  const ProgramLookup& lookup,
                                                  ReconnectSignal configured)
{
    const auto wanted = plan_reconnection(state, snapshot);
    const auto is_in = [](const std::vector<ProcessId>& ids, const ProcessId& id) {
        return std::ranges::find(ids, id) != ids.end();
    };
    const bool all_are_known = std::ranges::all_of(
        wanted.programs, [&](const ProcessId& id) { return is_in(lookup.known, id); });
    if (!all_are_known || (wanted.waiting && !lookup.waiting)) {
        return std::nullopt;
    }
    std::vector<DueSignal> signals;
    for (const auto& program : lookup.running) {
        // Only programs without a tunnel so far are searched for.
        const bool had_tunnel =
            std::ranges::find(state.programs, program.id, &Program::id) != state.programs.end();
        const bool is_wanted = had_tunnel ? is_in(wanted.programs, program.id) : wanted.waiting;
        const auto number = reconnect_signal(configured, program);
        if (is_wanted && number) {
            signals.push_back({program.id, *number});
        }
    }
    return signals;
}

void forget_ended(State& state, const ProgramLookup& lookup)
{
    std::erase_if(state.programs, [&](const Program& program) {
        return std::ranges::find(lookup.known, program.id) != lookup.known.end() &&
               std::ranges::find(lookup.running, program.id, &TunnelProgram::id) ==
                   lookup.running.end();
    });
}

} // namespace failclosed
