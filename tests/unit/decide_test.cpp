// SPDX-License-Identifier: GPL-3.0-or-later
// What each event obliges the engine to do.
#include <algorithm>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/decide.hpp"

namespace failclosed {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr ProcessId kProgram{1000, 4711};
const std::string kUuid = "7c6c5ab1-0b3a-4f5c-9a53-2a2a4f7f3c11";

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

TunnelUp tunnel_up()
{
    TunnelUp event{{.interface = device("tun0")}, {}, {}};
    event.tunnel.addresses = {{address("10.8.0.2"), 24}};
    event.tunnel.owner = kProgram;
    event.servers = {{Remote::parse("vpn.example.net:1194/udp").value(), {}, {}}};
    return event;
}

/// As NetworkManager announces it, with a profile that was learnt.
TunnelUp vpn_up()
{
    TunnelUp event = tunnel_up();
    event.tunnel.owner.reset();
    event.servers.clear();
    event.profile =
        VpnProfileFacts{kUuid, std::string(64, 'a'), false, VpnProfileFacts::Settings::OfProfile};
    return event;
}

PortalRequested sign_in()
{
    return {1000, 998, {address("192.168.50.1")}, Seconds{600}};
}

LockRequested lock_at_boot()
{
    LockRequested lock{{}, true};
    lock.look_names_up = false;
    return lock;
}

template <typename T> std::optional<T> find(const Consequences& decided)
{
    for (const auto& each : decided.obligations) {
        if (const auto* found = std::get_if<T>(&each)) {
            return *found;
        }
    }
    return std::nullopt;
}

/// A machine with a network card and a device that can be a tunnel.
class DecideTest : public testing::Test {
  protected:
    DecideTest()
    {
        Link eth0{.name = device("eth0"), .index = 2, .up = true};
        eth0.addresses = {{address("192.168.50.10"), 24}};
        Link tun0{.name = device("tun0"), .index = 3, .up = true};
        tun0.can_be_tunnel = true;
        tun0.is_program_tunnel = true;
        tun0.addresses = {{address("10.8.0.2"), 24}};
        snapshot_.links = {{.name = device("lo"), .index = 1, .loopback = true}, eth0, tun0};
        snapshot_.uptime = Seconds{5000};
        open_.armed = Armed::No;
        locked_.profiles = {{kUuid, std::string(64, 'a')}};
    }

    Consequences decide(const State& before, const Event& event) const
    {
        return failclosed::decide(before, event, {}, snapshot_);
    }

    State after(const State& before, const Event& event) const
    {
        return decide(before, event).state;
    }

    static std::vector<Event> every_event()
    {
        return {ReapplyRequested{},
                LockRequested{},
                UnlockRequested{},
                tunnel_up(),
                TunnelRestarted{},
                TunnelDown{device("tun0")},
                TunnelFound{device("tun0")},
                UnderlayChanged{},
                sign_in(),
                PortalEnded{},
                ServersResolved{}};
    }

