// SPDX-License-Identifier: GPL-3.0-or-later
// Paths to servers, and who is told when they change.
#include <csignal>

#include <gtest/gtest.h>

#include "core/plan/routing/underlay.hpp"

namespace failclosed {
namespace {

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

constexpr unsigned kEth0 = 2;
constexpr unsigned kWlan0 = 3;
constexpr unsigned kTun0 = 4;

MainRoute route(const char* destination, unsigned through, const char* gateway = nullptr,
                std::uint32_t metric = 100)
{
    return {IpPrefix::parse(destination).value(), through,
            gateway != nullptr ? IpAddress::parse(gateway) : std::nullopt, metric};
}

UnderlayPath path(const char* interface, const char* gateway, const char* source)
{
    return {address(source).family(),
            device(interface),
            gateway != nullptr ? IpAddress::parse(gateway) : std::nullopt,
            {address(source)}};
}

/// A machine with two cards and a tunnel to 203.0.113.2, its path remembered.
class UnderlayTest : public testing::Test {
  protected:
    UnderlayTest()
    {
        snapshot_.links = {{.name = device("lo"), .index = 1, .up = true, .loopback = true},
                           {.name = device("eth0"), .index = kEth0, .up = true},
                           {.name = device("wlan0"), .index = kWlan0, .up = true},
                           {.name = device("tun0"),
                            .index = kTun0,
                            .up = true,
                            .can_be_tunnel = true,
                            .is_program_tunnel = true}};
        link(kEth0).addresses = {{address("192.168.50.10"), 24},
                                 {address("2001:db8:50::10"), 64},
                                 {address("fe80::10"), 64}};
        link(kTun0).addresses = {{address("10.8.0.2"), 24}};
        snapshot_.main_routes = {route("0.0.0.0/0", kEth0, "192.168.50.1"),
                                 route("192.168.50.0/24", kEth0),
                                 route("::/0", kEth0, "fe80::1", 1024)};
        state_.servers = {
            {Remote::parse("203.0.113.2:1194/udp").value(), {}, {{server_, Seconds(1), true}}}};
        Tunnel tunnel{.interface = device("tun0")};
        tunnel.addresses = {{address("10.8.0.2"), 24}};
        state_.tunnels = {tunnel};
        state_.programs = {{owner_, server_}};
        remember_paths(state_, snapshot_);
    }

    Link& link(unsigned index) { return snapshot_.links[index - 1]; }

    void plug_in_wlan()
    {
        link(kWlan0).addresses = {{address("192.168.60.10"), 24}};
        snapshot_.main_routes.push_back(route("0.0.0.0/0", kWlan0, "192.168.60.1", 600));
    }

    void unplug_eth()
    {
        link(kEth0).addresses.clear();
        std::erase_if(snapshot_.main_routes,
                      [](const MainRoute& found) { return found.device == kEth0; });
    }

    /// Whether the tunnel's program is told now; remembers what is seen, as the engine does.
    bool told()
    {
        const auto plan = plan_reconnection(state_, snapshot_);
        remember_paths(state_, snapshot_);
        EXPECT_EQ(plan.waiting, !plan.programs.empty()) << "one server, one path";
        return plan.programs == std::vector{owner_};
    }

    [[nodiscard]] std::optional<UnderlayPath> to(const char* server) const
    {
        const auto paths = paths_of({ProcessId{}, address(server)}, state_, snapshot_);
        return paths.empty() ? std::nullopt : std::optional(paths.front());
    }

