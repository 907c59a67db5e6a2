// SPDX-License-Identifier: GPL-3.0-or-later
// Containers and virtual machines of the client: behind it, beside it on its wire, and trusted
// ones.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <ostream>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <linux/capability.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/lab/guest.hpp"
#include "tests/support/traffic/senders.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::Key;
using ::testing::UnorderedElementsAre;

constexpr std::uint16_t some_port = 9000;

// ---- What guests send ----

struct GuestCase {
    std::string name;
    /// One guest of each, at the same time.
    std::vector<Attachment> attachments;
    Expected firewall;
    Expected routing;
    UplinkPort uplink = UplinkPort::Device;
};

void PrintTo(const GuestCase& value, std::ostream* out)
{
    *out << value.name;
}

class Guests : public ::testing::TestWithParam<GuestCase> {};

/// Guests are root in their own namespaces: they write whole frames, as pieces of the transport's
/// datagrams to the server, and set marks, such as those of the transport.
void pretend_to_be_transport(const Guest& guest, const std::string& tag)
{
    guest.box().in([&] {
        for (const std::uint32_t mark : {0x00fc0000U, 0x00fb0000U, 0x51U, 0xca6cU}) {
            send_datagram({.from = guest.address4(), .mark = mark}, addr::server4, 1194, tag);
            send_datagram({.from = guest.address6(), .mark = mark}, addr::server6, 1194, tag);
        }
    });
    const Ethernet addresses{.from = mac_of(guest.box(), "eth0"), .to = broadcast_mac};
    const Ip ip4{.from = guest.address4(), .to = addr::server4, .offset = 1480};
    const Ip ip6{.from = guest.address6(), .to = addr::server6, .offset = 1480};
    for (const Ip& ip : {ip4, ip6}) {
        const Frame frame = ethernet(addresses, packet(ip, IPPROTO_UDP, bytes_of(tag)));
        guest.box().in([&] { write_frame(frame, {}); });
    }
}

std::uint64_t let_guests_send(Target& target, const GuestCase& wanted)
{
    const bool bridged = wanted.attachments.front() == Attachment::Bridged;
    if (bridged) {
        bridge_uplink(target.client(), wanted.uplink);
        // A firewall of IP packets could see bridged ones if it were asked to.
        target.client().sysctl("net.bridge.bridge-nf-call-iptables", "0");
        target.client().sysctl("net.bridge.bridge-nf-call-ip6tables", "0");
    }
    std::vector<std::unique_ptr<Guest>> guests;
    for (const Attachment attachment : wanted.attachments) {
        guests.push_back(
            std::make_unique<Guest>(target.lab(), attachment, static_cast<int>(guests.size()) + 1));
    }
    if (target.guard() != Guard::None) {
        target.client().run({"failclosed", "reapply"});
        // The way to the server leads over another device now, of which OpenVPN is told.
        EXPECT_TRUE(!bridged || target.vpn().wait_connected(2, connection_patience))
            << target.vpn().log();
    }
    target.keep_guard();
    static const HeldTag transport("as if it were the transport@guest");
    const auto send_all = [&] {
        for (const auto& guest : guests) {
            Traffic traffic(target.lab(), {.kinds = guest_kinds(),
                                           .interval = std::chrono::milliseconds(10),
                                           .box = &guest->box()});
            pretend_to_be_transport(*guest, transport.text());
            EXPECT_TRUE(traffic.wait_all_sent(5));
        }
        return target.leaked();
    };
    const auto while_up = send_all();
    EXPECT_TRUE(target.tunnel_works()) << target.vpn().log();
    target.vpn().kill();
    target.keep_guard();
    const auto in_all = send_all();
    std::printf("  while the tunnel is up: %llu, lost: %llu\n",
                static_cast<unsigned long long>(while_up),
                static_cast<unsigned long long>(in_all - while_up));
    if (target.guard() == Guard::All) {
        const auto before = target.vpn().connections();
        target.vpn().start();
        EXPECT_TRUE(target.vpn().wait_connected(before + 1, connection_patience))
            << target.vpn().log();
    }
    return in_all;
}

