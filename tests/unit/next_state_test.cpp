// SPDX-License-Identifier: GPL-3.0-or-later
// The state machine: what arms, what opens, what is remembered and what expires.
#include <gtest/gtest.h>

#include "core/plan/names/lookups.hpp"
#include "core/plan/next_state.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {
namespace {

constexpr Seconds kNow = std::chrono::days(20000);

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

Remote remote(const char* text)
{
    return Remote::parse(text).value();
}

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

Tunnel tunnel(const char* name)
{
    Tunnel made{.interface = device(name)};
    made.addresses = {{address("10.8.0.2"), 24}};
    return made;
}

Snapshot snapshot_with(const std::vector<const char*>& names, Seconds now = kNow)
{
    Snapshot snapshot;
    snapshot.now = now;
    for (const char* name : names) {
        const bool loopback = std::string_view(name) == "lo";
        snapshot.links.push_back(
            {.name = device(name), .loopback = loopback, .can_be_tunnel = !loopback});
    }
    return snapshot;
}

State open_state()
{
    State state;
    state.armed = Armed::No;
    return state;
}

TunnelUp tunnel_up(const char* name, const std::vector<Server>& servers = {})
{
    return {tunnel(name), servers, {}};
}

TunnelFound found(const char* name)
{
    return {device(name), TunnelFound::Maker::Program, ProcessId{700, 7}};
}

PortalRequested sign_in()
{
    return {1000, {}, {address("192.168.50.1")}, Seconds{600}};
}

TEST(NextState, DefaultStateIsClosed)
{
    EXPECT_EQ(State{}.armed, Armed::Yes);
}

TEST(NextState, LockAndTunnelUpArm)
{
    const auto snapshot = snapshot_with({"lo", "tun0"});
    EXPECT_EQ(next_state(open_state(), LockRequested{}, {}, snapshot).armed, Armed::Yes);
    EXPECT_EQ(next_state(open_state(), tunnel_up("tun0"), {}, snapshot).armed, Armed::Yes);
}

TEST(NextState, OnlyUnlockDisarms)
{
    const auto snapshot = snapshot_with({"lo", "tun0"});
    const std::vector<Event> others = {
        ReapplyRequested{},         LockRequested{},   tunnel_up("tun0"), TunnelRestarted{},
        TunnelDown{device("tun0")}, ServersResolved{}, PortalRequested{}, PortalEnded{}};
    for (const auto& event : others) {
        EXPECT_EQ(next_state(State{}, event, {}, snapshot).armed, Armed::Yes) << event.index();
    }
    EXPECT_EQ(next_state(State{}, UnlockRequested{}, {}, snapshot).armed, Armed::No);
}

TEST(NextState, OtherEventsDoNotArm)
{
    const auto snapshot = snapshot_with({"lo", "tun0"});
    const std::vector<Event> others = {
        ReapplyRequested{}, TunnelRestarted{}, TunnelDown{device("tun0")},
        ServersResolved{},  sign_in(),         PortalEnded{}};
    for (const auto& event : others) {
        EXPECT_EQ(next_state(open_state(), event, {}, snapshot).armed, Armed::No) << event.index();
    }
}

TEST(NextState, SameDeviceReplacesItsTunnelAndOthersStay)
{
    const auto snapshot = snapshot_with({"tun0", "tun1"});
    auto state = next_state({}, tunnel_up("tun0"), {}, snapshot);
    state = next_state(state, tunnel_up("tun1"), {}, snapshot);
    auto again = tunnel_up("tun0");
    again.tunnel.addresses = {{address("10.8.0.7"), 24}};
    state = next_state(state, again, {}, snapshot);
    ASSERT_EQ(state.tunnels.size(), 2U);
    EXPECT_EQ(state.tunnels[0], again.tunnel);
    EXPECT_EQ(state.tunnels[1].interface, device("tun1"));
    state = next_state(state, TunnelDown{device("tun0")}, {}, snapshot);
    ASSERT_EQ(state.tunnels.size(), 1U);
    EXPECT_EQ(state.tunnels[0].interface, device("tun1"));
}

TEST(NextState, ATunnelWhoseNameAnotherDeviceHasTakenIsForgotten)
{
    State state;
    state.tunnels.push_back(tunnel("tun0"));
    auto snapshot = snapshot_with({"tun0"});
    const auto after = [&](const char* own) {
        snapshot.links[0].addresses.push_back({address(own), 24});
        return next_state(state, ReapplyRequested{}, {}, snapshot).tunnels.size();
    };
    EXPECT_EQ(next_state(state, ReapplyRequested{}, {}, snapshot).tunnels.size(), 1U)
        << "its addresses may still come";
    EXPECT_EQ(after("fe80::5"), 1U);
    EXPECT_EQ(after("10.9.0.2"), 0U);
    EXPECT_EQ(after("10.8.0.2"), 1U);
}

TEST(NextState, TunnelsWhoseDeviceIsGoneAreForgottenAndServersAreNot)
{
    auto state = next_state({}, tunnel_up("tun0", {{remote("203.0.113.2:1194/udp"), {}, {}}}), {},
                            snapshot_with({"tun0"}));
    state = next_state(state, ReapplyRequested{}, {}, snapshot_with({"lo"}));
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_EQ(state.servers.size(), 1U);
}

TEST(NextState, ADeviceThatIsNoTunnelIsForgotten)
{
    auto snapshot = snapshot_with({"tun0"});
    auto state = next_state({}, tunnel_up("tun0"), {}, snapshot);
    snapshot.links.front().can_be_tunnel = false;
    EXPECT_TRUE(next_state(state, ReapplyRequested{}, {}, snapshot).tunnels.empty());
}

TEST(NextState, UnlockRemembersTunnelsAndServers)
{
    auto state = next_state({}, tunnel_up("tun0", {{remote("203.0.113.2:1194/udp"), {}, {}}}), {},
                            snapshot_with({"tun0"}));
    state = next_state(state, UnlockRequested{}, {}, snapshot_with({"tun0"}));
    EXPECT_EQ(state.armed, Armed::No);
    EXPECT_EQ(state.tunnels.size(), 1U);
    EXPECT_EQ(state.servers.size(), 1U);
}

TEST(NextState, TunnelNetworksAreRememberedUntilUnlock)
{
    TunnelUp event = tunnel_up("tun0");
    event.tunnel.networks = {IpPrefix::parse("10.99.0.0/16").value(),
                             IpPrefix::parse("0.0.0.0/1").value()};
    event.tunnel.resolvers = {address("10.98.0.1")};
    const std::vector<IpPrefix> inside = {IpPrefix::parse("10.8.0.0/24").value(),
                                          IpPrefix::parse("10.98.0.1/32").value(),
                                          IpPrefix::parse("10.99.0.0/16").value()};
    auto state = next_state({}, event, {}, snapshot_with({"tun0"}));
    EXPECT_EQ(tunnel_networks(Family::V4, state), inside);
    state = next_state(state, ReapplyRequested{}, {}, snapshot_with({"lo"}));
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_EQ(tunnel_networks(Family::V4, state), inside) << "after its device is gone";

    event.tunnel.networks.clear();
    event.tunnel.resolvers.clear();
    state = next_state(state, event, {}, snapshot_with({"tun0"}));
    state = next_state(state, TunnelDown{device("tun0")}, {}, snapshot_with({"tun0"}));
    EXPECT_EQ(tunnel_networks(Family::V4, state),
              std::vector{IpPrefix::parse("10.8.0.0/24").value()});
    state = next_state(state, UnlockRequested{}, {}, snapshot_with({"tun0"}));
    EXPECT_TRUE(tunnel_networks(Family::V4, state).empty());
}

TEST(NextState, ALateEndKeepsTheDeviceOfItsNextOwner)
{
    TunnelUp event = tunnel_up("tun0");
    event.tunnel.owner = ProcessId{200, 5};
    auto state = next_state({}, event, {}, snapshot_with({"tun0"}));
    state = next_state(state, TunnelDown{device("tun0"), ProcessId{100, 4}}, {},
                       snapshot_with({"tun0"}));
    EXPECT_EQ(state.tunnels.size(), 1U);
    state = next_state(state, TunnelDown{device("tun0"), ProcessId{200, 5}}, {},
                       snapshot_with({"tun0"}));
    EXPECT_TRUE(state.tunnels.empty());
}

TEST(NextState, TheAddressThatAnsweredIsStoredWithItsOnlyPossibleName)
{
    TunnelUp event = tunnel_up("tun0", {{remote("vpn.example.net:1194/udp"), {}, {}},
                                        {remote("vpn.example.net:443/tcp"), {}, {}}});
    event.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    const auto state = next_state({}, event, {}, snapshot_with({"tun0"}));
    ASSERT_EQ(state.servers.size(), 2U);
    for (const auto& server : state.servers) {
        if (server.remote.transport == Transport::Udp) {
            EXPECT_EQ(server.addresses,
                      (std::vector<LearntAddress>{{address("203.0.113.2"), kNow, true}}));
        } else {
            EXPECT_TRUE(server.addresses.empty());
        }
    }
}

TEST(NextState, WithSeveralNamesTheAddressThatAnsweredIsItsOwnServer)
{
    TunnelUp event = tunnel_up("tun0", {{remote("a.example.net:1194/udp"), {}, {}},
                                        {remote("b.example.net:1194/udp"), {}, {}}});
    event.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    const auto state = next_state({}, event, {}, snapshot_with({"tun0"}));
    ASSERT_EQ(state.servers.size(), 3U);
    EXPECT_EQ(std::get<IpAddress>(state.servers.front().remote.host), address("203.0.113.2"));
    for (const auto& server : state.servers) {
        EXPECT_EQ(server.addresses.empty(), server.remote.name() != nullptr);
    }
}

TEST(NextState, ResolvedAddressesAreAddedToTheirNameOnly)
{
    auto state = next_state({},
                            tunnel_up("tun0", {{remote("a.example.net:1194/udp"), {}, {}},
                                               {remote("b.example.net:1194/udp"), {}, {}}}),
                            {}, snapshot_with({"tun0"}));
    const ServersResolved event{
        {{HostName::parse("a.example.net").value(),
          {address("203.0.113.2"), address("2001:db8:113::2"), address("127.0.0.1"), address("::1"),
           address("224.0.0.1"), address("0.0.0.0"), address("fe80::1")}}}};
    state = next_state(state, event, {}, snapshot_with({"tun0"}));
    ASSERT_EQ(state.servers.size(), 2U);
    EXPECT_EQ(state.servers[0].endpoints().size(), 2U);
    EXPECT_TRUE(state.servers[1].endpoints().empty());
}

TEST(NextState, OldAddressesExpireButNeverTheLastOneThatWorked)
{
    TunnelUp event = tunnel_up("tun0", {{remote("vpn.example.net:1194/udp"), {}, {}}});
    event.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    auto state = next_state({}, event, {}, snapshot_with({"tun0"}));
    state = next_state(state,
                       ServersResolved{{{HostName::parse("vpn.example.net").value(),
                                         {address("203.0.113.3"), address("203.0.113.4")}}}},
                       {}, snapshot_with({"tun0"}));
    ASSERT_EQ(state.servers.front().addresses.size(), 3U);
    const Config config;
    const auto later = kNow + config.server_expiry + Seconds(1);
    state = next_state(state, ReapplyRequested{}, config, snapshot_with({"tun0"}, later));
    EXPECT_EQ(state.servers.front().addresses,
              (std::vector<LearntAddress>{{address("203.0.113.2"), kNow, true}}));
}

TEST(NextState, AServerByAddressExpires)
{
    auto state = next_state({}, LockRequested{{{remote("203.0.113.9:1194/udp"), {}, {}}}, false},
                            {}, snapshot_with({}));
    EXPECT_EQ(state.servers.size(), 1U);
    const auto later = kNow + Config{}.server_expiry + Seconds(1);
    state = next_state(state, ReapplyRequested{}, {}, snapshot_with({}, later));
    EXPECT_TRUE(state.servers.empty());
}

TEST(NextState, ConfiguredServersAreAlwaysKnownWhileLocked)
{
    Config config;
    config.servers = {remote("203.0.113.9:1194/udp")};
    const auto later = kNow + config.server_expiry + Seconds(1);
    EXPECT_EQ(next_state({}, ReapplyRequested{}, config, snapshot_with({}, later)).servers.size(),
              1U);
    EXPECT_TRUE(
        next_state(open_state(), ReapplyRequested{}, config, snapshot_with({})).servers.empty());
}

TEST(NextState, RepeatingAnEventChangesNothing)
{
    TunnelUp event = tunnel_up("tun0", {{remote("vpn.example.net:1194/udp"), {}, {}},
                                        {remote("203.0.113.3:1194/udp"), {}, {}}});
    event.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    const auto once = next_state({}, event, {}, snapshot_with({"tun0"}));
    EXPECT_EQ(next_state(once, event, {}, snapshot_with({"tun0"}, kNow + Seconds(60))), once);
}

TEST(NextState, RememberedEntriesAreBounded)
{
    LockRequested event;
    for (std::size_t i = 0; i < kMostServers + 10; ++i) {
        const auto text = "203." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) +
                          "." + std::to_string(i % 256) + ":1194/udp";
        event.servers.push_back({Remote::parse(text).value(), {}, {}});
    }
    EXPECT_EQ(next_state({}, event, {}, snapshot_with({})).servers.size(), kMostServers);
}

