// SPDX-License-Identifier: GPL-3.0-or-later
// Rules, routes, links and addresses as rtnetlink messages (rtnetlink(7)) and back.
#pragma once

#include <optional>

#include "core/codec/netlink_message.hpp"
#include "core/plan/routing.hpp"

namespace failclosed {

/// What a request asks the kernel to list. Links are not per family.
Bytes dump_rules_request(Family family);
/// Only routes with kRouteProtocol, where the socket has NETLINK_GET_STRICT_CHK.
Bytes dump_routes_request(Family family);
/// Only routes of table main, under the same condition.
Bytes dump_main_routes_request(Family family);
Bytes dump_links_request();
/// Addresses of both families.
Bytes dump_addresses_request();

/// Appends a request to add the entry, with kRouteProtocol. A route that the kernel cannot tell
/// from one that exists is refused with EEXIST.
void append_addition(Bytes& requests, const RoutingRule& rule);
void append_addition(Bytes& requests, const Route& route);

/// Appends a request to remove exactly the entry that a dump showed as `message`.
void append_removal(Bytes& requests, const NetlinkMessage& message);

/// An entry of ours in the kernel.
template <typename T> struct Held {
    /// Nothing where it has parts that no plan of ours uses.
    std::optional<T> value;
    /// As the kernel showed it.
    NetlinkMessage message;
};

/// The entry in `message`; nothing where it is no such message, malformed, or not ours by
/// kRouteProtocol.
std::optional<Held<RoutingRule>> decode_rule(const NetlinkMessage& message);
std::optional<Held<Route>> decode_route(const NetlinkMessage& message);

/// The unicast route of table main in `message`; nothing where it is none, has several next hops,
/// or is malformed. Without a carrier it is still there: nobody need announce that this is back.
std::optional<MainRoute> decode_main_route(const NetlinkMessage& message);

/// The link in `message`, without addresses; nothing where it is none, is malformed, or has a
/// name that no InterfaceName can hold.
std::optional<Link> decode_link(const NetlinkMessage& message);

struct AddressOnLink {
    /// ifindex
    unsigned link = 0;
    InterfaceAddress address;

    friend bool operator==(const AddressOnLink&, const AddressOnLink&) = default;
};

/// The address in `message` (the local one where there is a peer); nothing where it is none or
/// malformed.
std::optional<AddressOnLink> decode_address(const NetlinkMessage& message);

} // namespace failclosed
