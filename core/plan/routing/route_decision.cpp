// SPDX-License-Identifier: GPL-3.0-or-later
// Rules by priority, routes by longest prefix.
#include "core/plan/routing/route_decision.hpp"

#include <algorithm>

namespace failclosed {

namespace {

// RT_TABLE_MAIN of linux/rtnetlink.h.
constexpr std::uint32_t kMainTable = 254;

bool applies(const RoutingRule& rule, const RouteQuery& query)
{
    if (rule.family != query.destination.family()) {
        return false;
    }
    const auto contains = [](const std::optional<IpPrefix>& prefix,
                             const std::optional<IpAddress>& address) {
        return !prefix || (address && prefix->contains(*address));
    };
    return contains(rule.to, query.destination) && contains(rule.from, query.source) &&
           (!rule.uid || *rule.uid == query.uid) &&
           (!rule.transport || rule.transport == query.transport) &&
           (!rule.source_port || rule.source_port == query.source_port) &&
           (!rule.destination_port || rule.destination_port == query.destination_port) &&
           (!rule.mark || *rule.mark == (query.mark & rule.mark_mask));
}

const Route* best_route(const RoutingPlan& plan, std::uint32_t table, const IpAddress& destination)
{
    const Route* best = nullptr;
    for (const auto& route : plan.routes) {
        if (route.table != table || !route.destination.contains(destination)) {
            continue;
        }
        const auto length = route.destination.length();
        if (best == nullptr || length > best->destination.length() ||
            (length == best->destination.length() && route.metric < best->metric)) {
            best = &route;
        }
    }
    return best;
}

} // namespace

RouteDecision decide_route(const RoutingPlan& plan, const RouteQuery& query)
{
    std::vector<RoutingRule> rules = plan.rules;
    std::ranges::stable_sort(rules, {}, &RoutingRule::priority);
    std::uint32_t from_priority = 0;
    for (const auto& rule : rules) {
        if (rule.priority < from_priority || !applies(rule, query)) {
            continue;
        }
        switch (rule.action) {
        case RoutingRule::Action::Goto:
            from_priority = rule.target;
            continue;
        case RoutingRule::Action::Unreachable:
            return {RouteDecision::Kind::Unreachable, 0, rule};
        case RoutingRule::Action::Lookup:
            break;
        }
        if (rule.target == kMainTable) {
            return {RouteDecision::Kind::Main, 0, rule};
        }
        const Route* route = best_route(plan, rule.target, query.destination);
        const bool is_suppressed = route != nullptr && route->type == Route::Type::Unicast &&
                                   rule.suppressed_length &&
                                   route->destination.length() <= *rule.suppressed_length;
        if (route == nullptr || route->type == Route::Type::Throw || is_suppressed) {
            continue;
        }
        return route->type == Route::Type::Unicast
                   ? RouteDecision{RouteDecision::Kind::Device, route->device, rule}
                   : RouteDecision{RouteDecision::Kind::Unreachable, 0, rule};
    }
    // The kernel's own rules follow ours: 32766, lookup main.
    return {RouteDecision::Kind::Main, 0, std::nullopt};
}

} // namespace failclosed