Snapshot with_program_tunnel(bool up = true)
{
    Snapshot snapshot = snapshot_with({"wg0"});
    Link& link = snapshot.links.front();
    link.index = 7;
    link.up = up;
    link.is_program_tunnel = true;
    link.addresses = {{address("10.9.0.2"), 32}, {address("fe80::2"), 64}};
    snapshot.main_routes = {{*IpPrefix::parse("10.9.0.0/16"), 7, std::nullopt, 0},
                            {*IpPrefix::parse("0.0.0.0/1"), 7, std::nullopt, 0},
                            {*IpPrefix::parse("fe80::/64"), 7, std::nullopt, 256},
                            {*IpPrefix::parse("10.10.0.0/16"), 8, std::nullopt, 0}};
    return snapshot;
}

TunnelUp program_tunnel_up()
{
    TunnelUp event = tunnel_up("wg0");
    event.tunnel.addresses = {{address("10.9.0.2"), 32}};
    return event;
}

TEST(NextState, AFoundTunnelIsReadFromTheKernel)
{
    const State state = next_state(State{}, found("wg0"), {}, with_program_tunnel());
    ASSERT_EQ(state.tunnels.size(), 1U);
    const Tunnel& found = state.tunnels.front();
    EXPECT_EQ(found.word, Tunnel::Word::Found);
    EXPECT_EQ(found.addresses, (std::vector<InterfaceAddress>{{address("10.9.0.2"), 32}}));
    EXPECT_EQ(found.networks, std::vector{*IpPrefix::parse("10.9.0.0/16")});
    Snapshot later = with_program_tunnel();
    later.links.front().addresses = {{address("10.9.0.3"), 32}};
    EXPECT_EQ(next_state(state, ReapplyRequested{}, {}, later).tunnels.front().addresses,
              (std::vector<InterfaceAddress>{{address("10.9.0.3"), 32}}));
    EXPECT_TRUE(
        next_state(state, UnderlayChanged{}, {}, with_program_tunnel(false)).tunnels.empty());
}

