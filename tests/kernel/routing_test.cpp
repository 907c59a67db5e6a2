// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 2 in a real kernel: what it decides, what it leaves alone, how it heals.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <optional>
#include <sstream>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "core/apply/kernel/observe.hpp"
#include "core/apply/kernel/routing.hpp"
#include "core/apply/kernel/sysctl.hpp"
#include "core/plan/constants.hpp"
#include "tests/kernel/network.hpp"

namespace failclosed {
namespace {

using test::ip;
using test::must;
using test::NetworkNamespace;
using test::run;

constexpr uid_t kTunnelUid = 1000;
constexpr uid_t kNobody = 65534;

IpAddress address(std::string_view text)
{
    return IpAddress::parse(text).value();
}

InterfaceAddress on_link(std::string_view text, unsigned length)
{
    return {address(text), length};
}

Server server(std::string_view remote, uid_t uid)
{
    return {Remote::parse(remote).value(), Identity{{uid}, std::nullopt}, {}};
}

Tunnel tunnel(std::string_view name, std::vector<InterfaceAddress> addresses)
{
    return {.interface = InterfaceName::parse(name).value(),
            .addresses = std::move(addresses),
            .networks = {},
            .gateways = {},
            .resolvers = {},
            .search_domains = {},
            .owner = {}};
}

/// What decides about a packet, as `ip route get` tells it.
struct Query {
    std::string to;
    uid_t uid = kNobody;
    std::string protocol = "udp";
    unsigned port = 4242;
    std::string more = {};
};

/// The device that the packet leaves by, or the error.
std::string way(const Query& query)
{
    std::vector<std::string> argv = {"ip",      "route",
                                     "get",     query.to,
                                     "uid",     std::to_string(query.uid),
                                     "ipproto", query.protocol,
                                     "dport",   std::to_string(query.port)};
    std::istringstream more(query.more);
    for (std::string word; more >> word;) {
        argv.push_back(word);
    }
    const auto outcome = run(argv);
    if (outcome.status != 0) {
        const bool closed = outcome.output.find("No route to host") != std::string::npos ||
                            outcome.output.find("Network is unreachable") != std::string::npos;
        return closed ? "unreachable" : outcome.output;
    }
    const auto at = outcome.output.find(" dev ");
    return outcome.output.substr(at + 5, outcome.output.find(' ', at + 5) - at - 5);
}

sockaddr_in endpoint(const std::string& host, std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
}

/// The source address that the kernel chooses for a socket of `uid` towards `to`.
std::string source_of(const UniqueFd& socket, const std::string& to, uid_t uid)
{
    auto address = endpoint(to, 4242);
    socklen_t size = sizeof(address);
    if (fchown(socket.get(), uid, uid) != 0 ||
        connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return "failed";
    }
    return inet_ntoa(address.sin_addr);
}

/// ip(8) cannot ask this of protocols without ports.
std::string source_of_raw_socket(const std::string& to, int protocol, uid_t uid)
{
    return source_of(UniqueFd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocol)), to, uid);
}

std::string source_of_udp_socket(const std::string& to, uid_t uid)
{
    return source_of(UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), to, uid);
}

std::string everything()
{
    return must({"ip", "-4", "rule"}) + must({"ip", "-6", "rule"}) +
           must({"ip", "-4", "route", "show", "table", "all"}) +
           must({"ip", "-6", "route", "show", "table", "all"});
}

/// The kernel makes the local route of a new IPv6 address some time after the address.
void await_local_route(const std::string& address)
{
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (must({"ip", "-6", "route", "show", "table", "local"}).find("local " + address + " ") ==
           std::string::npos) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << address;
    }
}

/// A machine with an uplink, a tunnel and a server in each family.
class RoutingTest : public testing::Test {
  protected:
    RoutingTest() : home_(NetworkNamespace::make())
    {
        // No link-local addresses, which would appear in their own time.
        EXPECT_TRUE(write_sysctl({"net", "ipv6", "conf", "default", "addr_gen_mode"}, "1"));
        ip("link add lan0 type veth peer name far0\n"
           "link set lan0 up\nlink set far0 up\n"
           "addr add 192.168.77.2/24 dev lan0\naddr add 2001:db8:77::2/64 dev lan0 nodad\n"
           "route add default via 192.168.77.1\n-6 route add default via 2001:db8:77::1\n");
        await_local_route("2001:db8:77::2");
        state_.servers = {server("203.0.113.10:1194/udp", kTunnelUid),
                          server("[2001:db8:113::10]:1194/udp", kTunnelUid),
                          server("203.0.113.11:443/tcp", 0)};
        auto routing = Routing::open();
        routing_.emplace(std::move(routing.value()));
    }

