// SPDX-License-Identifier: GPL-3.0-or-later
// The rows of docs/security.md as states and packets.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "tests/security_table/packets.hpp"

namespace failclosed::test {

inline std::vector<Row> device_rows()
{
    const char* const own = "from the tunnel's own address";
    const char* const foreign = "into a tunnel with another source address";
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
        sent({"out-tunnel-early6", "up", "drop", "ICMPv6 error sent before filtering"}, "tun0",
             {icmp(kTunnel6, kPublic6, 4), icmp(kTunnel6, kPublic6, 3)}),
    };
}

/// What leaves by another device than the output hook saw.
inline std::vector<Row> rerouted_rows()
{
    const auto row = [](const Decided& decided, std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet = rerouted("eth0", packet);
        }
        return sent(decided, "tun0", packets);
    };
    return {
        row({"out-rerouted", "up", "drop", "tunnel address outside the tunnel"},
            anything(kTunnel4, kPublic4) + anything(kTunnel6, kPublic6)),
        row({"out-rerouted-dns", "up", "drop", "DNS outside the tunnel"},
            {udp(kOwn4, kResolver, 53), tcp(kOwn4, kResolver, 53),
             udp(kOwn6, "2001:db8:50::1", 53)}),
        row({"out-rerouted-own", "up", "drop", "sent outside the tunnel"},
            anything(kOwn4, kPublic4) + anything(kOwn6, kPublic6)),
        row({"out-rerouted-network", "up", "drop", "tunnel network outside the tunnel"},
            anything(kOwn4, "10.99.1.1") + anything(kOwn6, "2001:db8:c0::53")),
        row({"out-rerouted-server-other-user", "up", "drop",
             "VPN server, not by its tunnel program"},
            {udp(kOwn4, kServer4, 1194), udp(kOwn6, kServer6, 1194)}),
        row({"out-rerouted-server", "up", "accept", "VPN server, by its tunnel program"},
            {by(0, udp(kOwn4, kServer4, 1194)), by(0, udp(kOwn6, kServer6, 1194))}),
        row({"out-rerouted-lan", "up", "accept", "local network"},
            anything(kOwn4, kNeighbour) + anything(kOwn6, "fd12::1")),
        row({"out-rerouted-options", "up", "drop", "IPv4 options"},
            with_stations(anything(kOwn4, kNeighbour))),
        row({"out-rerouted-routing-header", "up", "drop", "IPv6 routing header"},
            with_stations(anything(kOwn6, "fd12::1"))),
    };
}

/// Packets whose senders choose the way, or what looks like it.
inline std::vector<Row> source_route_rows()
{
    const char* const options = "IPv4 options";
    const char* const header = "IPv6 routing header";
    const char* const own = "from the tunnel's own address";
    Packet membership = with_options(between(kOwn4, "224.0.0.22"), IpOptions::RouterAlert);
    membership.protocol = IPPROTO_IGMP;
    const auto by_root = [](std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet = by(0, packet);
        }
        return packets;
    };
    return {
        sent({"out-options", "up", "drop", options}, "eth0",
             with_stations(anything(kOwn4, kNeighbour)) +
                 std::vector{with_stations(by(0, udp(kOwn4, kServer4, 1194))),
                             with_stations(udp(kOwn4, "255.255.255.255", 67, 68)),
                             with_stations(udp(kOwn4, kPublic4, 9))}),
        sent({"out-routing-header", "up", "drop", header}, "eth0",
             with_stations(anything(kOwn6, "fd12::1")) +
                 std::vector{with_stations(by(0, udp(kOwn6, kServer6, 1194))),
                             with_stations(udp(kOwnLinkLocal, "ff02::1:2", 547, 546)),
                             with_stations(icmp(kOwn6, kRouterLinkLocal, 135, 255)),
                             with_stations(icmp(kOwnLinkLocal, "ff02::16", 143, 1))}),
        sent({"out-router-alert", "up", "accept", "local network"}, "eth0", {membership}),
        sent({"out-tunnel-options", "up", "accept", own}, "tun0",
             with_stations(anything(kTunnel4, kPublic4))),
        sent({"out-tunnel-routing-header", "up", "accept", own}, "tun0",
             with_stations(anything(kTunnel6, kPublic6))),
        received({"in-options", "up", "drop", options}, "eth0",
                 with_stations(anything(kNeighbour, kOwn4))),
        received({"in-routing-header", "up", "drop", header}, "eth0",
                 with_stations(anything("fd12::1", kOwn6)) +
                     std::vector{with_stations(icmp(kRouterLinkLocal, kOwn6, 135, 255))}),
        forwarded({"fwd-options", "up", "drop", options}, "br0", "eth0",
                  with_stations(anything(kGuest, kNeighbour))),
        forwarded({"fwd-routing-header", "up", "drop", header}, "br0", "eth0",
                  with_stations(anything(kGuest6, "fd12::1"))),
        framed({"wire-options", "up", "drop", options}, "eth0",
               with_stations(by_root(anything(kOwn4, kNeighbour))) +
                   with_stations(anything("192.168.50.88", kNeighbour)) +
                   std::vector{with_stations(by(0, udp(kOwn4, kServer4, 1194)))}),
        framed({"wire-routing-header", "up", "drop", header}, "eth0",
               with_stations(by_root(anything(kOwn6, "fd12::1"))) +
                   with_stations(anything("2001:db8:50::88", "fd12::1")) +
                   std::vector{with_stations(by(0, udp(kOwn6, kServer6, 1194)))}),
        framed({"wire-headers-cut", "up", "drop", "frame outside the tunnel"}, "eth0",
               {with_headers_cut(by(0, udp(kOwn6, "fd12::1", 9))),
                with_headers_cut(udp("2001:db8:50::88", "fd12::1", 9))}),
    };
}

