// SPDX-License-Identifier: GPL-3.0-or-later
// The state that is kept between two events.
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

/// A process. The start time distinguishes it from a later one with the same pid.
struct ProcessId {
    pid_t pid = 0;
    /// Field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)).
    std::uint64_t start_time = 0;

    friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

/// How packets to a server leave this machine outside the tunnels.
struct UnderlayPath {
    Family family = Family::V4;
    InterfaceName interface;
    /// The next hop; `nullopt` if the server is on the link.
    std::optional<IpAddress> gateway;
    /// The device's addresses of this family, sorted, without link-local ones.
    std::vector<IpAddress> sources;

    friend auto operator<=>(const UnderlayPath&, const UnderlayPath&) = default;
};

/// A tunnel that is up. Identified by the device's name, because OpenVPN makes a new device with a
/// new index at every restart.
struct Tunnel {
    InterfaceName interface;
    std::vector<InterfaceAddress> addresses;
    /// Destinations inside: prefixes of its addresses, peers, and pushed routes. Without parts of a
    /// default route (prefixes shorter than kShortestNetwork).
    std::vector<IpPrefix> networks;
    /// The next hop inside, at most one per family. Used only if the device resolves neighbours
    /// (tap): without a next hop it would send ARP requests for every destination.
    std::vector<IpAddress> gateways;
    std::vector<IpAddress> resolvers;
    std::vector<HostName> search_domains;
    /// The program that holds the device.
    std::optional<ProcessId> owner = {};
    /// How the tunnel became known.
    enum class Word : std::uint8_t {
        Announced, ///< by its program, or by NetworkManager for a VPN of its own
        Found      ///< the device came up; its addresses and networks are read from the kernel
    };
    Word word = Word::Announced;

    friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

/// The networks inside a tunnel when it was last up. They stay closed after the tunnel has ended:
/// packets for a company's network must not go to a local network with the same addresses.
struct InsideNetworks {
    InterfaceName interface;
    std::vector<IpPrefix> networks;

    friend bool operator==(const InsideNetworks&, const InsideNetworks&) = default;
};

/// A pushed route with a shorter prefix is part of a default route, not a network.
inline constexpr unsigned kShortestNetwork = 8;

/// Yes comes first: a state that is default-constructed, unreadable or damaged is armed.
enum class Armed : std::uint8_t { Yes, No };

/// A DHCP lease of a device.
struct Lease {
    InterfaceName interface;
    /// The server that gave the lease. Renewals are sent to it by unicast (RFC 2131, option 54).
    IpAddress server;

    friend bool operator==(const Lease&, const Lease&) = default;
};

/// The underlay at the last event.
struct Underlay {
    /// The paths to all known servers, sorted, without duplicates. Empty: there was no network.
    std::vector<UnderlayPath> paths;
    /// At most one per device.
    std::vector<Lease> leases;
    /// Time that the machine had been suspended since boot.
    Seconds suspended{0};

    friend bool operator==(const Underlay&, const Underlay&) = default;
};

/// A process that has announced a tunnel. The tunnel may have ended since.
struct Program {
    ProcessId id;
    /// The server that it last reached, if that is known.
    std::optional<IpAddress> server = {};
    /// The path to that server; `nullopt` while there was none.
    std::optional<UnderlayPath> path = {};

    friend bool operator==(const Program&, const Program&) = default;
};

/// A sign-in to the network (captive portal) for one user or program, for a limited time.
struct Portal {
    uid_t uid = 0;
    /// Set: only sockets of the user that were created with this gid are admitted.
    std::optional<gid_t> gid = {};
    /// The network's own resolvers.
    std::vector<IpAddress> resolvers;
    /// When the sign-in ends, on the clock of Snapshot::uptime. The kernel enforces it.
    Seconds until{0};

    friend bool operator==(const Portal&, const Portal&) = default;
};

/// A VPN profile of NetworkManager that root made known (`lock`, `reapply`) or that locked the
/// machine.
struct LearntProfile {
    std::string uuid;
    /// SHA-256 of all settings that decide where packets go, without secrets; 64 hexadecimal
    /// digits.
    std::string digest;

    friend bool operator==(const LearntProfile&, const LearntProfile&) = default;
};

/// A process that holds the device of an admitted VPN of NetworkManager. It may make the device
/// again without a new announcement by NetworkManager.
struct VpnProgram {
    InterfaceName interface;
    ProcessId id;

    friend bool operator==(const VpnProgram&, const VpnProgram&) = default;
};

struct State {
    Armed armed = Armed::Yes;
    /// Announced tunnels first, then found ones.
    std::vector<Tunnel> tunnels;
    std::vector<Server> servers;
    /// One per device that was a tunnel since the machine was locked.
    std::vector<InsideNetworks> inside;
    Underlay underlay;
    /// One per process.
    std::vector<Program> programs;
    /// Devices that were announced as tunnels and refused; they need not exist now. A new device
    /// with such a name stays refused until its announcement is admitted.
    std::vector<InterfaceName> refused;
    /// OpenVPN configurations that were given to `lock`, in addition to those of failclosed.conf.
    std::vector<std::string> openvpn_configs;
    /// `nullopt` while a tunnel is up. Not kept over a reboot.
    std::optional<Portal> portal = {};
    /// One per UUID.
    std::vector<LearntProfile> profiles = {};
    std::vector<VpnProgram> vpn_programs = {};

    friend bool operator==(const State&, const State&) = default;
};

} // namespace failclosed
