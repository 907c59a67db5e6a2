// SPDX-License-Identifier: GPL-3.0-or-later
// The firewall for a state. docs/security.md lists the same rules.
#pragma once

#include <vector>

#include "core/model/snapshot.hpp"
#include "core/plan/firewall/ruleset.hpp"

namespace failclosed {

/// Elements that admit queries of the refresh helper to `resolver` outside the tunnel: added at run
/// time, for seconds, to each table that filters leaving packets.
Set bootstrap_elements(const IpAddress& resolver);

/// Elements that admit the sign-in of a user or a program: the same, for minutes.
std::vector<Set> portal_elements(const Portal& portal);

/// All sets that portal_elements() may name. A table has them while a sign-in is planned.
std::vector<SetHandle> portal_sets();

/// How much of nftables a kernel supports.
enum class Expressions : std::uint8_t {
    All,
    /// Without the netdev table: kernels before Linux 5.16 have no egress hook.
    WithoutBelt,
    /// Also without TCP option stripping (Linux 5.18), logging and look-ups in the routing table
    /// (CONFIG_NFT_FIB_INET): a kernel that refuses the whole ruleset may accept this one. MPTCP's
    /// first packets are then dropped in tunnels, and forwarding is refused after routing, which
    /// may answer the sender.
    Essential,
};

/// The ruleset for a machine whose state is not yet known: admits only loopback, DHCP and neighbour
/// discovery. Refers to no device except "lo", and uses no set.
Ruleset base_ruleset();

/// The ruleset for `state`; no table if it is unarmed. The rules are always the same; tunnels,
/// servers and networks are elements of sets.
Ruleset plan_firewall(const State& state, const Config& config, const Snapshot& snapshot,
                      Expressions expressions = Expressions::All);

} // namespace failclosed
