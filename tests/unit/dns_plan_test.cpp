// SPDX-License-Identifier: GPL-3.0-or-later
// Which resolvers are asked.
#include <gtest/gtest.h>

#include "core/plan/names/dns.hpp"

namespace failclosed {
namespace {

std::vector<IpAddress> addresses(std::initializer_list<const char*> texts)
{
    std::vector<IpAddress> parsed;
    for (const char* text : texts) {
        parsed.push_back(*IpAddress::parse(text));
    }
    return parsed;
}

std::vector<HostName> names(std::initializer_list<const char*> texts)
{
    std::vector<HostName> parsed;
    for (const char* text : texts) {
        parsed.push_back(*HostName::parse(text));
    }
    return parsed;
}

Tunnel tunnel(const char* interface, std::initializer_list<const char*> resolvers,
              std::initializer_list<const char*> domains = {})
{
    return {.interface = *InterfaceName::parse(interface),
            .resolvers = addresses(resolvers),
            .search_domains = names(domains)};
}

DnsPlan plan(std::vector<Tunnel> tunnels, const Config& config = {})
{
    State state;
    state.tunnels = std::move(tunnels);
    return plan_dns(state, config);
}

TEST(DnsPlan, WithoutTunnelsOrResolversThePlanIsEmpty)
{
    Config config;
    config.dns_servers = addresses({"192.0.2.53"});
    EXPECT_EQ(plan({}), DnsPlan());
    EXPECT_EQ(plan({}, config), DnsPlan());
    EXPECT_EQ(plan({tunnel("tun0", {}, {"corp.example"})}), DnsPlan());
}

TEST(DnsPlan, KeepsOrderAndDropsRepetitions)
{
    const DnsPlan dns = plan({tunnel("tun0", {"10.8.0.1", "2001:db8::53", "10.8.0.1"},
                                     {"b.example", "a.example", "b.example"})});
    EXPECT_EQ(dns.tunnels.at(0).resolvers, addresses({"10.8.0.1", "2001:db8::53"}));
    EXPECT_EQ(dns.tunnels.at(0).search_domains, names({"b.example", "a.example"}));
}

TEST(DnsPlan, TheFirstTunnelThatHasResolversComesFirst)
{
    const DnsPlan dns =
        plan({tunnel("tun0", {}, {"lost.example"}), tunnel("tun1", {"10.1.0.1"}, {"one.example"}),
              tunnel("tun2", {"10.2.0.1", "10.1.0.1"}, {"two.example"})});
    ASSERT_EQ(dns.tunnels.size(), 2U);
    EXPECT_EQ(dns.tunnels[0].interface.text(), "tun1");
    EXPECT_EQ(dns.resolvers(), addresses({"10.1.0.1", "10.2.0.1"}));
    EXPECT_EQ(dns.search_domains(), names({"one.example", "two.example"}));
}

TEST(DnsPlan, ConfiguredResolversReplacePushedOnes)
{
    Config config;
    config.dns_servers = addresses({"192.0.2.53"});
    const DnsPlan dns = plan({tunnel("tun0", {"10.8.0.1"}), tunnel("tun1", {})}, config);
    ASSERT_EQ(dns.tunnels.size(), 2U);
    EXPECT_EQ(dns.resolvers(), config.dns_servers);
}

TEST(DnsPlan, OnlyTheAdministratorMayNameALoopbackResolver)
{
    Config config;
    config.dns_servers = addresses({"127.0.0.1"});
    EXPECT_EQ(plan({tunnel("tun0", {})}, config).resolvers(), config.dns_servers);
    EXPECT_EQ(plan({tunnel("tun0", {"127.0.0.1"})}), DnsPlan());
}

// The firewall takes what root sends there for the tunnel program's own packets.
TEST(DnsPlan, AResolverAtTheAddressAndPortOfAServerIsNotUsed)
{
    State state;
    state.tunnels = {tunnel("tun0", {"203.0.113.2", "203.0.113.3", "10.8.0.1"})};
    state.servers = {{*Remote::parse("203.0.113.2:53/udp"), {}, {}},
                     {*Remote::parse("203.0.113.3:1194/udp"), {}, {}}};
    EXPECT_EQ(plan_dns(state, {}).resolvers(), addresses({"203.0.113.3", "10.8.0.1"}));
    Config config;
    config.dns_servers = addresses({"203.0.113.2", "10.8.0.1"});
    EXPECT_EQ(plan_dns(state, config).resolvers(), addresses({"10.8.0.1"}));
}

class HostileResolver : public testing::TestWithParam<const char*> {};

TEST_P(HostileResolver, IsNotUsed)
{
    EXPECT_EQ(plan({tunnel("tun0", {GetParam(), "10.8.0.1"})}).resolvers(),
              addresses({"10.8.0.1"}));
    EXPECT_EQ(plan({tunnel("tun0", {GetParam()})}), DnsPlan());
}

INSTANTIATE_TEST_SUITE_P(Addresses, HostileResolver,
                         testing::Values("127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::",
                                         "224.0.0.251", "ff02::fb", "169.254.169.254", "fe80::1",
                                         "255.255.255.255", "0.1.2.3", "::ffff:127.0.0.1"));

} // namespace
} // namespace failclosed
