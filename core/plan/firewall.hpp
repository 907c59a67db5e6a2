// SPDX-License-Identifier: GPL-3.0-or-later
// The firewall that a state asks for. docs/security.md lists the same rules for people.
#pragma once

#include <vector>

#include "core/model/snapshot.hpp"
#include "core/plan/ruleset.hpp"

namespace failclosed {

/// What lets the refresh helper ask `resolver` past the tunnel: elements to be added at run time,
/// for seconds, to each table that judges what leaves.
Set bootstrap_elements(const IpAddress& resolver);

/// What lets a user or a program sign in to the network: the same, for minutes.
std::vector<Set> portal_elements(const Portal& portal);

/// All sets that portal_elements() may name. A table has them while a sign-in is planned.
std::vector<SetHandle> portal_sets();

/// How much of nftables a kernel understands.
enum class Expressions : std::uint8_t {
    All,
    /// Without the netdev table: kernels before Linux 5.16 have no egress hook.
    WithoutBelt,
    /// Moreover without TCP option stripping (Linux 5.18), logging and questions to the routing
    /// table (CONFIG_NFT_FIB_INET): a kernel that refuses the whole ruleset may still take this
    /// one. MPTCP's first packets are then dropped in tunnels, and what is not forwarded is stopped
    /// after routing, which may answer it.
    Essential,
};

/// The form that loads before anything else is known: nothing leaves or comes in but on loopback,
/// DHCP and neighbour discovery. Names no device but "lo", and uses no set.
Ruleset base_ruleset();

/// What `state` asks for: no table at all where it is not armed. The rules are always the same;
/// tunnels, servers and networks are elements of sets.
Ruleset plan_firewall(const State& state, const Config& config, const Snapshot& snapshot,
                      Expressions expressions = Expressions::All);

} // namespace failclosed
