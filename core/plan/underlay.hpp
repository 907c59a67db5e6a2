// SPDX-License-Identifier: GPL-3.0-or-later
// How servers are reached past the tunnels, and which programs a change of that concerns.
#pragma once

#include <optional>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// Whether routes over this link lead out of the machine past the tunnels: not over loopback, nor
/// over what is or was a tunnel, nor over what a tunnel program holds.
bool is_underlay(const State& state, const Link& link);

/// Default routes of table main over underlays, sorted.
std::vector<MainRoute> underlay_defaults(Family family, const State& state,
                                         const Snapshot& snapshot);

/// How a packet to `address` leaves past the tunnels. A route to one address alone through a
/// gateway counts only where there is no other: tunnel programs add such routes, and they outlive
/// the network that they were made for. A device without an address to send from is no way out.
std::optional<UnderlayPath> path_to(const IpAddress& address, const State& state,
                                    const Snapshot& snapshot);

/// How packets of tunnel programs to all known servers leave, each path once, sorted.
std::vector<UnderlayPath> paths_to_servers(const State& state, const Snapshot& snapshot);

/// How `program` can reach a server now, the best way first: that of the server that it last
/// reached, then, where this has addresses of both families, those of the other one. The two
/// families of a network come one after the other. All paths where its server is not known.
std::vector<UnderlayPath> paths_of(const Program& program, const State& state,
                                   const Snapshot& snapshot);

/// Same device and gateway, and an address in common: what was sent over one can be answered over
/// the other.
bool is_same_path(const UnderlayPath& a, const UnderlayPath& b);

/// Programs to be told that their underlay is another one, or is there again.
struct Reconnection {
    /// Of State::programs.
    std::vector<ProcessId> programs;
    /// Tunnel programs that have had no tunnel yet.
    bool waiting = false;

    friend bool operator==(const Reconnection&, const Reconnection&) = default;
};

/// Compares `state`, which remembers paths as they were, with `snapshot`. No program is told while
/// there is no path; then its return counts as a change.
Reconnection plan_reconnection(const State& state, const Snapshot& snapshot);

/// Makes `state` remember the paths of `snapshot`. Of one that stays, only the addresses that stay
/// are remembered: they may be exchanged one after the other.
void remember_paths(State& state, const Snapshot& snapshot);

/// A tunnel program as it runs, as far as telling it to reconnect goes.
struct TunnelProgram {
    ProcessId id;
    /// Whether it handles each signal; what it does not handle would end it.
    bool handles_hup = false;
    bool handles_usr1 = false;
    /// HUP makes it read its configuration and secrets anew. Not where it dropped the privileges
    /// for that, or if an administrator would have to type them.
    bool can_start_anew = false;

    friend bool operator==(const TunnelProgram&, const TunnelProgram&) = default;
};

/// SIGHUP or SIGUSR1; nullopt if the configuration or the program allows none.
std::optional<int> reconnect_signal(ReconnectSignal configured, const TunnelProgram& program);

/// Programs that were looked up for a Reconnection with the run's lock released.
struct ProgramLookup {
    /// All of State::programs at that time.
    std::vector<ProcessId> known;
    /// Programs that have had no tunnel yet were searched for, too.
    bool waiting = false;
    /// Those of both that run.
    std::vector<TunnelProgram> running;
};

struct DueSignal {
    ProcessId program;
    int number = 0;

    friend bool operator==(const DueSignal&, const DueSignal&) = default;
};

/// The signals that are due in `state`, which another run may have saved since the look-up.
/// nullopt if it asks for programs that were not looked up: the change that they are told of has
/// an event of its own.
std::optional<std::vector<DueSignal>> due_signals(const State& state, const Snapshot& snapshot,
                                                  const ProgramLookup& lookup,
                                                  ReconnectSignal configured);

/// Takes the programs that were looked up and do not run from `state`.
void forget_ended(State& state, const ProgramLookup& lookup);

} // namespace failclosed
