// SPDX-License-Identifier: GPL-3.0-or-later
// Finds the route of a packet in the planned rules and routes, as the kernel does.
#pragma once

#include <cstdint>
#include <optional>

#include "core/plan/routing/routing.hpp"

namespace failclosed {

/// A packet of a local program.
struct RouteQuery {
    IpAddress destination;
    std::optional<IpAddress> source;
    uid_t uid = 0;
    /// Unset for protocols that no rule matches, such as ICMP.
    std::optional<Transport> transport;
    std::optional<Port> source_port = {};
    std::optional<Port> destination_port;
    std::uint32_t mark = 0;
};

struct RouteDecision {
    enum class Kind : std::uint8_t {
        Device,      ///< by the device with ifindex `device`
        Main,        ///< by the kernel's table main: the underlay
        Unreachable, ///< no route; the program gets an error
    };

    Kind kind = Kind::Unreachable;
    unsigned device = 0;
    /// The rule that ended the search; nullopt if no rule of ours did.
    std::optional<RoutingRule> rule;

    friend bool operator==(const RouteDecision&, const RouteDecision&) = default;
};

/// Follows ip-rule(8) and ip-route(8): rules by priority, in a table the longest prefix and then
/// the lowest metric; `throw` continues with the next rule.
RouteDecision decide_route(const RoutingPlan& plan, const RouteQuery& query);

} // namespace failclosed
