// SPDX-License-Identifier: GPL-3.0-or-later
// The narrow port through which the engine sees and changes the world.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/snapshot.hpp"
#include "core/plan/dns.hpp"
#include "core/plan/hosts.hpp"
#include "core/plan/routing.hpp"
#include "core/plan/ruleset.hpp"
#include "core/plan/underlay.hpp"

namespace failclosed {

/// What was found of an earlier run.
struct LoadedState {
    State state;
    /// No state file was found: a fresh installation, as far as files tell.
    bool absent = false;
    /// Why something could not be read; the state is then closed.
    std::vector<std::string> damage;
};

struct LoadedConfig {
    Config config;
    /// Why the strictest configuration stands in for what is written.
    std::vector<std::string> damage;
};

/// Everything that the engine does outside of itself. One object is one run: it holds the run's
/// lock from `lock` until `release`, or until it is destroyed.
class System {
  public:
    virtual ~System() = default;

    /// Waits for other runs to end, for a limited time. Fails if the lock cannot be taken by then.
    virtual Status lock() = 0;
    /// Lets other runs go on. `lock` may be called again; what was loaded before may be outdated
    /// then.
    virtual void release() = 0;

    virtual LoadedConfig load_config() = 0;
    virtual LoadedState load_state() = 0;
    /// Writes what differs from what was loaded. Persistent state is durable on return.
    virtual Status save_state(const State& state) = 0;
    virtual Result<Snapshot> observe() = 0;

    /// Whether the table of ours that closes the machine is loaded.
    virtual Result<bool> firewall_exists() = 0;
    virtual Result<bool> firewall_holds(const Ruleset& ruleset) = 0;
    /// Whether this kernel can hold lock 3 (the egress hook of netdev tables). Changes nothing.
    virtual bool has_egress_hook() = 0;
    /// All or nothing, without a moment in between.
    virtual Status replace_firewall(const Ruleset& ruleset) = 0;
    /// Loads the tables of `ruleset` as it says. Our other tables stay as they are: where less is
    /// known than when they were loaded, they hold more.
    virtual Status load_beside(const Ruleset& ruleset) = 0;
    virtual Status remove_firewall() = 0;

    /// Lets the user or group of `portal` sign in to the network for `remaining`; the kernel ends
    /// it by itself. The firewall of a state with that portal is loaded.
    virtual Status admit_portal(const Portal& portal, Seconds remaining) = 0;
    /// Ends what admit_portal began, whether it lasts or not.
    virtual Status end_portal() = 0;

    virtual Result<bool> routing_holds(const RoutingPlan& plan) = 0;
    virtual Status sync_routing(const RoutingPlan& plan) = 0;
    virtual Status remove_routing() = 0;

    /// Ends connected flows that began outside the tunnels; returns how many.
    virtual Result<unsigned> destroy_foreign_flows(const State& state, const Config& config,
                                                   const Snapshot& snapshot) = 0;

    virtual Status set_sysctls(const State& state) = 0;
    virtual Status restore_sysctls() = 0;

    virtual Result<bool> dns_holds(const DnsPlan& plan) = 0;
    virtual Status apply_dns(const DnsPlan& plan) = 0;
    virtual Status restore_dns() = 0;

    virtual Result<bool> hosts_hold(const HostsPlan& plan) = 0;
    virtual Status apply_hosts(const HostsPlan& plan) = 0;
    virtual Status remove_hosts() = 0;

    /// Those of `known` that still run.
    virtual std::vector<ProcessId> running(const std::vector<ProcessId>& known) = 0;
    /// Those of `known` that still run, and, if `waiting`, this network's OpenVPN clients that run
    /// from one of these configurations or in a systemd unit of OpenVPN's. Reads files that other
    /// programs name, so no lock may be held that another run waits for.
    virtual std::vector<TunnelProgram> tunnel_programs(const std::vector<ProcessId>& known,
                                                       bool waiting,
                                                       const std::vector<std::string>& patterns,
                                                       const std::vector<std::string>& files) = 0;
    /// Sends `number` to that very process; ESRCH where it is over.
    virtual Status signal(const ProcessId& process, int number) = 0;

    /// Sets every link but loopback down: the last resort where no firewall can be loaded at boot.
    virtual Status set_links_down() = 0;
};

} // namespace failclosed
