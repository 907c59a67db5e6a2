// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 1: which packets of guests, of networks behind this machine and of other hosts are
// forwarded.
#pragma once

#include <vector>

#include "core/plan/firewall/leaving.hpp"

namespace failclosed {

/// Sends packets that are not for this machine to passing_through(), before routing answers those
/// that it cannot forward.
Chain prerouting_filter(Expressions expressions);
Chain passing_through(const Refusals& refusals, const Needs& needs);

Chain forward(const Refusals& refusals, const Needs& needs);

/// Admits packets that a tunnel brought, in flows that began here or behind this machine, and that
/// meet `more` as well.
Rule answers_from_tunnel(std::vector<Match> more);

/// For networks behind this machine: DNS goes to the tunnel's resolver, and packets into a tunnel
/// get the tunnel's address.
Chain redirect_dns(const State& state, const Config& config);
Chain masquerade();

} // namespace failclosed
