// SPDX-License-Identifier: GPL-3.0-or-later
// A whole private internet for one test: a client, its ISP, and everything behind it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/daemons/dns.hpp"
#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

// client eth0 ---- lan0 isp wan0 ---- eth0 internet (hosts and VPN servers)
//        eth1 ---- lan1                             vpnN: the inside of VPN server N
namespace addr {
inline constexpr char client4[] = "192.168.50.10";
inline constexpr char client6[] = "2001:db8:50::10";
inline constexpr char gateway4[] = "192.168.50.1"; ///< the ISP's router and resolver
inline constexpr char gateway6[] = "2001:db8:50::1";
inline constexpr char gateway_link[] = "fe80::1";
inline constexpr char other_gateway4[] = "192.168.50.2"; ///< the ISP's as well
/// The ISP's addresses in another network on the client's wire, for clients that roam.
inline constexpr char roaming_gateway4[] = "192.168.70.1";
inline constexpr char roaming_gateway6[] = "2001:db8:70::1";
inline constexpr char neighbour4[] = "192.168.50.9"; ///< another host on the client's wire
inline constexpr char second4[] = "192.168.60.10";   ///< the client's second uplink
inline constexpr char second6[] = "2001:db8:60::10";
inline constexpr char second_gateway4[] = "192.168.60.1";
inline constexpr char second_gateway6[] = "2001:db8:60::1";
inline constexpr char site4[] = "198.51.100.20"; ///< a host on the internet: the victim site
inline constexpr char site6[] = "2001:db8:99::20";
inline constexpr char resolver4[] = "198.51.100.53"; ///< a public resolver's address
inline constexpr char resolver6[] = "2001:db8:99::53";
inline constexpr char server4[] = "203.0.113.2"; ///< VPN server 1
inline constexpr char server6[] = "2001:db8:113::2";
inline constexpr char other_server4[] = "203.0.113.3"; ///< VPN server 2
inline constexpr char other_server6[] = "2001:db8:113::3";
inline constexpr char inside4[] = "10.8.0.1"; ///< resolver and host inside VPN 1
inline constexpr char inside6[] = "fd00:8::1";
} // namespace addr

/// vpn.example.net (both families), vpn4.example.net, vpn6.example.net: VPN server 1;
/// www.example.org: the victim site.
Names default_names();

class Lab {
  public:
    struct Options {
        bool link_up = true;          ///< false: the client has no device, and lo is down, at first
        bool static_addresses = true; ///< false: devices are up without addresses (for DHCP)
        bool second_uplink = false;   ///< eth1, its default routes at metric 200
        Names names = default_names();
        std::vector<std::string> dns_extra = {}; ///< dnsmasq arguments at the ISP
        std::string install_root = {};           ///< installed at once where it is not empty
    };

    Lab() : Lab(Options{}) {}

    /// Ready when it returns: links up, routes set, the ISP's resolver and the internet's echo
    /// service (TCP and UDP port 7) answer. Throws LabError.
    explicit Lab(Options options);

    const Box& client() const { return client_; }

    const Box& isp() const { return isp_; }

    const Box& internet() const { return internet_; }

    DnsServer& dns() { return *dns_; }

    /// Gives the client its devices and addresses, for a lab made with link_up = false. The ISP's
    /// ends are there from the start: a Sniffer made before this misses nothing.
    void link_up() const;
    /// Plugs in eth1 now, for a lab made without second_uplink.
    void second_uplink_up() const;
    /// Cuts a wire of the client's at the ISP's end (carrier lost) and mends it, with the ISP's
    /// addresses as they were, as a cable would: the client's own configuration is not touched.
    void cut_wire(const std::string& isp_end = "lan0") const;
    void mend_wire(const std::string& isp_end = "lan0") const;
    /// The resolver and DHCP server of the second uplink: both families, short renewals. It may
    /// start before or after second_uplink_up().
    DnsServer second_dns(std::vector<std::string> extra = second_wire_arguments()) const;
    static std::vector<std::string> second_wire_arguments();

    /// Copies a `meson install --destdir` tree into the client and makes the link
    /// /etc/openvpn/failclosed. Throws LabError where the tree has no /usr/sbin/failclosed.
    void install(const std::string& root) const;
    /// The tree to be tested, from the environment (FAILCLOSED_INSTALL_ROOT); throws where unset.
    static std::string install_root();

  private:
    Options options_;
    Box client_;
    Box isp_;
    Box internet_;
    std::optional<Process> echo_;
    std::optional<DnsServer> dns_;
};

} // namespace failclosed::lab
