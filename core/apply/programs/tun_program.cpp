// SPDX-License-Identifier: GPL-3.0-or-later
// Searches the open files of all processes for a device.
#include "core/apply/programs/tun_program.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.hpp"
#include "core/base/owned.hpp"

namespace failclosed {

namespace {

constexpr std::string_view kTunFile = "/dev/net/tun";
constexpr std::size_t kLargestFile = 1 << 16;
constexpr uid_t kFirstOrdinaryUser = 1000;
constexpr uid_t kUnmapped = 65534;
constexpr std::size_t kMostAncestors = 32;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

using Clock = std::chrono::steady_clock;

std::string proc_path(pid_t pid, const std::string& rest)
{
    return "/proc/" + std::to_string(pid) + "/" + rest;
}

bool holds(pid_t pid, const InterfaceName& interface, Clock::time_point end)
{
    const Owned<DIR, closedir> directory(opendir(proc_path(pid, "fd").c_str()));
    if (!directory) {
        return false;
    }
    const std::string wanted = "\niff:\t" + interface.text() + "\n";
    while (const dirent* entry = readdir(directory.get())) {
        std::array<char, kTunFile.size() + 1> target{};
        const ssize_t size =
            readlinkat(dirfd(directory.get()), entry->d_name, target.data(), target.size());
        if (size < 0 ||
            std::string_view(target.data(), static_cast<std::size_t>(size)) != kTunFile) {
            if (Clock::now() >= end) {
                return false;
            }
            continue;
        }
        const auto info =
            read_file(proc_path(pid, "fdinfo/" + std::string(entry->d_name)), kLargestFile);
        if (info && info->find(wanted) != std::string::npos) {
            return true;
        }
    }
    return false;
}

/// A device of the same name in another network namespace, which any user can make, is not the
/// same.
bool is_in_our_network(pid_t pid)
{
    struct stat ours{};
    struct stat others{};
    return stat("/proc/self/ns/net", &ours) == 0 &&
           stat(proc_path(pid, "ns/net").c_str(), &others) == 0 && ours.st_dev == others.st_dev &&
           ours.st_ino == others.st_ino;
}

/// Processes of system users first. The real user decides, because any user can start set-user-ID
/// programs.
std::vector<pid_t> candidates()
{
    std::vector<std::pair<bool, pid_t>> found;
    for (const pid_t pid : all_processes()) {
        if (const auto process = read_process(pid)) {
            const uid_t user = process->real_uid;
            found.emplace_back(user >= kFirstOrdinaryUser && user != kUnmapped, pid);
        }
    }
    std::ranges::sort(found);
    std::vector<pid_t> pids;
    for (const auto& [is_ordinary, pid] : found) {
        pids.push_back(pid);
    }
    return pids;
}

bool is_called(pid_t pid, std::string_view name)
{
    const auto found = read_file(proc_path(pid, "comm"), kLargestFile);
    return found && *found == std::string(name) + "\n";
}

} // namespace

std::optional<ProcessInfo> find_tun_program(const InterfaceName& interface,
                                            std::chrono::milliseconds time_limit)
{
    const auto end = Clock::now() + time_limit;
    for (const pid_t pid : candidates()) {
        if (Clock::now() >= end) {
            return std::nullopt;
        }
        if (holds(pid, interface, end) && is_in_our_network(pid)) {
            const auto process = read_process(pid);
            return process ? std::optional(*process) : std::nullopt;
        }
    }
    return std::nullopt;
}

bool is_of_network_manager(const ProcessInfo& process)
{
    const auto groups = read_file(proc_path(process.id.pid, "cgroup"), kLargestFile);
    if (groups && groups->find("/NetworkManager.service") != std::string::npos) {
        return true;
    }
    const auto arguments = read_command_line(process.id.pid);
    const bool has_helper =
        arguments && std::ranges::any_of(*arguments, [](const auto& text) {
            return text.find("/nm-openvpn-service-openvpn-helper") != std::string::npos;
        });
    if (has_helper) {
        return true;
    }
    pid_t parent = process.parent;
    for (std::size_t i = 0; i < kMostAncestors && parent > 1; ++i) {
        if (is_called(parent, "NetworkManager")) {
            return true;
        }
        const auto next = read_process(parent);
        parent = next ? next->parent : 0;
    }
    return false;
}

bool is_newer_than(const std::string& file, const ProcessInfo& process)
{
    struct stat status{};
    timespec now{};
    timespec uptime{};
    if (stat(file.c_str(), &status) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &uptime) != 0) {
        return true;
    }
    const std::int64_t tick = kNanosecondsPerSecond / sysconf(_SC_CLK_TCK);
    const auto nanoseconds = [](const timespec& time) {
        return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
    };
    // Compared as ages, because files and processes have different clocks. Start times are rounded
    // down to a tick, so the process's age can be a tick too large.
    const std::int64_t file_age = nanoseconds(now) - nanoseconds(status.st_ctim);
    const std::int64_t process_age =
        nanoseconds(uptime) - static_cast<std::int64_t>(process.id.start_time) * tick;
    return file_age < process_age - tick;
}

} // namespace failclosed
