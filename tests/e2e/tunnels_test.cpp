// SPDX-License-Identifier: GPL-3.0-or-later
// Two tunnels that keep apart, tunnels of other programs, and what keeps working beside them.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <regex>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Policy policy_of_both()
{
    Policy policy;
    policy.servers = {{addr::server4, "udp", 1194}, {addr::other_server4, "udp", 1194}};
    return policy;
}

std::string resolvers(const Box& client)
{
    std::string found;
    const std::string text = client.read_file("/etc/resolv.conf");
    static const std::regex line("nameserver (\\S+)");
    for (std::sregex_iterator i(text.begin(), text.end(), line), end; i != end; ++i) {
        found += (*i)[1].str() + " ";
    }
    return found;
}

/// An echo request from an address of one's choosing, out of one device.
bool send_from(const Box& client, const char* source, const char* device)
{
    return client.in([&] {
        struct {
            iphdr ip{};
            icmphdr icmp{};
        } packet;
        packet.ip.version = 4;
        packet.ip.ihl = 5;
        packet.ip.ttl = 64;
        packet.ip.protocol = IPPROTO_ICMP;
        inet_pton(AF_INET, source, &packet.ip.saddr);
        inet_pton(AF_INET, addr::site4, &packet.ip.daddr);
        packet.icmp.type = ICMP_ECHO;
        packet.icmp.checksum = htons(0xf7ff);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        inet_pton(AF_INET, addr::site4, &to.sin_addr);
        const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
                   static_cast<socklen_t>(std::strlen(device)));
        const bool sent =
            sendto(fd, &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) > 0;
        close(fd);
        return sent;
    });
}

class TwoTunnels : public ::testing::Test {
  protected:
    TwoTunnels()
        : lab_(with_product()), one_(lab_, {.extra = {"verb 4"}}),
          two_(lab_, {.number = 2,
                      .address = addr::other_server4,
                      .extra = {"verb 4", "push \"route 192.0.2.0 255.255.255.0\""}})
    {
        // Hosts inside of each network, so that it matters which way is taken.
        lab_.internet().ip("addr add 192.0.2.1/32 dev lo\n");
    }

    const Box& client() const { return lab_.client(); }

    void connect(std::optional<VpnClient>& tunnel, int number)
    {
        VpnClient::Options options =
            client_to({std::string(number == 1 ? addr::server4 : addr::other_server4) + " 1194"});
        options.name = "number" + std::to_string(number);
        options.device = "tun" + std::to_string(number);
        options.redirect_gateway = number == 1;
        tunnel.emplace(lab_, options);
        // The way to the second server is the first tunnel, which other programs keep full.
        ASSERT_TRUE(tunnel->wait_connected(1, 4 * patience)) << tunnel->log();
    }

    static void end(std::optional<VpnClient>& tunnel)
    {
        tunnel->term();
        ASSERT_TRUE(tunnel->process().wait());
    }

    std::string way_to(const std::string& address) const
    {
        return client().must({"ip", "route", "get", address});
    }

    Lab lab_;
    VpnServer one_;
    VpnServer two_;
    std::optional<VpnClient> first_;
    std::optional<VpnClient> second_;
};

