// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's configurations on this machine, and the programs that were started from them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/apply/learnt_servers.hpp"
#include "core/apply/trusted_directory.hpp"
#include "core/codec/openvpn_config.hpp"
#include "core/model/state.hpp"
#include "core/plan/underlay.hpp"

namespace failclosed {

// A configuration says who may talk to which server, so it counts only if root alone can change it:
// the file, and every folder and link on the way to it (TrustedTree). The same holds for each file
// that it includes.

struct MatchingFiles {
    std::vector<std::string> files;
    /// Folders that were not searched, because others than root can change them.
    Warnings warnings;
};

/// Files that the shell patterns (glob(7)) name. A pattern without a match adds no file. Whether a
/// file counts is decided when it is read.
MatchingFiles matching_files(const std::vector<std::string>& patterns);

/// Reads one configuration with what it includes. EPERM, with advice, if others than root can
/// change it; an include that others can change is left out with a warning.
Result<OpenvpnConfig> read_openvpn_config(const std::string& file);

/// Adds the servers of one configuration, with the users that will talk to them. Errors are those
/// of read_openvpn_config(); `learnt` is then unchanged.
Status learn_servers(LearntServers& learnt, const std::string& file);

/// What an OpenVPN process was started with: its command line, and the files of it that root alone
/// can change.
struct StartedOpenvpn {
    OpenvpnConfig config;
    /// The configurations that were read.
    std::vector<FileId> files;
    /// The process could read all of it again.
    bool readable = true;
    /// Files that were not read, because others than root can change them, and what to do.
    Warnings refused;
};

/// Waits as long as `pid` makes it: a process can keep its own command line from being read.
/// Only for processes of root, and for those that have started the caller.
Result<StartedOpenvpn> read_started_openvpn(pid_t pid);

/// The unit of OpenVPN's own (openvpn@NAME.service, openvpn-client@NAME.service) that a process in
/// these control groups (proc_pid_cgroup(5)) belongs to, as a system service and not below one.
std::optional<std::string> find_openvpn_unit(std::string_view cgroups);

/// The processes in units openvpn-client@NAME, which the system's slice below `cgroups` holds. What
/// it costs does not grow with the number of processes.
std::vector<pid_t> find_processes_of_client_units(const std::string& cgroups = "/sys/fs/cgroup");

/// Those of `known` that still run. If `waiting`, also OpenVPN clients of this network that have
/// no tunnel yet: as root in a unit of OpenVPN's own or from a configuration that `patterns` match
/// or `files` name, or as another user in a unit openvpn-client@NAME. Not what an OpenVPN has
/// forked, which may become a script at any moment. They are of the caller's network, user and
/// process namespace. Who a process is comes first: no file is opened and no command line read for
/// a process of a user. What /proc does not tell of a process makes it none.
std::vector<TunnelProgram> find_tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                                const std::vector<std::string>& patterns,
                                                const std::vector<std::string>& files);

/// An OpenVPN of this network that is not root's.
struct UnprivilegedOpenvpn {
    ProcessId id;
    uid_t uid = 0;
    /// The unit of OpenVPN's own that it runs in, if any.
    std::optional<std::string> unit;
};

/// All of them but forks of an OpenVPN, in the order of their numbers. Only the kernel is asked.
std::vector<UnprivilegedOpenvpn> find_unprivileged_openvpn();

} // namespace failclosed
