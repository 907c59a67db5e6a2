// SPDX-License-Identifier: GPL-3.0-or-later
// The engine over a system that fails on demand: every failure ends closed, and says so.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/engine/engine.hpp"
#include "core/engine/inspect.hpp"

namespace failclosed {
namespace {

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

/// A world in memory. `broken` names the calls that fail.
class FakeSystem final : public System {
  public:
    std::set<std::string> broken;
    bool out_of_memory = false;
    std::vector<std::string> calls;
    Config config;
    std::vector<std::string> config_damage;
    State saved;
    bool absent = true;
    std::vector<std::string> state_damage;
    Snapshot snapshot;
    Ruleset firewall;
    RoutingPlan routing;
    DnsPlan dns;
    HostsPlan hosts;
    bool links_down = false;
    /// What runs, and which of it only a search finds.
    std::vector<TunnelProgram> programs;
    std::vector<pid_t> unknown;
    std::vector<std::pair<pid_t, int>> signals;
    /// Whether this run holds the lock, and what another one does before it gets the lock again.
    bool held = false;
    int locks = 0;
    std::function<void()> meanwhile;
    /// The kernel refuses rules that use more than the essential expressions.
    bool meddled = false; ///< another program removes a table right after the next load
    bool old_kernel = false;
    /// It has no hook for what leaves a device.
    bool has_egress = true;
    /// Devices that go between the first look and the loading of rules that name them.
    std::vector<InterfaceName> vanishing;
    /// One goes while rules that name it are loaded, and is made anew at once.
    bool replaced_device = false;
    /// Who is admitted to sign in, and for how long.
    std::optional<Portal> portal;
    Seconds remaining{0};

    FakeSystem()
    {
        saved.armed = Armed::No;
        snapshot.links = {{.name = device("lo"), .loopback = true},
                          {.name = device("tun0"), .can_be_tunnel = true}};
    }

    Status lock() override
    {
        if (++locks > 1 && meanwhile) {
            std::exchange(meanwhile, {})();
        }
        auto locked = done("lock");
        held = locked.has_value();
        return locked;
    }

    void release() override
    {
        calls.emplace_back("release");
        held = false;
    }

    LoadedConfig load_config() override
    {
        return {config_damage.empty() ? config : strictest_config(), config_damage};
    }

    LoadedState load_state() override
    {
        if (!state_damage.empty()) {
            return {State{}, false, state_damage};
        }
        return {absent ? State{} : saved, absent, {}};
    }

    Status save_state(const State& state) override
    {
        if (auto status = done("save_state"); !status) {
            return status;
        }
        saved = state;
        absent = false;
        return {};
    }

    Result<Snapshot> observe() override
    {
        if (broken.contains("observe")) {
            return fail("observe");
        }
        if (out_of_memory) {
            throw std::bad_alloc();
        }
        return snapshot;
    }

    Result<bool> firewall_exists() override
    {
        if (broken.contains("firewall_exists")) {
            return fail("firewall_exists");
        }
        return !firewall.tables.empty();
    }

    Result<bool> firewall_holds(const Ruleset& ruleset) override { return firewall == ruleset; }

    bool has_egress_hook() override { return has_egress; }

    Status replace_firewall(const Ruleset& ruleset) override
    {
        const bool essential = ruleset == base_ruleset() || !uses_stripping(ruleset);
        if (old_kernel && !essential) {
            return fail("unknown expression");
        }
        if (!has_egress && has_belt(ruleset)) {
            return fail("no such family");
        }
        if (!vanishing.empty() && std::ranges::any_of(vanishing, [&](const auto& name) {
                return is_belted(ruleset, name);
            })) {
            std::erase_if(snapshot.links, [&](const Link& link) {
                return std::ranges::find(vanishing, link.name) != vanishing.end();
            });
            return fail("no such device");
        }
        if (has_belt(ruleset) && std::exchange(replaced_device, false)) {
            return fail_errno("no such device", ENOENT);
        }
        if (broken.contains("full_firewall") && ruleset != base_ruleset()) {
            return fail("full_firewall");
        }
        if (auto status = done("replace_firewall"); !status) {
            return status;
        }
        firewall = ruleset;
        if (std::exchange(meddled, false)) {
            std::erase_if(firewall.tables,
                          [](const Table& table) { return table.family == TableFamily::Inet; });
        }
        portal.reset(); // elements with times go with their sets
        return {};
    }

    Status load_beside(const Ruleset& ruleset) override
    {
        const Ruleset before = firewall;
        auto status = replace_firewall(ruleset);
        for (const Table& table : before.tables) {
            if (status && std::ranges::find(ruleset.tables, table.family, &Table::family) ==
                              ruleset.tables.end()) {
                firewall.tables.push_back(table);
            }
        }
        return status;
    }

    Status remove_firewall() override
    {
        if (auto status = done("remove_firewall"); !status) {
            return status;
        }
        firewall = {};
        return {};
    }

