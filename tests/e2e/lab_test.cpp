// SPDX-License-Identifier: GPL-3.0-or-later
// Proves the lab itself: it carries traffic, its sniffer sees every kind of leak, and it vanishes.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/dhcpcd.hpp"
#include "tests/support/daemons/http.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/openvpn.hpp"
#include "tests/support/daemons/resolvers.hpp"
#include "tests/support/daemons/wireguard.hpp"
#include "tests/support/lab/lab.hpp"
#include "tests/support/lab/pidfd.hpp"
#include "tests/support/lab/signal_counter.hpp"
#include "tests/support/lab/socket_address.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/sniffer.hpp"
#include "tests/support/traffic/tag.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char wall[] = "table inet wall {\n"
                        "  chain output {\n"
                        "    type filter hook output priority 0; policy drop;\n"
                        "    oifname lo accept\n"
                        "  }\n"
                        "}\n";

std::string text_of(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

VpnClient::Options plain_client()
{
    VpnClient::Options options;
    options.hooks = false;
    return options;
}

// The kinds that the sniffer has not seen leak, or for the LAN's own, not seen at all.
std::vector<std::string> unseen(const Counts& counts)
{
    std::vector<std::string> result;
    for (const auto& kind : all_kinds()) {
        if (!counts.leaked_kinds.contains(kind.name) && !counts.lan_kinds.contains(kind.name)) {
            result.push_back(kind.name);
        }
    }
    return result;
}

TEST(Lab, CarriesTrafficOfBothFamilies)
{
    Lab lab;
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    EXPECT_TRUE(answers(lab.client(), addr::neighbour4));
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
    EXPECT_THAT(lab.dns().queries(), Contains(Field(&Query::name, "www.example.org")));
}

TEST(Lab, ClientHasItsOwnFilesAndProcesses)
{
    const Lab lab;
    const std::string host_file = text_of("/etc/hosts");
    lab.client().write_file("/etc/hosts", "192.0.2.1 changed\n");
    lab.client().write_file("/var/lib/failclosed/new", "state");
    EXPECT_EQ(text_of("/etc/hosts"), host_file);
    EXPECT_NE(access("/var/lib/failclosed/new", F_OK), 0);
    EXPECT_EQ(lab.client().read_file("/etc/resolv.conf"), "nameserver 192.168.50.1\n");
    EXPECT_EQ(lab.client().must({"hostname"}), "client\n");
    EXPECT_EQ(lab.client().must({"ls", "/sys/class/net"}), "eth0\nlo\n");
    EXPECT_FALSE(lab.client().run({"mkdir", "/sys/new"}).ok());
    const Process sleeper = lab.client().start({"sleep", "1000"});
    EXPECT_EQ(lab.client().must({"pgrep", "-x", "sleep"}),
              std::to_string(sleeper.inner_pid()) + "\n");
}

TEST(Lab, LinkAppearsOnRequest)
{
    Lab lab({.link_up = false, .second_uplink = true});
    EXPECT_EQ(lab.client().must({"ls", "/sys/class/net"}), "lo\n");
    lab.link_up();
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
    EXPECT_TRUE(answers(lab.client(), addr::second_gateway6));
}

TEST(Lab, LinkIsCutAndRestored)
{
    const Lab lab;
    const auto routes = lab.client().must({"ip", "-6", "route"});
    lab.cut_wire();
    EXPECT_FALSE(lab.client().run({"ping", "-n", "-c1", "-W0.3", addr::site4}).ok());
    lab.mend_wire();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    EXPECT_TRUE(eventually([&] { return lab.client().must({"ip", "-6", "route"}) == routes; }))
        << lab.client().must({"ip", "-6", "route"});
}

TEST(Lab, ResolverAnswersAsConfigured)
{
    Lab lab;
    lab.dns().set("vpn.example.net", {addr::site4});
    EXPECT_THAT(lab.client().must({"getent", "ahosts", "vpn.example.net"}),
                AllOf(HasSubstr(addr::site4), Not(HasSubstr(addr::server4))));
    lab.dns().forget_queries();
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
}

TEST(Lab, TakesTheProductFromAnInstallTree)
{
    char root[] = "/tmp/lab-install-XXXXXX";
    ASSERT_NE(mkdtemp(root), nullptr);
    const std::filesystem::path tree(root);
    std::filesystem::create_directories(tree / "usr/sbin");
    std::filesystem::create_directories(tree / "usr/lib/failclosed");
    std::filesystem::copy_file("/bin/true", tree / "usr/sbin/failclosed");
    std::filesystem::copy_file("/bin/true", tree / "usr/lib/failclosed/openvpn-hook");
    const Lab lab({.install_root = root});
    std::filesystem::remove_all(tree);
    EXPECT_TRUE(lab.client().run({"failclosed", "--version"}).ok());
    EXPECT_TRUE(lab.client().run({"/etc/openvpn/failclosed"}).ok());
    EXPECT_NE(access("/usr/lib/failclosed/openvpn-hook", F_OK), 0);
    EXPECT_THROW(lab.install("/nonexistent"), LabError);
}

TEST(Process, ReportsHowItEnded)
{
    const Box box("box");
    EXPECT_EQ(box.run({"false"}).status, 1);
    EXPECT_EQ(box.run({"/nonexistent"}).status, 127);
    EXPECT_EQ(box.run(Command{"cat"}.with_input("text")).out, "text");
    EXPECT_EQ(box.run(Command{"id", "-u"}.as(65534)).out, "65534\n");
    const Process sleeper = box.start({"sleep", "1000"});
    EXPECT_FALSE(sleeper.wait(std::chrono::milliseconds(1)));
    sleeper.signal(SIGTERM);
    EXPECT_EQ(sleeper.wait(), 128 + SIGTERM);
    EXPECT_THROW(box.must({"false"}), LabError);
}

class Tunnel : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(Tunnel, CarriesTrafficInside)
{
    const auto& [address, proto] = GetParam();
    const Lab lab;
    VpnServer server(lab, {.address = address, .proto = proto});
    VpnClient::Options options = plain_client();
    options.proto = proto;
    options.remotes = {(address == "*" ? "vpn.example.net" : address) + " 1194"};
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(answers(lab.client(), server.inside_address4()));
    EXPECT_TRUE(answers(lab.client(), server.inside_address6()));

    client.kill();
    client.start();
    ASSERT_TRUE(client.wait_connected(2)) << client.log();
    client.hup();
    ASSERT_TRUE(client.wait_connected(3)) << client.log();
    client.term();
    EXPECT_TRUE(client.process().wait());
}

INSTANTIATE_TEST_SUITE_P(Transports, Tunnel,
                         ::testing::Values(std::pair{"203.0.113.2", "udp"},
                                           std::pair{"2001:db8:113::2", "udp"},
                                           std::pair{"203.0.113.2", "tcp"},
                                           std::pair{"2001:db8:113::2", "tcp6"},
                                           std::pair{"*", "udp"}));

TEST(Tunnels, TwoServersAtOnceKeepApart)
{
    const Lab lab;
    VpnServer one(lab);
    VpnServer two(lab, {.number = 2, .address = addr::other_server4});
    VpnClient::Options options = plain_client();
    options.redirect_gateway = false;
    VpnClient first(lab, options);
    options.name = "other";
    options.device = "tun1";
    options.remotes = {"203.0.113.3 1194"};
    VpnClient second(lab, options);
    ASSERT_TRUE(first.wait_connected()) << first.log();
    ASSERT_TRUE(second.wait_connected()) << second.log();
    EXPECT_TRUE(answers(lab.client(), one.inside_address4()));
    EXPECT_TRUE(answers(lab.client(), two.inside_address6()));
}

TEST(Tunnels, ComeBackWhenTheServerDoes)
{
    const Lab lab;
    VpnServer server(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    server.kill();
    server.restart({"push \"route 192.0.2.0 255.255.255.0\""});
    ASSERT_TRUE(client.wait_connected(2, std::chrono::seconds(30))) << client.log();
    EXPECT_TRUE(answers(lab.client(), server.inside_address4()));
    EXPECT_THAT(lab.client().must({"ip", "route"}), HasSubstr("192.0.2.0/24 via 10.8.0.1"));
    lab.client().write_file("/etc/resolv.conf", "nameserver fd00:8::1\n");
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
}

TEST(Tunnels, ResolverInsideAnswersAndRemembers)
{
    const Lab lab;
    VpnServer server(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_THAT(client.log(), HasSubstr("dhcp-option DNS 10.8.0.1"));
    lab.client().write_file("/etc/resolv.conf", "nameserver 10.8.0.1\n");
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
    EXPECT_THAT(server.dns().queries(), Contains(Field(&Query::from, "10.8.0.2")));
}

// The lab's main proof: what a kill switch must stop is sent, and seen, and seen to stop.
void expect_leaks_to_be_seen(bool& passed)
{
    const Lab lab;
    VpnServer server(lab);
    Sniffer sniffer(lab);
    const Traffic traffic(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::inside4));
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) { return counts.allowed > 0; }));

    // Everything counted from here on got out because the tunnel is gone.
    client.kill();
    sniffer.reset();
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) { return unseen(counts).empty(); }))
        << ::testing::PrintToString(unseen(sniffer.counts()));
    for (const auto& kind : all_kinds()) {
        const bool lan = kind.name.find("-lan") != std::string::npos;
        EXPECT_EQ(sniffer.counts().leaked_kinds.contains(kind.name), !lan) << kind.name;
    }

    lab.client().nft(wall);
    sniffer.settle();
    const auto before = sniffer.counts();
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    const auto after = sniffer.counts();
    EXPECT_EQ(after.leaked, before.leaked) << after.text();
    EXPECT_EQ(after.lan, before.lan);
    EXPECT_EQ(after.lost, 0U);

    lab.client().must({"nft", "delete", "table", "inet", "wall"});
    EXPECT_TRUE(sniffer.wait_until(
        [&](const Counts& counts) { return counts.leaked > after.leaked + 100; }));
    passed = !::testing::Test::HasFailure();
}

