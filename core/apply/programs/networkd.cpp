// SPDX-License-Identifier: GPL-3.0-or-later
// Reading systemd-networkd's configuration and program.
#include "core/apply/programs/networkd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <optional>

#include <sys/stat.h>
#include <unistd.h>

#include "core/apply/programs/process.hpp"
#include "core/base/file.hpp"

namespace failclosed {

namespace {

namespace fs = std::filesystem;

/// Highest priority first.
constexpr std::array kFolders = {"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd",
                                 "/usr/lib/systemd"};
constexpr std::array kPrograms = {"/usr/lib/systemd/systemd-networkd",
                                  "/lib/systemd/systemd-networkd"};
/// The kernel keeps 15 bytes of a program's name (proc_pid_comm(5)).
constexpr const char* kProcess = "systemd-network";
constexpr std::size_t kLargestConfig = 1 << 20;
constexpr std::size_t kLargestProgram = 64 << 20;

std::vector<std::string> config_files()
{
    std::vector<std::string> files;
    std::error_code error;
    for (const std::string folder : kFolders) {
        if (fs::exists(folder + "/networkd.conf", error)) {
            files.push_back(folder + "/networkd.conf");
            break;
        }
    }
    std::vector<std::string> drop_ins;
    for (const std::string folder : kFolders) {
        for (const auto& entry : fs::directory_iterator(folder + "/networkd.conf.d", error)) {
            drop_ins.push_back(entry.path());
        }
    }
    std::ranges::copy(effective_drop_ins(drop_ins), std::back_inserter(files));
    return files;
}

/// Whether it is a link to /dev/null, which masks files of the same name.
bool is_mask(const std::string& path)
{
    struct stat status{};
    return stat(path.c_str(), &status) == 0 && S_ISCHR(status.st_mode);
}

/// When the process started, in seconds since the epoch on the present clock; `nullopt` if unknown.
std::optional<double> started_at(pid_t pid)
{
    const auto process = read_process(pid);
    timespec now{};
    timespec since_boot{};
    if (!process || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) {
        return std::nullopt;
    }
    const auto seconds = [](const timespec& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
    };
    return seconds(now) - seconds(since_boot) +
           static_cast<double>(process->id.start_time) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// When the file's contents or name last changed.
double changed_at(const std::string& path)
{
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? static_cast<double>(status.st_ctim.tv_sec) +
                                                  static_cast<double>(status.st_ctim.tv_nsec) / 1e9
                                            : 0;
}

std::optional<pid_t> running_networkd()
{
    for (const pid_t pid : all_processes()) {
        const auto name = read_file("/proc/" + std::to_string(pid) + "/comm", 64);
        if (name && *name == std::string(kProcess) + "\n") {
            return pid;
        }
    }
    return std::nullopt;
}

void look_into_program(Networkd& networkd)
{
    for (const char* path : kPrograms) {
        const auto program = read_file(path, kLargestProgram);
        if (!program) {
            continue;
        }
        const auto knows = [&](const char* setting) {
            return program->find(setting) != std::string::npos;
        };
        // Names in the program's table of settings.
        networkd.knows_rules = knows("Network.ManageForeignRoutingPolicyRules");
        networkd.knows_routes = knows("Network.ManageForeignRoutes");
        networkd.knows_next_hops = knows("Network.ManageForeignNextHops");
        return;
    }
}

} // namespace

Networkd look_at_networkd()
{
    Networkd networkd;
    std::vector<NetworkdFile> files;
    double changed = 0;
    for (const auto& path : config_files()) {
        changed = std::max(changed, changed_at(path));
        if (is_mask(path)) {
            continue;
        }
        auto text = read_file(path, kLargestConfig);
        if (text) {
            files.push_back({path, std::move(*text)});
        } else if (text.error().number() != ENOENT) {
            networkd.unread.push_back(text.error().message());
        }
    }
    networkd.config = parse_networkd_config(files);
    look_into_program(networkd);
    if (const auto pid = running_networkd()) {
        networkd.is_running = true;
        const auto started = started_at(*pid);
        networkd.is_outdated = started && *started < changed;
    }
    return networkd;
}

} // namespace failclosed
