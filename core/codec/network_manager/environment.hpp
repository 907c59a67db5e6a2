// SPDX-License-Identifier: GPL-3.0-or-later
// Parses the arguments and the environment of NetworkManager's dispatcher scripts into an event.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "core/base/result.hpp"
#include "core/codec/environment.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/event.hpp"

namespace failclosed {

/// The kernel's facts about a device that NetworkManager names.
struct DeviceFacts {
    /// Link::is_program_tunnel
    bool is_program_tunnel = false;
    bool is_wireguard = false;

    friend bool operator==(const DeviceFacts&, const DeviceFacts&) = default;
};

/// Asks the kernel. All facts are false for a device that does not exist.
using FindDevice = std::function<DeviceFacts(const InterfaceName&)>;

struct NetworkManagerEvent {
    /// `nullopt`: no action is needed.
    std::optional<Event> event;
    /// One for each value that was ignored.
    Warnings warnings;

    friend bool operator==(const NetworkManagerEvent&, const NetworkManagerEvent&) = default;
};

/// Parses NetworkManager's call of a script (NetworkManager-dispatcher(8)); `arguments` are the
/// device, which may be empty, and the action. An error if there are not two arguments. Invalid
/// values are ignored with a warning.
///
/// - hostname, unknown actions, any action on `lo` or `none`: `nullopt`.
/// - vpn-pre-up, vpn-up with VPN_IP_IFACE: TunnelUp from VPN_IP4_* and VPN_IP6_*, without servers.
///   A VPN without a device of its own gives UnderlayChanged. Addresses that no host can have are
///   ignored and set TunnelUp::has_unusable_address.
/// - vpn-down with VPN_IP_IFACE: TunnelDown.
/// - up of a program's tunnel: TunnelFound, its maker Unknown or (WireGuard) Kernel; of a WireGuard
///   device that NetworkManager made: TunnelUp from IP4_* and IP6_*.
/// - everything else: UnderlayChanged, with the DHCP server if the environment has one; without a
///   server at `down`; without a lease for a program's tunnel.
Result<NetworkManagerEvent> parse_network_manager_event(std::span<const char* const> arguments,
                                                        const Environment& environment,
                                                        const FindDevice& find_device);

} // namespace failclosed
