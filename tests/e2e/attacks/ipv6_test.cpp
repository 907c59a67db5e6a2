// SPDX-License-Identifier: GPL-3.0-or-later
// A link with both families and a tunnel with one: every source of IPv6, and packets inside IPv6.
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/e2e/attacks/frames.hpp"

namespace failclosed::lab {

namespace {

constexpr Outcomes held_by_each = {.firewall = Holds, .routing = Holds, .belt = Holds};

/// A tunnel of IPv4 alone, in a network of both families.
class DualStack : public ::testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        Target::Options options;
        options.server.inside6 = false;
        // The widespread line: with "ipv6" in it OpenVPN leads IPv6 into the tunnel, and nowhere.
        options.client = impatient();
        options.client.redirect_gateway = false;
        options.client.extra.emplace_back("redirect-gateway def1");
        targets_ = new Targets(options);
    }

    static void TearDownTestSuite() { delete targets_; }

    static void expect(const Outcomes& outcomes, const Attack& attack)
    {
        expect_outcomes(outcomes, *targets_, attack);
    }

  private:
    static inline Targets* targets_ = nullptr;
};

constexpr char back_on_the_wire[] = "addr flush dev eth0 scope global\n"
                                    "addr add 2001:db8:50::10/64 dev eth0 nodad\n"
                                    "route replace ::/0 via fe80::1 dev eth0 metric 100\n";

void come_back(const Box& client)
{
    client.must(Command{"ip", "-6", "-batch", "-"}.with_input(back_on_the_wire));
}

TEST_F(DualStack, Ipv6DoesNotLeave)
{
    expect(held_by_each, [](Target& target) { return flood(target, v6_kinds(ordinary_kinds())); });
}

TEST_F(DualStack, ANewPrefixIsAdvertisedAfterTheCableWasPulled)
{
    expect(held_by_each, [](Target& target) {
        const Box& client = target.client();
        for (const auto& [key, value] : {std::pair("accept_ra", "2"), std::pair("autoconf", "1"),
                                         std::pair("accept_dad", "0")}) {
            client.sysctl(std::string("net.ipv6.conf.eth0.") + key, value);
        }
        const auto leaked = flood_during(target, v6_kinds(ordinary_kinds()), [&] {
            client.ip("link set eth0 down\n");
            target.lab().dns().restart(
                ra_arguments({.prefix = "2001:db8:70::", .dhcp6 = false, .slaac = true}));
            client.ip("link set eth0 up\n"
                      "route add default via 192.168.50.1 dev eth0 metric 100\n");
            if (target.guard() != Guard::None) {
                // As the network's manager would start it.
                EXPECT_EQ(failclosed(client, {"reapply"}).status, 0);
            }
            EXPECT_TRUE(eventually([&] {
                return client.must({"ip", "-6", "address", "show", "dev", "eth0"})
                               .find("2001:db8:70:") != std::string::npos &&
                       client.must({"ip", "-6", "route"}).find("proto ra") != std::string::npos;
            })) << target.lab().dns().log();
        });
        target.lab().dns().restart({});
        client.sysctl("net.ipv6.conf.eth0.accept_ra", "0");
        client.run({"ip", "-6", "route", "flush", "proto", "ra"});
        come_back(client);
        return leaked;
    });
}

TEST_F(DualStack, Ipv6DoesNotLeaveAfterItIsSwitchedOffAndOn)
{
    expect(held_by_each, [](Target& target) {
        const Box& client = target.client();
        return flood_during(target, v6_kinds(ordinary_kinds()), [&] {
            for (const char* scope : {"all", "default", "eth0", "lo", "tun0"}) {
                for (const char* value : {"1", "0"}) {
                    client.sysctl(std::string("net.ipv6.conf.") + scope + ".disable_ipv6", value);
                }
            }
            come_back(client);
        });
    });
}

// ---- Packets in packets ----

/// From a raw socket or, for 3544/udp (Teredo), an ordinary one.
void send_from(const Box& box, int protocol, const std::string& payload)
{
    box.in([&] {
        const bool udp = protocol == IPPROTO_UDP;
        const int fd =
            socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_RAW) | SOCK_CLOEXEC, udp ? 0 : protocol);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(udp ? 3544 : 0);
        inet_pton(AF_INET, addr::site4, &to.sin_addr);
        sendto(fd, payload.data(), payload.size(), MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&to), sizeof to);
        close(fd);
    });
}

// 6in4, 6to4 and ISATAP (41), IP in IP (4), GRE (47), EtherIP (97), L2TP (115), and Teredo.
TEST_F(DualStack, EncapsulatedPacketsDoNotLeave)
{
    const Frame inner = udp({.from = addr::client6, .to = addr::site6}, 9000, 9000);
    const std::string payload(inner.begin(), inner.end());
    expect(held_by_each, [&](Target& target) {
        target.vpn().kill();
        for (const int protocol : {41, 4, 47, 97, 115, static_cast<int>(IPPROTO_UDP)}) {
            send_from(target.client(), protocol, payload);
        }
        if (target.guard() == Guard::None) {
            EXPECT_TRUE(target.sniffer().wait_until([](const Counts& seen) {
                return seen.leaked >= 6;
            })) << target.sniffer().counts().text();
        }
        const auto leaked = target.leaked();
        connect_again(target);
        return leaked;
    });
}

