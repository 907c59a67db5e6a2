// SPDX-License-Identifier: GPL-3.0-or-later
// What failclosed remembers between two events.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
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

/// How a packet to a server leaves this machine, past the tunnels.
struct UnderlayPath {
    Family family = Family::V4;
    InterfaceName interface;
    /// The next hop; nothing where the server is on the link.
    std::optional<IpAddress> gateway;
    /// Addresses of the family that the device has, sorted, without link-local ones.
    std::vector<IpAddress> sources;

    friend auto operator<=>(const UnderlayPath&, const UnderlayPath&) = default;
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
    std::optional<ProcessId> owner = {};
    /// Who says that it is one.
    enum class Word : std::uint8_t {
        Announced, ///< its program, or NetworkManager of a VPN of its own
        Found      ///< a device that came up; its addresses and networks are those of the kernel
    };
    Word word = Word::Announced;

    friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

/// What was inside a tunnel when it was last up. It belongs to nobody else afterwards: what was
/// sent to a company's network must not go to the local one of the same addresses when the tunnel
/// ends.
struct InsideNetworks {
    InterfaceName interface;
    std::vector<IpPrefix> networks;

    friend bool operator==(const InsideNetworks&, const InsideNetworks&) = default;
};

/// A pushed route with fewer bits than this claims a share of everything, not a network.
inline constexpr unsigned kShortestNetwork = 8;

/// Closed first: what is default-constructed, unreadable or damaged is closed.
enum class Armed : std::uint8_t { Yes, No };

/// What DHCP said of a device.
struct Lease {
    InterfaceName interface;
    /// The server that gave it: a renewal goes to it alone (RFC 2131, option 54).
    IpAddress server;

    friend bool operator==(const Lease&, const Lease&) = default;
};

/// What was last seen beneath the tunnels.
struct Underlay {
    /// The paths to all known servers, each once, sorted. Empty: there was no network.
    std::vector<UnderlayPath> paths;
    /// One for each device at the most.
    std::vector<Lease> leases;
    /// How long the machine had slept since it was started.
    Seconds suspended{0};

    friend bool operator==(const Underlay&, const Underlay&) = default;
};

/// A process that has announced a tunnel, whether that is up or not.
struct Program {
    ProcessId id;
    /// The server that it last reached, where that is known.
    std::optional<IpAddress> server = {};
    /// How that was, or was to be, reached; nothing while there was no way.
    std::optional<UnderlayPath> path = {};

    friend bool operator==(const Program&, const Program&) = default;
};

/// A sign-in to the network (a captive portal): for one user or one program, for a short time.
struct Portal {
    uid_t uid = 0;
    /// Set: only those of the user's sockets that were made with this group (gid) count.
    std::optional<gid_t> gid = {};
    /// The network's own resolvers.
    std::vector<IpAddress> resolvers;
    /// When it is over, as Snapshot::uptime counts. The kernel holds to it by itself.
    Seconds until{0};

    friend bool operator==(const Portal&, const Portal&) = default;
};

/// A VPN profile of NetworkManager's that root has had learnt (`lock`, `reapply`) or that locked
/// the machine.
struct LearntProfile {
    std::string uuid;
    /// Of everything in it that decides where packets go, without secrets: SHA-256, 64 hexadecimal
    /// digits.
    std::string digest;

    friend bool operator==(const LearntProfile&, const LearntProfile&) = default;
};

/// A process that holds the device of an admitted VPN of NetworkManager's. It makes its device anew
/// without a word of NetworkManager about the VPN.
struct VpnProgram {
    InterfaceName interface;
    ProcessId id;

    friend bool operator==(const VpnProgram&, const VpnProgram&) = default;
};

struct State {
    Armed armed = Armed::Yes;
    /// Those that were found come last.
    std::vector<Tunnel> tunnels;
    std::vector<Server> servers;
    /// One for each device that was a tunnel since the machine was locked.
    std::vector<InsideNetworks> inside;
    Underlay underlay;
    /// One for each process.
    std::vector<Program> programs;
    /// Devices that were announced as tunnels and refused, whether they are there or not. A device
    /// made anew under such a name stays refused until its announcement is admitted.
    std::vector<InterfaceName> refused;
    /// OpenVPN configurations that were named to `lock`, besides those of the configuration.
    std::vector<std::string> openvpn_configs;
    /// Never while a tunnel is up. Not kept over a restart of the machine.
    std::optional<Portal> portal = {};
    /// One for each UUID.
    std::vector<LearntProfile> profiles = {};
    std::vector<VpnProgram> vpn_programs = {};

    friend bool operator==(const State&, const State&) = default;
};

} // namespace failclosed