TEST(Leaks, OfEveryKindAreSeen)
{
    bool passed = false;
    expect_leaks_to_be_seen(passed);
    EXPECT_TRUE(passed);
}

TEST(Leaks, AreSeenInTwoLabsAtOnce)
{
    std::array<bool, 2> passed{};
    std::thread other([&] { expect_leaks_to_be_seen(passed[1]); });
    expect_leaks_to_be_seen(passed[0]);
    other.join();
    EXPECT_TRUE(passed[0]);
    EXPECT_TRUE(passed[1]);
}

TEST(Leaks, FlowsBegunInsideTheTunnelAreSeenOutside)
{
    const Lab lab;
    const VpnServer server(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    const Sniffer sniffer(lab);
    const Traffic traffic(lab, {.kinds = connected_kinds()});
    lab.client().must({"ip", "link", "set", "tun0", "down"});
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) {
        return counts.leaked_kinds.contains("udp4-connected@user");
    })) << sniffer.counts().text();
    EXPECT_THAT(sniffer.counts().examples, Contains(HasSubstr("10.8.0.2"))) << client.log();
}

TEST(Leaks, AreSeenFromTheLinksFirstMoment)
{
    const Lab lab({.link_up = false});
    const Sniffer sniffer(lab);
    const Sniffer second(lab, {}, "lan1");
    const Traffic traffic(lab);
    EXPECT_EQ(sniffer.counts().frames, 0U);
    lab.link_up();
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) {
        const auto still = unseen(counts);
        return std::all_of(still.begin(), still.end(), [](const std::string& kind) {
            return kind.find("-connected") != std::string::npos; // of before there was a link
        });
    })) << ::testing::PrintToString(unseen(sniffer.counts()));
    EXPECT_EQ(second.counts().frames, 0U);
    lab.second_uplink_up();
    lab.client().must({"ip", "route", "replace", "default", "via", addr::second_gateway4});
    EXPECT_TRUE(second.wait_until([](const Counts& counts) { return counts.leaked > 0; }));
}

