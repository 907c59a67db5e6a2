// SPDX-License-Identifier: GPL-3.0-or-later
// From the arguments and the environment that NetworkManager gives its dispatcher scripts to one
// event.
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

/// What the kernel says of a device that NetworkManager names.
struct DeviceFacts {
    /// Link::is_program_tunnel
    bool is_program_tunnel = false;
    bool is_wireguard = false;

    friend bool operator==(const DeviceFacts&, const DeviceFacts&) = default;
};

/// Asks the kernel; nothing is true of a device that is not there.
using FindDevice = std::function<DeviceFacts(const InterfaceName&)>;

struct NetworkManagerEvent {
    /// Nothing: there is nothing to do.
    std::optional<Event> event;
    /// Values that were left out.
    Warnings warnings;

    friend bool operator==(const NetworkManagerEvent&, const NetworkManagerEvent&) = default;
};

/// Reads what NetworkManager tells a script (NetworkManager-dispatcher(8)); `arguments` are the
/// device, which may be empty, and the action. Errors are those of usage alone: there are not two
/// arguments. What cannot be read is left out with a warning.
///
/// - hostname, actions that are not known, anything about `lo` or `none`: nothing.
/// - vpn-pre-up, vpn-up with VPN_IP_IFACE: TunnelUp from VPN_IP4_* and VPN_IP6_*, without servers.
///   A VPN without a device of its own is UnderlayChanged. Addresses that no host can have are
///   left out, and TunnelUp says so.
/// - vpn-down with VPN_IP_IFACE: TunnelDown.
/// - up of a program's tunnel: TunnelFound by a maker that is not known, or by the kernel; of a
///   WireGuard device of NetworkManager's own: TunnelUp from IP4_* and IP6_*.
/// - everything else: UnderlayChanged, with the DHCP server where the environment has one, and
///   without one at `down`; nothing is said of leases of a program's tunnel.
Result<NetworkManagerEvent> parse_network_manager_event(std::span<const char* const> arguments,
                                                        const Environment& environment,
                                                        const FindDevice& find_device);

} // namespace failclosed