TEST_F(TwoTunnels, KeepApart)
{
    const std::string before = resolvers(client());
    const Sniffer sniffer(lab_, policy_of_both());
    ASSERT_NO_FATAL_FAILURE(connect(first_, 1));
    const Traffic traffic(lab_, {.interval = std::chrono::milliseconds(20)});
    ASSERT_NO_FATAL_FAILURE(connect(second_, 2));
    EXPECT_TRUE(gets_answers(client(), "10.8.0.1"));
    EXPECT_TRUE(gets_answers(client(), "10.9.0.1"));
    EXPECT_TRUE(gets_answers(client(), "fd00:8::1"));
    EXPECT_TRUE(gets_answers(client(), "fd00:9::1"));
    EXPECT_TRUE(gets_answers(client(), "192.0.2.1"));
    EXPECT_TRUE(gets_answers(client(), addr::site4));
    EXPECT_THAT(way_to("10.9.0.1"), HasSubstr("dev tun2"));
    EXPECT_THAT(way_to("192.0.2.1"), HasSubstr("dev tun2"));
    EXPECT_THAT(way_to("10.8.0.1"), HasSubstr("dev tun1"));
    EXPECT_THAT(way_to(addr::site4), HasSubstr("dev tun1"));
    EXPECT_TRUE(gets_answers(client(), addr::site4, {"-I", "10.9.0.2"})) << "by its own address";
    EXPECT_EQ(resolvers(client()), "10.8.0.1 fd00:8::1 10.9.0.1 fd00:9::1 ");
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);

    // Each one's address only in it.
    EXPECT_TRUE(send_from(client(), "10.9.0.2", "tun2"));
    send_from(client(), "10.8.0.2", "tun2");
    send_from(client(), "10.9.0.2", "tun1");
    send_from(client(), addr::client4, "tun2");
    EXPECT_TRUE(gets_answers(client(), "10.9.0.1"));
    EXPECT_TRUE(gets_answers(client(), "10.8.0.1"));
    for (VpnServer* server : {&one_, &two_}) {
        EXPECT_EQ(server->process().count("bad source address"), 0U);
    }

    ASSERT_NO_FATAL_FAILURE(end(second_));
    EXPECT_TRUE(gets_answers(client(), "10.8.0.1"));
    EXPECT_TRUE(gets_answers(client(), addr::site4));
    EXPECT_FALSE(answers(client(), "10.9.0.1", {"-W0.3"})) << "not past its tunnel";
    EXPECT_EQ(resolvers(client()), "10.8.0.1 fd00:8::1 ");
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
    ASSERT_NO_FATAL_FAILURE(end(first_));
    EXPECT_EQ(resolvers(client()), before);
    EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

TEST_F(TwoTunnels, InTheOtherOrderAndTheFirstOneGoes)
{
    const Sniffer sniffer(lab_, policy_of_both());
    ASSERT_NO_FATAL_FAILURE(connect(second_, 2));
    ASSERT_NO_FATAL_FAILURE(connect(first_, 1));
    const Traffic traffic(lab_, {.interval = std::chrono::milliseconds(20)});
    EXPECT_EQ(resolvers(client()), "10.9.0.1 fd00:9::1 10.8.0.1 fd00:8::1 ");
    EXPECT_TRUE(gets_answers(client(), "10.8.0.1"));
    EXPECT_TRUE(gets_answers(client(), "192.0.2.1"));
    ASSERT_NO_FATAL_FAILURE(end(second_));
    EXPECT_TRUE(gets_answers(client(), "10.8.0.1"));
    EXPECT_TRUE(gets_answers(client(), addr::site4));
    EXPECT_EQ(resolvers(client()), "10.8.0.1 fd00:8::1 ");
    ASSERT_NO_FATAL_FAILURE(connect(second_, 2));
    EXPECT_EQ(resolvers(client()), "10.8.0.1 fd00:8::1 10.9.0.1 fd00:9::1 ");
    first_->kill();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_TRUE(gets_answers(client(), "10.9.0.1"));
    EXPECT_TRUE(gets_answers(client(), "192.0.2.1"));
    EXPECT_EQ(resolvers(client()), "10.9.0.1 fd00:9::1 ");
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

// ---- Another program's tunnel ----

// Makes a tun device and answers every IPv4 echo request that comes out of it.
int serve_tunnel(const char* name)
{
    const int fd = open("/dev/net/tun", O_RDWR);
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 || write(1, "ready\n", 6) != 6) {
        return 1;
    }
    std::array<unsigned char, 65536> packet;
    while (true) {
        const ssize_t size = read(fd, packet.data(), packet.size());
        if (size < 28 || packet[0] != 0x45 || packet[9] != IPPROTO_ICMP ||
            packet[20] != ICMP_ECHO) {
            continue;
        }
        std::swap_ranges(&packet[12], &packet[16], &packet[16]);
        packet[20] = ICMP_ECHOREPLY;
        // The checksum's complement grows by what the type has lost (RFC 1624).
        const unsigned sum = packet[22] * 256U + packet[23] + 0x0800U;
        const unsigned folded = (sum & 0xffffU) + (sum >> 16U);
        packet[22] = static_cast<unsigned char>(folded >> 8U);
        packet[23] = static_cast<unsigned char>(folded);
        (void)!write(fd, packet.data(), static_cast<std::size_t>(size));
    }
}