    Status admit_portal(const Portal& wanted, Seconds time) override
    {
        if (auto status = done("admit_portal"); !status) {
            return status;
        }
        portal = wanted;
        remaining = time;
        return {};
    }

    Status end_portal() override
    {
        portal.reset();
        return done("end_portal");
    }

    Result<bool> routing_holds(const RoutingPlan& plan) override { return routing == plan; }

    Status sync_routing(const RoutingPlan& plan) override
    {
        if (routing == plan) {
            return {};
        }
        if (auto status = done("sync_routing"); !status) {
            return status;
        }
        routing = plan;
        return {};
    }

    Status remove_routing() override
    {
        if (auto status = done("remove_routing"); !status) {
            return status;
        }
        routing = {};
        return {};
    }

    Result<unsigned> destroy_foreign_flows(const State&, const Config&, const Snapshot&) override
    {
        if (auto status = done("destroy_foreign_flows"); !status) {
            return Failure(status.error());
        }
        return 0U;
    }

    Status set_sysctls(const State&) override { return done("set_sysctls"); }

    Status restore_sysctls() override { return done("restore_sysctls"); }

    Result<bool> dns_holds(const DnsPlan& plan) override { return dns == plan; }

    Status apply_dns(const DnsPlan& plan) override
    {
        if (auto status = done("apply_dns"); !status) {
            return status;
        }
        dns = plan;
        return {};
    }

    Status restore_dns() override
    {
        if (auto status = done("restore_dns"); !status) {
            return status;
        }
        dns = {};
        return {};
    }

    Result<bool> hosts_hold(const HostsPlan& plan) override { return hosts == plan; }

    Status apply_hosts(const HostsPlan& plan) override
    {
        if (auto status = done("apply_hosts"); !status) {
            return status;
        }
        hosts = plan;
        return {};
    }

    Status remove_hosts() override
    {
        if (auto status = done("remove_hosts"); !status) {
            return status;
        }
        hosts = {};
        return {};
    }

    std::vector<ProcessId> running(const std::vector<ProcessId>& known) override
    {
        std::vector<ProcessId> found;
        for (const auto& id : known) {
            if (std::ranges::find(programs, id, &TunnelProgram::id) != programs.end()) {
                found.push_back(id);
            }
        }
        return found;
    }

    std::vector<TunnelProgram> tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                               const std::vector<std::string>&,
                                               const std::vector<std::string>&) override
    {
        calls.emplace_back("tunnel_programs");
        EXPECT_FALSE(held) << "programs are searched with the lock held";
        std::vector<TunnelProgram> found;
        for (const auto& program : programs) {
            const bool is_known = std::ranges::find(known, program.id) != known.end();
            const bool is_waiting =
                waiting && std::ranges::find(unknown, program.id.pid) != unknown.end();
            if (is_known || is_waiting) {
                found.push_back(program);
            }
        }
        return found;
    }

    Status signal(const ProcessId& process, int number) override
    {
        if (auto status = done("signal"); !status) {
            return status;
        }
        signals.emplace_back(process.pid, number);
        return {};
    }

    Status set_links_down() override
    {
        links_down = true;
        return done("set_links_down");
    }

    [[nodiscard]] bool closed() const { return !firewall.tables.empty(); }

    static bool has_belt(const Ruleset& ruleset)
    {
        return std::ranges::count(ruleset.tables, TableFamily::Netdev, &Table::family) != 0;
    }

    static bool is_belted(const Ruleset& ruleset, const InterfaceName& name)
    {
        for (const auto& table : ruleset.tables) {
            for (const auto& chain : table.chains) {
                if (chain.base && chain.base->device == name) {
                    return true;
                }
            }
        }
        return false;
    }

