// SPDX-License-Identifier: GPL-3.0-or-later
// One event from lock to save: load, observe, decide, plan, apply, verify.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/system.hpp"
#include "core/model/event.hpp"
#include "core/plan/names/lookups.hpp"

namespace failclosed {

/// The result of a run.
struct Outcome {
    enum class Protection : std::uint8_t {
        Closed,    ///< armed, and the kernel holds a ruleset of ours
        NotClosed, ///< armed, but no ruleset could be loaded
        Open,      ///< not armed: a fresh install, or after `unlock`
    };

    Protection protection = Protection::NotClosed;
    /// The firewall, rules and routes are as planned.
    bool enforced = false;
    /// Errors of the protection: firewall, routes, state.
    std::vector<std::string> errors;
    /// Other errors: names, hosts, sockets of old flows.
    std::vector<std::string> warnings;
    /// Visible actions: programs that were told to reconnect.
    std::vector<std::string> notices;
    /// A program was told to reconnect.
    bool reconnecting = false;
    /// When the caller must look up names after the run.
    std::optional<LookupTime> lookup = {};
    /// The state after the run.
    State state;
    Config config;

    /// 0 done, 1 failed but closed, 2 failed and not closed.
    [[nodiscard]] int exit_code() const;
};

/// Handles one event. On return the machine is closed unless the event was UnlockRequested, or it
/// was never armed, or `outcome.protection` says that it could not be closed.
Outcome handle(System& system, const Event& event);

/// Adds the error of a failed `status` to `notes`; `what` names the step.
void note(std::vector<std::string>& notes, const std::string& what, const Status& status);

/// Closes without reading state or configuration: loads the base ruleset if no ruleset of ours is
/// loaded. For a run that cannot be finished.
Status ensure_closed(System& system);

/// After an exception before or in a run: handles `event` without learnt data, and falls back to
/// ensure_closed() if that throws too or does not close. The error tells why the machine is not
/// closed.
Status close_after_exception(System& system, const LockRequested& event);

} // namespace failclosed
