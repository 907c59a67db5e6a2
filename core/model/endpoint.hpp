// SPDX-License-Identifier: GPL-3.0-or-later
// VPN servers: configured remotes, their addresses, and the senders that may reach them.
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

/// An address that a tunnel program sends to. `port` is set if, and only if, `transport` has ports.
struct Endpoint {
    IpAddress address;
    Transport transport = Transport::Udp;
    std::optional<Port> port;

    friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// "203.0.113.2:1194/udp", "[2001:db8::2]:443/tcp", "203.0.113.2/esp".
std::string to_string(const Endpoint& endpoint);

/// A server as it is configured: by name or by address.
struct Remote {
    std::variant<IpAddress, HostName> host;
    Transport transport = Transport::Udp;
    std::optional<Port> port;
    /// Set: only addresses of this family are used (OpenVPN's udp4, tcp6-client).
    std::optional<Family> family;

    /// "HOST:PORT/PROTO", or "HOST/PROTO" for a transport without ports. An IPv6 address needs
    /// brackets if a port follows. PROTO is udp (the default), udp4, udp6, tcp, tcp4, tcp6, gre or
    /// esp. `nullopt` if the text has another form.
    static std::optional<Remote> parse(std::string_view text);

    /// The configured name; null if the server is configured by address.
    [[nodiscard]] const HostName* name() const { return std::get_if<HostName>(&host); }

    friend auto operator<=>(const Remote&, const Remote&) = default;
};

/// The form that Remote::parse reads.
std::string to_string(const Remote& remote);

/// Why another machine cannot be `remote`: "127.0.0.1 is a loopback address". `nullopt` if one can,
/// or if the server is given by name.
std::optional<std::string> why_no_server(const Remote& remote);

/// How the kernel recognises packets of a tunnel program: by `mark` if it is set, else by the user
/// that created the socket (root before the program drops privileges, another user after).
struct Identity {
    std::vector<uid_t> uids = {0};
    std::optional<std::uint32_t> mark;

    friend bool operator==(const Identity&, const Identity&) = default;
};

using Seconds = std::chrono::seconds;

/// An address that was learnt for a configured name.
struct LearntAddress {
    IpAddress address;
    /// When a resolver last gave it, or a tunnel to it last came up; since the epoch.
    Seconds seen{0};
    /// Of the name's addresses, the one to which a tunnel last came up.
    bool worked_last = false;
    /// Learnt outside any tunnel, from a resolver of the network, which could have made it up.
    /// Never true together with worked_last.
    bool unverified = false;

    friend bool operator==(const LearntAddress&, const LearntAddress&) = default;
};

/// A remembered server: a remote, the senders that may reach it, and its learnt addresses.
struct Server {
    Remote remote;
    Identity identity;
    std::vector<LearntAddress> addresses;

    /// All known endpoints of the remote's family; sorted, without duplicates.
    [[nodiscard]] std::vector<Endpoint> endpoints() const;

    friend bool operator==(const Server&, const Server&) = default;
};

} // namespace failclosed