inline std::vector<Row> server_rows()
{
    const char* const program = "VPN server, by its tunnel program";
    const char* const other = "VPN server, not by its tunnel program";
    const char* const past = "sent outside the tunnel";
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
        sent({"out-server-tunnel-address", "up", "reject", "tunnel address outside the tunnel"},
             "eth0", {by(0, udp(kTunnel4, kServer4, 1194)), by(0, udp(kTunnel6, kServer6, 1194))}),
        sent({"out-server-other-user", "up", "reject", other}, "eth0", {to_server()}),
        sent({"out-server6-other-user", "up", "reject", other}, "eth0", {to_server6()}),
        row_of({"out-server-kernel", "up", "accept", "VPN server, by the kernel in the same flow"},
               Path::Sent, {in_flow(to_server()), in_flow(to_server6())}),
        row_of({"out-server-same-port-other-user", "up", "reject", other}, Path::Sent,
               {in_flow(to_server(), kUser), in_flow(to_server6(), kUser)}),
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
             {by(kUser, udp(kOwn4, kMarkedServer, 51820), kServerMark),
              by(0, udp(kOwn4, kMarkedServer, 51820), kServerMark)}),
        sent({"out-mark-missing", "closed", "reject", other}, "eth0",
             {by(0, udp(kOwn4, kMarkedServer, 51820))}),
    };
}

inline std::vector<Row> housekeeping_rows()
{
    const char* const discovery = "neighbour discovery";
    const char* const past = "sent outside the tunnel";
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
                            question(kUser, kUnderlayMark))),
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
    const char* const past = "sent outside the tunnel";
    const char* const stray = "tunnel address outside the tunnel";
    const char* const inside = "tunnel network outside the tunnel";
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
    const char* const own = "from the tunnel's own networks";
    const char* const alien = "private source outside the tunnel's networks";
    const char* const elsewhere = "tunnel address on another device";
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
    const char* const outside = "received outside the tunnel";
    const Packet to_server = out_of("eth0", by(0, udp(kOwn4, kServer4, 1194)));
    const Packet to_server6 = out_of("eth0", by(0, udp(kOwn6, kServer6, 1194)));
    const Packet troubled = out_of("eth0", by(0, udp(kOwn4, kServer4, 1194)));
    const Packet troubled6 = out_of("eth0", by(0, udp(kOwn6, kServer6, 1194)));
    const Packet to_neighbour = out_of("eth0", by(kUser, udp(kOwn4, kNeighbour, 9999)));
    const Packet question = out_of("eth0", by(0, udp(kOwn4, kResolver, 53), kUnderlayMark));
    const char* const other_flows = "ICMP errors about other flows";
    const Packet inside = out_of("tun0", by(kUser, udp(kTunnel4, kPublic4, 9999)));
    const Packet inside6 = out_of("tun0", by(kUser, udp(kTunnel6, kPublic6, 9999)));
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
        received_after({"in-other-error", "up", "drop", other_flows}, to_neighbour,
                       FlowState::Related, {icmp(kPublic4, kOwn4, 3)}),
        received_after({"in-lan-error", "up", "accept", "ICMP errors about the local network"},
                       to_neighbour, FlowState::Related,
                       {icmp(kNeighbour, kOwn4, 3), icmp(kNeighbour, kOwn4, 11)}),
        received_after({"in-tunnel-error", "up", "drop", other_flows}, inside, FlowState::Related,
                       {icmp(kNeighbour, kOwn4, 3)}),
        received_after({"in-tunnel-error6", "up", "drop", "ICMPv6 errors about other flows"},
                       inside6, FlowState::Related, {icmp(kRouterLinkLocal, kOwnLinkLocal, 2)}),
        while_admitted(received_after({"in-bootstrap", "closed", "accept", "bootstrap DNS answers"},
                                      question, FlowState::Established, {answer(question)})),
    };
}

