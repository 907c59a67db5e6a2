// SPDX-License-Identifier: GPL-3.0-or-later
// What may leave by a device that is no tunnel: judged where programs send (inet), once more where
// the device is final (inet), and on the way onto the wire (netdev), so that all say the same.
#pragma once

#include <vector>

#include "core/plan/firewall_sets.hpp"

namespace failclosed {

/// Where the rules stand.
enum class Place : std::uint8_t {
    Output, ///< packets of this machine, with their flows; refusals are answered
    /// The same packets after their last routing decision, also with their flows: between the two,
    /// another chain may have led them to another device. Refusals are silent here.
    Postrouting,
    Egress, ///< frames, one by one, whoever made them
};

struct Leaving {
    const FirewallInputs& in;
    const Refusals& refusals;
    Place place = Place::Output;
};

/// The chain that refuses packets whose sender chooses their way (source routes of IPv4, RFC 791;
/// routing headers of IPv6, RFC 8200): the destination that all other rules look at is then only
/// the first station. Of IPv4 it refuses all options but Router Alert, which IGMP needs. Every
/// table that judges what leaves has it once.
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