TEST_P(Guests, SendNothingPastTheTunnel)
{
    const auto& wanted = GetParam();
    Target::Options options;
    // Routed guests may talk to the local network, from where they are.
    options.policy.link.insert(options.policy.link.end(), {"172.20.0.0/16", "fd20::/64"});
    expect_outcomes(
        {.firewall = wanted.firewall, .routing = wanted.routing, .belt = Holds},
        [&](Target& target) { return let_guests_send(target, wanted); }, options);
}

// Routed guests are subject to the rules, save that these lead DNS to the local network where it
// asks to go; guests on the wire are hosts of their own.
INSTANTIATE_TEST_SUITE_P(
    Attached, Guests,
    ::testing::Values(
        GuestCase{"Routed", {Attachment::Routed}, Holds, Leaks},
        GuestCase{"Bridged", {Attachment::Bridged}, Leaks, Leaks},
        GuestCase{"BridgedInAContainer", {Attachment::Bridged}, Leaks, Leaks, UplinkPort::Wire},
        GuestCase{"Macvlan",
                  {Attachment::MacvlanBridge, Attachment::MacvlanPrivate, Attachment::MacvlanVepa},
                  Leaks,
                  Leaks}),
    [](const auto& test) { return test.param.name; });

class Repair : public ::testing::TestWithParam<std::pair<const char*, std::vector<std::string>>> {};

// Another program changes our rules, and the next event restores them.
TEST_P(Repair, LeavesNoMomentWithoutTheBelt)
{
    Target target(Guard::All);
    const Guest guest(target.lab(), Attachment::MacvlanBridge);
    std::vector<Kind> kinds = guest_kinds();
    std::erase_if(kinds, [](const Kind& kind) { return kind.name != "udp4@guest"; });
    const Traffic traffic(
        target.lab(),
        {.kinds = kinds, .interval = std::chrono::microseconds(100), .box = &guest.box()});
    for (int i = 0; i < 10; ++i) {
        target.client().must(GetParam().second);
        target.client().must({"failclosed", "reapply"});
    }
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
    // And it would have been seen.
    target.client().must({"nft", "delete", "table", "netdev", "failclosed"});
    EXPECT_TRUE(
        target.sniffer().wait_until([](const Counts& counts) { return counts.leaked > 0; }));
}

using Words = std::vector<std::string>;

INSTANTIATE_TEST_SUITE_P(
    Of, Repair,
    ::testing::Values(std::pair{"FirewallRemoved",
                                Words{"nft", "delete", "table", "inet", "failclosed"}},
                      std::pair{"FirewallWithAnotherChain",
                                Words{"nft", "add", "chain", "inet", "failclosed", "more"}},
                      std::pair{"BeltWithAnotherChain",
                                Words{"nft", "add", "chain", "netdev", "failclosed", "more"}}),
    [](const auto& test) { return test.param.first; });

// ---- What goes on ----

void translate_guests(const Box& client)
{
    client.nft("table inet mine {\nchain postrouting {\n"
               "type nat hook postrouting priority srcnat\n"
               "ip saddr 172.20.0.0/16 oifname != guests0 masquerade\n"
               "ip6 saddr fd20::/64 oifname != guests0 masquerade\n}\n}\n");
}

