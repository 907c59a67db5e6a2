// SPDX-License-Identifier: GPL-3.0-or-later
// Ends connections that were made before the tunnel and would go on beside it.
#pragma once

#include "core/base/result.hpp"
#include "core/plan/flows.hpp"

namespace failclosed {

struct FlowSweep {
    /// Sockets that were destroyed.
    unsigned destroyed = 0;
    /// Whether the kernel can destroy sockets at all (CONFIG_INET_DIAG_DESTROY).
    bool supported = true;

    friend bool operator==(const FlowSweep&, const FlowSweep&) = default;
};

/// Destroys the connected sockets of this network namespace that `policy` calls foreign: their
/// programs see ECONNABORTED. A TCP socket sends a reset to its peer first, so the firewall must
/// be closed before. Fails where sockets could not be listed, or some could not be destroyed.
Result<FlowSweep> destroy_foreign_flows(const FlowPolicy& policy);

} // namespace failclosed
