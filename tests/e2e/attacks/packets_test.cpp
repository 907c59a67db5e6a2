// SPDX-License-Identifier: GPL-3.0-or-later
// Packets that leave by another way than their destination says: rerouted after they were judged,
// copied to the uplink by other firewalls, and sent over stations of the sender's own choice.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/in6.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/lab/socket_address.hpp"
#include "tests/support/traffic/senders.hpp"

namespace failclosed::lab {

namespace {

constexpr std::uint16_t some_port = 9000;
constexpr uid_t nobody = 65534;
constexpr char tunnel4[] = "10.8.0.2";
constexpr char tunnel6[] = "fd00:8::2";

// ---- Rerouted after the output hook has chosen a device ----

struct Reroute {
    std::string name;
    std::string rules;  ///< a table of the user's, "inet mine" or "ip mine"
    bool names = false; ///< what is sent is a question to a resolver inside the tunnel
};

void PrintTo(const Reroute& value, std::ostream* out)
{
    *out << value.name;
}

/// Rules and routes of the user's that lead marked packets, and those to the network's resolver, to
/// the uplink before ours have a say.
void lead_marked_packets_out(const Box& client)
{
    for (const auto& [family, gateway] :
         {std::pair{"-4", addr::gateway4}, std::pair{"-6", addr::gateway_link}}) {
        client.must({"ip", family, "route", "replace", "default", "via", gateway, "dev", "eth0",
                     "table", "777"});
        client.run({"ip", family, "rule", "del", "pref", "100"});
        client.must({"ip", family, "rule", "add", "pref", "100", "fwmark", "0x99", "table", "777"});
    }
    client.run({"ip", "rule", "del", "pref", "101"});
    client.must(
        {"ip", "rule", "add", "pref", "101", "to", addr::gateway4, "dport", "53", "table", "main"});
}

class Rerouted : public ::testing::TestWithParam<Reroute> {
  protected:
    static void SetUpTestSuite() { targets = new Targets; }

    static void TearDownTestSuite() { delete targets; }

    static inline Targets* targets = nullptr;
};

TEST_P(Rerouted, LeavesByNoOtherDevice)
{
    const HeldTag tag("rerouted");
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds}, *targets, [&](Target& target) {
            const Box& client = target.client();
            lead_marked_packets_out(client);
            client.nft(GetParam().rules);
            client.in([&] {
                for (int i = 0; i < 5; ++i) {
                    if (GetParam().names) {
                        send_datagram({.from = tunnel4}, addr::inside4, 53, tag.text());
                        continue;
                    }
                    send_datagram({.from = tunnel4}, addr::site4, some_port, tag.text());
                    send_datagram({.from = tunnel6}, addr::site6, some_port, tag.text());
                }
            });
            const std::uint64_t leaked = target.leaked();
            for (const char* family : {"inet", "ip"}) {
                client.run({"nft", "delete", "table", family, "mine"});
            }
            return leaked;
        });
}

INSTANTIATE_TEST_SUITE_P(
    By, Rerouted,
    ::testing::Values(
        Reroute{"AMark", "table inet mine {\nchain out {\ntype route hook output priority mangle\n"
                         "oifname tun0 udp dport 9000 meta mark set 0x99\n}\n}\n"},
        Reroute{"AMarkAfterOurChain",
                "table inet mine {\nchain out {\ntype route hook output priority 50\n"
                "oifname tun0 udp dport 9000 meta mark set 0x99\n}\n}\n"},
        Reroute{"Translation",
                "table inet mine {\nchain out {\ntype nat hook output priority -100\n"
                "oifname tun0 ip daddr 10.8.0.1 udp dport 53 dnat ip to 192.168.50.1\n}\n}\n",
                true},
        Reroute{"TranslationAfterOurChain",
                "table inet mine {\nchain out {\ntype nat hook output priority 50\n"
                "oifname tun0 ip daddr 10.8.0.1 udp dport 53 dnat ip to 192.168.50.1\n}\n}\n",
                true},
        Reroute{"CopiesToTheGateway",
                "table ip mine {\nchain out {\ntype filter hook output priority mangle\n"
                "oifname tun0 udp dport 9000 dup to 192.168.50.1 device eth0\n"
                "}\n}\n"},
        Reroute{"CopiesAtPostrouting",
                "table ip mine {\nchain out {\ntype filter hook postrouting priority 150\n"
                "oifname tun0 udp dport 9000 dup to 192.168.50.1 device eth0\n"
                "}\n}\n"}),
    [](const auto& test) { return test.param.name; });

