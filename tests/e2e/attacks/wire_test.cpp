// SPDX-License-Identifier: GPL-3.0-or-later
// A neighbour as attacker: frames forged on the client's own wire.
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

// What OpenVPN's server gives its first client.
constexpr char tunnel4[] = "10.8.0.2";
constexpr char tunnel6[] = "fd00:8::1000";
constexpr std::uint16_t closed_port = 40'000;
constexpr std::uint16_t echo_port = 7;
constexpr std::uint8_t syn = 0x02;
constexpr std::uint8_t syn_ack = 0x12;

bool is_v6_text(const std::string& address)
{
    return address.find(':') != std::string::npos;
}

/// An attacker who can send frames on the client's link, and the client's tunnel seen from inside.
class Attacker {
  public:
    explicit Attacker(Target& target)
        : target_(&target),
          addresses_{mac_of(target.isp(), "lan0"), mac_of(target.client(), "eth0")},
          wire_(target.isp(), "lan0"), tunnel_(target.client(), "tun0")
    {
    }

    /// An IP packet in a frame for the client's hardware address.
    void send(const Frame& packet) const { wire_.send(ethernet(addresses_, packet)); }

    void send_body(std::uint16_t type, const Frame& body, const Mac& to) const
    {
        wire_.send(ethernet({addresses_.from, to}, type, body));
    }

    const Mac& client() const { return addresses_.to; }

    const Mac& own() const { return addresses_.from; }

    Wiretap& wire() { return wire_; }

    /// What has leaked on the wire, and what the client has sent into the tunnel to any of these:
    /// an encrypted packet tells as much.
    std::uint64_t answered(const std::vector<std::string>& askers)
    {
        std::uint64_t count = target_->leaked();
        for (const auto& seen : tunnel_.seen()) {
            for (const auto& asker : askers) {
                count += seen.outgoing && seen.holds(address_bytes(asker)) ? 1 : 0;
            }
        }
        return count;
    }

  private:
    Target* target_;
    Ethernet addresses_;
    Wiretap wire_;
    Wiretap tunnel_;
};

void set_rp_filter(const Box& client, int value)
{
    for (const char* scope : {"all", "eth0", "tun0"}) {
        client.sysctl(std::string("net.ipv4.conf.") + scope + ".rp_filter", std::to_string(value));
    }
}

/// A socket of a program in the client.
class Socket {
  public:
    Socket(const Box& client, int family, int type, int protocol = 0)
        : fd_(client.in([&] { return socket(family, type | SOCK_CLOEXEC, protocol); })),
          family_(family)
    {
        if (fd_ < 0) {
            throw LabError("no socket");
        }
    }

    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    ~Socket() { close(fd_); }

    void connect_to(const std::string& address, std::uint16_t port) const
    {
        const auto to = make(address, port);
        if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
            throw LabError("no connection to " + address);
        }
    }

    void bind_to(const std::string& address, std::uint16_t port) const
    {
        const auto own = make(address, port);
        if (bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
            throw LabError("cannot bind to " + address);
        }
    }

    std::uint16_t port() const
    {
        sockaddr_in6 own{};
        socklen_t size = sizeof own;
        getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size);
        return ntohs(own.sin6_port); // at the same place in both families
    }

    /// How many datagrams have arrived since the last call.
    std::uint64_t received() const
    {
        std::array<char, 2048> buffer;
        std::uint64_t count = 0;
        while (recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) {
            ++count;
        }
        return count;
    }

    /// What has befallen it since the last call: 0, or an errno.
    int error() const
    {
        int value = 0;
        socklen_t size = sizeof value;
        getsockopt(fd_, SOL_SOCKET, SO_ERROR, &value, &size);
        return value;
    }

    int descriptor() const { return fd_; }

  private:
    // Large enough for both; the kernel looks at the family.
    sockaddr_in6 make(const std::string& address, std::uint16_t port) const
    {
        sockaddr_in6 result{};
        if (family_ == AF_INET6) {
            result.sin6_family = AF_INET6;
            result.sin6_port = htons(port);
            inet_pton(AF_INET6, address.c_str(), &result.sin6_addr);
        } else {
            auto& v4 = reinterpret_cast<sockaddr_in&>(result);
            v4.sin_family = AF_INET;
            v4.sin_port = htons(port);
            inet_pton(AF_INET, address.c_str(), &v4.sin_addr);
        }
        return result;
    }

    int fd_;
    int family_;
};

/// The same attack in both families.
struct Family {
    int number;
    const char* tunnel;
    const char* client; ///< on the wire
    const char* site;
    const char* resolver;
    const char* inside;
    std::vector<std::string> askers; ///< a neighbour, and a host of the internet
};

