// SPDX-License-Identifier: GPL-3.0-or-later
// One event from lock to save: load, observe, decide, plan, apply, verify.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/system.hpp"
#include "core/model/event.hpp"
#include "core/plan/lookups.hpp"

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
    /// When names are to be looked up after the run, by the caller.
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

/// Adds the error of a failed `status` to `notes`, with `what` was being done.
void note(std::vector<std::string>& notes, const std::string& what, const Status& status);

/// Closes without looking at anything: loads the base form where no ruleset of ours is loaded.
/// What is done when a run cannot be finished.
Status ensure_closed(System& system);

/// For a caller that an exception has ended, before its run or in it: handles `event` as if nothing
/// had been learnt, and falls back to ensure_closed() if that throws too or does not close. The
/// error tells why the machine is not closed.
Status close_after_exception(System& system, const LockRequested& event);

} // namespace failclosed
