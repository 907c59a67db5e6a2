// SPDX-License-Identifier: GPL-3.0-or-later
// How often the network is asked for servers, and for which of them.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/plan/names/lookups.hpp"
#include "core/plan/next_state.hpp"

namespace failclosed {
namespace {

constexpr Seconds kNow = std::chrono::days(20000);

HostName name(const char* text)
{
    return HostName::parse(text).value();
}

Server server(const char* remote, std::vector<LearntAddress> addresses = {})
{
    return {Remote::parse(remote).value(), {}, std::move(addresses)};
}

LearntAddress learnt(const char* address, bool unverified, Seconds seen = kNow)
{
    return {IpAddress::parse(address).value(), seen, false, unverified};
}

/// A name without an address, one whose address is unverified, one with a verified one beside, and
/// a server by address.
State four_servers()
{
    State state;
    state.servers = {server("none.example:1194/udp"),
                     server("doubtful.example:1194/udp", {learnt("203.0.113.7", true)}),
                     server("known.example:1194/udp",
                            {learnt("203.0.113.8", false), learnt("203.0.113.9", true)}),
                     server("203.0.113.2:1194/udp", {learnt("203.0.113.2", false)})};
    return state;
}

using Names = std::vector<HostName>;

const Names all{name("doubtful.example"), name("known.example"), name("none.example")};
const Names unverified{name("doubtful.example"), name("none.example")};
const LookupRound long_tried{.waited = kReturnTime, .is_silent = false, .is_tried = true};

TEST(Lookups, DelaysDoubleUpToFiveMinutes)
{
    std::vector<long> delays;
    for (unsigned attempt = 0; attempt < 10; ++attempt) {
        delays.push_back(lookup_delay(attempt).count());
    }
    EXPECT_EQ(delays, (std::vector<long>{2, 4, 8, 16, 32, 64, 128, 256, 300, 300}));
    EXPECT_EQ(lookup_delay(~0U), kLongestLookupDelay);
}

TEST(Lookups, NamesAreGroupedByTheirAddresses)
{
    EXPECT_EQ(server_names(four_servers()), all);
    EXPECT_EQ(unverified_names(four_servers()), unverified);
    EXPECT_EQ(names_without_address(four_servers()), Names{name("none.example")});
    State other_family;
    other_family.servers = {server("v6.example:1194/udp6", {learnt("203.0.113.8", false)})};
    EXPECT_EQ(unverified_names(other_family), Names{name("v6.example")})
        << "an address that the remote cannot use";
}

TEST(Lookups, WithoutATunnelOnlyUnverifiedNamesAreQueriedAtOnce)
{
    const State state = four_servers();
    EXPECT_EQ(names_past_tunnel(state, {}, {}), unverified);
    EXPECT_EQ(names_past_tunnel(state, {}, {.waited = kReturnTime}), unverified)
        << "no program tries to reach a server";
    EXPECT_EQ(names_past_tunnel(state, {}, {.waited = kReturnTime - Seconds(1), .is_tried = true}),
              unverified);
    EXPECT_EQ(names_past_tunnel(state, {}, long_tried), all);
    EXPECT_TRUE(needs_lookups(state, {}, {}));
}

TEST(Lookups, WithATunnelOnlyNamesWithoutAnAddressAreQueried)
{
    State state = four_servers();
    state.tunnels.push_back({.interface = InterfaceName::parse("tun0").value()});
    EXPECT_EQ(names_past_tunnel(state, {}, long_tried), Names{name("none.example")});
    EXPECT_FALSE(needs_lookups(state, {}, long_tried));
    LookupRound silent = long_tried;
    silent.is_silent = true;
    EXPECT_TRUE(needs_lookups(state, {}, silent));
    EXPECT_EQ(names_past_tunnel(state, {}, silent), all);
    silent.waited = Seconds{0};
    EXPECT_EQ(names_past_tunnel(state, {}, silent), Names{name("none.example")});
}

TEST(Lookups, NoNameIsQueriedIfForbiddenOrOpen)
{
    State state = four_servers();
    Config forbidden;
    forbidden.bootstrap_dns = false;
    EXPECT_EQ(names_past_tunnel(state, forbidden, long_tried), Names{});
    EXPECT_FALSE(needs_lookups(state, forbidden, {}));
    state.armed = Armed::No;
    EXPECT_EQ(names_past_tunnel(state, {}, long_tried), Names{});
    EXPECT_FALSE(needs_lookups(state, {}, {}));
    State by_address;
    by_address.servers = {server("203.0.113.2:1194/udp", {learnt("203.0.113.2", false)})};
    EXPECT_FALSE(needs_lookups(by_address, {}, {}));
}

TEST(Lookups, AreDueAfterARunByTunnelAddressAndReconnection)
{
    State state = four_servers();
    const auto due = [&](LookupTime time, bool reconnecting = false, const Config& config = {}) {
        return is_lookup_due(time, state, config, reconnecting);
    };
    Config forbidden;
    forbidden.bootstrap_dns = false;
    state.servers.erase(state.servers.begin());
    for (const auto time : {LookupTime::Now, LookupTime::Later}) {
        EXPECT_TRUE(due(time));
        EXPECT_FALSE(due(time, true, forbidden));
    }
    EXPECT_TRUE(due(LookupTime::InTunnel, false, forbidden));
    state.tunnels = {Tunnel{.interface = InterfaceName::parse("tun0").value()}};
    EXPECT_FALSE(due(LookupTime::Now));
    EXPECT_TRUE(due(LookupTime::Now, true));
    EXPECT_TRUE(due(LookupTime::InTunnel));
    state.servers.push_back(server("none.example:1194/udp"));
    EXPECT_TRUE(due(LookupTime::Now)) << "a name has no address";
    EXPECT_TRUE(due(LookupTime::Now, false, forbidden)) << "the tunnel may be asked";
    state.armed = Armed::No;
    EXPECT_FALSE(due(LookupTime::InTunnel, true));
    state = {};
    state.servers = {server("203.0.113.2:1194/udp", {learnt("203.0.113.2", false)})};
    EXPECT_FALSE(due(LookupTime::InTunnel)) << "there is no name";
}

TEST(Lookups, ANetworkNeedsARouteOutsideTheTunnels)
{
    State state;
    Snapshot snapshot;
    snapshot.links = {{.name = InterfaceName::parse("eth0").value(), .index = 2},
                      {.name = InterfaceName::parse("tun0").value(), .index = 3}};
    EXPECT_FALSE(has_network(state, snapshot));
    snapshot.main_routes = {{IpPrefix::parse("fe80::/64").value(), 2, {}, 0},
                            {IpPrefix::any(Family::V4), 3, {}, 0},
                            {IpPrefix::any(Family::V4), 9, {}, 0}};
    state.tunnels = {Tunnel{.interface = snapshot.links[1].name}};
    EXPECT_FALSE(has_network(state, snapshot));
    snapshot.main_routes.push_back({IpPrefix::parse("192.168.50.0/24").value(), 2, {}, 0});
    EXPECT_TRUE(has_network(state, snapshot));
}

TEST(Lookups, TheNextOneComesAfterTheDelayASignInOrAnExpiry)
{
    Snapshot snapshot;
    snapshot.now = kNow;
    snapshot.uptime = Seconds{5000};
    State state;
    state.servers = {server("none.example:1194/udp")};
    EXPECT_EQ(next_lookup(state, snapshot, 0), Seconds{2});
    EXPECT_EQ(next_lookup(state, snapshot, 8), kLongestLookupDelay);
    state.portal = Portal{.until = Seconds{5060}};
    EXPECT_EQ(next_lookup(state, snapshot, 8), Seconds{61});
    EXPECT_EQ(next_lookup(state, snapshot, 0), Seconds{2});
    state.portal->until = Seconds{4999};
    EXPECT_EQ(next_lookup(state, snapshot, 8), kLongestLookupDelay) << "it is over";
    state.portal.reset();
    state.servers.front().addresses = {
        learnt("203.0.113.7", true, kNow - kUnverifiedLifetime + Seconds(20))};
    EXPECT_EQ(next_lookup(state, snapshot, 8), Seconds{21});
    state.servers.front().addresses = {learnt("203.0.113.7", false)};
    EXPECT_EQ(next_lookup(state, snapshot, 0), kReturnTime);
    EXPECT_EQ(next_lookup(state, snapshot, 8), kLongestLookupDelay);
}

} // namespace
} // namespace failclosed
