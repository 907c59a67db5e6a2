// SPDX-License-Identifier: GPL-3.0-or-later
// One event from lock to save: load, observe, decide, plan, apply, verify.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/system.hpp"
#include "core/model/event.hpp"
#include "core/plan/firewall.hpp"

namespace failclosed {

/// What a run came to.
struct Outcome {
    enum class Protection : std::uint8_t {
        Closed,    ///< armed, and the kernel holds a ruleset of ours
        NotClosed, ///< armed, but no ruleset could be loaded
        Open,      ///< not armed: a fresh install, or after `unlock`
    };

    Protection protection = Protection::NotClosed;
    /// The firewall, rules and routes are exactly the wanted ones.
    bool enforced = false;
    /// What kept the machine from being protected in full: firewall, routes, state.
    std::vector<std::string> errors;
    /// What went wrong beside protection: names, hosts, sockets of old flows.
    std::vector<std::string> warnings;
    /// What was done that its owner may wonder about: programs that were told to reconnect.
    std::vector<std::string> notices;
    /// A program was told to reconnect.
    bool reconnecting = false;
    /// The state after the run.
    State state;
    Config config;

    /// 0 done, 1 failed but closed, 2 failed and not closed.
    [[nodiscard]] int exit_code() const;
};

/// What a state asks of each part of the system.
struct Protection {
    Ruleset firewall;
    RoutingPlan routing;
    DnsPlan dns;
    HostsPlan hosts;
};

/// Pure: nothing of ours anywhere where `state` is not armed.
Protection plan_protection(const State& state, const Config& config, const Snapshot& snapshot);

/// Everything that a run can look at without changing it.
struct Inspection {
    LoadedConfig config;
    LoadedState loaded;
    Snapshot snapshot;
    /// The state that a re-apply would end in, but with a sign-in whose time is over.
    State state;
    Protection wanted;
    std::vector<std::string> errors;
};

/// Handles one event. On return the machine is closed unless the event was UnlockRequested, or it
/// was never armed, or `outcome.protection` says that it could not be closed.
Outcome handle(System& system, const Event& event);

/// Closes without looking at anything: loads the base form where no ruleset of ours is loaded.
/// What is done when a run cannot be finished.
Status ensure_closed(System& system);

/// The fullest form of the wanted firewall that the kernel holds; nothing where it holds none of
/// them, less than it could, or cannot be read. Where nothing is armed, no table of ours is all
/// there is to hold.
std::optional<Expressions> firewall_form(System& system, const Inspection& inspection);

/// Loads and observes without locking, changing or saving anything.
Inspection inspect(System& system);

/// A part of the kernel or of files that differs from the plan, or could not be read.
struct Difference {
    enum class Part : std::uint8_t { Files, Firewall, Routing, Dns, Hosts };

    Part part = Part::Files;
    /// What differs, and why; without the advice.
    std::string text;
    /// `failclosed reapply` makes it as planned.
    bool reapply_mends = false;
};

/// What a command says of it: the text, then what to do.
std::string to_string(const Difference& difference);

/// Empty if exactly the wanted protection is in force.
std::vector<Difference> differences(System& system, const Inspection& inspection);

} // namespace failclosed
