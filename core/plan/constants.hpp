// SPDX-License-Identifier: GPL-3.0-or-later
// Names and numbers by which what we put into the kernel is known as ours.
#pragma once

#include <cstdint>

namespace failclosed {

/// Our nftables tables, in each family that we use.
inline constexpr const char* kTableName = "failclosed";

/// The comment of the rules by which tunnel programs reach their servers.
inline constexpr const char* kServerComment = "VPN server, by its tunnel program";

/// Of DNS, over UDP and TCP (RFC 1035).
inline constexpr std::uint16_t kDnsPort = 53;

/// The protocol number of our routes and rules (rtm_protocol, FRA_PROTOCOL): not in
/// linux/rtnetlink.h, nor in iproute2's rt_protos.
inline constexpr std::uint8_t kRouteProtocol = 0xfc;

/// Table T: everything goes into a tunnel or is unreachable. Never falls through.
inline constexpr std::uint32_t kTunnelTable = 64600;
/// Table S: as T, but servers are thrown back to the rules after it.
inline constexpr std::uint32_t kServerTable = 64601;
/// Tables of single tunnels, where there are several: kSingleTunnelTable + position.
inline constexpr std::uint32_t kSingleTunnelTable = 64602;

/// Table N: networks and resolvers inside of tunnels, before the local network has its turn. One
/// rule leads there, because each packet is compared with one rule after the other.
inline constexpr std::uint32_t kNetworkTable = 64598;

/// Table U: the underlay's own default routes, as they are in main, while a tunnel is up: tunnel
/// programs override those in main with pieces of a default route of their own.
inline constexpr std::uint32_t kUnderlayTable = 64599;

/// Mark bits of packets that belong to the underlay: replies of VPN servers (for the source
/// validation of rp_filter), and the refresh helper's bootstrap lookups; and, as connection
/// mark, flows that an admitted tunnel program began.
inline constexpr std::uint32_t kUnderlayMark = 0x00fc0000;
inline constexpr std::uint32_t kUnderlayMarkMask = 0x00ff0000;

/// As connection mark, under the same mask: a flow that somebody outside began with an inbound
/// service.
inline constexpr std::uint32_t kInboundMark = 0x00fb0000;
/// Likewise: a flow of somebody who signs in to the network.
inline constexpr std::uint32_t kPortalMark = 0x00fa0000;
/// Likewise: a flow with the local network.
inline constexpr std::uint32_t kLocalMark = 0x00f90000;

} // namespace failclosed
