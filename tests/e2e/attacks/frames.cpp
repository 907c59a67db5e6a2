// SPDX-License-Identifier: GPL-3.0-or-later
// Makes, sends and catches raw frames, for attackers on the link.
#include "tests/e2e/attacks/frames.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/traffic/frame.hpp"

namespace failclosed::lab {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t checksum_of_udp = 6;
constexpr std::size_t checksum_of_tcp = 16;
constexpr std::size_t checksum_of_icmp = 2;

void add(Frame& frame, Bytes bytes)
{
    frame.insert(frame.end(), bytes.begin(), bytes.end());
}

void add8(Frame& frame, std::uint32_t value)
{
    frame.push_back(static_cast<std::uint8_t>(value));
}

void add16(Frame& frame, std::uint32_t value)
{
    add8(frame, value >> 8);
    add8(frame, value);
}

void add32(Frame& frame, std::uint32_t value)
{
    add16(frame, value >> 16);
    add16(frame, value);
}

bool is_v6(const std::string& address)
{
    return address.find(':') != std::string::npos;
}

// RFC 1071.
std::uint16_t checksum(Bytes bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(~sum);
}

void put16(Frame& frame, std::size_t at, std::uint16_t value)
{
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
}

// Over the pseudo header (RFC 768, RFC 8200 section 8.1) and the segment, into the segment.
void seal(const Ip& ip, std::uint8_t protocol, Frame& segment, std::size_t at)
{
    Frame all = address_bytes(ip.from);
    add(all, address_bytes(ip.to));
    add32(all, static_cast<std::uint32_t>(segment.size()));
    add32(all, protocol);
    add(all, segment);
    put16(segment, at, checksum(all));
}

Frame fragment_header(const Ip& ip, std::uint8_t protocol)
{
    Frame header;
    add16(header, static_cast<std::uint32_t>(protocol) << 8);
    add16(header, ip.offset | (ip.more_fragments ? 1U : 0U));
    add32(header, ip.id);
    return header;
}

} // namespace

Mac mac_of(const Box& box, const std::string& device)
{
    return box.in([&] {
        ifreq request{};
        std::strncpy(request.ifr_name, device.c_str(), IFNAMSIZ - 1);
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const int result = ioctl(fd, SIOCGIFHWADDR, &request);
        const int error = errno;
        close(fd);
        if (result != 0) {
            throw LabError(box.name() + ": address of " + device + ": " + std::strerror(error));
        }
        Mac mac{};
        std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
        return mac;
    });
}

std::string link_local(const Mac& mac)
{
    const std::array<std::uint8_t, 16> bytes = {
        0xfe,   0x80,   0,
        0,      0,      0,
        0,      0,      static_cast<std::uint8_t>(mac[0] ^ 2U),
        mac[1], mac[2], 0xff,
        0xfe,   mac[3], mac[4],
        mac[5]};
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
    return text;
}

Mac group_mac(const std::string& address6)
{
    const Frame address = address_bytes(address6);
    return {0x33, 0x33, address.at(12), address.at(13), address.at(14), address.at(15)};
}

Frame bytes_of(const std::string& text)
{
    return {text.begin(), text.end()};
}