  private:
    static bool uses_stripping(const Ruleset& ruleset)
    {
        for (const auto& table : ruleset.tables) {
            for (const auto& chain : table.chains) {
                for (const auto& rule : chain.rules) {
                    if (std::ranges::any_of(rule.actions, [](const Action& action) {
                            return std::holds_alternative<StripMptcpOption>(action);
                        })) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    Status done(const std::string& call)
    {
        calls.push_back(call);
        return broken.contains(call) ? Status(fail(call)) : Status{};
    }
};

TunnelUp tunnel_up()
{
    TunnelUp event{{.interface = device("tun0")}, {}, {}};
    event.tunnel.addresses = {{IpAddress::parse("10.8.0.2").value(), 24}};
    event.tunnel.resolvers = {IpAddress::parse("10.8.0.1").value()};
    event.servers = {{Remote::parse("vpn.example.net:1194/udp").value(), {}, {}}};
    event.connected =
        Endpoint{IpAddress::parse("203.0.113.2").value(), Transport::Udp, Port::make(1194)};
    return event;
}

PortalRequested sign_in()
{
    return {1000, 998, {IpAddress::parse("192.168.50.1").value()}, Seconds{600}};
}

std::size_t position(const FakeSystem& system, const std::string& call)
{
    return static_cast<std::size_t>(
        std::distance(system.calls.begin(), std::ranges::find(system.calls, call)));
}

TEST(Engine, AFreshInstallIsNotChanged)
{
    FakeSystem system;
    const Outcome outcome = handle(system, ReapplyRequested{});
    EXPECT_EQ(outcome.protection, Outcome::Protection::Open);
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_EQ(system.calls, std::vector<std::string>{"lock"});
}

TEST(Engine, TunnelUpClosesFirewallFirstThenRoutesThenNames)
{
    FakeSystem system;
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_TRUE(outcome.enforced);
    EXPECT_EQ(system.saved.armed, Armed::Yes);
    EXPECT_LT(position(system, "save_state"), position(system, "replace_firewall"));
    EXPECT_LT(position(system, "replace_firewall"), position(system, "sync_routing"));
    EXPECT_LT(position(system, "sync_routing"), position(system, "destroy_foreign_flows"));
    EXPECT_LT(position(system, "sync_routing"), position(system, "apply_dns"));
    EXPECT_LT(position(system, "apply_dns"), position(system, "apply_hosts"));
}

TEST(Engine, RunningTwiceChangesNothing)
{
    FakeSystem system;
    handle(system, tunnel_up());
    system.calls.clear();
    handle(system, ReapplyRequested{});
    EXPECT_EQ(system.calls, (std::vector<std::string>{"lock", "save_state", "set_sysctls"}));
}

TEST(Engine, UnlockOpensNamesFirstThenRoutesThenFirewall)
{
    FakeSystem system;
    handle(system, tunnel_up());
    system.calls.clear();
    const Outcome outcome = handle(system, UnlockRequested{});
    EXPECT_EQ(outcome.protection, Outcome::Protection::Open);
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_LT(position(system, "restore_dns"), position(system, "remove_routing"));
    EXPECT_LT(position(system, "remove_routing"), position(system, "remove_firewall"));
    EXPECT_LT(position(system, "remove_firewall"), position(system, "save_state"));
    EXPECT_EQ(system.saved.armed, Armed::No);
    EXPECT_FALSE(system.closed());
}

TEST(Engine, DownKeepsTheLockAndRestoresNames)
{
    FakeSystem system;
    handle(system, tunnel_up());
    const Outcome outcome = handle(system, TunnelDown{device("tun0")});
    EXPECT_EQ(outcome.protection, Outcome::Protection::Closed);
    EXPECT_TRUE(system.closed());
    EXPECT_EQ(system.dns, DnsPlan{});
    EXPECT_FALSE(system.hosts.entries.empty());
}

/// Each call by itself failing, for each event that closes: the machine is closed afterwards
/// where the firewall could be loaded at all, and the exit code says the truth.
class EngineFailure : public testing::TestWithParam<const char*> {};

TEST_P(EngineFailure, EndsClosedOrReportsThatItDoesNot)
{
    for (const Event& event : {Event(tunnel_up()), Event(LockRequested{})}) {
        FakeSystem system;
        system.broken = {GetParam()};
        const Outcome outcome = handle(system, event);
        EXPECT_EQ(outcome.exit_code() == 2, !system.closed());
        EXPECT_EQ(outcome.protection == Outcome::Protection::Closed, system.closed());
    }
}

TEST_P(EngineFailure, KeepsAClosedMachineClosed)
{
    for (const Event& event :
         {Event(tunnel_up()), Event(LockRequested{}), Event(ReapplyRequested{}),
          Event(TunnelDown{device("tun0")}), Event(TunnelRestarted{}), Event(ServersResolved{}),
          Event(sign_in()), Event(PortalEnded{})}) {
        FakeSystem system;
        handle(system, tunnel_up());
        system.broken = {GetParam()};
        const Outcome outcome = handle(system, event);
        EXPECT_TRUE(system.closed()) << event.index();
        EXPECT_EQ(system.saved.armed, Armed::Yes);
        EXPECT_NE(outcome.protection, Outcome::Protection::Open);
    }
}

INSTANTIATE_TEST_SUITE_P(Calls, EngineFailure,
                         testing::Values("lock", "save_state", "observe", "firewall_exists",
                                         "replace_firewall", "full_firewall", "sync_routing",
                                         "destroy_foreign_flows", "set_sysctls", "apply_dns",
                                         "restore_dns", "apply_hosts", "admit_portal",
                                         "end_portal"),
                         [](const auto& call) { return std::string(call.param); });

TEST(Engine, WithoutTheFullRulesTheBaseFormCloses)
{
    FakeSystem system;
    system.broken = {"full_firewall"};
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_EQ(system.firewall, base_ruleset());
    EXPECT_EQ(outcome.exit_code(), 1);
    EXPECT_FALSE(outcome.enforced);
}

TEST(Engine, AnOldKernelGetsTheEssentialRules)
{
    FakeSystem system;
    system.old_kernel = true;
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_TRUE(outcome.enforced);
    EXPECT_EQ(outcome.warnings.size(), 2U);
    EXPECT_TRUE(system.closed());
    const Inspection found = inspect(system);
    EXPECT_EQ(firewall_form(system, found), Expressions::Essential);
    EXPECT_TRUE(differences(system, found).empty());
}

TEST(Engine, AConcurrentRemovalOfATableDoesNotMakeItLoadLess)
{
    FakeSystem system;
    system.meddled = true;
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_TRUE(outcome.warnings.empty());
    EXPECT_TRUE(FakeSystem::has_belt(system.firewall));
    EXPECT_TRUE(differences(system, inspect(system)).empty());
}

TEST(Engine, AKernelWithoutEgressGetsAllExceptTheBeltAndEveryRunReportsIt)
{
    FakeSystem system;
    system.has_egress = false;
    for (const Event& event : {Event(tunnel_up()), Event(ReapplyRequested{})}) {
        const Outcome outcome = handle(system, event);
        EXPECT_EQ(outcome.exit_code(), 0);
        EXPECT_TRUE(outcome.enforced);
        EXPECT_EQ(outcome.warnings,
                  std::vector<std::string>{"no device guard (lock 3): no such family"});
    }
    const Inspection found = inspect(system);
    EXPECT_EQ(firewall_form(system, found), Expressions::WithoutBelt);
    EXPECT_TRUE(differences(system, found).empty());
    system.has_egress = true;
    EXPECT_TRUE(handle(system, ReapplyRequested{}).warnings.empty());
    EXPECT_TRUE(FakeSystem::has_belt(system.firewall));
    EXPECT_EQ(firewall_form(system, inspect(system)), Expressions::All);
}

TEST(Engine, TheBeltStaysIfLinksCannotBeRead)
{
    FakeSystem system;
    system.snapshot.links.push_back({.name = device("eth0"), .index = 2, .up = true});
    handle(system, tunnel_up());
    ASSERT_TRUE(FakeSystem::is_belted(system.firewall, device("eth0")));
    system.broken = {"observe"};
    for (const Event& event : {Event(ReapplyRequested{}), Event(tunnel_up())}) {
        EXPECT_EQ(handle(system, event).exit_code(), 1);
        EXPECT_TRUE(FakeSystem::is_belted(system.firewall, device("eth0")));
    }
}

TEST(Engine, ARemovedBeltIsReported)
{
    FakeSystem system;
    handle(system, tunnel_up());
    std::erase_if(system.firewall.tables,
                  [](const Table& table) { return table.family == TableFamily::Netdev; });
    const Inspection found = inspect(system);
    EXPECT_EQ(firewall_form(system, found), std::nullopt);
    EXPECT_FALSE(differences(system, found).empty());
}

TEST(Engine, ADeviceThatVanishesDuringTheRunKeepsTheGuardsOfOthers)
{
    FakeSystem system;
    system.snapshot.links.push_back({.name = device("eth0"), .index = 2, .up = true});
    system.snapshot.links.push_back({.name = device("usb0"), .index = 3, .up = true});
    system.vanishing = {device("usb0")};
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_TRUE(outcome.enforced);
    EXPECT_TRUE(outcome.warnings.empty());
    EXPECT_TRUE(FakeSystem::is_belted(system.firewall, device("eth0")));
    EXPECT_FALSE(FakeSystem::is_belted(system.firewall, device("usb0")));
    system.vanishing.clear();
    system.snapshot.links.push_back({.name = device("usb0"), .index = 4, .up = true});
    handle(system, UnderlayChanged{});
    EXPECT_TRUE(FakeSystem::is_belted(system.firewall, device("usb0"))) << "it is back";
}

TEST(Engine, ADeviceCreatedAgainDuringTheRunRemovesNoGuard)
{
    FakeSystem system;
    system.snapshot.links.push_back({.name = device("eth0"), .index = 2, .up = true});
    system.replaced_device = true;
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_TRUE(outcome.enforced);
    EXPECT_TRUE(outcome.warnings.empty());
    EXPECT_TRUE(FakeSystem::is_belted(system.firewall, device("eth0")));
}

TEST(Engine, AtBootLinksGoDownIfNoFirewallLoads)
{
    FakeSystem system;
    system.broken = {"replace_firewall", "full_firewall"};
    const Outcome outcome = handle(system, LockRequested{{}, true});
    EXPECT_TRUE(system.links_down);
    EXPECT_EQ(outcome.exit_code(), 2);
    FakeSystem later;
    later.broken = {"replace_firewall", "full_firewall"};
    handle(later, LockRequested{{}, false});
    EXPECT_FALSE(later.links_down);
}

TEST(Engine, DamagedStateIsClosed)
{
    FakeSystem system;
    system.state_damage = {"state: damaged"};
    const Outcome outcome = handle(system, ReapplyRequested{});
    EXPECT_TRUE(system.closed());
    EXPECT_EQ(outcome.protection, Outcome::Protection::Closed);
    EXPECT_EQ(outcome.exit_code(), 1);
}

TEST(Engine, DamagedStateCanBeUnlocked)
{
    FakeSystem system;
    system.state_damage = {"state: damaged"};
    system.config_damage = {"configuration: damaged"};
    handle(system, ReapplyRequested{});
    EXPECT_EQ(handle(system, UnlockRequested{}).exit_code(), 0);
    EXPECT_FALSE(system.closed());
}

TEST(Engine, DamagedConfigurationIsTheStrictest)
{
    FakeSystem system;
    system.config_damage = {"configuration: damaged"};
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_EQ(outcome.config, strictest_config());
    EXPECT_TRUE(outcome.enforced);
    EXPECT_EQ(outcome.exit_code(), 1);
}

/// Unlocked once, and locked again while nothing could be written.
TEST(Engine, RulesInTheKernelOverrideAnOutdatedFile)
{
    for (const Event& event : {Event(ReapplyRequested{}), Event(TunnelDown{device("tun0")}),
                               Event(TunnelRestarted{}), Event(ServersResolved{})}) {
        FakeSystem system;
        handle(system, tunnel_up());
        handle(system, UnlockRequested{});
        system.broken = {"save_state"};
        EXPECT_EQ(handle(system, LockRequested{}).exit_code(), 1);
        ASSERT_TRUE(system.closed());
        EXPECT_EQ(inspect(system).state.armed, Armed::Yes);
        const Outcome outcome = handle(system, event);
        EXPECT_TRUE(system.closed()) << event.index();
        EXPECT_EQ(outcome.protection, Outcome::Protection::Closed);
    }
}

TEST(Engine, TablesWithoutAnyFileAreClosed)
{
    FakeSystem system;
    system.firewall = base_ruleset();
    const Outcome outcome = handle(system, ReapplyRequested{});
    EXPECT_EQ(outcome.state.armed, Armed::Yes);
    EXPECT_TRUE(outcome.enforced);
}

TEST(Engine, UnlockThatCannotRestoreNamesStaysClosed)
{
    for (const char* call : {"restore_dns", "remove_hosts", "remove_routing", "remove_firewall"}) {
        FakeSystem system;
        handle(system, tunnel_up());
        system.broken = {call};
        const Outcome outcome = handle(system, UnlockRequested{});
        EXPECT_TRUE(system.closed()) << call;
        EXPECT_EQ(outcome.exit_code(), 1);
        EXPECT_EQ(system.saved.armed, Armed::Yes);
    }
}

TEST(Engine, ATunnelOnAnUnsuitableDeviceOnlyLocks)
{
    FakeSystem system;
    system.snapshot.links.back().can_be_tunnel = false;
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_TRUE(system.closed());
    EXPECT_TRUE(outcome.state.tunnels.empty());
    EXPECT_FALSE(outcome.state.servers.empty());
    EXPECT_FALSE(outcome.enforced);
    EXPECT_EQ(outcome.exit_code(), 1);
}

TEST(Engine, WithoutRulesAndRoutesAnUpIsNotEnforced)
{
    FakeSystem system;
    system.broken = {"sync_routing"};
    const Outcome outcome = handle(system, tunnel_up());
    EXPECT_TRUE(system.closed());
    EXPECT_FALSE(outcome.enforced);
    EXPECT_EQ(outcome.exit_code(), 1);
    EXPECT_EQ(std::ranges::count(system.calls, "sync_routing"), 2) << "looked at again, once";
}

TEST(Engine, AnUnsavedOpeningReportsThatTheMachineIsOpen)
{
    FakeSystem system;
    handle(system, tunnel_up());
    system.broken = {"save_state"};
    const Outcome outcome = handle(system, UnlockRequested{});
    EXPECT_FALSE(system.closed());
    EXPECT_EQ(outcome.protection, Outcome::Protection::Open);
    EXPECT_EQ(outcome.exit_code(), 2);
}

TEST(Engine, UnlockWaitsForOtherRuns)
{
    FakeSystem system;
    handle(system, tunnel_up());
    system.broken = {"lock"};
    const Outcome outcome = handle(system, UnlockRequested{});
    EXPECT_TRUE(system.closed());
    EXPECT_EQ(outcome.exit_code(), 1);
}

TEST(Engine, LinksThatCannotBeReadForgetNoTunnel)
{
    FakeSystem system;
    handle(system, tunnel_up());
    system.broken = {"observe"};
    const Outcome outcome = handle(system, ReapplyRequested{});
    EXPECT_EQ(outcome.state.tunnels.size(), 1U);
    EXPECT_NE(system.dns, DnsPlan{});
}

TEST(Engine, EnsureClosedLoadsTheBaseFormIfNoTableIsLoaded)
{
    FakeSystem system;
    ASSERT_TRUE(ensure_closed(system));
    EXPECT_EQ(system.firewall, base_ruleset());
    handle(system, tunnel_up());
    const Ruleset full = system.firewall;
    ASSERT_TRUE(ensure_closed(system));
    EXPECT_EQ(system.firewall, full);
}

TEST(Engine, AfterAnExceptionAllLocksAreClosedIfPossible)
{
    FakeSystem system;
    ASSERT_TRUE(close_after_exception(system, {}));
    EXPECT_EQ(system.saved.armed, Armed::Yes);
    EXPECT_EQ(system.firewall, inspect(system).wanted.firewall);
    EXPECT_TRUE(differences(system, inspect(system)).empty());
}

TEST(Engine, AfterASecondExceptionTheBaseFormIsLoaded)
{
    FakeSystem system;
    system.out_of_memory = true;
    ASSERT_TRUE(close_after_exception(system, {}));
    EXPECT_EQ(system.firewall, base_ruleset());
    system.firewall = {};
    system.broken = {"replace_firewall"};
    EXPECT_FALSE(close_after_exception(system, {}));
}

TEST(Engine, DifferencesNameEachChangedPart)
{
    FakeSystem system;
    handle(system, tunnel_up());
    EXPECT_TRUE(differences(system, inspect(system)).empty());
    system.firewall = base_ruleset();
    EXPECT_EQ(firewall_form(system, inspect(system)), std::nullopt);
    system.routing = {};
    system.dns = {};
    system.hosts = {};
    EXPECT_EQ(differences(system, inspect(system)).size(), 4U);
}

/// A closed machine without a tunnel.
class PortalTest : public testing::Test {
  protected:
    PortalTest()
    {
        system_.snapshot.uptime = Seconds{5000};
        handle(system_, LockRequested{});
        system_.calls.clear();
    }

    FakeSystem system_;
};

TEST_F(PortalTest, IsAdmittedAfterRulesAndRoutesAreLoaded)
{
    const Outcome outcome = handle(system_, sign_in());
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_TRUE(outcome.enforced);
    EXPECT_LT(position(system_, "replace_firewall"), position(system_, "admit_portal"));
    EXPECT_LT(position(system_, "sync_routing"), position(system_, "admit_portal"));
    ASSERT_TRUE(system_.portal);
    EXPECT_EQ(system_.portal, system_.saved.portal);
    EXPECT_EQ(system_.portal->gid, gid_t{998});
    EXPECT_EQ(system_.remaining, Seconds{600});
}

TEST_F(PortalTest, ReloadedRulesAdmitForTheRemainingTime)
{
    handle(system_, sign_in());
    system_.snapshot.uptime += Seconds{60};
    system_.calls.clear();
    handle(system_, ReapplyRequested{});
    EXPECT_EQ(position(system_, "admit_portal"), system_.calls.size()) << "nothing was loaded";
    system_.snapshot.links.push_back({.name = device("eth0"), .index = 2, .up = true});
    handle(system_, UnderlayChanged{});
    EXPECT_TRUE(system_.portal);
    EXPECT_EQ(system_.remaining, Seconds{540});
}

TEST_F(PortalTest, ASecondSignInReplacesTheFirst)
{
    handle(system_, sign_in());
    system_.calls.clear();
    PortalRequested other = sign_in();
    other.gid.reset();
    other.uid = 1001;
    handle(system_, other);
    EXPECT_LT(position(system_, "end_portal"), position(system_, "admit_portal"));
    ASSERT_TRUE(system_.portal);
    EXPECT_EQ(system_.portal->uid, 1001U);
}

TEST_F(PortalTest, EndsWithTheProgramTheTimeTheTunnelAndTheLock)
{
    for (const Event& event :
         {Event(PortalEnded{}), Event(tunnel_up()), Event(UnlockRequested{})}) {
        FakeSystem system = system_;
        handle(system, sign_in());
        ASSERT_TRUE(system.portal);
        handle(system, event);
        EXPECT_FALSE(system.saved.portal) << event.index();
        EXPECT_FALSE(system.portal && system.closed()) << event.index();
    }
    handle(system_, sign_in());
    system_.snapshot.uptime += Seconds{601};
    system_.calls.clear();
    handle(system_, UnderlayChanged{});
    EXPECT_FALSE(system_.saved.portal);
    EXPECT_LT(position(system_, "end_portal"), position(system_, "replace_firewall"));
}

TEST_F(PortalTest, RefusalsStateTheReason)
{
    handle(system_, tunnel_up());
    const Outcome outcome = handle(system_, sign_in());
    EXPECT_EQ(outcome.exit_code(), 1);
    ASSERT_EQ(outcome.errors.size(), 1U);
    EXPECT_EQ(outcome.errors.front().find("sign-in: a tunnel is up"), 0U);
    EXPECT_TRUE(outcome.enforced);
    EXPECT_FALSE(system_.portal);
}

TEST_F(PortalTest, IsNotAdmittedIfTheRulesCouldNotBeLoaded)
{
    system_.broken = {"full_firewall"};
    const Outcome outcome = handle(system_, sign_in());
    EXPECT_EQ(outcome.exit_code(), 1);
    EXPECT_FALSE(system_.portal);
    EXPECT_TRUE(system_.closed());
}

/// A closed machine whose tunnel is up over eth0.
class ReconnectTest : public testing::Test {
  protected:
    ReconnectTest()
    {
        Link eth0{.name = device("eth0"), .index = 2, .up = true};
        eth0.addresses = {{IpAddress::parse("192.168.50.10").value(), 24}};
        system_.snapshot.links.push_back(eth0);
        system_.snapshot.main_routes = route();
        system_.programs = {{kProgram, true, true, true}};
        TunnelUp up = tunnel_up();
        up.tunnel.owner = kProgram;
        handle(system_, up);
        system_.signals.clear();
    }

    static std::vector<MainRoute> route()
    {
        return {{IpPrefix::any(Family::V4), 2, IpAddress::parse("192.168.50.1"), 100}};
    }

    /// The network goes and comes back; the event is told both.
    Outcome flap(const Event& event = UnderlayChanged{})
    {
        system_.snapshot.main_routes.clear();
        handle(system_, event);
        EXPECT_TRUE(system_.signals.empty()) << "there is no program to reach";
        system_.snapshot.main_routes = route();
        return handle(system_, event);
    }

    using Signals = std::vector<std::pair<pid_t, int>>;
    static constexpr ProcessId kProgram{1000, 4711};
    FakeSystem system_;
};

TEST_F(ReconnectTest, SendsOneSignalForManyEvents)
{
    const Outcome outcome = flap();
    EXPECT_EQ(system_.signals, (Signals{{1000, SIGHUP}}));
    ASSERT_EQ(outcome.notices.size(), 1U);
    EXPECT_NE(outcome.notices.front().find("1000"), std::string::npos);
    for (int i = 0; i < 100; ++i) {
        handle(system_, UnderlayChanged{});
        handle(system_, ReapplyRequested{});
    }
    EXPECT_EQ(system_.signals.size(), 1U);
}

TEST_F(ReconnectTest, TellsProgramsAfterAllChanges)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.dns = {};
    system_.routing = {};
    system_.calls.clear();
    handle(system_, UnderlayChanged{});
    EXPECT_LT(position(system_, "sync_routing"), position(system_, "signal"));
    EXPECT_LT(position(system_, "apply_dns"), position(system_, "signal"));
}

TEST_F(ReconnectTest, AnInterruptedRunLeavesTheSignalToTheNextOne)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    const State before = system_.saved;
    system_.snapshot.main_routes = route();
    handle(system_, UnderlayChanged{});
    // As if it had ended between the signal and the end.
    system_.saved = before;
    handle(system_, UnderlayChanged{});
    EXPECT_EQ(system_.signals.size(), 2U);
}

TEST_F(ReconnectTest, TheProgramsOwnEventsSendItNoSignal)
{
    TunnelUp up = tunnel_up();
    up.tunnel.owner = kProgram;
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    handle(system_, TunnelDown{device("tun0"), kProgram});
    handle(system_, up);
    handle(system_, UnderlayChanged{});
    EXPECT_TRUE(system_.signals.empty()) << "it noticed the network before we did";
}

TEST_F(ReconnectTest, AProgramBetweenDownAndUpIsTold)
{
    handle(system_, TunnelDown{device("tun0"), kProgram});
    flap();
    EXPECT_EQ(system_.signals, (Signals{{1000, SIGHUP}}));
}

TEST_F(ReconnectTest, ProgramsWithoutATunnelAreSearchedFor)
{
    system_.programs.push_back({{2000, 1}, true, true, false});
    system_.unknown = {2000};
    flap();
    EXPECT_EQ(system_.signals, (Signals{{1000, SIGHUP}, {2000, SIGUSR1}}));
}

TEST_F(ReconnectTest, EndedProgramsAreNotTold)
{
    system_.programs.clear();
    flap();
    EXPECT_TRUE(system_.signals.empty());
}

TEST_F(ReconnectTest, EndedProgramsAreForgotten)
{
    const TunnelProgram other{{2000, 1}, true, true, true};
    TunnelUp up = tunnel_up();
    up.tunnel.owner = other.id;
    handle(system_, up);
    EXPECT_EQ(system_.saved.programs.size(), 2U);
    flap();
    ASSERT_EQ(system_.saved.programs.size(), 1U);
    EXPECT_EQ(system_.saved.programs.front().id, kProgram);
}

TEST_F(ReconnectTest, OnlyOneOfTwoConcurrentRunsTells)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.broken = {"lock"};
    handle(system_, UnderlayChanged{});
    EXPECT_TRUE(system_.signals.empty());
    EXPECT_TRUE(system_.closed());
    system_.broken.clear();
    handle(system_, UnderlayChanged{});
    EXPECT_EQ(system_.signals.size(), 1U) << "the next one does";
}

// Another run may do its work while programs are searched without the lock.
TEST_F(ReconnectTest, ProgramsToldByAnotherRunAreNotToldAgain)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.locks = 0;
    system_.meanwhile = [&] { handle(system_, UnderlayChanged{}); };
    handle(system_, UnderlayChanged{});
    EXPECT_EQ(system_.signals.size(), 1U);
}

TEST_F(ReconnectTest, AnUnlockByAnotherRunIsKept)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.locks = 0;
    system_.meanwhile = [&] { handle(system_, UnlockRequested{}); };
    handle(system_, UnderlayChanged{});
    EXPECT_TRUE(system_.signals.empty());
    EXPECT_EQ(system_.saved.armed, Armed::No);
}