const std::array<Family, 2> families = {Family{AF_INET,
                                               tunnel4,
                                               addr::client4,
                                               addr::site4,
                                               addr::resolver4,
                                               addr::inside4,
                                               {addr::gateway4, addr::site4}},
                                        Family{AF_INET6,
                                               tunnel6,
                                               addr::client6,
                                               addr::site6,
                                               addr::resolver6,
                                               addr::inside6,
                                               {addr::gateway6, addr::site6, addr::gateway_link}}};

class Wire : public ::testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        Target::Options options;
        options.prepare = [](Lab& lab) {
            // Incomplete packets are given up after a second.
            lab.client().sysctl("net.ipv4.ipfrag_time", "1");
            lab.client().sysctl("net.ipv6.ip6frag_time", "1");
        };
        targets_ = new Targets(options);
    }

    static void TearDownTestSuite()
    {
        delete targets_;
        targets_ = nullptr;
    }

    static Targets& targets() { return *targets_; }

  private:
    static inline Targets* targets_ = nullptr;
};

// ---- Who has the tunnel's address? ----

// MLLVD-CR-24-03.
TEST_F(Wire, NeighboursAreNotToldTheTunnelsAddress)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds}, targets(), [](Target& target) {
            const Attacker attacker(target);
            for (const char* asker : {addr::gateway4, "0.0.0.0", addr::inside4}) {
                for (const Mac& to : {broadcast_mac, attacker.client()}) {
                    attacker.send_body(
                        0x0806,
                        arp({.sender_mac = attacker.own(), .sender = asker, .target = tunnel4}),
                        to);
                }
            }
            // Neighbour discovery's question (RFC 4861, section 4.3), to all and to it alone.
            for (const Mac& to : {group_mac("ff02::1:ff00:1000"), attacker.client()}) {
                attacker.send_body(
                    0x86dd,
                    icmp({.from = addr::gateway_link, .to = "ff02::1:ff00:1000", .hops = 255},
                         {.type = 135}, address_bytes(tunnel6)),
                    to);
            }
            // Its own questions: a socket bound to the tunnel's address signs them with it.
            target.client().run({"ping", "-c1", "-W0.1", "-I", tunnel4, addr::neighbour4});
            return target.leaked();
        });
}

// CVE-2019-14899, its first part: packets for each address that the tunnel may have.
TEST_F(Wire, ProbesDoNotFindTheTunnelsAddress)
{
    // The routing rules lead the answers into the tunnel, where they are seen as well.
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            std::uint64_t count = 0;
            for (const int filter : {0, 1, 2}) {
                set_rp_filter(target.client(), filter);
                Attacker attacker(target);
                for (const Family& family : families) {
                    for (const auto& asker : family.askers) {
                        const Ip ip{.from = asker, .to = family.tunnel};
                        const std::uint8_t echo = family.number == AF_INET ? 8 : 128;
                        attacker.send(tcp(ip, {443, closed_port, syn_ack, 1, 1}));
                        attacker.send(tcp(ip, {443, closed_port, syn, 1, 0}));
                        attacker.send(icmp(ip, {.type = echo, .rest = 0x0101'0001}));
                        attacker.send(udp(ip, closed_port, closed_port));
                    }
                }
                const std::uint64_t answers = attacker.answered(
                    {addr::gateway4, addr::gateway6, addr::site4, addr::site6, addr::gateway_link});
                EXPECT_TRUE(target.guard() != Guard::None || answers > 0) << filter;
                count += answers;
                target.sniffer().reset();
            }
            set_rp_filter(target.client(), 0);
            return count;
        });
}

// CVE-2019-14899, its second part (USENIX Security 2021): is there a connection with these ports?
TEST_F(Wire, ForgedSegmentsTriggerNoEncryptedAnswer)
{
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(),
                    [](Target& target) {
                        std::uint64_t count = 0;
                        for (const Family& family : families) {
                            const Socket connection(target.client(), family.number, SOCK_STREAM);
                            connection.connect_to(family.site, echo_port);
                            for (const int filter : {0, 1, 2}) {
                                set_rp_filter(target.client(), filter);
                                Attacker attacker(target);
                                const Ip ip{.from = family.site, .to = family.tunnel};
                                for (const std::uint8_t flags : {syn, syn_ack}) {
                                    // The right ones, and those beside it.
                                    for (const int offset : {0, 1}) {
                                        const auto port =
                                            static_cast<std::uint16_t>(connection.port() + offset);
                                        attacker.send(tcp(ip, {echo_port, port, flags, 1, 1}));
                                    }
                                }
                                count += attacker.answered({family.site});
                            }
                        }
                        set_rp_filter(target.client(), 0);
                        return count;
                    });
}