inline std::vector<Row> place_in_rows()
{
    const char* const outside = "received outside the tunnel";
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
        received({"in-loopback-outside", "up", "drop", "loopback address from outside"}, "eth0",
                 {udp(kNeighbour, "127.0.0.1", 631)}),
        received({"in-lan", "up", "accept", "local network"}, "eth0",
                 anything(kNeighbour, kOwn4) + anything("fd12::1", kOwn6)),
        received({"in-lan-deny", "up, lan=deny", "drop", outside}, "eth0",
                 anything(kNeighbour, kOwn4)),
        received({"in-lan-tunnel-network", "up", "drop", "tunnel network on another device"},
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
    const auto answers = [&](const Decided& decided) {
        return row_of(decided, Path::Forwarded,
                      {{answered,
                        Opener{Path::Forwarded, begun, TrackedFlow::State::Established},
                        address(kTranslatedGuest),
                        {}}});
    };
    const auto through = [](const Decided& decided) {
        Row row = forwarded(decided, "br0", "tun0", {udp(kTranslatedGuest, "10.99.1.1", 9999)});
        row.samples[0].translated_source = address(kTunnel4);
        return row;
    };
    return {
        through({"fwd-tunnel", "up", "accept", own}),
        through({"fwd-tunnel-lan-deny", "up, lan=deny", "accept", own}),
        forwarded({"fwd-tunnel-no-nat", "up", "drop", "into a tunnel with another source address"},
                  "br0", "tun0", anything(kGuest, "10.99.1.1")),
        answers({"fwd-answer", "up", "accept", "answers from a tunnel"}),
        answers({"fwd-answer-lan-deny", "up, lan=deny", "accept", "answers from a tunnel"}),
        forwarded({"fwd-new", "up", "drop", "new flows from a tunnel"}, "tun0", "br0",
                  anything("10.99.1.1", kGuest)),
        forwarded({"fwd-lan", "up", "accept", "local network"}, "br0", "eth0",
                  anything(kGuest, kNeighbour) + anything("fd20::2", "fd12::1")),
        forwarded({"fwd-lan-deny", "up, lan=deny", "drop", outside}, "br0", "eth0",
                  anything(kGuest, kNeighbour)),
        forwarded({"fwd-names", "up", "reject", "local name service"}, "br0", "eth0",
                  {udp(kGuest, kNeighbour, 137)}),
        forwarded({"fwd-tunnel-network6", "up", "reject", "tunnel network outside the tunnel"},
                  "br0", "eth0", {udp("fd20::2", "2001:db8:c0::53", 9)}),
        forwarded({"fwd-dns", "up", "reject", "DNS outside the tunnel"}, "br0", "eth0",
                  {udp(kGuest, kResolver, 53)}),
        forwarded({"fwd-server", "up", "reject", "VPN server, not by its tunnel program"}, "br0",
                  "eth0", {udp(kGuest, kServer4, 1194), udp("fd20::2", kServer6, 1194)}),
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
    const char* const elsewhere = "forwarded from outside the local network";
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
        forwarded({"fwd-in-tunnel-network", "up", "drop", "tunnel network on another device"},
                  "eth0", "br0", anything("10.99.1.1", kGuest) + anything("fd00:8::1", "fd20::2")),
        published({"fwd-published", "up", "drop", elsewhere}, kPublic4),
        published({"fwd-published-lan", "up", "accept", "local network"}, kNeighbour),
    };
}

inline std::vector<Row> arp_rows()
{
    const char* const elsewhere = "tunnel address on another device";
    return {
        received({"arp-in-tunnel-address", "up", "drop", elsewhere}, "eth0",
                 {arp("192.168.50.1", kTunnel4)}),
        received({"arp-in-own", "up", "accept", "policy"}, "eth0", {arp("192.168.50.1", kOwn4)}),
        sent({"arp-out-tunnel-address", "up", "drop", elsewhere}, "eth0",
             {arp(kTunnel4, kLanServer)}),
        sent({"arp-out-own", "up", "accept", "ARP for hosts of the link"}, "eth0",
             {arp(kOwn4, "192.168.50.78")}),
    };
}

/// Services that are reached from outside the tunnel.
inline std::vector<Row> inbound_rows()
{
    const char* const service = "inbound service";
    const char* const outside = "received outside the tunnel";
    const char* const answers = "answers of an inbound service";
    const auto to_service = [](std::string_view from, std::string_view to) {
        return std::vector{tcp(from, to, 22), udp(from, to, 51820)};
    };
    const auto after = [](const Decided& decided, Path path, const Packet& opener,
                          TrackedFlow::State state, const std::vector<Packet>& packets) {
        std::vector<Sample> samples;
        for (const Packet& packet : packets) {
            samples.push_back({packet, Opener{Path::Received, opener, state}, {}, {}});
        }
        return row_of(decided, path, std::move(samples));
    };
    const auto answered = [&](std::string_view from, std::string_view to) {
        const Packet opener = into("eth0", udp(from, to, 51820));
        const Decided decided = {opener.source.family() == Family::V4 ? "out-inbound-answer"
                                                                      : "out-inbound-answer6",
                                 "up, inbound", "accept", answers};
        return after(decided, Path::Sent, opener, TrackedFlow::State::Established,
                     {by(kUser, answer(opener))});
    };
    const Packet begun = into("eth0", udp(kPublic4, kOwn4, 51820));
    const Packet begun6 = into("eth0", udp(kPublic6, kOwn6, 51820));
    return {
        received({"in-inbound", "up, inbound", "accept", service}, "eth0",
                 to_service(kPublic4, kOwn4) + to_service(kPublic6, kOwn6)),
        received({"in-inbound-other-source", "up, inbound", "drop", outside}, "eth0",
                 {tcp("203.0.113.9", kOwn4, 22), tcp("2001:db8:98::20", kOwn6, 22)}),
        received({"in-inbound-other-port", "up, inbound", "drop", outside}, "eth0",
                 {tcp(kPublic4, kOwn4, 2222), udp(kPublic4, kOwn4, 22)}),
        received({"in-inbound-guest", "up, inbound", "drop", outside}, "br0",
                 to_service(kPublic4, kOwn4) + to_service(kPublic6, kOwn6)),
        received({"in-inbound-behind", "up, inbound, forward", "drop", outside}, "br1",
                 to_service(kPublic4, kOwn4)),
        received({"in-inbound-tunnel-network", "up, inbound", "drop",
                  "tunnel network on another device"},
                 "eth0", {udp("10.99.1.1", kOwn4, 51820), udp("2001:db8:c0::53", kOwn6, 51820)}),
        received({"in-inbound-tunnel-address", "up, inbound", "drop",
                  "tunnel address on another device"},
                 "eth0", to_service(kPublic4, kTunnel4) + to_service(kPublic6, kTunnel6)),
        received({"in-inbound-tunnel", "up, inbound", "accept", "from a tunnel"}, "tun0",
                 to_service(kPublic4, kTunnel4)),
        after({"in-inbound-error", "up, inbound", "accept", "ICMP errors about inbound services"},
              Path::Received, begun, TrackedFlow::State::Related,
              {into("eth0", icmp("203.0.113.9", kOwn4, 3))}),
        after(
            {"in-inbound-error6", "up, inbound", "accept", "ICMPv6 errors about inbound services"},
            Path::Received, begun6, TrackedFlow::State::Related,
            {into("eth0", icmp("2001:db8:98::9", kOwn6, 2)),
             into("eth0", icmp("2001:db8:98::9", kOwn6, 1))}),
        answered(kPublic4, kOwn4),
        answered(kPublic6, kOwn6),
        sent({"out-inbound-new", "up, inbound", "reject", "sent outside the tunnel"}, "eth0",
             {udp(kOwn4, kPublic4, 9, 51820), udp(kOwn6, kPublic6, 9, 51820)}),
        forwarded(
            {"fwd-inbound", "up, inbound", "drop", "forwarded from outside the local network"},
            "eth0", "br0", to_service(kPublic4, kGuest)),
    };
}

/// Guests and networks behind this machine: what passes between them and this machine.
inline std::vector<Row> behind_rows()
{
    const char* const deny = "up, lan=deny, forward";
    const char* const from_behind = "from a network behind this machine";
    const char* const behind = "to a network behind this machine";
    const char* const outside = "received outside the tunnel";
    const auto question = [](std::string_view from, std::string_view to) {
        return std::vector{udp(from, to, 53), tcp(from, to, 53)};
    };
    return {
        received({"in-behind", deny, "accept", from_behind}, "br0",
                 anything(kGuest, "172.20.0.1") + anything(kGuest6, "fd20::1")),
        received({"in-behind-dns", deny, "accept", from_behind}, "br0",
                 question(kGuest, "172.20.0.1") + question(kGuest6, "fd20::1")),
        received({"in-behind-dhcp", deny, "accept", "DHCP requests from behind this machine"},
                 "br0", {udp("0.0.0.0", "255.255.255.255", 67, 68)}),
        received({"in-behind-dhcpv6", deny, "accept", from_behind}, "br0",
                 {udp("fe80::5", "fd20::1", 547, 546)}),
        received({"in-behind-rs", deny, "accept", "router solicitation from behind this machine"},
                 "br0", {icmp("fe80::5", "ff02::2", 133, 255)}),
        received({"in-behind-ra", deny, "drop", "router advertisement from behind this machine"},
                 "br0", {icmp("fe80::5", "ff02::1", 134, 255)}),
        received({"in-behind-other-source", deny, "drop", outside}, "br0",
                 anything(kNeighbour, "172.20.0.1") + anything("172.21.0.2", "172.20.0.1") +
                     anything("fd12::1", "fd20::1")),
        received({"in-behind-other-device", deny, "drop", outside}, "eth0",
                 anything(kGuest, kOwn4) + anything(kGuest6, kOwn6)),
        received({"in-behind-dhcp-other-device", deny, "drop", outside}, "eth0",
                 {udp(kGuest, "255.255.255.255", 67, 68)}),
        received({"in-behind-tunnel-address", deny, "drop", "tunnel address on another device"},
                 "br0", anything(kGuest, kTunnel4) + anything(kGuest6, kTunnel6)),
        sent({"out-behind", deny, "accept", behind}, "br0",
             anything("172.20.0.1", kGuest) + anything("fd20::1", kGuest6)),
        sent({"out-behind-dns", deny, "accept", behind}, "br0", question("172.20.0.1", kGuest)),
        sent({"out-behind-dhcp", deny, "accept", "DHCP served behind this machine"}, "br0",
             {udp("172.20.0.1", "255.255.255.255", 68, 67)}),
        sent({"out-behind-ra", deny, "accept", "router advertisement behind this machine"}, "br0",
             {icmp("fe80::1", "ff02::1", 134, 255)}),
        sent({"out-behind-dhcp-other-device", deny, "reject", "sent outside the tunnel"}, "eth0",
             {udp(kOwn4, "255.255.255.255", 68, 67)}),
        sent({"out-behind-ra-other-device", deny, "reject", "sent outside the tunnel"}, "eth0",
             {icmp(kOwnLinkLocal, "ff02::1", 134, 255)}),
        sent({"out-behind-other-device", deny, "reject", "sent outside the tunnel"}, "eth0",
             anything(kOwn4, kGuest) + anything(kOwn6, kGuest6)),
        sent({"out-behind-public", deny, "reject", "sent outside the tunnel"}, "br0",
             anything("172.20.0.1", kPublic4)),
        sent({"out-behind-overlap", "up, lan=deny, forward, overlap", "reject",
              "sent outside the tunnel"},
             "br0", anything("172.20.0.1", kGuest)),
        sent({"out-behind-overlap6", "up, lan=deny, forward, overlap", "accept", behind}, "br0",
             anything("fd20::1", kGuest6)),
    };
}

/// What guests and networks behind this machine send through it.
inline std::vector<Row> forwarded_behind_rows()
{
    const char* const deny = "up, lan=deny, forward";
    const char* const own = "from the tunnel's own address";
    const char* const outside = "forwarded outside the tunnel";
    const auto masqueraded = [](Row row) {
        for (Sample& sample : row.samples) {
            sample.packet.masquerade_source =
                address(sample.packet.source.family() == Family::V4 ? kTunnel4 : kTunnel6);
        }
        return row;
    };
    const auto question = [](std::string_view from, std::string_view to) {
        return std::vector{udp(from, to, 53), tcp(from, to, 53)};
    };
    const auto answers = [](const Decided& decided, std::string_view guest, std::string_view inside,
                            const char* own_address) {
        const Packet begun = into("br0", out_of("tun0", udp(guest, inside, 9999)));
        Packet opener = begun;
        opener.masquerade_source = address(own_address);
        Packet back = answer(begun);
        back.destination = address(own_address);
        return row_of(decided, Path::Forwarded,
                      {{back,
                        Opener{Path::Forwarded, opener, TrackedFlow::State::Established},
                        address(guest),
                        {}}});
    };
    return {
        masqueraded(forwarded({"fwd-behind", deny, "accept", own}, "br0", "tun0",
                              anything(kGuest, "10.99.1.1") + anything(kGuest6, "fd00:8::7"))),
        answers({"fwd-behind-answer", deny, "accept", "answers from a tunnel"}, kGuest, "10.99.1.1",
                kTunnel4),
        answers({"fwd-behind-answer6", deny, "accept", "answers from a tunnel"}, kGuest6,
                "fd00:8::7", kTunnel6),
        forwarded({"fwd-behind-new", deny, "drop", "new flows from a tunnel"}, "tun0", "br0",
                  anything("10.99.1.1", kGuest) + anything("fd00:8::7", kGuest6)),
        masqueraded(forwarded({"fwd-behind-dns", deny, "accept", own}, "br0", "tun0",
                              question(kGuest, kResolver) + question(kGuest, "198.51.100.53"))),
        forwarded({"fwd-behind-dns6", "up, forward", "reject", "DNS outside the tunnel"}, "br0",
                  "eth0", question(kGuest6, "2001:db8:50::1")),
        forwarded({"fwd-behind-dns-closed", "closed, forward", "reject", "DNS outside the tunnel"},
                  "br0", "eth0", question(kGuest, kResolver)),
        forwarded({"fwd-behind-public", "up, forward", "reject", outside}, "br0", "eth0",
                  anything(kGuest, kPublic4) + anything(kGuest6, kPublic6)),
        forwarded({"fwd-behind-public-lan-deny", deny, "drop", outside}, "br0", "eth0",
                  anything(kGuest, kPublic4) + anything(kGuest6, kPublic6)),
        forwarded({"fwd-behind-closed", "closed, forward", "reject", outside}, "br0", "eth0",
                  anything(kGuest, kPublic4)),
        forwarded({"fwd-behind-between", deny, "accept", "to a network behind this machine"}, "br0",
                  "br1", anything(kGuest, kOtherGuest)),
        forwarded({"fwd-behind-from-lan", deny, "drop", outside}, "eth0", "br0",
                  anything(kNeighbour, kGuest)),
        forwarded({"fwd-behind-to-lan", deny, "drop", outside}, "br0", "eth0",
                  anything(kGuest, kNeighbour)),
        forwarded(
            {"fwd-behind-server", "up, forward", "reject", "VPN server, not by its tunnel program"},
            "br0", "eth0", {udp(kGuest, kServer4, 1194), udp(kGuest6, kServer6, 1194)}),
        forwarded({"fwd-behind-foreign", deny, "drop", "forwarded from outside the local network"},
                  "br0", "tun0", anything(kPublic4, "10.99.1.1")),
        forwarded({"fwd-behind-tunnel-source", deny, "drop", "tunnel network on another device"},
                  "br0", "tun0",
                  anything("10.8.0.9", "10.99.1.1") + anything("fd00:8::9", "fd00:8::7")),
    };
}

/// A sign-in to the network, which gives no address before.
inline std::vector<Row> portal_rows()
{
    using FlowState = TrackedFlow::State;
    const char* const state = "closed, portal";
    const char* const resolver = "sign-in to the network: DNS";
    const char* const web = "sign-in to the network: web pages";
    const char* const past = "sent outside the tunnel";
    const auto by_guest = [](std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet.uid = kGuestOfTheHotel;
        }
        return packets;
    };
    const auto by_program = [](std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet = of_group(kSignInProgram, packet);
        }
        return packets;
    };
    const auto question = [](std::string_view to) {
        return std::vector{udp(kOwn4, to, 53), tcp(kOwn4, to, 53)};
    };
    const auto pages = [] {
        return std::vector{tcp(kOwn4, kPublic4, 80), tcp(kOwn4, kPublic4, 443),
                           tcp(kOwn6, kPublic6, 80), tcp(kOwn6, kPublic6, 443)};
    };
    const Packet page = out_of("eth0", by(kGuestOfTheHotel, tcp(kOwn4, kPublic4, 443)));
    const Packet page6 = out_of("eth0", by(kGuestOfTheHotel, tcp(kOwn6, kPublic6, 443)));
    const Packet asked = out_of("eth0", by(kGuestOfTheHotel, udp(kOwn4, kResolver, 53)));
    std::vector<Row> rows = {
        sent({"out-portal-dns", state, "accept", resolver}, "eth0", by_guest(question(kResolver))),
        sent({"out-portal-dns-program", state, "accept", resolver}, "eth0",
             by_program(question(kResolver))),
        sent({"out-portal-dns-other", state, "reject", "DNS outside the tunnel"}, "eth0",
             by_guest(question("198.51.100.53"))),
        sent({"out-portal-web", state, "accept", web}, "eth0", by_guest(pages())),
        sent({"out-portal-web-program", state, "accept", web}, "eth0", by_program(pages())),
        sent({"out-portal-other-port", state, "reject", past}, "eth0",
             by_guest(
                 {tcp(kOwn4, kPublic4, 8080), udp(kOwn4, kPublic4, 443), ping(kOwn4, kPublic4)})),
        sent({"out-portal-other-user", state, "reject", past}, "eth0", pages()),
        sent({"out-portal-dns-other-user", state, "reject", "DNS outside the tunnel"}, "eth0",
             question(kResolver)),
        sent({"out-portal-server", state, "reject", "VPN server, not by its tunnel program"},
             "eth0", by_guest({tcp(kOwn4, kWebServer, 443)})),
        sent({"out-portal-tunnel-network", state, "reject", "tunnel network outside the tunnel"},
             "eth0", by_guest({tcp(kOwn4, "10.99.1.1", 443)})),
        received_after({"in-portal", state, "accept", "answers to a sign-in"}, page,
                       FlowState::Established, {answer(page)}),
        received_after({"in-portal-dns", state, "accept", "answers to a sign-in"}, asked,
                       FlowState::Established, {answer(asked)}),
        received_after({"in-portal-error", state, "accept", "ICMP errors about a sign-in"}, page,
                       FlowState::Related, {icmp("203.0.113.9", kOwn4, 3)}),
        received_after({"in-portal-error6", state, "accept", "ICMPv6 errors about a sign-in"},
                       page6, FlowState::Related,
                       {icmp("2001:db8:98::9", kOwn6, 2), icmp("2001:db8:98::9", kOwn6, 1)}),
        received({"in-portal-new", state, "drop", "received outside the tunnel"}, "eth0",
                 {tcp(kPublic4, kOwn4, 443)}),
        framed({"wire-portal", state, "accept", web}, "eth0", by_guest(pages())),
        framed({"wire-portal-guest", state, "drop", "frame outside the tunnel"}, "eth0", pages()),
    };
    for (Row& row : rows) {
        row.portal = true;
    }
    rows.push_back(sent({"out-portal-over", state, "reject", past}, "eth0", by_guest(pages())));
    rows.push_back(sent({"out-portal-dns-over", state, "reject", "DNS outside the tunnel"}, "eth0",
                        by_guest(question(kResolver))));
    return rows;
}

