// SPDX-License-Identifier: GPL-3.0-or-later
// Servers by name and number: which endpoints are admitted, and how a tunnel comes back without
// DNS.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Strings = std::set<std::string>;

/// Locks, and waits until the names have addresses.
void lock_and_learn(const Box& client, const std::vector<std::string>& servers,
                    const Strings& hosts)
{
    std::vector<std::string> argv = {"lock"};
    for (const auto& server : servers) {
        argv.insert(argv.end(), {"--server", server});
    }
    const Outcome locked = failclosed(client, argv);
    ASSERT_EQ(locked.status, 0) << locked.err;
    ASSERT_TRUE(eventually([&] { return our_hosts(client) == hosts; }))
        << client.read_file("/etc/hosts");
}

void expect_nothing_leaks(const Lab& lab, const Policy& policy = {})
{
    const Sniffer sniffer(lab, policy);
    const Traffic traffic(lab);
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    const auto counts = sniffer.counts();
    EXPECT_EQ(counts.leaked + counts.lost, 0U) << counts.text();
}

// ---- Names ----

struct NameCase {
    const char* title;
    std::vector<std::string> addresses;
    std::string server;
    Strings endpoints;
};

const NameCase name_cases[] = {
    {"DualStack",
     {addr::server4, addr::server6},
     "*",
     {"203.0.113.2:1194/udp", "[2001:db8:113::2]:1194/udp"}},
    {"OnlyIpv4", {addr::server4}, addr::server4, {"203.0.113.2:1194/udp"}},
    {"OnlyIpv6", {addr::server6}, addr::server6, {"[2001:db8:113::2]:1194/udp"}},
    // The first of them do not answer.
    {"SeveralOfEach",
     {"203.0.113.66", "203.0.113.67", addr::server4, "2001:db8:113::66", "2001:db8:113::67"},
     addr::server4,
     {"203.0.113.66:1194/udp", "203.0.113.67:1194/udp", "203.0.113.2:1194/udp",
      "[2001:db8:113::66]:1194/udp", "[2001:db8:113::67]:1194/udp"}},
};

class ServerNames : public ::testing::TestWithParam<NameCase> {};

TEST_P(ServerNames, AreAdmittedWithEachAddress)
{
    const auto& [title, addresses, server_address, expected] = GetParam();
    const Names names = {{"vpn.example.net", addresses}};
    const Lab lab(with_product({.names = names}));
    const VpnServer server(lab, {.address = server_address, .names = names});
    Strings hosts;
    Policy policy;
    policy.servers.clear();
    for (const auto& address : addresses) {
        hosts.insert(address + " vpn.example.net");
        policy.servers.push_back({address, "udp", 1194});
    }
    lock_and_learn(lab.client(), {"vpn.example.net:1194/udp"}, hosts);
    EXPECT_EQ(endpoints(lab.client()), expected);
    // Until the tunnel is up the helper asks the network again.
    Policy connecting = policy;
    connecting.servers.push_back({addr::gateway4, "udp", 53});
    const Sniffer sniffer(lab, connecting);
    VpnClient::Options options = client_to({"vpn.example.net 1194"});
    options.extra = {"server-poll-timeout 1"};
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected(1, 25s)) << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
    // What the network has said ends with the tunnel, and the tunnel's resolver says it again.
    EXPECT_TRUE(eventually([&] { return endpoints(lab.client()) == expected; }))
        << ::testing::PrintToString(endpoints(lab.client()));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    expect_nothing_leaks(lab, policy);
    EXPECT_EQ(our_hosts(lab.client()), hosts);
}

INSTANTIATE_TEST_SUITE_P(Families, ServerNames, ::testing::ValuesIn(name_cases),
                         [](const auto& test) { return std::string(test.param.title); });

