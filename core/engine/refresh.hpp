// SPDX-License-Identifier: GPL-3.0-or-later
// When, and by whom, the addresses of servers' names are looked up again.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// How old answers become before the next tunnel up asks again.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

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

} // namespace failclosed
