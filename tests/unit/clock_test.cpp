// SPDX-License-Identifier: GPL-3.0-or-later
// A clock that is wrong, jumps, or is set by others: it opens nothing, and locks out no server.
#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "core/plan/firewall/firewall.hpp"
#include "core/plan/next_state.hpp"

namespace failclosed {
namespace {

using std::chrono::days;

constexpr Seconds kNow = days(20000);
constexpr Seconds kYear = days(365);
/// Power-on without a battery, the days before and after, 2038, and the end of all counting.
constexpr Seconds kOddTimes[] = {Seconds{0},
                                 Seconds{1},
                                 kNow - 40 * kYear,
                                 kNow - days(1),
                                 kNow + days(1),
                                 kNow + days(31),
                                 Seconds{std::numeric_limits<std::int32_t>::max()},
                                 Seconds{std::numeric_limits<std::int32_t>::max()} + Seconds{1},
                                 kNow + 1000 * kYear,
                                 Seconds{std::numeric_limits<std::int64_t>::max()}};

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

Remote remote(const char* text)
{
    return Remote::parse(text).value();
}

Snapshot at(Seconds now)
{
    Snapshot snapshot;
    snapshot.now = now;
    snapshot.uptime = Seconds{5000};
    snapshot.links = {{.name = InterfaceName::parse("lo").value(), .loopback = true},
                      {.name = InterfaceName::parse("tun0").value(), .can_be_tunnel = true}};
    return snapshot;
}

HostName name()
{
    return HostName::parse("vpn.example.net").value();
}

/// A tunnel to a server of a name with two addresses; the one of them has answered.
State connected(Seconds now)
{
    TunnelUp up{Tunnel{.interface = InterfaceName::parse("tun0").value()}, {}, {}};
    up.tunnel.addresses = {{address("10.8.0.2"), 24}};
    up.servers = {{remote("vpn.example.net:1194/udp"), {}, {}}};
    up.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    const State state = next_state({}, up, {}, at(now));
    return next_state(state, ServersResolved{{{name(), {address("203.0.113.3")}}}}, {}, at(now));
}

Config with_server()
{
    Config config;
    config.servers = {remote("203.0.113.9:1194/udp")};
    return config;
}

bool knows(const State& state, const char* text)
{
    for (const auto& server : state.servers) {
        if (std::ranges::find(server.addresses, address(text), &LearntAddress::address) !=
            server.addresses.end()) {
            return true;
        }
    }
    return false;
}

class Clock : public testing::TestWithParam<Seconds> {};

TEST_P(Clock, NeitherOpensNorEndsATunnel)
{
    const State before = connected(kNow);
    const State after = next_state(before, ReapplyRequested{}, {}, at(GetParam()));
    EXPECT_EQ(after.armed, Armed::Yes);
    EXPECT_EQ(after.tunnels, before.tunnels);
    EXPECT_EQ(after.inside, before.inside);
}

TEST_P(Clock, KeepsTheServerThatAnsweredLastAndThoseThatAreConfigured)
{
    const State there =
        next_state(connected(kNow), ReapplyRequested{}, with_server(), at(GetParam()));
    EXPECT_TRUE(knows(there, "203.0.113.2"));
    EXPECT_TRUE(knows(there, "203.0.113.9"));
    // And after the clock was corrected.
    const State back = next_state(there, ReapplyRequested{}, with_server(), at(kNow));
    EXPECT_TRUE(knows(back, "203.0.113.2"));
    EXPECT_TRUE(knows(back, "203.0.113.9"));
}

// The machine starts without the time, connects, and is told it through the tunnel.
TEST_P(Clock, CorrectedAfterBootKeepsServersThatAnswered)
{
    const State there = connected(GetParam());
    const State right = next_state(there, ReapplyRequested{}, with_server(), at(kNow));
    EXPECT_TRUE(knows(right, "203.0.113.2"));
    EXPECT_EQ(right.tunnels, there.tunnels);
    // Its other address is looked up again inside of the tunnel.
    const State again =
        next_state(right, ServersResolved{{{name(), {address("203.0.113.3")}}}}, {}, at(kNow));
    EXPECT_TRUE(knows(again, "203.0.113.3"));
}

TEST_P(Clock, MakesNoDifferenceToAnyRule)
{
    const Snapshot snapshot = at(GetParam());
    const State state = connected(kNow);
    EXPECT_EQ(plan_firewall(state, {}, snapshot), plan_firewall(state, {}, at(kNow)));
}

// How long a sign-in lasts is counted from the start of the machine.
TEST_P(Clock, NeitherProlongsNorEndsASignIn)
{
    const PortalRequested request{1000, {}, {address("192.168.50.1")}, Seconds{600}};
    State state = next_state({}, request, {}, at(kNow));
    ASSERT_TRUE(state.portal);
    const auto until = state.portal->until;
    Snapshot snapshot = at(GetParam());
    state = next_state(state, ReapplyRequested{}, {}, snapshot);
    ASSERT_TRUE(state.portal);
    EXPECT_EQ(state.portal->until, until);
    snapshot.uptime = until + Seconds{1};
    EXPECT_FALSE(next_state(state, ReapplyRequested{}, {}, snapshot).portal);
}

INSTANTIATE_TEST_SUITE_P(Times, Clock, testing::ValuesIn(kOddTimes));

TEST(ClockThatWasAhead, KeepsAddressesUntilTheirTime)
{
    const State ahead = connected(kNow + kYear);
    const auto later = [&](Seconds now) {
        return knows(next_state(ahead, ReapplyRequested{}, {}, at(now)), "203.0.113.3");
    };
    EXPECT_TRUE(later(kNow));
    EXPECT_TRUE(later(kNow + days(31))) << "longer than it should be, rather than not at all";
    EXPECT_FALSE(later(kNow + kYear + days(31)));
}

} // namespace
} // namespace failclosed
