// SPDX-License-Identifier: GPL-3.0-or-later
// Closing without a run of the engine.
#include "core/engine/last_resort.hpp"

#include "core/base/report.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/live_system.hpp"

namespace failclosed {

int end_closed(const std::exception& error, WhenUnarmed unarmed)
{
    report_error(error.what());
    LiveSystem system;
    if (unarmed == WhenUnarmed::LeaveOpen) {
        // Where there is no state at all, rules in the kernel are all that could be armed.
        const auto loaded = system.load_state();
        if (loaded.absent || loaded.state.armed == Armed::No) {
            return 1;
        }
    }
    if (const auto closed = ensure_closed(system); !closed) {
        report_error("NOT CLOSED: " + closed.error().message());
        return 2;
    }
    return 1;
}

} // namespace failclosed
