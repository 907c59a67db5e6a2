// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of the kernel's state that plans need, at one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

struct Link {
    InterfaceName name;
    /// ifindex, from 1.
    unsigned index = 0;
    bool up = false;
    bool loopback = false;
    /// IFF_POINTOPOINT or IFF_NOARP: packets need no next hop.
    bool point_to_point = false;
    std::vector<InterfaceAddress> addresses;
    /// Made by a tunnel program, or by the kernel as a tunnel. False for loopback, network cards
    /// and devices on top of them (bridge, VLAN, veth...).
    bool can_be_tunnel = false;
    /// A tunnel even without an announcement: a device for IP packets, made by a program that still
    /// runs (tun, neither persistent nor owned by a user) or WireGuard, that is not a bridge port.
    bool is_program_tunnel = false;
    bool is_wireguard = false;
    /// A device to a guest (veth, tap) that is a bridge port: frames sent to it stay on this
    /// machine.
    bool is_guest_port = false;
    bool is_bridge = false;
    /// ifindex of the bridge whose port this is; 0 if it is not a port.
    unsigned bridge = 0;

    friend bool operator==(const Link&, const Link&) = default;
};

/// A route in table main.
struct MainRoute {
    IpPrefix destination;
    /// ifindex
    unsigned device = 0;
    std::optional<IpAddress> gateway;
    std::uint32_t metric = 0;
    /// The origin (rtm_protocol, linux/rtnetlink.h): RTPROT_DHCP, RTPROT_RA, RTPROT_KERNEL...
    std::uint8_t protocol = 0;

    friend auto operator<=>(const MainRoute&, const MainRoute&) = default;
};

struct Snapshot {
    std::vector<Link> links;
    /// Unicast routes, sorted. Routes with several next hops are left out.
    std::vector<MainRoute> main_routes;
    /// Time of day since the epoch.
    Seconds now{0};
    /// Time that the machine has been suspended since boot.
    Seconds suspended{0};
    /// Time since boot, suspended time included (CLOCK_BOOTTIME, which cannot be set).
    Seconds uptime{0};

    [[nodiscard]] const Link* find(const InterfaceName& name) const;

    friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

/// The reason not to record `tunnel`: its device does not exist, or exists and cannot be a tunnel,
/// so that packets into it would leave in clear. `nullopt` if the device can be a tunnel.
std::optional<Error> refusal(const Snapshot& snapshot, const Tunnel& tunnel);

} // namespace failclosed
