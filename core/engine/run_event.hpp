// SPDX-License-Identifier: GPL-3.0-or-later
// What every entry point does with its event.
#pragma once

#include <string>
#include <vector>

#include "core/engine/engine.hpp"

namespace failclosed {

/// Handles `event`, then does what conclude() does. `warnings` are those of the entry point's own.
/// They are reported first, and only if the machine is armed: an open machine does not log what its
/// network sends.
Outcome run_event(System& system, const Event& event,
                  const std::vector<std::string>& warnings = {});

/// Reports the outcome's notices, warnings and errors, one line each, and an open machine last.
/// Then starts or wakes the refresh helper if the run asks for that; a failure is a warning.
/// Returns the exit code.
int conclude(const Outcome& outcome);

} // namespace failclosed
