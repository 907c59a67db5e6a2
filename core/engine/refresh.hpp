// SPDX-License-Identifier: GPL-3.0-or-later
// When the refresh helper is started or woken.
#pragma once

#include <string>

#include "core/apply/programs/refresh_helper.hpp"
#include "core/base/result.hpp"
#include "core/engine/engine.hpp"
#include "core/plan/names/lookups.hpp"

namespace failclosed {

/// The helper's argument: its first query comes after kReturnTime, or when an event wakes it.
inline constexpr const char* kAskLater = "--later";

/// The minimum time between two queries of the helper, independent of the number of events.
inline constexpr Seconds kRefreshSpacing{1};

/// Makes the helper look up names at `outcome.lookup`, if is_lookup_due(). In a tunnel that came
/// up: only if a name has no verified address, or the last look-up of all names, recorded in
/// `stamp` by note_refresh(), is older than kRefreshInterval. Later: a running helper is not woken.
/// Without a network no helper is started.
Status refresh_after(const Outcome& outcome, const std::string& stamp);

} // namespace failclosed
