// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 3: all frames that leave a device, also those written to AF_PACKET sockets and those of
// macvlan, ipvlan and bridged guests, which no other table sees.
#pragma once

#include <vector>

#include "core/plan/firewall/set_contents.hpp"

namespace failclosed {

/// Bridges of guests, their ports, and the devices of `forward`: only guests and networks behind
/// this machine send on these.
std::vector<InterfaceName> guest_devices(const State& state, const Config& config,
                                         const Snapshot& snapshot);

/// Devices that get a chain, sorted: all except loopback, tunnels, and devices of guests.
std::vector<InterfaceName> belt_devices(const State& state, const Config& config,
                                        const Snapshot& snapshot);

/// The table of family netdev (Linux 5.16).
Table plan_belt(const FirewallInputs& in, const Refusals& refusals);

} // namespace failclosed
