// SPDX-License-Identifier: GPL-3.0-or-later
// Names of servers while no tunnel is up: lies that do not stick, failures that are tried again,
// and the process that reads what a hostile resolver sends.
#include <array>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Strings = std::set<std::string>;

constexpr char name4[] = "vpn4.example.net";

/// The process ids, as the box numbers them, of programs with this name.
std::vector<std::string> pids_of(const Box& client, const std::string& name)
{
    std::istringstream text(client.run({"pgrep", "-x", name}).out);
    return {std::istream_iterator<std::string>(text), {}};
}

bool is_running(const Box& client, const std::string& name)
{
    return !pids_of(client, name).empty();
}

bool learns(const Box& client, const Strings& hosts, std::chrono::milliseconds time = patience)
{
    return eventually([&] { return our_hosts(client) == hosts; }, time);
}

void lock_to(const Box& client, const std::string& server)
{
    const Outcome locked = failclosed(client, {"lock", "--server", server});
    ASSERT_EQ(locked.status, 0) << locked.err;
}

/// Answers each question at the network's resolver with what `reply` makes of it.
template <typename Reply> int answer_questions(Reply reply)
{
    const int own = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    inet_pton(AF_INET, addr::gateway4, &address.sin_addr);
    if (bind(own, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        write(1, "ready\n", 6) != 6) {
        return 1;
    }
    std::array<char, 2048> data;
    for (;;) {
        socklen_t length = sizeof address;
        const ssize_t size = recvfrom(own, data.data(), data.size(), 0,
                                      reinterpret_cast<sockaddr*>(&address), &length);
        if (size < 0) {
            return 1;
        }
        const std::string answer = reply(std::string(data.data(), static_cast<std::size_t>(size)));
        if (!answer.empty()) {
            sendto(own, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&address),
                   length);
        }
    }
}

// ---- What the network says is asked for again ----

// A captive portal gives its own address for every name.
TEST(Bootstrap, LieIsReplacedAtTheNextEventAndWithoutOne)
{
    Lab lab(with_product({.names = {{name4, {addr::gateway4}}}}));
    const Box& client = lab.client();
    lock_to(client, "vpn4.example.net:1194/udp");
    ASSERT_TRUE(learns(client, {"192.168.50.1 vpn4.example.net"}))
        << client.read_file("/etc/hosts");
    lab.dns().set(name4, {addr::server4});
    ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
    EXPECT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"})) << client.read_file("/etc/hosts");
    EXPECT_EQ(endpoints(client), Strings{"203.0.113.2:1194/udp"});
    lab.dns().set(name4, {addr::other_server4});
    EXPECT_TRUE(learns(client, {"203.0.113.3 vpn4.example.net"}, 2 * patience))
        << client.read_file("/etc/hosts");
    EXPECT_EQ(endpoints(client), Strings{"203.0.113.3:1194/udp"});
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

TEST(Bootstrap, FailedLookUpIsTriedAgainWithoutAnEvent)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().set(name4, {});
    lock_to(client, "vpn4.example.net:1194/udp");
    ASSERT_TRUE(eventually([&] { return lab.dns().names_asked().contains(name4); }));
    EXPECT_THAT(our_hosts(client), IsEmpty());
    lab.dns().set(name4, {addr::server4});
    EXPECT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"}));
    EXPECT_THAT(lab.dns().queries(), Each(Field(&Query::name, name4)));
}

// The sign-in ends, and the network answers otherwise from then on.
TEST(Bootstrap, EndOfASignInStartsALookUp)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().set(name4, {addr::gateway4});
    lock_to(client, "vpn4.example.net:1194/udp");
    ASSERT_TRUE(learns(client, {"192.168.50.1 vpn4.example.net"}));
    ASSERT_EQ(failclosed(client, {"portal", "--user", "65534", "--for", "5m"}).status, 0);
    lab.dns().set(name4, {addr::server4});
    ASSERT_EQ(failclosed(client, {"portal", "--end"}).status, 0);
    EXPECT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"}));
}