TEST(RoutedGuests, UseTheTunnelAndTalkToTheirHost)
{
    Target target(Guard::All);
    translate_guests(target.client());
    const Guest guest(target.lab(), Attachment::Routed);
    const Guest other(target.lab(), Attachment::Routed, 2);
    target.client().must({"failclosed", "reapply"});
    // The kernel may take a second until a new device carries anything.
    const auto is_answered = [](const Box& box, const std::string& to) {
        return eventually([&] { return answers(box, to, {"-W1"}); });
    };
    for (const char* to : {"172.20.0.1", "fd20::1", addr::site4, addr::site6, addr::neighbour4}) {
        EXPECT_TRUE(is_answered(guest.box(), to)) << to;
    }
    EXPECT_TRUE(is_answered(guest.box(), other.address4()));
    EXPECT_TRUE(is_answered(target.client(), guest.address4()));
    target.vpn().kill();
    EXPECT_FALSE(answers(guest.box(), addr::site4, {"-W0.3"}));
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

/// Which packet takes the address and the port of the client's own, where an IPv4 NAT is at work.
std::uint16_t transport_port(const Box& client)
{
    static const std::regex line(R"(:(\d+) .*\(\("openvpn")");
    const std::string sockets = client.must({"ss", "-Huanp"});
    std::smatch found;
    if (!std::regex_search(sockets, found, line)) {
        throw LabError("no socket of OpenVPN's:\n" + sockets);
    }
    return static_cast<std::uint16_t>(std::stoi(found[1]));
}

// A guest that uses OpenVPN's own port would, once it is translated, take over its flow.
TEST(PortShadow, OfTheTransportByAGuestLeaksNothingAndKeepsTheTunnel)
{
    const HeldTag tag("port shadow");
    expect_outcomes_at_once(
        // Forwarded packets to the server find no way past the tunnel either.
        {.firewall = Holds, .routing = Holds, .belt = Holds}, [&](Target& target) {
            translate_guests(target.client());
            const Guest guest(target.lab(), Attachment::Routed);
            target.keep_guard();
            const auto port = transport_port(target.client());
            guest.box().in([&] {
                for (int i = 0; i < 20; ++i) {
                    send_datagram({.from = guest.address4(), .from_port = port}, addr::server4,
                                  1194, tag.text());
                }
            });
            EXPECT_TRUE(target.tunnel_works()) << target.vpn().log();
            return target.leaked();
        });
}

/// Datagrams that arrive at the guest's port while `send` does its worst. The first is waited for
/// where one has to come: the guest is asked for its hardware address before, once a second.
std::uint64_t arrivals(const Guest& guest, std::uint16_t port, bool has_to_come,
                       const std::function<void()>& send)
{
    const int fd = guest.box().in([&] {
        const int made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_port = htons(port);
        if (bind(made, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0) {
            throw LabError("no service");
        }
        const timeval short_time{0, 300'000};
        setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time));
        return made;
    });
    send();
    if (has_to_come) {
        pollfd arrived{fd, POLLIN, 0};
        poll(&arrived, 1, static_cast<int>(patience.count()));
    }
    std::uint64_t count = 0;
    std::array<char, 256> data{};
    while (recv(fd, data.data(), data.size(), 0) >= 0) {
        ++count;
    }
    close(fd);
    return count;
}

// Docker's way: what comes to a port of this machine is a guest's.
TEST(PublishedPorts, AreNotReachedByVpnPeersOrFromOutside)
{
    constexpr std::uint16_t published = 8080;
    const auto attack = [](bool inside) {
        return [inside](Target& target) {
            const Guest guest(target.lab(), Attachment::Routed);
            target.client().nft("table inet publish {\nchain prerouting {\n"
                                "type nat hook prerouting priority dstnat\n"
                                "udp dport 8080 dnat ip to 172.20.0.2\n}\n}\n");
            target.keep_guard();
            return arrivals(guest, published, target.has_to_leak(), [&] {
                target.lab().internet().in([&] {
                    send_datagram({.from = inside ? addr::inside4 : addr::site4},
                                  inside ? "10.8.0.2" : addr::client4, published, "knock");
                });
                EXPECT_TRUE(target.tunnel_works());
            });
        };
    };
    std::printf("from inside the VPN\n");
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Leaks}, attack(true));
    std::printf("from outside\n");
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Leaks}, attack(false));
}

// ---- The uplink is a bridge ----

struct BridgeCase {
    std::string name;
    std::string server;
    std::string lan;
};

void PrintTo(const BridgeCase& value, std::ostream* out)
{
    *out << value.name;
}

class BridgedUplink : public ::testing::TestWithParam<BridgeCase> {};