    const IpAddress server_ = address("203.0.113.2");
    const ProcessId owner_{1000, 4711};
    State state_;
    Snapshot snapshot_;
};

TEST_F(UnderlayTest, TheLongestPrefixThenTheLowestMetricIsUsed)
{
    EXPECT_EQ(to("203.0.113.2"), path("eth0", "192.168.50.1", "192.168.50.10"));
    EXPECT_EQ(to("192.168.50.7"), path("eth0", nullptr, "192.168.50.10"));
    EXPECT_EQ(to("2001:db8::7"), path("eth0", "fe80::1", "2001:db8:50::10"));
    plug_in_wlan();
    EXPECT_EQ(to("203.0.113.2"), path("eth0", "192.168.50.1", "192.168.50.10"));
    snapshot_.main_routes.push_back(route("203.0.113.0/24", kWlan0, "192.168.60.2", 999));
    EXPECT_EQ(to("203.0.113.2"), path("wlan0", "192.168.60.2", "192.168.60.10"));
}

TEST_F(UnderlayTest, RoutesOfTunnelProgramsAreIgnored)
{
    const auto before = to("203.0.113.2");
    snapshot_.main_routes.push_back(route("0.0.0.0/1", kTun0, "10.8.0.1", 0));
    snapshot_.main_routes.push_back(route("128.0.0.0/1", kTun0, "10.8.0.1", 0));
    snapshot_.main_routes.push_back(route("203.0.113.2/32", kEth0, "192.168.50.254", 0));
    // A piece of a default route is passed over by the routing rules too.
    snapshot_.main_routes.push_back(route("128.0.0.0/1", kEth0, "192.168.50.66", 0));
    EXPECT_EQ(to("203.0.113.2"), before);
    // Where there is no other, it is how the server is reached.
    unplug_eth();
    snapshot_.main_routes.push_back(route("203.0.113.2/32", kWlan0, "192.168.60.9", 0));
    EXPECT_EQ(to("203.0.113.2"), std::nullopt) << "no address to send from";
    link(kWlan0).addresses = {{address("192.168.60.10"), 24}};
    EXPECT_EQ(to("203.0.113.2"), path("wlan0", "192.168.60.9", "192.168.60.10"));
}

TEST_F(UnderlayTest, PresentAndFormerTunnelsAreNoUnderlay)
{
    unplug_eth();
    snapshot_.main_routes = {route("0.0.0.0/0", kTun0)};
    EXPECT_EQ(to("203.0.113.2"), std::nullopt);
    state_.tunnels.clear();
    EXPECT_EQ(to("203.0.113.2"), std::nullopt) << "a program's tun device";
    link(kTun0).is_program_tunnel = false;
    EXPECT_TRUE(to("203.0.113.2")) << "may be a PPP uplink";
    state_.inside = {{device("tun0"), {}}};
    EXPECT_EQ(to("203.0.113.2"), std::nullopt);
}

TEST_F(UnderlayTest, WithoutAChangeNoProgramIsTold)
{
    EXPECT_FALSE(told());
    // A lease that was renewed, a router advertisement, a second address, another tunnel.
    link(kEth0).addresses.push_back({address("2001:db8:51::10"), 64});
    link(kEth0).addresses.push_back({address("192.168.50.11"), 24});
    snapshot_.main_routes.push_back(route("10.0.0.0/8", kTun0));
    EXPECT_FALSE(told());
    snapshot_.main_routes.front().metric = 50;
    EXPECT_FALSE(told()) << "the same way out by another number";
}

TEST_F(UnderlayTest, AnotherGatewayAddressOrDeviceIsReportedOnce)
{
    snapshot_.main_routes.front().gateway = address("192.168.50.254");
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
    link(kEth0).addresses = {{address("192.168.50.99"), 24}};
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
    plug_in_wlan();
    EXPECT_FALSE(told()) << "a worse way out";
    snapshot_.main_routes.back().metric = 10;
    EXPECT_TRUE(told()) << "now the better one";
    unplug_eth();
    EXPECT_FALSE(told()) << "left already";
}

TEST_F(UnderlayTest, ThePathIsReportedWhenItIsBackNotWhenItIsLost)
{
    const Snapshot whole = snapshot_;
    unplug_eth();
    EXPECT_FALSE(told());
    EXPECT_FALSE(told());
    snapshot_ = whole;
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
    link(kEth0).up = false;
    EXPECT_FALSE(told());
    link(kEth0).up = true;
    EXPECT_TRUE(told());
}

TEST_F(UnderlayTest, SuspendIsReportedOnce)
{
    snapshot_.suspended = Seconds(1);
    EXPECT_FALSE(told()) << "not told from the clocks' own difference";
    snapshot_.suspended = Seconds(3600);
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
    snapshot_.suspended = Seconds(7200);
    const Snapshot whole = snapshot_;
    unplug_eth();
    EXPECT_FALSE(told()) << "asleep, and no network yet";
    snapshot_ = whole;
    EXPECT_TRUE(told());
}

TEST_F(UnderlayTest, OnlyProgramsWithAChangedPathAreTold)
{
    state_.programs.push_back({{2000, 1}, address("192.168.50.77"), to("192.168.50.77")});
    snapshot_.main_routes.front().gateway = address("192.168.50.254");
    EXPECT_EQ(plan_reconnection(state_, snapshot_).programs, std::vector{owner_});
}

TEST_F(UnderlayTest, AnAdditionalFamilyIsNotReported)
{
    state_.servers.front().addresses.push_back({address("2001:db8:113::2"), Seconds(1), false});
    snapshot_.main_routes.pop_back();
    remember_paths(state_, snapshot_);
    snapshot_.main_routes.push_back(route("::/0", kEth0, "fe80::1", 1024));
    const auto plan = plan_reconnection(state_, snapshot_);
    EXPECT_EQ(plan, Reconnection{});
}

TEST_F(UnderlayTest, AReconnectionOverOneFamilyIsNotToldOfTheOther)
{
    state_.servers.front().addresses.push_back({address("2001:db8:113::2"), Seconds(1), false});
    state_.tunnels.clear();
    remember_paths(state_, snapshot_);
    // The other network takes over, one family after the other.
    link(kWlan0).addresses = {{address("192.168.60.10"), 24}, {address("2001:db8:60::10"), 64}};
    snapshot_.main_routes.push_back(route("0.0.0.0/0", kWlan0, "192.168.60.1", 50));
    EXPECT_EQ(plan_reconnection(state_, snapshot_).programs, std::vector{owner_});
    remember_paths(state_, snapshot_);
    snapshot_.main_routes.push_back(route("::/0", kWlan0, "fe80::2", 50));
    const auto plan = plan_reconnection(state_, snapshot_);
    EXPECT_TRUE(plan.programs.empty());
    EXPECT_TRUE(plan.waiting) << "it is unknown what those wait for";
}

TEST_F(UnderlayTest, TheOtherFamilyAloneIsAPathToo)
{
    state_.servers.front().addresses.push_back({address("2001:db8:113::2"), Seconds(1), false});
    state_.tunnels.clear();
    link(kEth0).addresses = {{address("2001:db8:50::10"), 64}};
    const auto whole = snapshot_;
    snapshot_.main_routes.clear();
    remember_paths(state_, snapshot_);
    EXPECT_EQ(plan_reconnection(state_, snapshot_), Reconnection{});
    snapshot_ = whole;
    EXPECT_EQ(plan_reconnection(state_, snapshot_).programs, std::vector{owner_});
}

TEST_F(UnderlayTest, ANetworkOfTheOtherFamilyIsReportedWhileTheTunnelIsUp)
{
    state_.servers.front().addresses.push_back({address("2001:db8:113::2"), Seconds(1), false});
    snapshot_.main_routes = {route("::/0", kEth0, "fe80::1", 1024)};
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
}

// Renumbering adds the new address before it takes the old one away.
TEST_F(UnderlayTest, AddressesReplacedOneAfterTheOtherAreReportedOnce)
{
    link(kEth0).addresses.push_back({address("192.168.50.11"), 24});
    EXPECT_FALSE(told());
    link(kEth0).addresses.front() = {address("192.168.50.11"), 24};
    EXPECT_TRUE(told());
    EXPECT_FALSE(told());
}

// A neighbour can take IPv6 away and give it back as often as it likes.
TEST_F(UnderlayTest, AWaitingProgramIsNotToldOfAFamilyThatReturns)
{
    state_.servers.front().addresses.push_back({address("2001:db8:113::2"), Seconds(1), false});
    state_.programs.clear();
    remember_paths(state_, snapshot_);
    const auto whole = snapshot_;
    for (int i = 0; i < 3; ++i) {
        snapshot_.main_routes.pop_back();
        EXPECT_FALSE(plan_reconnection(state_, snapshot_).waiting);
        remember_paths(state_, snapshot_);
        snapshot_ = whole;
        EXPECT_FALSE(plan_reconnection(state_, snapshot_).waiting);
        remember_paths(state_, snapshot_);
    }
}

TEST_F(UnderlayTest, OnlyTheFirstFamilyOfAReturningNetworkIsReported)
{
    state_.tunnels.clear();
    const Server other{Remote::parse("[2001:db8:113::2]:1194/udp").value(),
                       {},
                       {{address("2001:db8:113::2"), Seconds(1), false}}};
    const auto whole = snapshot_;
    const auto told_of = [&](const std::vector<MainRoute>& routes) {
        snapshot_.main_routes = routes;
        const auto plan = plan_reconnection(state_, snapshot_);
        remember_paths(state_, snapshot_);
        return plan.programs == std::vector{owner_};
    };
    const std::vector<MainRoute> ipv6_alone = {whole.main_routes.back()};
    // Another server is none of the program's; but one of its own server's addresses is.
    for (const bool is_same_server : {false, true}) {
        if (is_same_server) {
            state_.servers.pop_back();
            state_.servers.front().addresses.push_back(other.addresses.front());
        } else {
            state_.servers.push_back(other);
        }
        EXPECT_FALSE(told_of({}));
        EXPECT_EQ(told_of(ipv6_alone), is_same_server);
        EXPECT_EQ(told_of(whole.main_routes), !is_same_server);
        EXPECT_FALSE(told_of(whole.main_routes));
    }
}

TEST_F(UnderlayTest, TheFirstAddressOfAServerIsAPath)
{
    state_.tunnels.clear();
    state_.servers = {{Remote::parse("vpn.example.net:1194/udp").value(), {}, {}}};
    remember_paths(state_, snapshot_);
    EXPECT_FALSE(plan_reconnection(state_, snapshot_).waiting);
    state_.servers.front().addresses = {{server_, Seconds(1), false}};
    EXPECT_TRUE(plan_reconnection(state_, snapshot_).waiting);
}

/// The network is back, and both programs were looked up.
class DueSignalsTest : public UnderlayTest {
  protected:
    DueSignalsTest()
    {
        state_.programs = {{owner_, server_}, {other_, server_}};
        const auto routes = snapshot_.main_routes;
        snapshot_.main_routes.clear();
        remember_paths(state_, snapshot_);
        snapshot_.main_routes = routes;
        lookup_ = {{owner_, other_}, true, {program(owner_), program(other_)}};
    }

