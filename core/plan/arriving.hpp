// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: what may come in, for this machine or on its way through it.
#pragma once

#include "core/plan/firewall_rules.hpp"

namespace failclosed {

/// Before connection tracking: refuses loopback addresses from outside, and a tunnel's address on
/// another device.
Chain prerouting_raw();

/// Marks packets whose answers leave past the tunnels. `routes`: the kernel knows ToOthers.
Chain prerouting_mark(const Needs& needs, bool routes);

/// Packets for programs of this machine.
Chain input(const Refusals& refusals, const Needs& needs);

/// The chain that sets::kInputDevice leads packets from tunnels to.
Chain from_tunnel();

} // namespace failclosed
