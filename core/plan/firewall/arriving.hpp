// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: which received packets are accepted, for this machine or to be forwarded.
#pragma once

#include "core/plan/firewall/rules.hpp"

namespace failclosed {

/// Before connection tracking: refuses loopback addresses from outside, and a tunnel's address on
/// another device.
Chain prerouting_raw();

/// Marks packets of flows outside the tunnels for rp_filter. `routes`: the kernel supports
/// ToOthers.
Chain prerouting_mark(const Needs& needs, bool routes);

/// Packets for programs of this machine.
Chain input(const Refusals& refusals, const Needs& needs);

/// The chain for packets from tunnels (sets::kInputDevice).
Chain from_tunnel();

} // namespace failclosed
