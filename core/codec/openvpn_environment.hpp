// SPDX-License-Identifier: GPL-3.0-or-later
// From the arguments and the environment that OpenVPN gives its scripts to one event.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/codec/environment.hpp"
#include "core/codec/openvpn_config.hpp"
#include "core/model/event.hpp"

namespace failclosed {

/// A process above the hook, as the kernel tells.
struct OpenvpnProcess {
    ProcessId id;
    /// Its effective user.
    uid_t uid = 0;

    friend bool operator==(const OpenvpnProcess&, const OpenvpnProcess&) = default;
};

/// What the caller has found out for itself: the environment is only a hint.
struct OpenvpnFacts {
    /// The hook's parent, the parent's parent, and so on.
    std::vector<OpenvpnProcess> ancestors;
    /// OpenVPN's configuration and command line, where they could be read.
    std::optional<OpenvpnConfig> config;
    /// The number of the user that `config` names.
    std::optional<uid_t> config_user;
};

struct OpenvpnEvent {
    /// Nothing: the script type is none of ours, and there is nothing to do.
    std::optional<Event> event;
    /// Values that were left out.
    Warnings warnings;

    friend bool operator==(const OpenvpnEvent&, const OpenvpnEvent&) = default;
};

/// Reads what OpenVPN 2.4 to 2.7 tells a script (openvpn(8), "Environmental Variables"):
///
/// - up, route-up: TunnelUp. An interface name or tunnel address that is missing or wrong is an
///   error; any other wrong value is left out alone, with a warning.
/// - down, route-pre-down: TunnelDown; the interface name must be right.
/// - any of these with script_context=restart: the device and its routes stay. TunnelRestarted
///   for up and route-up, ReapplyRequested for down and route-pre-down.
/// - ipchange: TunnelRestarted.
///
/// `arguments` are the script's without its own name. Names and numbers: remotes are taken by
/// their number, with gaps. A proxy takes the place of the remote behind it. Where the
/// configuration holds the same host and port with other transports, those are servers too:
/// OpenVPN 2.7 has no proto_N for remotes, and its proto_N are those of `local` entries.
///
/// The owner is the ancestor that daemon_pid names, else the parent. `connected` is left out
/// where the address that answered fits no server. OpenVPN does not tell its transport: where the
/// servers that it fits have both, it is not `connected` but an address of each of these servers,
/// or, where they have different names, a server by itself with both transports.
Result<OpenvpnEvent> parse_openvpn_event(std::span<const char* const> arguments,
                                         const Environment& environment, const OpenvpnFacts& facts);

} // namespace failclosed
