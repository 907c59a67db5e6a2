// SPDX-License-Identifier: GPL-3.0-or-later
// Collects a tunnel's networks, resolvers and search domains from an environment: validated,
// without duplicates, up to a limit.
#pragma once

#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "core/codec/warnings.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// Limits; further values are ignored with a warning. For servers see kMaxRemotes.
inline constexpr std::size_t kMaxRoutes = 4096;
inline constexpr std::size_t kMaxResolvers = 16;
inline constexpr std::size_t kMaxSearchDomains = 32;

/// Whether a route to `network` may lead into a tunnel. False if it overlaps addresses of this host
/// (loopback), link-local, multicast or reserved addresses.
bool can_be_inside(const IpPrefix& network);

/// Adds warnings to `warnings`, which must outlive it.
class TunnelParts {
  public:
    explicit TunnelParts(Warnings& warnings) : warnings_(warnings) {}

    /// Ignores prefixes shorter than kShortestNetwork.
    void add_network(const IpPrefix& prefix);

    /// Adds a resolver of any family, or of `family` only. The order is kept.
    void add_resolver(std::string_view text, std::optional<Family> family = {});

    void add_search_domain(std::string_view text);

    /// Moves networks (sorted), resolvers and search domains into `tunnel`.
    void put_into(Tunnel& tunnel) &&;

  private:
    Warnings& warnings_;
    std::set<IpPrefix> networks_;
    std::vector<IpAddress> resolvers_;
    std::vector<HostName> search_domains_;
    bool too_many_routes_ = false;
    bool too_many_resolvers_ = false;
    bool too_many_domains_ = false;
};

} // namespace failclosed
