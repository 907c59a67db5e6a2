// SPDX-License-Identifier: GPL-3.0-or-later
// What NetworkManager's VPN and WireGuard profiles say about servers and who talks to them.
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

/// A profile, as far as servers go; texts as NetworkManager holds them, not checked.
struct VpnProfile {
    std::string id;
    /// Empty where a file has none: NetworkManager then makes one up.
    std::string uuid;
    /// The plugin's D-Bus name ("org.freedesktop.NetworkManager.openvpn"), or "wireguard".
    std::string service;
    /// Of a plugin's `vpn.data` the items in kProfileKeys.
    std::vector<std::pair<std::string, std::string>> data;
    /// Of WireGuard peers, "HOST:PORT".
    std::vector<std::string> endpoints;
    /// `wireguard.fwmark`, not 0.
    std::optional<std::uint32_t> fwmark;
    /// As LearntProfile::digest.
    std::string digest = {};
    /// It has `connection.permissions`: some users alone may use it, and may change it.
    bool is_private = false;
    /// The file that a running NetworkManager keeps it in.
    std::string file = {};

    friend bool operator==(const VpnProfile&, const VpnProfile&) = default;
};

/// Every item of `vpn.data` that servers_of() reads. Nothing else of it is taken out of
/// NetworkManager: some plugins have kept secrets there.
inline constexpr std::array kProfileKeys = {
    "IPSec gateway", "NAT Traversal Mode", "address",  "gateway", "ipsec-enabled",
    "port",          "proto-tcp",          "protocol", "proxy",   "proxy-port",
    "proxy-server",  "proxy-type",         "remote",   "right",   "remote-random-hostname",
    "server",        "server-port",        "ca",       "cert",
};

/// A server, and by which users' programs it is reached.
struct ProfileServer {
    Remote remote;
    /// By name: root, and whom the plugin's program becomes. They need not exist here.
    std::vector<std::string> users;
    /// Counts instead of users, as in Identity.
    std::optional<std::uint32_t> mark;

    friend bool operator==(const ProfileServer&, const ProfileServer&) = default;
};

struct ProfileServers {
    /// In the order of the profile, each once; at most kMaxRemotes are looked at.
    std::vector<ProfileServer> servers;
    /// Name the profile, and what to do where a server cannot be learnt.
    Warnings warnings;

    friend bool operator==(const ProfileServers&, const ProfileServers&) = default;
};

/// Reads openvpn, openconnect, vpnc, pptp, l2tp, strongswan, libreswan (and openswan),
/// fortisslvpn, sstp and WireGuard as their plugins do (nm-*-service.c, nm_service.c of
/// charon-nm); of other plugins an explicit host and port, by UDP and TCP. What cannot be
/// understood is left out with a warning.
ProfileServers servers_of(const VpnProfile& profile);

/// Whether OpenVPN with this command line (its first argument is the program) was started for the
/// profile as it is: the same servers, and the same files for its authority and its own
/// certificate. NetworkManager hands its plugin the settings that were in force when the VPN was
/// brought up, and tells no other program about them.
bool runs_openvpn_profile(const VpnProfile& profile, std::span<const std::string> arguments);

} // namespace failclosed
