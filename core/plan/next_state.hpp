// SPDX-License-Identifier: GPL-3.0-or-later
// The state after an event.
#pragma once

#include <optional>

#include "core/model/event.hpp"
#include "core/model/snapshot.hpp"

namespace failclosed {

/// Limits of the remembered state; entries unseen for longest are removed first.
inline constexpr std::size_t kMostServers = 4096;
inline constexpr std::size_t kMostAddressesPerServer = 64;
inline constexpr std::size_t kMostInsideNetworks = 64;
inline constexpr std::size_t kMostPrograms = 32;
inline constexpr std::size_t kMostRefused = 64;
inline constexpr std::size_t kMostLeases = 16;
inline constexpr std::size_t kMostConfigs = 256;
inline constexpr std::size_t kMostProfiles = 256;

/// The state after `event`. Only UnlockRequested disarms; only LockRequested and TunnelUp arm, also
/// a TunnelUp that admission refuses. A refused device is not a tunnel, and its name stays refused
/// until an announcement of it is admitted or the machine is opened, unless the reason is that the
/// device is missing or cannot be a tunnel. A tunnel is withdrawn when an underlay device has its
/// address. Tunnels whose device is gone are forgotten, those that were found also when it is down,
/// and so are addresses of servers that have not been seen for longer than the configuration says,
/// but never the last one that worked, unless a trusted answer no longer has it. An unverified
/// address of a server is replaced by the next answer for its name, and forgotten when a reached
/// server has proved its identity, or kUnverifiedLifetime after the last answer with it. A sign-in
/// ends with its time, and with the first tunnel.
State next_state(State state, const Event& event, const Config& config, const Snapshot& snapshot);

/// Why `request` is refused in `state`; nullopt if it is allowed.
std::optional<Error> refusal(const State& state, const PortalRequested& request,
                             const Snapshot& snapshot);

} // namespace failclosed
