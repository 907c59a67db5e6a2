// SPDX-License-Identifier: GPL-3.0-or-later
// Reads /proc, sends signals, and starts programs that outlive their caller.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

struct ProcessInfo {
    ProcessId id;
    pid_t parent = 0;
    /// Effective user.
    uid_t uid = 0;
    /// Bit N-1 is set if the process has a handler for signal N (SigCgt of proc_pid_status(5)).
    std::uint64_t handled_signals = 0;
    uid_t real_uid = 0;

    friend bool operator==(const ProcessInfo&, const ProcessInfo&) = default;
};

/// The pids of all processes in /proc; empty if it cannot be listed.
std::vector<pid_t> all_processes();

/// Whether a process has this name (proc_pid_comm(5)). The kernel keeps 15 bytes of a name.
bool any_is_called(std::string_view name);

/// Reads proc_pid_stat(5) and proc_pid_status(5). An error if there is no such process, or it has
/// ended (zombie; ESRCH).
Result<ProcessInfo> read_process(pid_t pid);

/// The caller's parent, its parent, and so on, at most `most`. Ends after pid 1, or before a
/// process that cannot be read.
std::vector<ProcessInfo> read_ancestors(std::size_t most);

/// Reads proc_pid_cmdline(5). Empty for kernel threads and zombies. The kernel reads it from the
/// memory of the process, which can block the caller forever (userfaultfd(2), FUSE).
Result<std::vector<std::string>> read_command_line(pid_t pid);

/// Sends a signal through a pidfd, so that a later process with the same pid never gets it. ESRCH
/// if the process has ended.
Status send_signal(const ProcessId& process, int number);

/// Starts `program` (an absolute path) in a new session, in "/", with standard streams on
/// /dev/null, without other descriptors of the caller, with a fixed PATH as its only environment,
/// and with default signal actions.
Status start_detached(const std::string& program, const std::vector<std::string>& arguments);

} // namespace failclosed
