// SPDX-License-Identifier: GPL-3.0-or-later
// The output of `failclosed status`, as text and as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/codec/nftables/message.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/plan/findings.hpp"

namespace failclosed::cli {

/// For `lock` and `status`, if no server is admitted.
inline constexpr const char* kNoServer =
    "no server is known: no tunnel can come up; run `failclosed lock` after adding a VPN, or name "
    "its server with --server or --openvpn-config";

/// For a machine that is closed without lock 3.
inline constexpr const char* kNoBelt =
    "no device guard (lock 3): this kernel has no netdev egress hook (run `failclosed reapply` for "
    "the reason)";

/// Shows the kernel's log of refused packets and their senders.
inline constexpr const char* kRefusalLog = "journalctl -k -g failclosed";

/// How much of lock 3 is loaded.
struct DeviceGuard {
    enum class Form : std::uint8_t {
        None,    ///< the kernel does not support it, or it was removed completely
        Drifted, ///< the firewall differs from the plan
        Whole,   ///< as planned
    };

    Form form = Form::None;
    /// Devices on which it is missing. Can be empty if it has drifted.
    std::vector<InterfaceName> unguarded;
};

struct StatusReport {
    Outcome::Protection protection = Outcome::Protection::NotClosed;
    State state;
    /// Tunnels of `state` whose device is absent or down.
    std::set<InterfaceName> dead_tunnels;
    Config config;
    /// The machine is locked at each boot, before its network starts.
    bool boot_lock = false;
    std::vector<Difference> differences;
    Counters counters;
    /// The keys of counters whose rules let packets pass.
    std::set<CounterKey> passing;
    DeviceGuard guard;
    std::vector<Finding> findings;
    /// Time until the sign-in to the network ends; 0 if there is none.
    Seconds portal_left{0};
};

DeviceGuard look_at_device_guard(LiveSystem& system, const Inspection& found);

/// "NOT on eth1", "differs from the plan", or the devices that it is on.
std::string to_string(const DeviceGuard& guard);

/// The counter keys of the rules of `ruleset` that let packets pass.
std::set<CounterKey> passing_counters(const Ruleset& ruleset);

/// The sign-in that has not ended yet; `nullopt` if there is none.
std::optional<Portal> portal_in_force(const Inspection& found);

/// "user 1000, group 84123: DNS at 192.168.50.1, TCP 80 and 443".
std::string to_string(const Portal& portal);

/// The report as text, the most important line first. Pure.
std::string status_text(const StatusReport& report);

/// The report as a JSON object (RFC 8259), described in failclosed(8). Pure.
std::string status_json(const StatusReport& report);

} // namespace failclosed::cli
