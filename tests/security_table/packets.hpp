// SPDX-License-Identifier: GPL-3.0-or-later
// The words that the rows of docs/security.md are written in: states, packets and their senders.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>

#include "core/model/snapshot.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed::test {

// ---- The scenario of the document ----

inline constexpr const char* kOwn4 = "192.168.50.10";
inline constexpr const char* kOwn6 = "2001:db8:50::10";
inline constexpr const char* kOwnLinkLocal = "fe80::10";
inline constexpr const char* kRouterLinkLocal = "fe80::1";
inline constexpr const char* kTunnel4 = "10.8.0.2";
inline constexpr const char* kTunnel6 = "fd00:8::2";
inline constexpr const char* kServer4 = "203.0.113.2";
inline constexpr const char* kServer6 = "2001:db8:113::2";
inline constexpr const char* kMarkedServer = "203.0.113.3";
inline constexpr const char* kLanServer = "192.168.50.77";
inline constexpr const char* kWebServer = "203.0.113.4";
inline constexpr const char* kResolver = "192.168.50.1";
inline constexpr const char* kNeighbour = "192.168.50.20";
inline constexpr const char* kPublic4 = "198.51.100.20";
inline constexpr const char* kLeaseServer = "198.51.100.67";
inline constexpr const char* kPublic6 = "2001:db8:99::20";
inline constexpr const char* kGuest = "172.20.0.2";
/// A guest whose packets into the tunnel get the tunnel's address.
inline constexpr const char* kTranslatedGuest = "172.20.0.3";
inline constexpr const char* kGuest6 = "fd20::2";
/// A guest behind the second device that leads to guests.
inline constexpr const char* kOtherGuest = "172.21.0.2";
inline constexpr const char* kOwnMac = "02:00:00:00:00:10";
inline constexpr const char* kGuestMac = "02:00:00:00:00:88";
inline constexpr const char* kTrustedMac = "52:54:00:12:34:56";
inline constexpr std::uint32_t kServerMark = 0x51;
inline constexpr uid_t kUser = 1000;
/// Who signs in to the network: a user, and a program by its group.
inline constexpr uid_t kGuestOfTheHotel = 1001;
inline constexpr gid_t kSignInProgram = 4711;

/// What a state column says: "up, lan=deny".
struct Scenario {
    State state;
    Config config;
    Snapshot snapshot;
};

inline Scenario scenario(const std::string& column)
{
    Scenario scene;
    const auto says = [&](const char* part) { return column.find(part) != std::string::npos; };
    const auto server = [&](const char* remote, Identity identity) {
        scene.state.servers.push_back({Remote::parse(remote).value(), std::move(identity), {}});
    };
    server("203.0.113.2:1194/udp", {{0, 65534}, {}});
    server("[2001:db8:113::2]:1194/udp", {{0, 65534}, {}});
    server("203.0.113.3:51820/udp", {{0}, kServerMark});
    server("192.168.50.77:1194/udp", {{0}, {}});
    server("203.0.113.4:443/tcp", {{0}, {}});
    scene.state.underlay.leases = {{device("eth0"), address(kLeaseServer)}};
    if (says("up")) {
        Tunnel tunnel{.interface = device("tun0")};
        tunnel.addresses = {{address(kTunnel4), 24}, {address(kTunnel6), 64}};
        tunnel.networks = {prefix("10.99.0.0/16"), prefix("2001:db8:c0::/64")};
        tunnel.resolvers = {address("10.8.0.1")};
        if (says("overlap")) {
            tunnel.networks.push_back(prefix("172.20.128.0/17"));
        }
        scene.state.tunnels.push_back(std::move(tunnel));
    }
    if (says("lan=deny")) {
        scene.config.lan = {LanPolicy::Kind::Deny, {}};
    } else if (says("lan=on-link")) {
        scene.config.lan = {LanPolicy::Kind::OnLink, {}};
    } else if (says("lan=192.168.50.0/28")) {
        scene.config.lan = {LanPolicy::Kind::List, {prefix("192.168.50.0/28")}};
    }
    scene.config.lan_names = says("lan-names");
    if (says("inbound")) {
        const auto service = [&](Transport transport, std::uint16_t number, const char* from) {
            scene.config.inbound.push_back({transport, port(number), prefix(from)});
        };
        service(Transport::Tcp, 22, "198.51.100.0/24");
        service(Transport::Tcp, 22, "2001:db8:99::/64");
        service(Transport::Udp, 51820, "0.0.0.0/0");
        service(Transport::Udp, 51820, "::/0");
    }
    if (says("forward")) {
        scene.config.forward = {device("br0"), device("br1")};
    }
    if (says("belt-allow")) {
        scene.config.belt_allow = {MacAddress::parse(kTrustedMac).value(),
                                   prefix("192.168.50.66/32"), prefix("2001:db8:50::66/128"),
                                   EtherType{0x88e5}};
    }
    if (says("portal")) {
        scene.state.portal = Portal{kGuestOfTheHotel, {}, {address(kResolver)}, Seconds{60}};
        scene.state.inside = {{device("tun0"), {prefix("10.99.0.0/16")}}};
    }
    const auto link = [&](const char* name, bool loopback, std::vector<InterfaceAddress> own) {
        const auto index = static_cast<unsigned>(scene.snapshot.links.size() + 1);
        scene.snapshot.links.push_back(
            {device(name), index, true, loopback, false, std::move(own)});
    };
    link("lo", true, {{address("127.0.0.1"), 8}, {address("::1"), 128}});
    link("eth0", false,
         {{address(kOwn4), 24},
          {address("198.18.7.10"), 24},
          {address(kOwn6), 64},
          {address(kOwnLinkLocal), 64}});
    link("tun0", false, {{address(kTunnel4), 24}, {address(kTunnel6), 64}});
    link("br0", false, {{address("172.20.0.1"), 16}, {address("fd20::1"), 64}});
    link("br1", false, {{address("172.21.0.1"), 16}});
    link("eth1", false, {});
    link("port0", false, {});
    Link& port = scene.snapshot.links.back();
    port.is_guest_port = true;
    for (Link& bridge : scene.snapshot.links) {
        if (bridge.name == device("br0")) {
            bridge.is_bridge = true;
            port.bridge = bridge.index;
        }
    }
    return scene;
}