// The kernel does so for a device-bound socket whose route is "unreachable" (IPv4), and for every
// route that says "on link".
TEST(Leaks, ArpForARemoteAddressIsSeen)
{
    const Lab lab;
    const Sniffer sniffer(lab);
    lab.client().ip("route flush default\n"
                    "route add unreachable 198.51.100.0/24\n"
                    "route add 2001:db8:99::/64 dev eth0\n");
    lab.client().run({"ping", "-n", "-c1", "-W0.3", "-I", "eth0", addr::site4});
    lab.client().run({"ping", "-n", "-c1", "-W0.3", "-I", "eth0", addr::site6});
    sniffer.settle();
    const auto counts = sniffer.counts();
    EXPECT_THAT(counts.examples, Contains(HasSubstr("arp 1 for 198.51.100.20 from 192.168.50.10")));
    EXPECT_THAT(counts.examples, Contains(HasSubstr("icmp type 135"))) << counts.text();
}

TEST(Leaks, AQuietClientHasNone)
{
    const Lab lab({.link_up = true});
    const VpnServer server(lab, {.address = addr::server6, .proto = "udp6"});
    VpnClient::Options options = plain_client();
    options.remotes = {"vpn6.example.net 1194"};
    lab.client().write_file("/etc/hosts", std::string(addr::server6) + " vpn6.example.net\n");
    const Sniffer sniffer(lab);
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    lab.client().must({"ping", "-n", "-c3", "-i0.01", "-s4000", addr::inside4});
    sniffer.settle();
    const auto counts = sniffer.counts();
    EXPECT_EQ(counts.leaked, 0U) << counts.text();
    EXPECT_GT(counts.allowed, 10U);
}