// The address of a server with a dynamic name changes while its tunnel is up. While the tunnel is
// given time to come back nothing is asked.
TEST(Bootstrap, ServerThatMovedIsFoundWhenItsTunnelDoesNotComeBack)
{
    Lab lab(with_product());
    VpnServer server(lab);
    const Box& client = lab.client();
    lock_to(client, "vpn4.example.net:1194/udp");
    ASSERT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"}));
    VpnClient::Options options = client_to({"vpn4.example.net 1194"});
    options.extra = {"server-poll-timeout 2", "connect-retry 1 2"};
    VpnClient vpn(lab, options);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_TRUE(eventually([&] { return !is_running(client, "refresh"); })) << "nothing to do";
    server.kill();
    const VpnServer moved(lab, {.number = 2, .address = addr::other_server4});
    lab.dns().set(name4, {addr::other_server4});
    lab.dns().forget_queries();
    const Sniffer sniffer(
        lab, {.servers = {{addr::server4, "udp", 1194}, {addr::other_server4, "udp", 1194}}});
    const auto lost = std::chrono::steady_clock::now();
    vpn.hup();
    ASSERT_TRUE(eventually([&] { return !lab.dns().queries().empty(); }, 4 * patience))
        << vpn.log();
    EXPECT_GT(std::chrono::steady_clock::now() - lost, 25s);
    ASSERT_TRUE(vpn.wait_connected(2, 2 * patience)) << vpn.log();
    EXPECT_EQ(endpoints(client), (Strings{"203.0.113.2:1194/udp", "203.0.113.3:1194/udp"}))
        << "the old one is verified, and expires when no answer has it any more";
    EXPECT_THAT(lab.dns().queries(), Each(Field(&Query::name, name4)));
    sniffer.settle();
    for (const auto& example : sniffer.counts().examples) {
        EXPECT_THAT(example, HasSubstr(addr::gateway4)) << "only the helper's own questions";
    }
}

// ---- The helper's life ----

TEST(RefreshHelper, RunsOnceAndEndsAfterUnlockTunnelOrUpgrade)
{
    Lab lab(with_product());
    const VpnServer server(lab);
    const Box& client = lab.client();
    const auto ended = [&] { return !is_running(client, "refresh"); };
    lab.dns().set(name4, {});
    lock_to(client, "vpn4.example.net:1194/udp");
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
    }
    EXPECT_TRUE(eventually([&] { return pids_of(client, "refresh").size() == 1; }))
        << client.run({"ps", "-eo", "pid,ppid,stat,etimes,comm,args"}).out;
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    EXPECT_TRUE(eventually(ended));
    ASSERT_EQ(failclosed(client, {"lock"}).status, 0);
    ASSERT_TRUE(is_running(client, "refresh"));
    client.must({"mv", "/usr/lib/failclosed/refresh", "/usr/lib/failclosed/refresh.away"});
    EXPECT_TRUE(eventually(ended)) << "an uninstalled helper";
    client.must({"mv", "/usr/lib/failclosed/refresh.away", "/usr/lib/failclosed/refresh"});
    lab.dns().set(name4, {addr::server4});
    ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
    ASSERT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"}));
    ASSERT_TRUE(is_running(client, "refresh"));
    const VpnClient vpn(lab, client_to({"vpn4.example.net 1194"}));
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(eventually(ended));
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

// ---- Root's own packets to what the network calls the server ----

// With a server on 443/tcp a lie admits root's HTTPS to a site of the liar's choice: until the
// first tunnel is up.
TEST(Bootstrap, LieAdmitsRootsHttpsOnlyUntilATunnelIsUp)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().set(name4, {addr::site4, addr::server4});
    lock_to(client, "vpn4.example.net:443/tcp");
    ASSERT_TRUE(learns(client, {"198.51.100.20 vpn4.example.net", "203.0.113.2 vpn4.example.net"}));
    EXPECT_THAT(client.run({"failclosed", "doctor"}).out,
                HasSubstr("vpn4.example.net:443/tcp is known by name"));
    Policy policy;
    policy.servers = {{addr::server4, "tcp", 443}};
    const auto leaks = [&] {
        const Sniffer sniffer(lab, policy);
        const Traffic traffic(
            lab, {.kinds = {{"https@root", Way::TcpSyn, Via::Route, addr::site4, 443, 0}}});
        EXPECT_TRUE(traffic.wait_all_sent(20));
        sniffer.settle();
        return sniffer.counts().leaked_kinds.contains("https@root");
    };
    EXPECT_TRUE(leaks()) << "the test would see it";
    const VpnServer server(lab, {.proto = "tcp", .port = 443});
    VpnClient::Options options = client_to({"vpn4.example.net 443"}, "tcp-client");
    options.extra = {"server-poll-timeout 2", "connect-retry 1 2"};
    const VpnClient vpn(lab, options);
    ASSERT_TRUE(vpn.wait_connected(1, 2 * patience)) << vpn.log();
    EXPECT_EQ(endpoints(client), Strings{"203.0.113.2:443/tcp"});
    EXPECT_EQ(our_hosts(client), Strings{"203.0.113.2 vpn4.example.net"});
    EXPECT_FALSE(leaks());
}

