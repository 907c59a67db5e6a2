// SPDX-License-Identifier: GPL-3.0-or-later
// The common main() of hooks.
#include "core/engine/hook.hpp"

#include <exception>

#include <sys/stat.h>

#include "core/base/report.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/live_system.hpp"

namespace failclosed {

namespace {

int end_closed(const std::exception& error, WhenUnarmed unarmed)
{
    report_error(error.what());
    LiveSystem system;
    if (unarmed == WhenUnarmed::LeaveOpen) {
        // Without a state file only rules in the kernel tell whether the machine is armed.
        const auto loaded = system.load_state();
        if (loaded.absent || loaded.state.armed == Armed::No) {
            return 1;
        }
    }
    if (const auto closed = close_after_exception(system, {}); !closed) {
        report_error("NOT CLOSED: " + closed.error().message());
        return 2;
    }
    return 1;
}

} // namespace

int run_hook(const char* name, WhenUnarmed unarmed, const std::function<int()>& body)
{
    set_up_reports(name, ReportTo::SystemLogToo);
    umask(077);
    try {
        return body();
    } catch (const std::exception& error) {
        return end_closed(error, unarmed);
    }
}

} // namespace failclosed
