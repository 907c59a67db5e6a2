// SPDX-License-Identifier: GPL-3.0-or-later
// Which resolvers the system is to ask while tunnels are up.
#pragma once

#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// What one tunnel brings for name resolution.
struct TunnelDns {
    InterfaceName interface;
    /// Never empty; in the order in which they are to be asked.
    std::vector<IpAddress> resolvers;
    std::vector<HostName> search_domains;

    friend bool operator==(const TunnelDns&, const TunnelDns&) = default;
};

/// Tunnels that have resolvers, in the order in which they came up: all names go to the first
/// one; the next ones are for when it does not answer, or for their own domains. None: the
/// system's own configuration is to be in force.
struct DnsPlan {
    std::vector<TunnelDns> tunnels;

    /// Resolvers of all tunnels in order, each once.
    [[nodiscard]] std::vector<IpAddress> resolvers() const;

    /// Search domains of all tunnels in order, each once.
    [[nodiscard]] std::vector<HostName> search_domains() const;

    friend bool operator==(const DnsPlan&, const DnsPlan&) = default;
};

/// Resolvers that `config` names stand in the place of every tunnel's own. Addresses that no
/// resolver inside a tunnel can have (loopback, unspecified, multicast, link-local) are left out;
/// only `config` may name a loopback address, for a resolver of the administrator's own.
DnsPlan plan_dns(const State& state, const Config& config);

} // namespace failclosed
