// SPDX-License-Identifier: GPL-3.0-or-later
// Makes the kernel's rules and routes be those of a plan, and touches nobody else's.
#pragma once

#include "core/apply/netlink.hpp"
#include "core/plan/routing.hpp"

namespace failclosed {

/// Entries are ours where they carry kRouteProtocol; others are neither looked at nor changed.
/// Where the kernel has no IPv6 (ipv6.disable=1), the plan's IPv6 part is left out.
class Routing {
  public:
    static Result<Routing> open();

    /// Whether the kernel holds exactly the plan.
    Result<bool> holds(const RoutingPlan& plan);

    /// Adds what is missing and removes what is too much, in an order in which no packet that the
    /// plan sends to a tunnel finds another way, and lists again until the kernel holds the plan.
    /// Returns how many entries were added or removed: 0 where it held already. On failure as
    /// much of the plan as the kernel takes is in force, its closed end first.
    Result<std::size_t> sync(const RoutingPlan& plan);

    /// Removes all that is ours.
    Status remove();

  private:
    struct Listing;

    Routing(Netlink netlink, bool has_ipv6) : netlink_(std::move(netlink)), has_ipv6_(has_ipv6) {}

    [[nodiscard]] RoutingPlan possible_part(const RoutingPlan& plan) const;
    Result<Listing> list();
    Status list_family(Family family, Listing& listing);

    Netlink netlink_;
    bool has_ipv6_;
};

} // namespace failclosed