TEST(EchoFlow, CountsPacketsThatTheTunnelLoses)
{
    const Lab lab;
    const VpnServer server(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    // So slow that the queues on the path hold all packets while a program waits.
    constexpr std::chrono::milliseconds interval{5};
    EchoFlow flow(lab, addr::site4, interval);
    ASSERT_TRUE(flow.wait_answers(100));
    flow.stop();
    EXPECT_EQ(flow.answered(), flow.sent());

    EchoFlow broken(lab, addr::site6, interval);
    ASSERT_TRUE(broken.wait_answers(10));
    lab.client().nft(wall);
    EXPECT_FALSE(broken.wait_answers(100, std::chrono::milliseconds(300)));
    broken.stop();
    EXPECT_GT(broken.refused(), 0U);
}

// An Ethernet header, then IPv4 with UDP: what the rows below change in it.
struct Datagram {
    const char* from = addr::client4;
    const char* to = addr::server4;
    std::uint16_t from_port = 40000;
    std::uint16_t to_port = 1194;
    std::uint8_t protocol = IPPROTO_UDP;
    std::uint16_t fragment = 0;
    std::string payload = "payload";
    Verdict verdict = Verdict::Leaked;
};

std::vector<std::uint8_t> frame_of(const Datagram& datagram)
{
    std::vector<std::uint8_t> frame(14 + 20 + 8);
    frame[12] = 8;
    iphdr header{};
    header.version = 4;
    header.ihl = 5;
    header.protocol = datagram.protocol;
    header.frag_off = htons(datagram.fragment);
    header.tot_len = htons(static_cast<std::uint16_t>(28 + datagram.payload.size()));
    inet_pton(AF_INET, datagram.from, &header.saddr);
    inet_pton(AF_INET, datagram.to, &header.daddr);
    std::memcpy(&frame[14], &header, sizeof(header));
    const std::array<std::uint16_t, 2> ports{htons(datagram.from_port), htons(datagram.to_port)};
    std::memcpy(&frame[34], ports.data(), sizeof(ports));
    frame.insert(frame.end(), datagram.payload.begin(), datagram.payload.end());
    return frame;
}

TEST(Judge, AcceptsWhatTheIspMaySee)
{
    const std::string tagged = tag_text(7);
    const std::vector<Datagram> rows = {
        {.verdict = Verdict::Allowed},
        {.payload = "more than " + tagged},
        {.from = "10.8.0.2"},
        {.to_port = 1195},
        {.protocol = IPPROTO_TCP},
        {.protocol = IPPROTO_ICMP},
        {.fragment = 185}, // of an unseen packet
        {.to = addr::other_server4},
        {.to = addr::site4},
        {.to = addr::neighbour4, .verdict = Verdict::Lan},
        {.to = addr::neighbour4, .payload = tagged, .verdict = Verdict::Lan},
        {.from = "10.8.0.2", .to = addr::neighbour4},
        {.to = addr::gateway4, .to_port = 53},
        {.to = "224.0.0.251", .to_port = 5353},
        {.from = "0.0.0.0",
         .to = "255.255.255.255",
         .from_port = 68,
         .to_port = 67,
         .verdict = Verdict::Allowed},
        {.from = "10.8.0.2", .to = "255.255.255.255", .from_port = 68, .to_port = 67},
        {.from_port = 68, .to_port = 67},
    };
    for (std::size_t row = 0; row < rows.size(); ++row) {
        Judge judge{Policy{}};
        EXPECT_EQ(judge.judge(frame_of(rows[row])).verdict, rows[row].verdict) << "row " << row;
    }
}

TEST(Judge, AcceptsLaterFragmentsOfAnAcceptedFirst)
{
    Judge judge{Policy{}};
    EXPECT_EQ(judge.judge(frame_of({.fragment = 0x2000})).verdict, Verdict::Allowed);
    EXPECT_EQ(judge.judge(frame_of({.fragment = 185})).verdict, Verdict::Allowed);
    EXPECT_EQ(judge.judge(frame_of({.fragment = 185, .payload = tag_text(7)})).verdict,
              Verdict::Leaked);
}

TEST(Judge, TreatsUnreadableFramesAsLeaks)
{
    Judge judge{Policy{}};
    const auto whole = frame_of({});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_EQ(judge.judge(std::span(whole).first(size)).verdict, Verdict::Leaked) << size;
    }
}

TEST(Judge, ReadsLanPrefixesFromItsPolicy)
{
    Judge judge{Policy{.never_lan = {"192.168.50.9"}}};
    EXPECT_EQ(judge.judge(frame_of({.to = addr::neighbour4})).verdict, Verdict::Leaked);
    EXPECT_THROW(Prefix::parse("10.0.0.0/33"), LabError);
    EXPECT_THROW(Prefix::parse("ten"), LabError);
}

// ---- Managers of the network ----

Lab::Options leased(std::vector<std::string> dns_extra = dhcp_and_ra())
{
    return {.static_addresses = false, .dns_extra = std::move(dns_extra)};
}

std::string resolvers(const Box& box)
{
    return box.read_file("/etc/resolv.conf");
}

std::string default_route(const Box& box)
{
    return box.must({"ip", "-4", "route", "show", "default"});
}

TEST(Managed, NetworkManagerTakesALeaseAndCallsItsScripts)
{
    Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus);
    manager.connect_ethernet();
    ASSERT_TRUE(manager.wait_for_event_done("up", "eth0")) << manager.recorder().text();
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
    EXPECT_THAT(lab.dns().names_asked(), Contains("www.example.org"));
    EXPECT_THAT(lab.client().must({"ls", "/etc/NetworkManager/dispatcher.d"}),
                "00-recorder\n99zz-recorder\nno-wait.d\npre-down.d\npre-up.d\n");

    const auto& recorder = manager.recorder();
    EXPECT_EQ(recorder.count("pre-up", "eth0", "dispatcher"), 1U) << recorder.text();
    for (const auto& event : manager.events()) {
        if (event.action == "up" && event.interface == "eth0") {
            EXPECT_THAT(event.env.at("IP4_ADDRESS_0"), HasSubstr("192.168.50.1"));
            EXPECT_EQ(event.env.at("CONNECTION_ID"), "eth0");
        }
    }
    ASSERT_TRUE(manager.wait_for_event("dhcp6-change", "eth0")) << recorder.text();
    // It sets the address after it has announced it.
    EXPECT_TRUE(eventually([&] {
        return lab.client()
                   .must({"ip", "-6", "addr", "show", "dev", "eth0"})
                   .find("2001:db8:50::") != std::string::npos;
    }));

    manager.recorder().forget();
    manager.nmcli({"device", "disconnect", "eth0"});
    EXPECT_TRUE(manager.wait_for_event("down", "eth0")) << recorder.text();
    EXPECT_EQ(recorder.count("pre-down", "eth0", "dispatcher"), 1U) << recorder.text();
}