    Snapshot snapshot_;
    State open_;
    State locked_;
};

TEST_F(DecideTest, AllEventsAreInTheTests)
{
    const auto events = every_event();
    ASSERT_EQ(events.size(), std::variant_size_v<Event>);
    for (std::size_t i = 0; i < events.size(); ++i) {
        EXPECT_EQ(events[i].index(), i);
    }
}

TEST_F(DecideTest, AClosedMachineIsClosedAgainInThisOrder)
{
    EXPECT_THAT(decide(locked_, UnderlayChanged{}).obligations,
                ElementsAre(SaveState{}, LoadFirewall{}, SetRoutes{}, SetNames{}, TellPrograms{},
                            LookNamesUp{LookupTime::Now}));
    EXPECT_THAT(decide(locked_, tunnel_up()).obligations,
                ElementsAre(SaveState{}, LoadFirewall{}, SetRoutes{}, EndOlderFlows{}, SetNames{},
                            TellPrograms{kProgram}, LookNamesUp{LookupTime::InTunnel}));
}

TEST_F(DecideTest, EveryEventButUnlockClosesALockedMachine)
{
    for (const auto& event : every_event()) {
        const auto decided = decide(locked_, event);
        const bool unlocks = std::holds_alternative<UnlockRequested>(event);
        EXPECT_EQ(decided.opens(), unlocks) << event.index();
        EXPECT_EQ(find<SaveState>(decided).has_value(), !unlocks) << event.index();
        EXPECT_EQ(find<LoadFirewall>(decided).has_value(), !unlocks) << event.index();
        EXPECT_EQ(find<SetRoutes>(decided).has_value(), !unlocks) << event.index();
        EXPECT_EQ(find<SetNames>(decided).has_value(), !unlocks) << event.index();
    }
}

TEST_F(DecideTest, OnlyLockAndTunnelUpChangeAnOpenMachine)
{
    for (const auto& event : every_event()) {
        const auto decided = decide(open_, event);
        const bool arms =
            std::holds_alternative<LockRequested>(event) || std::holds_alternative<TunnelUp>(event);
        EXPECT_EQ(decided.state.armed == Armed::Yes, arms) << event.index();
        EXPECT_EQ(find<SaveState>(decided).has_value(), arms) << event.index();
        EXPECT_EQ(find<LoadFirewall>(decided).has_value(), arms) << event.index();
        if (!arms && !std::holds_alternative<UnlockRequested>(event) &&
            !std::holds_alternative<PortalRequested>(event)) {
            EXPECT_THAT(decided.obligations, IsEmpty()) << event.index();
        }
    }
}

TEST_F(DecideTest, OpeningIsASingleObligation)
{
    for (const auto& before : {locked_, open_}) {
        const auto decided = decide(before, UnlockRequested{});
        EXPECT_THAT(decided.obligations, ElementsAre(OpenMachine{}));
        EXPECT_EQ(decided.state.armed, Armed::No);
    }
}

TEST_F(DecideTest, ARefusedTunnelOfRootsProgramEndsTheProgram)
{
    snapshot_.links.back().can_be_tunnel = false;
    const auto decided = decide(open_, tunnel_up());
    const auto refused = find<RefuseEvent>(decided);
    ASSERT_TRUE(refused);
    EXPECT_TRUE(refused->ends_program);
    EXPECT_EQ(refused->text.find("tun0 is not a tunnel"), 0U);
    EXPECT_TRUE(refused->text.ends_with("; the machine is locked without it"));
    EXPECT_TRUE(find<LoadFirewall>(decided));
    EXPECT_TRUE(find<EndOlderFlows>(decided));
    EXPECT_TRUE(decided.state.tunnels.empty());
}

TEST_F(DecideTest, ARefusedNetworkManagerVpnIsAWarning)
{
    TunnelUp event = vpn_up();
    event.profile->digest = std::string(64, 'b');
    const auto decided = decide(locked_, event);
    EXPECT_FALSE(find<RefuseEvent>(decided));
    const auto warning = find<SayWarning>(decided);
    ASSERT_TRUE(warning);
    EXPECT_NE(warning->text.find("changed since it was learnt"), std::string::npos);
    EXPECT_TRUE(warning->text.ends_with("; the machine is locked without it"));
}

TEST_F(DecideTest, ANetworkManagerVpnWithoutAServerIsAWarning)
{
    const auto warns = [&](const State& before, const TunnelUp& event) {
        const auto warning = find<SayWarning>(decide(before, event));
        return warning && warning->text.starts_with("no server is known, so that the "
                                                    "VPN's own packets are refused");
    };
    EXPECT_TRUE(warns(locked_, vpn_up()));
    State knows = locked_;
    knows.servers = tunnel_up().servers;
    EXPECT_FALSE(warns(knows, vpn_up()));
    TunnelUp of_root = tunnel_up();
    of_root.servers.clear();
    EXPECT_FALSE(warns(locked_, of_root));
}

TEST_F(DecideTest, ARefusedFoundDeviceIsAWarningOnALockedMachine)
{
    const auto objection = [&](const State& before, TunnelFound::Maker maker) {
        const auto decided = decide(before, TunnelFound{device("tun0"), maker});
        const auto warning = find<SayWarning>(decided);
        EXPECT_FALSE(find<RefuseEvent>(decided));
        return warning ? warning->text : "";
    };
    EXPECT_EQ(objection(locked_, TunnelFound::Maker::Unknown).find("tun0 is not used"), 0U);
    EXPECT_EQ(objection(locked_, TunnelFound::Maker::Program), "");
    EXPECT_EQ(objection(locked_, TunnelFound::Maker::NetworkManager), "")
        << "the reason is told of the VPN";
    EXPECT_EQ(objection(open_, TunnelFound::Maker::Unknown), "");
}

TEST_F(DecideTest, AWithdrawnTunnelIsAWarning)
{
    const State up = after(locked_, tunnel_up());
    ASSERT_EQ(up.tunnels.size(), 1U);
    EXPECT_FALSE(find<SayWarning>(decide(up, UnderlayChanged{})));
    snapshot_.links[1].addresses.push_back({address("10.8.0.2"), 24});
    const auto decided = decide(up, UnderlayChanged{});
    const auto warning = find<SayWarning>(decided);
    ASSERT_TRUE(warning);
    EXPECT_NE(warning->text.find("another device of this machine has its address"),
              std::string::npos);
    EXPECT_TRUE(decided.state.tunnels.empty());
}

TEST_F(DecideTest, ASignInIsAdmittedAfterTheRoutes)
{
    const auto decided = decide(locked_, sign_in());
    EXPECT_THAT(decided.obligations, ElementsAre(SaveState{}, LoadFirewall{}, SetRoutes{},
                                                 AdmitSignIn{true}, SetNames{}, TellPrograms{}));
    EXPECT_THAT(decide(decided.state, ReapplyRequested{}).obligations,
                Contains(Obligation(AdmitSignIn{false})));
}

TEST_F(DecideTest, AnExpiredSignInIsEndedBeforeTheFirewallIsLoaded)
{
    const State signed_in = after(locked_, sign_in());
    for (const Event& event : {Event(PortalEnded{}), Event(tunnel_up())}) {
        const auto decided = decide(signed_in, event);
        EXPECT_FALSE(find<AdmitSignIn>(decided)) << event.index();
        ASSERT_GE(decided.obligations.size(), 3U);
        EXPECT_EQ(decided.obligations[1], Obligation(EndSignIn{})) << event.index();
        EXPECT_EQ(decided.obligations[2], Obligation(LoadFirewall{})) << event.index();
    }
    auto other = sign_in();
    other.uid = 1001;
    const auto exchanged = decide(signed_in, other);
    EXPECT_THAT(exchanged.obligations, Contains(Obligation(EndSignIn{})));
    EXPECT_THAT(exchanged.obligations, Contains(Obligation(AdmitSignIn{true})));
    EXPECT_FALSE(find<EndSignIn>(decide(signed_in, ReapplyRequested{})));
    snapshot_.uptime += Seconds{601};
    EXPECT_TRUE(find<EndSignIn>(decide(signed_in, UnderlayChanged{})));
}

TEST_F(DecideTest, ARefusedSignInIsAnErrorAndEndsNoProgram)
{
    for (const auto& before : {open_, after(locked_, tunnel_up())}) {
        const auto decided = decide(before, sign_in());
        const auto refused = find<RefuseEvent>(decided);
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->text.find("sign-in: "), 0U);
        EXPECT_FALSE(refused->ends_program);
        EXPECT_FALSE(find<AdmitSignIn>(decided));
    }
}

