// SPDX-License-Identifier: GPL-3.0-or-later
// Connected sockets as messages of sock_diag(7).
#pragma once

#include <optional>

#include "core/codec/netlink_message.hpp"
#include "core/plan/flows.hpp"

namespace failclosed {

/// Asks for the connected sockets of `transport` (Tcp or Udp) made in `family`, with their marks.
Bytes dump_flows_request(Family family, Transport transport);

/// The flow in an answer to dump_flows_request for `transport`; nothing where the message is
/// none, or malformed. Addresses ::ffff:0:0/96 become the IPv4 addresses that they mean.
std::optional<Flow> decode_flow(const NetlinkMessage& message, Transport transport);

/// Appends a request to destroy just the socket that `message` showed (SOCK_DESTROY).
void append_destruction(Bytes& requests, const NetlinkMessage& message, Transport transport);

} // namespace failclosed