    void add_tunnel()
    {
        ip("tuntap add dev tun0 mode tun\nlink set tun0 up\n"
           "addr add 10.8.0.2/24 dev tun0\naddr add fd08::2/64 dev tun0 nodad\n");
        await_local_route("fd08::2");
        state_.tunnels.push_back(tunnel("tun0", {on_link("10.8.0.2", 24), on_link("fd08::2", 64)}));
    }

    void add_second_tunnel()
    {
        ip("tuntap add dev tun1 mode tun\nlink set tun1 up\n"
           "addr add 10.9.0.2/24 dev tun1\naddr add fd09::2/64 dev tun1 nodad\n");
        await_local_route("fd09::2");
        state_.tunnels.push_back(tunnel("tun1", {on_link("10.9.0.2", 24), on_link("fd09::2", 64)}));
        state_.tunnels.back().networks = {IpPrefix::parse("10.20.0.0/16").value()};
    }

    RoutingPlan plan() const { return plan_routing(state_, config_, observe().value()); }

    /// How many changes it took.
    std::size_t sync()
    {
        const auto changes = routing_->sync(plan());
        EXPECT_TRUE(changes) << changes.error().message();
        return changes.value_or(9999);
    }

    test::ReturnToNetwork return_;
    NetworkNamespace home_;
    State state_;
    Config config_;
    std::optional<Routing> routing_;
};

TEST_F(RoutingTest, OnlyTheTunnelProgramReachesItsServerOutside)
{
    add_tunnel();
    sync();
    for (const std::string server : {"203.0.113.10", "2001:db8:113::10"}) {
        EXPECT_EQ(way({.to = server, .uid = kTunnelUid, .port = 1194}), "lan0");
        EXPECT_EQ(way({.to = server, .uid = kNobody, .port = 1194}), "tun0");
        EXPECT_EQ(way({.to = server, .uid = 0, .port = 1194}), "tun0");
        EXPECT_EQ(way({.to = server, .uid = kTunnelUid, .port = 1195}), "tun0");
        EXPECT_EQ(way({.to = server, .uid = kTunnelUid, .protocol = "tcp", .port = 1194}), "tun0");
    }
    EXPECT_EQ(way({.to = "203.0.113.12", .uid = kTunnelUid, .port = 1194}), "tun0");
    EXPECT_EQ(way({.to = "203.0.113.11", .uid = 0, .protocol = "tcp", .port = 443}), "lan0");
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "tun0");
}

// As systemd-networkd does while it configures a device. The caller is OpenVPN's `up`, which ends
// OpenVPN if it fails.
TEST_F(RoutingTest, EntriesAreSetWhileAnotherProgramRemovesThemForAWhile)
{
    add_tunnel();
    std::atomic<bool> removes = true;
    std::jthread other([&] {
        auto theirs = Routing::open();
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
        while (std::chrono::steady_clock::now() < end) {
            static_cast<void>(theirs->remove());
        }
        removes = false;
    });
    int times = 0;
    do {
        sync();
        ++times;
    } while (removes);
    std::printf("set %d times\n", times);
    sync();
    EXPECT_TRUE(routing_->holds(plan()).value());
}

TEST_F(RoutingTest, LocalNetworkStaysOutsideExceptForTunnelNetworks)
{
    add_tunnel();
    sync();
    for (const uid_t uid : {kNobody, kTunnelUid}) {
        for (const unsigned port : {80U, 1194U}) {
            EXPECT_EQ(way({.to = "192.168.77.9", .uid = uid, .port = port}), "lan0");
            EXPECT_EQ(way({.to = "10.8.0.1", .uid = uid, .port = port}), "tun0");
            EXPECT_EQ(way({.to = "fd08::1", .uid = uid, .port = port}), "tun0");
            EXPECT_EQ(way({.to = "224.0.0.251", .uid = uid, .port = port}), "lan0");
        }
    }
    config_.lan.kind = LanPolicy::Kind::Deny;
    sync();
    EXPECT_EQ(way({.to = "192.168.77.9"}), "tun0");
}

// What a server pushes is in main too, put there by the tunnel program after its `up`.
TEST_F(RoutingTest, PushedNetworksTakeNoServerAndNoGatewayIntoTheTunnel)
{
    add_tunnel();
    state_.tunnels[0].networks = {
        IpPrefix::parse("192.168.0.0/16").value(), IpPrefix::parse("203.0.113.0/24").value(),
        IpPrefix::parse("2001:db8:77::/64").value(), IpPrefix::parse("2001:db8:113::/48").value()};
    sync();
    ip("route add 203.0.113.10 via 192.168.77.1\nroute add 198.51.100.9 via 192.168.77.1\n");
    EXPECT_NE(must({"ip", "route"}).find("198.51.100.9 via 192.168.77.1 dev lan0"),
              std::string::npos);
    ip("route prepend 203.0.113.10 dev tun0\nroute add 203.0.113.0/24 dev tun0\n"
       "route add 192.168.77.1 dev tun0\nroute prepend 192.168.77.0/24 dev tun0\n"
       "-6 route add 2001:db8:113::10 dev tun0\n-6 route add 2001:db8:77::1 dev tun0\n");
    for (const char* to : {"203.0.113.10", "2001:db8:113::10"}) {
        EXPECT_EQ(way({to, kTunnelUid, "udp", 1194}), "lan0");
        EXPECT_EQ(way({to, kNobody, "udp", 1194}), "tun0");
        EXPECT_EQ(way({to, kTunnelUid, "udp", 443}), "tun0");
        EXPECT_EQ(way({.to = to, .uid = 0, .more = "mark 0x00fc0000"}), "lan0");
    }
    EXPECT_EQ(way({.to = "192.168.77.1", .uid = 0}), "tun0");
    EXPECT_EQ(sync(), 0U);
}