// ---- The process that reads answers ----

TEST(LookUp, IsParsedByAnUnprivilegedProcessWhoseDeathMeansNoAnswer)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().stop();
    {
        const Process silent = Process::fork(lab.isp(), [] {
            return answer_questions([](const std::string&) { return std::string(); });
        });
        ASSERT_TRUE(silent.wait_for("ready"));
        lock_to(client, "vpn4.example.net:1194/udp");
        std::string status;
        ASSERT_TRUE(eventually([&] {
            const auto pids = pids_of(client, "refresh-lookup");
            status =
                pids.empty() ? "" : client.run({"cat", "/proc/" + pids.front() + "/status"}).out;
            return status.find("Seccomp:\t2") != std::string::npos;
        })) << status;
        EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
        for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
            EXPECT_THAT(status, HasSubstr(std::string(set) + ":\t0000000000000000")) << status;
        }
        for (const char* id : {"Uid", "Gid"}) {
            EXPECT_THAT(status, HasSubstr(std::string(id) + ":\t2147548160\t2147548160\t2147548160"
                                                            "\t2147548160"))
                << status;
        }
        EXPECT_THAT(status, HasSubstr("Groups:\t \n"));
        const auto pids = pids_of(client, "refresh-lookup");
        ASSERT_FALSE(pids.empty());
        const std::string held = client.run({"ls", "-l", "/proc/" + pids.front() + "/fd"}).out;
        EXPECT_THAT(held, Not(HasSubstr("/run"))) << held;
        EXPECT_THAT(held, Not(HasSubstr("/dev"))) << held;
        client.must({"kill", "-9", pids.front()});
    }
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_THAT(endpoints(client), IsEmpty());
    lab.dns().start();
    EXPECT_TRUE(learns(client, {"203.0.113.2 vpn4.example.net"}, 2 * patience)) << "tried again";
}

TEST(LookUp, OfAHostileResolverGivesNothing)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    lab.dns().stop();
    const Process hostile = Process::fork(lab.isp(), [] {
        unsigned turn = 0;
        return answer_questions([&turn](std::string message) {
            if (message.size() < 12) {
                return message;
            }
            message[2] = static_cast<char>(0x81); // an answer
            message[3] = static_cast<char>(0x80);
            message[7] = static_cast<char>(++turn % 3 == 0 ? 0xff : 1); // of so many records
            // Names that point at themselves, lengths beyond the end, noise.
            for (int i = 0; i < 40; ++i) {
                message += std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\xff\xff", 12);
                message += static_cast<char>(turn * 37U + static_cast<unsigned>(i));
            }
            return message;
        });
    });
    ASSERT_TRUE(hostile.wait_for("ready"));
    lock_to(client, "vpn4.example.net:1194/udp");
    EXPECT_EQ(failclosed(client, {"refresh"}).status, 1);
    EXPECT_THAT(endpoints(client), IsEmpty());
    EXPECT_THAT(our_hosts(client), IsEmpty());
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

// An answer that does not fit into a datagram is asked for by TCP, with each family's resolver.
TEST(LookUp, ByTcpAndByIpv6GivesTheSameAddresses)
{
    std::vector<std::string> many;
    for (int i = 1; i <= 60; ++i) {
        many.push_back("203.0.113." + std::to_string(i));
    }
    for (const std::string resolver : {addr::gateway4, addr::gateway6}) {
        SCOPED_TRACE(resolver);
        Lab lab(with_product({.names = {{name4, many}}}));
        const Box& client = lab.client();
        client.write_file("/etc/resolv.conf", "nameserver " + resolver + "\n");
        lab.dns().restart({"--edns-packet-max=512"});
        lock_to(client, "vpn4.example.net:1194/udp");
        EXPECT_TRUE(eventually([&] { return our_hosts(client).size() == many.size(); }))
            << client.read_file("/etc/hosts");
    }
}

} // namespace

} // namespace failclosed::lab
