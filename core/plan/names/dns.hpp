// SPDX-License-Identifier: GPL-3.0-or-later
// The resolvers that the system uses while tunnels are up.
#pragma once

#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// Resolvers and domains of one tunnel.
struct TunnelDns {
    InterfaceName interface;
    /// Never empty; in order of precedence.
    std::vector<IpAddress> resolvers;
    std::vector<HostName> search_domains;

    friend bool operator==(const TunnelDns&, const TunnelDns&) = default;
};

/// Tunnels that have resolvers, in the order in which they came up: all names go to the first one;
/// the others are used if it does not answer, or for their own domains. Empty: the system's own
/// configuration applies.
struct DnsPlan {
    std::vector<TunnelDns> tunnels;

    /// Resolvers of all tunnels in order, each once.
    [[nodiscard]] std::vector<IpAddress> resolvers() const;

    /// Search domains of all tunnels in order, each once.
    [[nodiscard]] std::vector<HostName> search_domains() const;

    friend bool operator==(const DnsPlan&, const DnsPlan&) = default;
};

/// Resolvers of `config` replace those of every tunnel. Addresses that no resolver inside a tunnel
/// can have (loopback, unspecified, multicast, link-local) are left out; only `config` may name a
/// loopback address, for a local resolver.
DnsPlan plan_dns(const State& state, const Config& config);

} // namespace failclosed
