// SPDX-License-Identifier: GPL-3.0-or-later
// Judges one Ethernet frame that left the client: may the ISP see it, or has something leaked?
#include "tests/support/traffic/frame.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include "tests/support/lab/process.hpp"
#include "tests/support/traffic/tag.hpp"

namespace failclosed::lab {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint16_t ethertype_eapol = 0x888e;

// Callers have checked the size.
std::uint16_t u16(Bytes bytes, std::size_t at)
{
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::uint32_t u32(Bytes bytes, std::size_t at)
{
    return static_cast<std::uint32_t>(u16(bytes, at)) << 16 | u16(bytes, at + 2);
}

std::string address_text(int family, Bytes address)
{
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(family, address.data(), text, sizeof(text));
    return text;
}

std::vector<Prefix> parse_all(const std::vector<std::string>& texts)
{
    std::vector<Prefix> result;
    for (const auto& text : texts) {
        result.push_back(Prefix::parse(text));
    }
    return result;
}

bool any_contains(const std::vector<Prefix>& prefixes, int family, Bytes address)
{
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const Prefix& prefix) { return prefix.contains(family, address); });
}

bool all_zero(Bytes address)
{
    return std::all_of(address.begin(), address.end(), [](std::uint8_t byte) { return byte == 0; });
}

} // namespace

Prefix Prefix::parse(const std::string& text)
{
    Prefix prefix;
    const auto slash = text.find('/');
    const std::string address = text.substr(0, slash);
    prefix.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
    if (inet_pton(prefix.family, address.c_str(), prefix.address.data()) != 1) {
        throw LabError("not an address or prefix: " + text);
    }
    const int longest = prefix.family == AF_INET ? 32 : 128;
    prefix.bits = slash == std::string::npos ? longest : std::atoi(text.c_str() + slash + 1);
    if (prefix.bits < 0 || prefix.bits > longest) {
        throw LabError("not a prefix length: " + text);
    }
    return prefix;
}

bool Prefix::contains(int other_family, Bytes other) const
{
    const auto whole = static_cast<std::size_t>(bits / 8);
    if (family != other_family || std::memcmp(address.data(), other.data(), whole) != 0) {
        return false;
    }
    const int rest = bits % 8;
    return rest == 0 || ((address[whole] ^ other[whole]) >> (8 - rest)) == 0;
}

// An IP packet, cut up. All spans lie in the frame.
struct Judge::Packet {
    int family = AF_INET;
    Bytes from;
    Bytes to;
    std::uint8_t protocol = 0;
    std::uint8_t hops = 0;
    bool more_fragments = false;
    bool later_fragment = false;
    std::uint32_t fragment_id = 0;
    Bytes payload; // begins with the header of `protocol`, unless it is a later fragment

    static std::optional<Packet> parse4(Bytes bytes);
    static std::optional<Packet> parse6(Bytes bytes);

    bool has_ports() const
    {
        return !later_fragment && (protocol == IPPROTO_UDP || protocol == IPPROTO_TCP) &&
               payload.size() >= 4;
    }

    std::uint16_t from_port() const { return has_ports() ? u16(payload, 0) : 0; }

    std::uint16_t to_port() const { return has_ports() ? u16(payload, 2) : 0; }

    std::string text() const;
};

std::optional<Judge::Packet> Judge::Packet::parse4(Bytes bytes)
{
    if (bytes.size() < 20 || bytes[0] >> 4 != 4) {
        return std::nullopt;
    }
    const std::size_t header = static_cast<std::size_t>(bytes[0] & 15) * 4;
    // Frames are padded to 60 bytes; segments larger than 64 KiB carry the length 0.
    const std::size_t said = u16(bytes, 2);
    const std::size_t total = said == 0 ? bytes.size() : said;
    if (header < 20 || total < header || total > bytes.size()) {
        return std::nullopt;
    }
    Packet packet;
    packet.from = bytes.subspan(12, 4);
    packet.to = bytes.subspan(16, 4);
    packet.protocol = bytes[9];
    packet.hops = bytes[8];
    packet.more_fragments = (u16(bytes, 6) & 0x2000) != 0;
    packet.later_fragment = (u16(bytes, 6) & 0x1fff) != 0;
    packet.fragment_id = u16(bytes, 4);
    packet.payload = bytes.subspan(header, total - header);
    return packet;
}

