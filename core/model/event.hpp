// SPDX-License-Identifier: GPL-3.0-or-later
// What the entry points tell the engine. An event is a hint: the kernel is read again each time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/state.hpp"

namespace failclosed {

/// `failclosed lock`: close, and learn these servers.
struct LockRequested {
    std::vector<Server> servers;
    /// If no firewall can be loaded, links are set down: no network before the lock at boot.
    bool boot = false;
    /// Absolute paths of OpenVPN configurations whose programs may be told to reconnect.
    std::vector<std::string> openvpn_configs = {};
    /// VPN profiles of NetworkManager's that count from now on.
    std::vector<LearntProfile> profiles = {};
    /// False: servers' names are left to a later event.
    bool look_names_up = true;

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
    /// The same for VPN profiles of NetworkManager's.
    std::vector<LearntProfile> profiles = {};

    friend bool operator==(const ReapplyRequested&, const ReapplyRequested&) = default;
};

/// The profile that NetworkManager made a tunnel from.
struct VpnProfileFacts {
    /// Empty: NetworkManager named none.
    std::string uuid;
    /// As LearntProfile::digest. Empty: the profile could not be read.
    std::string digest;
    /// Only some users may use it (`connection.permissions`), and may change it as they like.
    bool is_private = false;
    /// What the VPN's program runs with.
    enum class Settings : std::uint8_t {
        Other,     ///< not what the profile says, or there is no such program
        OfProfile, ///< what the profile says
        Unseen     ///< of a kind of VPN whose programs do not show it
    };
    Settings settings = Settings::Other;
    /// The profile was written after the VPN's program had been started.
    bool is_newer_than_program = false;
    /// Holds the device, where one was found.
    std::optional<ProcessId> program = {};

    friend bool operator==(const VpnProfileFacts&, const VpnProfileFacts&) = default;
};

/// A tunnel program announces its tunnel, with all that it knows of its servers.
struct TunnelUp {
    Tunnel tunnel;
    std::vector<Server> servers;
    /// The endpoint that answered, where the program says so.
    std::optional<Endpoint> connected;
    /// Set for tunnels that NetworkManager announces as its own; nullopt for those of programs
    /// that root runs.
    std::optional<VpnProfileFacts> profile = {};
    /// An address was announced that is none a host can have. It is not in `tunnel`.
    bool has_unusable_address = false;

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

/// A tunnel's device came up, and its program has announced nothing. It is recorded if the machine
/// is armed already and admission (core/plan/admission) does not refuse it.
struct TunnelFound {
    InterfaceName interface;
    /// Who made the device.
    enum class Maker : std::uint8_t {
        Unknown,
        Kernel,        ///< WireGuard: no process holds it
        Program,       ///< a process that NetworkManager did not start
        NetworkManager ///< the program of one of its VPNs
    };
    Maker maker = Maker::Unknown;
    /// The process that holds the device, where one was found.
    std::optional<ProcessId> program = {};

    friend bool operator==(const TunnelFound&, const TunnelFound&) = default;
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
                           TunnelRestarted, TunnelDown, TunnelFound, UnderlayChanged,
                           PortalRequested, PortalEnded, ServersResolved>;

} // namespace failclosed