// The state on the disk is then an older one, which does not tell that `unlock` came.
TEST_F(ReconnectTest, AnUnlockAfterAnUnsavedStateIsKept)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.locks = 0;
    system_.broken = {"save_state"};
    system_.meanwhile = [&] {
        system_.broken.clear();
        handle(system_, UnlockRequested{});
    };
    handle(system_, UnderlayChanged{});
    EXPECT_TRUE(system_.signals.empty());
    EXPECT_EQ(system_.saved.armed, Armed::No);
}

TEST_F(ReconnectTest, AStateThatCannotBeSavedIsReportedOnce)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.broken = {"save_state"};
    system_.calls.clear();
    const Outcome outcome = handle(system_, UnderlayChanged{});
    EXPECT_EQ(std::ranges::count(system_.calls, "save_state"), 2);
    EXPECT_EQ(std::ranges::count_if(
                  outcome.errors,
                  [](const auto& line) { return line.starts_with("saving the state: "); }),
              1);
}

TEST_F(ReconnectTest, ATunnelOfAnotherRunIsKept)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    const TunnelProgram other{{2000, 1}, true, true, true};
    system_.programs.push_back(other);
    system_.locks = 0;
    system_.meanwhile = [&] {
        TunnelUp up = tunnel_up();
        up.tunnel.owner = other.id;
        handle(system_, up);
    };
    handle(system_, UnderlayChanged{});
    EXPECT_NE(std::ranges::find(system_.saved.programs, other.id, &Program::id),
              system_.saved.programs.end());
    EXPECT_EQ(std::ranges::count(system_.signals, kProgram.pid, &std::pair<pid_t, int>::first), 1);
}

