// SPDX-License-Identifier: GPL-3.0-or-later
// What /proc tells of other processes, and programs that outlive their caller.
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
    /// Bit N-1 is set where the process handles signal N itself (SigCgt of proc_pid_status(5)).
    std::uint64_t handled_signals = 0;
    uid_t real_uid = 0;

    friend bool operator==(const ProcessInfo&, const ProcessInfo&) = default;
};

/// The numbers of all processes that /proc has; none where it cannot be listed.
std::vector<pid_t> all_processes();

/// Whether any process has this name (proc_pid_comm(5)), of which the kernel keeps 15 bytes.
bool any_is_called(std::string_view name);

/// proc_pid_stat(5), proc_pid_status(5). An error where there is no such process, or it is over
/// and only its parent has not asked for it yet (a zombie).
Result<ProcessInfo> read_process(pid_t pid);

/// The caller's parent, the parent's parent, and so on, `most` at the most. Ends before pid 1's
/// parent, or where a process cannot be read.
std::vector<ProcessInfo> read_ancestors(std::size_t most);

/// proc_pid_cmdline(5). Empty for kernel threads and zombies. It is read from the memory of the
/// process, which can make the caller wait for ever (userfaultfd(2), FUSE).
Result<std::vector<std::string>> read_command_line(pid_t pid);

/// Sends a signal to that very process, through a descriptor of it: never to another one that has
/// got its number since. ESRCH where it is over.
Status send_signal(const ProcessId& process, int number);

/// Starts `program` (absolute) with these arguments in a session of its own: no descriptor of the
/// caller's, standard ones on /dev/null, no environment but a fixed PATH, in "/", default signals.
Status start_detached(const std::string& program, const std::vector<std::string>& arguments);

} // namespace failclosed