TEST_F(DecideTest, LinksGoDownOnlyForALockAtBoot)
{
    for (const auto& event : every_event()) {
        const auto firewall = find<LoadFirewall>(decide(locked_, event));
        EXPECT_FALSE(firewall && firewall->or_links_down) << event.index();
    }
    EXPECT_THAT(decide(open_, lock_at_boot()).obligations,
                Contains(Obligation(LoadFirewall{.or_links_down = true})));
}

TEST_F(DecideTest, OnlyATunnelThatComesUpEndsOlderFlows)
{
    for (const auto& event : every_event()) {
        EXPECT_EQ(find<EndOlderFlows>(decide(locked_, event)).has_value(),
                  std::holds_alternative<TunnelUp>(event))
            << event.index();
    }
}

TEST_F(DecideTest, ProgramsAreToldExceptTheSourceOfTheEvent)
{
    for (const Event& event : {Event(tunnel_up()), Event(TunnelRestarted{.owner = kProgram}),
                               Event(TunnelDown{.interface = device("tun0"), .owner = kProgram})}) {
        EXPECT_THAT(decide(locked_, event).obligations,
                    Contains(Obligation(TellPrograms{kProgram})))
            << event.index();
    }
    for (const Event& event : {Event(UnderlayChanged{}), Event(ReapplyRequested{}),
                               Event(LockRequested{}), Event(vpn_up())}) {
        EXPECT_THAT(decide(locked_, event).obligations, Contains(Obligation(TellPrograms{})))
            << event.index();
    }
}