// Its program takes its routes away, and then the device: in between, what was sent there must not
// go to the local network of the same addresses.
TEST(NextState, NetworksOfAFoundTunnelAreKept)
{
    const Snapshot whole = with_program_tunnel();
    State state = next_state(State{}, found("wg0"), {}, whole);
    const auto inside = tunnel_networks(Family::V4, state);
    Snapshot without_routes = whole;
    without_routes.main_routes.clear();
    state = next_state(state, UnderlayChanged{}, {}, without_routes);
    EXPECT_EQ(tunnel_networks(Family::V4, state), inside);
    state = next_state(state, UnderlayChanged{}, {}, snapshot_with({}));
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_EQ(tunnel_networks(Family::V4, state), inside);
}

TEST(NextState, AnUnreadableKernelChangesNothing)
{
    const State state = next_state(State{}, found("wg0"), {}, with_program_tunnel());
    Snapshot assumed;
    assumed.now = kNow;
    assumed.links = {{.name = device("wg0"), .up = true, .can_be_tunnel = true}};
    EXPECT_EQ(next_state(state, UnderlayChanged{}, {}, assumed), state);
}

TEST(NextState, ProgramsWithTheSameServerAreAllAdmitted)
{
    const auto server = [](std::vector<uid_t> uids, std::optional<std::uint32_t> mark = {}) {
        return Server{remote("203.0.113.2:1194/udp"), {std::move(uids), mark}, {}};
    };
    const auto identity = [&](const std::vector<Server>& servers) {
        return next_state(State{}, LockRequested{servers}, {}, snapshot_with({}))
            .servers.front()
            .identity;
    };
    EXPECT_EQ(identity({server({0}), server({0, 104})}).uids, (std::vector<uid_t>{0, 104}));
    EXPECT_EQ(identity({server({0}), server({0}, 7)}), (Identity{{0}, {}})) << "the first counts";
    EXPECT_EQ(identity({server({0}, 7), server({0})}).mark, 7U);
}