TEST(OtherProgram, ItsTunnelIsAnnouncedByCommand)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const Process program = Process::fork(client, [] { return serve_tunnel("wgx"); });
    ASSERT_TRUE(program.wait_for("ready"));
    client.ip("addr add 10.66.0.2/24 dev wgx\nlink set wgx up\n");
    ASSERT_EQ(failclosed(client, {"lock"}).status, 0);
    Policy policy;
    policy.servers.clear();
    const Sniffer sniffer(lab, policy);
    const Traffic traffic(lab);
    EXPECT_FALSE(answers(client, addr::site4, {"-W0.3"}));
    const std::vector<std::string> line = {
        "--interface", "wgx",       "--server", "203.0.113.9:51820/udp", "--mark",  "0x51",
        "--dns",       "10.66.0.1", "--search", "corp.example",          "--route", "10.67.0.0/16"};
    const auto with = [&](const char* verb) {
        std::vector<std::string> arguments = {verb};
        arguments.insert(arguments.end(), line.begin(), line.end());
        return failclosed(client, arguments);
    };
    const Outcome up = with("up");
    EXPECT_EQ(up.status, 0) << up.err;
    EXPECT_EQ(up.err, "");
    EXPECT_EQ(resolvers(client), "10.66.0.1 ");
    EXPECT_EQ(endpoints(client), std::set<std::string>{"203.0.113.9:51820/udp"});
    EXPECT_TRUE(gets_answers(client, addr::site4));
    EXPECT_TRUE(gets_answers(client, "10.67.1.1"));
    EXPECT_FALSE(answers(client, addr::site6, {"-W0.3"})) << "it carries no IPv6";
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    ASSERT_TRUE(traffic.wait_all_sent(50));
    EXPECT_EQ(with("down").status, 0);
    EXPECT_EQ(resolvers(client), "192.168.50.1 ");
    EXPECT_FALSE(answers(client, addr::site4, {"-W0.3"}));
    EXPECT_EQ(with("down").status, 0) << "twice is no error";
    EXPECT_EQ(with("up").status, 0);
    EXPECT_TRUE(gets_answers(client, addr::site4));
    program.kill();
    EXPECT_EQ(failclosed(client, {"reapply"}).status, 0);
    EXPECT_EQ(resolvers(client), "192.168.50.1 ");
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

// NetworkManager passes the underlay's name to its scripts for VPN connections.
class NoTunnel : public ::testing::TestWithParam<const char*> {};

TEST_P(NoTunnel, ADeviceThatCannotBeATunnelIsRefusedAndTheMachineIsClosed)
{
    const std::string device = GetParam();
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.ip("link add br0 type bridge\nlink set br0 up\n");
    client.must({"ip", "tuntap", "add", "dev", "tun0", "mode", "tun"});
    client.ip("addr add 10.8.0.2/24 dev tun0\nlink set tun0 up\n");
    const auto expect_refused = [&](const Outcome& outcome) {
        EXPECT_EQ(outcome.status, 1) << outcome.err;
        EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr(device + " is not a tunnel"));
        EXPECT_THAT(client.must({"failclosed", "status"}), Not(HasSubstr("tunnel " + device)));
        EXPECT_EQ(endpoints(client), std::set<std::string>{"203.0.113.2:1194/udp"});
        EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    };
    expect_refused(failclosed(client, {"up", "--interface", device, "--server",
                                       "203.0.113.2:1194/udp", "--dns", "9.9.9.9"}));
    {
        const Sniffer sniffer(lab);
        const Traffic traffic(lab);
        ASSERT_TRUE(traffic.wait_all_sent(20));
        sniffer.settle();
        EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    }
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    Command hook{hook_path};
    hook.env = {"script_type=up",       "dev=" + device,          "ifconfig_local=10.8.0.2",
                "remote_1=203.0.113.2", "remote_port_1=1194",     "proto_1=udp",
                "trusted_port=1194",    "trusted_ip=203.0.113.2", "ifconfig_netmask=255.255.255.0"};
    expect_refused(client.run(hook));
    EXPECT_EQ(failclosed(client, {"up", "--interface", "tun0"}).status, 0);
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Devices, NoTunnel, ::testing::Values("eth0", "lo", "br0"),
                         [](const auto& test) { return std::string(test.param); });

// ---- The local network beside the tunnel ----

struct LanCase {
    const char* title;
    std::string lan;
    bool neighbour;
    bool gateway;
    bool routed; ///< a private network behind the gateway
};

const LanCase lan_cases[] = {{"Private", "private", true, true, true},
                             {"OnLink", "on-link", true, true, false},
                             {"Deny", "deny", false, false, false},
                             {"List", "192.168.50.8/30;10.77.0.0/16", true, false, true}};

class LocalNetwork : public ::testing::TestWithParam<LanCase> {};