// ---- Over stations of the sender's own choice ----

/// In the local network, to which all users may send.
constexpr char station6[] = "fd12::1";

using Bytes = std::vector<std::uint8_t>;

Bytes operator+(Bytes bytes, const Bytes& more)
{
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
}

/// What a program without privileges may ask for (RFC 8754): the socket's destination is the last
/// segment, and takes the place of the first one here.
Bytes segments()
{
    return Bytes{0, 4, 4, 1, 1, 0, 0, 0} + address_bytes("::") + address_bytes(station6);
}

/// RFC 791. Linux takes the first address for the first station, and adds the destination.
Bytes source_route(std::uint8_t kind)
{
    return Bytes{1, kind, 7, 4} + address_bytes(addr::gateway4);
}

constexpr std::uint8_t loose = 131;
constexpr std::uint8_t strict = 137;
constexpr std::uint8_t record = 7;

/// Sends to `to` with a header option of the socket. 0, or an errno.
int send_with(const std::string& to, int level, int option, const Bytes& header,
              const std::string& payload)
{
    const SocketAddress peer = socket_address(to, some_port);
    const bool v6 = peer.any.sa_family == AF_INET6;
    const int fd = socket(peer.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    const auto size = static_cast<socklen_t>(v6 ? sizeof(peer.v6) : sizeof(peer.v4));
    const bool sent =
        setsockopt(fd, level, option, header.data(), static_cast<socklen_t>(header.size())) == 0 &&
        sendto(fd, payload.data(), payload.size(), 0, &peer.any, size) >= 0;
    const int error = sent ? 0 : errno;
    close(fd);
    return error;
}

/// Types of routing headers (IANA), and an unassigned one.
constexpr std::array<std::uint8_t, 6> every_type = {0, 1, 2, 3, 4, 253};

/// A packet of IPv6 for the station with a routing header of `type`, which names the site.
Frame routed6(std::uint8_t type, const Frame& payload)
{
    const Frame datagram = udp({.from = addr::client6, .to = addr::site6}, 1, some_port, payload);
    const Frame behind(datagram.begin() + 40, datagram.end());
    const Frame header = Frame{IPPROTO_UDP, 2, type, 1, 0, 0, 0, 0} + address_bytes(addr::site6);
    return packet({.from = addr::client6, .to = station6}, IPPROTO_ROUTING, header + behind);
}

/// The same behind a header of destination options.
Frame routed6_behind_options(const Frame& payload)
{
    const Frame whole = routed6(0, payload);
    const Frame behind(whole.begin() + 40, whole.end());
    return packet({.from = addr::client6, .to = station6}, IPPROTO_DSTOPTS,
                  Frame{IPPROTO_ROUTING, 0, 1, 4, 0, 0, 0, 0} + behind);
}

class SourceRoutes : public ::testing::Test {
  protected:
    static void SetUpTestSuite() { targets = new Targets; }

    static void TearDownTestSuite() { delete targets; }

    /// The local network has a router of a private address.
    static void make_station(const Target& target)
    {
        target.isp().run({"ip", "addr", "add", "fd12::1/64", "dev", "lan0", "nodad"});
        target.client().run({"ip", "addr", "add", "fd12::10/64", "dev", "eth0", "nodad"});
    }

    /// How many frames with `text` have come to the local network's router since `wire` was made,
    /// all that was sent before this call included. Waits for `sent` of them if they have to leak:
    /// the first one waits for neighbour discovery.
    static std::uint64_t arrived(const Target& target, Wiretap& wire, const std::string& text,
                                 std::uint64_t sent)
    {
        const Frame bytes = bytes_of(text);
        std::uint64_t count = 0;
        const auto have_all = [&] {
            count += static_cast<std::uint64_t>(
                std::ranges::count_if(wire.seen(), [&](const Seen& frame) {
                    return !frame.outgoing && frame.holds(bytes);
                }));
            return count >= sent;
        };
        // What comes after it on the wire shows that it has passed.
        EXPECT_TRUE(eventually([&] { return answers(target.isp(), addr::client4, {"-W1"}); }));
        if (target.has_to_leak()) {
            EXPECT_TRUE(eventually(have_all)) << "not each of them was sent";
        } else {
            have_all();
        }
        return count;
    }

    static inline Targets* targets = nullptr;
};

TEST_F(SourceRoutes, OfAProgramWithoutPrivileges)
{
    const HeldTag tag("source route");
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds}, *targets, [&](Target& target) {
            make_station(target);
            Wiretap wire(target.isp(), "lan0");
            const std::string payload = tag.text();
            run_as(target.client(), nobody, {}, [&] {
                send_with(addr::site6, IPPROTO_IPV6, IPV6_RTHDR, segments(), payload);
                // To the local network itself, but it tells on the way where it was.
                send_with(addr::gateway4, IPPROTO_IP, IP_OPTIONS,
                          Bytes{1, record, 7, 4, 0, 0, 0, 0}, payload);
                return 0;
            });
            // Later kernels want this for the other two; containers have it.
            run_as(target.client(), nobody, {CAP_NET_RAW}, [&] {
                for (const std::uint8_t kind : {loose, strict}) {
                    send_with(addr::site4, IPPROTO_IP, IP_OPTIONS, source_route(kind), payload);
                }
                return 0;
            });
            const std::uint64_t leaked = arrived(target, wire, payload, 4);
            if (target.has_to_leak()) {
                EXPECT_EQ(leaked, 4U) << "not each of them was sent";
            }
            return leaked;
        });
}