// The strict reverse path filter does not stop it: the kernel finds the socket first.
TEST_F(Wire, ForgedDatagramsDoNotReachTheTunnelsSockets)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            std::uint64_t delivered = 0;
            for (const Family& family : families) {
                const Socket stub(target.client(), family.number, SOCK_DGRAM);
                stub.connect_to(family.resolver, 53);
                for (const int filter : {0, 1, 2}) {
                    set_rp_filter(target.client(), filter);
                    const Attacker attacker(target);
                    for (int i = 0; i < 3; ++i) {
                        attacker.send(udp({.from = family.resolver, .to = family.tunnel}, 53,
                                          stub.port(), bytes_of("forged")));
                    }
                    target.sniffer().settle();
                    const std::uint64_t now = stub.received();
                    EXPECT_TRUE(target.guard() != Guard::None || now > 0) << filter;
                    delivered += now;
                }
            }
            set_rp_filter(target.client(), 0);
            return delivered;
        });
}

// As a peer inside of the tunnel, to the client's address on the wire.
TEST_F(Wire, NeighboursAreNotPeersInsideTheTunnel)
{
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(),
                    [](Target& target) {
                        std::uint64_t delivered = 0;
                        const Attacker attacker(target);
                        for (const Family& family : families) {
                            const Socket service(target.client(), family.number, SOCK_DGRAM);
                            service.bind_to(family.number == AF_INET ? "0.0.0.0" : "::", 5000);
                            attacker.send(udp({.from = family.inside, .to = family.client},
                                              closed_port, 5000, bytes_of("forged")));
                            target.sniffer().settle();
                            delivered += service.received();
                        }
                        return delivered;
                    });
}

// ---- Fragments ----

/// ICMP and ICMPv6 "fragment reassembly time exceeded" from this address.
bool is_given_up(const Seen& seen, const std::string& from)
{
    const bool v6 = is_v6_text(from);
    const std::size_t protocol = v6 ? 20 : 23;
    const std::size_t type = v6 ? 54 : 34;
    return !seen.outgoing && seen.frame.size() > type + 1 &&
           seen.frame[protocol] == (v6 ? 58 : 1) && seen.frame[type] == (v6 ? 3 : 11) &&
           seen.frame[type + 1] == 1 && seen.holds(address_bytes(from));
}

// What stays incomplete is answered by the kernel before any rule sees a packet.
TEST_F(Wire, FragmentsDoNotFindTheTunnelsAddress)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            Attacker attacker(target);
            const std::string link = link_local(attacker.client());
            // Where connections are tracked; there is none without.
            target.client().run({"sysctl", "-qw", "net.netfilter.nf_conntrack_frag6_timeout=1"});
            const Frame payload(64, 'x');
            std::uint16_t id = 1;
            // The last ones are for addresses that answer: when they do, the others' time is over.
            for (const Ip& ip :
                 {Ip{.from = addr::gateway4, .to = tunnel4}, Ip{.from = addr::site4, .to = tunnel4},
                  Ip{.from = addr::gateway6, .to = tunnel6}, Ip{.from = addr::site6, .to = tunnel6},
                  Ip{.from = addr::gateway4, .to = addr::client4},
                  Ip{.from = addr::gateway_link, .to = link}}) {
                Ip first = ip;
                first.id = id++;
                first.more_fragments = true;
                attacker.send(packet(first, IPPROTO_UDP, payload));
            }
            bool given_up4 = false;
            bool given_up6 = false;
            EXPECT_TRUE(attacker.wire().wait_for([&](const Seen& seen) {
                given_up4 = given_up4 || is_given_up(seen, addr::client4);
                given_up6 = given_up6 || is_given_up(seen, link);
                return given_up4 && given_up6;
            }));
            // Whole ones, in pieces.
            for (const Family& family : families) {
                for (const auto& asker : family.askers) {
                    const Frame whole = udp({.from = asker, .to = family.tunnel}, closed_port,
                                            closed_port, payload);
                    const std::size_t header = family.number == AF_INET ? 20 : 40;
                    for (const auto& part : fragments(
                             {.from = asker, .to = family.tunnel, .id = id++}, IPPROTO_UDP,
                             {whole.begin() + static_cast<std::ptrdiff_t>(header), whole.end()},
                             32)) {
                        attacker.send(part);
                    }
                }
            }
            return attacker.answered({addr::gateway4, addr::gateway6, addr::site4, addr::site6});
        });
}

// ---- What is on the wire, and what seems to be ----