TEST(NextState, AFoundTunnelNeitherArmsNorReplaces)
{
    EXPECT_EQ(next_state(open_state(), found("wg0"), {}, with_program_tunnel()), open_state());
    const State announced = next_state(State{}, program_tunnel_up(), {}, with_program_tunnel());
    EXPECT_EQ(next_state(announced, found("wg0"), {}, with_program_tunnel()), announced);
    Snapshot users = with_program_tunnel();
    users.links.front().is_program_tunnel = false;
    EXPECT_TRUE(next_state(State{}, found("wg0"), {}, users).tunnels.empty());
    EXPECT_TRUE(next_state(State{}, found("wg1"), {}, users).tunnels.empty());
}

TEST(NextState, ARefusedTunnelIsNotRemembered)
{
    const Snapshot snapshot = with_program_tunnel();
    TunnelUp refused = program_tunnel_up();
    refused.has_unusable_address = true;
    State state = next_state(State{}, found("wg0"), {}, snapshot);
    state = next_state(state, refused, {}, snapshot);
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_TRUE(state.inside.empty());
    EXPECT_EQ(state.refused, std::vector{device("wg0")});
    state = next_state(state, program_tunnel_up(), {}, snapshot);
    EXPECT_EQ(state.tunnels.size(), 1U);
    EXPECT_TRUE(state.refused.empty());
    state = next_state(state, refused, {}, snapshot);
    EXPECT_TRUE(state.tunnels.empty()) << "the device is another's by now";
    EXPECT_EQ(state.inside.size(), 1U) << "of the tunnel that it was before";
}

