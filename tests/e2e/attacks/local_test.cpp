// SPDX-License-Identifier: GPL-3.0-or-later
// Programs of the machine itself: every socket trick, whole frames, marks, and what the kernel says
// by itself.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/refused_services.hpp"
#include "tests/support/traffic/senders.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

constexpr std::uint16_t some_port = 9000;
constexpr std::uint16_t echo_port = 7;
/// Of the underlay: what failclosed's own helper and answers of servers carry.
constexpr std::uint32_t underlay_mark = 0x00fc0000;

Target::Options options_for(const std::string& config, std::vector<std::string> lan)
{
    Target::Options options;
    options.config = config;
    options.policy.lan = std::move(lan);
    return options;
}

// ---- Sockets ----

/// What a kind of traffic has for a chance to get past the tunnel.
enum class Trick {
    Ordinary, ///< none: by the routes
    Device,   ///< names the device
    Server,   ///< the route to the VPN server
    Resolver, ///< a resolver on the wire
    Names,    ///< name services of the wire
    Group,    ///< other groups, and broadcasts
    DhcpHole, ///< DHCP's ports
};

std::string to_string(Trick trick)
{
    constexpr std::array names = {"ordinary",      "device", "server",   "resolver",
                                  "name services", "groups", "DHCP hole"};
    return names.at(static_cast<std::size_t>(trick));
}

bool is_group(const std::string& address)
{
    return address.starts_with("ff") || address.starts_with("233.") ||
           address.starts_with("239.") || address.ends_with(".255");
}

Trick trick_of(const Kind& kind)
{
    if (kind.name.starts_with("dhcp-")) {
        return Trick::DhcpHole;
    }
    if (tells_names(kind)) {
        return Trick::Names;
    }
    if (is_group(kind.to)) {
        return Trick::Group;
    }
    if (kind.via == Via::Device || kind.via == Via::PacketInfo ||
        kind.via == Via::UnicastInterface) {
        return Trick::Device;
    }
    if (kind.name.starts_with("server-")) {
        return Trick::Server;
    }
    const bool is_lan = kind.to == addr::gateway4 || kind.to == addr::gateway6;
    return (kind.port == oracle::dns && is_lan) || kind.port == oracle::encrypted_dns
               ? Trick::Resolver
               : Trick::Ordinary;
}

std::vector<Kind> every_kind()
{
    std::vector<Kind> kinds = all_kinds();
    for (const auto& more : {local_kinds(), hole_kinds()}) {
        kinds.insert(kinds.end(), more.begin(), more.end());
    }
    return kinds;
}

std::set<std::string> tricks_that_leaked(const std::vector<Kind>& kinds, const Counts& counts)
{
    std::set<std::string> tricks;
    for (const auto& kind : kinds) {
        if (counts.leaked_kinds.contains(kind.name)) {
            tricks.insert(to_string(trick_of(kind)));
        }
    }
    return tricks;
}

struct SocketCase {
    Guard guard;
    std::set<std::string> while_up;   ///< which tricks bring their payload out
    std::set<std::string> while_lost; ///< the same when the tunnel program was killed
    bool asks;                        ///< the wire is asked for hosts that are not on it
};

void PrintTo(const SocketCase& value, std::ostream* out)
{
    *out << to_string(value.guard);
}

class Sockets : public ::testing::TestWithParam<SocketCase> {};

TEST_P(Sockets, OfEveryKindWhileTheTunnelIsUpAndWhenItIsLost)
{
    const auto& wanted = GetParam();
    Target target(wanted.guard);
    ASSERT_TRUE(target.has_guard());
    const std::vector<Kind> kinds = every_kind();
    Traffic traffic(target.lab(), {.kinds = kinds});
    const auto look = [&](const char* when, const std::set<std::string>& tricks, bool last) {
        target.sniffer().reset();
        ASSERT_TRUE(traffic.wait_all_sent(20));
        if (last) {
            traffic.stop();
        }
        target.sniffer().settle();
        const Counts counts = target.sniffer().counts();
        EXPECT_EQ(tricks_that_leaked(kinds, counts), tricks) << when << ": " << counts.text();
        if (tricks.empty() && !wanted.asks) {
            EXPECT_EQ(counts.leaked + counts.lost, 0U) << when << ": " << counts.text();
        }
        std::printf("%s, %s: %llu leaked of %zu kinds\n", to_string(wanted.guard).c_str(), when,
                    static_cast<unsigned long long>(counts.leaked), counts.leaked_kinds.size());
    };
    ASSERT_NO_FATAL_FAILURE(look("up", wanted.while_up, false));
    // One answer may be lost in what all the others send.
    EXPECT_TRUE(eventually([&] { return target.tunnel_works(); })) << target.vpn().log();
    target.vpn().kill();
    target.keep_guard();
    ASSERT_NO_FATAL_FAILURE(look("lost", wanted.while_lost, true));
}

