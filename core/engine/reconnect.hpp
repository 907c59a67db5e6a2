// SPDX-License-Identifier: GPL-3.0-or-later
// The last step of a run: tunnel programs are told that their underlay has changed.
#pragma once

#include "core/engine/engine.hpp"
#include "core/plan/decide.hpp"

namespace failclosed {

/// What the run has seen and saved so far.
struct RunSoFar {
    Snapshot& snapshot;
    /// The state is on the disk as it was decided.
    bool saved = false;
};

/// Remembers the underlay of `snapshot`, and saves the state if that changes it.
void remember_underlay(System& system, Outcome& outcome, const Snapshot& snapshot);

/// Tells the programs that plan_reconnection() names, but not `telling.except`, then does what
/// remember_underlay() does: a run that is cut short in between leaves the signal to the next one.
/// Releases the run's lock in between, and takes the state of another run that came meanwhile.
/// Without the lock again, or if the machine was opened meanwhile, no program is told.
void tell_programs(System& system, Outcome& outcome, RunSoFar run, const TellPrograms& telling);

} // namespace failclosed
