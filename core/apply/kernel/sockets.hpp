// SPDX-License-Identifier: GPL-3.0-or-later
// Ends connections that were made before the tunnel and do not use it.
#pragma once

#include "core/base/result.hpp"
#include "core/plan/routing/flows.hpp"

namespace failclosed {

struct FlowSweep {
    /// The number of destroyed sockets.
    unsigned destroyed = 0;
    /// Whether the kernel can destroy sockets (CONFIG_INET_DIAG_DESTROY).
    bool supported = true;

    friend bool operator==(const FlowSweep&, const FlowSweep&) = default;
};

/// Destroys the connected sockets of this network namespace that `policy` calls foreign; their
/// programs get ECONNABORTED. A TCP socket then sends a reset to its peer, so the firewall must be
/// closed before. Fails if sockets could not be listed or a socket could not be destroyed.
Result<FlowSweep> destroy_foreign_flows(const FlowPolicy& policy);

} // namespace failclosed