const std::set<std::string> no_trick;

// For a bound socket, hosts without a route are "on the link": ARP queries for them go out, but are
// not answered, so no payload follows. Groups and broadcasts need no answer.
INSTANTIATE_TEST_SUITE_P(
    Each, Sockets,
    ::testing::Values(
        SocketCase{
            Guard::None,
            {"device", "server", "resolver", "name services", "groups", "DHCP hole"},
            {"ordinary", "device", "server", "resolver", "name services", "groups", "DHCP hole"},
            false},
        SocketCase{Guard::All, no_trick, no_trick, false},
        SocketCase{Guard::Firewall, no_trick, no_trick, false},
        SocketCase{Guard::Routing, {"name services", "groups"}, {"name services", "groups"}, true},
        SocketCase{Guard::Belt, no_trick, no_trick, false}),
    [](const auto& test) {
        std::string name = to_string(test.param.guard);
        for (std::size_t i = 0; i < name.size(); ++i) {
            if (i == 0 || name[i - 1] == ' ') {
                name[i] = static_cast<char>(name[i] - 'a' + 'A');
            }
        }
        std::erase(name, ' ');
        return name;
    });

TEST(Wire, ReceivesNothingIfTheLocalNetworkIsDenied)
{
    std::vector<Kind> kinds = local_kinds();
    std::ranges::copy_if(all_kinds(), std::back_inserter(kinds), [](const Kind& kind) {
        return kind.name.find("-lan") != std::string::npos;
    });
    // Groups leave by themselves, independent of routing rules.
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds},
        [&](Target& target) {
            Traffic traffic(target.lab(), {.kinds = kinds});
            EXPECT_TRUE(traffic.wait_all_sent(20));
            traffic.stop();
            return target.leaked();
        },
        options_for("[failclosed]\nlan=deny\n", {}));
}

// Connected while the machine was open, and silent about it since.
TEST(OlderSockets, DoNotOutliveTheLock)
{
    Target::Options options;
    options.begin = false;
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds, .alive = false},
        [](Target& target) {
            const Traffic traffic(target.lab(), {.kinds = connected_kinds()});
            if (target.guard() != Guard::None) {
                target.client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
            }
            target.keep_guard();
            target.sniffer().settle();
            target.sniffer().reset();
            EXPECT_TRUE(traffic.wait_all_sent(20));
            return target.leaked();
        },
        options);
}

// A socket that is bound to the address of the wire takes it into the tunnel, where the VPN's
// operator reads it: OpenVPN's server counts such packets.
TEST(AddressOfTheWire, DoesNotEnterTheTunnel)
{
    Target::Options options;
    options.server.extra = {"verb 4"};
    Targets targets(options);
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets,
                    [](Target& target) {
                        const std::string text = "bad source address from client";
                        const auto before = target.server().process().count(text);
                        target.client().in([] {
                            for (int i = 0; i < 10; ++i) {
                                send_datagram({.from = addr::client4}, addr::site4, some_port, "x");
                                send_datagram({.from = addr::client6}, addr::site6, some_port, "x");
                            }
                        });
                        // In the order of one queue: what came before the answer was counted.
                        EXPECT_TRUE(target.tunnel_works());
                        if (target.has_to_leak()) {
                            EXPECT_TRUE(target.server().process().wait_for(text, before + 1));
                        }
                        return target.server().process().count(text) - before;
                    });
}

