// SPDX-License-Identifier: GPL-3.0-or-later
// The planned protection for a state.
#pragma once

#include "core/plan/firewall/ruleset.hpp"
#include "core/plan/names/dns.hpp"
#include "core/plan/names/hosts.hpp"
#include "core/plan/routing/routing.hpp"

namespace failclosed {

/// The plan for each part of the system.
struct Protection {
    Ruleset firewall;
    RoutingPlan routing;
    DnsPlan dns;
    HostsPlan hosts;
};

/// Empty if `state` is unarmed: every part of ours is removed.
Protection plan_protection(const State& state, const Config& config, const Snapshot& snapshot);

} // namespace failclosed
