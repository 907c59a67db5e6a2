// SPDX-License-Identifier: GPL-3.0-or-later
// The engine's port to this machine: kernel, files and D-Bus.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/apply/dns/dns.hpp"
#include "core/apply/kernel/nftables.hpp"
#include "core/apply/kernel/routing.hpp"
#include "core/apply/storage/run_lock.hpp"
#include "core/apply/storage/state_store.hpp"
#include "core/engine/system.hpp"

namespace failclosed {

/// Opens sockets and files at first use, and keeps them for the run.
class LiveSystem final : public System {
  public:
    /// How much of the kernel's rules is read.
    enum class Reading : std::uint8_t {
        Everything, ///< for commands
        Changes,    ///< for hooks, which must be fast: changes since an earlier hook
    };

    /// When to wait until the kernel has freed replaced rules.
    enum class Closing : std::uint8_t {
        AfterExit, ///< in a child, after this process has ended: for short-lived processes
        Here,      ///< milliseconds, in the destructor
    };

    explicit LiveSystem(Reading reading = Reading::Everything, Closing closing = Closing::AfterExit)
        : reading_(reading), closing_(closing)
    {
    }

    LiveSystem(const LiveSystem&) = delete;
    LiveSystem& operator=(const LiveSystem&) = delete;
    ~LiveSystem() override;

    /// The folder of the journal and of persistent state.
    static const char* persistent_directory();

    /// The folder of state that is valid until the next boot.
    static const char* run_directory();

    /// The file with the time of the last look-up of servers' names.
    static std::string refresh_stamp();

    Status lock() override;
    /// The same, for at most `wait`.
    Status lock(Seconds wait);
    /// Releases the lock of the run, and returns when another run has released it after that, or
    /// after `time`. A run that ends at the same moment may be missed: the caller must check again
    /// in either case.
    void wait_for_another_run(std::chrono::milliseconds time);
    void release() override;
    LoadedConfig load_config() override;
    LoadedState load_state() override;
    Status save_state(const State& state) override;
    Result<Snapshot> observe() override;

    Result<bool> firewall_exists() override;
    Result<bool> firewall_holds(const Ruleset& ruleset) override;
    bool has_egress_hook() override;
    Status replace_firewall(const Ruleset& ruleset) override;
    Status load_beside(const Ruleset& ruleset) override;
    Status remove_firewall() override;

    Status admit_portal(const Portal& portal, Seconds remaining) override;
    Status end_portal() override;

    Result<bool> routing_holds(const RoutingPlan& plan) override;
    Status sync_routing(const RoutingPlan& plan) override;
    Status remove_routing() override;

    Result<unsigned> destroy_foreign_flows(const State& state, const Config& config,
                                           const Snapshot& snapshot) override;

    Status set_sysctls(const State& state) override;
    Status restore_sysctls() override;

    Result<bool> dns_holds(const DnsPlan& plan) override;
    Status apply_dns(const DnsPlan& plan) override;
    Status restore_dns() override;

    Result<bool> hosts_hold(const HostsPlan& plan) override;
    Status apply_hosts(const HostsPlan& plan) override;
    Status remove_hosts() override;

    std::vector<ProcessId> running(const std::vector<ProcessId>& known) override;
    std::vector<TunnelProgram> tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                               const std::vector<std::string>& patterns,
                                               const std::vector<std::string>& files) override;
    Status signal(const ProcessId& process, int number) override;

    Status set_links_down() override;

    /// Counters of our rules since they were first loaded.
    Result<Counters> counters();

    /// The policy rules of other programs.
    Result<std::vector<ForeignRule>> foreign_rules();

    /// The devices with a chain of lock 3.
    Result<std::vector<std::string>> guarded_devices();

    /// Admits queries of the refresh helper to this resolver outside the tunnel, for `time`.
    Status admit_bootstrap(const IpAddress& resolver, Seconds time);

  private:
    struct LeavingTables {
        Nftables* firewall;
        std::vector<TableName> names;
    };

    /// The tables that filter leaving packets, netdev first, which not every kernel supports.
    Result<LeavingTables> leaving_tables();

    /// Adds `elements` in all tables that filter leaving packets.
    Status admit(const Set& set, Seconds time);

    /// Gives nftables_ the notes of earlier runs, if this run may use them.
    void remember_rules();

    Result<Nftables*> nftables();
    Result<Routing*> routing();

    Reading reading_;
    Closing closing_;
    RunLock lock_;
    StateStore store_;
    Dns dns_;
    std::optional<Nftables> nftables_;
    std::optional<Routing> routing_;
};

} // namespace failclosed