TEST_P(LocalNetwork, IsReachedAsConfigured)
{
    const LanCase& test = GetParam();
    const Lab lab(with_product());
    const Box& client = lab.client();
    lab.isp().ip("addr add 10.77.0.1/32 dev lo\n");
    client.ip("route add 10.77.0.0/16 via 192.168.50.1\n");
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nlan = " + test.lan + "\n");
    const VpnServer server(lab);
    // Silence is not waited for as long as an answer.
    const auto expect_answer = [](const Box& box, const std::string& address, bool expected,
                                  std::vector<std::string> options = {}) {
        options.emplace_back(expected ? "-W5" : "-W0.3");
        EXPECT_EQ(answers(box, address, options), expected) << address;
    };
    const auto expect_lan = [&] {
        expect_answer(client, addr::neighbour4, test.neighbour);
        expect_answer(client, addr::gateway4, test.gateway);
        expect_answer(client, "10.77.0.1", test.routed);
        // The client's own address is asked for from the other side.
        expect_answer(lab.isp(), addr::client4, test.neighbour, {"-I", addr::neighbour4});
    };
    ASSERT_EQ(failclosed(client, {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
    expect_lan();
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    expect_lan();
    EXPECT_TRUE(answers(client, addr::site4)) << client.must({"ip", "route"}) << vpn.log();
    EXPECT_TRUE(answers(client, addr::inside4));
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Policies, LocalNetwork, ::testing::ValuesIn(lan_cases),
                         [](const auto& test) { return test.param.title; });

TEST(LocalNetworkList, WithAPublicNetworkIsWarnedOf)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.write_file("/etc/failclosed/failclosed.conf",
                      "[failclosed]\nlan=192.168.50.0/24;198.51.100.0/24\n");
    const std::string text = "lan=198.51.100.0/24 is not a private network: packets to it leave "
                             "outside the tunnel";
    const auto locked = failclosed(client, {"lock", "--server", "203.0.113.2:1194/udp"});
    EXPECT_EQ(locked.status, 0);
    EXPECT_EQ(locked.err, "failclosed: " + text + "\n");
    EXPECT_EQ(failclosed(client, {"reapply"}).err, "failclosed: " + text + "\n");
    EXPECT_EQ(failclosed(client, {"reapply", "--quiet"}).err, "");
    EXPECT_THAT(failclosed(client, {"status"}).out, HasSubstr("warning: " + text));
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr(text));
    EXPECT_TRUE(answers(client, addr::site4)) << "it is meant";
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nlan=128.0.0.0/1\n");
    EXPECT_THAT(failclosed(client, {"reapply"}).err,
                HasSubstr("(128.0.0.0/1 is a part of the default route"));
    EXPECT_FALSE(answers(client, addr::site4, {"-W0.3"}));
}

// A resolver of one's own on loopback goes on answering, out of what the tunnel's tells it.
TEST(LocalResolver, KeepsWorkingThroughEveryChange)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    VpnServer server(lab);
    const Process stub = client.start(
        {"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-",
         "--user=root", "--pid-file", "--no-resolv", "--server=10.8.0.1", "--interface=lo",
         "--bind-interfaces", "--cache-size=0", "--address=/home.arpa/10.1.1.1"});
    ASSERT_TRUE(stub.wait_for("started")) << stub.output();
    const Sniffer sniffer(lab);
    const auto look_up = [&](const char* name, const char* at) {
        return client.run({"busybox", "nslookup", "-type=a", name, at}).out;
    };
    VpnClient vpn(lab);
    for (std::size_t round = 1; round <= 2; ++round) {
        ASSERT_TRUE(vpn.wait_connected(round)) << vpn.log();
        EXPECT_THAT(look_up("www.example.org", "127.0.0.1"), HasSubstr(addr::site4));
        EXPECT_THAT(look_up("nas.home.arpa", "127.0.0.1"), HasSubstr("10.1.1.1"));
        EXPECT_THAT(look_up("www.example.org", addr::gateway4), Not(HasSubstr(addr::site4)));
        sniffer.settle();
        vpn.hup();
    }
    ASSERT_TRUE(vpn.wait_connected(3)) << vpn.log();
    vpn.term();
    ASSERT_TRUE(vpn.process().wait());
    EXPECT_THAT(look_up("nas.home.arpa", "127.0.0.1"), HasSubstr("10.1.1.1"));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

} // namespace

} // namespace failclosed::lab
