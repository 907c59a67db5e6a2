// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel shows at one moment, as far as plans need it.
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
    /// IFF_POINTOPOINT or IFF_NOARP: what is sent to it needs no next hop.
    bool point_to_point = false;
    std::vector<InterfaceAddress> addresses;
    /// Made by a tunnel program or by the kernel as a tunnel: not loopback, no network card, and
    /// none of what leads to one (bridge, VLAN, veth...).
    bool can_be_tunnel = false;
    /// What a program that still runs has made for IP packets alone (a tun device that is not
    /// persistent nor a user's, WireGuard), and no bridge's port: it is a tunnel without saying so.
    bool is_program_tunnel = false;
    bool is_wireguard = false;
    /// One end of a wire to a guest (veth, tap) that is a bridge's port: what leaves by it stays on
    /// this machine.
    bool is_guest_port = false;
    bool is_bridge = false;
    /// ifindex of the bridge whose port it is; 0 where it is none's.
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
    /// Who set it (rtm_protocol, linux/rtnetlink.h): RTPROT_DHCP, RTPROT_RA, RTPROT_KERNEL...
    std::uint8_t protocol = 0;

    friend auto operator<=>(const MainRoute&, const MainRoute&) = default;
};

struct Snapshot {
    std::vector<Link> links;
    /// Unicast ones, sorted. Routes with several next hops are left out.
    std::vector<MainRoute> main_routes;
    /// Time of day since the epoch.
    Seconds now{0};
    /// How long the machine has slept since it was started.
    Seconds suspended{0};
    /// Since the machine was started, sleep included (CLOCK_BOOTTIME): nobody can set it.
    Seconds uptime{0};

    [[nodiscard]] const Link* find(const InterfaceName& name) const;

    friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

/// Why `tunnel` must not be recorded: its device is there and can be no tunnel, so that what is
/// sent "into the tunnel" would leave in clear. Nothing where it can be one, or is not there.
std::optional<Error> refusal(const Snapshot& snapshot, const Tunnel& tunnel);

} // namespace failclosed