/// What no network has to route: it makes the link, or finds who is on it.
inline std::vector<Row> link_rows()
{
    const char* const wire = "frame outside the tunnel";
    const char* const hosts = "ARP for hosts of the link";
    const char* const discovery = "neighbour discovery";
    const auto by_root = [](Packet packet) { return by(0, std::move(packet)); };
    return {
        framed({"wire-eapol", "closed", "accept", "EAPOL"}, "eth0",
               {by_root(frame(0x888e)), frame(0x888e)}),
        framed({"wire-pppoe", "closed", "accept", "PPPoE"}, "eth0",
               {by_root(frame(0x8863)), by_root(frame(0x8864))}),
        framed({"wire-stp", "closed", "accept", "spanning tree"}, "eth0",
               {to_mac("01:80:c2:00:00:00", by_root(frame(0x0004)))}),
        framed({"wire-lacp", "closed", "accept", "link aggregation"}, "eth0",
               {to_mac("01:80:c2:00:00:02", by_root(frame(0x8809)))}),
        framed({"wire-other-type", "closed", "drop", wire}, "eth0",
               {by_root(frame(0x88b5)), frame(0x88b5), by_root(frame(0x88cc))}),
        framed({"wire-vlan", "closed", "drop", wire}, "eth0",
               {by_root(frame(0x8100)), frame(0x8100), frame(0x88a8)}),
        framed({"wire-arp", "closed", "accept", hosts}, "eth0",
               {by_root(arp(kOwn4, kNeighbour)), by_root(arp(kOwn4, "10.1.2.3")),
                by_root(arp("0.0.0.0", kOwn4)), arp("192.168.50.88", kNeighbour)}),
        framed({"wire-arp-connected", "closed", "accept", hosts}, "eth0",
               {by_root(arp("198.18.7.10", "198.18.7.1"))}),
        framed({"wire-arp-probe-answer", "closed", "accept", hosts}, "eth0",
               {by_root(arp(kOwn4, "0.0.0.0"))}),
        framed({"wire-arp-public", "closed", "drop", wire}, "eth0",
               {by_root(arp(kOwn4, kPublic4)), arp("192.168.50.88", kPublic4)}),
        framed({"wire-arp-new-device", "closed", "accept", hosts}, "eth1",
               {by_root(arp("0.0.0.0", kPublic4))}),
        framed({"wire-arp-tunnel-address", "up", "drop", "tunnel address on another device"},
               "eth0", {by_root(arp(kTunnel4, kNeighbour)), arp(kTunnel4, kNeighbour)}),
        framed({"wire-dhcp", "closed", "accept", "DHCP requests"}, "eth0",
               {by_root(udp("0.0.0.0", "255.255.255.255", 67, 68)),
                udp("0.0.0.0", "255.255.255.255", 67, 68)}),
        framed({"wire-dhcpv6", "closed", "accept", "DHCPv6 requests"}, "eth0",
               {by_root(udp(kOwnLinkLocal, "ff02::1:2", 547, 546))}),
        framed({"wire-nd", "closed", "accept", discovery}, "eth0",
               {by_root(icmp(kOwnLinkLocal, "ff02::2", 133, 255)),
                icmp("fe80::88", "ff02::1:ff00:1", 135, 255),
                icmp("fe80::88", kRouterLinkLocal, 136, 255),
                by_root(icmp(kOwn6, "2001:db8:50::1", 135, 255))}),
        framed({"wire-nd-routed", "closed", "drop", wire}, "eth0",
               {by_root(icmp(kOwn6, kPublic6, 135, 255))}),
        framed({"wire-mld", "closed", "accept", "multicast listener reports"}, "eth0",
               {by_root(icmp(kOwnLinkLocal, "ff02::16", 143, 1))}),
    };
}