TEST(Servers, NamesAndLiteralsMix)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    lab.client().write_file("/etc/openvpn/lab.conf",
                            "client\ndev tun\nremote vpn4.example.net 1195\n"
                            "remote 203.0.113.2 1194\n"
                            "remote 2001:db8:113::2 443 tcp6-client\n");
    lock_and_learn(lab.client(), {}, {"203.0.113.2 vpn4.example.net"});
    const Strings expected = {"203.0.113.2:1195/udp", "203.0.113.2:1194/udp",
                              "[2001:db8:113::2]:443/tcp"};
    EXPECT_EQ(endpoints(lab.client()), expected);
    VpnClient client(lab, client_to({"203.0.113.2 1194", "vpn4.example.net 1195",
                                     "2001:db8:113::2 443 tcp6-client"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(eventually([&] { return endpoints(lab.client()) == expected; }))
        << ::testing::PrintToString(endpoints(lab.client()));
}

// Learnt by the hook alone, from an environment in which remote_10 sorts before remote_2.
TEST(Servers, MoreThanNineKeepTheirOwnPorts)
{
    const Lab lab(with_product());
    const VpnServer server(lab);
    std::vector<std::string> remotes = {"203.0.113.2 1194"};
    Strings expected = {"203.0.113.2:1194/udp"};
    for (int i = 2; i <= 23; ++i) {
        const std::string address = "203.0.113." + std::to_string(100 + i);
        const std::string port = std::to_string(2000 + i);
        const std::string proto = i % 2 == 0 ? "udp" : "tcp";
        remotes.push_back(address + " " + port + (i % 2 == 0 ? " udp" : " tcp-client"));
        expected.insert(address + ":" + port + "/" + proto);
    }
    VpnClient client(lab, client_to(remotes));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_EQ(endpoints(lab.client()), expected);
    expect_nothing_leaks(lab);
}

TEST(Servers, OfConnectionBlocksInAnyOrder)
{
    const Lab lab(with_product());
    const VpnServer one(lab);
    const VpnServer two(lab,
                        {.number = 2, .address = addr::other_server4, .proto = "tcp", .port = 443});
    VpnClient::Options options = client_to({});
    options.extra = {"remote-random", "<connection>",     "remote 203.0.113.2 1194",
                     "</connection>", "<connection>",     "remote 203.0.113.3",
                     "port 443",      "proto tcp-client", "</connection>"};
    Policy policy;
    policy.servers = {{addr::server4, "udp", 1194}, {addr::other_server4, "tcp", 443}};
    const Sniffer sniffer(lab, policy);
    lab.client().write_file(
        "/etc/openvpn/early.conf",
        "client\ndev tun\n<connection>\nremote 203.0.113.2 1194\n</connection>\n"
        "<connection>\nremote 203.0.113.3\nport 443\nproto tcp-client\n"
        "</connection>\n");
    ASSERT_EQ(failclosed(lab.client(), {"lock"}).status, 0);
    const Strings expected = {"203.0.113.2:1194/udp", "203.0.113.3:443/tcp"};
    EXPECT_EQ(endpoints(lab.client()), expected);
    VpnClient client(lab, options);
    for (std::size_t round = 1; round <= 3; ++round) {
        ASSERT_TRUE(client.wait_connected(round)) << client.log();
        EXPECT_TRUE(answers(lab.client(), addr::site4));
        client.hup();
    }
    ASSERT_TRUE(client.wait_connected(4)) << client.log();
    EXPECT_EQ(endpoints(lab.client()), expected);
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    expect_nothing_leaks(lab, policy);
}

// ---- Protocols ----

struct ProtocolCase {
    std::string client;
    std::string server;
    std::string address;
    std::string endpoint;
};

const ProtocolCase protocol_cases[] = {
    {"udp4", "udp", addr::server4, "203.0.113.2:1194/udp"},
    {"udp6", "udp", addr::server6, "[2001:db8:113::2]:1194/udp"},
    {"tcp4-client", "tcp", addr::server4, "203.0.113.2:1194/tcp"},
    {"tcp6-client", "tcp6", addr::server6, "[2001:db8:113::2]:1194/tcp"},
};

class Protocols : public ::testing::TestWithParam<ProtocolCase> {};

TEST_P(Protocols, WithFamilyConnectAndAdmitJustThat)
{
    const auto& [proto, server_proto, address, endpoint] = GetParam();
    const Lab lab(with_product());
    const VpnServer server(lab, {.address = address, .proto = server_proto});
    Policy policy;
    policy.servers = {{address, proto.substr(0, 3), 1194}};
    const Sniffer sniffer(lab, policy);
    ASSERT_EQ(failclosed(lab.client(), {"lock", "--server", endpoint}).status, 0);
    // A name of both families, of which only one may be used.
    lab.client().write_file("/etc/hosts", std::string(addr::server4) + " vpn.example.net\n" +
                                              addr::server6 + " vpn.example.net\n");
    VpnClient client(lab, client_to({"vpn.example.net 1194"}, proto));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::site4)) << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    EXPECT_EQ(endpoints(lab.client()), Strings{endpoint});
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    expect_nothing_leaks(lab, policy);
}

