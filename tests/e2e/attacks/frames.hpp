// SPDX-License-Identifier: GPL-3.0-or-later
// Makes, sends and catches raw frames, for attackers on the link.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

using Frame = std::vector<std::uint8_t>; ///< a whole frame, or a part of one
using Mac = std::array<std::uint8_t, 6>;

inline constexpr Mac broadcast_mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
/// Locally administered, of no device in the lab.
inline constexpr Mac stranger_mac = {0x02, 0, 0, 0, 0, 0x66};

/// The hardware address of a device. Throws LabError where there is none.
Mac mac_of(const Box& box, const std::string& device);
/// "fe80::..." as made from a hardware address (RFC 4291, appendix A).
std::string link_local(const Mac& mac);
/// The Ethernet group of an IPv6 multicast address (RFC 2464).
Mac group_mac(const std::string& address6);

Frame bytes_of(const std::string& text);
Frame address_bytes(const std::string& address); ///< 4 or 16
Frame joined(std::initializer_list<Frame> parts);

struct Ethernet {
    Mac from = stranger_mac;
    Mac to = broadcast_mac;
};

/// `type` as in IEEE 802 numbers: 0x0800, 0x0806, 0x86dd...
Frame ethernet(const Ethernet& addresses, std::uint16_t type, const Frame& body);
/// An IP packet in a frame; the type is that of its version.
Frame ethernet(const Ethernet& addresses, const Frame& packet);

struct Arp {
    std::uint16_t operation = 1; ///< 1: request, 2: reply
    Mac sender_mac = stranger_mac;
    std::string sender;
    Mac target_mac = {};
    std::string target;
};

/// The body of a frame of type 0x0806.
Frame arp(const Arp& arp);

/// What stands in an IP header of either version; addresses tell which.
struct Ip {
    std::string from;
    std::string to;
    std::uint8_t hops = 64;
    std::uint16_t id = 0x4242;
    std::uint16_t offset = 0; ///< of a fragment, in bytes, a multiple of 8
    bool more_fragments = false;
    Frame options = {}; ///< of IPv4 (RFC 791), a multiple of 4 bytes
};

/// A whole packet. IPv6 gets a fragment header where it is a fragment.
Frame packet(const Ip& ip, std::uint8_t protocol, const Frame& payload);

/// Whole packets with their checksums; of fragments, `payload` is all of the datagram.
Frame udp(const Ip& ip, std::uint16_t from_port, std::uint16_t to_port, const Frame& payload = {});

struct Tcp {
    std::uint16_t from_port = 0;
    std::uint16_t to_port = 0;
    std::uint8_t flags = 0x02; ///< FIN 1, SYN 2, RST 4, PSH 8, ACK 16
    std::uint32_t sequence = 1;
    std::uint32_t acknowledged = 0;
};

Frame tcp(const Ip& ip, const Tcp& tcp, const Frame& payload = {});

struct Icmp {
    std::uint8_t type = 0; ///< of ICMP or ICMPv6, by the packet's version
    std::uint8_t code = 0;
    std::uint32_t rest = 0; ///< the header's last four bytes, e.g. id and sequence, or an MTU
};

Frame icmp(const Ip& ip, const Icmp& icmp, const Frame& payload = {});

/// What a router says in an advertisement (RFC 4861, RFC 4191, RFC 8106); "": nothing of it.
struct Advertisement {
    std::string from = "fe80::1";
    std::uint16_t lifetime = 600; ///< of the default route, in seconds; its preference is high
    std::string on_link = {};     ///< a prefix of 64 bits
    std::string slaac = {};       ///< another, for addresses of one's own making
    std::string route = {};       ///< "PREFIX/LENGTH" that is reached by this router, preferred
    std::string resolver = {};
};

/// A whole packet to all nodes.
Frame router_advertisement(const Advertisement& advertisement);

/// Cuts a packet's payload into fragments of `size` bytes, a multiple of 8.
std::vector<Frame> fragments(const Ip& ip, std::uint8_t protocol, const Frame& payload,
                             std::size_t size);

/// A frame as seen on a wire.
struct Seen {
    Frame frame;
    bool outgoing = false; ///< sent by the box that listens

    std::uint16_t type() const; ///< 0 for one that is too short
    bool holds(std::span<const std::uint8_t> bytes) const;
};

/// A socket for whole frames on one device of a box: sends, and remembers what passes by.
class Wiretap {
  public:
    /// Listens from here on. Throws LabError where there is no such device.
    Wiretap(const Box& box, const std::string& device);
    Wiretap(const Wiretap&) = delete;
    Wiretap& operator=(const Wiretap&) = delete;
    ~Wiretap();

    void send(const Frame& frame) const;
    /// All frames since the last call of this or of wait_for().
    std::vector<Seen> seen();
    /// The first frame that fits, of those that were not asked for yet.
    std::optional<Seen> wait_for(const std::function<bool(const Seen&)>& fits,
                                 std::chrono::milliseconds timeout = patience);

  private:
    std::optional<Seen> next() const;

    int fd_ = -1;
};

/// Sends one frame by a device of a box (AF_PACKET).
void send_frame(const Box& box, const std::string& device, const Frame& frame);

} // namespace failclosed::lab
