// SPDX-License-Identifier: GPL-3.0-or-later
// The elements of our sets: tunnels, servers and networks.
#pragma once

#include <vector>

#include "core/plan/firewall/rules.hpp"

namespace failclosed {

/// Inputs of all tables of one plan.
struct FirewallInputs {
    FirewallInputs(const State& state_, const Config& config_, const Snapshot& snapshot_)
        : state(state_), config(config_), snapshot(snapshot_), admitted(admissions(state_)),
          needs(needs_of(state_, config_, admitted))
    {
    }

    const State& state;
    const Config& config;
    const Snapshot& snapshot;
    Admissions admitted;
    Needs needs;
};

/// The sets of leaving_rules().
std::vector<Set> leaving_sets(const FirewallInputs& in);

/// sets::kOwn
Set own_addresses(Family family, const FirewallInputs& in);

/// sets::kTunnelAddress
Set tunnel_addresses(Family family, const State& state);

/// sets::kTunnelDestination
Set tunnel_destinations(Family family, const State& state);

/// The sets of leaving_rules() at Place::Egress only.
std::vector<Set> egress_sets(const FirewallInputs& in);

/// The sets of the inet table only.
std::vector<Set> inet_sets(const FirewallInputs& in);

} // namespace failclosed
