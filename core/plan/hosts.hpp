// SPDX-License-Identifier: GPL-3.0-or-later
// Which names of servers are to resolve without DNS.
#pragma once

#include <compare>
#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// One line of hosts(5).
struct HostsEntry {
    HostName name;
    IpAddress address;

    friend auto operator<=>(const HostsEntry&, const HostsEntry&) = default;
};

/// Sorted by name, then address; without duplicates.
struct HostsPlan {
    std::vector<HostsEntry> entries;

    friend bool operator==(const HostsPlan&, const HostsPlan&) = default;
};

/// Every server that is configured by name, with all addresses that `state` has for it, of the
/// family that the remote asks for. A name that a resolver invents is in no remote, so it cannot
/// get here.
HostsPlan plan_hosts(const State& state);

} // namespace failclosed
