// SPDX-License-Identifier: GPL-3.0-or-later
// Connected sockets in messages of sock_diag(7).
#pragma once

#include <optional>

#include "core/codec/netlink/message.hpp"
#include "core/plan/routing/flows.hpp"

namespace failclosed {

/// Asks for the connected sockets of `transport` (Tcp or Udp) and `family`, with their marks.
Bytes dump_flows_request(Family family, Transport transport);

/// The flow in an answer to dump_flows_request() for `transport`; `nullopt` if the message has
/// another type or is malformed. Addresses in ::ffff:0:0/96 become the IPv4 addresses in them.
std::optional<Flow> decode_flow(const NetlinkMessage& message, Transport transport);

/// Appends a request to destroy the socket in `message` (SOCK_DESTROY).
void append_destruction(Bytes& requests, const NetlinkMessage& message, Transport transport);

} // namespace failclosed