TEST_F(RoutingTest, InjectedRoutesChangeNothing)
{
    add_tunnel();
    sync();
    ip("route add 198.51.100.20/32 via 192.168.77.1\n"
       "route add 198.51.100.0/24 dev lan0\n"
       "route add 0.0.0.0/1 via 192.168.77.1\n"
       "route add 10.8.0.1/32 via 192.168.77.1\n"
       "addr add 10.8.0.60/25 dev lan0\n"
       "-6 route add 2001:db8:99::/64 via 2001:db8:77::1\n"
       "-6 route add fd08::1/128 via 2001:db8:77::1\n");
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(way({.to = "198.51.100.21"}), "tun0");
    EXPECT_EQ(way({.to = "10.8.0.1"}), "tun0");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "tun0");
    EXPECT_EQ(way({.to = "fd08::1"}), "tun0");
    EXPECT_EQ(way({.to = "203.0.113.10", .uid = kTunnelUid, .port = 1194}), "lan0");
}

TEST_F(RoutingTest, AnswersOfInboundServicesLeaveOutsideTheTunnel)
{
    add_tunnel();
    const auto service = [](Transport transport, std::uint16_t port, const char* from) {
        return InboundService{transport, Port::make(port).value(), IpPrefix::parse(from).value()};
    };
    config_.inbound = {service(Transport::Tcp, 22, "198.51.100.0/24"),
                       service(Transport::Udp, 51820, "0.0.0.0/0"),
                       service(Transport::Udp, 51820, "::/0")};
    sync();
    EXPECT_EQ(sync(), 0U) << "the kernel shows these rules as they were set";
    EXPECT_EQ(way({.to = "198.51.100.20", .protocol = "tcp", .more = "sport 22"}), "lan0");
    EXPECT_EQ(way({.to = "198.51.100.20", .protocol = "tcp", .more = "sport 23"}), "tun0");
    EXPECT_EQ(way({.to = "198.51.100.20", .more = "sport 22"}), "tun0");
    EXPECT_EQ(way({.to = "192.0.2.9", .protocol = "tcp", .more = "sport 22"}), "tun0");
    EXPECT_EQ(way({.to = "192.0.2.9", .more = "sport 51820"}), "lan0");
    EXPECT_EQ(way({.to = "2001:db8:99::20", .more = "sport 51820"}), "lan0");
    EXPECT_EQ(way({.to = "2001:db8:99::20", .more = "sport 51821"}), "tun0");
    config_.inbound.clear();
    sync();
    EXPECT_EQ(way({.to = "192.0.2.9", .more = "sport 51820"}), "tun0");
}

TEST_F(RoutingTest, ASignInReachesTheNetworksResolverAndWebPages)
{
    state_.portal = Portal{1001, 998, {address("192.0.2.53")}, Seconds{600}};
    sync();
    EXPECT_EQ(sync(), 0U);
    EXPECT_EQ(way({.to = "192.0.2.53", .uid = 1001, .port = 53}), "lan0");
    EXPECT_EQ(way({.to = "192.0.2.54", .uid = 1001, .port = 53}), "unreachable");
    EXPECT_EQ(way({.to = "192.0.2.9", .uid = 1001, .protocol = "tcp", .port = 80}), "lan0");
    EXPECT_EQ(way({.to = "192.0.2.9", .uid = 1001, .protocol = "tcp", .port = 22}), "unreachable");
    EXPECT_EQ(way({.to = "192.0.2.9", .protocol = "tcp", .port = 80}), "unreachable");
    state_.portal.reset();
    sync();
    EXPECT_EQ(way({.to = "192.0.2.53", .uid = 1001, .port = 53}), "unreachable");
}

TEST_F(RoutingTest, WithoutATunnelOnlyServersAndLanAreReachable)
{
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "unreachable");
    EXPECT_EQ(way({.to = "203.0.113.10", .uid = kTunnelUid, .port = 1194}), "lan0");
    EXPECT_EQ(way({.to = "2001:db8:113::10", .uid = kTunnelUid, .port = 1194}), "lan0");
    EXPECT_EQ(way({.to = "203.0.113.10", .uid = kNobody, .port = 1194}), "unreachable");
    EXPECT_EQ(way({.to = "192.168.77.9"}), "lan0");
}

