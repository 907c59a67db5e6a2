// SPDX-License-Identifier: GPL-3.0-or-later
// Names and numbers that identify our tables, routes, rules and marks in the kernel.
#pragma once

#include <cstdint>

namespace failclosed {

/// The name of our nftables table in each family.
inline constexpr const char* kTableName = "failclosed";

/// The comment of the rules by which tunnel programs reach their servers.
inline constexpr const char* kServerComment = "VPN server, by its tunnel program";

/// DNS over UDP and TCP (RFC 1035).
inline constexpr std::uint16_t kDnsPort = 53;

/// The protocol number of our routes and rules (rtm_protocol, FRA_PROTOCOL): not in
/// linux/rtnetlink.h, nor in iproute2's rt_protos.
inline constexpr std::uint8_t kRouteProtocol = 0xfc;

/// Table T: every destination leads into a tunnel or is unreachable. Never falls through.
inline constexpr std::uint32_t kTunnelTable = 64600;
/// Table S: as T, but servers are thrown back to the rules after it.
inline constexpr std::uint32_t kServerTable = 64601;
/// Tables of single tunnels if there are several: kSingleTunnelTable + position.
inline constexpr std::uint32_t kSingleTunnelTable = 64602;

/// Table N: networks and resolvers inside tunnels, before the rules of the local network. A table
/// with one rule, because the kernel compares each packet with all rules in turn.
inline constexpr std::uint32_t kNetworkTable = 64598;

/// Table U: a copy of the underlay's default routes in main, while a tunnel is up: tunnel programs
/// override those in main with parts of a default route.
inline constexpr std::uint32_t kUnderlayTable = 64599;

/// Mark bits of packets that belong to the underlay: replies of VPN servers (for the source
/// validation of rp_filter), and the refresh helper's bootstrap lookups; and, as connection
/// mark, flows that an admitted tunnel program began.
inline constexpr std::uint32_t kUnderlayMark = 0x00fc0000;
inline constexpr std::uint32_t kUnderlayMarkMask = 0x00ff0000;

/// As connection mark, under the same mask: a flow that a remote host began with an inbound
/// service.
inline constexpr std::uint32_t kInboundMark = 0x00fb0000;
/// Likewise: a flow of a sign-in to the network.
inline constexpr std::uint32_t kPortalMark = 0x00fa0000;
/// Likewise: a flow with the local network.
inline constexpr std::uint32_t kLocalMark = 0x00f90000;

} // namespace failclosed