/// What goes onto the wire past every IP rule.
inline std::vector<Row> wire_rows()
{
    const char* const wire = "frame outside the tunnel";
    const char* const program = "VPN server, by its tunnel program";
    const char* const part = "VPN server, by its tunnel program, later fragment";
    const char* const other = "VPN server, not by its tunnel program";
    const char* const trusted = "trusted guest (belt-allow)";
    const auto by_root = [](std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet = by(0, std::move(packet));
        }
        return packets;
    };
    const auto to_server = [](std::uint32_t mark = 0) {
        std::vector packets = {udp(kOwn4, kServer4, 1194), udp(kOwn6, kServer6, 1194)};
        for (Packet& packet : packets) {
            packet.mark = mark;
        }
        return packets;
    };
    const auto fragments = [&] {
        std::vector packets = to_server();
        for (Packet& packet : packets) {
            packet = later_fragment(packet);
        }
        return packets;
    };
    const auto by_user = [](std::vector<Packet> packets) {
        for (Packet& packet : packets) {
            packet.uid = kUser;
        }
        return packets;
    };
    return {
        framed({"wire-server", "closed", "accept", program}, "eth0", by_root(to_server())),
        framed({"wire-server-tunnel-address", "up", "drop", "tunnel address outside the tunnel"},
               "eth0", by_root({udp(kTunnel4, kServer4, 1194), udp(kTunnel6, kServer6, 1194)})),
        framed({"wire-server-other-user", "up", "drop", other}, "eth0", by_user(to_server())),
        framed({"wire-server-guest", "up", "drop", other}, "eth0", to_server()),
        framed({"wire-server-marked", "up", "drop", other}, "eth0",
               by_user(to_server(kUnderlayMark))),
        framed({"wire-server-fragment", "up", "accept", part}, "eth0", by_root(fragments())),
        framed({"wire-server-fragment-other", "up", "drop", wire}, "eth0",
               by_user(fragments()) + fragments()),
        framed({"wire-mark", "up", "accept", program}, "eth0",
               {by(kUser, udp(kOwn4, kMarkedServer, 51820), kServerMark)}),
        framed({"wire-mark-fragment", "up", "accept", part}, "eth0",
               {later_fragment(by(kUser, udp(kOwn4, kMarkedServer, 51820), kServerMark))}),
        framed({"wire-mark-missing", "up", "drop", other}, "eth0",
               {by(0, udp(kOwn4, kMarkedServer, 51820))}),
        framed({"wire-dns-lan", "up", "drop", "DNS outside the tunnel"}, "eth0",
               by_root({udp(kOwn4, kResolver, 53), tcp(kOwn4, kResolver, 853)}) +
                   std::vector{udp("192.168.50.88", kResolver, 53)}),
        framed({"wire-names", "up", "drop", "local name service"}, "eth0",
               by_root({udp(kOwn4, "224.0.0.251", 5353, 5353)})),
        framed({"wire-lan", "up", "accept", "local network"}, "eth0",
               by_root(anything(kOwn4, kNeighbour)) + anything("192.168.50.88", kNeighbour) +
                   anything("fe80::88", "fd12::1")),
        framed({"wire-lan-deny", "up, lan=deny", "drop", wire}, "eth0",
               by_root(anything(kOwn4, kNeighbour)) + anything("192.168.50.88", kNeighbour)),
        framed({"wire-tunnel-address", "up", "drop", "tunnel address outside the tunnel"}, "eth0",
               by_root(anything(kTunnel4, kNeighbour)) + by_root(anything(kTunnel6, "fd12::1"))),
        framed({"wire-tunnel-network", "up", "drop", "tunnel network outside the tunnel"}, "eth0",
               by_root(anything(kOwn4, "10.99.1.1")) + by_root(anything(kOwn6, "2001:db8:c0::53"))),
        framed({"wire-public", "up", "drop", wire}, "eth0",
               by_root(anything(kOwn4, kPublic4)) + anything("192.168.50.88", kPublic4)),
        framed({"wire-public6", "closed", "drop", wire}, "eth0",
               by_root(anything(kOwn6, kPublic6)) + anything("2001:db8:50::88", kPublic6)),
        framed({"wire-inbound-unmarked", "up, inbound", "drop", wire}, "eth0",
               by_root({udp(kOwn4, kPublic4, 9, 51820)}) +
                   std::vector{udp("192.168.50.88", kPublic4, 9, 51820)}),
        framed({"wire-inbound-answer", "up, inbound", "accept", "answers of an inbound service"},
               "eth0",
               {by(kUser, udp(kOwn4, kPublic4, 9, 51820), kUnderlayMark),
                marked(kUnderlayMark, udp(kOwn4, kPublic4, 9, 51820)),
                marked(kUnderlayMark, udp(kOwn6, kPublic6, 9, 51820))}),
        framed({"wire-inbound-guest", "up, inbound", "drop", wire}, "eth0",
               {marked(kUnderlayMark, udp("192.168.50.88", kPublic4, 9, 51820)),
                marked(kUnderlayMark, udp("2001:db8:50::88", kPublic6, 9, 51820))}),
        framed({"wire-allowed-guest", "up, belt-allow", "accept", trusted}, "eth0",
               {from_mac(kTrustedMac, udp("192.168.50.88", kPublic4, 9)),
                from_mac(kTrustedMac, arp("192.168.50.88", kPublic4)),
                udp("192.168.50.66", kPublic4, 9), udp("2001:db8:50::66", kPublic6, 9)}),
        framed({"wire-other-guest", "up, belt-allow", "drop", wire}, "eth0",
               {udp("192.168.50.67", kPublic4, 9), arp("192.168.50.66", kPublic4)}),
        framed({"wire-allowed-type", "up, belt-allow", "accept", "trusted frame type (belt-allow)"},
               "eth0", {frame(0x88e5), by(0, frame(0x88e5))}),
        framed({"wire-mislabelled", "up, belt-allow", "drop", wire}, "eth0",
               {by(0, mislabelled(frame(0x888e))), by(0, mislabelled(frame(0x8864))),
                by(0, mislabelled(frame(0x88e5))), by(0, mislabelled(udp(kOwn4, kNeighbour, 9))),
                by(0, mislabelled(udp(kOwn6, "fd12::1", 9)))}),
        framed({"wire-none-loopback", "up", "accept", "policy"}, "lo",
               by_root({udp("127.0.0.1", "127.0.0.1", 9)})),
        framed({"wire-none-tunnel", "up", "accept", "policy"}, "tun0",
               by_root(anything(kOwn4, kPublic4))),
        framed({"wire-none-guests", "up", "accept", "policy"}, "br0",
               by_root(anything(kOwn4, kPublic4))),
        framed({"wire-none-behind", "up, forward", "accept", "policy"}, "br1",
               by_root(anything(kOwn4, kPublic4))),
    };
}

/// Every row, in the document's order.
inline const std::vector<Row>& security_rows()
{
    static const std::vector<Row> rows = [] {
        std::vector<Row> all = device_rows();
        for (auto part : {rerouted_rows, source_route_rows, server_rows, housekeeping_rows,
                          dns_rows, place_rows, tunnel_in_rows, server_in_rows, place_in_rows,
                          forwarded_rows, passing_rows, arp_rows, inbound_rows, behind_rows,
                          forwarded_behind_rows, portal_rows, link_rows, wire_rows}) {
            append(all, part());
        }
        return all;
    }();
    return rows;
}

} // namespace failclosed::test
