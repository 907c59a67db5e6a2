// SPDX-License-Identifier: GPL-3.0-or-later
// Packets of the interpreter as the bytes that a wire carries.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <linux/if_ether.h>
#include <netinet/in.h>

#include "core/plan/firewall/interpreter.hpp"

namespace failclosed::test {

using Bytes = std::vector<std::uint8_t>;

/// The type of service that tells packets of a test from those that the kernel makes (AF11).
inline constexpr std::uint8_t kSignature = 0x28;

inline void put16(Bytes& bytes, std::uint32_t value)
{
    bytes.push_back(static_cast<std::uint8_t>(value >> 8));
    bytes.push_back(static_cast<std::uint8_t>(value));
}

inline void put32(Bytes& bytes, std::uint32_t value)
{
    put16(bytes, value >> 16);
    put16(bytes, value);
}

inline void put(Bytes& bytes, std::span<const std::uint8_t> more)
{
    bytes.insert(bytes.end(), more.begin(), more.end());
}

inline void put(Bytes& bytes, const IpAddress& address)
{
    put(bytes, address.bytes());
}

/// RFC 1071.
inline std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : std::uint32_t{bytes[i]};
    }
    while ((sum >> 16) != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

inline void set16(Bytes& bytes, std::size_t offset, std::uint16_t value)
{
    bytes[offset] = static_cast<std::uint8_t>(value >> 8);
    bytes[offset + 1] = static_cast<std::uint8_t>(value);
}

/// A segment that begins a connection, a datagram, or a message with `about` in it, which an ICMP
/// error carries; the checksum is 0.
inline Bytes payload(const Packet& packet, std::span<const std::uint8_t> about)
{
    Bytes bytes;
    if (packet.source_port && packet.destination_port) {
        put16(bytes, packet.source_port->number());
        put16(bytes, packet.destination_port->number());
    }
    if (packet.protocol == IPPROTO_TCP) {
        put32(bytes, 1); // sequence
        put32(bytes, 0);
        put16(bytes, 0x5002); // five words of header, SYN
        put16(bytes, 64240);
        put32(bytes, 0); // checksum, no urgent data
        return bytes;
    }
    if (packet.protocol == IPPROTO_UDP) {
        put16(bytes, 12);
        put16(bytes, 0);
        put32(bytes, 0);
        return bytes;
    }
    const bool too_big =
        packet.protocol == IPPROTO_ICMP ? packet.icmp_type == 3 : packet.icmp_type == 2;
    bytes.push_back(packet.icmp_type);
    bytes.push_back(too_big && packet.protocol == IPPROTO_ICMP ? 4 : 0); // fragmentation needed
    put16(bytes, 0);
    put32(bytes, too_big ? 1400 : 1);
    put(bytes, about);
    if (about.empty()) {
        bytes.resize(bytes.size() + 32);
    }
    return bytes;
}

inline std::size_t checksum_offset(std::uint8_t protocol)
{
    return protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2;
}

/// Options of an IPv4 header: Router Alert (RFC 2113), or a loose source route (RFC 791), of which
/// a packet for this machine has passed the last station.
inline Bytes options(const Packet& packet)
{
    Bytes bytes;
    if (packet.options == IpOptions::RouterAlert) {
        put32(bytes, 0x94040000);
    } else if (packet.options == IpOptions::Other) {
        bytes = {131, 7, static_cast<std::uint8_t>(packet.output ? 4 : 8)};
        put32(bytes, 0xc6336414); // 198.51.100.20
        bytes.push_back(0);
    }
    return bytes;
}

/// A segment routing header of one segment (RFC 8754), which is still ahead.
inline Bytes routing_header(const Packet& packet)
{
    Bytes bytes;
    put32(bytes, std::uint32_t{packet.protocol} << 24 | 0x00020401U);
    put32(bytes, 0);
    put(bytes, IpAddress::parse("2001:db8:99::20").value());
    return bytes;
}

/// The packet from its IP header on. `about` is the packet that an ICMP error answers.
inline Bytes wire(const Packet& packet, std::span<const std::uint8_t> about = {})
{
    Bytes rest = payload(packet, about);
    const auto length = static_cast<std::uint32_t>(rest.size());
    Bytes sum;
    if (packet.protocol != IPPROTO_ICMP) { // a pseudo header, the same for both families
        put(sum, packet.source);
        put(sum, packet.destination);
        put32(sum, length);
        put32(sum, packet.protocol);
    }
    put(sum, rest);
    set16(rest, checksum_offset(packet.protocol), internet_checksum(sum));
    Bytes bytes;
    const Bytes extra = packet.routing_header ? routing_header(packet) : options(packet);
    const auto header = static_cast<std::uint32_t>(extra.size());
    if (packet.source.family() == Family::V4) {
        put16(bytes, 0x4500 | header / 4 << 8 | kSignature);
        put16(bytes, 20 + header + length);
        put32(bytes, 0x00010000);
        put16(bytes, std::uint32_t{packet.hop_limit} << 8 | packet.protocol);
        put16(bytes, 0);
    } else {
        put32(bytes, 0x60000000U | std::uint32_t{kSignature} << 20);
        const std::uint32_t next =
            packet.routing_header ? std::uint32_t{IPPROTO_ROUTING} : packet.protocol;
        put16(bytes, header + length);
        put16(bytes, next << 8 | packet.hop_limit);
    }
    put(bytes, packet.source);
    put(bytes, packet.destination);
    put(bytes, extra);
    if (packet.source.family() == Family::V4) {
        set16(bytes, 10, internet_checksum(bytes));
    }
    put(bytes, rest);
    return bytes;
}

/// The first fragment of a datagram that is never completed.
inline Bytes first_fragment(const Packet& packet)
{
    Bytes bytes = wire(packet);
    if (packet.source.family() == Family::V4) {
        bytes[6] = 0x20;  // more fragments
        bytes.resize(36); // of which each but the last has a multiple of 8 bytes
        set16(bytes, 2, static_cast<std::uint16_t>(bytes.size()));
        set16(bytes, 10, 0);
        set16(bytes, 10, internet_checksum(std::span(bytes).first(20)));
        return bytes;
    }
    bytes.resize(40);
    bytes[6] = IPPROTO_FRAGMENT;
    set16(bytes, 4, 24);
    put32(bytes, 0x11000001U); // UDP follows, offset 0, more fragments
    put32(bytes, 0x1234);
    bytes.resize(bytes.size() + 16);
    return bytes;
}

/// IPv6 with an unknown hop-by-hop option that requires an answer (RFC 8200, 4.2).
inline Bytes unknown_option(const Packet& packet)
{
    Bytes bytes = wire(packet);
    bytes.resize(40);
    bytes[6] = IPPROTO_HOPOPTS;
    set16(bytes, 4, 8);
    put32(bytes, 0x3b00be04U); // nothing follows; option 0xbe of 4 bytes
    put32(bytes, 0);
    return bytes;
}

/// A later fragment of the packet, with nothing but 0 in it (RFC 791, RFC 8200).
inline Bytes later_fragment_of(const Packet& packet)
{
    constexpr std::uint32_t kOffset = 1480; // a multiple of 8
    Bytes bytes = wire(packet);
    if (packet.source.family() == Family::V4) {
        bytes.resize(20 + 8);
        set16(bytes, 2, static_cast<std::uint16_t>(bytes.size()));
        set16(bytes, 6, kOffset / 8);
        set16(bytes, 10, 0);
        set16(bytes, 10, internet_checksum(std::span(bytes).first(20)));
        std::ranges::fill(std::span(bytes).subspan(20), std::uint8_t{0});
        return bytes;
    }
    bytes.resize(40);
    bytes[6] = IPPROTO_FRAGMENT;
    set16(bytes, 4, 8 + 8);
    put16(bytes, std::uint32_t{packet.protocol} << 8);
    put16(bytes, kOffset);
    put32(bytes, 0x1234);
    bytes.resize(bytes.size() + 8);
    return bytes;
}

/// The first fragment of a packet whose routing header stands in the next one.
inline Bytes fragment_with_headers_cut(const Packet& packet)
{
    Bytes bytes = wire(packet);
    bytes.resize(40);
    bytes[6] = IPPROTO_FRAGMENT;
    set16(bytes, 4, 8 + 8);
    put32(bytes, std::uint32_t{IPPROTO_DSTOPTS} << 24 | 1U); // more fragments
    put32(bytes, 0x1234);
    put32(bytes, std::uint32_t{IPPROTO_ROUTING} << 24 | 0x0104U); // padding
    put32(bytes, 0);
    return bytes;
}

/// A request for the target, from its Ethernet payload on (RFC 826).
inline Bytes arp_request(const ArpAddresses& addresses, std::span<const std::uint8_t> hardware)
{
    Bytes bytes;
    put32(bytes, 0x00010800); // Ethernet, IPv4
    put32(bytes, 0x06040001); // sizes of addresses, request
    put(bytes, hardware);
    put(bytes, addresses.source);
    bytes.resize(bytes.size() + 6);
    put(bytes, addresses.target);
    return bytes;
}

inline Bytes ethernet(std::span<const std::uint8_t> to, std::span<const std::uint8_t> from,
                      std::uint16_t type, std::span<const std::uint8_t> content)
{
    Bytes bytes(to.begin(), to.end());
    put(bytes, from);
    put16(bytes, type);
    put(bytes, content);
    return bytes;
}

/// What the frame that carries the packet says that it carries.
inline EtherType wire_type(const Packet& packet)
{
    if (packet.arp) {
        return {ETH_P_ARP};
    }
    const bool v4 = packet.source.family() == Family::V4;
    return packet.ether_type.value_or(
        EtherType{v4 ? std::uint16_t{ETH_P_IP} : std::uint16_t{ETH_P_IPV6}});
}

/// What it says where the kernel was told something else.
inline EtherType hidden_type(const Packet& packet)
{
    return {wire_type(packet).number == ETH_P_IP ? std::uint16_t{ETH_P_IPV6}
                                                 : std::uint16_t{ETH_P_IP}};
}

/// From the Ethernet payload on.
inline Bytes frame_content(const Packet& packet)
{
    if (packet.arp) {
        return arp_request(*packet.arp, packet.source_mac->bytes());
    }
    if (packet.ether_type) {
        return Bytes(46);
    }
    if (packet.headers_cut) {
        return fragment_with_headers_cut(packet);
    }
    return packet.later_fragment ? later_fragment_of(packet) : wire(packet);
}

} // namespace failclosed::test
