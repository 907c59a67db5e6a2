// SPDX-License-Identifier: GPL-3.0-or-later
// Judges one Ethernet frame that left the client: may the ISP see it, or has something leaked?
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/support/refused_services.hpp"

namespace failclosed::lab {

/// An address family and up to 128 bits of prefix.
struct Prefix {
    int family = 0; ///< AF_INET or AF_INET6
    std::array<std::uint8_t, 16> address{};
    int bits = 0;

    /// "10.0.0.0/8", "fe80::/10", or an address alone. Throws LabError on anything else.
    static Prefix parse(const std::string& text);
    bool contains(int other_family, std::span<const std::uint8_t> other) const;
};

/// A VPN server as the client may reach it from outside the tunnel.
struct Endpoint {
    std::string address;
    std::string protocol = "udp"; ///< "udp" or "tcp"
    std::uint16_t port = 1194;
};

struct Policy {
    std::vector<Endpoint> servers = {{"203.0.113.2", "udp", 1194},
                                     {"2001:db8:113::2", "udp", 1194}};
    /// What the client's own addresses on the wire and its neighbours' come from. A frame with any
    /// other source has leaked (the tunnel's address, say); so has ARP or ND for another target.
    std::vector<std::string> link = {"192.168.50.0/24",  "2001:db8:50::/64", "192.168.60.0/24",
                                     "2001:db8:60::/64", "192.168.70.0/24",  "2001:db8:70::/64",
                                     "fe80::/10"};
    /// Destinations that count as `lan`, as failclosed's lan=private does.
    std::vector<std::string> lan = {
        "10.0.0.0/8",  "172.16.0.0/12",      "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/24",
        "239.0.0.0/8", "255.255.255.255/32", "fc00::/7",       "fe80::/10",      "ff01::/16",
        "ff02::/16",   "ff03::/16",          "ff04::/16",      "ff05::/16"};
    std::vector<std::string> never_lan = {}; ///< taken out of `lan` again, e.g. "10.8.0.0/24"
    /// These have leaked towards the LAN too.
    std::set<std::uint16_t> refused_lan_ports = oracle::refused_port_numbers();
};

enum class Verdict { Allowed, Lan, Leaked };

struct Judgement {
    Verdict verdict = Verdict::Leaked;
    int tag = -1; ///< which kind of traffic the frame carries, by its tag; -1: no tag of the tests
    std::string reason; ///< one line: what it is; only for leaked frames
};

/// Judges frames in the order in which they came (fragments follow their first one's verdict).
class Judge {
  public:
    explicit Judge(const Policy& policy);
    /// `frame` begins with the Ethernet header. Anything that cannot be read has leaked.
    Judgement judge(std::span<const std::uint8_t> frame);

  private:
    struct Packet;

    struct Server {
        Prefix address;
        std::uint8_t protocol;
        std::uint16_t port;
    };

    struct Fragmented {
        std::array<std::uint8_t, 16> to;
        std::uint32_t id;
        bool operator==(const Fragmented&) const = default;
    };

    Judgement judge_arp(std::span<const std::uint8_t> body) const;
    Judgement judge_packet(Packet packet, int tag);
    bool to_server(const Packet& packet);
    bool is_housekeeping(const Packet& packet) const;
    bool to_lan(const Packet& packet) const;

    std::vector<Server> servers_;
    std::vector<Prefix> link_;
    std::vector<Prefix> lan_;
    std::vector<Prefix> never_lan_;
    std::set<std::uint16_t> refused_lan_ports_;
    std::deque<Fragmented> fragmented_; ///< packets to a server whose later fragments may pass
};

} // namespace failclosed::lab