// ---- Packets ----

/// A packet that makes the flow exist, and what its flow is to the packet in question.
struct Opener {
    Path path = Path::Sent;
    Packet packet;
    TrackedFlow::State state = TrackedFlow::State::Established;
};

struct Sample {
    Packet packet;
    std::optional<Opener> opener;
    /// What address translation of others makes of the destination after prerouting, and of the
    /// source before our postrouting.
    std::optional<IpAddress> restored_destination;
    std::optional<IpAddress> translated_source;
};

struct Row {
    std::string id;
    std::string state;
    std::string verdict;
    std::string rule;
    Path path = Path::Sent;
    std::vector<Sample> samples;
    /// What is in force for seconds or minutes: the refresh helper's question to kResolver, and
    /// sign-ins through it.
    bool bootstrap = false;
    bool portal = false;
};

inline Packet with_ports(Packet packet, std::uint8_t protocol, std::uint16_t from, std::uint16_t to)
{
    packet.protocol = protocol;
    packet.source_port = port(from);
    packet.destination_port = port(to);
    return packet;
}

inline Packet between(std::string_view from, std::string_view to)
{
    Packet packet;
    packet.source = address(from);
    packet.destination = address(to);
    return packet;
}

/// A source port that no other packet of the rows has: each is a flow of its own.
inline std::uint16_t fresh_port()
{
    static std::uint16_t last = 20000;
    return ++last;
}

inline Packet udp(std::string_view from, std::string_view to, std::uint16_t to_port,
                  std::uint16_t from_port = fresh_port())
{
    return with_ports(between(from, to), IPPROTO_UDP, from_port, to_port);
}

inline Packet tcp(std::string_view from, std::string_view to, std::uint16_t to_port)
{
    return with_ports(between(from, to), IPPROTO_TCP, fresh_port(), to_port);
}

/// ICMP or ICMPv6, by the family of the addresses.
inline Packet icmp(std::string_view from, std::string_view to, std::uint8_t type,
                   std::uint8_t hop_limit = 64)
{
    Packet packet = between(from, to);
    packet.protocol = packet.source.family() == Family::V4 ? std::uint8_t{IPPROTO_ICMP}
                                                           : std::uint8_t{IPPROTO_ICMPV6};
    packet.icmp_type = type;
    packet.hop_limit = hop_limit;
    return packet;
}

inline Packet ping(std::string_view from, std::string_view to)
{
    return icmp(from, to, address(to).family() == Family::V4 ? 8 : 128);
}

inline std::vector<Packet> anything(std::string_view from, std::string_view to)
{
    return {udp(from, to, 9999), tcp(from, to, 443), ping(from, to)};
}

inline Packet arp(std::string_view source, std::string_view target)
{
    Packet packet;
    packet.arp = ArpAddresses{address(source), address(target)};
    return packet;
}

inline Packet by(uid_t uid, Packet packet, std::uint32_t mark = 0)
{
    packet.uid = uid;
    packet.mark = mark;
    return packet;
}

inline Packet marked(std::uint32_t mark, Packet packet)
{
    packet.mark = mark;
    return packet;
}

inline Packet of_group(gid_t gid, Packet packet)
{
    packet.gid = gid;
    return packet;
}

inline Packet later_fragment(Packet packet)
{
    packet.later_fragment = true;
    return packet;
}

/// Another program's chain of type route leads it to that device, after the output hook.
inline Packet rerouted(const char* name, Packet packet)
{
    packet.rerouted = device(name);
    return packet;
}

