// SPDX-License-Identifier: GPL-3.0-or-later
// What failclosed remembers between two events.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/config.hpp"

namespace failclosed {

/// An address of an interface with the length of its on-link prefix.
struct InterfaceAddress {
    IpAddress address;
    unsigned prefix_length = 0;

    [[nodiscard]] IpPrefix prefix() const
    {
        return IpPrefix::make(address, prefix_length).value_or(IpPrefix::host(address));
    }

    friend auto operator<=>(const InterfaceAddress&, const InterfaceAddress&) = default;
};

/// A process, told from a later one with the same pid by its start time.
struct ProcessId {
    pid_t pid = 0;
    /// Field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)).
    std::uint64_t start_time = 0;

    friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

/// A tunnel that its program announced as up. Known by the device's name: OpenVPN makes a new
/// device, with a new index, at every restart.
struct Tunnel {
    InterfaceName interface;
    std::vector<InterfaceAddress> addresses;
    /// Destinations inside: its own prefixes, peers, and pushed routes. Pieces of a default route
    /// (prefixes shorter than kShortestNetwork) are no networks and are left out.
    std::vector<IpPrefix> networks;
    /// The next hop inside, at most one of each family. Counts only where the device resolves
    /// neighbours (tap): without it such a device would ask by ARP for every destination.
    std::vector<IpAddress> gateways;
    std::vector<IpAddress> resolvers;
    std::vector<HostName> search_domains;
    /// The program that holds it.
    std::optional<ProcessId> owner;

    friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

/// What was inside a tunnel when it was last up. It belongs to nobody else afterwards: what was sent
/// to a company's network must not go to the local one of the same addresses when the tunnel ends.
struct InsideNetworks {
    InterfaceName interface;
    std::vector<IpPrefix> networks;

    friend bool operator==(const InsideNetworks&, const InsideNetworks&) = default;
};

/// A pushed route with fewer bits than this claims a share of everything, not a network.
inline constexpr unsigned kShortestNetwork = 8;

/// Closed first: what is default-constructed, unreadable or damaged is closed.
enum class Armed : std::uint8_t { Yes, No };

struct State {
    Armed armed = Armed::Yes;
    std::vector<Tunnel> tunnels;
    std::vector<Server> servers;
    /// One for each device that was a tunnel since the machine was locked.
    std::vector<InsideNetworks> inside;

    friend bool operator==(const State&, const State&) = default;
};

} // namespace failclosed