TEST_F(SourceRoutes, OfEachTypeByRawSockets)
{
    const HeldTag tag("raw source route");
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds}, *targets, [&](Target& target) {
            make_station(target);
            Wiretap wire(target.isp(), "lan0");
            const Frame payload = bytes_of(tag.text());
            target.client().in([&] {
                const int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
                const SocketAddress station = socket_address(station6, 0);
                const auto send = [&](const Frame& frame) {
                    (void)sendto(fd, frame.data(), frame.size(), 0, &station.any,
                                 sizeof(station.v6));
                };
                for (const std::uint8_t type : every_type) {
                    send(routed6(type, payload));
                }
                send(routed6_behind_options(payload));
                close(fd);
            });
            const std::uint64_t leaked = arrived(target, wire, tag.text(), every_type.size() + 1);
            if (target.has_to_leak()) {
                EXPECT_EQ(leaked, every_type.size() + 1) << "not each of them was sent";
            }
            return leaked;
        });
}

TEST_F(SourceRoutes, InFramesOfPacketSockets)
{
    const HeldTag tag("framed source route");
    expect_outcomes(
        {.firewall = Leaks, .routing = Leaks, .belt = Holds}, *targets, [&](Target& target) {
            make_station(target);
            Wiretap wire(target.isp(), "lan0");
            const Frame payload = bytes_of(tag.text());
            const Ethernet addresses{.from = mac_of(target.client(), "eth0"),
                                     .to = mac_of(target.isp(), "lan0")};
            target.client().in([&] {
                for (const std::uint8_t type : every_type) {
                    write_frame(ethernet(addresses, routed6(type, payload)), {});
                }
                write_frame(ethernet(addresses, routed6_behind_options(payload)), {});
            });
            const std::uint64_t leaked = arrived(target, wire, tag.text(), every_type.size() + 1);
            if (target.has_to_leak()) {
                EXPECT_EQ(leaked, every_type.size() + 1) << "not each of them was sent";
            }
            return leaked;
        });
}

/// A neighbour would learn by it which tunnel this machine uses.
TEST_F(SourceRoutes, BringNoIcmpErrorIntoTheTunnel)
{
    const HeldTag tag("answered source route");
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, *targets, [&](Target& target) {
            Wiretap tunnel(target.client(), "tun0");
            const Frame text = bytes_of(tag.text());
            // A used-up source route, which an answer follows backwards, and a malformed option.
            Frame options = {loose, 11, 12};
            for (const char* station : {"198.51.100.68", "198.51.100.69"}) {
                options = joined({options, address_bytes(station)});
            }
            options = joined({options, {record, 2, 0, 0, 0}});
            const Ethernet addresses{.from = mac_of(target.isp(), "lan0"),
                                     .to = mac_of(target.client(), "eth0")};
            const Ip from_neighbour{
                .from = addr::neighbour4, .to = addr::site4, .options = options};
            send_frame(target.isp(), "lan0",
                       ethernet(addresses, udp(from_neighbour, 1, some_port, text)));
            EXPECT_TRUE(eventually([&] { return answers(target.isp(), addr::client4, {"-W1"}); }));
            const auto is_answer = [&](const Seen& packet) {
                return packet.outgoing && packet.holds(text);
            };
            if (target.has_to_leak()) {
                return std::uint64_t{tunnel.wait_for(is_answer).has_value()};
            }
            return static_cast<std::uint64_t>(std::ranges::count_if(tunnel.seen(), is_answer));
        });
}

} // namespace

} // namespace failclosed::lab