/// A neighbour that says of every address that it is his.
TEST(ProxyArp, GetsNoPayloadOfBoundSockets)
{
    Kinds kinds;
    for (const auto& kind : bound_kinds()) {
        if (kind.via != Via::Source) {
            kinds.push_back(kind);
        }
    }
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Leaks, .belt = Holds, .alive = false}, [&](Target& target) {
            target.isp().sysctl("net.ipv4.conf.lan0.proxy_arp", "1");
            target.isp().sysctl("net.ipv4.neigh.lan0.proxy_delay", "0");
            target.isp().sysctl("net.ipv6.conf.lan0.proxy_ndp", "1");
            target.isp().sysctl("net.ipv6.neigh.lan0.proxy_delay", "0");
            target.isp().ip(std::string("neigh add proxy ") + addr::site6 + " dev lan0\n");
            target.vpn().kill();
            Traffic traffic(target.lab(), {.kinds = kinds});
            for (const auto& kind : kinds) {
                // With the routing alone he has the payload itself; IPv6 takes no device for "on
                // the link" where no route is found.
                const bool seen = target.guard() == Guard::None ||
                                  (target.guard() == Guard::Routing && !is_v6(kind));
                EXPECT_TRUE(!seen || target.sniffer().wait_until([&](const Counts& counts) {
                    return counts.leaked_kinds.contains(kind.name);
                })) << to_string(target.guard())
                    << " " << kind.name;
            }
            EXPECT_TRUE(traffic.wait_all_sent(10));
            traffic.stop();
            return target.leaked();
        });
}

// CVE-2020-8558 and similar: route_localnet is set.
TEST_F(Wire, LoopbackIsNotReachedFromOutside)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            const Attacker attacker(target);
            const Socket service(target.client(), AF_INET, SOCK_DGRAM);
            service.bind_to("127.0.0.1", 5300);
            const Socket service6(target.client(), AF_INET6, SOCK_DGRAM);
            service6.bind_to("::1", 5300);
            for (const char* scope : {"all", "eth0"}) {
                target.client().sysctl(std::string("net.ipv4.conf.") + scope + ".route_localnet",
                                       "1");
            }
            for (const char* from : {addr::gateway4, addr::site4, "127.0.0.1", "127.0.0.2"}) {
                attacker.send(
                    udp({.from = from, .to = "127.0.0.1"}, closed_port, 5300, bytes_of("forged")));
            }
            for (const char* from : {addr::gateway6, addr::gateway_link, "::1"}) {
                attacker.send(
                    udp({.from = from, .to = "::1"}, closed_port, 5300, bytes_of("forged")));
            }
            target.sniffer().settle();
            const std::uint64_t delivered = service.received() + service6.received();
            for (const char* scope : {"all", "eth0"}) {
                target.client().sysctl(std::string("net.ipv4.conf.") + scope + ".route_localnet",
                                       "0");
            }
            return delivered;
        });
}

// ValdikSS, 2015: a port that is open at home and in the tunnel. Who asks at home and is answered
// through the tunnel knows both addresses.
TEST_F(Wire, AForwardedPortIsNotAnsweredThroughTheTunnel)
{
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(),
                    [](Target& target) {
                        std::uint64_t count = 0;
                        for (const Family& family : families) {
                            const Socket service(target.client(), family.number, SOCK_STREAM);
                            service.bind_to(family.number == AF_INET ? "0.0.0.0" : "::", 5001);
                            EXPECT_EQ(listen(service.descriptor(), 4), 0);
                            Attacker attacker(target);
                            attacker.send(tcp({.from = family.site, .to = family.client},
                                              {closed_port, 5001, syn, 1, 0}));
                            count += attacker.answered({family.site});
                        }
                        return count;
                    });
}

// ---- Path MTU ----

/// How many routes to the site have a forged MTU.
std::uint64_t narrowed(const Box& client)
{
    std::uint64_t count = 0;
    for (const char* to : {addr::site4, addr::site6}) {
        const std::string route = client.run({"ip", "route", "get", to}).out;
        count += route.find(" mtu 600") != std::string::npos ||
                 route.find(" mtu 1280") != std::string::npos;
    }
    return count;
}