TEST_F(ReconnectTest, WithoutTheLockTheNextRunTells)
{
    system_.snapshot.main_routes.clear();
    handle(system_, UnderlayChanged{});
    system_.snapshot.main_routes = route();
    system_.locks = 0;
    system_.meanwhile = [&] { system_.broken = {"lock"}; };
    const Outcome outcome = handle(system_, UnderlayChanged{});
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_EQ(outcome.warnings.size(), 1U);
    EXPECT_TRUE(system_.signals.empty());
    system_.broken.clear();
    handle(system_, UnderlayChanged{});
    EXPECT_EQ(system_.signals.size(), 1U);
}

TEST_F(ReconnectTest, ASignalThatFailsIsAWarning)
{
    system_.broken = {"signal"};
    const Outcome outcome = flap();
    EXPECT_EQ(outcome.exit_code(), 0);
    EXPECT_EQ(outcome.warnings.size(), 1U);
    EXPECT_TRUE(outcome.notices.empty());
}

TEST_F(ReconnectTest, SendsNoSignalIfConfigured)
{
    system_.config.reconnect_signal = ReconnectSignal::None;
    flap();
    EXPECT_TRUE(system_.signals.empty());
}

TEST_F(ReconnectTest, LockSendsNoSignal)
{
    handle(system_, UnlockRequested{});
    system_.unknown = {1000};
    handle(system_, LockRequested{{{Remote::parse("203.0.113.2:1194/udp").value(), {}, {}}}});
    EXPECT_TRUE(system_.signals.empty()) << "the network is as it was";
    flap();
    EXPECT_EQ(system_.signals.size(), 1U);
}

