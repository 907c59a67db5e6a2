// SPDX-License-Identifier: GPL-3.0-or-later
// Kernel settings of other programs that can bypass the locks. They are reported, not changed.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/address.hpp"

namespace failclosed {

/// A device by which a guest sends too.
struct SharedWire {
    /// A macvlan or ipvlan device, or a bridge.
    std::string guest;
    /// Its lower device, or its port.
    std::string device;

    friend bool operator==(const SharedWire&, const SharedWire&) = default;
};

/// All of them that are visible in this network namespace. Bridge ports that lead to guests (veth,
/// tap) are left out.
Result<std::vector<SharedWire>> shared_wires();

/// Addresses that MPTCP announces to peers (ip-mptcp(8), "signal"). Empty if the kernel has no
/// MPTCP. EPERM without CAP_NET_ADMIN.
Result<std::vector<IpAddress>> announced_by_mptcp();

/// Flowtables, as "table/name". Forwarded packets of the flows in them bypass all chains. EPERM
/// without CAP_NET_ADMIN.
Result<std::vector<std::string>> flowtables();

} // namespace failclosed
