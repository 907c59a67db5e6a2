// SPDX-License-Identifier: GPL-3.0-or-later
// Looks at a machine, and compares it with what is wanted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/system.hpp"
#include "core/plan/firewall.hpp"
#include "core/plan/protection.hpp"

namespace failclosed {

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

/// The fullest form of the wanted firewall that the kernel holds. nullopt if it holds none of them,
/// holds less than it could, or cannot be read. On an unarmed machine no table of ours is wanted.
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
