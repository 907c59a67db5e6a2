// SPDX-License-Identifier: GPL-3.0-or-later
// Renders and parses the state files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

// Each file holds the number of its parts, so that a truncated file is recognised as damaged. Every
// value is validated on reading. A missing or invalid value, or a later format, makes the whole
// file an error; unknown keys are ignored. Reading a written file gives equal values.

/// State that is valid until the next boot.
struct Running {
    /// The boot that it belongs to (/proc/sys/kernel/random/boot_id).
    std::string boot;
    std::vector<Tunnel> tunnels;
    Underlay underlay;
    std::vector<Program> programs;
    std::vector<InterfaceName> refused;
    std::optional<Portal> portal = {};
    std::vector<VpnProgram> vpn_programs = {};

    friend bool operator==(const Running&, const Running&) = default;
};

std::string write_running(const Running& running);
Result<Running> read_running(std::string_view text);

/// Networks inside tunnels that have ended.
std::string write_inside(const std::vector<InsideNetworks>& inside);
Result<std::vector<InsideNetworks>> read_inside(std::string_view text);

/// Servers with identities and learnt addresses.
std::string write_servers(const std::vector<Server>& servers);
Result<std::vector<Server>> read_servers(std::string_view text);

/// Paths of OpenVPN configurations.
std::string write_configs(const std::vector<std::string>& paths);
Result<std::vector<std::string>> read_configs(std::string_view text);

/// VPN profiles of NetworkManager. State that an earlier version has written has no profiles; they
/// must be learnt again.
std::string write_profiles(const std::vector<LearntProfile>& profiles);
Result<std::vector<LearntProfile>> read_profiles(std::string_view text);

/// Whether the machine is armed.
std::string write_armed(Armed armed);
Result<Armed> read_armed(std::string_view text);

} // namespace failclosed
