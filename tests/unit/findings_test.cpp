// SPDX-License-Identifier: GPL-3.0-or-later
// What is told of a network, and what is not worth a word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/codec/files/config_file.hpp"
#include "core/plan/findings.hpp"

namespace failclosed {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

constexpr unsigned kEth0 = 2;
constexpr unsigned kTun0 = 3;
constexpr unsigned kOther = 4;

// linux/rtnetlink.h
constexpr std::uint8_t kKernel = 2;
constexpr std::uint8_t kBoot = 3;
constexpr std::uint8_t kStatic = 4;
constexpr std::uint8_t kRa = 9;
constexpr std::uint8_t kDhcp = 16;

/// A home network of both families, and a tunnel to vpn.example.net, which is 203.0.113.2.
class FindingsTest : public testing::Test {
  protected:
    FindingsTest()
    {
        snapshot_.links = {{.name = device("lo"), .index = 1, .up = true, .loopback = true},
                           {.name = device("eth0"), .index = kEth0, .up = true},
                           {.name = device("tun0"),
                            .index = kTun0,
                            .up = true,
                            .point_to_point = true,
                            .can_be_tunnel = true,
                            .is_program_tunnel = true}};
        snapshot_.links[1].addresses = {{address("192.168.50.10"), 24},
                                        {address("2001:db8:50::10"), 64},
                                        {address("2001:db8:50::abc"), 128},
                                        {address("fe80::10"), 64}};
        snapshot_.links[2].addresses = {{address("10.8.0.2"), 24}};
        route("0.0.0.0/0", kDhcp, "192.168.50.1");
        route("192.168.50.0/24", kKernel);
        route("192.168.50.1/32", kDhcp); // systemd-networkd's, to the gateway
        route("169.254.0.0/16", kBoot);
        route("203.0.113.2/32", kBoot, "192.168.50.1"); // OpenVPN's, to its server
        route("::/0", kRa, "fe80::1");
        route("2001:db8:50::/64", kRa);
        route("fe80::/64", kKernel);
        route("0.0.0.0/1", kBoot, "10.8.0.1", kTun0); // OpenVPN's redirect-gateway def1
        route("128.0.0.0/1", kBoot, "10.8.0.1", kTun0);
        route("10.8.0.0/24", kKernel, nullptr, kTun0);
        Tunnel tunnel{.interface = device("tun0")};
        tunnel.addresses = {{address("10.8.0.2"), 24}};
        tunnel.networks = {*IpPrefix::parse("10.99.0.0/16")};
        tunnel.resolvers = {address("10.8.0.1"), address("192.0.2.53")};
        state_.tunnels = {tunnel};
        Server server{*Remote::parse("vpn.example.net:1194/udp"), {}, {}};
        server.addresses = {{.address = address("203.0.113.2"), .worked_last = true}};
        state_.servers = {server};
    }

    void route(const char* destination, std::uint8_t protocol, const char* gateway = nullptr,
               unsigned through = kEth0)
    {
        snapshot_.main_routes.push_back(
            {IpPrefix::parse(destination).value(), through,
             gateway != nullptr ? IpAddress::parse(gateway) : std::nullopt, 0, protocol});
    }

    Link& add_link(const char* name)
    {
        snapshot_.links.push_back({.name = device(name), .index = kOther, .up = true});
        return snapshot_.links.back();
    }

    [[nodiscard]] std::vector<Finding> look() const { return findings(state_, config_, snapshot_); }

    /// The text of the only finding, which is of this kind.
    std::string only(Finding::Kind kind) const
    {
        const auto found = look();
        EXPECT_EQ(found.size(), 1U);
        if (found.size() != 1) {
            return {};
        }
        EXPECT_EQ(to_string(found.front().kind), to_string(kind));
        return found.front().text;
    }

