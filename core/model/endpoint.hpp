// SPDX-License-Identifier: GPL-3.0-or-later
// Where VPN servers are reached: configured remotes, their addresses, and who may talk to them.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/types.h>

#include "core/model/address.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// IP protocols that carry tunnels, by their IANA numbers.
enum class Transport : std::uint8_t { Tcp = 6, Udp = 17, Gre = 47, Esp = 50 };

/// "tcp", "udp", "gre" or "esp".
std::string_view to_string(Transport transport);

/// Whether packets of this transport have ports.
bool has_ports(Transport transport);

/// One address that a tunnel program talks to. `port` is set exactly for transports with ports.
struct Endpoint {
    IpAddress address;
    Transport transport = Transport::Udp;
    std::optional<Port> port;

    friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// "203.0.113.2:1194/udp", "[2001:db8::2]:443/tcp", "203.0.113.2/esp".
std::string to_string(const Endpoint& endpoint);

/// A server as configured: by name or by address.
struct Remote {
    std::variant<IpAddress, HostName> host;
    Transport transport = Transport::Udp;
    std::optional<Port> port;
    /// Only addresses of this family, as OpenVPN's udp4 and tcp6-client mean it.
    std::optional<Family> family;

    /// "HOST:PORT/PROTO" or "HOST/PROTO" for a transport without ports; an IPv6 address is
    /// written in brackets; PROTO is udp, tcp, gre, esp, or udp4, udp6, tcp4, tcp6; "/PROTO" may
    /// be left out for udp.
    static std::optional<Remote> parse(std::string_view text);

    /// The configured name, where it is one.
    [[nodiscard]] const HostName* name() const { return std::get_if<HostName>(&host); }

    friend auto operator<=>(const Remote&, const Remote&) = default;
};

/// The form that Remote::parse reads.
std::string to_string(const Remote& remote);

/// By what the kernel tells the packets of a tunnel program from those of others. Where a mark
/// is set it alone counts; otherwise the user that created the socket (root before privileges
/// are dropped, another one after).
struct Identity {
    std::vector<uid_t> uids = {0};
    std::optional<std::uint32_t> mark;

    friend bool operator==(const Identity&, const Identity&) = default;
};

using Seconds = std::chrono::seconds;

/// An address that a configured name has had.
struct LearntAddress {
    IpAddress address;
    /// When a resolver last gave it, or a tunnel through it last came up; since the epoch.
    Seconds seen{0};
    /// A tunnel came up through it, more recently than through any other address of the name.
    bool worked_last = false;
    /// Only a resolver of the network gave it, outside of any tunnel: the network can have invented
    /// it. Never true together with worked_last.
    bool unverified = false;

    friend bool operator==(const LearntAddress&, const LearntAddress&) = default;
};

/// A remembered server: a remote, who may talk to it, and the addresses that it has had.
struct Server {
    Remote remote;
    Identity identity;
    std::vector<LearntAddress> addresses;

    /// Every endpoint that is known for it, of the remote's family only; sorted, each once.
    [[nodiscard]] std::vector<Endpoint> endpoints() const;

    friend bool operator==(const Server&, const Server&) = default;
};

} // namespace failclosed