TEST(Managed, NetworkManagerComesBackAfterItsEnd)
{
    const Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus, {.profiles = {EthernetProfile{}}});
    ASSERT_TRUE(manager.wait_activated("eth0")) << manager.log();
    manager.kill();
    EXPECT_THAT(default_route(lab.client()), HasSubstr(addr::gateway4));
    manager.start();
    ASSERT_TRUE(manager.wait_activated("eth0")) << manager.log();
    manager.restart();
    ASSERT_TRUE(manager.wait_activated("eth0")) << manager.log();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

TEST(Managed, NetworkManagerNoticesALostCarrierAndItsReturn)
{
    const Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus, {.carrier_wait = std::chrono::milliseconds(100)});
    manager.connect_ethernet();
    ASSERT_TRUE(manager.wait_for_event("up", "eth0")) << manager.recorder().text();
    ASSERT_TRUE(manager.wait_for_event("dhcp6-change", "eth0")) << manager.recorder().text();
    manager.recorder().forget();
    lab.cut_wire();
    ASSERT_TRUE(manager.wait_for_event("down", "eth0")) << manager.recorder().text();
    lab.mend_wire();
    ASSERT_TRUE(manager.wait_for_event("up", "eth0")) << manager.recorder().text();
    EXPECT_TRUE(manager.wait_for_event("dhcp6-change", "eth0")) << manager.recorder().text();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

class NetworkManagerDns
    : public ::testing::TestWithParam<std::pair<NetworkManager::Options, std::string>> {};

TEST_P(NetworkManagerDns, WritesResolvConfInItsMode)
{
    Lab lab(leased());
    const auto& [options, expected] = GetParam();
    SystemBus bus(lab.client());
    std::optional<Resolved> resolved;
    if (options.dns == "systemd-resolved") {
        resolved.emplace(bus);
    }
    if (options.rc_manager == "resolvconf") {
        unpack(lab.client(), "openresolv");
    }
    NetworkManager manager(bus, options);
    manager.connect_ethernet();
    ASSERT_TRUE(manager.wait_for_event("up", "eth0"));
    // It goes on while systemd-resolved or dnsmasq are still being told of the servers.
    if (options.dns != "none") {
        EXPECT_TRUE(eventually([&] { return answers(lab.client(), "www.example.org"); }))
            << resolvers(lab.client());
        EXPECT_THAT(lab.dns().names_asked(), Contains("www.example.org"));
    }
    EXPECT_TRUE(eventually([&, &text = expected] {
        return resolvers(lab.client()).find(text) != std::string::npos;
    })) << resolvers(lab.client());
}

INSTANTIATE_TEST_SUITE_P(
    Modes, NetworkManagerDns,
    ::testing::Values(
        std::pair{NetworkManager::Options{}, "# Generated by NetworkManager\n"},
        std::pair{NetworkManager::Options{.rc_manager = "symlink"}, "nameserver 192.168.50.1"},
        std::pair{NetworkManager::Options{.rc_manager = "resolvconf"}, "by resolvconf"},
        std::pair{NetworkManager::Options{.dns = "systemd-resolved"}, "nameserver 127.0.0.53"},
        std::pair{NetworkManager::Options{.dns = "dnsmasq"}, "nameserver 127.0.0.1"},
        std::pair{NetworkManager::Options{.dns = "none"}, "nameserver 192.168.50.1\n"}),
    [](const auto& row) {
        std::string name = row.param.first.dns + "_" + row.param.first.rc_manager;
        std::replace(name.begin(), name.end(), '-', '_');
        return name;
    });

TEST(Managed, ConnectivityIsChecked)
{
    const Lab lab(leased());
    const HttpServer web(lab.internet());
    SystemBus bus(lab.client());
    NetworkManager manager(
        bus, {.connectivity_uri = "http://www.example.org/", .connectivity_interval = 1});
    manager.connect_ethernet();
    EXPECT_TRUE(manager.recorder().wait_until([](const std::vector<Event>& events) {
        return std::any_of(events.begin(), events.end(), [](const Event& event) {
            const auto state = event.env.find("CONNECTIVITY_STATE");
            return event.action == "connectivity-change" && state != event.env.end() &&
                   state->second == "FULL";
        });
    })) << manager.recorder().text();
    EXPECT_GE(web.requests(), 1U);
}

