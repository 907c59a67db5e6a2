// SPDX-License-Identifier: GPL-3.0-or-later
// What a hook does when it cannot go on: out of memory, say.
#pragma once

#include <cstdint>
#include <exception>

namespace failclosed {

enum class WhenUnarmed : std::uint8_t {
    Close,    ///< the event would have armed the machine
    LeaveOpen ///< it would have done nothing
};

/// Reports `error`, and closes as ensure_closed() does: where the machine is armed, or what is
/// remembered of that is damaged, or `unarmed` asks for it. The exit code: 1, or 2 and NOT CLOSED.
int end_closed(const std::exception& error, WhenUnarmed unarmed);

} // namespace failclosed
