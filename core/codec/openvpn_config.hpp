// SPDX-License-Identifier: GPL-3.0-or-later
// What OpenVPN's configuration files and command lines say about servers and identity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/endpoint.hpp"

namespace failclosed {

/// More remotes than these are left out, with a warning.
inline constexpr std::size_t kMaxRemotes = 1000;

/// `proto` as OpenVPN writes it: udp, tcp, tcp-client, tcp-server, and each with 4 or 6 after udp
/// or tcp.
struct OpenvpnProtocol {
    Transport transport = Transport::Udp;
    std::optional<Family> family;
    /// Waits for its peer (tcp-server): such an entry has no server to reach.
    bool listens = false;

    static std::optional<OpenvpnProtocol> parse(std::string_view text);

    friend bool operator==(const OpenvpnProtocol&, const OpenvpnProtocol&) = default;
};

/// One way to a server, as texts that are not checked yet. A proxy takes the server's place: it
/// is what OpenVPN talks to.
struct OpenvpnConnection {
    struct Proxy {
        std::string_view host;
        std::string_view port;
    };

    std::string_view host;
    std::string_view port;
    OpenvpnProtocol protocol;
    std::optional<Proxy> http_proxy;
    std::optional<Proxy> socks_proxy;

    /// Whom OpenVPN talks to. An error where that cannot be told or is nobody elsewhere: a name
    /// or port that is none, a service name as port, an address of this machine (a local relay
    /// has to be told by its own server), of a group or of no host; an entry that listens.
    [[nodiscard]] Result<Remote> remote() const;
};

struct OpenvpnConfig {
    /// It serves clients (`mode server`), and has no remotes.
    bool server = false;
    /// In the order of the text, each once.
    std::vector<Remote> remotes;
    /// The user that it becomes (`user`), by name.
    std::optional<std::string> user;
    /// The mark of its packets (`mark`), not 0.
    std::optional<std::uint32_t> mark;
    /// Somebody types a name, a password or a passphrase at each start: no file is named for it.
    bool asks_for_secrets = false;
    /// It gives up what it would take to read its configuration and secrets again (`user`, `group`,
    /// `chroot`, `setcon`); it does so when the tunnel is up, and is root before.
    bool drops_privileges = false;
    /// Its last `up` and `down`: programs with their arguments, as written.
    std::string up;
    std::string down;
    /// Other files that it reads at each start, as written: certificates, keys, secrets.
    std::vector<std::string> files;
    Warnings warnings;

    friend bool operator==(const OpenvpnConfig&, const OpenvpnConfig&) = default;
};

/// Reads a file that is included by `config FILE`; the path is as written, so that what a
/// relative one is relative to is the reader's to know.
using IncludeReader = std::function<Result<std::string>(const std::string& path)>;

/// Reads the text of a configuration as OpenVPN 2.4 to 2.7 does (openvpn(8), options_parse.c):
/// comments, quotes, backslashes, inline files, connection blocks (which, where there are any,
/// replace remotes outside of them), proxies. Options that say nothing about servers are passed
/// over. Includes are followed to OpenVPN's own depth of 10 by `read`; without it, or where it
/// fails, they are a warning. What cannot be understood is left out with a warning.
OpenvpnConfig parse_openvpn_config(std::string_view text, const IncludeReader& read = {});

/// The same for a command line, `arguments[0]` being the program: "openvpn FILE", or options
/// with "--" in front.
OpenvpnConfig parse_openvpn_arguments(std::span<const std::string> arguments,
                                      const IncludeReader& read = {});

} // namespace failclosed
