// SPDX-License-Identifier: GPL-3.0-or-later
// What all hooks do around their work.
#pragma once

#include <cstdint>
#include <functional>

namespace failclosed {

/// What a hook that cannot go on does on a machine that is not armed.
enum class WhenUnarmed : std::uint8_t {
    Close,    ///< the event would have armed the machine
    LeaveOpen ///< it would have done nothing
};

/// A hook's main(): reports as `name`, to the system log, too; returns the exit code of `body`. If
/// `body` throws (out of memory, say), closes without looking at anything: if the machine is armed,
/// or the file that tells is damaged, or `unarmed` asks for it. The exit code is then 1, or 2 if
/// the machine could not be closed.
int run_hook(const char* name, WhenUnarmed unarmed, const std::function<int()>& body);

} // namespace failclosed