// A name that no device has, or a network card has, says nothing about a later tunnel.
TEST(NextState, ARefusalNeedsADeviceThatCanBeATunnel)
{
    Snapshot snapshot = with_program_tunnel();
    const State tunnel = next_state(State{}, found("wg0"), {}, snapshot);
    snapshot.links.front().can_be_tunnel = false;
    for (const Snapshot& seen : {snapshot, Snapshot{}}) {
        const State state = next_state(tunnel, program_tunnel_up(), {}, seen);
        EXPECT_TRUE(state.tunnels.empty());
        EXPECT_TRUE(state.inside.empty());
        EXPECT_TRUE(state.refused.empty());
    }
}

TEST(NextState, AnAnnouncedTunnelPrecedesAFoundOne)
{
    Snapshot snapshot = with_program_tunnel();
    snapshot.links.push_back({.name = device("tun0"), .can_be_tunnel = true});
    State state = next_state(State{}, found("wg0"), {}, snapshot);
    state = next_state(state, tunnel_up("tun0"), {}, snapshot);
    ASSERT_EQ(state.tunnels.size(), 2U);
    EXPECT_EQ(state.tunnels.front().interface, device("tun0"));
    state = next_state(state, tunnel_up("wg0"), {}, snapshot);
    EXPECT_EQ(state.tunnels.back().word, Tunnel::Word::Announced);
}

TEST(NextState, LeasesOfALockedMachineAreRemembered)
{
    const auto leased = [](const char* server) {
        return UnderlayChanged{device("eth0"),
                               server != nullptr ? IpAddress::parse(server) : std::nullopt};
    };
    std::vector<std::string> names;
    for (unsigned i = 0; i < 2 * kMostLeases; ++i) {
        names.push_back("eth" + std::to_string(i));
    }
    std::vector<const char*> pointers;
    for (const auto& name : names) {
        pointers.push_back(name.c_str());
    }
    const Snapshot snapshot = snapshot_with(pointers);
    EXPECT_EQ(next_state(open_state(), leased("192.0.2.1"), {}, snapshot), open_state());
    State state = next_state(State{}, leased("192.0.2.1"), {}, snapshot);
    state = next_state(state, leased("192.0.2.2"), {}, snapshot);
    state = next_state(state, UnderlayChanged{}, {}, snapshot);
    EXPECT_EQ(state.underlay.leases, (std::vector<Lease>{{device("eth0"), address("192.0.2.2")}}));
    for (const char* server : {"224.0.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255"}) {
        EXPECT_TRUE(next_state(state, leased(server), {}, snapshot).underlay.leases.empty());
    }
    EXPECT_TRUE(next_state(state, leased(nullptr), {}, snapshot).underlay.leases.empty());
    for (unsigned i = 0; i < 2 * kMostLeases; ++i) {
        state = next_state(
            state,
            UnderlayChanged{device(("eth" + std::to_string(i)).c_str()), address("192.0.2.1")}, {},
            snapshot);
    }
    EXPECT_EQ(state.underlay.leases.size(), kMostLeases);
}

TEST(NextState, ProgramsAndConfigurationsAreRememberedOnce)
{
    TunnelUp up = tunnel_up("tun0");
    up.tunnel.owner = ProcessId{7, 9};
    State state = next_state(State{}, up, {}, snapshot_with({"tun0"}));
    state = next_state(state, up, {}, snapshot_with({"tun0"}));
    state = next_state(state, TunnelDown{device("tun0")}, {}, snapshot_with({}));
    EXPECT_EQ(state.programs, (std::vector{Program{{7, 9}}}));
    up.connected = Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)};
    state = next_state(state, up, {}, snapshot_with({"tun0"}));
    up.connected.reset();
    state = next_state(state, up, {}, snapshot_with({"tun0"}));
    EXPECT_EQ(state.programs, (std::vector{Program{{7, 9}, address("203.0.113.2")}}))
        << "what is known of its server stays";
    const LockRequested lock{{}, false, {"/x.conf"}};
    state = next_state(next_state(state, lock, {}, snapshot_with({})), lock, {}, snapshot_with({}));
    EXPECT_EQ(state.openvpn_configs, std::vector<std::string>{"/x.conf"});
    LockRequested forget;
    forget.openvpn_configs = {"/y.conf"};
    forget.forgotten_configs = {"/x.conf", "/unknown.conf"};
    EXPECT_EQ(next_state(state, forget, {}, {}).openvpn_configs,
              std::vector<std::string>{"/y.conf"});
}

