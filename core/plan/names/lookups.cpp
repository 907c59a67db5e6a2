// SPDX-License-Identifier: GPL-3.0-or-later
// Decides when the network is queried: as rarely as possible.
#include "core/plan/names/lookups.hpp"

#include <algorithm>

#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

template <typename Predicate>
std::vector<HostName> names_where(const State& state, Predicate wanted)
{
    std::vector<HostName> names;
    for (const auto& server : state.servers) {
        if (server.remote.name() != nullptr && wanted(server)) {
            names.push_back(*server.remote.name());
        }
    }
    std::ranges::sort(names);
    const auto rest = std::ranges::unique(names);
    names.erase(rest.begin(), rest.end());
    return names;
}

bool has_verified_address(const Server& server)
{
    Server verified = server;
    std::erase_if(verified.addresses, &LearntAddress::unverified);
    return !verified.endpoints().empty();
}

} // namespace

Seconds lookup_delay(unsigned attempt)
{
    Seconds delay = kFirstLookupDelay;
    for (unsigned i = 0; i < attempt && delay < kLongestLookupDelay; ++i) {
        delay *= 2;
    }
    return std::min(delay, kLongestLookupDelay);
}

std::vector<HostName> server_names(const State& state)
{
    return names_where(state, [](const Server&) { return true; });
}

std::vector<HostName> names_without_address(const State& state)
{
    return names_where(state, [](const Server& server) { return server.endpoints().empty(); });
}

std::vector<HostName> unverified_names(const State& state)
{
    return names_where(state, [](const Server& server) { return !has_verified_address(server); });
}

std::vector<HostName> names_past_tunnel(const State& state, const Config& config,
                                        const LookupRound& round)
{
    if (state.armed == Armed::No || !config.bootstrap_dns) {
        return {};
    }
    if (!state.tunnels.empty() && !round.is_silent) {
        return names_without_address(state);
    }
    if (round.waited >= kReturnTime && round.is_tried) {
        return server_names(state);
    }
    return state.tunnels.empty() ? unverified_names(state) : names_without_address(state);
}

bool needs_lookups(const State& state, const Config& config, const LookupRound& round)
{
    return state.armed == Armed::Yes && config.bootstrap_dns && !server_names(state).empty() &&
           (state.tunnels.empty() || round.is_silent);
}

bool is_lookup_due(LookupTime time, const State& state, const Config& config, bool reconnecting)
{
    if (state.armed == Armed::No || server_names(state).empty()) {
        return false;
    }
    const bool may_ask = state.tunnels.empty() ? needs_lookups(state, config, {}) : reconnecting;
    return time == LookupTime::InTunnel || may_ask || !names_without_address(state).empty();
}

bool has_network(const State& state, const Snapshot& snapshot)
{
    return std::ranges::any_of(snapshot.main_routes, [&](const MainRoute& route) {
        const auto link = std::ranges::find(snapshot.links, route.device, &Link::index);
        return !route.destination.address().is_link_local() && link != snapshot.links.end() &&
               is_underlay(state, *link);
    });
}

Seconds next_lookup(const State& state, const Snapshot& snapshot, unsigned attempt)
{
    Seconds delay = lookup_delay(attempt);
    if (unverified_names(state).empty()) {
        delay = std::max(delay, kReturnTime);
    }
    const auto at_the_latest_in = [&](Seconds time) {
        delay = std::clamp(time, Seconds{1}, delay);
    };
    if (state.portal && state.portal->until >= snapshot.uptime) {
        at_the_latest_in(state.portal->until - snapshot.uptime + Seconds{1});
    }
    for (const auto& server : state.servers) {
        for (const auto& learnt : server.addresses) {
            if (learnt.unverified && state.tunnels.empty()) {
                at_the_latest_in(learnt.seen + kUnverifiedLifetime - snapshot.now + Seconds{1});
            }
        }
    }
    return delay;
}

} // namespace failclosed
