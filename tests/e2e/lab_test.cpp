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
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/echo_flow.hpp"
#include "tests/support/lab.hpp"
#include "tests/support/openvpn.hpp"
#include "tests/support/pidfd.hpp"
#include "tests/support/sniffer.hpp"
#include "tests/support/tag.hpp"
#include "tests/support/traffic.hpp"

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

bool answers(const Box& box, const std::string& address)
{
    // Tries again for a while: a storm may fill a queue on the way.
    return box.run({"ping", "-n", "-c1", "-i0.2", "-w5", address}).ok();
}

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

TEST(Lab, ClientHasFilesAndProcessesOfItsOwn)
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

TEST(Lab, LinkComesWhenTheTestSaysSo)
{
    Lab lab({.link_up = false, .second_uplink = true});
    EXPECT_EQ(lab.client().must({"ls", "/sys/class/net"}), "lo\n");
    lab.link_up();
    EXPECT_TRUE(answers(lab.client(), "www.example.org"));
    EXPECT_TRUE(answers(lab.client(), addr::second_gateway6));
}

TEST(Lab, WireIsCutAndMended)
{
    const Lab lab;
    const auto routes = lab.client().must({"ip", "-6", "route"});
    lab.cut_wire();
    EXPECT_FALSE(lab.client().run({"ping", "-n", "-c1", "-W0.3", addr::site4}).ok());
    lab.mend_wire();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    EXPECT_EQ(lab.client().must({"ip", "-6", "route"}), routes);
}

TEST(Lab, ResolverSaysWhatItIsTold)
{
    Lab lab;
    lab.dns().set("vpn.example.net", {addr::site4});
    EXPECT_THAT(lab.client().must({"getent", "ahosts", "vpn.example.net"}),
                AllOf(HasSubstr(addr::site4), Not(HasSubstr(addr::server4))));
    lab.dns().forget_queries();
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
}

TEST(Lab, GivesLeasesAndRouterAdvertisements)
{
    auto extra = dhcp_arguments();
    for (const auto& argument : ra_arguments()) {
        extra.push_back(argument);
    }
    Lab lab({.static_addresses = false, .dns_extra = extra});
    const Process dhcp =
        lab.client().start({"dhcpcd", "--nobackground", "--noarp", "--debug", "eth0"});
    ASSERT_TRUE(dhcp.wait_for("leased 192.168.50.")) << dhcp.output();
    ASSERT_TRUE(dhcp.wait_for("adding default route via 192.168.50.1")) << dhcp.output();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    EXPECT_TRUE(dhcp.wait_for("Router Advertisement from fe80::1")) << dhcp.output();
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

TEST(Process, TellsHowItEnded)
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
    EXPECT_GT(sniffer.counts().allowed, 0U);

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
TEST(Leaks, AskingTheWireForAStrangerIsOne)
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

TEST(Leaks, QuietClientHasNone)
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

TEST(EchoFlow, CountsWhatTheTunnelLoses)
{
    const Lab lab;
    const VpnServer server(lab);
    VpnClient client(lab, plain_client());
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EchoFlow flow(lab);
    ASSERT_TRUE(flow.wait_answers(100));
    flow.stop();
    EXPECT_EQ(flow.answered(), flow.sent());

    EchoFlow broken(lab, addr::site6);
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

TEST(Judge, KnowsWhatTheIspMaySee)
{
    const std::string tagged = tag_text(7);
    const std::vector<Datagram> rows = {
        {.verdict = Verdict::Allowed},
        {.payload = "more than " + tagged},
        {.from = "10.8.0.2"},
        {.to_port = 1195},
        {.protocol = IPPROTO_TCP},
        {.protocol = IPPROTO_ICMP},
        {.fragment = 185}, // of a packet that nobody has seen
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

TEST(Judge, LetsLaterFragmentsFollowTheirFirst)
{
    Judge judge{Policy{}};
    EXPECT_EQ(judge.judge(frame_of({.fragment = 0x2000})).verdict, Verdict::Allowed);
    EXPECT_EQ(judge.judge(frame_of({.fragment = 185})).verdict, Verdict::Allowed);
    EXPECT_EQ(judge.judge(frame_of({.fragment = 185, .payload = tag_text(7)})).verdict,
              Verdict::Leaked);
}

TEST(Judge, TakesWhatItCannotReadForALeak)
{
    Judge judge{Policy{}};
    const auto whole = frame_of({});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_EQ(judge.judge(std::span(whole).first(size)).verdict, Verdict::Leaked) << size;
    }
}

TEST(Judge, TakesLanPrefixesFromItsPolicy)
{
    Judge judge{Policy{.never_lan = {"192.168.50.9"}}};
    EXPECT_EQ(judge.judge(frame_of({.to = addr::neighbour4})).verdict, Verdict::Leaked);
    EXPECT_THROW(Prefix::parse("10.0.0.0/33"), LabError);
    EXPECT_THROW(Prefix::parse("ten"), LabError);
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
