// SPDX-License-Identifier: GPL-3.0-or-later
// Implements the engine's port with the appliers.
#include "core/engine/live_system.hpp"

#include "core/apply/dns/hosts.hpp"
#include "core/apply/kernel/links.hpp"
#include "core/apply/kernel/observe.hpp"
#include "core/apply/kernel/sockets.hpp"
#include "core/apply/kernel/sysctl.hpp"
#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/process.hpp"
#include "core/apply/storage/journal.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/firewall/firewall.hpp"

namespace failclosed {

namespace {

constexpr const char* kRunDirectory = "/run/failclosed";
constexpr const char* kPersistentDirectory = "/var/lib/failclosed";

const std::vector<TableName>& our_tables()
{
    static const std::vector<TableName> tables = {{TableFamily::Inet, kTableName},
                                                  {TableFamily::Arp, kTableName},
                                                  {TableFamily::Netdev, kTableName}};
    return tables;
}

/// Longer than a run: a run waits at most 15 s for other programs.
constexpr Seconds kLongestWait{20};

} // namespace

LiveSystem::~LiveSystem()
{
    if (nftables_ && closing_ == Closing::AfterExit) {
        Nftables::close_in_background(std::move(*nftables_));
    }
}

const char* LiveSystem::persistent_directory()
{
    return kPersistentDirectory;
}

const char* LiveSystem::run_directory()
{
    return kRunDirectory;
}

std::string LiveSystem::refresh_stamp()
{
    return std::string(kRunDirectory) + "/refreshed";
}

Status LiveSystem::lock()
{
    return lock(kLongestWait);
}

Status LiveSystem::lock(Seconds wait)
{
    TRY(lock_.take(kRunDirectory, wait));
    remember_rules();
    return {};
}

void LiveSystem::wait_for_another_run(std::chrono::milliseconds time)
{
    lock_.wait_for_another_run(time);
}

void LiveSystem::release()
{
    lock_.release();
}

LoadedConfig LiveSystem::load_config()
{
    auto stored = failclosed::load_config();
    return {std::move(stored.config), std::move(stored.damage)};
}

LoadedState LiveSystem::load_state()
{
    auto stored = store_.load();
    return {std::move(stored.state), stored.absent, std::move(stored.damage)};
}

Status LiveSystem::save_state(const State& state)
{
    return store_.save(state);
}

Result<Snapshot> LiveSystem::observe()
{
    return failclosed::observe();
}

void LiveSystem::remember_rules()
{
    // Without the lock another run may be writing the file.
    if (reading_ == Reading::Changes && lock_.is_held() && nftables_) {
        nftables_->remember_in(FirewallMemory(kRunDirectory));
    }
}

Result<Nftables*> LiveSystem::nftables()
{
    if (!nftables_) {
        nftables_ = TRY(Nftables::open());
        remember_rules();
    }
    return &*nftables_;
}

Result<Routing*> LiveSystem::routing()
{
    if (!routing_) {
        routing_.emplace(TRY(Routing::open()));
    }
    return &*routing_;
}

Result<bool> LiveSystem::firewall_exists()
{
    return TRY(nftables())->exists();
}

Result<bool> LiveSystem::firewall_holds(const Ruleset& ruleset)
{
    return TRY(nftables())->holds(ruleset);
}

bool LiveSystem::has_egress_hook()
{
    const auto firewall = nftables();
    return firewall && (*firewall)->has_egress_hook();
}

Status LiveSystem::replace_firewall(const Ruleset& ruleset)
{
    return TRY(nftables())->replace(ruleset);
}

Status LiveSystem::load_beside(const Ruleset& ruleset)
{
    static_cast<void>(FirewallMemory(kRunDirectory).forget());
    return TRY(nftables())->load(ruleset);
}

Status LiveSystem::remove_firewall()
{
    static_cast<void>(FirewallMemory(kRunDirectory).forget());
    return TRY(nftables())->remove(our_tables());
}

Result<bool> LiveSystem::routing_holds(const RoutingPlan& plan)
{
    return TRY(routing())->holds(plan);
}

Status LiveSystem::sync_routing(const RoutingPlan& plan)
{
    auto* const routes = TRY(routing());
    TRY(routes->sync(plan));
    return {};
}

Status LiveSystem::remove_routing()
{
    return TRY(routing())->remove();
}

Result<unsigned> LiveSystem::destroy_foreign_flows(const State& state, const Config& config,
                                                   const Snapshot& snapshot)
{
    return TRY(failclosed::destroy_foreign_flows(FlowPolicy(state, config, snapshot))).destroyed;
}

Status LiveSystem::set_sysctls(const State& state)
{
    const auto wanted = plan_sysctls(state);
    std::vector<SysctlRecord> changes;
    for (const auto& parameter : wanted) {
        const auto value = read_sysctl(parameter.name);
        if (value && *value != parameter.value) {
            changes.push_back({parameter.name, parameter.value, *value});
        }
    }
    if (changes.empty()) {
        return {};
    }
    // The former values are durable before they change.
    TRY(JournalFile(kPersistentDirectory).remember_sysctls(changes));
    const auto outcome = failclosed::set_sysctls(wanted);
    return outcome.refused.empty() ? Status{} : Status(Failure(outcome.refused.front()));
}

Status LiveSystem::restore_sysctls()
{
    const JournalFile file(kPersistentDirectory);
    const auto journal = TRY(file.load());
    if (journal.sysctls.empty()) {
        return {};
    }
    TRY(failclosed::restore_sysctls(journal.sysctls));
    return file.forget_sysctls();
}

Result<bool> LiveSystem::dns_holds(const DnsPlan& plan)
{
    return dns_.holds(plan);
}

Status LiveSystem::apply_dns(const DnsPlan& plan)
{
    TRY(dns_.apply(plan));
    return {};
}

Status LiveSystem::restore_dns()
{
    return dns_.restore();
}

Result<bool> LiveSystem::hosts_hold(const HostsPlan& plan)
{
    return failclosed::hosts_hold(plan);
}

Status LiveSystem::apply_hosts(const HostsPlan& plan)
{
    return failclosed::apply_hosts(plan);
}

Status LiveSystem::remove_hosts()
{
    return failclosed::remove_hosts();
}

std::vector<ProcessId> LiveSystem::running(const std::vector<ProcessId>& known)
{
    std::vector<ProcessId> running;
    for (const auto& id : known) {
        const auto process = read_process(id.pid);
        if (process && process->id == id) {
            running.push_back(id);
        }
    }
    return running;
}

std::vector<TunnelProgram> LiveSystem::tunnel_programs(const std::vector<ProcessId>& known,
                                                       bool waiting,
                                                       const std::vector<std::string>& patterns,
                                                       const std::vector<std::string>& files)
{
    return find_tunnel_programs(known, waiting, patterns, files);
}

Status LiveSystem::signal(const ProcessId& process, int number)
{
    return send_signal(process, number);
}

Status LiveSystem::set_links_down()
{
    return failclosed::set_links_down();
}

Result<Counters> LiveSystem::counters()
{
    return TRY(nftables())->counters(our_tables());
}

Result<std::vector<ForeignRule>> LiveSystem::foreign_rules()
{
    return TRY(routing())->foreign_rules();
}

Result<std::vector<std::string>> LiveSystem::guarded_devices()
{
    return TRY(nftables())->devices({TableFamily::Netdev, kTableName});
}

Status LiveSystem::admit_bootstrap(const IpAddress& resolver, Seconds time)
{
    return admit(bootstrap_elements(resolver), time);
}

Result<LiveSystem::LeavingTables> LiveSystem::leaving_tables()
{
    auto* const firewall = TRY(nftables());
    auto names = TRY(firewall->loaded({{TableFamily::Netdev, kTableName}}));
    names.push_back(our_tables().front());
    return LeavingTables{firewall, std::move(names)};
}

Status LiveSystem::admit(const Set& set, Seconds time)
{
    const auto leaving = TRY(leaving_tables());
    for (const auto& table : leaving.names) {
        TRY(leaving.firewall->add_timed(table, set, time));
    }
    return {};
}

Status LiveSystem::admit_portal(const Portal& portal, Seconds remaining)
{
    for (const Set& set : portal_elements(portal)) {
        TRY(admit(set, remaining));
    }
    return {};
}

Status LiveSystem::end_portal()
{
    const auto leaving = TRY(leaving_tables());
    Status ended;
    for (const auto& table : leaving.names) {
        const auto flushed = leaving.firewall->flush(table, portal_sets());
        // Rules without a sign-in do not have these sets.
        if (!flushed && flushed.error().number() != ENOENT) {
            ended = flushed;
        }
    }
    return ended;
}

} // namespace failclosed
