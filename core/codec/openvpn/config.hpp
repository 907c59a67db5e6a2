// SPDX-License-Identifier: GPL-3.0-or-later
// Servers and identity in OpenVPN's configuration files and command lines.
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

/// Limit; further remotes are ignored with a warning.
inline constexpr std::size_t kMaxRemotes = 1000;

/// The value of `proto`: udp, tcp, tcp-client, tcp-server, each also with 4 or 6 after udp or tcp.
struct OpenvpnProtocol {
    Transport transport = Transport::Udp;
    std::optional<Family> family;
    /// It waits for its peer (tcp-server): there is no server to reach.
    bool listens = false;

    static std::optional<OpenvpnProtocol> parse(std::string_view text);

    friend bool operator==(const OpenvpnProtocol&, const OpenvpnProtocol&) = default;
};

/// A connection to a server, as texts that are not validated. If there is a proxy, OpenVPN connects
/// to it instead of the server.
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

    /// The server or proxy to which OpenVPN connects. An error if the name or port is invalid (also
    /// a service name as port), if the address is not that of another host (for a relay on this
    /// machine the relay's server must be configured), or if the entry listens.
    [[nodiscard]] Result<Remote> remote() const;
};

struct OpenvpnConfig {
    /// It has an option of a client or of a peer with a static key, or includes a file that could
    /// not be read and may have one.
    bool client = false;
    /// It serves clients (`mode server`) and has no remotes.
    bool server = false;
    /// In the order of the text, without duplicates.
    std::vector<Remote> remotes;
    /// The name of the user that it becomes (`user`).
    std::optional<std::string> user;
    /// The mark of its packets (`mark`), not 0.
    std::optional<std::uint32_t> mark;
    /// A user name, password or passphrase is not in a file and must be typed at each start.
    bool asks_for_secrets = false;
    /// It drops the privileges to read its configuration and secrets again (`user`, `group`,
    /// `chroot`, `setcon`). It does so when the tunnel comes up and is root until then.
    bool drops_privileges = false;
    /// It may run scripts (the last `script-security`, at least 2).
    bool runs_scripts = false;
    /// The last `up` and `down`: programs with their arguments, as written.
    std::string up;
    std::string down;
    /// Other files that it reads at each start, as written: certificates, keys, secrets.
    std::vector<std::string> files;
    Warnings warnings;

    friend bool operator==(const OpenvpnConfig&, const OpenvpnConfig&) = default;
};

/// Reads a file that is included by `config FILE`. The path is as written; the reader resolves a
/// relative path.
using IncludeReader = std::function<Result<std::string>(const std::string& path)>;

/// Parses a configuration as OpenVPN 2.4 to 2.7 does (openvpn(8), options_parse.c): comments,
/// quotes, backslashes, inline files, connection blocks (which replace all remotes outside of
/// blocks), proxies. Options that do not concern servers are ignored. Included files are read by
/// `read`, to OpenVPN's depth of 10; there is a warning if `read` is empty or fails. Invalid lines
/// and values are ignored with a warning.
OpenvpnConfig parse_openvpn_config(std::string_view text, const IncludeReader& read = {});

/// Parses a command line: "openvpn FILE", or options that start with "--". `arguments[0]` is the
/// program.
OpenvpnConfig parse_openvpn_arguments(std::span<const std::string> arguments,
                                      const IncludeReader& read = {});

} // namespace failclosed
