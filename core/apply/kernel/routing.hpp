// SPDX-License-Identifier: GPL-3.0-or-later
// Makes our rules and routes in the kernel equal to a plan. Those of other programs are not
// changed, but for routes that they put into our tables.
#pragma once

#include "core/apply/kernel/netlink.hpp"
#include "core/plan/findings.hpp"
#include "core/plan/routing/routing.hpp"

namespace failclosed {

/// Our entries have kRouteProtocol. As long as a rule of the plan looks a table up (other than
/// main), all routes in that table count as ours, also those of other programs, because they decide
/// there. No other entry is changed. If the kernel has no IPv6 (ipv6.disable=1), the plan's IPv6
/// part is left out.
class Routing {
  public:
    static Result<Routing> open();

    /// Whether our entries in the kernel are equal to the plan.
    Result<bool> holds(const RoutingPlan& plan);

    /// Adds missing entries and removes superfluous ones, in an order in which no packet that the
    /// plan sends to a tunnel takes another way; repeats until the kernel holds the plan. Returns
    /// how many entries were added or removed; 0 if it held the plan already. Where another program
    /// keeps removing entries, repeats for at least a second, then fails with EBUSY. On failure the
    /// entries that the kernel accepts are in force; those that close the machine are added first.
    Result<std::size_t> sync(const RoutingPlan& plan);

    /// Removes all entries with kRouteProtocol.
    Status remove();

    /// The rules of other programs.
    Result<std::vector<ForeignRule>> foreign_rules();

  private:
    struct Listing;

    Routing(Netlink netlink, bool has_ipv6) : netlink_(std::move(netlink)), has_ipv6_(has_ipv6) {}

    [[nodiscard]] RoutingPlan possible_part(const RoutingPlan& plan) const;
    [[nodiscard]] std::vector<Family> families() const;
    Result<Listing> list(const RoutingPlan& plan);
    Status list_family(Family family, Listing& listing);
    Status list_foreign_routes(Family family, std::uint32_t table, Listing& listing);

    Netlink netlink_;
    bool has_ipv6_;
};

} // namespace failclosed
