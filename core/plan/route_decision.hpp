// SPDX-License-Identifier: GPL-3.0-or-later
// Where the planned rules and routes send a packet: the kernel's search, over values.
#pragma once

#include <cstdint>
#include <optional>

#include "core/plan/routing.hpp"

namespace failclosed {

/// A packet that a program of this machine sends.
struct RouteQuery {
    IpAddress destination;
    std::optional<IpAddress> source;
    uid_t uid = 0;
    /// Unset for packets without a transport that rules ask for, such as ICMP.
    std::optional<Transport> transport;
    std::optional<Port> source_port = {};
    std::optional<Port> destination_port;
    std::uint32_t mark = 0;
};

struct RouteDecision {
    enum class Kind : std::uint8_t {
        Device,      ///< out of the device with ifindex `device`
        Main,        ///< as the kernel's own table main says: the underlay
        Unreachable, ///< nowhere; the program sees an error
    };

    Kind kind = Kind::Unreachable;
    unsigned device = 0;
    /// The rule that ended the search; nothing where no rule of ours did.
    std::optional<RoutingRule> rule;

    friend bool operator==(const RouteDecision&, const RouteDecision&) = default;
};

/// Follows ip-rule(8) and ip-route(8): rules by priority, in a table the longest prefix and then
/// the lowest metric, `throw` back to the rules.
RouteDecision decide_route(const RoutingPlan& plan, const RouteQuery& query);

} // namespace failclosed