TEST_F(RoutingTest, ATunnelThatGoesAwayLeavesUnreachable)
{
    add_tunnel();
    sync();
    ip("link set tun0 down\n");
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "unreachable");
    ip("link del tun0\n");
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
    EXPECT_EQ(way({.to = "10.8.0.1"}), "unreachable");
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
}

TEST_F(RoutingTest, IsClosedInIpv6EvenAfterLoWentDown)
{
    sync();
    ip("link set lo down\nlink set lo up\n");
    EXPECT_EQ(run({"ip", "-6", "route", "get", "2001:db8:99::20"}).status, 2);
    EXPECT_GT(sync(), 0U);
    EXPECT_EQ(sync(), 0U);
}

TEST_F(RoutingTest, ATunnelOfOneFamilyMakesTheOtherUnreachable)
{
    ip("tuntap add dev tun0 mode tun\nlink set tun0 up\naddr add 10.8.0.2/24 dev tun0\n");
    state_.tunnels = {tunnel("tun0", {on_link("10.8.0.2", 24)})};
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "unreachable");
}

TEST_F(RoutingTest, TwoTunnelsKeepApart)
{
    add_tunnel();
    add_second_tunnel();
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "tun0");
    EXPECT_EQ(way({.to = "10.20.1.1"}), "tun1");
    EXPECT_EQ(way({.to = "fd09::1"}), "tun1");
    EXPECT_EQ(way({.to = "198.51.100.20", .more = "from 10.9.0.2"}), "tun1");
    EXPECT_EQ(way({.to = "2001:db8:99::20", .more = "from fd09::2"}), "tun1");
    EXPECT_EQ(way({.to = "203.0.113.10", .uid = kTunnelUid, .port = 1194}), "lan0");
    ip("link del tun0\n");
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
    EXPECT_EQ(way({.to = "198.51.100.20", .more = "from 10.9.0.2"}), "tun1");
    state_.tunnels.erase(state_.tunnels.begin());
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun1");
}

TEST_F(RoutingTest, MarksAdmitToServersOnly)
{
    add_tunnel();
    state_.servers = {{Remote::parse("203.0.113.10/esp").value(), Identity{{}, 0x1234}, {}}};
    sync();
    EXPECT_EQ(way({.to = "203.0.113.10", .more = "mark 0x1234"}), "lan0");
    EXPECT_EQ(way({.to = "203.0.113.10", .more = "mark 0x1235"}), "tun0");
    EXPECT_EQ(way({.to = "203.0.113.10"}), "tun0");
    EXPECT_EQ(way({.to = "198.51.100.20", .more = "mark 0x1234"}), "tun0");
    EXPECT_EQ(way({.to = "192.168.77.9", .more = "mark 0x1234"}), "lan0");
}

TEST_F(RoutingTest, PortlessTransportsAreKnownByTheirUser)
{
    add_tunnel();
    state_.servers = {server("203.0.113.10/gre", kTunnelUid)};
    sync();
    EXPECT_EQ(source_of_raw_socket("203.0.113.10", IPPROTO_GRE, kTunnelUid), "192.168.77.2");
    EXPECT_EQ(source_of_raw_socket("203.0.113.10", IPPROTO_GRE, kNobody), "10.8.0.2");
    EXPECT_EQ(source_of_raw_socket("203.0.113.10", IPPROTO_ESP, kTunnelUid), "10.8.0.2");
    EXPECT_EQ(source_of_raw_socket("203.0.113.12", IPPROTO_GRE, kTunnelUid), "10.8.0.2");
}

TEST_F(RoutingTest, ATapTunnelUsesItsGatewayForDestinationsBeyondItsLink)
{
    ip("tuntap add dev tap0 mode tap\nlink set tap0 up\naddr add 10.8.0.2/24 dev tap0\n"
       "addr add fd08::2/64 dev tap0 nodad\n");
    state_.tunnels = {tunnel("tap0", {on_link("10.8.0.2", 24), on_link("fd08::2", 64)})};
    state_.tunnels[0].gateways = {address("10.8.0.1"), address("fd08::1")};
    sync();
    const auto get = [](const std::string& to) { return must({"ip", "route", "get", to}); };
    EXPECT_NE(get("198.51.100.20").find("via 10.8.0.1 dev tap0"), std::string::npos);
    EXPECT_NE(get("2001:db8:99::20").find("via fd08::1 dev tap0"), std::string::npos);
    EXPECT_EQ(get("10.8.0.9").find("via"), std::string::npos);
    EXPECT_EQ(sync(), 0U);
}

