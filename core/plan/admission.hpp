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
    NoTunnelDevice,      ///< what is sent through the device would leave in clear
    UnusableAddress,     ///< an address that no host can have
    NoAddress,           ///< a VPN of NetworkManager's without any address
    AddressOfUnderlay,   ///< another device of this machine has the tunnel's address
    AddressOfGateway,    ///< a router of the network beneath has it
    AddressOfServer,     ///< a VPN server has it
    AddressOfDhcpServer, ///< the server of a lease has it
    PiecesOfEverything,  ///< its networks together claim a share of all addresses
    NoProfile,           ///< NetworkManager names no profile, or it could not be read
    PrivateProfile,      ///< the profile belongs to some users alone
    UnlearntProfile,     ///< root has not had the profile learnt
    ChangedProfile,      ///< the profile differs from what was learnt
    OtherSettings,       ///< the VPN's program does not run with what the profile says
    UnknownMaker,        ///< the process that made the device was not found
    OfNetworkManager,    ///< the device is that of a VPN of NetworkManager's that was not admitted
    RefusedBefore,       ///< a device of this name was refused, and none has been admitted since
};

/// Public networks that together are more than this share of a family's addresses are pieces of
/// everything. 16 of IPv4's /8; IPv6's is 1/128 of what is in use (2000::/3). Private networks are
/// not counted.
inline constexpr double kLargestShare4 = 1.0 / 16;
inline constexpr double kLargestShare6 = 1.0 / 1024;

/// Whether the networks of one family, each at least kShortestNetwork long, claim more than its
/// share.
bool claims_everything(const std::vector<IpPrefix>& networks);

/// Leaves out the public networks of a family that claims more than its share: what they mean is
/// the default route. Remembered after the tunnel they would keep the machine from its network.
void leave_out_pieces_of_everything(Tunnel& tunnel);

/// Why the announcement makes no tunnel; nullopt if it does. A program that root runs (OpenVPN's
/// hook, `failclosed up`) is believed about everything but its addresses. A VPN of NetworkManager's
/// counts only if its profile was learnt as a whole, or locks the machine. `state` is the one
/// before the event.
std::optional<Refusal> refusal(const State& state, const TunnelUp& event, const Snapshot& snapshot);

/// The same for a device that came up by itself, as far as its maker goes. What the kernel shows of
/// it is judged by `withdrawal`.
std::optional<Refusal> refusal(const State& state, const TunnelFound& event);

/// Why a recorded tunnel stops being one: an underlay device has its address by now. Of a tunnel
/// that was found, also any other reason against its admission. nullopt if it stays.
std::optional<Refusal> withdrawal(const State& state, const Tunnel& tunnel,
                                  const Snapshot& snapshot);

/// What happened, why, and what to do, in one line.
std::string to_text(Refusal refusal, const InterfaceName& interface);

} // namespace failclosed
