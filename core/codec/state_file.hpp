// SPDX-License-Identifier: GPL-3.0-or-later
// Remembered state as the text of key files, and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

// Each file says how many parts it has, so that one that lost its end is known as damaged. Every
// value is checked again on reading; what is missing, wrong, or written by a later format makes
// the whole file an error. Keys that are not known are passed over. What was written reads back
// as equal values.

/// What is true until the machine is started again.
struct Running {
    /// Which start of the machine it belongs to (/proc/sys/kernel/random/boot_id).
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

/// What was inside tunnels that are over.
std::string write_inside(const std::vector<InsideNetworks>& inside);
Result<std::vector<InsideNetworks>> read_inside(std::string_view text);

/// Servers with identities and learnt addresses.
std::string write_servers(const std::vector<Server>& servers);
Result<std::vector<Server>> read_servers(std::string_view text);

/// Paths of OpenVPN configurations.
std::string write_configs(const std::vector<std::string>& paths);
Result<std::vector<std::string>> read_configs(std::string_view text);

/// VPN profiles of NetworkManager's. A state that an earlier version has written has none: they
/// have to be learnt again.
std::string write_profiles(const std::vector<LearntProfile>& profiles);
Result<std::vector<LearntProfile>> read_profiles(std::string_view text);

/// Whether protection was last asked for or put off.
std::string write_armed(Armed armed);
Result<Armed> read_armed(std::string_view text);

} // namespace failclosed
