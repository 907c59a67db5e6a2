// SPDX-License-Identifier: GPL-3.0-or-later
// What the entry points tell the engine. An event is a hint: the kernel is read again each time.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// `failclosed lock`: close, and learn these servers.
struct LockRequested {
    std::vector<Server> servers;
    /// At boot: the early base form only, nothing is read but what is mounted early.
    bool boot = false;
    /// Absolute paths of OpenVPN configurations whose programs may be told to reconnect.
    std::vector<std::string> openvpn_configs = {};

    friend bool operator==(const LockRequested&, const LockRequested&) = default;
};

/// `failclosed unlock`: the only event that opens. Tunnels stay known, for the next lock.
struct UnlockRequested {
    friend bool operator==(const UnlockRequested&, const UnlockRequested&) = default;
};

/// Something may have drifted: look, plan and apply again.
struct ReapplyRequested {
    /// Servers of configurations that are there by now. They count where the machine is armed.
    std::vector<Server> servers = {};

    friend bool operator==(const ReapplyRequested&, const ReapplyRequested&) = default;
};

/// A tunnel program announces its tunnel, with all that it knows of its servers.
struct TunnelUp {
    Tunnel tunnel;
    std::vector<Server> servers;
    /// The endpoint that answered, where the program says so.
    std::optional<Endpoint> connected;

    friend bool operator==(const TunnelUp&, const TunnelUp&) = default;
};

/// OpenVPN's `up` with script_context=restart, or `ipchange`: says which server answers now, and
/// nothing of routes.
struct TunnelRestarted {
    std::vector<Server> servers;
    std::optional<Endpoint> connected;
    /// The program that says so, where it is known.
    std::optional<ProcessId> owner = {};

    friend bool operator==(const TunnelRestarted&, const TunnelRestarted&) = default;
};

/// The tunnel is gone for good or until it is announced again.
struct TunnelDown {
    InterfaceName interface;
    /// The program whose tunnel it was, where it is known.
    std::optional<ProcessId> owner = {};

    friend bool operator==(const TunnelDown&, const TunnelDown&) = default;
};

/// A tunnel's device came up, and whoever noticed knows no more than the kernel. It is recorded
/// where the machine is armed already and nobody else has announced it.
struct TunnelFound {
    InterfaceName interface;

    friend bool operator==(const TunnelFound&, const TunnelFound&) = default;
};

/// This device is no tunnel, whoever says so, until it is gone or announced with a better right.
struct TunnelRefused {
    InterfaceName interface;

    friend bool operator==(const TunnelRefused&, const TunnelRefused&) = default;
};

/// The network beneath the tunnels may have changed: a link, an address, a route, a lease.
struct UnderlayChanged {
    /// The device that DHCP spoke of, where it did.
    std::optional<InterfaceName> leased_interface = {};
    /// Its lease's server; nothing where there is no lease any more.
    std::optional<IpAddress> lease_server = {};

    friend bool operator==(const UnderlayChanged&, const UnderlayChanged&) = default;
};

/// `failclosed portal`: let one user or program sign in to the network. Refused, as a state that
/// does not change, where the machine is open, a tunnel is up, or no resolver is named.
struct PortalRequested {
    uid_t uid = 0;
    std::optional<gid_t> gid = {};
    std::vector<IpAddress> resolvers;
    /// At most kLongestPortal.
    Seconds time{0};

    friend bool operator==(const PortalRequested&, const PortalRequested&) = default;
};

inline constexpr Seconds kLongestPortal{30 * 60};

/// The sign-in is over before its time.
struct PortalEnded {
    friend bool operator==(const PortalEnded&, const PortalEnded&) = default;
};

/// The refresh helper's answers: the addresses that the configured names have now.
struct ServersResolved {
    struct Answer {
        HostName name;
        std::vector<IpAddress> addresses;

        friend bool operator==(const Answer&, const Answer&) = default;
    };

    std::vector<Answer> answers;
    /// They came from the network's own resolvers, and not through a tunnel.
    bool past_tunnel = false;

    friend bool operator==(const ServersResolved&, const ServersResolved&) = default;
};

using Event = std::variant<ReapplyRequested, LockRequested, UnlockRequested, TunnelUp,
                           TunnelRestarted, TunnelDown, TunnelFound, TunnelRefused, UnderlayChanged,
                           PortalRequested, PortalEnded, ServersResolved>;

} // namespace failclosed
