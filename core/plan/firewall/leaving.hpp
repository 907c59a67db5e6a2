// SPDX-License-Identifier: GPL-3.0-or-later
// Which packets may leave by a device that is not a tunnel: the same rules at output (inet), at
// postrouting, where the device is final (inet), and at egress (netdev).
#pragma once

#include <vector>

#include "core/plan/firewall/set_contents.hpp"

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

/// The jump to source_route(). It comes before every rule that admits packets outside the tunnels.
Rule no_source_route();

/// Chains that leaving_rules() jump to, in an order for Table::chains, without source_route().
/// Rules of Place::Postrouting need those of Place::Output as well.
std::vector<Chain> leaving_chains(const Leaving& leaving);

/// The verdict map that leads to the chains of refused services.
Set refused_service_ports(const Leaving& leaving);

/// Rules that admit packets of tunnel programs to their VPN servers. They come before
/// leaving_rules().
std::vector<Rule> transport_rules(const Leaving& leaving);

/// In order of evaluation; the last one refuses all other packets. They use leaving_sets() and
/// refused_service_ports(), and at Place::Egress egress_sets().
std::vector<Rule> leaving_rules(const Leaving& leaving);

/// Refuses packets from the address of a tunnel.
Rule no_tunnel_address_elsewhere(Family family, Verdict verdict);

/// Comes before every rule that admits the local network, also for forwarded packets (whose
/// refusals are answered at Place::Output).
Rule refused_before_lan(Place place);

} // namespace failclosed