TEST(Marks, SetByAProgramOpenNothing)
{
    const HeldTag tag("marked");
    Targets targets;
    expect_outcomes(
        {.firewall = Holds, .routing = Leaks, .belt = Holds}, targets, [&](Target& target) {
            const std::string payload = tag.text();
            // Since Linux 5.17 this capability is enough, and containers have it.
            run_as(target.client(), traffic_uid, {CAP_NET_RAW}, [&] {
                for (const std::uint32_t mark : {underlay_mark, 0x51U, 0xca6cU, 1U}) {
                    for (const char* to : {addr::site4, addr::server4, addr::gateway4}) {
                        for (const std::uint16_t port :
                             {oracle::dns, std::uint16_t{1194}, some_port}) {
                            if (to == addr::gateway4 && port != oracle::dns) {
                                continue; // the local network
                            }
                            for (const char* device : {"", "eth0"}) {
                                send_datagram(
                                    {.from = addr::client4, .mark = mark, .device = device}, to,
                                    port, payload);
                            }
                        }
                    }
                }
                return 0;
            });
            return target.leaked();
        });
}

// A firewall of the user's (a queue to user space, say) that loses every mark.
TEST(Marks, ClearedByAnotherFirewallDoNotBreakTheTunnel)
{
    Target target(Guard::All);
    target.client().nft("table inet before {\nchain output {\n"
                        "type route hook output priority -200\nmeta mark set 0\n}\n}\n");
    target.vpn().hup();
    ASSERT_TRUE(target.vpn().wait_connected(2, connection_patience)) << target.vpn().log();
    EXPECT_TRUE(target.tunnel_works());
    EXPECT_EQ(target.leaked(), 0U);
}

// ---- Whole frames ----

/// A frame, and what its sender says about it.
struct NamedFrame {
    std::string name;
    Frame bytes;
    std::uint16_t said_type = 0;
    std::uint32_t mark = 0;
};

Frame with_vlan(const Ethernet& addresses, const Frame& inner)
{
    // IEEE 802.1Q: the tag control information, and what the frame was before.
    Frame body = bytes_of(std::string("\0\7", 2) + std::string(inner.begin() + 12, inner.end()));
    return ethernet(addresses, 0x8100, body);
}

/// An IPv4 packet that, read as IPv6, has a link-local destination.
Frame in_disguise(const Frame& payload)
{
    return tcp({.from = addr::client4, .to = addr::site4},
               {.from_port = some_port, .to_port = 443, .sequence = 0xfe800000}, payload);
}

