// SPDX-License-Identifier: GPL-3.0-or-later
// What an event leads to: the next state, and what the engine has to do about it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/event.hpp"
#include "core/model/snapshot.hpp"
#include "core/plan/lookups.hpp"

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

/// Makes the next state durable. It comes before every change: the next run repairs what a run that
/// is cut short has left.
struct SaveState {
    friend bool operator==(const SaveState&, const SaveState&) = default;
};

/// Ends the sign-in that the state before the event had, whether its time is over or not.
struct EndSignIn {
    friend bool operator==(const EndSignIn&, const EndSignIn&) = default;
};

/// Makes the three locks' tables in the kernel what the next state asks for.
struct LoadFirewall {
    /// Sets all links down if no table of ours could be loaded.
    bool or_links_down = false;

    friend bool operator==(const LoadFirewall&, const LoadFirewall&) = default;
};

/// Makes sysctls, policy rules and routes what the next state asks for.
struct SetRoutes {
    friend bool operator==(const SetRoutes&, const SetRoutes&) = default;
};

/// Admits the sign-in of the next state for the time that is left of it.
struct AdmitSignIn {
    /// It was not in the state before. One that was there is admitted again only if the firewall,
    /// and with it the elements that admit it, was replaced.
    bool is_new = false;

    friend bool operator==(const AdmitSignIn&, const AdmitSignIn&) = default;
};

/// Ends connected flows that began outside the tunnels.
struct EndOlderFlows {
    friend bool operator==(const EndOlderFlows&, const EndOlderFlows&) = default;
};

/// Makes DNS and /etc/hosts what the next state asks for. Without a tunnel that puts back what was
/// there before.
struct SetNames {
    friend bool operator==(const SetNames&, const SetNames&) = default;
};

/// Tells the tunnel programs whose underlay has changed to reconnect, then remembers the underlay.
struct TellPrograms {
    /// The program that the event comes from, which is reconnecting already.
    std::optional<ProcessId> except = {};

    friend bool operator==(const TellPrograms&, const TellPrograms&) = default;
};

/// Remembers the underlay, and tells no program of it: the machine was open before the event.
struct RememberPaths {
    friend bool operator==(const RememberPaths&, const RememberPaths&) = default;
};

/// Has the names of servers looked up when the run is over, if is_lookup_due() by then.
struct LookNamesUp {
    LookupTime time = LookupTime::Now;

    friend bool operator==(const LookNamesUp&, const LookNamesUp&) = default;
};

/// Puts names back, takes routes and rules away, then the firewall, then saves. Needs the run's
/// lock. One value for all of it: a step that fails leaves the machine locked.
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

/// What earlier runs have left, besides the state.
struct Traces {
    bool has_state_file = true;
    /// A table of ours is loaded, or it could not be found out whether one is.
    bool has_tables = true;
};

/// The state before `event`, or between two events if none is given. `loaded` is what was read from
/// files; rules in the kernel count more, since a file can be out of date if it could not be
/// written. No file and no rules are a fresh installation, which is open.
State believed(State loaded, const Traces& traces, const Event& event = ReapplyRequested{});

/// The programs whose tunnels forget_unwatched() may forget. Empty if `state` is armed: then each
/// end of a tunnel is an event.
std::vector<ProcessId> unwatched_programs(const State& state);

/// Forgets the tunnels of unwatched_programs() that are not among `running`.
void forget_unwatched(State& state, const std::vector<ProcessId>& running);

/// What stands in for a snapshot if the kernel's links could not be read: each tunnel is there.
/// Otherwise the tunnels would be forgotten, and the underlay's DNS put back.
Snapshot assumed_snapshot(const State& state);

/// The state between two events: as `before`, with what time and devices have changed. A sign-in
/// whose time is over stays: the kernel has ended it, and its rules remain, without elements, until
/// the next event.
State current_state(const State& before, const Config& config, const Snapshot& snapshot);

} // namespace failclosed
