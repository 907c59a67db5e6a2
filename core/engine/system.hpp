// SPDX-License-Identifier: GPL-3.0-or-later
// The port through which the engine reads and changes the system.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/snapshot.hpp"
#include "core/plan/firewall/ruleset.hpp"
#include "core/plan/names/dns.hpp"
#include "core/plan/names/hosts.hpp"
#include "core/plan/routing/routing.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

/// What an earlier run has left.
struct LoadedState {
    State state;
    /// No state file was found, as on a new installation.
    bool absent = false;
    /// Why something could not be read; the state is then closed.
    std::vector<std::string> damage;
};

struct LoadedConfig {
    Config config;
    /// Why the strictest configuration replaces the written one.
    std::vector<std::string> damage;
};

/// All side effects of the engine. One object is one run: it holds the run's lock from `lock` until
/// `release`, or until its destruction.
class System {
  public:
    virtual ~System() = default;

    /// Waits for other runs to end, for a limited time. Fails if the lock cannot be taken by then.
    virtual Status lock() = 0;
    /// Lets other runs continue. `lock` may be called again; data that was loaded before may be
    /// outdated then.
    virtual void release() = 0;

    virtual LoadedConfig load_config() = 0;
    virtual LoadedState load_state() = 0;
    /// Writes what differs from what was loaded. Persistent state is durable on return.
    virtual Status save_state(const State& state) = 0;
    virtual Result<Snapshot> observe() = 0;

    /// Whether our table that closes the machine is loaded.
    virtual Result<bool> firewall_exists() = 0;
    virtual Result<bool> firewall_holds(const Ruleset& ruleset) = 0;
    /// Whether this kernel supports lock 3 (the egress hook of netdev tables). Read-only.
    virtual bool has_egress_hook() = 0;
    /// Atomic: all or nothing.
    virtual Status replace_firewall(const Ruleset& ruleset) = 0;
    /// Loads the tables of `ruleset`. Keeps our other tables: they were loaded with more
    /// information.
    virtual Status load_beside(const Ruleset& ruleset) = 0;
    virtual Status remove_firewall() = 0;

    /// Admits the sign-in of the user or group of `portal` for `remaining`; the kernel ends it. The
    /// firewall of a state with that portal must be loaded.
    virtual Status admit_portal(const Portal& portal, Seconds remaining) = 0;
    /// Ends the sign-in of admit_portal, expired or not.
    virtual Status end_portal() = 0;

    virtual Result<bool> routing_holds(const RoutingPlan& plan) = 0;
    /// Changes nothing if routing_holds(plan).
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
    /// programs name, so the run's lock must not be held.
    virtual std::vector<TunnelProgram> tunnel_programs(const std::vector<ProcessId>& known,
                                                       bool waiting,
                                                       const std::vector<std::string>& patterns,
                                                       const std::vector<std::string>& files) = 0;
    /// Sends `number` to exactly this process; ESRCH if it has ended.
    virtual Status signal(const ProcessId& process, int number) = 0;

    /// Sets every link except loopback down: the last resort if no firewall can be loaded at boot.
    virtual Status set_links_down() = 0;
};

} // namespace failclosed
