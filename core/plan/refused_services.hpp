// SPDX-License-Identifier: GPL-3.0-or-later
// Services refused outside the tunnels, also in the local network: one table for firewall and
// routing rules.
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
    Firewall,          ///< locks 1 and 3; lock 2 alone leads it to the local network, if allowed
    FirewallAndRoutes, ///< lock 2 as well: packets of this machine to the local network
};

struct RefusedService {
    /// The comment of its rules; shown in counters and the log.
    const char* reason;
    /// The chain of its rules.
    const char* chain;
    std::span<const RefusedPort> ports;
    RefusedBy refused_by = RefusedBy::Firewall;
    /// Whether it is logged if the configuration asks for a log.
    bool logged = false;
    /// The option that allows it in the local network; nullptr if no option allows it.
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

/// Their rules come after those for VPN servers, answers of inbound services, bootstrap look-ups
/// and DNS of a sign-in, and before those for the local network:
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

/// The services that no option of `config` allows, in the order of their rules.
std::vector<RefusedService> refused_services(const Config& config);

} // namespace failclosed
