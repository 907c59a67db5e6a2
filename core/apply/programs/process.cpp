// SPDX-License-Identifier: GPL-3.0-or-later
// Reading /proc, signals, and posix_spawn(3).
#include "core/apply/programs/process.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <optional>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/file.hpp"
#include "core/base/owned.hpp"

namespace failclosed {

namespace {

constexpr std::size_t kLargestProcFile = 1 << 20;

template <typename T> std::optional<T> to_number(std::string_view text, int base = 10)
{
    T number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number)
                                                                    : std::nullopt;
}

/// The `index`th word of `text`, from 0.
std::string_view word(std::string_view text, std::size_t index)
{
    for (std::size_t begin = 0; begin < text.size();) {
        begin = text.find_first_not_of(" \t\n", begin);
        if (begin == std::string_view::npos) {
            break;
        }
        const auto end = std::min(text.find_first_of(" \t\n", begin), text.size());
        if (index-- == 0) {
            return text.substr(begin, end - begin);
        }
        begin = end;
    }
    return {};
}

std::string proc_path(pid_t pid, const char* file)
{
    return "/proc/" + std::to_string(pid) + "/" + file;
}

} // namespace

std::vector<pid_t> all_processes()
{
    std::vector<pid_t> pids;
    const Owned<DIR, closedir> directory(opendir("/proc"));
    while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
        if (const auto pid = to_number<pid_t>(entry->d_name)) {
            pids.push_back(*pid);
        }
    }
    return pids;
}

bool any_is_called(std::string_view name)
{
    return std::ranges::any_of(all_processes(), [&](pid_t pid) {
        const auto found = read_file(proc_path(pid, "comm"), kLargestProcFile);
        return found && *found == std::string(name) + "\n";
    });
}

Result<ProcessInfo> read_process(pid_t pid)
{
    const auto stat = read_file(proc_path(pid, "stat"), kLargestProcFile);
    const auto status = read_file(proc_path(pid, "status"), kLargestProcFile);
    if (!stat || !status) {
        return Failure((stat ? status.error() : stat.error()).during("reading a process"));
    }
    // The second field is the program's name in parentheses, which may itself hold parentheses.
    const auto name_end = stat->rfind(')');
    const auto uid_line = status->find("\nUid:");
    const auto signals_line = status->find("\nSigCgt:");
    if (name_end == std::string::npos || uid_line == std::string::npos ||
        signals_line == std::string::npos) {
        return fail("reading a process: unexpected format of /proc");
    }
    const std::string_view fields = std::string_view(*stat).substr(name_end + 1);
    if (word(fields, 0) == "Z") {
        return fail("reading a process: it has ended", ESRCH);
    }
    const auto parent = to_number<pid_t>(word(fields, 1));
    const auto start_time = to_number<std::uint64_t>(word(fields, 19));
    const auto users = std::string_view(*status).substr(uid_line);
    const auto real_uid = to_number<uid_t>(word(users, 1));
    const auto uid = to_number<uid_t>(word(users, 2));
    const auto signals =
        to_number<std::uint64_t>(word(std::string_view(*status).substr(signals_line), 1), 16);
    if (!parent || !start_time || !real_uid || !uid || !signals) {
        return fail("reading a process: unexpected format of /proc");
    }
    return ProcessInfo{{pid, *start_time}, *parent, *uid, *signals, *real_uid};
}

std::vector<ProcessInfo> read_ancestors(std::size_t most)
{
    std::vector<ProcessInfo> ancestors;
    for (pid_t pid = getppid(); pid > 0 && ancestors.size() < most;) {
        const auto process = read_process(pid);
        if (!process) {
            break;
        }
        ancestors.push_back(*process);
        pid = process->parent;
    }
    return ancestors;
}

Result<std::vector<std::string>> read_command_line(pid_t pid)
{
    const auto text = read_file(proc_path(pid, "cmdline"), kLargestProcFile);
    if (!text) {
        return Failure(text.error());
    }
    std::vector<std::string> arguments;
    for (std::size_t begin = 0; begin < text->size();) {
        const auto end = std::min(text->find('\0', begin), text->size());
        arguments.push_back(text->substr(begin, end - begin));
        begin = end + 1;
    }
    return arguments;
}

Status send_signal(const ProcessId& process, int number)
{
    const UniqueFd descriptor(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
    if (!descriptor.valid()) {
        return fail_errno("finding the process");
    }
    // Read after the pidfd was opened: a later process with this pid has a later start time.
    const auto found = read_process(process.pid);
    if (!found || found->id != process) {
        return fail_errno("finding the process", ESRCH);
    }
    if (syscall(SYS_pidfd_send_signal, descriptor.get(), number, nullptr, 0) != 0) {
        return fail_errno("sending a signal");
    }
    return {};
}

Status start_detached(const std::string& program, const std::vector<std::string>& arguments)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    std::string name = program;
    std::vector<std::string> copies = arguments;
    std::vector<char*> argv = {name.data()};
    for (auto& argument : copies) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char* environment[] = {path.data(), nullptr};
    pid_t pid = 0;
    const int error =
        posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error == 0 ? Status{} : Status(fail_errno("starting " + program, error));
}

} // namespace failclosed
