// SPDX-License-Identifier: GPL-3.0-or-later
// Which packets may leave by a device that is not a tunnel: the same rules at output (inet), at
// postrouting, where the device is final (inet), and at egress (netdev).
#pragma once

#include <vector>

#include "core/plan/firewall_sets.hpp"

namespace failclosed {

/// The hook of the rules.
enum class Place : std::uint8_t {
    Output, ///< packets of this machine, with connection marks; refusals are answered
    /// The same packets after the last routing decision, which another chain may have changed since
    /// output, also with connection marks. Refusals are silent.
    Postrouting,
    Egress, ///< frames of any sender, without connection marks
};

struct Leaving {
    const FirewallInputs& in;
    const Refusals& refusals;
    Place place = Place::Output;
};

/// The chain that drops source routes (IPv4 options, RFC 791; IPv6 routing headers, RFC 8200):
/// other rules would match only their first hop. It drops all IPv4 options except Router Alert,
/// which IGMP needs. Each table with leaving_rules() has it once.
Chain source_route();

/// The jump to source_route(). Stands before every rule that admits anything outside the tunnels.
Rule no_source_route();

/// Chains that leaving_rules() jump to, in an order for Table::chains, without source_route().
/// Rules of Place::Postrouting need those of Place::Output as well.
std::vector<Chain> leaving_chains(const Leaving& leaving);

/// The verdict map that leads to the chains of refused services.
Set refused_service_ports(const Leaving& leaving);

/// What admits packets to VPN servers, by their tunnel programs. Stands before leaving_rules().
std::vector<Rule> transport_rules(const Leaving& leaving);

/// In the order in which packets meet them; what none of them admits is refused by the last one.
/// They look into leaving_sets() and refused_service_ports(), and at Place::Egress into
/// egress_sets().
std::vector<Rule> leaving_rules(const Leaving& leaving);

/// Refuses packets from the address of a tunnel.
Rule no_tunnel_address_elsewhere(Family family, Verdict verdict);

/// Stands before every rule that admits the local network, also for what is forwarded (whose
/// refusals are answered at Place::Output).
Rule refused_before_lan(Place place);

} // namespace failclosed
