// SPDX-License-Identifier: GPL-3.0-or-later
// The rows of docs/security.md as states and packets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>

#include "core/model/snapshot.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/interpreter.hpp"
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
inline constexpr const char* kResolver = "192.168.50.1";
inline constexpr const char* kNeighbour = "192.168.50.20";
inline constexpr const char* kPublic4 = "198.51.100.20";
inline constexpr const char* kLeaseServer = "198.51.100.67";
inline constexpr const char* kPublic6 = "2001:db8:99::20";
inline constexpr const char* kGuest = "172.20.0.2";
/// A guest whose packets into the tunnel get the tunnel's address.
inline constexpr const char* kTranslatedGuest = "172.20.0.3";
inline constexpr std::uint32_t kServerMark = 0x51;
inline constexpr uid_t kSomebody = 1000;

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
    scene.state.underlay.leases = {{device("eth0"), address(kLeaseServer)}};
    if (says("up")) {
        Tunnel tunnel{.interface = device("tun0")};
        tunnel.addresses = {{address(kTunnel4), 24}, {address(kTunnel6), 64}};
        tunnel.networks = {prefix("10.99.0.0/16"), prefix("2001:db8:c0::/64")};
        tunnel.resolvers = {address("10.8.0.1")};
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
    const auto link = [&](const char* name, bool loopback, std::vector<InterfaceAddress> own) {
        const auto index = static_cast<unsigned>(scene.snapshot.links.size() + 1);
        scene.snapshot.links.push_back(
            {device(name), index, true, loopback, false, std::move(own)});
    };
    link("lo", true, {{address("127.0.0.1"), 8}, {address("::1"), 128}});
    link("eth0", false, {{address(kOwn4), 24}, {address(kOwn6), 64}, {address(kOwnLinkLocal), 64}});
    link("tun0", false, {{address(kTunnel4), 24}, {address(kTunnel6), 64}});
    link("br0", false, {{address("172.20.0.1"), 16}, {address("fd20::1"), 64}});
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
    /// The refresh helper's question to kResolver is admitted.
    bool bootstrap = false;
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

/// By kSomebody, where no packet says otherwise.
inline Row sent(const Decided& decided, const char* output, const std::vector<Packet>& packets)
{
    std::vector<Sample> samples;
    for (const Packet& packet : packets) {
        samples.push_back({out_of(output, packet), {}, {}, {}});
        samples.back().packet.uid = packet.uid.value_or(kSomebody);
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

inline Row while_admitted(Row row)
{
    row.bootstrap = true;
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

inline std::vector<Row> device_rows()
{
    const char* const own = "from the tunnel's own address";
    const char* const foreign = "into a tunnel from another address";
    return {
        sent({"out-loopback", "closed", "accept", "by device"}, "lo",
             anything("127.0.0.1", "127.0.0.1") + anything("::1", "::1")),
        sent({"out-loopback-dns", "closed", "accept", "by device"}, "lo",
             {udp("127.0.0.1", "127.0.0.53", 53)}),
        sent({"out-tunnel", "up", "accept", own}, "tun0",
             anything(kTunnel4, kPublic4) + anything(kTunnel6, kPublic6)),
        sent({"out-tunnel-dns", "up", "accept", own}, "tun0", {udp(kTunnel4, "10.8.0.1", 53)}),
        sent({"out-tunnel-foreign", "up", "drop", foreign}, "tun0", anything(kOwn4, kPublic4)),
        sent({"out-tunnel-foreign6", "up", "drop", foreign}, "tun0", anything(kOwn6, kPublic6)),
        sent({"out-tunnel-nd", "up", "accept", "neighbour discovery inside a tunnel"}, "tun0",
             {icmp("fe80::5", "ff02::1:ff00:1", 135, 255), icmp("fe80::5", "ff02::1", 136, 255)}),
        sent({"out-tunnel-other-linklocal", "up", "drop", foreign}, "tun0",
             {udp("fe80::5", "ff02::fb", 5353), icmp("fe80::5", "ff02::16", 143, 1)}),
        sent({"out-tunnel-early6", "up", "drop", "ICMPv6 answers before any rule"}, "tun0",
             {icmp(kTunnel6, kPublic6, 4), icmp(kTunnel6, kPublic6, 3)}),
    };
}

inline std::vector<Row> server_rows()
{
    const char* const program = "VPN server, by its tunnel program";
    const char* const other = "a VPN server by somebody else";
    const char* const past = "out past the tunnel";
    const auto to_server = [] { return udp(kOwn4, kServer4, 1194); };
    const auto in_flow = [](const Packet& datagram, std::optional<uid_t> uid = {}) {
        Packet packet = out_of("eth0", datagram);
        packet.uid = uid;
        const Packet opener = out_of("eth0", by(0, datagram));
        return Sample{packet, Opener{Path::Sent, opener, TrackedFlow::State::New}, {}, {}};
    };
    const auto alone = [](const Packet& datagram) {
        return Sample{out_of("eth0", datagram), {}, {}, {}};
    };
    const auto to_server6 = [] { return udp(kOwn6, kServer6, 1194); };
    return {
        sent({"out-server-root", "closed", "accept", program}, "eth0", {by(0, to_server())}),
        sent({"out-server-dropped", "closed", "accept", program}, "eth0", {by(65534, to_server())}),
        sent({"out-server6", "closed", "accept", program}, "eth0", {by(0, to_server6())}),
        sent({"out-server-other-user", "up", "reject", other}, "eth0", {to_server()}),
        sent({"out-server6-other-user", "up", "reject", other}, "eth0", {to_server6()}),
        row_of({"out-server-kernel", "up", "accept", "VPN server, by the kernel in the same flow"},
               Path::Sent, {in_flow(to_server()), in_flow(to_server6())}),
        row_of({"out-server-same-port-other-user", "up", "reject", other}, Path::Sent,
               {in_flow(to_server(), kSomebody), in_flow(to_server6(), kSomebody)}),
        row_of({"out-server-kernel-other", "up", "reject", other}, Path::Sent,
               {alone(to_server()), alone(to_server6())}),
        sent({"out-server-other-port", "up", "reject", past}, "eth0",
             {by(0, udp(kOwn4, kServer4, 443))}),
        sent({"out-server-other-proto", "up", "reject", past}, "eth0",
             {by(0, tcp(kOwn4, kServer4, 1194))}),
        sent({"out-server-ping", "up", "reject", past}, "eth0", {by(0, ping(kOwn4, kServer4))}),
        sent({"out-elsewhere-same-port", "up", "reject", past}, "eth0",
             {by(0, udp(kOwn4, kPublic4, 1194))}),
        sent({"out-mark", "closed", "accept", program}, "eth0",
             {by(kSomebody, udp(kOwn4, kMarkedServer, 51820), kServerMark),
              by(0, udp(kOwn4, kMarkedServer, 51820), kServerMark)}),
        sent({"out-mark-missing", "closed", "reject", other}, "eth0",
             {by(0, udp(kOwn4, kMarkedServer, 51820))}),
    };
}

inline std::vector<Row> housekeeping_rows()
{
    const char* const discovery = "neighbour discovery";
    const char* const past = "out past the tunnel";
    return {
        sent({"out-dhcp", "closed", "accept", "DHCP requests"}, "eth0",
             {udp(kOwn4, "255.255.255.255", 67, 68)}),
        sent({"out-dhcp-hole", "closed", "reject", past}, "eth0", {udp(kOwn4, kPublic4, 67, 68)}),
        sent({"out-dhcp-renewal", "closed", "accept", "DHCP renewals to the lease's server"},
             "eth0", {udp(kOwn4, kLeaseServer, 67, 68)}),
        sent({"out-dhcp-renewal-port", "closed", "reject", past}, "eth0",
             {udp(kOwn4, kLeaseServer, 67, 40000), udp(kOwn4, kLeaseServer, 53000, 68)}),
        sent({"out-dhcp-source-port", "closed", "reject", past}, "eth0",
             {udp(kOwn4, "255.255.255.255", 67, 40000)}),
        sent({"out-dhcpv6", "closed", "accept", "DHCPv6 requests"}, "eth0",
             {udp(kOwnLinkLocal, "ff02::1:2", 547, 546)}),
        sent({"out-rs", "closed", "accept", discovery}, "eth0",
             {icmp(kOwnLinkLocal, "ff02::2", 133, 255)}),
        sent({"out-ns", "closed", "accept", discovery}, "eth0",
             {icmp(kOwn6, "ff02::1:ff00:1", 135, 255), icmp(kOwn6, kRouterLinkLocal, 135, 255)}),
        sent({"out-ns-neighbour", "closed", "accept", discovery}, "eth0",
             {icmp(kOwn6, "2001:db8:50::1", 135, 255)}),
        sent({"out-na-neighbour", "closed", "accept", discovery}, "eth0",
             {icmp(kOwn6, "2001:db8:50::1", 136, 255), icmp(kOwn6, "ff02::1", 136, 255)}),
        sent({"out-ns-routed", "closed", "reject", past}, "eth0",
             {icmp(kOwn6, kPublic6, 135, 255)}),
        sent({"out-mld", "closed", "accept", "multicast listener reports"}, "eth0",
             {icmp(kOwnLinkLocal, "ff02::16", 143, 1), icmp(kOwnLinkLocal, "ff02::fb", 131, 1),
              icmp(kOwnLinkLocal, "ff02::2", 132, 1)}),
    };
}

inline std::vector<Row> dns_rows()
{
    const char* const dns = "DNS outside the tunnel";
    const char* const names = "local name service";
    const auto question = [](uid_t uid, std::uint32_t mark) {
        return std::vector{by(uid, udp(kOwn4, kResolver, 53), mark)};
    };
    return {
        while_admitted(
            sent({"out-bootstrap", "closed", "accept", "bootstrap DNS, by the refresh helper"},
                 "eth0", question(0, kUnderlayMark))),
        while_admitted(sent({"out-bootstrap-other-user", "closed", "reject", dns}, "eth0",
                            question(kSomebody, kUnderlayMark))),
        while_admitted(
            sent({"out-bootstrap-unmarked", "closed", "reject", dns}, "eth0", question(0, 0))),
        sent({"out-bootstrap-over", "closed", "reject", dns}, "eth0", question(0, kUnderlayMark)),
        sent({"out-dns-lan", "up", "reject", dns}, "eth0", {udp(kOwn4, kResolver, 53)}),
        sent({"out-dns-lan-tcp", "up", "reject", dns}, "eth0", {tcp(kOwn4, kResolver, 53)}),
        sent({"out-dot-lan", "up", "reject", dns}, "eth0", {tcp(kOwn4, kResolver, 853)}),
        sent({"out-doq-lan", "up", "reject", dns}, "eth0", {udp(kOwn4, kResolver, 853)}),
        sent({"out-dns-public", "up", "reject", dns}, "eth0", {udp(kOwn4, "198.51.100.53", 53)}),
        sent({"out-dns6-linklocal", "up", "reject", dns}, "eth0",
             {udp(kOwnLinkLocal, kRouterLinkLocal, 53)}),
        sent({"out-mdns", "closed", "reject", names}, "eth0",
             {udp(kOwn4, "224.0.0.251", 5353, 5353)}),
        sent({"out-mdns6", "closed", "reject", names}, "eth0",
             {udp(kOwnLinkLocal, "ff02::fb", 5353, 5353)}),
        sent({"out-llmnr", "closed", "reject", names}, "eth0", {udp(kOwn4, "224.0.0.252", 5355)}),
        sent({"out-netbios", "closed", "reject", names}, "eth0",
             {udp(kOwn4, "192.168.50.255", 137)}),
        sent({"out-mdns-allowed", "closed, lan-names", "accept", "local network"}, "eth0",
             {udp(kOwn4, "224.0.0.251", 5353, 5353)}),
    };
}

inline std::vector<Row> place_rows()
{
    const char* const lan = "local network";
    const char* const past = "out past the tunnel";
    const char* const stray = "a tunnel's address outside of it";
    const char* const inside = "a tunnel's network outside of it";
    const auto to = [](std::string_view target) {
        return anything(address(target).family() == Family::V4 ? kOwn4 : kOwn6, target);
    };
    return {
        sent({"out-lan", "up", "accept", lan}, "eth0", to(kNeighbour)),
        sent({"out-lan-routed", "up", "accept", lan}, "eth0", to("10.1.2.3")),
        sent({"out-lan6", "up", "accept", lan}, "eth0", to("fd12::1")),
        sent({"out-lan-multicast", "up", "accept", lan}, "eth0",
             {udp(kOwn4, "239.255.255.250", 1900)}),
        sent({"out-multicast-wide", "up", "reject", past}, "eth0", {udp(kOwn4, "233.1.2.3", 9)}),
        sent({"out-broadcast", "up", "reject", past}, "eth0", {udp(kOwn4, "255.255.255.255", 9)}),
        sent({"out-cgnat", "up", "reject", past}, "eth0", to("100.64.0.1")),
        sent({"out-lan-deny", "up, lan=deny", "reject", past}, "eth0", to(kNeighbour)),
        sent({"out-onlink", "up, lan=on-link", "accept", lan}, "eth0", to(kNeighbour)),
        sent({"out-onlink-routed", "up, lan=on-link", "reject", past}, "eth0", to("10.1.2.3")),
        sent({"out-onlink-public", "up, lan=on-link", "reject", past}, "eth0",
             to("2001:db8:50::20")),
        sent({"out-list", "up, lan=192.168.50.0/28", "accept", lan}, "eth0", to("192.168.50.9")),
        sent({"out-list-outside", "up, lan=192.168.50.0/28", "reject", past}, "eth0",
             to(kNeighbour)),
        sent({"out-tunnel-network", "up", "reject", inside}, "eth0", to("10.99.1.1")),
        sent({"out-tunnel-network6", "up", "reject", inside}, "eth0", to("2001:db8:c0::53")),
        sent({"out-public", "closed", "reject", past}, "eth0", to(kPublic4)),
        sent({"out-public6", "closed", "reject", past}, "eth0", to(kPublic6)),
        sent({"out-public-bound", "up", "reject", past}, "eth0", to(kPublic4)),
        sent({"out-public-live", "up", "reject", stray}, "eth0", anything(kTunnel4, kPublic4)),
        sent({"out-lan-live", "up", "reject", stray}, "eth0", anything(kTunnel4, kNeighbour)),
        sent({"out-lan-live6", "up", "reject", stray}, "eth0", anything(kTunnel6, "fd12::1")),
    };
}

inline std::vector<Row> tunnel_in_rows()
{
    const char* const own = "a tunnel's own networks";
    const char* const alien = "private sources that are not the tunnel's";
    const char* const elsewhere = "a tunnel's address on another device";
    return {
        received({"in-loopback", "closed", "accept", "by device"}, "lo",
                 anything("127.0.0.1", "127.0.0.1") + anything("::1", "::1")),
        received({"in-tunnel-network", "up", "accept", own}, "tun0",
                 anything("10.8.0.1", kTunnel4) + anything("fd00:8::1", kTunnel6)),
        received({"in-tunnel-pushed", "up", "accept", own}, "tun0",
                 anything("10.99.1.1", kTunnel4) + anything("2001:db8:c0::53", kTunnel6)),
        received({"in-tunnel-private", "up", "drop", alien}, "tun0",
                 anything("192.168.50.1", kTunnel4)),
        received({"in-tunnel-private6", "up", "drop", alien}, "tun0",
                 anything("fd12::1", kTunnel6)),
        received({"in-tunnel-public", "up", "accept", "from a tunnel"}, "tun0",
                 anything(kPublic4, kTunnel4)),
        received({"in-tunnel-nd", "up", "accept", "neighbour discovery inside a tunnel"}, "tun0",
                 {icmp("fe80::5", kTunnel6, 136, 255), icmp("fe80::5", kTunnel6, 135, 255)}),
        received({"in-tunnel-address-lan", "up", "drop", elsewhere}, "eth0",
                 anything("192.168.50.1", kTunnel4)),
        received({"in-tunnel-address-public", "up", "drop", elsewhere}, "eth0",
                 anything(kPublic4, kTunnel4)),
        received({"in-tunnel-address6", "up", "drop", elsewhere}, "eth0",
                 anything("2001:db8:50::1", kTunnel6)),
    };
}

inline std::vector<Row> server_in_rows()
{
    using FlowState = TrackedFlow::State;
    const char* const outside = "in from outside the tunnel";
    const Packet to_server = out_of("eth0", by(0, udp(kOwn4, kServer4, 1194)));
    const Packet to_server6 = out_of("eth0", by(0, udp(kOwn6, kServer6, 1194)));
    const Packet troubled = out_of("eth0", by(0, udp(kOwn4, kServer4, 1194)));
    const Packet troubled6 = out_of("eth0", by(0, udp(kOwn6, kServer6, 1194)));
    const Packet to_neighbour = out_of("eth0", by(kSomebody, udp(kOwn4, kNeighbour, 9999)));
    const Packet question = out_of("eth0", by(0, udp(kOwn4, kResolver, 53), kUnderlayMark));
    return {
        received_after({"in-server", "closed", "accept", "answers of VPN servers"}, to_server,
                       FlowState::Established, {answer(to_server)}),
        received_after({"in-server6", "closed", "accept", "answers of VPN servers"}, to_server6,
                       FlowState::Established, {answer(to_server6)}),
        received({"in-server-new", "closed", "drop", outside}, "eth0",
                 {udp(kServer4, kOwn4, fresh_port(), 1194)}),
        received_after({"in-server-error", "closed", "accept", "ICMP errors about VPN servers"},
                       troubled, FlowState::Related, {icmp(kPublic4, kOwn4, 3)}),
        received_after({"in-server-error6", "closed", "accept", "ICMPv6 errors about VPN servers"},
                       troubled6, FlowState::Related,
                       {icmp(kPublic6, kOwn6, 2), icmp(kPublic6, kOwn6, 1)}),
        received_after({"in-other-error", "up", "drop", outside}, to_neighbour, FlowState::Related,
                       {icmp(kPublic4, kOwn4, 3)}),
        while_admitted(received_after({"in-bootstrap", "closed", "accept", "bootstrap DNS answers"},
                                      question, FlowState::Established, {answer(question)})),
    };
}

inline std::vector<Row> place_in_rows()
{
    const char* const outside = "in from outside the tunnel";
    const char* const discovery = "neighbour discovery";
    const auto nd = [](std::string_view to, std::uint8_t type, std::uint8_t hops = 255) {
        return std::vector{icmp(kRouterLinkLocal, to, type, hops)};
    };
    return {
        received({"in-dhcp", "closed", "accept", "DHCP answers"}, "eth0",
                 {udp(kResolver, kOwn4, 68, 67), udp(kResolver, "255.255.255.255", 68, 67)}),
        received({"in-dhcpv6", "closed", "accept", "DHCPv6 answers"}, "eth0",
                 {udp(kRouterLinkLocal, kOwnLinkLocal, 546, 547)}),
        received({"in-ra", "closed", "accept", discovery}, "eth0", nd("ff02::1", 134)),
        received({"in-ra-routed", "closed", "drop", outside}, "eth0",
                 {icmp(kPublic6, kOwn6, 134, 64)}),
        received({"in-ns", "closed", "accept", discovery}, "eth0", nd(kOwn6, 135)),
        received({"in-na", "closed", "accept", discovery}, "eth0", nd(kOwn6, 136)),
        received({"in-mld", "closed", "accept", "multicast listener query"}, "eth0",
                 nd("ff02::1", 130, 1)),
        received({"in-redirect", "closed", "drop", "ICMP redirect"}, "eth0",
                 {icmp(kResolver, kOwn4, 5)}),
        received({"in-redirect6", "closed", "drop", "ICMPv6 redirect"}, "eth0", nd(kOwn6, 137)),
        received({"in-lan", "up", "accept", "local network"}, "eth0",
                 anything(kNeighbour, kOwn4) + anything("fd12::1", kOwn6)),
        received({"in-lan-deny", "up, lan=deny", "drop", outside}, "eth0",
                 anything(kNeighbour, kOwn4)),
        received({"in-lan-tunnel-network", "up", "drop", "a tunnel's network on another device"},
                 "eth0", anything("10.99.1.1", kOwn4) + anything("2001:db8:c0::53", kOwn6)),
        received({"in-public", "up", "drop", outside}, "eth0", anything(kPublic4, kOwn4)),
        received({"in-public6", "closed", "drop", outside}, "eth0", anything(kPublic6, kOwn6)),
    };
}

inline std::vector<Row> forwarded_rows()
{
    const char* const outside = "forwarded outside the tunnel";
    const char* const own = "from the tunnel's own address";
    const Packet begun = into("br0", out_of("tun0", udp(kTranslatedGuest, "10.99.1.1", 9999)));
    Packet answered = answer(begun);
    answered.destination = address(kTunnel4);
    const auto through = [](const Decided& decided) {
        Row row = forwarded(decided, "br0", "tun0", {udp(kTranslatedGuest, "10.99.1.1", 9999)});
        row.samples[0].translated_source = address(kTunnel4);
        return row;
    };
    return {
        through({"fwd-tunnel", "up", "accept", own}),
        through({"fwd-tunnel-lan-deny", "up, lan=deny", "accept", own}),
        forwarded({"fwd-tunnel-no-nat", "up", "drop", "into a tunnel from another address"}, "br0",
                  "tun0", anything(kGuest, "10.99.1.1")),
        row_of({"fwd-answer", "up", "accept", "answers from a tunnel"}, Path::Forwarded,
               {{answered,
                 Opener{Path::Forwarded, begun, TrackedFlow::State::Established},
                 address(kTranslatedGuest),
                 {}}}),
        forwarded({"fwd-new", "up", "drop", "new flows from a tunnel"}, "tun0", "br0",
                  anything("10.99.1.1", kGuest)),
        forwarded({"fwd-lan", "up", "accept", "between local networks"}, "br0", "eth0",
                  anything(kGuest, kNeighbour) + anything("fd20::2", "fd12::1")),
        forwarded({"fwd-lan-deny", "up, lan=deny", "drop", outside}, "br0", "eth0",
                  anything(kGuest, kNeighbour)),
        forwarded({"fwd-names", "up", "reject", "local name service"}, "br0", "eth0",
                  {udp(kGuest, kNeighbour, 137)}),
        forwarded({"fwd-tunnel-network6", "up", "reject", "a tunnel's network outside of it"},
                  "br0", "eth0", {udp("fd20::2", "2001:db8:c0::53", 9)}),
        forwarded({"fwd-dns", "up", "reject", "DNS outside the tunnel"}, "br0", "eth0",
                  {udp(kGuest, kResolver, 53)}),
        forwarded({"fwd-server", "up", "reject", "a VPN server by somebody else"}, "br0", "eth0",
                  {udp(kGuest, kServer4, 1194), udp("fd20::2", kServer6, 1194)}),
        forwarded({"fwd-public", "up", "reject", outside}, "br0", "eth0",
                  anything(kGuest, kPublic4)),
        forwarded({"fwd-public6", "closed", "reject", outside}, "br0", "eth0",
                  anything("fd20::2", kPublic6)),
    };
}

/// What neighbours send through this machine: an answer to their source would tell it which tunnel
/// this machine uses.
inline std::vector<Row> passing_rows()
{
    const char* const elsewhere = "through this machine from elsewhere";
    const auto published = [](const Decided& decided, std::string_view from) {
        Row row = forwarded(decided, "eth0", "br0", {tcp(from, kOwn4, 8080)});
        row.samples[0].restored_destination = address(kGuest);
        return row;
    };
    return {
        forwarded({"fwd-in", "closed", "drop", elsewhere}, "eth0", "br0",
                  anything(kPublic4, kGuest) + anything(kPublic6, "fd20::2")),
        forwarded({"fwd-in-expired", "up", "drop", elsewhere}, "eth0", "br0",
                  {icmp(kPublic4, kGuest, 8, 1), icmp(kPublic6, "fd20::2", 128, 1)}),
        forwarded({"fwd-in-back", "up", "drop", elsewhere}, "eth0", "eth0",
                  anything(kPublic4, kNeighbour)),
        forwarded({"fwd-in-tunnel", "up", "drop", elsewhere}, "eth0", "tun0",
                  anything(kPublic4, "10.99.1.1") + anything(kPublic6, "2001:db8:c0::53")),
        forwarded({"fwd-in-tunnel-network", "up", "drop", "a tunnel's network on another device"},
                  "eth0", "br0", anything("10.99.1.1", kGuest) + anything("fd00:8::1", "fd20::2")),
        published({"fwd-published", "up", "drop", elsewhere}, kPublic4),
        published({"fwd-published-lan", "up", "accept", "between local networks"}, kNeighbour),
    };
}

inline std::vector<Row> arp_rows()
{
    const char* const elsewhere = "a tunnel's address on another device";
    return {
        received({"arp-in-tunnel-address", "up", "drop", elsewhere}, "eth0",
                 {arp("192.168.50.1", kTunnel4)}),
        received({"arp-in-own", "up", "accept", "policy"}, "eth0", {arp("192.168.50.1", kOwn4)}),
        sent({"arp-out-tunnel-address", "up", "drop", elsewhere}, "eth0",
             {arp(kTunnel4, kLanServer)}),
        sent({"arp-out-own", "up", "accept", "policy"}, "eth0", {arp(kOwn4, "192.168.50.78")}),
    };
}

/// Every row, in the document's order.
inline const std::vector<Row>& security_rows()
{
    static const std::vector<Row> rows = [] {
        std::vector<Row> all = device_rows();
        for (auto part : {server_rows, housekeeping_rows, dns_rows, place_rows, tunnel_in_rows,
                          server_in_rows, place_in_rows, forwarded_rows, passing_rows, arp_rows}) {
            append(all, part());
        }
        return all;
    }();
    return rows;
}

} // namespace failclosed::test