TEST_P(BridgedUplink, CarriesTheTunnelAndReachesTheLocalNetwork)
{
    const bool v6 = GetParam().server.find(':') != std::string::npos;
    Target::Options options;
    options.begin = false;
    options.server.address = GetParam().server;
    options.client.proto = v6 ? "udp6" : "udp4";
    options.client.remotes = {GetParam().server + " 1194"};
    options.lock = {"--server",
                    (v6 ? "[" + GetParam().server + "]" : GetParam().server) + ":1194/udp"};
    options.config = "[failclosed]\nlan=" + GetParam().lan + "\n";
    Target target(Guard::All, options);
    bridge_uplink(target.client());
    target.begin();
    const Guest guest(target.lab(), Attachment::Bridged);
    target.client().must({"failclosed", "reapply"});
    const bool lan = GetParam().lan != "deny";
    const auto expect_life = [&] {
        EXPECT_TRUE(target.tunnel_works()) << target.vpn().log();
        for (const std::string& to :
             {guest.address4(), std::string(addr::neighbour4), std::string("fe80::1%br0")}) {
            const auto is_answered = [&](const char* wait) {
                return answers(target.client(), to, {wait});
            };
            // The kernel may take a second until a new device carries anything.
            EXPECT_EQ(lan ? eventually([&] { return is_answered("-W1"); }) : is_answered("-W0.3"),
                      lan)
                << to;
        }
    };
    expect_life();
    target.client().must({"ip", "neigh", "flush", "all"});
    target.isp().must({"ip", "neigh", "flush", "all"});
    const auto before = target.vpn().connections();
    target.vpn().hup();
    ASSERT_TRUE(target.vpn().wait_connected(before + 1, connection_patience)) << target.vpn().log();
    expect_life();
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

INSTANTIATE_TEST_SUITE_P(With, BridgedUplink,
                         ::testing::Values(BridgeCase{"OverIpv4", addr::server4, "private"},
                                           BridgeCase{"OverIpv6", addr::server6, "private"},
                                           BridgeCase{"OnLink", addr::server4, "on-link"},
                                           BridgeCase{"WithoutLan", addr::server4, "deny"}),
                         [](const auto& test) { return test.param.name; });

// ---- Trusted guests ----

/// Sends from a guest that has the uplink's hardware address and its own, as ipvlan's do.
void send_as_ipvlan(const Box& client, const std::string& address, const std::string& payload)
{
    const Ethernet addresses{.from = mac_of(client, "eth0"), .to = broadcast_mac};
    const Frame frame = ethernet(addresses, udp({.from = address, .to = addr::site4}, some_port,
                                                some_port, bytes_of(payload)));
    run_as(client, traffic_uid, {CAP_NET_RAW}, [&] { return write_frame(frame, {}); });
}

TEST(BeltAllow, AdmitsOnlyTheNamedGuests)
{
    Target::Options options;
    options.config = "[failclosed]\nbelt-allow=52:54:00:aa:00:01;192.168.50.177;0x88b5\n";
    Target target(Guard::All, options);
    const Guest trusted(target.lab(), Attachment::MacvlanBridge, 1);
    const Guest stranger(target.lab(), Attachment::MacvlanBridge, 2);
    const HeldTag of_trusted("trusted");
    const HeldTag of_stranger("stranger");
    const HeldTag of_trusted_address("trusted address");
    const HeldTag of_strange_address("strange address");
    const HeldTag of_trusted_type("trusted type");
    const HeldTag of_strange_type("strange type");
    for (const auto& [guest, tag] : {std::pair{&trusted, &of_trusted}, {&stranger, &of_stranger}}) {
        guest->box().in([&] {
            send_datagram({.from = guest->address4()}, addr::site4, some_port, tag->text());
            send_datagram({.from = guest->address6()}, addr::site6, some_port, tag->text());
        });
    }
    send_as_ipvlan(target.client(), "192.168.50.177", of_trusted_address.text());
    send_as_ipvlan(target.client(), "192.168.50.178", of_strange_address.text());
    const Ethernet own{.from = mac_of(target.client(), "eth0"), .to = broadcast_mac};
    target.client().in([&] {
        write_frame(ethernet(own, 0x88b5, bytes_of(of_trusted_type.text())), {});
        write_frame(ethernet(own, 0x88b6, bytes_of(of_strange_type.text())), {});
    });
    EXPECT_TRUE(eventually([&] { return answers(trusted.box(), addr::site4, {"-W1"}); }));
    EXPECT_FALSE(answers(stranger.box(), addr::site4, {"-W0.3"}));
    // The machine's own packets are held as ever.
    const Traffic traffic(target.lab(), {.kinds = connected_kinds()});
    EXPECT_TRUE(traffic.wait_all_sent(20));
    EXPECT_TRUE(target.tunnel_works());
    // What a new device is given to send may wait a second for its neighbour.
    EXPECT_TRUE(target.sniffer().wait_until([](const Counts& counts) {
        return std::ranges::all_of(
            std::array{"trusted", "trusted address", "trusted type", ""},
            [&](const char* kind) { return counts.leaked_kinds.contains(kind); });
    }));
    target.sniffer().settle();
    EXPECT_THAT(
        target.sniffer().counts().leaked_kinds,
        UnorderedElementsAre(Key("trusted"), Key("trusted address"), Key("trusted type"), Key("")))
        << target.sniffer().counts().text();
}

// ---- Devices that come and go ----

/// A second uplink to the ISP, without addresses.
void plug_in(Target& target)
{
    target.client().ip("link add usb0 type veth peer name lan2 netns /proc/self/fd/" +
                           std::to_string(target.isp().network()) + "\nlink set usb0 up\n",
                       target.isp().network());
    target.isp().ip("link set lan2 up\n");
}

/// What a packet socket gets out by it.
std::uint64_t written_past(Target& target, const std::string& payload)
{
    const Sniffer sniffer(target.lab(), {}, "lan2");
    const Ethernet addresses{.from = mac_of(target.client(), "usb0"), .to = broadcast_mac};
    for (const char* from : {addr::client4, addr::second4}) {
        const Frame frame = ethernet(addresses, udp({.from = from, .to = addr::site4}, some_port,
                                                    some_port, bytes_of(payload)));
        run_as(target.client(), traffic_uid, {CAP_NET_RAW}, [&] {
            for (const bool bypass : {false, true}) {
                write_frame(frame, {.device = "usb0", .bypass = bypass});
            }
            return 0;
        });
    }
    if (target.has_to_leak()) {
        sniffer.wait_until([](const Counts& counts) { return counts.leaked > 0; });
    }
    sniffer.settle();
    return sniffer.leaked();
}

TEST(NewDevice, IsClosedFromTheFirstEventOn)
{
    const HeldTag tag("new device");
    expect_outcomes_at_once({.firewall = Leaks, .routing = Leaks, .belt = Holds},
                            [&](Target& target) {
                                plug_in(target);
                                if (target.guard() != Guard::None) {
                                    target.client().run({"failclosed", "reapply"});
                                }
                                target.keep_guard();
                                return written_past(target, tag.text());
                            });
}

TEST(NewDevice, ThatReturnsIsClosedAtOnce)
{
    const HeldTag tag("device that is back");
    expect_outcomes_at_once({.firewall = Leaks, .routing = Leaks, .belt = Holds},
                            [&](Target& target) {
                                plug_in(target);
                                if (target.guard() != Guard::None) {
                                    target.client().run({"failclosed", "reapply"});
                                }
                                target.client().ip("link del usb0\n");
                                plug_in(target);
                                target.keep_guard();
                                return written_past(target, tag.text());
                            });
}

// The other two locks use no device name: they hold on an unannounced device.
TEST(NewDevice, WithoutAnEventIsClosedForSockets)
{
    Target target(Guard::All);
    plug_in(target);
    const Sniffer sniffer(target.lab(), {}, "lan2");
    target.client().ip("addr add 192.168.60.10/24 dev usb0\n"
                       "route replace default via 192.168.60.1 dev usb0 metric 1\n");
    const HeldTag tag("new uplink");
    target.client().in([&] {
        for (const char* device : {"", "usb0"}) {
            send_datagram({.from = addr::second4, .device = device}, addr::site4, some_port,
                          tag.text());
        }
    });
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    EXPECT_TRUE(target.tunnel_works());
}

} // namespace

} // namespace failclosed::lab