class FrameList {
  public:
    /// Frames of the client's own device, each with a tag where it has room for one.
    explicit FrameList(const Box& client)
        : addresses_{.from = mac_of(client, "eth0"), .to = broadcast_mac}
    {
        const Ip site4{.from = addr::client4, .to = addr::site4};
        const Ip site6{.from = addr::client6, .to = addr::site6};
        const Ip server4{.from = addr::client4, .to = addr::server4};
        const Ip server6{.from = addr::client6, .to = addr::server6};
        const Ip isp{.from = addr::client4, .to = addr::gateway4};
        add("udp4", [&](const Frame& tag) { return udp(site4, some_port, some_port, tag); });
        add("udp6", [&](const Frame& tag) { return udp(site6, some_port, some_port, tag); });
        add("tunnel's address", [&](const Frame& tag) {
            return udp({.from = "10.8.0.2", .to = addr::site4}, some_port, some_port, tag);
        });
        add("dns4", [&](const Frame& tag) { return udp(isp, some_port, oracle::dns, tag); });
        add("mdns4", [&](const Frame& tag) {
            return udp({.from = addr::client4, .to = "224.0.0.251", .hops = 255}, oracle::mdns,
                       oracle::mdns, tag);
        });
        add("server's port", [&](const Frame& tag) { return udp(server4, some_port, 1194, tag); });
        // As what the kernel sends in a flow of the tunnel program's.
        add_tagged("server's port, marked", [&](const Frame& tag) {
            return NamedFrame{
                {}, ethernet(addresses_, udp(server4, some_port, 1194, tag)), 0, underlay_mark};
        });
        add("later fragment to the server", [&](const Frame& tag) {
            Ip ip = server4;
            ip.offset = 1480;
            return packet(ip, IPPROTO_UDP, tag);
        });
        add("later fragment to the server, IPv6", [&](const Frame& tag) {
            Ip ip = server6;
            ip.offset = 1480;
            return packet(ip, IPPROTO_UDP, tag);
        });
        add("first fragment to the server", [&](const Frame& tag) {
            Ip ip = server4;
            ip.more_fragments = true;
            return udp(ip, some_port, 1194, tag);
        });
        add("later fragment", [&](const Frame& tag) {
            Ip ip = site4;
            ip.offset = 1480;
            return packet(ip, IPPROTO_UDP, tag);
        });
        add_whole(
            "ARP", ETHERTYPE_ARP,
            arp({.sender_mac = addresses_.from, .sender = addr::client4, .target = addr::site4}));
        add_whole(
            "ARP from the tunnel's address", ETHERTYPE_ARP,
            arp({.sender_mac = addresses_.from, .sender = "10.8.0.2", .target = addr::gateway4}));
        add_tagged("unknown type", [&](const Frame& tag) {
            return NamedFrame{{}, ethernet(addresses_, 0x88b5, tag)};
        });
        add_tagged("length in the type's place", [&](const Frame& tag) {
            return NamedFrame{{}, ethernet(addresses_, 0x0040, tag)};
        });
        add_tagged("VLAN", [&](const Frame& tag) {
            return NamedFrame{
                {}, with_vlan(addresses_, ethernet(addresses_, udp(site4, 1, some_port, tag)))};
        });
        // Groups that no bridge forwards: spanning tree, link aggregation.
        for (const std::uint8_t group : {std::uint8_t{0}, std::uint8_t{2}}) {
            add_tagged("IPv4 to the bridges' group " + std::to_string(group),
                       [&](const Frame& tag) {
                           Ethernet to = addresses_;
                           to.to = {0x01, 0x80, 0xc2, 0x00, 0x00, group};
                           return NamedFrame{{}, ethernet(to, udp(site4, 1, some_port, tag))};
                       });
        }
        // The sender tells the kernel a type, and writes another into the frame.
        constexpr std::array<std::uint16_t, 6> said_types = {0x888e, 0x0806, 0x8863,
                                                             0x8864, 0x86dd, 0x88b5};
        for (const std::uint16_t said : said_types) {
            char name[48] = {};
            std::snprintf(name, sizeof(name), "IPv4 that is said to be 0x%04x", said);
            add_tagged(name, [&](const Frame& tag) {
                return NamedFrame{{}, ethernet(addresses_, in_disguise(tag)), said};
            });
        }
        add_tagged("VLAN that is said to be IPv4", [&](const Frame& tag) {
            return NamedFrame{
                {},
                with_vlan(addresses_, ethernet(addresses_, udp(site4, 1, some_port, tag))),
                ETHERTYPE_IP};
        });
    }

    const std::vector<NamedFrame>& all() const { return frames_; }

    void send(const PacketSocket& socket) const
    {
        for (const auto& frame : frames_) {
            PacketSocket how = socket;
            how.said_type = frame.said_type;
            how.mark = frame.mark;
            write_frame(frame.bytes, how);
        }
    }

  private:
    template <typename Make> void add_tagged(const std::string& name, const Make& make)
    {
        // Never given back: the sniffer is asked for their names when the frames are gone.
        static std::map<std::string, HeldTag> tags;
        const HeldTag& tag = tags.try_emplace(name, name).first->second;
        frames_.push_back(make(bytes_of(tag.text())));
        frames_.back().name = name;
    }

    template <typename Make> void add(const std::string& name, const Make& make)
    {
        add_tagged(name, [&](const Frame& tag) {
            return NamedFrame{{}, ethernet(addresses_, make(tag))};
        });
    }

    void add_whole(const std::string& name, std::uint16_t type, const Frame& body)
    {
        frames_.push_back({name, ethernet(addresses_, type, body)});
    }

    Ethernet addresses_;
    std::vector<NamedFrame> frames_;
};

class PacketSockets : public ::testing::Test {
  protected:
    static Targets& targets()
    {
        static Targets made;
        return made;
    }

    static void TearDownTestSuite() { targets() = Targets(); }
};

