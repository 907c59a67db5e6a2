// SPDX-License-Identifier: GPL-3.0-or-later
// When, and by whom, the addresses of servers' names are looked up again.
#pragma once

#include <string>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/model/event.hpp"

namespace failclosed {

/// How old answers become before the next tunnel up asks again.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

/// The least time from one run of the helper to the next, however many events ask for one.
inline constexpr Seconds kRefreshSpacing{1};

/// Configured names of servers, each once, sorted.
std::vector<HostName> server_names(const State& state);

/// Names without any usable address: the tunnel cannot come back until they are looked up.
std::vector<HostName> names_without_address(const State& state);

/// Whether there are names, and some have no address or the last refresh is older than
/// kRefreshInterval. `stamp` is the file that note_refresh touches.
bool needs_refresh(const State& state, const std::string& stamp);

/// Notes in `stamp` that all names were looked up just now.
Status note_refresh(const std::string& stamp);

/// Starts the refresh helper, which outlives the caller. No name is looked up in the caller.
Status start_refresh();

/// Starts the helper where `event`, which ended in `state`, gives it something to do: after a
/// TunnelUp as needs_refresh() says; after a change of the network, or a tunnel that was found,
/// where there is a network and a name has no address. Never where nothing is armed, nor where a
/// helper waits already. `stamp` as for needs_refresh().
Status refresh_after(const Event& event, const State& state, const std::string& stamp);

/// The helper's turn, which lasts as long as the descriptor. At the most one helper runs and one
/// waits: for the first, and for kRefreshSpacing since that one began. Whoever comes meanwhile gets
/// an invalid descriptor, and has nothing to do: the one that waits will see all that it has seen.
Result<UniqueFd> take_refresh_turn(const std::string& stamp);

} // namespace failclosed