INSTANTIATE_TEST_SUITE_P(Openvpn, Protocols, ::testing::ValuesIn(protocol_cases),
                         [](const auto& test) { return test.param.client.substr(0, 4); });

// Connects every CONNECT request to the server (RFC 9110, 9.3.6).
int serve_proxy()
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_port = htons(3128);
    inet_pton(AF_INET, addr::other_server4, &own.sin_addr);
    if (bind(listener, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0 ||
        listen(listener, 4) != 0 || write(1, "ready\n", 6) != 6) {
        return 1;
    }
    std::array<char, 16384> data;
    const int inner = accept(listener, nullptr, nullptr);
    for (std::string request; request.find("\r\n\r\n") == std::string::npos;) {
        const ssize_t size = read(inner, data.data(), data.size());
        if (size <= 0) {
            return 1;
        }
        request.append(data.data(), static_cast<std::size_t>(size));
    }
    const int outer = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in server = own;
    server.sin_port = htons(1194);
    inet_pton(AF_INET, addr::server4, &server.sin_addr);
    constexpr std::string_view yes = "HTTP/1.0 200 OK\r\n\r\n";
    if (connect(outer, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0 ||
        write(inner, yes.data(), yes.size()) < 0) {
        return 1;
    }
    std::array<pollfd, 2> ends = {{{inner, POLLIN, 0}, {outer, POLLIN, 0}}};
    while (poll(ends.data(), ends.size(), -1) > 0) {
        for (std::size_t i : {0U, 1U}) {
            if (ends[i].revents == 0) {
                continue;
            }
            const ssize_t size = read(ends[i].fd, data.data(), data.size());
            if (size <= 0 ||
                write(ends[1 - i].fd, data.data(), static_cast<std::size_t>(size)) != size) {
                return 0;
            }
        }
    }
    return 1;
}

TEST(Servers, BehindAnHttpProxyAreTheProxy)
{
    const Lab lab(with_product());
    const VpnServer server(lab, {.proto = "tcp"});
    const Process proxy = Process::fork(lab.internet(), serve_proxy);
    ASSERT_TRUE(proxy.wait_for("ready"));
    Policy policy;
    policy.servers = {{addr::other_server4, "tcp", 3128}};
    const Sniffer sniffer(lab, policy);
    VpnClient::Options options = client_to({"203.0.113.2 1194"}, "tcp-client");
    // The proxy serves once, and OpenVPN takes its time over the answer.
    options.extra = {"http-proxy 203.0.113.3 3128", "server-poll-timeout 30"};
    lab.client().write_file("/etc/openvpn/early.conf",
                            "client\ndev tun\nproto tcp-client\nremote 203.0.113.2 1194\n"
                            "http-proxy 203.0.113.3 3128\n");
    ASSERT_EQ(failclosed(lab.client(), {"lock"}).status, 0);
    EXPECT_EQ(endpoints(lab.client()), Strings{"203.0.113.3:3128/tcp"});
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected()) << proxy.output() << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::site6));
    EXPECT_EQ(endpoints(lab.client()), Strings{"203.0.113.3:3128/tcp"});
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    expect_nothing_leaks(lab, policy);
}

TEST(Tunnel, OfOnlyIpv4LeaksNoIpv6)
{
    const Lab lab(with_product());
    const VpnServer server(lab, {.inside6 = false});
    const auto run = [&](bool hooks) {
        VpnClient::Options options;
        options.hooks = hooks;
        options.redirect_gateway = false;
        options.extra = {"redirect-gateway def1"};
        VpnClient client(lab, options);
        EXPECT_TRUE(client.wait_connected()) << client.log();
        EXPECT_TRUE(answers(lab.client(), addr::inside4));
        const Sniffer sniffer(lab);
        const Traffic traffic(lab);
        EXPECT_TRUE(traffic.wait_all_sent(50));
        sniffer.settle();
        return sniffer.counts();
    };
    EXPECT_TRUE(run(false).leaked_kinds.contains("udp6@user"));
    const Counts with = run(true);
    EXPECT_EQ(with.leaked + with.lost, 0U) << with.text();
}

// ---- Names and time ----

