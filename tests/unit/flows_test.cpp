// SPDX-License-Identifier: GPL-3.0-or-later
// Which flows may live on when the tunnel comes up.
#include <gtest/gtest.h>

#include "core/plan/routing/flows.hpp"

namespace failclosed {
namespace {

IpAddress address(std::string_view text)
{
    return IpAddress::parse(text).value();
}

Flow flow(std::string_view local, std::string_view remote)
{
    return {.transport = Transport::Tcp,
            .local = address(local),
            .local_port = 40000,
            .remote = address(remote),
            .remote_port = 443,
            .uid = 1000,
            .mark = 0};
}

class FlowPolicyTest : public testing::Test {
  protected:
    FlowPolicyTest()
    {
        state_.tunnels = {{.interface = InterfaceName::parse("tun0").value(),
                           .addresses = {{address("10.8.0.2"), 24}, {address("fd08::2"), 64}},
                           .networks = {IpPrefix::parse("192.168.9.0/24").value()},
                           .gateways = {},
                           .resolvers = {},
                           .search_domains = {},
                           .owner = {}}};
        state_.servers = {
            {Remote::parse("203.0.113.10:443/tcp").value(), {{1000}, std::nullopt}, {}},
            {Remote::parse("203.0.113.11:443/tcp").value(), {{}, 0x1234}, {}}};
        snapshot_.links = {
            {.name = InterfaceName::parse("eth0").value(),
             .index = 2,
             .up = true,
             .loopback = false,
             .point_to_point = false,
             .addresses = {{address("198.51.100.2"), 24}, {address("2001:db8:77::2"), 64}}}};
    }

    bool foreign(const Flow& flow) const
    {
        return FlowPolicy(state_, config_, snapshot_).is_foreign(flow);
    }

    State state_;
    Config config_;
    Snapshot snapshot_;
};

TEST_F(FlowPolicyTest, FlowsOnTheUnderlayAreEnded)
{
    EXPECT_TRUE(foreign(flow("198.51.100.2", "9.9.9.9")));
    EXPECT_TRUE(foreign(flow("2001:db8:77::2", "2001:db8:99::20")));
    EXPECT_TRUE(foreign(flow("192.168.1.2", "9.9.9.9")));
}

TEST_F(FlowPolicyTest, LocalFlowsStay)
{
    EXPECT_FALSE(foreign(flow("127.0.0.1", "127.0.0.53")));
    EXPECT_FALSE(foreign(flow("::1", "::1")));
    EXPECT_FALSE(foreign(flow("198.51.100.2", "198.51.100.2")));
    EXPECT_FALSE(foreign(flow("2001:db8:77::2", "2001:db8:77::2")));
}

TEST_F(FlowPolicyTest, FlowsOfTheTunnelStay)
{
    EXPECT_FALSE(foreign(flow("10.8.0.2", "9.9.9.9")));
    EXPECT_FALSE(foreign(flow("fd08::2", "2001:db8:99::20")));
}

TEST_F(FlowPolicyTest, FlowsOfTheLocalNetworkStayExceptToTunnelNetworks)
{
    EXPECT_FALSE(foreign(flow("192.168.1.2", "192.168.1.1")));
    EXPECT_TRUE(foreign(flow("192.168.1.2", "192.168.9.1")));
    EXPECT_TRUE(foreign(flow("192.168.1.2", "10.8.0.1")));
    config_.lan.kind = LanPolicy::Kind::Deny;
    EXPECT_TRUE(foreign(flow("192.168.1.2", "192.168.1.1")));
}

TEST_F(FlowPolicyTest, OnlyTheAdmittedProgramKeepsFlowsToItsServer)
{
    auto transport = flow("198.51.100.2", "203.0.113.10");
    EXPECT_FALSE(foreign(transport));
    transport.uid = 0;
    EXPECT_TRUE(foreign(transport));
    transport.uid = 1000;
    transport.remote_port = 444;
    EXPECT_TRUE(foreign(transport));
    transport.remote_port = 443;
    transport.transport = Transport::Udp;
    EXPECT_TRUE(foreign(transport));
}

TEST_F(FlowPolicyTest, AMarkAdmits)
{
    auto transport = flow("198.51.100.2", "203.0.113.11");
    EXPECT_TRUE(foreign(transport));
    transport.mark = 0x1234;
    EXPECT_FALSE(foreign(transport));
    transport.remote = address("203.0.113.12");
    EXPECT_TRUE(foreign(transport));
}

TEST_F(FlowPolicyTest, LeasesAreRenewed)
{
    auto renewal = flow("198.51.100.2", "198.51.100.1");
    renewal.transport = Transport::Udp;
    renewal.local_port = 68;
    renewal.remote_port = 67;
    EXPECT_FALSE(foreign(renewal));
    renewal.transport = Transport::Tcp;
    EXPECT_TRUE(foreign(renewal));
    renewal = flow("2001:db8:77::2", "2001:db8:77::1");
    renewal.transport = Transport::Udp;
    renewal.local_port = 546;
    renewal.remote_port = 547;
    EXPECT_FALSE(foreign(renewal));
    renewal.local_port = 68;
    renewal.remote_port = 67;
    EXPECT_TRUE(foreign(renewal));
}

TEST_F(FlowPolicyTest, FlowsOfInboundServicesStayWithAdmittedPeers)
{
    config_.inbound = {{Transport::Tcp, Port::make(22).value(), *IpPrefix::parse("9.9.9.0/24")}};
    auto answer = flow("198.51.100.2", "9.9.9.9");
    EXPECT_TRUE(foreign(answer));
    answer.local_port = 22;
    EXPECT_FALSE(foreign(answer));
    answer.transport = Transport::Udp;
    EXPECT_TRUE(foreign(answer));
    answer.transport = Transport::Tcp;
    answer.remote = address("9.9.8.9");
    EXPECT_TRUE(foreign(answer));
    answer.remote = address("2001:db8:99::20");
    EXPECT_TRUE(foreign(answer));
}

TEST_F(FlowPolicyTest, NetworksBehindThisMachineStay)
{
    config_.lan.kind = LanPolicy::Kind::Deny;
    Link bridge{.name = InterfaceName::parse("br0").value(), .index = 3, .up = true};
    bridge.addresses = {{address("172.20.0.1"), 16}};
    snapshot_.links.push_back(bridge);
    EXPECT_TRUE(foreign(flow("172.20.0.1", "172.20.0.2")));
    config_.forward = {bridge.name};
    EXPECT_FALSE(foreign(flow("172.20.0.1", "172.20.0.2")));
    EXPECT_TRUE(foreign(flow("172.20.0.1", "172.21.0.2")));
    state_.tunnels[0].networks.push_back(IpPrefix::parse("172.20.9.0/24").value());
    EXPECT_TRUE(foreign(flow("172.20.0.1", "172.20.0.2"))) << "the tunnel's come first";
}

TEST_F(FlowPolicyTest, APeerWithoutAPortIsNotAServer)
{
    auto odd = flow("198.51.100.2", "203.0.113.10");
    odd.remote_port = 0;
    EXPECT_TRUE(foreign(odd));
}

} // namespace
} // namespace failclosed