// For example to sign in to a captive portal: the tunnel is not announced a second time.
TEST(NextState, ATunnelThatOutlivesUnlockIsATunnelAgain)
{
    Snapshot snapshot = snapshot_with({"tun0", "tun1", "tun2"});
    snapshot.links[0].addresses = {{address("10.8.0.2"), 24}};
    snapshot.links[2].addresses = {{address("10.8.0.99"), 24}};
    State state = State{};
    for (const char* name : {"tun0", "tun1", "tun2"}) {
        state = next_state(state, tunnel_up(name), {}, snapshot);
    }
    state = next_state(state, UnlockRequested{}, {}, snapshot);
    EXPECT_EQ(state.armed, Armed::No);
    EXPECT_TRUE(state.inside.empty());
    const State locked = next_state(state, LockRequested{}, {}, snapshot);
    ASSERT_EQ(locked.tunnels.size(), 1U) << "the others' devices are others by now";
    EXPECT_EQ(locked.tunnels.front().interface, device("tun0"));
    EXPECT_EQ(locked.inside.size(), 1U);
    EXPECT_TRUE(next_state(state, LockRequested{}, {}, snapshot_with({})).tunnels.empty());
}

TEST(NextState, AReapplyLearnsServersOnlyIfArmed)
{
    const ReapplyRequested event{{{remote("203.0.113.9:1194/udp"), {}, {}}}};
    EXPECT_TRUE(next_state(open_state(), event, {}, snapshot_with({})).servers.empty());
    EXPECT_EQ(next_state(State{}, event, {}, snapshot_with({})).servers.size(), 1U);
    // Who was named before stays.
    const LockRequested by_user{{{remote("203.0.113.9:1194/udp"), {{1234}, {}}, {}}}};
    const LockRequested by_mark{{{remote("203.0.113.9:1194/udp"), {{0}, 7}, {}}}};
    const auto identity_after = [&](const LockRequested& lock) {
        const State state = next_state(State{}, lock, {}, snapshot_with({}));
        return next_state(state, event, {}, snapshot_with({})).servers.front().identity;
    };
    EXPECT_EQ(identity_after(by_user).uids, (std::vector<uid_t>{1234, 0}));
    EXPECT_EQ(identity_after(by_mark), (Identity{{0}, 7}));
}

class SignInTest : public testing::Test {
  protected:
    SignInTest() { snapshot_.uptime = Seconds{5000}; }

    /// What a sign-in ends in where nothing was before.
    [[nodiscard]] std::optional<Portal> after(const PortalRequested& request) const
    {
        return next_state(State{}, request, {}, snapshot_).portal;
    }

    Snapshot snapshot_ = snapshot_with({"lo", "tun0"});
};

TEST_F(SignInTest, LastsFromNowOn)
{
    PortalRequested request = sign_in();
    EXPECT_EQ(after(request), (Portal{1000, {}, {address("192.168.50.1")}, Seconds{5600}}));
    request.gid = 998;
    request.time = kLongestPortal;
    EXPECT_EQ(after(request), (Portal{1000, 998, request.resolvers, Seconds{6800}}));
    EXPECT_FALSE(refusal(State{}, request, snapshot_));
}

TEST_F(SignInTest, IsRefusedForInvalidUsersTimesAndResolvers)
{
    const auto changed = [](auto change) {
        PortalRequested request = sign_in();
        change(request);
        return request;
    };
    for (const auto& request :
         {changed([](auto& it) { it.resolvers.clear(); }),
          changed([](auto& it) { it.resolvers.push_back(address("255.255.255.255")); }),
          changed([](auto& it) { it.resolvers.push_back(address("ff02::1")); }),
          changed([](auto& it) { it.resolvers = {address("127.0.0.53")}; }),
          changed([](auto& it) { it.time = Seconds{0}; }),
          changed([](auto& it) { it.time = Seconds{-1}; }),
          changed([](auto& it) { it.time = kLongestPortal + Seconds{1}; }),
          changed([](auto& it) { it.uid = static_cast<uid_t>(-1); }),
          changed([](auto& it) { it.gid = 0; }),
          changed([](auto& it) { it.gid = static_cast<gid_t>(-1); })}) {
        EXPECT_EQ(after(request), std::nullopt);
        EXPECT_TRUE(refusal(State{}, request, snapshot_));
    }
    State before = next_state(State{}, sign_in(), {}, snapshot_);
    EXPECT_EQ(next_state(before, PortalRequested{}, {}, snapshot_), before)
        << "what is refused changes nothing";
}

