// SPDX-License-Identifier: GPL-3.0-or-later
// The last step of a run: tells tunnel programs that their underlay has changed.
#pragma once

#include "core/engine/engine.hpp"
#include "core/plan/decide.hpp"

namespace failclosed {

/// What the run has observed and saved so far.
struct RunSoFar {
    Snapshot& snapshot;
    /// The decided state is saved.
    bool saved = false;
};

/// Remembers the underlay of `snapshot`, and saves the state if that changes it.
void remember_underlay(System& system, Outcome& outcome, const Snapshot& snapshot);

/// Tells the programs that plan_reconnection() names, but not `telling.except`, then does what
/// remember_underlay() does: an interrupted run leaves the signal to the next one. Releases the
/// run's lock in between, and then loads the state of another run. Tells no program if the lock
/// cannot be taken again, or if the machine was opened in between.
void tell_programs(System& system, Outcome& outcome, RunSoFar run, const TellPrograms& telling);

} // namespace failclosed