TEST_F(PacketSockets, OfAUserWithTheCapabilityLeakOnlyWithoutTheBelt)
{
    expect_outcomes(
        {.firewall = Leaks, .routing = Leaks, .belt = Holds}, targets(), [](Target& target) {
            const FrameList frames(target.client());
            run_as(target.client(), traffic_uid, {CAP_NET_RAW}, [&] {
                frames.send({});
                frames.send({.bypass = true});
                return 0;
            });
            const std::uint64_t all = 2 * frames.all().size();
            if (target.has_to_leak()) {
                target.sniffer().wait_until([&](const Counts& seen) { return seen.leaked >= all; });
            }
            const auto leaked = target.leaked();
            const auto counts = target.sniffer().counts();
            // Where they get out at all, all do, twice: the test sees each of them.
            EXPECT_TRUE(leaked == 0 || leaked == all) << counts.text();
            return leaked;
        });
}

TEST_F(PacketSockets, OfRootLeakOnlyToTheServersPort)
{
    expect_outcomes({.firewall = Leaks, .routing = Leaks, .belt = Holds}, targets(),
                    [](Target& target) {
                        const FrameList frames(target.client());
                        target.client().in([&] {
                            for (const bool bypass : {false, true}) {
                                for (const auto& frame : frames.all()) {
                                    // Root may be the tunnel program.
                                    if (frame.name.find("server") == std::string::npos) {
                                        write_frame(frame.bytes, {.bypass = bypass,
                                                                  .said_type = frame.said_type,
                                                                  .mark = frame.mark});
                                    }
                                }
                            }
                        });
                        return target.leaked();
                    });
}

// ---- The kernel's own packets ----

TEST(Kernel, DoesNotAnswerRemoteHosts)
{
    expect_outcomes_at_once(
        // A reply is routed like everything, and finds no way where the tunnel is away.
        {.firewall = Holds, .routing = Holds, .belt = Holds, .alive = false}, [](Target& target) {
            target.vpn().kill();
            target.keep_guard();
            const Box& site = target.lab().internet();
            site.in([] {
                send_datagram({.from = addr::site4}, addr::client4, 4321, "x");
                send_datagram({.from = addr::site6}, addr::client6, 4321, "x");
            });
            for (const char* to : {addr::client4, addr::client6}) {
                site.run({"ping", "-c1", "-W0.3", to});
                site.run({"busybox", "nc", "-w", "1", to, "4322"});
            }
            return target.leaked();
        });
}

TEST(Kernel, ReportsItsGroupsToTheLink)
{
    Target target(Guard::All);
    Wiretap wire(target.isp(), "lan0");
    target.client().in([] {
        ipv6_mreq wanted{};
        wanted.ipv6mr_multiaddr.s6_addr[0] = 0xff;
        wanted.ipv6mr_multiaddr.s6_addr[1] = 0x02;
        wanted.ipv6mr_multiaddr.s6_addr[15] = 0x77;
        wanted.ipv6mr_interface = if_nametoindex("eth0");
        const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &wanted, sizeof(wanted));
        close(fd);
    });
    constexpr std::uint8_t mld2_report = 143;
    EXPECT_TRUE(wire.wait_for([](const Seen& seen) {
        // Behind the IPv6 header stands a hop-by-hop header of eight bytes.
        constexpr std::size_t message = 14 + 40 + 8;
        return seen.type() == ETHERTYPE_IPV6 && seen.frame.size() > message &&
               seen.frame[message] == mld2_report;
    }));
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

// ---- MPTCP ----

constexpr std::uint16_t mptcp_port = 4430;

sockaddr_in address_of(const std::string& text, std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, text.c_str(), &address.sin_addr);
    return address;
}

int mptcp_socket()
{
    constexpr int mptcp = 262; // IPPROTO_MPTCP of linux/in.h
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, mptcp);
}

/// Answers each byte with one, a connection at a time.
int serve_mptcp()
{
    const int listener = mptcp_socket();
    // The end of an earlier server's connection may still be under way.
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const sockaddr_in own = address_of(addr::site4, mptcp_port);
    if (bind(listener, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0 ||
        listen(listener, 8) != 0 || write(1, "ready\n", 6) != 6) {
        return 1;
    }
    while (true) {
        const int fd = accept(listener, nullptr, nullptr);
        char byte = 0;
        while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
        }
        close(fd);
    }
}