    static TunnelProgram program(const ProcessId& id) { return {id, true, true, true}; }

    std::optional<std::vector<DueSignal>>
    due(ReconnectSignal configured = ReconnectSignal::Auto) const
    {
        return due_signals(state_, snapshot_, lookup_, configured);
    }

    using Signals = std::vector<DueSignal>;

    const ProcessId other_{2000, 1};
    ProgramLookup lookup_;
};

TEST_F(DueSignalsTest, ProgramsWhoseUnderlayChangedAreToldIfTheyRun)
{
    EXPECT_EQ(due(), (Signals{{owner_, SIGHUP}, {other_, SIGHUP}}));
    EXPECT_EQ(due(ReconnectSignal::Usr1), (Signals{{owner_, SIGUSR1}, {other_, SIGUSR1}}));
    EXPECT_EQ(due(ReconnectSignal::None), Signals{});
    lookup_.running.pop_back();
    EXPECT_EQ(due(), (Signals{{owner_, SIGHUP}}));
    remember_paths(state_, snapshot_);
    EXPECT_EQ(due(), Signals{}) << "another run has told them since";
}

TEST_F(DueSignalsTest, AProgramWithoutATunnelIsToldOfAnotherPath)
{
    const ProcessId waiting{3000, 1};
    lookup_.running = {program(waiting)};
    EXPECT_EQ(due(), (Signals{{waiting, SIGHUP}}));
    state_.underlay.paths = paths_to_servers(state_, snapshot_);
    EXPECT_EQ(due(), Signals{});
}

TEST_F(DueSignalsTest, ProgramsNotLookedUpAreLeftToTheirOwnEvent)
{
    lookup_.waiting = false;
    EXPECT_EQ(due(), std::nullopt);
    lookup_.waiting = true;
    lookup_.known = {owner_};
    EXPECT_EQ(due(), std::nullopt);
}

TEST_F(DueSignalsTest, OnlyProgramsThatWereLookedUpAreForgotten)
{
    const ProcessId started_since{3000, 1};
    state_.programs.push_back({started_since, server_});
    lookup_.running = {program(owner_)};
    forget_ended(state_, lookup_);
    ASSERT_EQ(state_.programs.size(), 2U);
    EXPECT_EQ(state_.programs[0].id, owner_);
    EXPECT_EQ(state_.programs[1].id, started_since);
}

TEST(ReconnectSignal, ProgramsThatHupWouldEndGetUsr1)
{
    const TunnelProgram whole{{1, 1}, true, true, true};
    const TunnelProgram dropped{{1, 1}, true, true, false};
    const TunnelProgram deaf{{1, 1}, false, false, true};
    EXPECT_EQ(reconnect_signal(ReconnectSignal::Auto, whole), SIGHUP);
    EXPECT_EQ(reconnect_signal(ReconnectSignal::Auto, dropped), SIGUSR1);
    EXPECT_EQ(reconnect_signal(ReconnectSignal::Hup, dropped), SIGHUP);
    EXPECT_EQ(reconnect_signal(ReconnectSignal::Usr1, whole), SIGUSR1);
    EXPECT_EQ(reconnect_signal(ReconnectSignal::None, whole), std::nullopt);
    for (const auto configured :
         {ReconnectSignal::Auto, ReconnectSignal::Hup, ReconnectSignal::Usr1}) {
        EXPECT_EQ(reconnect_signal(configured, deaf), std::nullopt) << "it would end";
    }
    EXPECT_EQ(reconnect_signal(ReconnectSignal::Auto, {{1, 1}, true, false, false}), std::nullopt);
}

} // namespace
} // namespace failclosed
