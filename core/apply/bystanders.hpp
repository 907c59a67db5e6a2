// SPDX-License-Identifier: GPL-3.0-or-later
// What others have set in the kernel that concerns us and that we leave alone.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/address.hpp"

namespace failclosed {

/// Somebody else than this machine sends by one of its devices.
struct SharedWire {
    /// A macvlan or ipvlan device, or a bridge.
    std::string guest;
    /// The device beneath it, or its port.
    std::string device;

    friend bool operator==(const SharedWire&, const SharedWire&) = default;
};

/// Those that this network namespace shows. Ports that are wires to guests (veth, tap) are none.
Result<std::vector<SharedWire>> shared_wires();

/// Addresses that MPTCP tells its peers of (ip-mptcp(8), "signal"). None where the kernel has no
/// MPTCP. EPERM without CAP_NET_ADMIN.
Result<std::vector<IpAddress>> announced_by_mptcp();

/// Flowtables, "table/name" each: established flows that are forwarded pass by all chains.
/// EPERM without CAP_NET_ADMIN.
Result<std::vector<std::string>> flowtables();

} // namespace failclosed