/// Talks to and fro for as long as the kernel mostly needs to announce what it wants to. True where
/// it was answered.
bool talk_mptcp()
{
    const int fd = mptcp_socket();
    const sockaddr_in peer = address_of(addr::site4, mptcp_port);
    const timeval patience_for_each{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience_for_each, sizeof(patience_for_each));
    bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) == 0;
    for (int i = 0; i < 20 && answered; ++i) {
        char byte = 'x';
        answered = send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
    }
    close(fd);
    return answered;
}

/// Frames with the address of the wire in them, inside the tunnel, at its other end.
std::uint64_t announcements(Target& target, const std::string& flags)
{
    const Process server = Process::fork(target.lab().internet(), serve_mptcp);
    EXPECT_TRUE(server.wait_for("ready"));
    target.client().must({"ip", "mptcp", "endpoint", "flush"});
    target.client().must({"ip", "mptcp", "endpoint", "add", addr::client4, "dev", "eth0", flags});
    Wiretap inside(target.lab().internet(), "vpn1");
    EXPECT_TRUE(target.client().in(talk_mptcp)) << "no connection at all";
    EXPECT_TRUE(target.tunnel_works());
    constexpr std::array<std::uint8_t, 4> address = {192, 168, 50, 10};
    const auto seen = inside.seen();
    return static_cast<std::uint64_t>(
        std::ranges::count_if(seen, [&](const Seen& frame) { return frame.holds(address); }));
}

/// The kernel announces from a worker of its own: not each connection lives until it has.
constexpr int most_connections = 10;

TEST(Mptcp, AnnouncesNoOtherAddressInsideTheTunnel)
{
    Targets targets;
    expect_outcomes({.firewall = Holds, .routing = Leaks, .belt = Leaks}, targets,
                    [](Target& target) {
                        std::uint64_t seen = 0;
                        for (int i = 0; i < most_connections && seen == 0; ++i) {
                            seen = announcements(target, "signal");
                        }
                        return seen;
                    });
}

TEST(Mptcp, OpensNoSecondPathOutside)
{
    Targets targets;
    // Without a route the wire is asked for the peer, if the first path lives that long.
    expect_outcomes({.firewall = Holds, .routing = Either, .belt = Holds}, targets,
                    [](Target& target) {
                        std::uint64_t leaked = 0;
                        for (int i = 0; i < most_connections && leaked == 0; ++i) {
                            announcements(target, "subflow");
                            leaked = target.leaked();
                        }
                        return leaked;
                    });
}

// ---- Other tunnels, other firewalls ----

/// Takes the device's name, as any program may that makes tunnels; it is gone with the descriptor.
int take_tunnel(const std::string& name)
{
    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
        throw LabError("no device " + name);
    }
    return fd;
}

/// How many packets with this text were sent into it.
std::uint64_t count_packets(int fd, const std::string& text)
{
    std::uint64_t count = 0;
    std::array<char, 2048> packet{};
    for (ssize_t size = 0; (size = read(fd, packet.data(), packet.size())) > 0;) {
        const std::string_view content(packet.data(), static_cast<std::size_t>(size));
        count += content.find(text) != std::string_view::npos ? 1 : 0;
    }
    return count;
}

TEST(ForeignTunnel, WithOurTunnelsNameCarriesNothing)
{
    const HeldTag tag("foreign tunnel");
    // No lock but the first looks at what enters a tunnel.
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Leaks, .belt = Leaks, .alive = false}, [&](Target& target) {
            target.vpn().kill();
            const int fd = target.client().in([] { return take_tunnel("tun0"); });
            target.client().ip("addr add 10.66.0.2/24 dev tun0\nlink set tun0 up\n"
                               "route add 0.0.0.0/1 dev tun0\nroute add 128.0.0.0/1 dev tun0\n");
            std::uint64_t entered = 0;
            for (const bool after_reapply : {false, true}) {
                if (after_reapply && target.guard() != Guard::None) {
                    target.client().run({"failclosed", "reapply"});
                }
                target.keep_guard();
                target.client().in([&] {
                    for (const char* device : {"", "tun0"}) {
                        send_datagram({.from = "10.66.0.2", .device = device}, addr::site4,
                                      some_port, tag.text());
                        send_datagram({.from = addr::client4, .device = device}, addr::site4,
                                      some_port, tag.text());
                    }
                });
                entered += count_packets(fd, tag.text());
            }
            close(fd);
            return entered;
        });
}

