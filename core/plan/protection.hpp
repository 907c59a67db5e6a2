// SPDX-License-Identifier: GPL-3.0-or-later
// All that a state asks of the machine.
#pragma once

#include "core/plan/dns.hpp"
#include "core/plan/hosts.hpp"
#include "core/plan/routing.hpp"
#include "core/plan/ruleset.hpp"

namespace failclosed {

/// What a state asks of each part of the system.
struct Protection {
    Ruleset firewall;
    RoutingPlan routing;
    DnsPlan dns;
    HostsPlan hosts;
};

/// Empty, so that no part of ours remains, if `state` is not armed.
Protection plan_protection(const State& state, const Config& config, const Snapshot& snapshot);

} // namespace failclosed
