// SPDX-License-Identifier: GPL-3.0-or-later
// The planned protection for a state.
#include "core/plan/protection.hpp"

#include "core/plan/firewall/firewall.hpp"

namespace failclosed {

Protection plan_protection(const State& state, const Config& config, const Snapshot& snapshot)
{
    if (state.armed == Armed::No) {
        return {};
    }
    return {plan_firewall(state, config, snapshot), plan_routing(state, config, snapshot),
            plan_dns(state, config), plan_hosts(state)};
}

} // namespace failclosed