Frame address_bytes(const std::string& address)
{
    Frame bytes(is_v6(address) ? 16 : 4);
    if (inet_pton(is_v6(address) ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1) {
        throw LabError("not an address: " + address);
    }
    return bytes;
}

Frame joined(std::initializer_list<Frame> parts)
{
    Frame all;
    for (const Frame& part : parts) {
        add(all, part);
    }
    return all;
}

Frame ethernet(const Ethernet& addresses, std::uint16_t type, const Frame& body)
{
    Frame frame;
    add(frame, addresses.to);
    add(frame, addresses.from);
    add16(frame, type);
    add(frame, body);
    return frame;
}

Frame ethernet(const Ethernet& addresses, const Frame& packet)
{
    return ethernet(addresses, packet.at(0) >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP, packet);
}

Frame arp(const Arp& arp)
{
    Frame body;
    add16(body, 1); // Ethernet
    add16(body, ETHERTYPE_IP);
    add8(body, 6);
    add8(body, 4);
    add16(body, arp.operation);
    add(body, arp.sender_mac);
    add(body, address_bytes(arp.sender));
    add(body, arp.target_mac);
    add(body, address_bytes(arp.target));
    return body;
}

Frame packet(const Ip& ip, std::uint8_t protocol, const Frame& payload)
{
    const bool fragment = ip.more_fragments || ip.offset != 0;
    Frame whole;
    if (is_v6(ip.to)) {
        const Frame extension = fragment ? fragment_header(ip, protocol) : Frame{};
        add32(whole, 6U << 28);
        add16(whole, static_cast<std::uint32_t>(extension.size() + payload.size()));
        add8(whole, fragment ? static_cast<std::uint32_t>(IPPROTO_FRAGMENT) : protocol);
        add8(whole, ip.hops);
        add(whole, address_bytes(ip.from));
        add(whole, address_bytes(ip.to));
        add(whole, extension);
    } else {
        const std::size_t header = 20 + ip.options.size();
        add8(whole, static_cast<std::uint32_t>(0x40 + header / 4));
        add8(whole, 0);
        add16(whole, static_cast<std::uint32_t>(header + payload.size()));
        add16(whole, ip.id);
        add16(whole, ip.offset / 8U | (ip.more_fragments ? 0x2000U : 0U));
        add8(whole, ip.hops);
        add8(whole, protocol);
        add16(whole, 0);
        add(whole, address_bytes(ip.from));
        add(whole, address_bytes(ip.to));
        add(whole, ip.options);
        put16(whole, 10, checksum(whole));
    }
    add(whole, payload);
    return whole;
}

Frame udp(const Ip& ip, std::uint16_t from_port, std::uint16_t to_port, const Frame& payload)
{
    Frame segment;
    add16(segment, from_port);
    add16(segment, to_port);
    add16(segment, static_cast<std::uint32_t>(8 + payload.size()));
    add16(segment, 0);
    add(segment, payload);
    seal(ip, IPPROTO_UDP, segment, checksum_of_udp);
    return packet(ip, IPPROTO_UDP, segment);
}

Frame tcp(const Ip& ip, const Tcp& tcp, const Frame& payload)
{
    constexpr std::uint32_t window = 64'000;
    Frame segment;
    add16(segment, tcp.from_port);
    add16(segment, tcp.to_port);
    add32(segment, tcp.sequence);
    add32(segment, tcp.acknowledged);
    add8(segment, 5U << 4);
    add8(segment, tcp.flags);
    add16(segment, window);
    add32(segment, 0); // checksum, urgent
    add(segment, payload);
    seal(ip, IPPROTO_TCP, segment, checksum_of_tcp);
    return packet(ip, IPPROTO_TCP, segment);
}

Frame icmp(const Ip& ip, const Icmp& icmp, const Frame& payload)
{
    Frame message;
    add8(message, icmp.type);
    add8(message, icmp.code);
    add16(message, 0);
    add32(message, icmp.rest);
    add(message, payload);
    if (is_v6(ip.to)) {
        seal(ip, IPPROTO_ICMPV6, message, checksum_of_icmp);
        return packet(ip, IPPROTO_ICMPV6, message);
    }
    put16(message, checksum_of_icmp, checksum(message));
    return packet(ip, IPPROTO_ICMP, message);
}

Frame router_advertisement(const Advertisement& advertisement)
{
    constexpr std::uint32_t lifetime = 600;
    constexpr std::uint32_t high = 0x08; // preference, RFC 4191 section 2.1
    constexpr std::uint32_t hop_limit = 64U << 24;
    Frame body;
    add32(body, 0); // reachable time, retransmission time
    add32(body, 0);
    const auto add_prefix = [&](const std::string& prefix, std::uint32_t flags) {
        if (!prefix.empty()) {
            add32(body, 0x0304'4000 | flags); // type, length, 64 bits
            add32(body, lifetime);
            add32(body, lifetime);
            add32(body, 0);
            add(body, address_bytes(prefix));
        }
    };
    add_prefix(advertisement.on_link, 0x80);
    add_prefix(advertisement.slaac, 0x40);
    if (!advertisement.route.empty()) {
        const Prefix route = Prefix::parse(advertisement.route);
        add16(body, 0x1803);
        add8(body, static_cast<std::uint32_t>(route.bits));
        add8(body, high);
        add32(body, lifetime);
        add(body, route.address);
    }
    if (!advertisement.resolver.empty()) {
        add32(body, 0x1903'0000);
        add32(body, lifetime);
        add(body, address_bytes(advertisement.resolver));
    }
    return icmp({.from = advertisement.from, .to = "ff02::1", .hops = 255},
                {.type = 134, .rest = hop_limit | high << 16 | advertisement.lifetime}, body);
}

std::vector<Frame> fragments(const Ip& ip, std::uint8_t protocol, const Frame& payload,
                             std::size_t size)
{
    std::vector<Frame> result;
    for (std::size_t at = 0; at < payload.size(); at += size) {
        const std::size_t end = std::min(at + size, payload.size());
        Ip part = ip;
        part.offset = static_cast<std::uint16_t>(at);
        part.more_fragments = end < payload.size();
        result.push_back(packet(part, protocol,
                                {payload.begin() + static_cast<std::ptrdiff_t>(at),
                                 payload.begin() + static_cast<std::ptrdiff_t>(end)}));
    }
    return result;
}

std::uint16_t Seen::type() const
{
    return frame.size() < sizeof(ether_header)
               ? std::uint16_t{0}
               : static_cast<std::uint16_t>(frame[12] << 8 | frame[13]);
}

bool Seen::holds(Bytes bytes) const
{
    return !std::ranges::search(frame, bytes).empty();
}

Wiretap::Wiretap(const Box& box, const std::string& device)
{
    fd_ = box.in([&] {
        // Deaf until it is bound, so that no frame of another device comes in.
        const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        const int buffer = 16 << 20;
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
        if (fd < 0 || address.sll_ifindex == 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0 ||
            bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
            const int error = errno;
            close(fd);
            throw LabError(box.name() + ": listen on " + device + ": " + std::strerror(error));
        }
        return fd;
    });
}

Wiretap::~Wiretap()
{
    close(fd_);
}

void Wiretap::send(const Frame& frame) const
{
    if (::send(fd_, frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) {
        throw LabError(std::string("send a frame: ") + std::strerror(errno));
    }
}

std::optional<Seen> Wiretap::next() const
{
    std::array<std::uint8_t, 70'000> buffer;
    sockaddr_ll from{};
    socklen_t size = sizeof(from);
    const ssize_t got = recvfrom(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) {
        return std::nullopt;
    }
    return Seen{{buffer.begin(), buffer.begin() + got}, from.sll_pkttype == PACKET_OUTGOING};
}

std::vector<Seen> Wiretap::seen()
{
    std::vector<Seen> all;
    while (auto frame = next()) {
        all.push_back(std::move(*frame));
    }
    return all;
}

std::optional<Seen> Wiretap::wait_for(const std::function<bool(const Seen&)>& fits,
                                      std::chrono::milliseconds timeout)
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        while (auto frame = next()) {
            if (fits(*frame)) {
                return frame;
            }
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd wait{fd_, POLLIN, 0};
        if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) <= 0) {
            return std::nullopt;
        }
    }
}

void send_frame(const Box& box, const std::string& device, const Frame& frame)
{
    Wiretap(box, device).send(frame);
}

} // namespace failclosed::lab
