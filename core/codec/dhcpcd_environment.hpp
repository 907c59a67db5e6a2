// SPDX-License-Identifier: GPL-3.0-or-later
// Parses the environment of dhcpcd's hooks into an event.
#pragma once

#include <optional>

#include "core/codec/environment.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/event.hpp"

namespace failclosed {

struct DhcpcdEvent {
    /// `nullopt` if dhcpcd runs without changing the network.
    std::optional<Event> event;
    /// One for each value that was ignored.
    Warnings warnings;

    friend bool operator==(const DhcpcdEvent&, const DhcpcdEvent&) = default;
};

/// Parses the environment that dhcpcd 9 and 10 give their hooks (dhcpcd-run-hooks(8)). TEST and
/// DUMP give `nullopt`. Every other reason, unknown and missing ones too, gives UnderlayChanged:
/// with the device and the server if a DHCPv4 lease was obtained or kept, with the device alone if
/// it has ended. Invalid values are ignored with a warning.
DhcpcdEvent parse_dhcpcd_event(const Environment& environment);

} // namespace failclosed