inline Packet with_options(Packet packet, IpOptions options = IpOptions::Other)
{
    packet.options = options;
    return packet;
}

inline Packet with_routing_header(Packet packet)
{
    packet.routing_header = true;
    return packet;
}

/// The way that the sender chooses, in either family.
inline Packet with_stations(const Packet& packet)
{
    return packet.source.family() == Family::V4 ? with_options(packet)
                                                : with_routing_header(packet);
}

inline std::vector<Packet> with_stations(std::vector<Packet> packets)
{
    std::ranges::transform(packets, packets.begin(),
                           [](const Packet& packet) { return with_stations(packet); });
    return packets;
}

inline Packet with_headers_cut(Packet packet)
{
    packet.headers_cut = true;
    return packet;
}

/// The frame's own header says another type.
inline Packet mislabelled(Packet packet)
{
    packet.mislabelled = true;
    return packet;
}

/// A frame that is neither IP nor ARP.
inline Packet frame(std::uint16_t type)
{
    Packet packet;
    packet.ether_type = EtherType{type};
    return packet;
}

inline Packet to_mac(const char* mac, Packet packet)
{
    packet.destination_mac = MacAddress::parse(mac);
    return packet;
}

inline Packet from_mac(const char* mac, Packet packet)
{
    packet.source_mac = MacAddress::parse(mac);
    return packet;
}

inline Packet out_of(const char* name, Packet packet)
{
    packet.output = device(name);
    return packet;
}

inline Packet into(const char* name, Packet packet)
{
    packet.input = device(name);
    return packet;
}

/// What comes back when `packet` is answered.
inline Packet answer(const Packet& packet)
{
    Packet back;
    back.input = packet.output;
    back.output = packet.input;
    back.source = packet.destination;
    back.destination = packet.source;
    back.protocol = packet.protocol;
    back.source_port = packet.destination_port;
    back.destination_port = packet.source_port;
    return back;
}

// ---- Rows ----

struct Decided {
    const char* id;
    const char* state;
    const char* verdict;
    const char* rule;
};

inline Row row_of(const Decided& decided, Path path, std::vector<Sample> samples)
{
    return {decided.id, decided.state, decided.verdict, decided.rule, path, std::move(samples)};
}

/// By kUser, where no packet says otherwise.
inline Row sent(const Decided& decided, const char* output, const std::vector<Packet>& packets)
{
    std::vector<Sample> samples;
    for (const Packet& packet : packets) {
        samples.push_back({out_of(output, packet), {}, {}, {}});
        samples.back().packet.uid = packet.uid.value_or(kUser);
    }
    return row_of(decided, Path::Sent, std::move(samples));
}

inline Row received(const Decided& decided, const char* input, const std::vector<Packet>& packets)
{
    std::vector<Sample> samples;
    for (const Packet& packet : packets) {
        samples.push_back({into(input, packet), {}, {}, {}});
    }
    return row_of(decided, Path::Received, std::move(samples));
}

/// `packets` come in on eth0, in or about the flow that `opener`, sent there, began.
inline Row received_after(const Decided& decided, const Packet& opener, TrackedFlow::State state,
                          const std::vector<Packet>& packets)
{
    Row row = received(decided, "eth0", packets);
    for (Sample& sample : row.samples) {
        sample.opener = Opener{Path::Sent, opener, state};
    }
    return row;
}

inline Row forwarded(const Decided& decided, const char* input, const char* output,
                     const std::vector<Packet>& packets)
{
    std::vector<Sample> samples;
    for (const Packet& packet : packets) {
        samples.push_back({into(input, out_of(output, packet)), {}, {}, {}});
    }
    return row_of(decided, Path::Forwarded, std::move(samples));
}

/// Frames that a packet socket of the packet's user, or a macvlan guest if the packet has no user,
/// puts onto the wire.
inline Row framed(const Decided& decided, const char* output, const std::vector<Packet>& packets)
{
    std::vector<Sample> samples;
    for (const Packet& packet : packets) {
        samples.push_back({out_of(output, packet), {}, {}, {}});
        Packet& framed = samples.back().packet;
        framed.source_mac =
            framed.source_mac.value_or(MacAddress::parse(framed.uid ? kOwnMac : kGuestMac).value());
        framed.destination_mac =
            framed.destination_mac.value_or(MacAddress::parse("02:00:00:00:00:99").value());
    }
    return row_of(decided, Path::Frame, std::move(samples));
}

inline Row while_admitted(Row row)
{
    row.bootstrap = true;
    return row;
}

inline Row while_signing_in(Row row)
{
    row.portal = true;
    return row;
}

inline void append(std::vector<Row>& rows, std::vector<Row> more)
{
    rows.insert(rows.end(), more.begin(), more.end());
}

inline std::vector<Packet> operator+(std::vector<Packet> packets, const std::vector<Packet>& more)
{
    packets.insert(packets.end(), more.begin(), more.end());
    return packets;
}

} // namespace failclosed::test