std::optional<Judge::Packet> Judge::Packet::parse6(Bytes bytes)
{
    if (bytes.size() < 40 || bytes[0] >> 4 != 6) {
        return std::nullopt;
    }
    Packet packet;
    packet.family = AF_INET6;
    packet.from = bytes.subspan(8, 16);
    packet.to = bytes.subspan(24, 16);
    packet.protocol = bytes[6];
    packet.hops = bytes[7];
    packet.payload = bytes.subspan(40);
    while (!packet.later_fragment) {
        const std::uint8_t kind = packet.protocol;
        const bool options =
            kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_DSTOPTS;
        if (!options && kind != IPPROTO_FRAGMENT) {
            break;
        }
        if (packet.payload.size() < 8) {
            return std::nullopt;
        }
        const std::size_t size =
            kind == IPPROTO_FRAGMENT ? 8 : (static_cast<std::size_t>(packet.payload[1]) + 1) * 8;
        if (packet.payload.size() < size) {
            return std::nullopt;
        }
        if (kind == IPPROTO_FRAGMENT) {
            packet.later_fragment = (u16(packet.payload, 2) & 0xfff8) != 0;
            packet.more_fragments = (packet.payload[3] & 1) != 0;
            packet.fragment_id = u32(packet.payload, 4);
        }
        packet.protocol = packet.payload[0];
        packet.payload = packet.payload.subspan(size);
    }
    return packet;
}

std::string Judge::Packet::text() const
{
    const auto end = [this](Bytes address, std::uint16_t port) {
        return address_text(family, address) + (has_ports() ? " port " + std::to_string(port) : "");
    };
    std::string name = "protocol " + std::to_string(protocol);
    if (protocol == IPPROTO_UDP || protocol == IPPROTO_TCP) {
        name = protocol == IPPROTO_UDP ? "udp" : "tcp";
    } else if ((protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) && !payload.empty()) {
        name = "icmp type " + std::to_string(payload[0]);
    }
    return name + (later_fragment ? " later fragment" : "") + " " + end(from, from_port()) + " > " +
           end(to, to_port()) + ", " + std::to_string(payload.size()) + " bytes";
}

Judge::Judge(const Policy& policy)
    : link_(parse_all(policy.link)), lan_(parse_all(policy.lan)),
      never_lan_(parse_all(policy.never_lan)), refused_lan_ports_(policy.refused_lan_ports)
{
    for (const auto& server : policy.servers) {
        const bool tcp = server.protocol == "tcp";
        servers_.push_back({Prefix::parse(server.address),
                            static_cast<std::uint8_t>(tcp ? IPPROTO_TCP : IPPROTO_UDP),
                            server.port});
    }
}

Judgement Judge::judge(Bytes frame)
{
    if (frame.size() < sizeof(ether_header)) {
        return {Verdict::Leaked, -1, "a frame of " + std::to_string(frame.size()) + " bytes"};
    }
    const Bytes body = frame.subspan(sizeof(ether_header));
    const int tag = find_tag(body);
    std::optional<Packet> packet;
    switch (const std::uint16_t type = u16(frame, 12)) {
    case ethertype_eapol:
        return {tag < 0 ? Verdict::Allowed : Verdict::Leaked, tag, "EAPOL"};
    case ETHERTYPE_ARP:
        return judge_arp(body);
    case ETHERTYPE_IP:
        packet = Packet::parse4(body);
        break;
    case ETHERTYPE_IPV6:
        packet = Packet::parse6(body);
        break;
    default:
        return {Verdict::Leaked, tag, "ethertype " + std::to_string(type)};
    }
    if (!packet) {
        return {Verdict::Leaked, tag, "a damaged IP packet"};
    }
    return judge_packet(*packet, tag);
}

