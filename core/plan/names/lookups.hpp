// SPDX-License-Identifier: GPL-3.0-or-later
// Which server names are looked up outside the tunnels, and how often.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// The delay from the first look-up to the second; each further one is twice as long.
inline constexpr Seconds kFirstLookupDelay{2};
/// The longest delay.
inline constexpr Seconds kLongestLookupDelay = std::chrono::minutes(5);

/// How long an unverified address is valid after the last answer with it, while no tunnel is up.
inline constexpr Seconds kUnverifiedLifetime = std::chrono::minutes(15);

/// How long a tunnel whose server is known may take to come back before the server's name is looked
/// up: each query tells the network which VPN is used.
inline constexpr Seconds kReturnTime{30};

/// The delay after look-up number `attempt`, counted from 0.
Seconds lookup_delay(unsigned attempt);

/// Configured names of servers, each once, sorted.
std::vector<HostName> server_names(const State& state);

/// Server names without a usable address.
std::vector<HostName> names_without_address(const State& state);

/// Server names without a verified usable address.
std::vector<HostName> unverified_names(const State& state);

/// What the refresh helper has observed since its start or its last query.
struct LookupRound {
    /// How long the helper has waited for a tunnel.
    Seconds waited{0};
    /// A tunnel is recorded as up, but its resolvers do not answer and it receives no packet.
    bool is_silent = false;
    /// A tunnel program has sent packets to a server since the last query.
    bool is_tried = false;
};

/// The names to ask the network's resolvers for. Names whose address is unverified: at once while
/// no tunnel is up. Names whose address is verified: if no tunnel came up, or answered, within
/// kReturnTime although a tunnel program tries to reach a server. While a tunnel answers: only
/// names without any address. Empty if the configuration forbids queries.
std::vector<HostName> names_past_tunnel(const State& state, const Config& config,
                                        const LookupRound& round);

/// Whether the helper must run again later: it may query the network, and no tunnel answers.
bool needs_lookups(const State& state, const Config& config, const LookupRound& round);

/// When names are looked up after an event.
enum class LookupTime : std::uint8_t {
    InTunnel, ///< a tunnel came up: at once, through it
    Now,      ///< at once
    Later     ///< a tunnel ended: after kReturnTime
};

/// Whether a run that ended in `state` starts a look-up at `time`. In a tunnel that came up: if
/// there are names. Otherwise, any of these: no tunnel is up and the network may be queried; a name
/// has no usable address; a tunnel program was told to reconnect and the tunnel still exists.
bool is_lookup_due(LookupTime time, const State& state, const Config& config, bool reconnecting);

/// Whether a route of table main leads out of this machine outside the tunnels. Link-local routes
/// do not count.
bool has_network(const State& state, const Snapshot& snapshot);

/// How long the helper sleeps after round `attempt`: at least kReturnTime if every name has a
/// verified address. Ends early when a sign-in ends, because the network may answer differently
/// then, and when an unverified address expires.
Seconds next_lookup(const State& state, const Snapshot& snapshot, unsigned attempt);

} // namespace failclosed
