// SPDX-License-Identifier: GPL-3.0-or-later
// What the administrator can choose. The defaults are the product's own.
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
        List     ///< just `prefixes`
    };

    Kind kind = Kind::Deny;
    std::vector<IpPrefix> prefixes;

    friend bool operator==(const LanPolicy&, const LanPolicy&) = default;
};

/// How a tunnel program is told to reconnect.
enum class ReconnectSignal : std::uint8_t {
    Auto, ///< HUP, or USR1 to a program that HUP would end
    Hup,
    Usr1,
    None
};

/// A service of this machine that is reached from outside the tunnel.
struct InboundService {
    /// Tcp or Udp.
    Transport transport = Transport::Tcp;
    Port port;
    /// Who may reach it.
    IpPrefix from;

    friend auto operator<=>(const InboundService&, const InboundService&) = default;
};

/// Frames of this hardware address, packets of these addresses, or frames of this type leave
/// devices although they are no packets of this machine's.
using BeltAllowance = std::variant<MacAddress, IpPrefix, EtherType>;

/// failclosed.conf(5) as values.
struct Config {
    LanPolicy lan{LanPolicy::Kind::Private, {}};
    /// LLMNR, mDNS and NetBIOS name service to the local network.
    bool lan_names = false;
    /// Servers besides those of tunnels and OpenVPN configurations.
    std::vector<Remote> servers;
    /// Files whose remotes `lock` learns; shell patterns, absolute.
    std::vector<std::string> openvpn_configs = {"/etc/openvpn/*.conf", "/etc/openvpn/*.ovpn",
                                                "/etc/openvpn/client/*.conf",
                                                "/etc/openvpn/client/*.ovpn"};
    /// Resolvers to use in every tunnel in place of the pushed ones.
    std::vector<IpAddress> dns_servers;
    /// Whether servers without any usable address may be looked up outside the tunnel.
    bool bootstrap_dns = true;
    /// How long an address of a server's name stays admitted after it was last seen.
    Seconds server_expiry = std::chrono::days(30);
    ReconnectSignal reconnect_signal = ReconnectSignal::Auto;
    /// Devices with guests or a network behind this machine: led into the tunnel, and served.
    std::vector<InterfaceName> forward;
    std::vector<InboundService> inbound;
    /// Guests that share a device with this machine and whom the administrator trusts.
    std::vector<BeltAllowance> belt_allow;
    /// Whether refused packets are logged (rate-limited) by the kernel.
    bool log = true;

    friend bool operator==(const Config&, const Config&) = default;
};

/// What holds where the configuration cannot be read: nothing that an administrator could have
/// meant to forbid.
Config strictest_config();

} // namespace failclosed
