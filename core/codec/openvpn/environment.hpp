// SPDX-License-Identifier: GPL-3.0-or-later
// Parses the arguments and the environment of OpenVPN's scripts into an event.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/codec/environment.hpp"
#include "core/codec/openvpn/config.hpp"
#include "core/model/event.hpp"

namespace failclosed {

/// An ancestor process of the hook, as the kernel shows it.
struct OpenvpnProcess {
    ProcessId id;
    /// Its effective user.
    uid_t uid = 0;

    friend bool operator==(const OpenvpnProcess&, const OpenvpnProcess&) = default;
};

/// Facts from other sources than the environment, which is only a hint.
struct OpenvpnFacts {
    /// The hook's parent, the parent's parent, and so on.
    std::vector<OpenvpnProcess> ancestors;
    /// OpenVPN's configuration and command line, if they could be read.
    std::optional<OpenvpnConfig> config;
    /// The uid of the user that `config` names.
    std::optional<uid_t> config_user;
};

struct OpenvpnEvent {
    /// `nullopt`: no action is needed for this script type.
    std::optional<Event> event;
    /// One for each value that was ignored.
    Warnings warnings;

    friend bool operator==(const OpenvpnEvent&, const OpenvpnEvent&) = default;
};

/// Parses the environment that OpenVPN 2.4 to 2.7 gives a script (openvpn(8), "Environmental
/// Variables"):
///
/// - up, route-up: TunnelUp. A missing or invalid interface name or tunnel address is an error;
///   other invalid values are ignored with a warning.
/// - down, route-pre-down: TunnelDown. A missing or invalid interface name is an error.
/// - any of these with script_context=restart: the device and its routes stay. TunnelRestarted
///   for up and route-up, ReapplyRequested for down and route-pre-down.
/// - ipchange: TunnelRestarted.
///
/// `arguments` are those of the script, without its name. Remotes are read by number; numbers may
/// be missing. A proxy replaces the remote behind it. If the configuration has the same host and
/// port with other transports, these are servers too: OpenVPN 2.7 has no proto_N for remotes; its
/// proto_N are those of `local` entries.
///
/// The owner is the ancestor that daemon_pid names, else the parent. `connected` is `nullopt` if
/// the answering address matches no server. OpenVPN does not give its transport. If the matching
/// servers have both transports, `connected` is `nullopt` too: the address becomes an address of
/// each of these servers, or, if they have different names, a server of its own with both
/// transports.
Result<OpenvpnEvent> parse_openvpn_event(std::span<const char* const> arguments,
                                         const Environment& environment, const OpenvpnFacts& facts);

} // namespace failclosed
