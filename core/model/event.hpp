// SPDX-License-Identifier: GPL-3.0-or-later
// Events that entry points pass to the engine. An event is a hint: each run reads the kernel again.
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
    /// Those that are forgotten.
    std::vector<std::string> forgotten_configs = {};
    /// VPN profiles of NetworkManager that are admitted from now on.
    std::vector<LearntProfile> profiles = {};
    /// False: servers' names are left to a later event.
    bool look_names_up = true;

    friend bool operator==(const LockRequested&, const LockRequested&) = default;
};

/// `failclosed unlock`: the only event that opens. Tunnels stay recorded for the next lock.
struct UnlockRequested {
    friend bool operator==(const UnlockRequested&, const UnlockRequested&) = default;
};

/// The kernel or a file may differ from the plan: observe, plan and apply again.
struct ReapplyRequested {
    /// Servers from the configurations that exist now. They are learnt if the machine is armed.
    std::vector<Server> servers = {};
    /// VPN profiles of NetworkManager, learnt under the same condition.
    std::vector<LearntProfile> profiles = {};

    friend bool operator==(const ReapplyRequested&, const ReapplyRequested&) = default;
};

/// The NetworkManager profile of a tunnel.
struct VpnProfileFacts {
    /// Empty: NetworkManager did not name a profile.
    std::string uuid;
    /// As LearntProfile::digest. Empty: the profile could not be read.
    std::string digest;
    /// It belongs to some users (`connection.permissions`), who may change it.
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
    /// The process that holds the device, if one was found.
    std::optional<ProcessId> program = {};

    friend bool operator==(const VpnProfileFacts&, const VpnProfileFacts&) = default;
};

/// A tunnel program announces its tunnel and its servers.
struct TunnelUp {
    Tunnel tunnel;
    std::vector<Server> servers;
    /// The endpoint that answered, if the program says so.
    std::optional<Endpoint> connected;
    /// Set for VPNs that NetworkManager announces; `nullopt` for tunnels of programs that root
    /// runs.
    std::optional<VpnProfileFacts> profile = {};
    /// An address was announced that no host can have. It is not in `tunnel`.
    bool has_unusable_address = false;

    friend bool operator==(const TunnelUp&, const TunnelUp&) = default;
};

/// OpenVPN's `up` with script_context=restart, or `ipchange`: names the server that answers now,
/// but no routes.
struct TunnelRestarted {
    std::vector<Server> servers;
    std::optional<Endpoint> connected;
    /// The announcing program, if it is known.
    std::optional<ProcessId> owner = {};

    friend bool operator==(const TunnelRestarted&, const TunnelRestarted&) = default;
};

/// The tunnel has ended, until it is announced again.
struct TunnelDown {
    InterfaceName interface;
    /// The program whose tunnel it was, if it is known.
    std::optional<ProcessId> owner = {};

    friend bool operator==(const TunnelDown&, const TunnelDown&) = default;
};

/// A device that can be a tunnel came up without an announcement of its program. It is recorded if
/// the machine is armed and admission (core/plan/admission) does not refuse it.
struct TunnelFound {
    InterfaceName interface;
    /// The maker of the device.
    enum class Maker : std::uint8_t {
        Unknown,
        Kernel,        ///< WireGuard: no process holds it
        Program,       ///< a process that NetworkManager did not start
        NetworkManager ///< the program of a VPN of NetworkManager
    };
    Maker maker = Maker::Unknown;
    /// The process that holds the device, if one was found.
    std::optional<ProcessId> program = {};

    friend bool operator==(const TunnelFound&, const TunnelFound&) = default;
};

/// The network beneath the tunnels may have changed: a link, an address, a route, a lease.
struct UnderlayChanged {
    /// The device whose DHCP lease changed, if one did.
    std::optional<InterfaceName> leased_interface = {};
    /// The server of its lease; `nullopt` if the lease has ended.
    std::optional<IpAddress> lease_server = {};

    friend bool operator==(const UnderlayChanged&, const UnderlayChanged&) = default;
};

/// `failclosed portal`: lets one user or program sign in to the network. Refused (the state stays
/// as it is) if the machine is open, a tunnel is up, or `resolvers` is empty.
struct PortalRequested {
    uid_t uid = 0;
    std::optional<gid_t> gid = {};
    std::vector<IpAddress> resolvers;
    /// At most kLongestPortal.
    Seconds time{0};

    friend bool operator==(const PortalRequested&, const PortalRequested&) = default;
};

inline constexpr Seconds kLongestPortal{30 * 60};

/// The sign-in ends before its time is over.
struct PortalEnded {
    friend bool operator==(const PortalEnded&, const PortalEnded&) = default;
};

/// Answers that the refresh helper got: the current addresses of configured names.
struct ServersResolved {
    struct Answer {
        HostName name;
        std::vector<IpAddress> addresses;

        friend bool operator==(const Answer&, const Answer&) = default;
    };

    std::vector<Answer> answers;
    /// They came from the network's resolvers, outside any tunnel.
    bool past_tunnel = false;

    friend bool operator==(const ServersResolved&, const ServersResolved&) = default;
};

using Event = std::variant<ReapplyRequested, LockRequested, UnlockRequested, TunnelUp,
                           TunnelRestarted, TunnelDown, TunnelFound, UnderlayChanged,
                           PortalRequested, PortalEnded, ServersResolved>;

} // namespace failclosed