// Another VPN's rules come before ours, and lead out of the uplink.
TEST(SecondVpn, WithItsOwnRulesLeaksNothing)
{
    const HeldTag tag("second VPN");
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Leaks, .belt = Holds, .alive = false}, [&](Target& target) {
            for (const auto& [family, gateway] :
                 {std::pair{"-4", addr::gateway4}, std::pair{"-6", addr::gateway_link}}) {
                target.client().must({"ip", family, "route", "add", "default", "via", gateway,
                                      "dev", "eth0", "table", "777"});
                target.client().must({"ip", family, "rule", "add", "pref", "100", "table", "777"});
            }
            target.client().in([&] {
                send_datagram({.from = addr::client4}, addr::site4, some_port, tag.text());
                send_datagram({.from = addr::client6}, addr::site6, some_port, tag.text());
                // Its transport: root and OpenVPN's port, but an unconfigured server.
                send_datagram({.from = addr::client4}, addr::other_server4, 1194, tag.text());
                send_datagram({.from = addr::client4, .mark = 0xca6c}, addr::other_server4, 51820,
                              tag.text());
            });
            return target.leaked();
        });
}

// What Docker and others do: every source becomes the uplink's, so that answers come back.
TEST(Masquerade, OnTheUplinkDoesNotLeakAfterALostRoute)
{
    const HeldTag tag("masqueraded");
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds, .alive = false}, [&](Target& target) {
            target.client().nft("table inet others {\nchain postrouting {\n"
                                "type nat hook postrouting priority srcnat\n"
                                "oifname eth0 masquerade\n}\n}\n");
            Traffic live(target.lab(), {.kinds = connected_kinds()});
            target.client().ip("link set tun0 down\n");
            target.keep_guard();
            EXPECT_TRUE(live.wait_all_sent(20));
            live.stop();
            target.client().in(
                [&] { send_datagram({.from = "10.8.0.2"}, addr::site4, echo_port, tag.text()); });
            return target.leaked();
        });
}

// ---- Peers inside the VPN ----

constexpr std::uint16_t service_port = 8022;

/// A service that the kernel connects to until the descriptor is closed.
int listen_for_peers()
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in any = address_of("0.0.0.0", service_port);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 || listen(fd, 8) != 0) {
        throw LabError("no service");
    }
    return fd;
}

bool connects(const Box& from, const std::string& to)
{
    return from.in([&] {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const timeval short_time{0, 300'000};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof(short_time));
        const sockaddr_in peer = address_of(to, service_port);
        const bool connected =
            connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) == 0;
        close(fd);
        return connected;
    });
}

TEST(Peers, ReachOnlyWhatTheUsersFirewallAdmits)
{
    Target target(Guard::All);
    const int service = target.client().in(listen_for_peers);
    const Box& peer = target.lab().internet();
    EXPECT_TRUE(eventually([&] { return connects(peer, "10.8.0.2"); }));
    // From outside the tunnel there is no such service, at either address.
    EXPECT_FALSE(connects(peer, addr::client4));
    peer.ip("route add 10.8.0.2/32 via 203.0.113.1 dev eth0\n");
    target.isp().ip("route add 10.8.0.2/32 via 192.168.50.10 dev lan0\n");
    EXPECT_FALSE(connects(peer, "10.8.0.2"));
    peer.ip("route del 10.8.0.2/32 via 203.0.113.1 dev eth0\n");

    target.client().nft(
        "table inet mine {\nchain input {\n"
        "type filter hook input priority 0\niifname tun0 ct state new drop\n}\n}\n");
    EXPECT_FALSE(connects(peer, "10.8.0.2"));
    EXPECT_TRUE(target.tunnel_works());
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
    close(service);
}

// ---- Ordinary life ----

