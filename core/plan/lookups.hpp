// SPDX-License-Identifier: GPL-3.0-or-later
// Which names of servers are looked up outside of tunnels, and how often.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// The delay from the first look-up to the second; each further one is twice as long.
inline constexpr Seconds kFirstLookupDelay{2};
/// No delay is longer.
inline constexpr Seconds kLongestLookupDelay = std::chrono::minutes(5);

/// How long a tunnel whose server is known gets to come back before the server's name is asked for:
/// each question tells the network which VPN is used.
inline constexpr Seconds kReturnTime{30};

/// The delay after look-up number `attempt`, counted from 0.
Seconds lookup_delay(unsigned attempt);

/// Configured names of servers, each once, sorted.
std::vector<HostName> server_names(const State& state);

/// Names of servers without any usable address.
std::vector<HostName> names_without_address(const State& state);

/// Names of servers without a usable address that is verified, those without any included.
std::vector<HostName> unverified_names(const State& state);

/// What the refresh helper has seen since it was started, or since its last question.
struct LookupRound {
    /// How long the helper has waited for a tunnel. A person who asks does not wait.
    Seconds waited{0};
    /// A tunnel is recorded as up, but its resolvers do not answer and it receives no packet.
    bool is_silent = false;
    /// A tunnel program has sent packets to a server since the last question.
    bool is_tried = false;
};

/// The names to ask the network's resolvers for. Names whose address is unverified: at once while
/// no tunnel is up. Names whose address is verified: if no tunnel came up, or answered, within
/// kReturnTime although a tunnel program tries to reach a server. Beneath a tunnel that is not
/// silent: only names without any address. Empty if the configuration forbids to ask.
std::vector<HostName> names_past_tunnel(const State& state, const Config& config,
                                        const LookupRound& round);

/// Whether the helper has to look again later: it may ask the network, and no tunnel answers.
bool needs_lookups(const State& state, const Config& config, const LookupRound& round);

/// When names are looked up after an event.
enum class LookupTime : std::uint8_t {
    InTunnel, ///< a tunnel came up: at once, in it
    Now,      ///< at once
    Later     ///< a tunnel ended: after kReturnTime, which it has to come back
};

/// Whether a run that ended in `state` has any name looked up at `time`. In a tunnel that came up:
/// if there are names. Otherwise: if no tunnel is up and the network may be asked, if a name has no
/// usable address, or if a tunnel program was told to reconnect and the tunnel is still there.
bool is_lookup_due(LookupTime time, const State& state, const Config& config, bool reconnecting);

/// Whether a route of table main leads out of this machine past the tunnels. Link-local ones do
/// not count.
bool has_network(const State& state, const Snapshot& snapshot);

/// How long the helper sleeps after round `attempt`: at least kReturnTime if every name has a
/// verified address. Ends early when a sign-in to the network is
/// over, because the network may answer otherwise then, and when an unverified address expires.
Seconds next_lookup(const State& state, const Snapshot& snapshot, unsigned attempt);

} // namespace failclosed
