// SPDX-License-Identifier: GPL-3.0-or-later
// What the sets of our tables hold: tunnels, servers and networks are their elements.
#pragma once

#include <vector>

#include "core/plan/firewall_rules.hpp"

namespace failclosed {

/// What all tables of one plan are made from.
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

/// What leaving_rules() look into.
std::vector<Set> leaving_sets(const FirewallInputs& in);

/// sets::kOwn
Set own_addresses(Family family, const FirewallInputs& in);

/// sets::kTunnelAddress
Set tunnel_addresses(Family family, const State& state);

/// sets::kTunnelDestination
Set tunnel_destinations(Family family, const State& state);

/// What leaving_rules() look into at Place::Egress alone.
std::vector<Set> egress_sets(const FirewallInputs& in);

/// What only the inet table looks into.
std::vector<Set> inet_sets(const FirewallInputs& in);

} // namespace failclosed
