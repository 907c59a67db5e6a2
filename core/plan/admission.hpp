// SPDX-License-Identifier: GPL-3.0-or-later
// Which announcement makes a tunnel.
#pragma once

#include <optional>
#include <string>

#include "core/model/event.hpp"
#include "core/model/snapshot.hpp"

namespace failclosed {

/// Why a device is not recorded as a tunnel.
enum class Refusal : std::uint8_t {
    NoDevice,            ///< there is no device of this name
    NoTunnelDevice,      ///< packets sent through the device would leave in clear
    UnusableAddress,     ///< an address that no host can have
    NoAddress,           ///< a NetworkManager VPN without any address
    AddressOfUnderlay,   ///< another device of this machine has the tunnel's address
    AddressOfGateway,    ///< a router of the underlay has it
    AddressOfServer,     ///< a VPN server has it
    AddressOfDhcpServer, ///< the server of a lease has it
    PiecesOfEverything,  ///< its networks together are parts of a default route
    NoProfile,           ///< NetworkManager names no profile, or it could not be read
    PrivateProfile,      ///< the profile is private to some users
    UnlearntProfile,     ///< the profile was not learnt by a command of root
    ChangedProfile,      ///< the profile differs from what was learnt
    OtherSettings,       ///< the VPN's program runs with other settings than the profile's
    UnknownMaker,        ///< the process that made the device was not found
    OfNetworkManager,    ///< the device is held by a NetworkManager VPN that was not admitted
    RefusedBefore,       ///< a device of this name was refused, and none has been admitted since
};

/// Public networks that together are more than this share of a family's addresses count as parts of
/// a default route. For IPv4 this is 16 /8 networks, for IPv6 1/128 of 2000::/3, the space in use.
/// Private networks are not counted.
inline constexpr double kLargestShare4 = 1.0 / 16;
inline constexpr double kLargestShare6 = 1.0 / 1024;

/// Whether the networks of one family, each at least kShortestNetwork long, claim more than its
/// share.
bool claims_everything(const std::vector<IpPrefix>& networks);

/// Leaves out the public networks of a family that claims more than its share: they are parts of a
/// default route. Remembered after the tunnel they would cut the machine off from its network.
void leave_out_pieces_of_everything(Tunnel& tunnel);

/// Why the announcement makes no tunnel; nullopt if it does. Of a program that root runs (OpenVPN's
/// hook, `failclosed up`) only the addresses are checked. A NetworkManager VPN is admitted only if
/// its profile was learnt as a whole, or locks the machine. `state` is the one before the event.
std::optional<Refusal> refusal(const State& state, const TunnelUp& event, const Snapshot& snapshot);

/// The same for a device that was found without an announcement; checks only its maker.
/// `withdrawal` checks what the kernel shows of it.
std::optional<Refusal> refusal(const State& state, const TunnelFound& event);

/// Why a recorded tunnel is withdrawn: an underlay device has its address now, or, for a tunnel
/// that was found, any other reason against admission. nullopt if it stays.
std::optional<Refusal> withdrawal(const State& state, const Tunnel& tunnel,
                                  const Snapshot& snapshot);

/// What happened, why, and what to do, in one line.
std::string to_text(Refusal refusal, const InterfaceName& interface);

} // namespace failclosed
