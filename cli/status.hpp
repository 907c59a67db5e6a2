// SPDX-License-Identifier: GPL-3.0-or-later
// What `failclosed status` shows, for people and for programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/codec/nft_message.hpp"
#include "core/engine/engine.hpp"
#include "core/plan/findings.hpp"

namespace failclosed::cli {

/// Said after `lock`, and in the status, where nothing is admitted that could bring a tunnel up.
inline constexpr const char* kNoServer =
    "no server is known: no tunnel can come up; run `failclosed lock` after adding a VPN, or name "
    "its server: see --server and --openvpn-config";

/// Said wherever the machine is closed without lock 3.
inline constexpr const char* kNoBelt =
    "no device guard (lock 3): this kernel has no netdev egress hook";

/// Where the kernel tells the senders of what was refused.
inline constexpr const char* kRefusalLog = "journalctl -k -g failclosed";

struct StatusReport {
    Outcome::Protection protection = Outcome::Protection::NotClosed;
    State state;
    Config config;
    /// The machine is locked at every boot, before its network.
    bool boot_lock = false;
    /// What differs from what is wanted, one line each.
    std::vector<std::string> differences;
    Counters counters;
    /// Lock 3 is loaded.
    bool belt = false;
    std::vector<Finding> findings;
    /// Until the sign-in to the network, if there is one, is over.
    Seconds portal_left{0};
};

/// Whether one of the counters is lock 3's.
bool counts_belt(const Counters& counters);

/// The sign-in that is not over yet, if there is one.
std::optional<Portal> portal_in_force(const Inspection& found);

/// "user 1000, group 84123: DNS at 192.168.50.1, TCP 80 and 443".
std::string to_string(const Portal& portal);

/// Pure: a few lines, the most important one first.
std::string status_text(const StatusReport& report);

/// Pure: one JSON object (RFC 8259), described in failclosed(8).
std::string status_json(const StatusReport& report);

} // namespace failclosed::cli