TEST_F(ReconnectTest, ASecondLockKeepsATunnelWhoseProgramRuns)
{
    system_.snapshot.links[1].addresses = {{IpAddress::parse("10.8.0.2").value(), 24}};
    handle(system_, UnlockRequested{});
    EXPECT_EQ(system_.dns, DnsPlan{});
    const State opened = system_.saved;
    handle(system_, LockRequested{});
    EXPECT_EQ(system_.saved.tunnels.size(), 1U);
    EXPECT_NE(system_.dns, DnsPlan{});
    handle(system_, UnlockRequested{});
    system_.saved = opened;
    system_.programs.clear();
    handle(system_, LockRequested{});
    EXPECT_TRUE(system_.saved.tunnels.empty());
}

TEST_F(ReconnectTest, RulesLoadedByAnotherProgramRestoreNoTunnel)
{
    const Ruleset rules = system_.firewall;
    handle(system_, UnlockRequested{});
    ASSERT_EQ(system_.saved.tunnels.size(), 1U);
    system_.firewall = rules;
    EXPECT_TRUE(inspect(system_).state.tunnels.empty());
    const Outcome outcome = handle(system_, UnderlayChanged{});
    EXPECT_EQ(outcome.protection, Outcome::Protection::Closed);
    EXPECT_TRUE(outcome.state.tunnels.empty());
}

TEST_F(ReconnectTest, AnOpenMachineSendsNoSignal)
{
    handle(system_, UnlockRequested{});
    system_.unknown = {1000};
    flap();
    EXPECT_TRUE(system_.signals.empty());
    EXPECT_FALSE(system_.closed());
}

} // namespace
} // namespace failclosed
