// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 2 as values: rules and routes that lead every packet into the tunnel, or make it
// unreachable.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/plan/routing/networks.hpp"

namespace failclosed {

/// One policy rule (ip-rule(8)). All conditions that are set must hold.
struct RoutingRule {
    enum class Action : std::uint8_t {
        Lookup,     ///< in table `target`
        Goto,       ///< the rule with priority `target`
        Unreachable ///< ends the search; `target` is 0
    };

    Family family = Family::V4;
    /// Low priorities are evaluated first.
    std::uint32_t priority = 0;
    Action action = Action::Unreachable;
    std::uint32_t target = 0;
    std::optional<IpPrefix> from = {};
    std::optional<IpPrefix> to = {};
    /// Only packets of this machine's own sockets ("iif lo").
    bool local_only = false;
    std::optional<uid_t> uid = {};
    std::optional<Transport> transport = {};
    std::optional<Port> source_port = {};
    std::optional<Port> destination_port = {};
    /// (mark & mask) == value.
    std::optional<std::uint32_t> mark = {};
    std::uint32_t mark_mask = 0xffffffff;
    /// Lookup: ignores routes of this prefix length or less (suppress_prefixlength).
    std::optional<std::uint32_t> suppressed_length = {};

    friend auto operator<=>(const RoutingRule&, const RoutingRule&) = default;
};

/// One route (ip-route(8)); the kernel tells routes apart by the first three fields.
struct Route {
    enum class Type : std::uint8_t {
        Unicast,
        Throw,      ///< ends the search in this table; the rules after it decide
        Unreachable ///< ends the search
    };

    std::uint32_t table = 0;
    IpPrefix destination;
    /// Lower wins among routes to the same destination.
    std::uint32_t metric = 0;
    Type type = Type::Unreachable;
    /// ifindex; 0 in routes that are not Unicast.
    unsigned device = 0;
    std::optional<IpAddress> gateway = {};

    friend auto operator<=>(const Route&, const Route&) = default;
};

/// Rules and routes of both families, each sorted and without duplicates. All of them carry
/// kRouteProtocol in the kernel.
struct RoutingPlan {
    std::vector<RoutingRule> rules;
    std::vector<Route> routes;

    friend bool operator==(const RoutingPlan&, const RoutingPlan&) = default;
};

/// Priorities of our rules, all of them before the kernel's own "lookup main" (32766).
inline constexpr std::uint32_t kTunnelAnswerPriority = 4979;
inline constexpr std::uint32_t kUnderlayPriority = 4980;
inline constexpr std::uint32_t kInboundPriority = 4981;
inline constexpr std::uint32_t kPortalPriority = 4982;
inline constexpr std::uint32_t kAdmittedPriority = 4985;
inline constexpr std::uint32_t kTunnelSourcePriority = 4990;
inline constexpr std::uint32_t kDownstreamPriority = 4995;
inline constexpr std::uint32_t kTunnelNetworkPriority = 5000;
inline constexpr std::uint32_t kLanPriority = 5001;
inline constexpr std::uint32_t kTunnelPriority = 5010;
inline constexpr std::uint32_t kNextHopPriority = 5011;
inline constexpr std::uint32_t kClosedPriority = 5012;
inline constexpr std::uint32_t kLocalPriority = 5013;
inline constexpr std::uint32_t kServerPriority = 5020;
inline constexpr std::uint32_t kPastTunnelPriority = 5029;
inline constexpr std::uint32_t kUnderlayMainPriority = 5030;
inline constexpr std::uint32_t kDefaultPriority = 5031;
inline constexpr std::uint32_t kMainPriority = 5032;

/// The plan for `state`: empty if unarmed, otherwise for both families. Only the first tunnel gets
/// a default route. A tunnel whose device is absent from `snapshot`, down, or without an address of
/// the family gets no routes of that family: its destinations are unreachable, never routed
/// elsewhere.
RoutingPlan plan_routing(const State& state, const Config& config, const Snapshot& snapshot);

/// The plan as lines of ip(8), with device names from `snapshot`.
std::string to_ip_commands(const RoutingPlan& plan, const Snapshot& snapshot);

/// One line without the command: "5010 lookup 64600".
std::string to_string(const RoutingRule& rule);

/// One line without the command: "unreachable 0.0.0.0/0 table 64600 metric 4294967294". A device
/// that is not in `snapshot` is written as its index.
std::string to_string(const Route& route, const Snapshot& snapshot = {});

/// A kernel parameter under /proc/sys: {"net", "ipv4", "conf", "all", "src_valid_mark"}.
struct Sysctl {
    std::vector<std::string> name;
    std::string value;

    friend bool operator==(const Sysctl&, const Sysctl&) = default;
};

/// Kernel parameters that routing needs while `state` is armed.
std::vector<Sysctl> plan_sysctls(const State& state);

} // namespace failclosed