    State state_;
    Config config_;
    Snapshot snapshot_;
};

TEST_F(FindingsTest, ReportsNothingOnAnOrdinaryNetwork)
{
    EXPECT_THAT(look(), IsEmpty());
    state_.tunnels.clear();
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, ReportsNothingForContainersGuestsAndOtherTunnels)
{
    add_link("docker0").addresses = {{address("172.17.0.1"), 16}};
    route("172.17.0.0/16", kKernel, nullptr, kOther);
    route("172.30.0.0/16", kStatic, "172.17.0.9", kOther);
    EXPECT_THAT(look(), IsEmpty());
    snapshot_.links.pop_back();
    add_link("wg0").is_program_tunnel = true;
    route("198.51.0.0/16", kBoot, nullptr, kOther);
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, ReportsNothingForASecondUplinkOrPpp)
{
    Link& ppp = add_link("ppp0");
    ppp.point_to_point = true;
    ppp.addresses = {{address("198.51.100.77"), 32}};
    route("192.0.2.1/32", kKernel, nullptr, kOther); // the peer
    route("0.0.0.0/0", kBoot, nullptr, kOther);
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, ReportsNothingForAHostBehindAGatewayOutsideItsNetwork)
{
    snapshot_.links[1].addresses = {{address("198.51.100.77"), 32}};
    snapshot_.main_routes.clear();
    route("192.0.2.1/32", kStatic);
    route("0.0.0.0/0", kStatic, "192.0.2.1");
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, APublicNetworkIsReportedForInformation)
{
    snapshot_.links[1].addresses.front() = {address("198.51.100.77"), 24};
    route("198.51.100.0/24", kKernel);
    EXPECT_THAT(only(Finding::Kind::PublicNetwork),
                AllOf(HasSubstr("eth0"), HasSubstr("198.51.100.0/24")));
    EXPECT_TRUE(is_informational(Finding::Kind::PublicNetwork));
    EXPECT_FALSE(is_informational(Finding::Kind::InjectedRoute));
}

TEST_F(FindingsTest, AnIpv6NetworkOfAnUnusualSizeIsReported)
{
    snapshot_.links[1].addresses.push_back({address("2001:db8:60::10"), 48});
    only(Finding::Kind::PublicNetwork);
}

TEST_F(FindingsTest, NamesTheSourceOfAnInjectedRoute)
{
    route("198.51.100.0/24", kDhcp, "192.168.50.66");
    EXPECT_EQ(only(Finding::Kind::InjectedRoute),
              "a route leads 198.51.100.0/24 (public) past the tunnel: via 192.168.50.66 dev eth0, "
              "set by DHCP");
    snapshot_.main_routes.pop_back();
    route("2001:db8:99::/48", kRa, "fe80::66");
    EXPECT_THAT(only(Finding::Kind::InjectedRoute), HasSubstr("by a router advertisement"));
    snapshot_.main_routes.pop_back();
    route("198.51.100.20/32", kBoot, "192.168.50.1");
    EXPECT_THAT(only(Finding::Kind::InjectedRoute), HasSubstr("by another program"));
}

TEST_F(FindingsTest, PartsOfADefaultRouteAreReported)
{
    route("0.0.0.0/1", kDhcp, "192.168.50.1");
    route("128.0.0.0/1", kDhcp, "192.168.50.1");
    const auto found = look();
    ASSERT_EQ(found.size(), 2U);
    for (const auto& finding : found) {
        EXPECT_THAT(finding.text, HasSubstr("a piece of the default route"));
    }
}

TEST_F(FindingsTest, ARouteToAServerIsTheTunnelProgramsUnlessTheNetworkSetIt)
{
    route("203.0.113.2/32", kDhcp, "192.168.50.66");
    EXPECT_THAT(only(Finding::Kind::InjectedRoute), HasSubstr("with a VPN server"));
}

TEST_F(FindingsTest, PrivateRoutesAreReportedInTunnelNetworks)
{
    route("10.99.7.0/24", kDhcp, "192.168.50.66");
    EXPECT_THAT(only(Finding::Kind::InjectedRoute), HasSubstr("inside a tunnel"));
    snapshot_.main_routes.pop_back();
    route("10.8.0.1/32", kDhcp, "192.168.50.66");
    EXPECT_THAT(only(Finding::Kind::InjectedRoute), HasSubstr("with a tunnel's resolver"));
    snapshot_.main_routes.pop_back();
    route("10.200.0.0/16", kDhcp, "192.168.50.66");
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, AdvertisedOnLinkPrefixesAreReported)
{
    route("2001:db8:99::/64", kKernel);
    route("2001:db8::/32", kKernel);
    EXPECT_EQ(look().size(), 2U);
}

TEST_F(FindingsTest, AnOverlapIsReportedAlsoAfterTheTunnel)
{
    snapshot_.links[1].addresses.front() = {address("10.99.3.4"), 24};
    EXPECT_EQ(only(Finding::Kind::Overlap), "the network of eth0, 10.99.3.0/24, overlaps "
                                            "10.99.0.0/16 inside a tunnel, which has precedence");
    state_.tunnels.clear();
    state_.inside = {{device("tun0"), {*IpPrefix::parse("10.99.0.0/16")}}};
    only(Finding::Kind::Overlap);
}

TEST_F(FindingsTest, AnUnverifiedAddressIsReported)
{
    auto& addresses = state_.servers.front().addresses;
    addresses.push_back({.address = address("198.51.100.66"), .unverified = true});
    EXPECT_THAT(only(Finding::Kind::DoubtfulServer),
                AllOf(HasSubstr("vpn.example.net"), HasSubstr("198.51.100.66")));
    // The first look-up of all: there is nothing to doubt it by.
    addresses.front().unverified = true;
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, APrivateAddressOfAServersNameIsReported)
{
    auto& addresses = state_.servers.front().addresses;
    for (const char* lie : {"192.168.50.66", "169.254.1.1", "127.0.0.1", "fe80::66", "fd00::66"}) {
        addresses.push_back({.address = address(lie)});
        EXPECT_THAT(only(Finding::Kind::PrivateServer), HasSubstr(lie));
        addresses.pop_back();
    }
    // Who writes an address means it.
    state_.servers.push_back({*Remote::parse("192.168.50.66:1194/udp"), {}, {}});
    EXPECT_THAT(look(), IsEmpty());
}

TEST_F(FindingsTest, AMissingDeviceInForwardIsReported)
{
    add_link("virbr0");
    config_.forward = {device("virbr0"), device("virbr1")};
    EXPECT_THAT(only(Finding::Kind::MissingDevice), HasSubstr("virbr1"));
}

TEST_F(FindingsTest, AnUplinkOrTunnelInForwardIsReported)
{
    config_.forward = {device("eth0")};
    EXPECT_EQ(only(Finding::Kind::UnfitDevice),
              "forward names eth0, which a default route leads over: it is passed over");
    config_.forward = {device("tun0")};
    EXPECT_EQ(only(Finding::Kind::UnfitDevice),
              "forward names tun0, which is a tunnel: it is passed over");
    // One that is not there may have been both.
    snapshot_.links.pop_back();
    only(Finding::Kind::MissingDevice);
}

TEST_F(FindingsTest, PublicNetworksInLan)
{
    config_.lan.kind = LanPolicy::Kind::List;
    for (const char* text : {"192.168.0.0/16", "10.1.2.3/32", "fd00::/8", "fe80::/10",
                             "100.64.0.0/10", "239.0.0.0/8", "ff02::/16"}) {
        config_.lan.prefixes.push_back(IpPrefix::parse(text).value());
    }
    EXPECT_THAT(look(), IsEmpty());
    for (const char* text : {"8.8.8.0/24", "192.0.0.0/8", "2001:db8:7::/48"}) {
        config_.lan.prefixes.push_back(IpPrefix::parse(text).value());
    }
    const auto found = look();
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(to_string(found[0].kind), "public-lan");
    EXPECT_FALSE(is_informational(found[0].kind));
    EXPECT_EQ(found[0].text,
              "lan=8.8.8.0/24 is not a private network: packets to it leave outside the tunnel");
    EXPECT_THAT(found[1].text, HasSubstr("lan=192.0.0.0/8 is not"));
    EXPECT_THAT(found[2].text, HasSubstr("lan=2001:db8:7::/48 is not"));
}

// As with stunnel before OpenVPN. Version 0.2.0 read it, and an upgrade must not make the
// configuration invalid.
TEST_F(FindingsTest, ConfiguredServersOnThisMachine)
{
    const std::string text = "[failclosed]\nserver=127.0.0.1:1194/tcp;203.0.113.2:443/tcp\n";
    config_ = read_config(std::array{ConfigText{"test.conf", text}}).value();
    const auto found = look();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(to_string(found[0].kind), "local-server");
    EXPECT_EQ(found[0].text, "server=127.0.0.1:1194/tcp is a program on this machine: name the "
                             "server that this program connects to");
}

TEST(ForeignRules, OnlyThoseThatCanLeadPacketsPastLockTwoAreFindings)
{
    constexpr std::uint32_t kLocal = 255;
    constexpr std::uint32_t kMain = 254;
    EXPECT_THAT(findings_of_rules({{.priority = 0, .table = kLocal},
                                   {.priority = 4978, .ends = true},
                                   {.priority = 5210, .table = 52},
                                   {.priority = 32766, .table = kMain}}),
                IsEmpty());
    const auto found = findings_of_rules({{.priority = 4978, .table = 51820},
                                          {Family::V6, 4977, kMain},
                                          {.priority = 5011, .jump = 32766}});
    ASSERT_EQ(found.size(), 3U);
    for (const auto& finding : found) {
        EXPECT_EQ(to_string(finding.kind), "foreign-rule");
        EXPECT_FALSE(is_informational(finding.kind));
    }
    EXPECT_THAT(found[0].text, AllOf(HasSubstr("rule 4978 of another program (lookup 51820"),
                                     HasSubstr(": ip rule del pref 4978")));
    EXPECT_THAT(found[1].text,
                AllOf(HasSubstr("(lookup main"), HasSubstr(": ip -6 rule del pref 4977")));
    EXPECT_THAT(found[2].text, HasSubstr("(goto 32766"));
}

} // namespace
} // namespace failclosed
