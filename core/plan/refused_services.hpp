// SPDX-License-Identifier: GPL-3.0-or-later
// Services that programs must not reach outside the tunnels, not even in the local network: the one
// table that the firewall and the routing rules are made from.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/model/config.hpp"
#include "core/plan/constants.hpp"

namespace failclosed {

struct RefusedPort {
    Transport transport = Transport::Udp;
    std::uint16_t number = 0;
};

/// Which locks refuse a service by its ports.
enum class RefusedBy : std::uint8_t {
    Firewall, ///< locks 1 and 3; lock 2 alone leads it to the local network, if there is one
    FirewallAndRoutes, ///< lock 2 as well: what this machine sends to the local network
};

struct RefusedService {
    /// The comment of its rules, by which counters and the log name it.
    const char* reason;
    /// The chain of its rules.
    const char* chain;
    std::span<const RefusedPort> ports;
    RefusedBy refused_by = RefusedBy::Firewall;
    /// Whether the kernel logs it where the configuration wants a log.
    bool logged = false;
    /// The option that makes it a part of the local network; nullptr: none does.
    bool Config::* lifted_by = nullptr;
};

inline constexpr std::array kDnsPorts = std::to_array<RefusedPort>({
    {Transport::Udp, kDnsPort},
    {Transport::Tcp, kDnsPort},
    {Transport::Udp, 853}, // over QUIC (RFC 9250)
    {Transport::Tcp, 853}, // over TLS (RFC 7858)
});

inline constexpr std::array kNamePorts = std::to_array<RefusedPort>({
    {Transport::Udp, 137},  // NetBIOS
    {Transport::Udp, 5353}, // mDNS
    {Transport::Udp, 5355}, // LLMNR
    {Transport::Tcp, 5355},
});

/// The rules of these stand behind those for VPN servers, answers of inbound services, bootstrap
/// look-ups and the resolver of a sign-in, and before the one for the local network:
///
///                        lan = private, on-link or LIST    lan = deny
///   refused              with its reason                   with its reason
///   lifted by an option  as the local network              as "sent outside the tunnel"
inline constexpr std::array kRefusedServices = std::to_array<RefusedService>({
    {.reason = "DNS outside the tunnel",
     .chain = "refused_dns",
     .ports = kDnsPorts,
     .refused_by = RefusedBy::FirewallAndRoutes,
     .logged = true},
    {.reason = "local name service",
     .chain = "refused_name_service",
     .ports = kNamePorts,
     .lifted_by = &Config::lan_names},
});

/// Those that no option of `config` lifts, in the order of their rules.
std::vector<RefusedService> refused_services(const Config& config);

} // namespace failclosed
