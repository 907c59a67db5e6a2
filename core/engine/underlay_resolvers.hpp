// SPDX-License-Identifier: GPL-3.0-or-later
// The resolvers of the underlay.
#pragma once

#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// At most two resolvers, from resolv.conf as it was before our file, and from the files of
/// programs that write it. Without resolvers on this machine, and without those in a tunnel's
/// networks, which must not be asked outside the tunnel.
std::vector<IpAddress> underlay_resolvers(const State& state);

} // namespace failclosed
