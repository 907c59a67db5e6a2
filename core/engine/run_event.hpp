// SPDX-License-Identifier: GPL-3.0-or-later
// The common handling of an event by every entry point.
#pragma once

#include <string>
#include <vector>

#include "core/engine/engine.hpp"

namespace failclosed {

/// Handles `event`, then calls conclude(). The entry point's `warnings` are reported first, and
/// only if the machine is armed: an open machine does not log data of its network.
Outcome run_event(System& system, const Event& event,
                  const std::vector<std::string>& warnings = {});

/// Reports the outcome's notices, warnings and errors, one line each, then that the machine is
/// open, if it is. Then starts or wakes the refresh helper if the run asks for that; a failure is a
/// warning. Returns the exit code.
int conclude(const Outcome& outcome);

} // namespace failclosed
