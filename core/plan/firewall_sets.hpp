// SPDX-License-Identifier: GPL-3.0-or-later
// The sets that rules look into: tunnels, servers and networks are their elements.
#pragma once

#include <string>
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

/// Sorts `elements` and leaves repetitions out.
Set elements_of(std::string name, std::vector<Field> key, std::vector<SetElement> elements,
                bool intervals = false);

/// `prefixes` are disjoint.
Set prefix_set(std::string name, Field field, const std::vector<IpPrefix>& prefixes);

/// What leaving_rules() look into.
std::vector<Set> leaving_sets(const FirewallInputs& in);

/// "own4" and "own6": addresses of this machine outside of tunnels, without link-local ones.
Set own_addresses(Family family, const FirewallInputs& in);

/// What they look into at Place::Egress alone: whose later fragments are a tunnel program's
/// (without ports, the host and the protocol count), and the addresses of this machine outside of
/// tunnels.
std::vector<Set> egress_sets(const FirewallInputs& in);

/// What only the inet table looks into.
std::vector<Set> inet_sets(const FirewallInputs& in);

} // namespace failclosed
