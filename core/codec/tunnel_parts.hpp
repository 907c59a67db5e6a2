// SPDX-License-Identifier: GPL-3.0-or-later
// What environments tell of a tunnel: each value checked, each once, and none beyond a limit.
#pragma once

#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "core/codec/warnings.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// More than these are left out, with a warning. Servers: kMaxRemotes.
inline constexpr std::size_t kMaxRoutes = 4096;
inline constexpr std::size_t kMaxResolvers = 16;
inline constexpr std::size_t kMaxSearchDomains = 32;

/// Whether a route to `network` may lead into a tunnel: not one that takes in addresses of this
/// machine itself, of one link, or of groups.
bool can_be_inside(const IpPrefix& network);

/// Collects them. Warnings go to `warnings`, which has to outlive it.
class TunnelParts {
  public:
    explicit TunnelParts(Warnings& warnings) : warnings_(warnings) {}

    /// One shorter than kShortestNetwork is passed over.
    void add_network(const IpPrefix& prefix);

    /// A resolver of any family, or just of `family`; in the order in which they are told.
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