struct Life {
    std::string name;
    Target::Options options;
};

Target::Options over(const std::string& address, const std::string& proto)
{
    Target::Options options;
    const bool tcp = proto.starts_with("tcp");
    const std::string port = tcp ? "443" : "1194";
    const bool v6 = address.find(':') != std::string::npos;
    options.server.address = address;
    options.server.proto = proto;
    options.server.port = tcp ? 443 : 1194;
    options.client.proto = tcp ? (v6 ? "tcp6-client" : "tcp4-client") : (v6 ? "udp6" : "udp4");
    options.client.remotes = {address + " " + port};
    options.lock = {"--server",
                    (v6 ? "[" + address + "]" : address) + ":" + port + (tcp ? "/tcp" : "/udp")};
    options.policy.servers = {
        {address, tcp ? "tcp" : "udp", static_cast<std::uint16_t>(options.server.port)}};
    return options;
}

Target::Options without_privileges()
{
    Target::Options options;
    options.client.user = "nobody";
    options.client.extra = {"persist-tun", "persist-key"};
    return options;
}

void PrintTo(const Life& value, std::ostream* out)
{
    *out << value.name;
}

class OrdinaryLife : public ::testing::TestWithParam<Life> {};

TEST_P(OrdinaryLife, WorksUnderAllLocks)
{
    Target target(Guard::All, GetParam().options);
    const auto expect_life = [&](const char* when) {
        SCOPED_TRACE(when);
        for (const char* to : {addr::site4, addr::site6}) {
            EXPECT_TRUE(target.tunnel_works(to)) << target.vpn().log();
        }
        target.client().must({"ip", "neigh", "flush", "all"});
        for (const char* to : {addr::neighbour4, "fe80::1%eth0"}) {
            EXPECT_TRUE(eventually([&] { return answers(target.client(), to); })) << to;
        }
        target.isp().must({"ip", "neigh", "flush", "all"});
        EXPECT_TRUE(target.tunnel_works());
    };
    expect_life("connected");

    // A narrow wire: what carries large packets of the tunnel has to go in pieces.
    Wiretap wire(target.isp(), "lan0");
    target.client().ip("link set eth0 mtu 1280\n");
    target.isp().ip("link set lan0 mtu 1280\n");
    for (const char* inside : {addr::inside4, addr::inside6}) {
        // The server's first large one is lost: it has to be told first.
        EXPECT_TRUE(eventually([&] {
            return answers(target.client(), inside, {"-s", "1400", "-W0.5"});
        })) << target.vpn().log();
    }
    const auto seen = wire.seen();
    const auto pieces = std::ranges::count_if(seen, [](const Seen& frame) {
        constexpr std::size_t offset4 = 14 + 6;
        constexpr std::size_t next6 = 14 + 6;
        const bool v4 = frame.type() == ETHERTYPE_IP && frame.frame.size() > offset4 + 1 &&
                        ((frame.frame[offset4] & 0x1f) != 0 || frame.frame[offset4 + 1] != 0);
        const bool v6 = frame.type() == ETHERTYPE_IPV6 && frame.frame.size() > next6 &&
                        frame.frame[next6] == IPPROTO_FRAGMENT;
        return !frame.outgoing && (v4 || v6);
    });
    const bool tcp = GetParam().options.server.proto.starts_with("tcp");
    EXPECT_EQ(pieces == 0, tcp) << pieces << " later fragments of the transport";

    const auto before = target.vpn().connections();
    target.vpn().usr1();
    ASSERT_TRUE(target.vpn().wait_connected(before + 1, connection_patience)) << target.vpn().log();
    expect_life("connected again");
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

INSTANTIATE_TEST_SUITE_P(With, OrdinaryLife,
                         ::testing::Values(Life{"UdpOverIpv4", over(addr::server4, "udp")},
                                           Life{"UdpOverIpv6", over(addr::server6, "udp")},
                                           Life{"TcpOverIpv4", over(addr::server4, "tcp")},
                                           Life{"TcpOverIpv6", over(addr::server6, "tcp")},
                                           Life{"DroppedPrivileges", without_privileges()}),
                         [](const auto& test) { return test.param.name; });

} // namespace

} // namespace failclosed::lab