TEST(Managed, NetworkManagersOpenVpnConnects)
{
    const Lab lab(leased());
    const VpnServer server(lab);
    SystemBus bus(lab.client());
    NetworkManager manager(bus);
    manager.connect_ethernet();
    manager.add_openvpn_profile();
    manager.nmcli({"connection", "up", "office"});
    ASSERT_TRUE(manager.wait_for_event("vpn-up", "vpn0")) << manager.recorder().text();
    EXPECT_TRUE(answers(lab.client(), server.inside_address4()));
    EXPECT_TRUE(eventually([&] {
        return resolvers(lab.client()).find(addr::inside4) != std::string::npos;
    })) << resolvers(lab.client());
    EXPECT_THAT(lab.client().must({"pgrep", "-u", "nm-openvpn", "-x", "openvpn"}), Not(IsEmpty()));
    manager.nmcli({"connection", "down", "office"});
    EXPECT_TRUE(manager.wait_for_event("vpn-down", "vpn0")) << manager.recorder().text();
}

TEST(Managed, AWireGuardProfileIsRead)
{
    const Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus);
    manager.add_wireguard_profile("wg", "203.0.113.2:51820");
    EXPECT_THAT(manager.nmcli({"-g", "connection.type", "connection", "show", "wg"}),
                "wireguard\n");
}

/// What it was told of its last lease; other events may have come since.
Event last_lease(const Dhcpcd& dhcpcd)
{
    Event last;
    for (const auto& event : dhcpcd.events()) {
        last = event.env.contains("new_ip_address") ? event : last;
    }
    return last;
}

TEST(Managed, DhcpcdTakesALeaseAndSourcesItsHooks)
{
    const Lab lab(leased());
    Dhcpcd dhcpcd(lab.client());
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
    ASSERT_TRUE(dhcpcd.wait_for_event("ROUTERADVERT", "eth0")) << dhcpcd.recorder().text();
    ASSERT_TRUE(dhcpcd.wait_for_event("BOUND6", "eth0")) << dhcpcd.recorder().text();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_THAT(resolvers(lab.client()), HasSubstr(addr::gateway4));
    dhcpcd.recorder().forget();
    lab.cut_wire();
    ASSERT_TRUE(dhcpcd.wait_for_event("EXPIRE", "eth0")) << dhcpcd.recorder().text();
    lab.mend_wire();
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.recorder().text();
    EXPECT_EQ(last_lease(dhcpcd).env.at("if_up"), "true");
    EXPECT_EQ(last_lease(dhcpcd).env.at("new_routers"), addr::gateway4);
    dhcpcd.recorder().forget();
    dhcpcd.rebind();
    EXPECT_TRUE(dhcpcd.wait_lease()) << dhcpcd.recorder().text();
    dhcpcd.stop();
    EXPECT_THAT(default_route(lab.client()), HasSubstr(addr::gateway4));
    dhcpcd.recorder().forget();
    dhcpcd.start();
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.recorder().text();
    dhcpcd.kill();
    EXPECT_FALSE(lab.client().run({"pgrep", "-x", "dhcpcd"}).ok());
}

TEST(Managed, DhcpcdGivesItsResolversToOpenresolv)
{
    const Lab lab(leased());
    unpack(lab.client(), "openresolv");
    const Dhcpcd dhcpcd(lab.client(), {.ipv6 = false});
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
    EXPECT_THAT(lab.client().must({"resolvconf", "-i"}), HasSubstr("eth0.dhcp"));
    EXPECT_THAT(resolvers(lab.client()), HasSubstr("by resolvconf"));
}

TEST(Managed, DhcpcdManagesAllInterfaces)
{
    Lab lab(leased());
    Dhcpcd dhcpcd(lab.client(), {.interfaces = {}, .ipv6 = false});
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
    const DnsServer second = lab.second_dns();
    lab.second_uplink_up();
    ASSERT_TRUE(dhcpcd.wait_lease("eth1")) << dhcpcd.log();
    EXPECT_TRUE(second.wait_lease());
    dhcpcd.renew();
    dhcpcd.release();
    EXPECT_THAT(default_route(lab.client()), IsEmpty());
}

TEST(Managed, EventsHaveStartAndEndOfTheScripts)
{
    const Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus);
    lab.client().write_file("/etc/NetworkManager/dispatcher.d/50-slow",
                            "#!/bin/sh\n" + Recorder::lines("slow", "\"$2\"", "\"$1\"", {}) +
                                "[ \"$2\" != up ] || sleep 1\n" +
                                Recorder::lines("slow-end", "\"$2\"", "\"$1\"", {}),
                            0755);
    manager.connect_ethernet();
    ASSERT_TRUE(manager.wait_for_event_done("up", "eth0")) << manager.recorder().text();
    std::vector<std::string> order;
    for (const auto& event : manager.recorder().events()) {
        if (event.action == "up" && event.interface == "eth0") {
            order.push_back(event.source);
        }
    }
    EXPECT_THAT(order, testing::ElementsAre("dispatcher", "slow", "slow-end", "dispatcher-end"));
}

// ---- What the underlay does ----

