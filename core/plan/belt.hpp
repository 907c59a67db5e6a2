// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 3: what leaves a device, whoever made it, by whichever way: frames written to AF_PACKET
// sockets, and those of macvlan, ipvlan and bridged guests, which no other table sees.
#pragma once

#include <vector>

#include "core/plan/firewall_sets.hpp"

namespace failclosed {

/// Bridges of guests, their wires, and what is named in `forward`: nobody outside of this machine
/// sends by these.
std::vector<InterfaceName> guest_devices(const State& state, const Config& config,
                                         const Snapshot& snapshot);

/// Devices that get a chain, sorted: not loopback, nor what leads into a tunnel or to a guest.
std::vector<InterfaceName> belt_devices(const State& state, const Config& config,
                                        const Snapshot& snapshot);

/// The table of family netdev (Linux 5.16).
Table plan_belt(const FirewallInputs& in, const Refusals& refusals);

} // namespace failclosed
