// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the machine, and compares it with the plan.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/system.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/protection.hpp"

namespace failclosed {

/// Everything that a run can read without a change.
struct Inspection {
    LoadedConfig config;
    LoadedState loaded;
    Snapshot snapshot;
    /// The state after a re-apply, except that an expired sign-in is kept.
    State state;
    Protection wanted;
    std::vector<std::string> errors;
};

/// The fullest form of the planned firewall that is loaded. nullopt if none is loaded, if less is
/// loaded than the kernel supports, or if the kernel cannot be read. On an unarmed machine the plan
/// has no table.
std::optional<Expressions> firewall_form(System& system, const Inspection& inspection);

/// Loads and observes without locking, changing or saving anything.
Inspection inspect(System& system);

/// A part of the kernel or of files that differs from the plan, or could not be read.
struct Difference {
    enum class Part : std::uint8_t { Files, Firewall, Routing, Dns, Hosts };

    Part part = Part::Files;
    /// What differs, and why; without the advice.
    std::string text;
    /// `failclosed reapply` repairs it.
    bool reapply_mends = false;
};

/// The message of a command: the text, then the advice.
std::string to_string(const Difference& difference);

/// Empty if the protection is exactly as planned.
std::vector<Difference> differences(System& system, const Inspection& inspection);

} // namespace failclosed
