// SPDX-License-Identifier: GPL-3.0-or-later
// The services that must not leave for the local network, as all tests have them: an oracle,
// written from docs/security.md and without a look at core/plan/refused_services.hpp, so that a
// service that is lost there fails here. A new service is written in both.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include <netinet/in.h>

namespace failclosed::oracle {

inline constexpr std::uint16_t dns = 53;
inline constexpr std::uint16_t encrypted_dns = 853; ///< over TLS and over QUIC
inline constexpr std::uint16_t netbios = 137;
inline constexpr std::uint16_t mdns = 5353;
inline constexpr std::uint16_t llmnr = 5355;

struct RefusedPort {
    std::uint8_t protocol = IPPROTO_UDP;
    std::uint16_t port = 0;
    std::string_view rule; ///< as docs/security.md names it
    bool logged = false;
    bool by_lock_2 = false;
    bool admitted_by_lan_names = false; ///< `lan-names = yes` and a `lan` that has the destination
};

constexpr RefusedPort of_dns(std::uint8_t protocol, std::uint16_t port)
{
    return {.protocol = protocol,
            .port = port,
            .rule = "DNS outside the tunnel",
            .logged = true,
            .by_lock_2 = true};
}

constexpr RefusedPort of_local_names(std::uint8_t protocol, std::uint16_t port)
{
    return {.protocol = protocol,
            .port = port,
            .rule = "local name service",
            .admitted_by_lan_names = true};
}

inline constexpr std::array refused_ports = {
    of_dns(IPPROTO_UDP, dns),
    of_dns(IPPROTO_TCP, dns),
    of_dns(IPPROTO_UDP, encrypted_dns),
    of_dns(IPPROTO_TCP, encrypted_dns),
    of_local_names(IPPROTO_UDP, netbios),
    of_local_names(IPPROTO_UDP, mdns),
    of_local_names(IPPROTO_UDP, llmnr),
    of_local_names(IPPROTO_TCP, llmnr),
};

/// nullptr: it goes the way of the local network.
constexpr const RefusedPort* find_refused(std::uint8_t protocol, std::uint16_t port)
{
    const auto* found = std::ranges::find_if(refused_ports, [&](const RefusedPort& refused) {
        return refused.protocol == protocol && refused.port == port;
    });
    return found == refused_ports.end() ? nullptr : &*found;
}

/// Pairs of protocol and port, in order.
inline std::set<std::pair<std::uint8_t, std::uint16_t>> ports_refused_by_lock_2()
{
    std::set<std::pair<std::uint8_t, std::uint16_t>> ports;
    for (const RefusedPort& refused : refused_ports) {
        if (refused.by_lock_2) {
            ports.emplace(refused.protocol, refused.port);
        }
    }
    return ports;
}

/// The numbers alone, of any protocol.
inline std::set<std::uint16_t> refused_port_numbers()
{
    std::set<std::uint16_t> numbers;
    for (const RefusedPort& refused : refused_ports) {
        numbers.insert(refused.port);
    }
    return numbers;
}

} // namespace failclosed::oracle
