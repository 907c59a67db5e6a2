// SPDX-License-Identifier: GPL-3.0-or-later
// What may leave by a device that is no tunnel: judged where programs send (inet) and once more on
// the way onto the wire (netdev), so that both say the same.
#pragma once

#include <vector>

#include "core/plan/firewall_sets.hpp"

namespace failclosed {

/// Where the rules stand.
enum class Place : std::uint8_t {
    Output, ///< packets of this machine, with their flows; refusals are answered
    Egress, ///< frames, one by one, whoever made them
};

struct Leaving {
    const FirewallInputs& in;
    const Refusals& refusals;
    Place place = Place::Output;
};

/// Chains that leaving_rules() jump to, in an order for Table::chains.
std::vector<Chain> leaving_chains(const Leaving& leaving);

/// In the order in which packets meet them; what none of them admits is refused by the last one.
/// They look into leaving_sets(), and at Place::Egress into egress_sets().
std::vector<Rule> leaving_rules(const Leaving& leaving);

/// Stands before every rule that admits the local network, also for what is forwarded.
Rule refused_before_lan();

} // namespace failclosed