TEST_F(RoutingTest, SyncingTwiceChangesNothing)
{
    add_tunnel();
    EXPECT_FALSE(routing_->holds(plan()).value());
    const auto wanted = plan();
    EXPECT_EQ(sync(), wanted.rules.size() + wanted.routes.size());
    EXPECT_TRUE(routing_->holds(wanted).value());
    EXPECT_EQ(sync(), 0U);
}

TEST_F(RoutingTest, RestoresEntriesThatOthersRemoved)
{
    add_tunnel();
    sync();
    const auto before = everything();
    ip("route del default dev tun0 table 64600\n"
       "-6 route flush table 64601\n"
       "rule del pref 5010\nrule del pref 4985 uidrange 0-0\n-6 rule del pref 5020\n");
    EXPECT_FALSE(routing_->holds(plan()).value());
    EXPECT_GT(sync(), 4U);
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, RestoresAllRulesAfterAFlush)
{
    add_tunnel();
    sync();
    const auto before = everything();
    ip("rule flush\nrule add pref 32766 lookup main\nrule add pref 32767 lookup default\n");
    sync();
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, TheTunnelComesBackWithoutTheKernelsOwnRules)
{
    sync();
    ip("rule flush\n-6 rule flush\n");
    EXPECT_EQ(way({"203.0.113.10", kTunnelUid, "udp", 1194}), "unreachable");
    sync();
    for (const char* to : {"203.0.113.10", "2001:db8:113::10"}) {
        EXPECT_EQ(way({to, kTunnelUid, "udp", 1194}), "lan0");
        EXPECT_EQ(way({.to = to}), "unreachable");
    }
}

TEST_F(RoutingTest, RemovesEntriesWithOurNumberThatNoPlanHas)
{
    add_tunnel();
    sync();
    ip("rule add pref 4000 lookup main protocol 252\n"
       "rule add pref 4985 iif lo uidrange 0-5 sport 7 tos 4 lookup main protocol 252\n"
       "rule add pref 5010 lookup 64600 suppress_prefixlength 0 protocol 252\n"
       "rule add pref 5010 not from all to 9.9.9.9 lookup 64600 protocol 252\n"
       "rule add pref 5010 lookup 64600 iif lan0 protocol 252\n"
       "-6 rule add pref 4000 blackhole protocol 252\n"
       "route add 9.9.9.9 dev lan0 table 64600 protocol 252\n"
       "route add default dev lan0 metric 1 table 64600 protocol 252\n"
       "route add 9.9.9.8 dev lan0 protocol 252 mtu 1300\n"
       "route add blackhole 9.9.9.7 protocol 252 tos 4\n"
       "-6 route add 2001:db8:99::/64 table 64600 protocol 252"
       " nexthop via fe80::1 dev lan0 nexthop via fe80::2 dev lan0\n");
    EXPECT_FALSE(routing_->holds(plan()).value());
    EXPECT_EQ(sync(), 11U);
    EXPECT_TRUE(routing_->holds(plan()).value());
}

TEST_F(RoutingTest, RemovesASecondCopyOfAnEntry)
{
    sync();
    ip("rule add pref 5010 lookup 64601 protocol 252\n");
    EXPECT_EQ(sync(), 1U);
    const auto once = everything();
    must({"ip", "rule", "add", "pref", "5020", "lookup", "64601", "protocol", "4"});
    EXPECT_EQ(sync(), 0U);
    must({"ip", "rule", "del", "pref", "5020", "protocol", "4"});
    EXPECT_EQ(everything(), once);
}

TEST_F(RoutingTest, KeepsItsRulesBesideEqualOnesOfOthers)
{
    ip("rule add pref 5010 lookup 64600 protocol static\n");
    sync();
    ip("rule del pref 5010 protocol static\n");
    EXPECT_TRUE(routing_->holds(plan()).value());
}

TEST_F(RoutingTest, ReplacesTheDefaultWhenTheTunnelIsAnotherOne)
{
    add_tunnel();
    sync();
    add_second_tunnel();
    std::swap(state_.tunnels[0], state_.tunnels[1]);
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun1");
    EXPECT_EQ(way({.to = "2001:db8:99::20"}), "tun1");
}

