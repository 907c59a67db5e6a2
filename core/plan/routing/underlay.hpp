// SPDX-License-Identifier: GPL-3.0-or-later
// How servers are reached outside the tunnels, and which programs must learn of a change.
#pragma once

#include <optional>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// Whether routes over this link lead out of the machine outside the tunnels: not loopback, no
/// present or former tunnel, no device that a tunnel program holds.
bool is_underlay(const State& state, const Link& link);

/// Default routes of table main over underlays, sorted.
std::vector<MainRoute> underlay_defaults(Family family, const State& state,
                                         const Snapshot& snapshot);

/// How a packet to `address` leaves outside the tunnels. A host route through a gateway counts only
/// if there is no other: tunnel programs add such routes, which outlive their network. A device
/// without a source address does not count.
std::optional<UnderlayPath> path_to(const IpAddress& address, const State& state,
                                    const Snapshot& snapshot);

/// How packets of tunnel programs to all known servers leave, each path once, sorted.
std::vector<UnderlayPath> paths_to_servers(const State& state, const Snapshot& snapshot);

/// How `program` can reach a server now, best path first: that to the server that it last reached,
/// then, if that server has addresses of both families, those of the other family. The two families
/// of a network come one after the other. All paths if its server is unknown.
std::vector<UnderlayPath> paths_of(const Program& program, const State& state,
                                   const Snapshot& snapshot);

/// Same device and gateway, and a common address: answers to packets over one path arrive over the
/// other.
bool is_same_path(const UnderlayPath& a, const UnderlayPath& b);

/// Programs to be told that their underlay has changed or is back.
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

/// Stores the paths of `snapshot` in `state`. Of an unchanged path only the unchanged addresses are
/// stored: they may be replaced one after the other.
void remember_paths(State& state, const Snapshot& snapshot);

/// The properties of a running tunnel program that decide how it is told to reconnect.
struct TunnelProgram {
    ProcessId id;
    /// Whether it handles each signal; an unhandled signal would end it.
    bool handles_hup = false;
    bool handles_usr1 = false;
    /// SIGHUP makes it read its configuration and secrets again. False if it has dropped the
    /// privileges for that, or if a person would have to type a secret.
    bool can_start_anew = false;

    friend bool operator==(const TunnelProgram&, const TunnelProgram&) = default;
};

/// SIGHUP or SIGUSR1; nullopt if the configuration or the program allows none.
std::optional<int> reconnect_signal(ReconnectSignal configured, const TunnelProgram& program);

/// Programs that were looked up for a Reconnection with the run's lock released.
struct ProgramLookup {
    /// All of State::programs at that time.
    std::vector<ProcessId> known;
    /// Programs without a tunnel so far were searched for, too.
    bool waiting = false;
    /// The running ones of both.
    std::vector<TunnelProgram> running;
};

struct DueSignal {
    ProcessId program;
    int number = 0;

    friend bool operator==(const DueSignal&, const DueSignal&) = default;
};

/// The signals that are due in `state`, which another run may have saved since the look-up. nullopt
/// if it names programs that were not looked up: the change that they must learn of has its own
/// event.
std::optional<std::vector<DueSignal>> due_signals(const State& state, const Snapshot& snapshot,
                                                  const ProgramLookup& lookup,
                                                  ReconnectSignal configured);

/// Takes the programs that were looked up and do not run from `state`.
void forget_ended(State& state, const ProgramLookup& lookup);

} // namespace failclosed
