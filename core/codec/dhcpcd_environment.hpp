// SPDX-License-Identifier: GPL-3.0-or-later
// From the environment that dhcpcd gives its hooks to one event.
#pragma once

#include <optional>

#include "core/codec/environment.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/event.hpp"

namespace failclosed {

struct DhcpcdEvent {
    /// Nothing: dhcpcd only shows what it would do.
    std::optional<Event> event;
    /// Values that were left out.
    Warnings warnings;

    friend bool operator==(const DhcpcdEvent&, const DhcpcdEvent&) = default;
};

/// Reads what dhcpcd 9 and 10 tell their hooks (dhcpcd-run-hooks(8)). TEST and DUMP are nothing.
/// Every other reason, unknown and missing ones too, is UnderlayChanged: with the lease's server
/// where a DHCPv4 lease was got or kept, without one where it has ended. What cannot be read is
/// left out with a warning.
DhcpcdEvent parse_dhcpcd_event(const Environment& environment);

} // namespace failclosed
