// SPDX-License-Identifier: GPL-3.0-or-later
// The result of an event: the next state, and the obligations of the engine.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/event.hpp"
#include "core/model/snapshot.hpp"
#include "core/plan/names/lookups.hpp"

namespace failclosed {

/// Adds `text` to the warnings of the run.
struct SayWarning {
    std::string text;

    friend bool operator==(const SayWarning&, const SayWarning&) = default;
};

/// The event, or a part of it, is refused: adds `text` to the errors of the run.
struct RefuseEvent {
    std::string text;
    /// The run does not count as enforced, so that the program that announced its tunnel ends.
    bool ends_program = false;

    friend bool operator==(const RefuseEvent&, const RefuseEvent&) = default;
};

/// Makes the next state durable. It comes before every change, so that the next run can repair what
/// an interrupted run has left.
struct SaveState {
    friend bool operator==(const SaveState&, const SaveState&) = default;
};

/// Ends the sign-in that the state before the event had, whether its time is over or not.
struct EndSignIn {
    friend bool operator==(const EndSignIn&, const EndSignIn&) = default;
};

/// Loads the tables of locks 1 and 3 for the next state.
struct LoadFirewall {
    /// Sets all links down if no table of ours could be loaded.
    bool or_links_down = false;

    friend bool operator==(const LoadFirewall&, const LoadFirewall&) = default;
};

/// Sets sysctls, policy rules and routes for the next state.
struct SetRoutes {
    friend bool operator==(const SetRoutes&, const SetRoutes&) = default;
};

/// Admits the sign-in of the next state for its remaining time.
struct AdmitSignIn {
    /// The state before did not have it. Otherwise it is admitted again only if the firewall was
    /// replaced, and its elements with it.
    bool is_new = false;

    friend bool operator==(const AdmitSignIn&, const AdmitSignIn&) = default;
};

/// Ends connected flows that began outside the tunnels.
struct EndOlderFlows {
    friend bool operator==(const EndOlderFlows&, const EndOlderFlows&) = default;
};

/// Sets DNS and /etc/hosts for the next state. Without a tunnel this restores the earlier contents.
struct SetNames {
    friend bool operator==(const SetNames&, const SetNames&) = default;
};

/// Tells the tunnel programs whose underlay has changed to reconnect, then remembers the underlay.
struct TellPrograms {
    /// The source of the event, which is reconnecting already.
    std::optional<ProcessId> except = {};

    friend bool operator==(const TellPrograms&, const TellPrograms&) = default;
};

/// Remembers the underlay without telling a program: the machine was open before the event.
struct RememberPaths {
    friend bool operator==(const RememberPaths&, const RememberPaths&) = default;
};

/// Looks up the names of servers after the run, if is_lookup_due() then.
struct LookNamesUp {
    LookupTime time = LookupTime::Now;

    friend bool operator==(const LookNamesUp&, const LookNamesUp&) = default;
};

/// Restores names, removes routes and rules, then the firewall, then saves. Needs the run's lock.
/// One value for all steps: if one fails the machine stays locked.
struct OpenMachine {
    friend bool operator==(const OpenMachine&, const OpenMachine&) = default;
};

using Obligation = std::variant<SayWarning, RefuseEvent, SaveState, EndSignIn, LoadFirewall,
                                SetRoutes, AdmitSignIn, EndOlderFlows, SetNames, TellPrograms,
                                RememberPaths, LookNamesUp, OpenMachine>;

struct Consequences {
    State state;
    /// In the order in which they are carried out; one that fails does not stop the others. No
    /// change of the machine is among them if it is open and stays so.
    std::vector<Obligation> obligations;

    [[nodiscard]] bool opens() const;

    friend bool operator==(const Consequences&, const Consequences&) = default;
};

/// What `event` leads to in `before`, which is as believed() and forget_unwatched() leave it.
Consequences decide(const State& before, const Event& event, const Config& config,
                    const Snapshot& snapshot);

/// What earlier runs have left, except the state.
struct Traces {
    bool has_state_file = true;
    /// A table of ours is loaded, or the kernel could not be asked.
    bool has_tables = true;
};

/// The state before `event`, or between two events if none is given. `loaded` was read from files;
/// rules in the kernel have precedence, because a file that could not be written is out of date.
/// Without file and rules the installation is new, and open.
State believed(State loaded, const Traces& traces, const Event& event = ReapplyRequested{});

/// The programs whose tunnels forget_unwatched() may forget. Empty if `state` is armed: then each
/// end of a tunnel is an event.
std::vector<ProcessId> unwatched_programs(const State& state);

/// Forgets the tunnels of unwatched_programs() that are not among `running`.
void forget_unwatched(State& state, const std::vector<ProcessId>& running);

/// The snapshot used if the kernel's links could not be read: each tunnel exists. Otherwise the
/// tunnels would be forgotten, and the underlay's DNS restored.
Snapshot assumed_snapshot(const State& state);

/// The state between two events: `before`, changed by time and devices. An expired sign-in stays:
/// the kernel has ended it, and its rules remain, without elements, until the next event.
State current_state(const State& before, const Config& config, const Snapshot& snapshot);

} // namespace failclosed
