// SPDX-License-Identifier: GPL-3.0-or-later
// One look at this machine's protection, for verbs that change nothing.
#pragma once

#include <memory>
#include <vector>

#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"

namespace failclosed::cli {

struct Look {
    /// Holds the lock of the run if something differed at the first look.
    std::unique_ptr<LiveSystem> system;
    Inspection found;
    std::vector<Difference> differences;
};

/// Looks again, for two seconds at most, if something differs: after a run that is under way has
/// ended; and if names alone differ, after a run that another program is about to start.
Look look_at_protection();

} // namespace failclosed::cli
