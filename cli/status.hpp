// SPDX-License-Identifier: GPL-3.0-or-later
// What `failclosed status` shows, for people and for programs.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/codec/nft_message.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/plan/findings.hpp"

namespace failclosed::cli {

/// Said after `lock`, and in the status, where nothing is admitted that could bring a tunnel up.
inline constexpr const char* kNoServer =
    "no server is known: no tunnel can come up; run `failclosed lock` after adding a VPN, or name "
    "its server: see --server and --openvpn-config";

/// Said wherever the machine is closed without lock 3.
inline constexpr const char* kNoBelt =
    "no device guard (lock 3): this kernel has no netdev egress hook (`failclosed reapply` tells)";

/// Where the kernel tells the senders of what was refused.
inline constexpr const char* kRefusalLog = "journalctl -k -g failclosed";

/// Lock 3, as far as it is loaded.
struct DeviceGuard {
    enum class Form : std::uint8_t {
        None,    ///< the kernel has no place for it, or somebody took away all of it
        Drifted, ///< the firewall is not the wanted one
        Whole,   ///< as wanted
    };

    Form form = Form::None;
    /// The devices that it should be on, and is not; may be empty where it has drifted.
    std::vector<InterfaceName> unguarded;
};

struct StatusReport {
    Outcome::Protection protection = Outcome::Protection::NotClosed;
    State state;
    Config config;
    /// The machine is locked at every boot, before its network.
    bool boot_lock = false;
    std::vector<Difference> differences;
    Counters counters;
    /// Those of the counters that are of rules that let packets pass.
    std::set<CounterKey> passing;
    DeviceGuard guard;
    std::vector<Finding> findings;
    /// Until the sign-in to the network, if there is one, is over.
    Seconds portal_left{0};
};

DeviceGuard look_at_device_guard(LiveSystem& system, const Inspection& found);

/// "NOT on eth1", "not as wanted", or on what it is.
std::string to_string(const DeviceGuard& guard);

/// What the rules of `ruleset` that let packets pass count in.
std::set<CounterKey> passing_counters(const Ruleset& ruleset);

/// The sign-in that is not over yet, if there is one.
std::optional<Portal> portal_in_force(const Inspection& found);

/// "user 1000, group 84123: DNS at 192.168.50.1, TCP 80 and 443".
std::string to_string(const Portal& portal);

/// Pure: a few lines, the most important one first.
std::string status_text(const StatusReport& report);

/// Pure: one JSON object (RFC 8259), described in failclosed(8).
std::string status_json(const StatusReport& report);

} // namespace failclosed::cli