TEST_F(RoutingTest, LeavesTheEntriesOfOthersByteForByte)
{
    ip("rule add pref 100 fwmark 7 lookup 100\n"
       "rule add pref 5000 to 10.8.0.0/24 lookup 64600\n"
       "rule add pref 5010 lookup 77\n"
       "rule add pref 30000 from 192.168.77.2 lookup 100 protocol 16\n"
       "-6 rule add pref 5010 lookup 77 suppress_prefixlength 0\n"
       "route add default via 192.168.77.1 table 100 metric 7 protocol dhcp\n"
       "route add 9.9.9.9 dev lan0 table 64700\n"
       "route add unreachable 9.9.9.0/24 protocol 18\n"
       "-6 route add 2001:db8:5::/64 dev lan0 table 64701 protocol ra\n");
    const auto before = everything();
    add_tunnel();
    const auto with_tunnel = everything();
    sync();
    EXPECT_NE(everything(), with_tunnel);
    config_.lan.kind = LanPolicy::Kind::OnLink;
    sync();
    EXPECT_TRUE(routing_->remove());
    EXPECT_EQ(everything(), with_tunnel);
    EXPECT_TRUE(routing_->remove());
    ip("link del tun0\n");
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, RoutesOfOthersInOurTablesAreADifferenceAndAreRemoved)
{
    add_tunnel();
    sync();
    const auto before = everything();
    const auto wanted = plan();
    for (const char* route :
         {"route add 0.0.0.0/1 via 192.168.77.1 table 64600",
          "route add 9.9.9.9 dev lan0 table 64600 protocol ra",
          "route add default dev lan0 metric 1 table 64600 protocol kernel",
          "route add local 9.9.9.9 dev lo table 64598",
          "route add default via 192.168.77.1 table 64599 tos 4",
          "route add 9.9.9.9 table 64601 nexthop via 192.168.77.1 nexthop via 192.168.77.3",
          "-6 route add 2000::/3 via 2001:db8:77::1 table 64600 protocol static",
          "-6 route add 2001:db8:99::/64 from 2001:db8:77::/64 dev lan0 table 64601",
          "-6 route add blackhole 2001:db8:99::/64 table 64598"}) {
        ip(std::string(route) + "\n");
        EXPECT_FALSE(routing_->holds(wanted).value()) << route;
        EXPECT_EQ(sync(), 1U) << route;
        EXPECT_TRUE(routing_->holds(wanted).value()) << route;
        EXPECT_EQ(everything(), before) << route;
    }
}

TEST_F(RoutingTest, ARouteOfAnotherProgramThatStandsInTheWayOfOursIsReplaced)
{
    ip("route add unreachable default metric 4294967294 table 64600\n"
       "-6 route add unreachable default metric 4294967294 table 64600\n");
    add_tunnel();
    sync();
    EXPECT_TRUE(routing_->holds(plan()).value());
}

TEST_F(RoutingTest, RoutesByANexthopObjectAreRemoved)
{
    ip("nexthop add id 7 via 192.168.77.1 dev lan0\nnexthop add id 8 via 192.168.77.3 dev lan0\n"
       "nexthop add id 9 group 7/8\nnexthop add id 17 via 2001:db8:77::1 dev lan0\n");
    add_tunnel();
    sync();
    const auto before = everything();
    ip("route add 9.9.9.9 nhid 7 table 64600\nroute add 9.9.9.8 nhid 9 table 64600\n"
       "route add 9.9.9.7 nhid 7 table 64600 protocol 252\n"
       "-6 route add 2001:db8:99::/64 nhid 17 table 64600\n");
    EXPECT_EQ(sync(), 4U);
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, RoutesOfOthersStayInOurTablesWhereNoRuleOfOursLeadsThere)
{
    ip("route add 9.9.9.9 dev lan0 table 64600\n");
    const auto before = everything();
    EXPECT_TRUE(routing_->holds({}).value());
    EXPECT_TRUE(routing_->remove());
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, RulesOfOthersAreListed)
{
    sync();
    ip("rule add pref 77 fwmark 7 lookup 100\nrule add pref 78 goto 32766\n"
       "rule add pref 79 blackhole\nrule add pref 80 l3mdev\n-6 rule add pref 81 lookup main\n");
    const auto rules = routing_->foreign_rules().value();
    const auto lists = [&](const ForeignRule& rule) {
        return std::ranges::find(rules, rule) != rules.end();
    };
    EXPECT_TRUE(lists({Family::V4, 0, RT_TABLE_LOCAL}));
    EXPECT_TRUE(lists({Family::V4, 77, 100}));
    EXPECT_TRUE(lists({.priority = 78, .jump = 32766}));
    EXPECT_TRUE(lists({.priority = 79, .ends = true}));
    EXPECT_TRUE(lists({Family::V6, 81, RT_TABLE_MAIN}));
    EXPECT_FALSE(std::ranges::any_of(
        rules, [](const auto& rule) { return rule.priority == 80 || rule.priority == 5010; }));
}

TEST_F(RoutingTest, ADisarmedStateHasNoEntries)
{
    const auto before = everything();
    add_tunnel();
    const auto with_tunnel = everything();
    sync();
    state_.armed = Armed::No;
    EXPECT_GT(sync(), 0U);
    EXPECT_EQ(everything(), with_tunnel);
    ip("link del tun0\n");
    EXPECT_EQ(everything(), before);
}

