// SPDX-License-Identifier: GPL-3.0-or-later
// Destroying real sockets: those past the tunnel, and no others.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "core/apply/kernel/observe.hpp"
#include "core/apply/kernel/sockets.hpp"
#include "tests/kernel/network.hpp"

namespace failclosed {
namespace {

using test::ip;
using test::NetworkNamespace;

sockaddr_in6 endpoint(const std::string& host, std::uint16_t port)
{
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    inet_pton(AF_INET6, host.c_str(), &address.sin6_addr);
    return address;
}

/// A client with an uplink and a tunnel device, and a far end that accepts connections on every
/// address.
class SocketsTest : public testing::Test {
  protected:
    SocketsTest() : far_(NetworkNamespace::make()), home_(NetworkNamespace::make())
    {
        ip("link add lan0 type veth peer name far0 netns " + far_.path() +
           "\nlink set lan0 up\naddr add 192.168.77.2/24 dev lan0\n"
           "addr add 2001:db8:77::2/64 dev lan0 nodad\n"
           "tuntap add dev tun0 mode tun\nlink set tun0 up\naddr add 10.8.0.2/24 dev tun0\n");
        far_.enter();
        ip("link set far0 up\naddr add 192.168.77.1/24 dev far0\n"
           "addr add 2001:db8:77::1/64 dev far0 nodad\n"
           "addr add 203.0.113.10/32 dev lo\naddr add 198.51.100.20/32 dev lo\n"
           "addr add 2001:db8:99::20/128 dev lo nodad\nroute add 10.8.0.0/24 via 192.168.77.2\n");
        listener_ = listen_everywhere();
        home_.enter();
        ip("route add default via 192.168.77.1\n-6 route add default via 2001:db8:77::1\n");
        state_.servers = {
            {Remote::parse("203.0.113.10:443/tcp").value(), Identity{{1000}, std::nullopt}, {}}};
        state_.tunnels = {{.interface = InterfaceName::parse("tun0").value(),
                           .addresses = {{IpAddress::parse("10.8.0.2").value(), 24}},
                           .networks = {},
                           .gateways = {},
                           .resolvers = {},
                           .search_domains = {},
                           .owner = {}}};
    }

    static UniqueFd listen_everywhere()
    {
        UniqueFd tcp(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto any = endpoint("::", 443);
        EXPECT_EQ(bind(tcp.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
        EXPECT_EQ(listen(tcp.get(), 64), 0);
        return tcp;
    }

    /// A connected socket of `uid`; IPv4 hosts are written ::ffff:a.b.c.d.
    static UniqueFd connected(int type, const std::string& host, uid_t uid = 65534,
                              const std::string& from = "::")
    {
        UniqueFd client(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
        const auto local = endpoint(from, 0);
        const auto remote = endpoint(host, 443);
        EXPECT_EQ(fchown(client.get(), uid, uid), 0);
        EXPECT_EQ(bind(client.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)), 0);
        EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)),
                  0)
            << host;
        return client;
    }

