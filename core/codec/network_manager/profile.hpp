// SPDX-License-Identifier: GPL-3.0-or-later
// The servers in NetworkManager's VPN and WireGuard profiles, and the users of their programs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/codec/warnings.hpp"
#include "core/model/endpoint.hpp"

namespace failclosed {

/// The part of a profile that concerns servers. Texts are those of NetworkManager, not validated.
struct VpnProfile {
    std::string id;
    /// Empty if a file has none: NetworkManager then generates one.
    std::string uuid;
    /// The plugin's D-Bus name ("org.freedesktop.NetworkManager.openvpn"), or "wireguard".
    std::string service;
    /// The items of the plugin's `vpn.data` whose keys are in kProfileKeys.
    std::vector<std::pair<std::string, std::string>> data;
    /// Those of WireGuard peers, "HOST:PORT".
    std::vector<std::string> endpoints;
    /// `wireguard.fwmark`, not 0.
    std::optional<std::uint32_t> fwmark;
    /// As LearntProfile::digest.
    std::string digest = {};
    /// It has `connection.permissions`: it belongs to some users, who may change it.
    bool is_private = false;
    /// The file in which a running NetworkManager stores it.
    std::string file = {};

    friend bool operator==(const VpnProfile&, const VpnProfile&) = default;
};

/// All items of `vpn.data` that are read. Other items are not requested from NetworkManager,
/// because some plugins have stored secrets there.
inline constexpr std::array kProfileKeys = {
    "IPSec gateway", "NAT Traversal Mode", "address",  "gateway", "ipsec-enabled",
    "port",          "proto-tcp",          "protocol", "proxy",   "proxy-port",
    "proxy-server",  "proxy-type",         "remote",   "right",   "remote-random-hostname",
    "server",        "server-port",        "ca",       "cert",
};

/// A server and the users whose programs reach it.
struct ProfileServer {
    Remote remote;
    /// Names: root, and the user that the plugin's program becomes. They need not exist here.
    std::vector<std::string> users;
    /// If set, used instead of `users`, as in Identity.
    std::optional<std::uint32_t> mark;

    friend bool operator==(const ProfileServer&, const ProfileServer&) = default;
};

struct ProfileServers {
    /// In the order of the profile, without duplicates; at most kMaxRemotes are read.
    std::vector<ProfileServer> servers;
    /// Each names the profile, and says what to do if a server cannot be learnt.
    Warnings warnings;

    friend bool operator==(const ProfileServers&, const ProfileServers&) = default;
};

/// Parses profiles of openvpn, openconnect, vpnc, pptp, l2tp, strongswan, libreswan (and openswan),
/// fortisslvpn, sstp and WireGuard as their plugins do (nm-*-service.c, nm_service.c of charon-nm).
/// For other plugins it takes an explicit host and port, with UDP and TCP. Invalid values are
/// ignored with a warning.
ProfileServers servers_of(const VpnProfile& profile);

/// Whether OpenVPN with this command line (`arguments[0]` is the program) was started for the
/// profile in its present form: with the same servers, CA file and certificate file. NetworkManager
/// gives its plugin the settings from the moment when the VPN was activated, and does not publish
/// them.
bool runs_openvpn_profile(const VpnProfile& profile, std::span<const std::string> arguments);

} // namespace failclosed