// ---- Translation ----

/// A translator of IPv4 into IPv6 (464XLAT, clatd): what it makes comes out of its tun device, and
/// the kernel forwards it. It says "sent" for each packet.
int translate(const Frame& packet)
{
    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    ifreq request{};
    std::strcpy(request.ifr_name, "clat0");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &request) != 0) {
        return 1;
    }
    std::puts("ready");
    for (;;) {
        if (write(fd, packet.data(), packet.size()) > 0) {
            std::puts("sent");
        }
        std::fflush(stdout);
        usleep(5000);
    }
}

TEST_F(DualStack, TranslatedPacketsDoNotLeave)
{
    const Frame packet =
        udp({.from = "2001:db8:50:c1a7::10", .to = addr::site6}, 9000, 9000, bytes_of("clat"));
    expect(held_by_each, [&](Target& target) {
        const Box& client = target.client();
        const std::string forwarding = "net.ipv6.conf.all.forwarding";
        client.sysctl(forwarding, "1");
        const Process translator = Process::fork(client, [&] { return translate(packet); });
        EXPECT_TRUE(translator.wait_for("ready"));
        client.ip("link set clat0 up\naddr add 192.0.0.1/29 dev clat0\n"
                  "route add 2001:db8:50:c1a7::/64 dev clat0\n"
                  "route add default dev clat0 metric 2048\n");
        EXPECT_TRUE(translator.wait_for("sent", 20));
        if (target.guard() == Guard::All) {
            // A tun device of a program's: a hook that takes it for a tunnel opens nothing by that.
            failclosed(client, {"reapply"});
            EXPECT_TRUE(translator.wait_for("sent", translator.count("sent") + 20));
        }
        const auto leaked = target.leaked();
        translator.kill();
        client.sysctl(forwarding, "0");
        come_back(client);
        target.client().run({"failclosed", "reapply"});
        return leaked;
    });
}

// ---- Neighbour discovery and groups ----

// Unlike in IPv4, a failed look-up is the end also where a device is named.
TEST_F(DualStack, RemoteAddressesAreNotQueriedOnTheLink)
{
    expect(held_by_each, [](Target& target) { return flood(target, v6_kinds(bound_kinds()), 5); });
}

// A limit: a neighbour's address has to be asked for, and nothing tells a neighbour's from another
// before it is. It takes root to write such a question by hand, and no router passes it on.
TEST_F(DualStack, RootCanSendDataInNeighbourDiscovery)
{
    Frame question(24);
    question[0] = 135; // neighbour solicitation; the kernel adds the checksum
    inet_pton(AF_INET6, addr::site6, question.data() + 8);
    const Outcomes outcomes = {.all = Leaks, .firewall = Leaks, .routing = Leaks, .belt = Leaks};
    expect(outcomes, [&](Target& target) {
        target.client().in([&] {
            const int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
            const int hops = 255;
            setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
            sockaddr_in6 to{};
            to.sin6_family = AF_INET6;
            to.sin6_scope_id = if_nametoindex("eth0");
            inet_pton(AF_INET6, "ff02::1:ff00:20", &to.sin6_addr);
            sendto(fd, question.data(), question.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                   sizeof to);
            close(fd);
        });
        return target.leaked();
    });
}

constexpr char group6[] = "ff02::6c65:616b:1";
constexpr char group4[] = "239.108.101.107";

/// Joins both groups on eth0; no privilege is needed for it.
int join_groups()
{
    const int fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ipv6_mreq join6{};
    inet_pton(AF_INET6, group6, &join6.ipv6mr_multiaddr);
    join6.ipv6mr_interface = if_nametoindex("eth0");
    ip_mreqn join4{};
    inet_pton(AF_INET, group4, &join4.imr_multiaddr);
    join4.imr_ifindex = static_cast<int>(join6.ipv6mr_interface);
    const bool joined = setsockopt(fd6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join6, sizeof join6) == 0 &&
                        setsockopt(fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join4, sizeof join4) == 0;
    std::puts(joined ? "joined" : "refused");
    std::fflush(stdout);
    pause();
    return 0;
}

// A limit: switches need group membership reports, so hosts on the link read which groups programs
// join. No router passes it on.
TEST_F(DualStack, GroupMembershipIsReportedToTheLink)
{
    const Outcomes outcomes = {.all = Leaks, .firewall = Leaks, .routing = Leaks, .belt = Leaks};
    expect(outcomes, [](Target& target) {
        Wiretap wire(target.isp(), "lan0");
        const Process program = Process::fork(target.client(), join_groups, traffic_uid);
        EXPECT_TRUE(program.wait_for("joined"));
        std::array<std::uint8_t, 16> name{};
        inet_pton(AF_INET6, group6, name.data());
        return wire.wait_for([&](const Seen& seen) { return seen.holds(name); }) ? 1U : 0U;
    });
}

} // namespace

} // namespace failclosed::lab