Judgement Judge::judge_arp(Bytes body) const
{
    if (body.size() < 28) {
        return {Verdict::Leaked, -1, "a damaged ARP packet"};
    }
    const Bytes sender = body.subspan(14, 4);
    const Bytes target = body.subspan(24, 4);
    const bool own = all_zero(sender) || any_contains(link_, AF_INET, sender);
    if (own && any_contains(link_, AF_INET, target)) {
        return {Verdict::Allowed, -1, {}};
    }
    return {Verdict::Leaked, -1,
            "arp " + std::to_string(u16(body, 6)) + " for " + address_text(AF_INET, target) +
                " from " + address_text(AF_INET, sender)};
}

Judgement Judge::judge_packet(Packet packet, int tag)
{
    if (packet.protocol == IPPROTO_TCP && tag < 0 && packet.from_port() >= first_tag_port &&
        packet.from_port() < first_tag_port + tag_limit) {
        tag = packet.from_port() - first_tag_port;
    }
    const bool own = any_contains(link_, packet.family, packet.from);
    if (tag < 0 && ((own && to_server(packet)) || is_housekeeping(packet))) {
        return {Verdict::Allowed, -1, {}};
    }
    // Group reports come from the unspecified address.
    if ((own || all_zero(packet.from)) && to_lan(packet)) {
        return {Verdict::Lan, tag, {}};
    }
    return {Verdict::Leaked, tag, packet.text()};
}

bool Judge::to_server(const Packet& packet)
{
    Fragmented whole{{}, packet.fragment_id};
    std::copy(packet.to.begin(), packet.to.end(), whole.to.begin());
    if (packet.later_fragment) {
        return std::find(fragmented_.begin(), fragmented_.end(), whole) != fragmented_.end();
    }
    const bool found = std::any_of(servers_.begin(), servers_.end(), [&](const Server& server) {
        return packet.protocol == server.protocol && packet.to_port() == server.port &&
               server.address.contains(packet.family, packet.to);
    });
    if (found && packet.more_fragments) {
        constexpr std::size_t remembered = 64;
        fragmented_.push_back(whole);
        if (fragmented_.size() > remembered) {
            fragmented_.pop_front();
        }
    }
    return found;
}

// DHCP, neighbour discovery and group reports: what a host must say to be on the wire at all.
bool Judge::is_housekeeping(const Packet& packet) const
{
    const bool own = all_zero(packet.from) || any_contains(link_, packet.family, packet.from);
    if (!own || packet.later_fragment || packet.more_fragments) {
        return false;
    }
    const bool multicast = packet.family == AF_INET6 && packet.to[0] == 0xff;
    const bool near = multicast || any_contains(link_, packet.family, packet.to);
    if (packet.protocol == IPPROTO_UDP && packet.family == AF_INET) {
        const bool broadcast = u32(packet.to, 0) == INADDR_BROADCAST;
        return packet.from_port() == 68 && packet.to_port() == 67 && (broadcast || near);
    }
    if (packet.protocol == IPPROTO_UDP) {
        return packet.from_port() == 546 && packet.to_port() == 547 && near;
    }
    if (packet.protocol != IPPROTO_ICMPV6 || packet.family != AF_INET6 || !near ||
        packet.payload.size() < 8) {
        return false;
    }
    switch (packet.payload[0]) {
    case ND_ROUTER_SOLICIT:
        return packet.hops == 255;
    case ND_NEIGHBOR_SOLICIT:
    case ND_NEIGHBOR_ADVERT:
        return packet.hops == 255 && packet.payload.size() >= 24 &&
               any_contains(link_, AF_INET6, packet.payload.subspan(8, 16));
    case MLD_LISTENER_REPORT:
    case MLD_LISTENER_REDUCTION:
    case 143: // MLDv2 report, RFC 3810
        return packet.hops == 1 && multicast;
    default:
        return false;
    }
}

bool Judge::to_lan(const Packet& packet) const
{
    // A broadcast query for a remote address shows that address to the ISP.
    const bool discovery = packet.family == AF_INET6 && packet.protocol == IPPROTO_ICMPV6 &&
                           !packet.payload.empty() && packet.payload[0] >= ND_ROUTER_SOLICIT &&
                           packet.payload[0] <= ND_REDIRECT;
    return !discovery && any_contains(lan_, packet.family, packet.to) &&
           !any_contains(never_lan_, packet.family, packet.to) &&
           !(packet.has_ports() && refused_lan_ports_.contains(packet.to_port()));
}

} // namespace failclosed::lab