TEST_F(RoutingTest, IpCommandsGiveTheSameEntries)
{
    add_tunnel();
    add_second_tunnel();
    state_.servers.push_back({Remote::parse("203.0.113.12/esp").value(), Identity{{}, 0x1234}, {}});
    std::array<std::string, 2> batches;
    std::istringstream lines(to_ip_commands(plan(), observe().value()));
    for (std::string line; std::getline(lines, line);) {
        ASSERT_TRUE(line.starts_with("ip -4 ") || line.starts_with("ip -6 ")) << line;
        batches[line[4] == '4' ? 0 : 1] += line.substr(6) + "\n";
    }
    must({"ip", "-4", "-batch", "-"}, batches[0]);
    must({"ip", "-6", "-batch", "-"}, batches[1]);
    EXPECT_TRUE(routing_->holds(plan()).value());
    EXPECT_EQ(sync(), 0U);
}

TEST_F(RoutingTest, StaysClosedIfARouteIsRefused)
{
    add_tunnel();
    const auto stale = plan();
    ip("link del tun0\n");
    const auto changes = routing_->sync(stale);
    ASSERT_FALSE(changes);
    EXPECT_EQ(changes.error().number(), ENODEV) << changes.error().message();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "unreachable");
    EXPECT_EQ(way({.to = "203.0.113.10", .uid = kTunnelUid, .port = 1194}), "lan0");
}

TEST_F(RoutingTest, HoldsIfAnInterfaceHasIpv6Disabled)
{
    add_tunnel();
    ASSERT_TRUE(write_sysctl({"net", "ipv6", "conf", "tun0", "disable_ipv6"}, "1"));
    sync();
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(sync(), 0U);
}

/// Whether a connected UDP socket of `uid` would send from the underlay's address.
bool leaves_by_underlay(const std::string& host, uid_t uid)
{
    return source_of_udp_socket(host, uid) == "192.168.77.2";
}

TEST_F(RoutingTest, NothingFallsThroughWhilePlansReplaceEachOther)
{
    EXPECT_TRUE(leaves_by_underlay("198.51.100.20", kNobody));
    const auto without_tunnel = plan();
    add_tunnel();
    const auto one_tunnel = plan();
    add_second_tunnel();
    const auto two_tunnels = plan();
    std::swap(state_.tunnels[0], state_.tunnels[1]);
    const auto swapped = plan();
    state_.servers.clear();
    config_.lan.kind = LanPolicy::Kind::Deny;
    const auto bare = plan();
    ASSERT_TRUE(routing_->sync(without_tunnel));
    std::atomic<bool> done = false;
    unsigned leaked = 0;
    std::atomic<unsigned> asked = 0;
    // A thread stays in the namespace that it was started in.
    std::thread traffic([&] {
        while (!done) {
            ++asked;
            leaked += leaves_by_underlay("198.51.100.20", kNobody) ? 1 : 0;
            leaked += leaves_by_underlay("203.0.113.10", kNobody) ? 1 : 0;
        }
    });
    for (int round = 0; round < 200 || asked <= 1000; ++round) {
        for (const auto* next : {&one_tunnel, &two_tunnels, &swapped, &bare, &without_tunnel}) {
            EXPECT_TRUE(routing_->sync(*next));
        }
    }
    done = true;
    traffic.join();
    EXPECT_EQ(leaked, 0U);
}

/// Makes this process one on a kernel without IPv6.
void forbid_ipv6_sockets()
{
    std::array program = {
        sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))),
        sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3)),
        sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0]))),
        sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW))};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

