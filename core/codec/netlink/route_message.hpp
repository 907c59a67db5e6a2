// SPDX-License-Identifier: GPL-3.0-or-later
// Rules, routes, links and addresses as rtnetlink messages (rtnetlink(7)) and back.
#pragma once

#include <optional>

#include "core/codec/netlink/message.hpp"
#include "core/plan/findings.hpp"
#include "core/plan/routing/routing.hpp"

namespace failclosed {

/// Asks for all routing rules of `family`.
Bytes dump_rules_request(Family family);
/// Asks for the routes with kRouteProtocol. The kernel lists all routes if the socket lacks
/// NETLINK_GET_STRICT_CHK.
Bytes dump_routes_request(Family family);
/// Asks for the routes of table main, with the same exception.
Bytes dump_main_routes_request(Family family);
/// Asks for the routes of `table`, of all programs, with the same exception. The kernel answers
/// ENOENT if the table does not exist.
Bytes dump_table_request(Family family, std::uint32_t table);
Bytes dump_links_request();
/// Asks for addresses of both families.
Bytes dump_addresses_request();

/// Appends a request to add the entry, with kRouteProtocol. The kernel refuses a route with the key
/// of an existing one (EEXIST).
void append_addition(Bytes& requests, const RoutingRule& rule);
void append_addition(Bytes& requests, const Route& route);

/// Appends a request to remove the entry in `message`, which comes from a dump. The next hops of a
/// nexthop object (ip-nexthop(8)) are left out: the kernel shows them, but refuses them in a
/// request that names the object too.
void append_removal(Bytes& requests, const NetlinkMessage& message);

/// One of our entries in the kernel.
template <typename T> struct Held {
    /// `nullopt` if it has attributes that no plan uses.
    std::optional<T> value;
    /// The kernel's message.
    NetlinkMessage message;
};

/// The entry in `message`; `nullopt` if the message has another type, is malformed, or does not
/// have kRouteProtocol.
std::optional<Held<RoutingRule>> decode_rule(const NetlinkMessage& message);
std::optional<Held<Route>> decode_route(const NetlinkMessage& message);

/// The route of another program in `table`: without a value, because no plan has it. `nullopt` if
/// the message is another one, malformed, or the route is in another table or has kRouteProtocol.
std::optional<Held<Route>> decode_foreign_route(const NetlinkMessage& message, std::uint32_t table);
/// The rule of another program; `nullopt` as for decode_foreign_route, and for the rule of VRF
/// devices (l3mdev), which only concerns packets of such a device.
std::optional<ForeignRule> decode_foreign_rule(const NetlinkMessage& message);

/// The unicast route of table main in `message`; `nullopt` if it is another message, has several
/// next hops, or is malformed. Includes routes of devices without a carrier: no event is guaranteed
/// when the carrier comes back.
std::optional<MainRoute> decode_main_route(const NetlinkMessage& message);

/// The link in `message`, without addresses; `nullopt` if the message has another type, is
/// malformed, or its name is not a valid InterfaceName.
std::optional<Link> decode_link(const NetlinkMessage& message);

struct AddressOnLink {
    /// ifindex
    unsigned link = 0;
    InterfaceAddress address;

    friend bool operator==(const AddressOnLink&, const AddressOnLink&) = default;
};

/// The address in `message` (the local one if there is a peer); `nullopt` if the message has
/// another type or is malformed.
std::optional<AddressOnLink> decode_address(const NetlinkMessage& message);

} // namespace failclosed
