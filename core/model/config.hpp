// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration, with its defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/endpoint.hpp"

namespace failclosed {

/// Which destinations count as the local network.
struct LanPolicy {
    enum class Kind : std::uint8_t {
        Deny,    ///< none
        OnLink,  ///< private prefixes that are directly connected
        Private, ///< every private, link-local and local multicast destination
        List     ///< those in `prefixes`
    };

    Kind kind = Kind::Deny;
    std::vector<IpPrefix> prefixes;

    friend bool operator==(const LanPolicy&, const LanPolicy&) = default;
};

/// The signal that tells a tunnel program to reconnect.
enum class ReconnectSignal : std::uint8_t {
    Auto, ///< HUP, or USR1 to a program that would exit on HUP
    Hup,
    Usr1,
    None
};

/// A service of this machine that is reached from outside the tunnel.
struct InboundService {
    /// Tcp or Udp.
    Transport transport = Transport::Tcp;
    Port port;
    /// Source addresses that may reach it.
    IpPrefix from;

    friend auto operator<=>(const InboundService&, const InboundService&) = default;
};

/// Frames that the belt lets out although they are not this machine's: those of a hardware address,
/// packets of a prefix, or frames of a type.
using BeltAllowance = std::variant<MacAddress, IpPrefix, EtherType>;

/// The settings of failclosed.conf(5).
struct Config {
    LanPolicy lan{LanPolicy::Kind::Private, {}};
    /// LLMNR, mDNS and NetBIOS name service to the local network.
    bool lan_names = false;
    /// Servers in addition to those of tunnels and OpenVPN configurations.
    std::vector<Remote> servers;
    /// OpenVPN configurations whose remotes `lock` learns: absolute shell patterns.
    std::vector<std::string> openvpn_configs = {"/etc/openvpn/*.conf", "/etc/openvpn/*.ovpn",
                                                "/etc/openvpn/client/*.conf",
                                                "/etc/openvpn/client/*.ovpn"};
    /// Resolvers to use in every tunnel instead of the pushed ones.
    std::vector<IpAddress> dns_servers;
    /// Whether names of servers without a usable address may be looked up outside the tunnel.
    bool bootstrap_dns = true;
    /// How long an address of a server's name stays admitted after a resolver last gave it.
    Seconds server_expiry = std::chrono::days(30);
    ReconnectSignal reconnect_signal = ReconnectSignal::Auto;
    /// Devices of guests or of a network behind this machine. Their packets are forwarded into the
    /// tunnel.
    std::vector<InterfaceName> forward;
    std::vector<InboundService> inbound;
    /// Trusted guests that share a device with this machine.
    std::vector<BeltAllowance> belt_allow;
    /// Whether the kernel logs refused packets (rate-limited).
    bool log = true;

    friend bool operator==(const Config&, const Config&) = default;
};

/// The configuration to use if the file cannot be read: admits nothing that the file could forbid.
Config strictest_config();

} // namespace failclosed