    static UniqueFd connected_v4(int type, const std::string& host)
    {
        UniqueFd client(socket(AF_INET, type | SOCK_CLOEXEC, 0));
        sockaddr_in remote{};
        remote.sin_family = AF_INET;
        remote.sin_port = htons(443);
        inet_pton(AF_INET, host.c_str(), &remote.sin_addr);
        EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)),
                  0);
        return client;
    }

    static int pending_error(const UniqueFd& client)
    {
        int error = 0;
        socklen_t size = sizeof(error);
        EXPECT_EQ(getsockopt(client.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
        return error;
    }

    unsigned sweep() const
    {
        const auto swept = destroy_foreign_flows(FlowPolicy(state_, config_, observe().value()));
        EXPECT_TRUE(swept) << swept.error().message();
        EXPECT_TRUE(swept->supported);
        return swept->destroyed;
    }

    test::ReturnToNetwork return_;
    NetworkNamespace far_;
    UniqueFd listener_;
    NetworkNamespace home_;
    State state_;
    Config config_;
};

TEST_F(SocketsTest, DestroysSocketsConnectedOutsideTheTunnel)
{
    std::vector<UniqueFd> victims;
    victims.push_back(connected_v4(SOCK_STREAM, "198.51.100.20"));
    victims.push_back(connected_v4(SOCK_DGRAM, "198.51.100.20"));
    victims.push_back(connected(SOCK_STREAM, "::ffff:198.51.100.20"));
    victims.push_back(connected(SOCK_DGRAM, "::ffff:198.51.100.20"));
    victims.push_back(connected(SOCK_STREAM, "2001:db8:99::20"));
    victims.push_back(connected(SOCK_DGRAM, "2001:db8:99::20"));
    // Another user, and another transport, than the server was admitted for.
    victims.push_back(connected(SOCK_STREAM, "::ffff:203.0.113.10", 0));
    victims.push_back(connected(SOCK_DGRAM, "::ffff:203.0.113.10", 1000));
    EXPECT_EQ(sweep(), victims.size());
    for (const auto& victim : victims) {
        EXPECT_EQ(pending_error(victim), ECONNABORTED);
    }
    EXPECT_EQ(sweep(), 0U);
}

TEST_F(SocketsTest, KeepsAdmittedSockets)
{
    std::vector<UniqueFd> spared;
    spared.push_back(connected(SOCK_STREAM, "::ffff:203.0.113.10", 1000));
    spared.push_back(connected(SOCK_STREAM, "::ffff:192.168.77.1"));
    spared.push_back(connected_v4(SOCK_DGRAM, "192.168.77.1"));
    spared.push_back(connected(SOCK_STREAM, "::ffff:198.51.100.20", 65534, "::ffff:10.8.0.2"));
    spared.push_back(connected(SOCK_DGRAM, "::ffff:198.51.100.20", 65534, "::ffff:10.8.0.2"));
    const auto local_listener = listen_everywhere();
    spared.push_back(connected(SOCK_STREAM, "::1"));
    spared.push_back(connected(SOCK_STREAM, "2001:db8:77::2"));
    EXPECT_EQ(sweep(), 0U);
    for (const auto& client : spared) {
        EXPECT_EQ(pending_error(client), 0);
    }
}

TEST_F(SocketsTest, KeepsSocketsToTheLocalNetworkOnlyIfAllowed)
{
    const auto client = connected(SOCK_STREAM, "::ffff:192.168.77.1");
    config_.lan.kind = LanPolicy::Kind::Deny;
    EXPECT_EQ(sweep(), 1U);
    EXPECT_EQ(pending_error(client), ECONNABORTED);
}

TEST_F(SocketsTest, KeepsSocketsOfAMarkedTunnelProgram)
{
    state_.servers[0].identity = {{}, 0x1234};
    const auto client = connected(SOCK_STREAM, "::ffff:203.0.113.10");
    const std::uint32_t mark = 0x1234;
    ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
    EXPECT_EQ(sweep(), 0U);
    const std::uint32_t none = 0;
    ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_MARK, &none, sizeof(none)), 0);
    EXPECT_EQ(sweep(), 1U);
}

TEST_F(SocketsTest, LeavesListenersAndUnconnectedSockets)
{
    const auto local_listener = listen_everywhere();
    const UniqueFd udp(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto local = endpoint("2001:db8:77::2", 500);
    ASSERT_EQ(bind(udp.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)), 0);
    EXPECT_EQ(sweep(), 0U);
}

TEST_F(SocketsTest, DestroysHundreds)
{
    std::vector<UniqueFd> victims;
    for (int i = 0; i < 400; ++i) {
        victims.push_back(connected_v4(SOCK_DGRAM, "198.51.100.20"));
    }
    EXPECT_EQ(sweep(), 400U);
}

} // namespace
} // namespace failclosed