TEST(Underlay, ARenewedLeaseBringsAnotherGatewayAndKeepsTheAddress)
{
    Lab lab(leased());
    Dhcpcd dhcpcd(lab.client(), {.ipv6 = false});
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
    const std::string address = last_lease(dhcpcd).env.at("new_ip_address");
    dhcpcd.recorder().forget();
    lab.dns().restart(
        dhcp_arguments({.gateway = addr::other_gateway4, .resolver = "192.168.50.9"}));
    dhcpcd.renew();
    ASSERT_TRUE(dhcpcd.wait_for_event("RENEW", "eth0")) << dhcpcd.recorder().text();
    EXPECT_THAT(default_route(lab.client()), HasSubstr(addr::other_gateway4));
    EXPECT_THAT(resolvers(lab.client()), HasSubstr(addr::neighbour4));
    EXPECT_EQ(last_lease(dhcpcd).env.at("new_ip_address"), address);
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

TEST(Underlay, RenewsWhenTheServersTimeIsOver)
{
    const Lab lab(leased(dhcp_arguments({.t1 = 3, .t2 = 60})));
    const Dhcpcd dhcpcd(lab.client(), {.ipv6 = false});
    ASSERT_TRUE(dhcpcd.wait_for_event("RENEW", "eth0")) << dhcpcd.log();
}

// A dnsmasq has a process for each of them.
TEST(Underlay, ItsDnsServerIsReplacedWhileConnectionsToItAreOpen)
{
    Lab lab;
    for (int round = 0; round < 5; ++round) {
        const Process connected = Process::fork(lab.client(), [] {
            for (int i = 0; i < 15; ++i) {
                const SocketAddress to = socket_address(addr::gateway4, 53);
                if (connect(socket(AF_INET, SOCK_STREAM, 0), &to.any, sizeof to.v4) != 0) {
                    return 1;
                }
            }
            dprintf(STDOUT_FILENO, "connected\n");
            pause();
            return 0;
        });
        ASSERT_TRUE(connected.wait_for("connected"));
        lab.dns().restart({});
    }
}

TEST(Underlay, ClientRoamsToAnotherNetworkAndBack)
{
    Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus, {.carrier_wait = std::chrono::milliseconds(100)});
    manager.connect_ethernet();
    const auto roam = [&](const std::vector<std::string>& network) {
        ASSERT_TRUE(manager.wait_for_event("up", "eth0")) << manager.recorder().text();
        manager.recorder().forget();
        lab.cut_wire();
        ASSERT_TRUE(manager.wait_for_event("down", "eth0"));
        lab.dns().restart(network);
        lab.mend_wire();
        ASSERT_TRUE(manager.wait_for_event("up", "eth0")) << manager.recorder().text();
        EXPECT_TRUE(answers(lab.client(), addr::site4))
            << manager.recorder().text() << manager.log();
    };
    ASSERT_NO_FATAL_FAILURE(
        roam(dhcp_and_ra({.network = "192.168.70"}, {.prefix = "2001:db8:70::"})));
    EXPECT_THAT(default_route(lab.client()), HasSubstr(addr::roaming_gateway4));
    ASSERT_NO_FATAL_FAILURE(roam(dhcp_and_ra()));
    EXPECT_THAT(default_route(lab.client()), HasSubstr(addr::gateway4));
}

TEST(Underlay, ASecondUplinkTakesOverAndIsCut)
{
    Lab lab(leased());
    SystemBus bus(lab.client());
    NetworkManager manager(bus, {.carrier_wait = std::chrono::milliseconds(100)});
    manager.connect_ethernet({.metric = 600});
    const DnsServer second = lab.second_dns();
    lab.second_uplink_up();
    manager.connect_ethernet({.device = "eth1", .metric = 100});
    ASSERT_TRUE(manager.wait_for_event("up", "eth1")) << manager.recorder().text();
    const auto leads_out = [&](const std::string& device) {
        return eventually([&] {
            return lab.client().must({"ip", "route", "get", addr::site4}).find("dev " + device) !=
                   std::string::npos;
        });
    };
    EXPECT_TRUE(leads_out("eth1"));
    lab.cut_wire("lan1");
    ASSERT_TRUE(manager.wait_for_event("down", "eth1")) << manager.recorder().text();
    EXPECT_TRUE(leads_out("eth0"));
    lab.mend_wire("lan1");
    EXPECT_TRUE(manager.wait_for_event("up", "eth1", 2)) << manager.recorder().text();
}

TEST(Underlay, ANewPrefixIsAdvertised)
{
    Lab lab(leased(ra_arguments({.slaac = true})));
    lab.client().sysctl("net.ipv6.conf.eth0.accept_ra", "2");
    const Process changes = lab.client().start({"ip", "monitor", "address"});
    lab.dns().restart(ra_arguments({.prefix = "2001:db8:70::", .slaac = true, .interval = 4}));
    EXPECT_TRUE(changes.wait_for("2001:db8:70:")) << changes.output() << lab.dns().log();
}

TEST(Underlay, QueriesAreRememberedOverARestart)
{
    Lab lab;
    lab.client().must({"getent", "ahosts", "www.example.org"});
    lab.dns().restart({});
    lab.client().must({"getent", "ahosts", "vpn.example.net"});
    EXPECT_THAT(lab.dns().names_asked(),
                ::testing::ElementsAre("vpn.example.net", "www.example.org"));
    lab.dns().forget_queries();
    EXPECT_THAT(lab.dns().names_asked(), IsEmpty());
}