TEST_F(DecideTest, OnAnOpenMachineTheUnderlayIsOnlyRemembered)
{
    for (const Event& event : {Event(tunnel_up()), Event(LockRequested{})}) {
        const auto decided = decide(open_, event);
        EXPECT_FALSE(find<TellPrograms>(decided)) << event.index();
        EXPECT_TRUE(find<RememberPaths>(decided)) << event.index();
    }
}

TEST_F(DecideTest, NamesAreLookedUpInATunnelAtOnceLaterOrNot)
{
    const auto time = [&](const Event& event) {
        const auto lookup = find<LookNamesUp>(decide(locked_, event));
        return lookup ? std::optional(lookup->time) : std::nullopt;
    };
    EXPECT_EQ(time(tunnel_up()), LookupTime::InTunnel);
    EXPECT_EQ(time(vpn_up()), LookupTime::InTunnel);
    EXPECT_EQ(time(TunnelDown{device("tun0")}), LookupTime::Later);
    for (const Event& event :
         {Event(ReapplyRequested{}), Event(LockRequested{}), Event(TunnelRestarted{}),
          Event(TunnelFound{device("tun0")}), Event(UnderlayChanged{}), Event(PortalEnded{})}) {
        EXPECT_EQ(time(event), LookupTime::Now) << event.index();
    }
    // The helper decides for itself when it asks again, and before the network it cannot ask.
    for (const Event& event : {Event(ServersResolved{}), Event(sign_in()), Event(UnlockRequested{}),
                               Event(lock_at_boot())}) {
        EXPECT_EQ(time(event), std::nullopt) << event.index();
    }
}

TEST_F(DecideTest, AFreshInstallationIsOpenAndRulesCountMoreThanFiles)
{
    const auto armed = [](const State& loaded, Traces traces) {
        return believed(loaded, traces, UnderlayChanged{}).armed;
    };
    EXPECT_EQ(armed({}, {.has_state_file = false, .has_tables = false}), Armed::No);
    EXPECT_EQ(armed({}, {.has_state_file = false, .has_tables = true}), Armed::Yes);
    EXPECT_EQ(armed({}, {.has_state_file = true, .has_tables = false}), Armed::Yes);
    EXPECT_EQ(armed(open_, {.has_state_file = true, .has_tables = false}), Armed::No);
    EXPECT_EQ(armed(open_, {.has_state_file = true, .has_tables = true}), Armed::Yes);
    EXPECT_EQ(armed(open_, {}), Armed::Yes) << "unknown counts as loaded";
}

TEST_F(DecideTest, RulesLoadedByAnotherProgramRestoreNoTunnel)
{
    State before = after(open_, tunnel_up());
    EXPECT_EQ(believed(before, {}, UnderlayChanged{}), before);
    before.armed = Armed::No;
    EXPECT_THAT(believed(before, {}, UnderlayChanged{}).tunnels, IsEmpty());
    EXPECT_EQ(believed(before, {}, UnlockRequested{}), before)
        << "they are there for the next lock";
}

TEST_F(DecideTest, OnAnOpenMachineTunnelsOfEndedProgramsAreForgotten)
{
    State state = after(open_, tunnel_up());
    EXPECT_THAT(unwatched_programs(state), IsEmpty()) << "its end is an event";
    forget_unwatched(state, {});
    EXPECT_EQ(state.tunnels.size(), 1U);
    state.armed = Armed::No;
    Tunnel without_program{.interface = device("wg0")};
    state.tunnels.push_back(without_program);
    EXPECT_THAT(unwatched_programs(state), ElementsAre(kProgram));
    forget_unwatched(state, {kProgram});
    EXPECT_EQ(state.tunnels.size(), 2U);
    forget_unwatched(state, {});
    EXPECT_THAT(state.tunnels, ElementsAre(without_program));
}

TEST_F(DecideTest, LinksThatCouldNotBeReadForgetNoTunnel)
{
    const State up = after(locked_, tunnel_up());
    const auto decided = failclosed::decide(up, UnderlayChanged{}, {}, assumed_snapshot(up));
    EXPECT_EQ(decided.state.tunnels, up.tunnels);
}

TEST_F(DecideTest, ReadingTheStateEndsNoSignIn)
{
    const State signed_in = after(locked_, sign_in());
    snapshot_.uptime = signed_in.portal->until + Seconds{1};
    EXPECT_EQ(current_state(signed_in, {}, snapshot_).portal, signed_in.portal);
    EXPECT_FALSE(after(signed_in, ReapplyRequested{}).portal);
}

} // namespace
} // namespace failclosed