TEST_F(SignInTest, NeedsALockedMachineWithoutATunnel)
{
    EXPECT_EQ(next_state(open_state(), sign_in(), {}, snapshot_).portal, std::nullopt);
    const State up = next_state(State{}, tunnel_up("tun0"), {}, snapshot_);
    EXPECT_EQ(next_state(up, sign_in(), {}, snapshot_), up);
    EXPECT_TRUE(refusal(up, sign_in(), snapshot_));
    Snapshot without = snapshot_with({"lo"});
    EXPECT_TRUE(next_state(up, sign_in(), {}, without).portal) << "that tunnel is over";
}

TEST_F(SignInTest, EndsWithItsTimeATunnelOrUnlock)
{
    const State state = next_state(State{}, sign_in(), {}, snapshot_);
    EXPECT_EQ(next_state(state, ReapplyRequested{}, {}, snapshot_).portal, state.portal);
    EXPECT_EQ(next_state(state, LockRequested{}, {}, snapshot_).portal, state.portal);
    Snapshot with_program = snapshot_;
    with_program.links[1].is_program_tunnel = true;
    with_program.links[1].up = true;
    for (const auto& [event, at] :
         std::vector<std::pair<Event, Snapshot>>{{PortalEnded{}, snapshot_},
                                                 {UnlockRequested{}, snapshot_},
                                                 {tunnel_up("tun0"), snapshot_},
                                                 {found("tun0"), with_program}}) {
        EXPECT_EQ(next_state(state, event, {}, at).portal, std::nullopt) << event.index();
    }
    Snapshot later = snapshot_;
    later.uptime = Seconds{5600};
    EXPECT_TRUE(next_state(state, UnderlayChanged{}, {}, later).portal);
    later.uptime = Seconds{5601};
    EXPECT_EQ(next_state(state, UnderlayChanged{}, {}, later).portal, std::nullopt);
    later.uptime = Seconds{20};
    EXPECT_EQ(next_state(state, UnderlayChanged{}, {}, later).portal, std::nullopt)
        << "the machine was started again";
}

TEST(NextState, AnswersFromOutsideTheTunnelAreUnverified)
{
    const auto snapshot = snapshot_with({"tun0"});
    const auto name = HostName::parse("vpn.example.net").value();
    const auto told = [&](const State& state, bool past_tunnel) {
        return next_state(state, ServersResolved{{{name, {address("203.0.113.7")}}}, past_tunnel},
                          {}, snapshot);
    };
    const auto is_unverified = [](const State& state) {
        return state.servers.at(0).addresses.at(0).unverified;
    };
    const LockRequested lock{{{remote("vpn.example.net:1194/udp"), {}, {}}}};
    const State locked = next_state(State{}, lock, {}, snapshot);
    const State suspect = told(locked, true);
    EXPECT_TRUE(is_unverified(suspect));
    EXPECT_TRUE(is_unverified(told(suspect, true)));
    EXPECT_FALSE(is_unverified(told(suspect, false))) << "a resolver inside says so too";
    EXPECT_FALSE(is_unverified(told(told(locked, false), true)));
    TunnelUp up = tunnel_up("tun0", lock.servers);
    up.connected = Endpoint{address("203.0.113.7"), Transport::Udp, Port::make(1194)};
    const State worked = next_state(suspect, up, {}, snapshot);
    EXPECT_FALSE(is_unverified(worked)) << "the server could prove who it is";
    EXPECT_FALSE(is_unverified(told(worked, true)));
}

class BootstrapTest : public testing::Test {
  protected:
    /// The state after a look-up of the only name.
    [[nodiscard]] State told(const State& state, std::vector<IpAddress> addresses, bool past_tunnel,
                             Seconds now = kNow) const
    {
        return next_state(state, ServersResolved{{{name_, std::move(addresses)}}, past_tunnel}, {},
                          snapshot_with({"tun0"}, now));
    }

    /// The state after the tunnel came up through `server`.
    [[nodiscard]] State up(const State& state, const char* server, Seconds now = kNow) const
    {
        TunnelUp event = tunnel_up("tun0", lock_.servers);
        event.connected = Endpoint{address(server), Transport::Udp, Port::make(1194)};
        event.tunnel.owner = ProcessId{7, 9};
        return next_state(state, event, {}, snapshot_with({"tun0"}, now));
    }

    [[nodiscard]] State later(const State& state, Seconds time) const
    {
        return next_state(state, UnderlayChanged{}, {}, snapshot_with({"tun0"}, kNow + time));
    }

