// SPDX-License-Identifier: GPL-3.0-or-later
// The protection that is in force, for verbs that change nothing.
#pragma once

#include <memory>
#include <vector>

#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/plan/findings.hpp"

namespace failclosed::cli {

struct ProtectionView {
    /// Holds the lock of the run if the first comparison found a difference.
    std::unique_ptr<LiveSystem> system;
    Inspection found;
    std::vector<Difference> differences;
};

/// Compares the kernel and files with the plan. If something differs, compares again for at most
/// two seconds: after a run that is in progress has ended, and, if only DNS or hosts differ, after
/// a run that another program is about to start.
ProtectionView view_protection();

/// What the network and the rules of other programs do that the owner should know of.
/// `state` is that of `found`, or the part of it that is in force.
std::vector<Finding> findings_of(LiveSystem& system, const Inspection& found, const State& state);

} // namespace failclosed::cli
