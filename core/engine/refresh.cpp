// SPDX-License-Identifier: GPL-3.0-or-later
// Starts or wakes the refresh helper after a run.
#include "core/engine/refresh.hpp"

#include <vector>

#include "core/apply/kernel/observe.hpp"

namespace failclosed {

namespace {

/// Also true if the kernel could not be asked: the helper checks itself.
bool may_have_network(const State& state)
{
    const auto snapshot = observe();
    return !snapshot || has_network(state, *snapshot);
}

} // namespace

Status refresh_after(const Outcome& outcome, const std::string& stamp)
{
    const State& state = outcome.state;
    if (!outcome.lookup ||
        !is_lookup_due(*outcome.lookup, state, outcome.config, outcome.reconnecting)) {
        return {};
    }
    if (*outcome.lookup == LookupTime::InTunnel) {
        return unverified_names(state).empty() && is_refreshed(stamp) ? Status{}
                                                                      : start_refresh(stamp);
    }
    const bool later = *outcome.lookup == LookupTime::Later;
    // A running helper is woken, but not early for a tunnel that may come back: each query tells
    // the network which VPN is used.
    if ((later ? is_refresh_running(stamp) : wake_refresh(stamp)) || !may_have_network(state)) {
        return {};
    }
    return spawn_refresh(later ? std::vector<std::string>{kAskLater} : std::vector<std::string>{});
}

} // namespace failclosed