// MLLVD-CR-24-05: a smaller packet size, claimed from the wire for a flow in the tunnel, marks it.
TEST_F(Wire, NeighboursCannotSetTheSizeOfTheTunnelsPackets)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            const Attacker attacker(target);
            const std::string link = link_local(attacker.client());
            std::uint64_t count = 0;
            for (const Family& family : families) {
                const bool v4 = family.number == AF_INET;
                const Socket flow(target.client(), family.number, SOCK_DGRAM);
                flow.connect_to(family.site, echo_port);
                Frame quoted = udp({.from = family.tunnel, .to = family.site}, flow.port(),
                                   echo_port, Frame(1200, 'x'));
                quoted.resize(v4 ? 28 : 1200);
                const Icmp claim = v4 ? Icmp{.type = 3, .code = 4, .rest = 600}
                                      : Icmp{.type = 2, .code = 0, .rest = 1280};
                for (const auto& asker : family.askers) {
                    for (const std::string& to :
                         {std::string(family.tunnel), std::string(family.client), link}) {
                        if (is_v6_text(to) != v4) {
                            attacker.send(icmp({.from = asker, .to = to}, claim, quoted));
                        }
                    }
                }
                target.sniffer().settle();
                count += narrowed(target.client());
                target.client().must({"ip", v4 ? "-4" : "-6", "route", "flush", "cache"});
            }
            return count;
        });
}

// As if the other end were not there: its programs would give up.
TEST_F(Wire, NeighboursCannotEndTheTunnelsFlows)
{
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(), [](Target& target) {
            const Attacker attacker(target);
            const std::string link = link_local(attacker.client());
            std::uint64_t ended = 0;
            for (const Family& family : families) {
                const bool v4 = family.number == AF_INET;
                const Socket flow(target.client(), family.number, SOCK_DGRAM);
                flow.connect_to(family.site, echo_port);
                Frame quoted =
                    udp({.from = family.tunnel, .to = family.site}, flow.port(), echo_port);
                const Icmp unreachable =
                    v4 ? Icmp{.type = 3, .code = 3} : Icmp{.type = 1, .code = 4};
                for (const auto& asker : family.askers) {
                    for (const std::string& to :
                         {std::string(family.tunnel), std::string(family.client), link}) {
                        if (is_v6_text(to) != v4) {
                            attacker.send(icmp({.from = asker, .to = to}, unreachable, quoted));
                            target.sniffer().settle();
                            ended += flow.error() == ECONNREFUSED;
                        }
                    }
                }
            }
            if (target.guard() == Guard::All) {
                // What the local network says of its own flows is heard.
                const Socket flow(target.client(), AF_INET, SOCK_DGRAM);
                flow.connect_to(addr::neighbour4, closed_port);
                send(flow.descriptor(), "x", 1, 0);
                EXPECT_TRUE(eventually([&] { return flow.error() == ECONNREFUSED; }));
            }
            return ended;
        });
}

// ---- Packets in packets ----

// CVE-2020-10136, CVE-2024-7595 and others: decapsulation of packets from any sender.
TEST_F(Wire, EncapsulatedPacketsOfNeighboursAreNotDecapsulated)
{
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(),
                    [](Target& target) {
                        const Attacker attacker(target);
                        const Frame inner = udp({.from = addr::inside4, .to = addr::client4},
                                                closed_port, 5002, bytes_of("forged"));
                        std::uint64_t delivered = 0;
                        // IPIP, 6in4, GRE, EtherIP: their receivers, whether the kernel has them or
                        // not.
                        for (const int protocol : {4, 41, 47, 97}) {
                            const Socket receiver(target.client(), AF_INET, SOCK_RAW, protocol);
                            attacker.send(packet({.from = addr::site4, .to = addr::client4},
                                                 static_cast<std::uint8_t>(protocol), inner));
                            target.sniffer().settle();
                            delivered += receiver.received();
                        }
                        return delivered;
                    });
}

// A real one, with a device of its own.
TEST_F(Wire, VxlanPacketsOfNeighboursAreNotDecapsulated)
{
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets(),
                    [](Target& target) {
                        const Attacker attacker(target);
                        target.client().ip("link add vx0 type vxlan id 66 dstport 4789 dev eth0\n"
                                           "addr add 172.31.0.1/24 dev vx0\nlink set vx0 up\n");
                        const Socket service(target.client(), AF_INET, SOCK_DGRAM);
                        service.bind_to("0.0.0.0", 5003);
                        const Frame header = {0x08, 0, 0, 0, 0, 0, 66, 0};
                        const Frame inner = ethernet({.to = mac_of(target.client(), "vx0")},
                                                     udp({.from = "172.31.0.9", .to = "172.31.0.1"},
                                                         closed_port, 5003, bytes_of("forged")));
                        attacker.send(udp({.from = addr::site4, .to = addr::client4}, closed_port,
                                          4789, joined({header, inner})));
                        target.sniffer().settle();
                        const std::uint64_t delivered = service.received();
                        target.client().ip("link del vx0\n");
                        return delivered;
                    });
}

} // namespace

} // namespace failclosed::lab
