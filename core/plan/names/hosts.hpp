// SPDX-License-Identifier: GPL-3.0-or-later
// Server names that resolve without DNS.
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

/// Every server that is configured by name, with its addresses in `state`, of the family of the
/// remote. Only names of remotes: a resolver cannot add others.
HostsPlan plan_hosts(const State& state);

} // namespace failclosed
