// SPDX-License-Identifier: GPL-3.0-or-later
// Which networks are behind this machine.
#include <gtest/gtest.h>

#include "core/plan/routing/networks.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::prefix;

using Networks = std::vector<DownstreamNetwork>;

constexpr unsigned kEth0 = 2;
constexpr unsigned kBridge = 3;

class DownstreamTest : public testing::Test {
  protected:
    DownstreamTest()
    {
        snapshot_.links = {
            {.name = device("lo"), .index = 1, .up = true, .loopback = true},
            {.name = device("eth0"), .index = kEth0, .up = true},
            {.name = device("br0"), .index = kBridge, .up = true},
            {.name = device("tun0"), .index = 4, .up = true, .point_to_point = true}};
        snapshot_.links[0].addresses = {{address("127.0.0.1"), 8}};
        snapshot_.links[1].addresses = {{address("192.168.50.10"), 24}};
        bridge().addresses = {{address("172.20.0.1"), 16}, {address("fd20::1"), 64}};
        snapshot_.links[3].addresses = {{address("10.8.0.2"), 24}};
        Tunnel tunnel{.interface = device("tun0")};
        tunnel.addresses = {{address("10.8.0.2"), 24}};
        tunnel.networks = {prefix("10.99.0.0/16")};
        state_.tunnels = {tunnel};
        config_.forward = {device("br0")};
    }

    Link& bridge() { return snapshot_.links[2]; }

    [[nodiscard]] Networks of(Family family) const
    {
        return downstream_networks(family, state_, config_, snapshot_);
    }

    State state_;
    Config config_;
    Snapshot snapshot_;
};

TEST_F(DownstreamTest, NetworksAreThoseConnectedToTheDevices)
{
    EXPECT_EQ(of(Family::V4), (Networks{{device("br0"), prefix("172.20.0.0/16")}}));
    EXPECT_EQ(of(Family::V6), (Networks{{device("br0"), prefix("fd20::/64")},
                                        {device("br0"), prefix("fe80::/10")}}));
    config_.forward.clear();
    EXPECT_EQ(of(Family::V4), Networks());
    EXPECT_EQ(of(Family::V6), Networks());
}

TEST_F(DownstreamTest, TunnelNetworksAreLeftOut)
{
    for (const char* inside : {"172.20.0.0/16", "172.16.0.0/12", "172.20.7.0/24"}) {
        state_.tunnels[0].networks = {prefix(inside)};
        EXPECT_EQ(of(Family::V4), Networks()) << inside;
    }
    // Also where the tunnel is gone.
    state_.inside = {{device("tun0"), {prefix("172.20.7.0/24")}}};
    state_.tunnels.clear();
    EXPECT_EQ(of(Family::V4), Networks());
    EXPECT_EQ(of(Family::V6).size(), 2U);
}

TEST_F(DownstreamTest, AnUplinkIsNeverBehind)
{
    config_.forward = {device("br0"), device("eth0")};
    EXPECT_EQ(of(Family::V4).size(), 2U);
    snapshot_.main_routes = {
        {.destination = prefix("0.0.0.0/0"), .device = kEth0, .gateway = address("192.168.50.1")}};
    EXPECT_EQ(downstream_devices(state_, config_, snapshot_),
              std::vector<InterfaceName>{device("br0")});
    EXPECT_EQ(of(Family::V4), (Networks{{device("br0"), prefix("172.20.0.0/16")}}));
    snapshot_.main_routes = {
        {.destination = prefix("::/0"), .device = kBridge, .gateway = address("fe80::1")}};
    EXPECT_EQ(of(Family::V4), (Networks{{device("eth0"), prefix("192.168.50.0/24")}}))
        << "of either family";
}

TEST_F(DownstreamTest, ATunnelIsNeverBehind)
{
    config_.forward = {device("tun0")};
    EXPECT_EQ(downstream_devices(state_, config_, snapshot_), std::vector<InterfaceName>());
    EXPECT_EQ(of(Family::V4), Networks());
}

TEST_F(DownstreamTest, LoopbackIsLeftOut)
{
    config_.forward = {device("lo")};
    EXPECT_EQ(of(Family::V4), Networks());
}

TEST_F(DownstreamTest, PartsOfADefaultRouteAreLeftOut)
{
    bridge().addresses = {{address("172.20.0.1"), 1}, {address("fd20::1"), 0}};
    EXPECT_EQ(of(Family::V4), Networks());
    EXPECT_EQ(of(Family::V6).size(), 0U) << "which holds fe80::/10 too";
}

TEST_F(DownstreamTest, AMissingDeviceIsKept)
{
    config_.forward = {device("br7")};
    EXPECT_EQ(downstream_devices(state_, config_, snapshot_), config_.forward);
    EXPECT_EQ(of(Family::V4), Networks());
}

} // namespace
} // namespace failclosed
