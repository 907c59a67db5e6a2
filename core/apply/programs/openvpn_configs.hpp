// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's configurations on this machine, and the programs that were started from them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/apply/programs/learnt_servers.hpp"
#include "core/apply/storage/trusted_directory.hpp"
#include "core/codec/openvpn/config.hpp"
#include "core/model/state.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

// A configuration decides which user may reach which server. So it is used only if root alone can
// change the file and each folder and link on the path to it (TrustedTree). The same applies to
// each file that it includes.

struct MatchingFiles {
    std::vector<std::string> files;
    /// Folders that were not searched, because others than root can change them.
    Warnings warnings;
};

/// The files that match the shell patterns (glob(7)). A pattern without a match adds no file.
/// Whether a file is trusted is checked when it is read.
MatchingFiles matching_files(const std::vector<std::string>& patterns);

/// Reads a configuration and the files that it includes. EPERM, with advice, if others than root
/// can change it; an included file that others can change is ignored with a warning.
Result<OpenvpnConfig> read_openvpn_config(const std::string& file);

/// Adds the servers of a configuration and the users whose sockets reach them. Returns whether the
/// file is the configuration of a client. Errors are those of read_openvpn_config(); `learnt` is
/// then unchanged.
Result<bool> learn_servers(LearntServers& learnt, const std::string& file);

/// The command line of an OpenVPN process, and its configuration files that root alone can change.
struct StartedOpenvpn {
    OpenvpnConfig config;
    /// The configurations that were read.
    std::vector<FileId> files;
    /// The process could read all its files again.
    bool readable = true;
    /// Files that were not read, because others than root can change them, and what to do.
    Warnings refused;
};

/// Reads how `pid` was started. Only for processes of root and for ancestors of the caller: a
/// process can block the reading of its command line without a time limit.
Result<StartedOpenvpn> read_started_openvpn(pid_t pid);

/// The OpenVPN unit (openvpn@NAME.service, openvpn-client@NAME.service) of a process in these
/// control groups (proc_pid_cgroup(5)); `nullopt` if it has none. Only system services count, not
/// control groups below them.
std::optional<std::string> find_openvpn_unit(std::string_view cgroups);

/// The processes of units openvpn-client@NAME in the system slice below `cgroups`. Its cost does
/// not grow with the number of processes on the machine.
std::vector<pid_t> find_processes_of_client_units(const std::string& cgroups = "/sys/fs/cgroup");

/// The processes of `known` that still run. If `waiting`, also OpenVPN clients without a tunnel yet
/// that run as root in an OpenVPN unit, as root from a configuration that `patterns` match or
/// `files` name, or as another user in a unit openvpn-client@NAME. Leaves out children of OpenVPN,
/// which may become a script at any moment, and processes in another network, user or pid
/// namespace. Checks the user of a process first: for processes of ordinary users it opens no file
/// and reads no command line. Leaves out a process whose /proc entries cannot be read.
std::vector<TunnelProgram> find_tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                                const std::vector<std::string>& patterns,
                                                const std::vector<std::string>& files);

/// An OpenVPN process of this network namespace that does not run as root.
struct UnprivilegedOpenvpn {
    ProcessId id;
    uid_t uid = 0;
    /// The OpenVPN unit that it runs in, if any.
    std::optional<std::string> unit;
};

/// All of them in the order of their pids, without children of OpenVPN. Asks only the kernel.
std::vector<UnprivilegedOpenvpn> find_unprivileged_openvpn();

} // namespace failclosed