// Without the helper no query is sent: `up` itself looks no name up, and all that was asked with it
// there, the helper asked.
TEST(Hook, LooksNoNameUp)
{
    Lab lab(with_product());
    VpnServer server(lab);
    lock_and_learn(lab.client(), {"vpn4.example.net:1194/udp"}, {"203.0.113.2 vpn4.example.net"});
    lab.client().must({"mv", "/usr/lib/failclosed/refresh", "/usr/lib/failclosed/refresh.away"});
    lab.client().write_file("/usr/lib/failclosed/refresh", "#!/bin/sh\ntouch /run/asked-to\n",
                            0755);
    lab.dns().forget_queries();
    server.dns().forget_queries();
    VpnClient client(lab, client_to({"vpn4.example.net 1194", "vpn6.example.net 1194"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    ASSERT_TRUE(eventually([&] { return lab.client().exists("/run/asked-to"); }));
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
    EXPECT_THAT(server.dns().queries(), IsEmpty());

    lab.client().must({"mv", "/usr/lib/failclosed/refresh.away", "/usr/lib/failclosed/refresh"});
    client.hup();
    ASSERT_TRUE(client.wait_connected(2)) << client.log();
    const Strings both = {"203.0.113.2 vpn4.example.net", "2001:db8:113::2 vpn6.example.net"};
    EXPECT_TRUE(eventually([&] { return our_hosts(lab.client()) == both; }))
        << lab.client().read_file("/etc/hosts");
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
    EXPECT_THAT(server.dns().queries(), Not(IsEmpty()));
    EXPECT_THAT(server.dns().queries(),
                Each(AllOf(Field(&Query::from, AnyOf("10.8.0.2", "fd00:8::1000")),
                           Field(&Query::name, AnyOf("vpn4.example.net", "vpn6.example.net")))));
}

TEST(Servers, AreReachedByNameWithoutDnsAfterACrashAndAReboot)
{
    Lab lab(with_product());
    std::map<std::string, std::string> kept;
    {
        const VpnServer server(lab);
        lock_and_learn(lab.client(), {"vpn4.example.net:1194/udp"},
                       {"203.0.113.2 vpn4.example.net"});
        VpnClient client(lab, client_to({"vpn4.example.net 1194"}));
        ASSERT_TRUE(client.wait_connected()) << client.log();
        lab.dns().forget_queries();
        client.kill();
        client.start();
        ASSERT_TRUE(client.wait_connected(2)) << client.log();
        EXPECT_TRUE(answers(lab.client(), addr::site4));
        EXPECT_THAT(lab.dns().queries(), IsEmpty());
        for (const char* path : {"/etc/hosts", "/etc/resolv.conf", "/var/lib/failclosed/servers",
                                 "/var/lib/failclosed/armed"}) {
            kept[path] = lab.client().read_file(path);
        }
    }
    // Another boot of the same machine, with power lost while the tunnel was up.
    Lab again(with_product({.link_up = false}));
    again.client().must({"mkdir", "-m", "700", "-p", "/var/lib/failclosed"});
    for (const auto& [path, text] : kept) {
        again.client().write_file(path, text, path.starts_with("/etc") ? 0644 : 0600);
    }
    EXPECT_EQ(failclosed(again.client(), {"lock", "--boot"}).status, 0);
    again.link_up();
    const VpnServer server(again);
    const Sniffer sniffer(again);
    const Traffic traffic(again);
    VpnClient client(again, client_to({"vpn4.example.net 1194"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(answers(again.client(), addr::site4));
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    EXPECT_THAT(again.dns().queries(), IsEmpty());
}

std::string bootstrap_elements(const Box& client)
{
    const std::string set = client.must({"nft", "list", "set", "inet", "failclosed", "bootstrap4"});
    const auto begin = set.find("elements");
    return begin == std::string::npos ? "" : set.substr(begin);
}

// The unavoidable look-up: one resolver, one name, one program, ten seconds each time.
TEST(Bootstrap, IsAdmittedForTheHelperOnlyAndBriefly)
{
    Lab lab(with_product());
    const VpnServer server(lab);
    lab.dns().set("vpn4.example.net", {}); // not known yet
    ASSERT_EQ(failclosed(lab.client(), {"lock", "--server", "vpn4.example.net:1194/udp"}).status,
              0);
    ASSERT_TRUE(eventually([&] { return !bootstrap_elements(lab.client()).empty(); }));
    ASSERT_TRUE(eventually([&] { return !lab.dns().queries().empty(); }));
    // Others ask the same resolver while it is admitted, root too.
    Sniffer sniffer(lab);
    const Traffic traffic(
        lab, {.kinds = {{"dns@user", Way::Dns, Via::Route, addr::gateway4, 53, traffic_uid},
                        {"dns@root", Way::Dns, Via::Route, addr::gateway4, 53, 0},
                        {"dns-device@root", Way::Dns, Via::Device, addr::gateway4, 53, 0},
                        {"dns-public@root", Way::Dns, Via::Route, addr::resolver4, 53, 0}},
              .interval = 1ms});
    ASSERT_TRUE(traffic.wait_all_sent(100));
    EXPECT_FALSE(bootstrap_elements(lab.client()).empty());
    ASSERT_TRUE(eventually([&] { return bootstrap_elements(lab.client()).empty(); }, 60s));
    EXPECT_NE(failclosed(lab.client(), {"refresh"}).status, 0);

    lab.dns().set("vpn4.example.net", {addr::server4});
    lab.dns().forget_queries();
    ASSERT_EQ(failclosed(lab.client(), {"refresh"}).status, 0);
    ASSERT_TRUE(traffic.wait_all_sent(100));
    EXPECT_THAT(lab.dns().queries(), Not(IsEmpty()));
    EXPECT_THAT(lab.dns().queries(), Each(AllOf(Field(&Query::name, "vpn4.example.net"),
                                                Field(&Query::from, addr::client4))));
    sniffer.settle();
    for (const auto& [kind, count] : sniffer.counts().leaked_kinds) {
        EXPECT_EQ(kind, "") << "only the helper's own questions: " << count;
    }
    EXPECT_THAT(sniffer.counts().examples, Each(HasSubstr(addr::gateway4)));
    EXPECT_EQ(endpoints(lab.client()), Strings{"203.0.113.2:1194/udp"});
    VpnClient client(lab, client_to({"vpn4.example.net 1194"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

// All that is known worked before, and no tunnel program tries: only a person knows that it is
// dead.
TEST(Bootstrap, RunsForMovedServersOnRequest)
{
    Lab lab(with_product());
    std::optional<VpnServer> before(lab);
    lock_and_learn(lab.client(), {"vpn4.example.net:1194/udp"}, {"203.0.113.2 vpn4.example.net"});
    VpnClient::Options options = client_to({"vpn4.example.net 1194"});
    options.extra = {"server-poll-timeout 1"};
    {
        VpnClient first(lab, options);
        ASSERT_TRUE(first.wait_connected()) << first.log();
        first.term();
        ASSERT_TRUE(first.process().wait());
    }
    before.reset();
    lab.dns().set("vpn4.example.net", {addr::other_server4});
    lab.dns().forget_queries();
    EXPECT_EQ(failclosed(lab.client(), {"reapply"}).status, 0);
    EXPECT_THAT(lab.dns().queries(), IsEmpty()) << "the helper asks for nothing that worked";
    const Outcome asked = failclosed(lab.client(), {"refresh"});
    EXPECT_EQ(asked.status, 0) << asked.err;
    EXPECT_EQ(endpoints(lab.client()), (Strings{"203.0.113.2:1194/udp", "203.0.113.3:1194/udp"}));
    const VpnServer server(lab, {.number = 2, .address = addr::other_server4});
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected(1, 25s)) << client.log();

    client.term();
    ASSERT_TRUE(client.process().wait());
    lab.dns().set("vpn4.example.net", {});
    const Outcome nothing = failclosed(lab.client(), {"refresh"});
    EXPECT_EQ(nothing.status, 1) << "nothing was learnt";
    EXPECT_THAT(nothing.err, HasSubstr("known addresses are kept"));
    lab.client().write_file("/etc/failclosed/failclosed.conf",
                            "[failclosed]\nbootstrap-dns = no\n");
    lab.dns().forget_queries();
    EXPECT_EQ(failclosed(lab.client(), {"refresh"}).status, 1);
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
}

// The tunnel's resolver knows no such name: to ask past it would tell others, and its own address.
TEST(Bootstrap, DoesNotRunIfATunnelsResolverHasAnswered)
{
    Lab lab(with_product());
    const VpnServer server(lab);
    const VpnClient client(lab, client_to({"203.0.113.2 1194"}));
    ASSERT_TRUE(client.wait_connected()) << client.log();
    lab.dns().forget_queries();
    const Sniffer sniffer(lab);
    failclosed(lab.client(), {"lock", "--server", "nosuch.invalid:1194/udp"});
    const Outcome asked = failclosed(lab.client(), {"refresh"});
    EXPECT_EQ(asked.status, 1);
    EXPECT_THAT(asked.err, HasSubstr("no server's name could be looked up"));
    EXPECT_THAT(bootstrap_elements(lab.client()), IsEmpty());
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
    sniffer.settle();
    EXPECT_EQ(sniffer.counts().leaked, 0U) << sniffer.counts().text();
}

TEST(Servers, AreRequestedIfNoneIsKnown)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const Outcome nobody = failclosed(client, {"lock"});
    EXPECT_EQ(nobody.status, 0);
    EXPECT_THAT(nobody.err,
                HasSubstr("no server is known: no tunnel can come up; run `failclosed lock`"));
    EXPECT_THAT(client.must({"failclosed", "status"}), HasSubstr("no server is known"));
    const Outcome somebody = failclosed(client, {"lock", "--server", "203.0.113.2:1194/udp"});
    EXPECT_EQ(somebody.err, "");
    EXPECT_THAT(client.must({"failclosed", "status"}), Not(HasSubstr("no server is known")));
}

// The file is missing; the lock is not.
TEST(Servers, OfAMissingFileDoNotPreventTheLock)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.write_file("/etc/other.conf", "client\ndev tun\nremote 203.0.113.2 1194\n");
    const Outcome locked = failclosed(client, {"lock", "--openvpn-config", "/nonexistent",
                                               "--openvpn-config", "/etc/other.conf"});
    EXPECT_EQ(locked.status, 1) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("/nonexistent"));
    EXPECT_EQ(std::ranges::count(locked.err, '\n'), 1) << locked.err;
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_EQ(endpoints(client), Strings{"203.0.113.2:1194/udp"});
}

TEST(Servers, OfANameAreNotSilentlyLostIfTheHostsFileIsALinkToNothing)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"ln", "-sf", "/var/nowhere/hosts", "/etc/hosts"});
    const auto says = [](const Outcome& outcome) {
        return outcome.err.find(
                   "failclosed: /etc/hosts: is a symbolic link to /var/nowhere/hosts, which "
                   "does not exist") != std::string::npos;
    };
    const auto by_address = failclosed(client, {"lock", "--server", "203.0.113.3:1194/udp"});
    EXPECT_EQ(by_address.err, "") << "no line has to be written";
    const auto locked = failclosed(client, {"lock", "--server", "vpn4.example.net:1194/udp"});
    EXPECT_EQ(locked.status, 0);
    EXPECT_TRUE(says(locked)) << locked.err;
    ASSERT_TRUE(eventually([&] { return endpoints(client).size() > 1; }));
    const auto check = failclosed(client, {"check"});
    EXPECT_EQ(check.status, 1);
    EXPECT_TRUE(says(check)) << check.err;
    const auto reapplied = failclosed(client, {"reapply"});
    EXPECT_TRUE(says(reapplied)) << reapplied.err;
    EXPECT_EQ(std::ranges::count(reapplied.err, '\n'), 1) << reapplied.err;
    client.must({"mkdir", "/var/nowhere"});
    client.must({"touch", "/var/nowhere/hosts"});
    EXPECT_EQ(failclosed(client, {"reapply"}).err, "");
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_EQ(failclosed(client, {"unlock"}).err, "");
    EXPECT_EQ(client.read_file("/var/nowhere/hosts"), "");
}

TEST(Bootstrap, DoesNotRunIfForbidden)
{
    Lab lab(with_product());
    lab.client().write_file("/etc/failclosed/failclosed.conf",
                            "[failclosed]\nbootstrap-dns = no\n");
    EXPECT_EQ(failclosed(lab.client(), {"lock", "--server", "vpn4.example.net:1194/udp"}).status,
              0);
    EXPECT_NE(failclosed(lab.client(), {"refresh"}).status, 0);
    EXPECT_THAT(lab.dns().queries(), IsEmpty());
    EXPECT_THAT(endpoints(lab.client()), IsEmpty());
}

} // namespace

} // namespace failclosed::lab