TEST_F(RoutingTest, WithoutIpv6TheIpv4PlanIsApplied)
{
    add_tunnel();
    const auto wanted = plan();
    const auto v6_before = must({"ip", "-6", "rule"});
    const pid_t child = fork();
    if (child == 0) {
        forbid_ipv6_sockets();
        auto routing = Routing::open();
        const bool done =
            routing && routing->sync(wanted) && routing->holds(wanted).value_or(false);
        _exit(done ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(way({.to = "198.51.100.20"}), "tun0");
    EXPECT_EQ(must({"ip", "-6", "rule"}), v6_before);
    EXPECT_FALSE(routing_->holds(wanted).value());
}

/// A server in a namespace of its own that answers by UDP, and what the client's kernel thinks of
/// the answers.
class AnswersTest : public RoutingTest, public testing::WithParamInterface<int> {
  protected:
    AnswersTest() : far_(NetworkNamespace::make())
    {
        home_.enter();
        ip("link set far0 netns " + far_.path() + "\n");
        far_.enter();
        ip("link set far0 up\naddr add 192.168.77.1/24 dev far0\naddr add 203.0.113.10/32 dev "
           "lo\n");
        server_ = bound_socket("203.0.113.10");
        home_.enter();
        for (const auto* device : {"all", "lan0"}) {
            set({"net", "ipv4", "conf", device, "rp_filter"}, std::to_string(GetParam()));
        }
        EXPECT_TRUE(set_sysctls(plan_sysctls(state_)).refused.empty());
        state_.servers = {server("203.0.113.10:1194/udp", 0),
                          server("203.0.113.10:1194/udp", kNobody)};
    }

    static void set(const std::vector<std::string>& name, const std::string& value)
    {
        ASSERT_TRUE(write_sysctl(name, value));
    }

    void expect_answered(uid_t uid, bool expected = true)
    {
        EXPECT_EQ(answered(uid, expected), expected) << uid;
    }

    /// As the firewall does in prerouting.
    static void mark_answers()
    {
        must({"nft", "-f", "-"}, "table ip test { chain pre { type filter hook prerouting priority "
                                 "raw; udp sport 1194 meta mark set 0x00fc0000; }; }");
    }

    static UniqueFd bound_socket(const std::string& host)
    {
        UniqueFd udp(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        auto address = endpoint(host, 1194);
        EXPECT_EQ(bind(udp.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        return udp;
    }

    static bool readable(const UniqueFd& udp, int milliseconds)
    {
        pollfd wait{udp.get(), POLLIN, 0};
        return poll(&wait, 1, milliseconds) == 1;
    }

    /// Whether an answer of the server comes to a program of `uid`. Silence is believed sooner
    /// where it is expected.
    bool answered(uid_t uid, bool expected)
    {
        const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(fchown(client.get(), uid, uid), 0);
        auto address = endpoint("203.0.113.10", 1194);
        socklen_t size = sizeof(address);
        EXPECT_EQ(sendto(client.get(), "?", 1, 0, reinterpret_cast<sockaddr*>(&address), size), 1);
        char byte = 0;
        if (!readable(server_, 10'000)) {
            ADD_FAILURE() << "the question did not leave by the underlay";
            return false;
        }
        recvfrom(server_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&address), &size);
        EXPECT_EQ(sendto(server_.get(), "!", 1, 0, reinterpret_cast<sockaddr*>(&address), size), 1);
        return readable(client, expected ? 10'000 : 300);
    }

    NetworkNamespace far_;
    UniqueFd server_;
};

TEST_P(AnswersTest, ReachTheTunnelProgramWithTheTunnelUp)
{
    add_tunnel();
    sync();
    mark_answers();
    expect_answered(0);
    expect_answered(kNobody);
}

TEST_P(AnswersTest, ReachTheTunnelProgramWithTheTunnelDown)
{
    sync();
    mark_answers();
    expect_answered(0);
    expect_answered(kNobody);
}

TEST_P(AnswersTest, AreDroppedByRpFilterWithoutMarkOrParameter)
{
    sync();
    expect_answered(0, GetParam() == 0);
    expect_answered(kNobody, GetParam() == 0);
    mark_answers();
    expect_answered(kNobody);
    set({"net", "ipv4", "conf", "all", "src_valid_mark"}, "0");
    expect_answered(kNobody, GetParam() == 0);
}

INSTANTIATE_TEST_SUITE_P(RpFilter, AnswersTest, testing::Values(0, 1, 2));

/// Prints how long `work` takes.
template <typename Work> void timed(const char* what, const Work& work)
{
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    std::cout << what << ": " << time.count() << " ms\n";
}

TEST_F(RoutingTest, OneTunnelInTime)
{
    add_tunnel();
    timed("opening", [] { EXPECT_TRUE(Routing::open()); });
    timed("observing", [] { EXPECT_TRUE(observe()); });
    const auto wanted = plan();
    timed("planning", [&] { EXPECT_EQ(plan(), wanted); });
    timed("adding", [&] { EXPECT_TRUE(routing_->sync(wanted)); });
    timed("syncing again", [&] { EXPECT_EQ(routing_->sync(wanted).value(), 0U); });
    timed("holding", [&] { EXPECT_TRUE(routing_->holds(wanted).value()); });
    timed("removing", [&] { EXPECT_TRUE(routing_->remove()); });
}

TEST_F(RoutingTest, TenThousandServers)
{
    add_tunnel();
    Server many = server("203.0.113.10:1194/udp", kTunnelUid);
    many.remote.host = HostName::parse("vpn.example.net").value();
    for (unsigned i = 0; i < 10'000; ++i) {
        many.addresses.push_back(
            {address("100.64." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)),
             {},
             false});
    }
    state_.servers.push_back(many);
    const auto wanted = plan();
    timed("planning 10,000 servers", [&] { EXPECT_EQ(plan(), wanted); });
    timed("adding them", [&] {
        EXPECT_EQ(routing_->sync(wanted).value(), wanted.rules.size() + wanted.routes.size());
    });
    timed("holding them", [&] { EXPECT_TRUE(routing_->holds(wanted).value()); });
    EXPECT_EQ(way({.to = "100.64.7.7", .uid = kTunnelUid, .port = 1194}), "lan0");
    EXPECT_EQ(way({.to = "100.64.7.7", .uid = kNobody, .port = 1194}), "tun0");
    timed("removing them", [&] { EXPECT_TRUE(routing_->remove()); });
}

} // namespace
} // namespace failclosed
