// SPDX-License-Identifier: GPL-3.0-or-later
// Choosing entries of the hosts file.
#include "core/plan/names/hosts.hpp"

#include <algorithm>

namespace failclosed {

HostsPlan plan_hosts(const State& state)
{
    std::vector<HostsEntry> entries;
    for (const Server& server : state.servers) {
        const HostName* name = server.remote.name();
        if (name == nullptr) {
            continue;
        }
        for (const Endpoint& endpoint : server.endpoints()) {
            entries.push_back({*name, endpoint.address});
        }
    }
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    return {std::move(entries)};
}

} // namespace failclosed
