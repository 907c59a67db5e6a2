// SPDX-License-Identifier: GPL-3.0-or-later
// What `failclosed status` shows, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "core/codec/nft_message.hpp"
#include "core/engine/engine.hpp"

namespace failclosed::cli {

/// Said after `lock`, and in the status, where nothing is admitted that could bring a tunnel up.
inline constexpr const char* kNoServer =
    "no server is known: no tunnel can come up; run `failclosed lock` after adding a VPN, or name "
    "its server: see --server and --openvpn-config";

struct StatusReport {
    Outcome::Protection protection = Outcome::Protection::NotClosed;
    State state;
    Config config;
    /// The machine is locked at every boot, before its network.
    bool boot_lock = false;
    /// What differs from what is wanted, one line each.
    std::vector<std::string> differences;
    Counters counters;
};

/// Pure: a few lines, the most important one first.
std::string status_text(const StatusReport& report);

/// Pure: one JSON object (RFC 8259), described in failclosed(8).
std::string status_json(const StatusReport& report);

} // namespace failclosed::cli
