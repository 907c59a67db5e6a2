// SPDX-License-Identifier: GPL-3.0-or-later
// What entry points say of a run, in the same words everywhere.
#pragma once

#include "core/engine/engine.hpp"

namespace failclosed {

/// Reports the outcome's notices, warnings and errors, one line each, and an open machine last.
void report(const Outcome& outcome);

} // namespace failclosed