    static std::vector<std::string> addresses(const State& state)
    {
        std::vector<std::string> texts;
        for (const auto& learnt : state.servers.at(0).addresses) {
            texts.push_back(learnt.address.to_string() + (learnt.unverified ? "?" : "") +
                            (learnt.worked_last ? "!" : ""));
        }
        return texts;
    }

    using Texts = std::vector<std::string>;

    HostName name_ = HostName::parse("vpn.example.net").value();
    LockRequested lock_{{{remote("vpn.example.net:1194/udp"), {}, {}}}};
    State locked_ = next_state(State{}, lock_, {}, snapshot_with({}));
    IpAddress lie_ = address("192.168.50.1");
    IpAddress truth_ = address("203.0.113.2");
};

TEST_F(BootstrapTest, LaterUnverifiedAnswerReplacesTheEarlierOne)
{
    const State lied = told(locked_, {lie_}, true);
    EXPECT_EQ(addresses(lied), Texts{"192.168.50.1?"});
    EXPECT_EQ(addresses(told(lied, {truth_}, true)), Texts{"203.0.113.2?"});
    EXPECT_EQ(addresses(told(lied, {address("127.0.0.1")}, true)), Texts{"192.168.50.1?"})
        << "no server can have that address: no answer";
    EXPECT_EQ(addresses(told(up(lied, "192.168.50.1"), {truth_}, true)),
              (Texts{"192.168.50.1!", "203.0.113.2?"}))
        << "one that worked stays";
}

TEST_F(BootstrapTest, TrustedAnswerRemovesAddressesThatItLacks)
{
    const State lied = told(locked_, {lie_, truth_}, true);
    EXPECT_EQ(addresses(told(lied, {truth_}, false)), Texts{"203.0.113.2"});
    EXPECT_EQ(addresses(told(told(locked_, {truth_}, false), {lie_}, true)),
              (Texts{"192.168.50.1?", "203.0.113.2"}));
}

TEST_F(BootstrapTest, AuthenticatedServerRemovesUnverifiedAddresses)
{
    const State lied = told(locked_, {lie_, truth_}, true);
    EXPECT_EQ(addresses(up(lied, "203.0.113.2")), Texts{"203.0.113.2!"});
    const TunnelRestarted restarted{
        lock_.servers, Endpoint{address("203.0.113.2"), Transport::Udp, Port::make(1194)}};
    EXPECT_EQ(addresses(next_state(lied, restarted, {}, snapshot_with({"tun0"}))),
              Texts{"203.0.113.2!"});
    EXPECT_EQ(addresses(next_state(lied, tunnel_up("tun0"), {}, snapshot_with({"tun0"}))).size(),
              2U)
        << "which of them the tunnel uses is not known before a trusted answer";
}

TEST_F(BootstrapTest, UnverifiedAddressExpiresInMinutesByEitherDirectionOfTheClock)
{
    const State lied = told(locked_, {lie_}, true);
    EXPECT_EQ(later(lied, kUnverifiedLifetime).servers, lied.servers);
    EXPECT_EQ(addresses(later(lied, kUnverifiedLifetime + Seconds(1))), Texts{});
    EXPECT_EQ(addresses(later(lied, -kUnverifiedLifetime - Seconds(1))), Texts{});
    const State again = told(lied, {lie_}, true, kNow + kUnverifiedLifetime);
    EXPECT_EQ(addresses(later(again, kUnverifiedLifetime + Seconds(1))), Texts{"192.168.50.1?"});
    const State unknown = next_state(lied, tunnel_up("tun0"), {}, snapshot_with({"tun0"}));
    EXPECT_EQ(addresses(later(unknown, 2 * kUnverifiedLifetime)), Texts{"192.168.50.1?"})
        << "the tunnel may use it";
}

TEST_F(BootstrapTest, AddressThatWorkedExpiresOnceATrustedAnswerLacksIt)
{
    const State worked = up(locked_, "203.0.113.2");
    const auto old = kNow + Config{}.server_expiry + Seconds(1);
    const auto moved = address("203.0.113.3");
    EXPECT_EQ(addresses(told(worked, {moved}, true, old)), (Texts{"203.0.113.2!", "203.0.113.3?"}));
    EXPECT_EQ(addresses(told(worked, {moved}, false, kNow)),
              (Texts{"203.0.113.2!", "203.0.113.3"}));
    EXPECT_EQ(addresses(told(worked, {moved}, false, old)), (Texts{"203.0.113.2!", "203.0.113.3"}))
        << "its program still runs";
    State ended = worked;
    ended.programs.clear();
    EXPECT_EQ(addresses(told(ended, {moved}, false, old)), Texts{"203.0.113.3"});
    EXPECT_EQ(addresses(told(ended, {truth_}, false, old)), Texts{"203.0.113.2!"});
}

} // namespace
} // namespace failclosed
