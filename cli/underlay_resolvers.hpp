// SPDX-License-Identifier: GPL-3.0-or-later
// The resolvers of the network beneath the tunnels.
#pragma once

#include <vector>

#include "core/model/state.hpp"

namespace failclosed::cli {

/// At most two: what resolv.conf said before it was ours, and what those say who write it; but
/// nothing of ours, no resolver of this machine's own, and nobody inside a tunnel, who must not be
/// asked past it.
std::vector<IpAddress> underlay_resolvers(const State& state);

} // namespace failclosed::cli
