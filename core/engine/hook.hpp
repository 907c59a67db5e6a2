// SPDX-License-Identifier: GPL-3.0-or-later
// The common main() of hooks.
#pragma once

#include <cstdint>
#include <functional>

namespace failclosed {

/// What a failing hook does on an unarmed machine.
enum class WhenUnarmed : std::uint8_t {
    Close,    ///< the event would have armed the machine
    LeaveOpen ///< the event would not have armed the machine
};

/// A hook's main(): reports as `name`, to the system log, too; returns the exit code of `body`. If
/// `body` throws (for example out of memory), calls ensure_closed() if the machine is armed, if its
/// state file is damaged, or if `unarmed` is Close. The exit code is then 1, or 2 if the machine
/// could not be closed.
int run_hook(const char* name, WhenUnarmed unarmed, const std::function<int()>& body);

} // namespace failclosed