// ---- Tunnels that are known by their configs, or are no OpenVPN ----

TEST(WireGuard, CarriesTrafficInside)
{
    const Lab lab;
    const WireGuardServer server(lab);
    Sniffer sniffer(lab, {.servers = {{addr::server4, "udp", 51820}}});
    WireGuardClient client(lab, server);
    EXPECT_TRUE(answers(lab.client(), WireGuardServer::inside4));
    EXPECT_TRUE(answers(lab.client(), WireGuardServer::inside6));
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    EXPECT_GE(sniffer.counts().allowed, 8U);
    client.stop();
    EXPECT_FALSE(lab.client().run({"ip", "link", "show", "dev", "wg0"}).ok());
    client.start();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

TEST(Signals, AreCountedOneByOne)
{
    const Lab lab;
    const VpnServer server(lab);
    VpnClient::Options options = plain_client();
    options.directory = "/etc/openvpn/client";
    options.as_unit = true;
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_THAT(text_of("/proc/" + std::to_string(client.process().pid()) + "/cmdline"),
                HasSubstr(std::string("--config\0lab.conf", 17)));
    SignalCounter counter(lab.client(), client.process());
    client.hup();
    ASSERT_TRUE(client.wait_connected(2)) << client.log();
    client.usr1();
    ASSERT_TRUE(client.wait_connected(3)) << client.log();
    EXPECT_EQ(counter.count(SIGHUP), 1U);
    EXPECT_EQ(counter.count(SIGUSR1), 1U);
    EXPECT_EQ(counter.all(), 2U);
    EXPECT_EQ(client.signals().hup, 1U);
    EXPECT_EQ(client.signals().usr1, 1U);
    EXPECT_EQ(client.signals().soft, 0U);
    counter.reset();
    EXPECT_EQ(counter.all(), 0U);
    // The second one while the first one's restart is under way: the log may tell of one only.
    client.hup();
    ASSERT_TRUE(counter.wait_for(SIGHUP));
    client.hup();
    ASSERT_TRUE(counter.wait_for(SIGHUP, 2));
    // It forgets what comes in the moment in which it begins anew.
    ASSERT_TRUE(eventually([&] {
        client.term();
        return client.process().wait(std::chrono::seconds(1)).has_value();
    })) << client.log();
}

TEST(Signals, ReachAClientThatHasNotComeUpYet)
{
    const Lab lab;
    VpnClient::Options options = plain_client();
    options.extra = {"server-poll-timeout 60"}; // so that it does not begin anew by itself
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_trying()) << client.log();
    const SignalCounter counter(lab.client(), client.process());
    client.hup();
    EXPECT_TRUE(client.wait_trying(2)) << client.log();
    EXPECT_EQ(counter.all(), 1U);
    EXPECT_EQ(client.connections(), 0U);
}

TEST(Signals, OfAMissingProcessCannotBeCounted)
{
    const Box box("box");
    const Process sleeper = box.start({"sleep", "1000"});
    EXPECT_THROW(SignalCounter(box, 99'999), LabError);
    std::optional<SignalCounter> counter(std::in_place, box, sleeper);
    EXPECT_EQ(counter->all(), 0U);
    counter.reset();
    EXPECT_TRUE(sleeper.running());
}

TEST(Remains, NoneAfterALab)
{
    const auto mounts = text_of("/proc/self/mountinfo");
    {
        const Lab lab;
        const VpnServer server(lab);
        const Process daemon = lab.client().start({"sleep", "1000"});
    }
    EXPECT_EQ(text_of("/proc/self/mountinfo"), mounts);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST(Remains, NoneAfterTheTestWasKilled)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t test = fork();
    if (test == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // an assertion that fails must not leave it behind
        const Lab lab;
        VpnServer server(lab);
        const Process daemon = lab.client().start({"sleep", "1000"});
        const std::array<pid_t, 5> pids{lab.client().init_pid(), lab.isp().init_pid(),
                                        lab.internet().init_pid(), server.process().pid(),
                                        daemon.pid()};
        (void)!write(ends[1], pids.data(), sizeof(pids));
        pause();
    }
    std::array<pid_t, 5> pids{};
    ASSERT_EQ(read(ends[0], pids.data(), sizeof(pids)), static_cast<ssize_t>(sizeof(pids)));
    std::array<pollfd, 5> ended{};
    for (std::size_t i = 0; i < pids.size(); ++i) {
        ended[i] = {pidfd_open(pids[i], 0), POLLIN, 0};
        ASSERT_GE(ended[i].fd, 0);
    }
    kill(test, SIGKILL);
    waitpid(test, nullptr, 0);
    for (auto& process : ended) {
        EXPECT_EQ(poll(&process, 1, 10'000), 1);
        close(process.fd);
    }
    close(ends[0]);
    close(ends[1]);
}

} // namespace

} // namespace failclosed::lab
