// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's configurations on this machine, and the programs that were started from them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/apply/learnt_servers.hpp"
#include "core/model/state.hpp"
#include "core/plan/underlay.hpp"

namespace failclosed {

/// Files that match the shell patterns (glob(7)); a pattern without a match is none.
std::vector<std::string> matching_files(const std::vector<std::string>& patterns);

/// Adds the servers of one configuration, with the users that will talk to them. An error where
/// the file cannot be read.
Status learn_servers(LearntServers& learnt, const std::string& file);

/// Whether a process in these control groups (proc_pid_cgroup(5)) is a system unit of OpenVPN's
/// own: openvpn@NAME.service or openvpn-client@NAME.service.
bool is_openvpn_unit(std::string_view cgroups);

/// Those of `known` that still run. If `waiting`, also OpenVPN clients in this network namespace
/// that run in a unit of OpenVPN's own, or as root from one of `files`; not what an OpenVPN has
/// forked, which may become a script at any moment. What /proc does not tell of a process makes it
/// none.
std::vector<TunnelProgram> find_tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                                const std::vector<std::string>& files);

} // namespace failclosed
