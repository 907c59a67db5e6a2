// SPDX-License-Identifier: GPL-3.0-or-later
// Reading configurations as OpenVPN would, and /proc for who did.
#include "core/apply/openvpn_configs.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>

#include <dirent.h>
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apply/process.hpp"
#include "core/apply/users.hpp"
#include "core/base/file.hpp"
#include "core/base/owned.hpp"
#include "core/codec/openvpn_config.hpp"

namespace failclosed {

namespace {

constexpr std::size_t kLargestConfig = 1 << 20;
constexpr std::size_t kLargestProcFile = 1 << 16;

/// A file whatever it is called.
struct FileId {
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const FileId&, const FileId&) = default;
};

std::optional<FileId> identify(const std::string& path)
{
    struct stat found{};
    return stat(path.c_str(), &found) == 0 ? std::optional(FileId{found.st_dev, found.st_ino})
                                           : std::nullopt;
}

std::string in_proc(pid_t pid, const char* name)
{
    return "/proc/" + std::to_string(pid) + "/" + name;
}

bool runs_openvpn(pid_t pid)
{
    auto program = read_link(in_proc(pid, "exe")).value_or("");
    constexpr std::string_view kReplaced = " (deleted)"; // by an upgrade
    if (program.ends_with(kReplaced)) {
        program.resize(program.size() - kReplaced.size());
    }
    return program.ends_with("/openvpn");
}

/// What an OpenVPN process was started with.
struct Started {
    OpenvpnConfig config;
    std::vector<FileId> files;
    /// It could read all of it again.
    bool readable = true;
};

Started read_start(pid_t pid)
{
    Started started;
    const auto arguments = read_command_line(pid);
    if (!arguments) {
        started.readable = false;
        return started;
    }
    started.config = parse_openvpn_arguments(*arguments, [&](const std::string& path) {
        const auto seen = path_seen_by(pid, path);
        if (const auto file = identify(seen)) {
            started.files.push_back(*file);
        }
        auto text = read_file(seen, kLargestConfig);
        started.readable = started.readable && text.has_value();
        return text;
    });
    for (const auto& path : started.config.files) {
        // "[inline]" and the like stand for no file.
        const bool is_file = !path.starts_with('[');
        started.readable = started.readable && (!is_file || identify(path_seen_by(pid, path)));
    }
    return started;
}

TunnelProgram describe(const ProcessInfo& process)
{
    const auto handles = [&](int number) {
        return (process.handled_signals >> (number - 1) & 1U) != 0;
    };
    TunnelProgram program{process.id, handles(SIGHUP), handles(SIGUSR1), process.uid == 0};
    if (program.can_start_anew && runs_openvpn(process.id.pid)) {
        const auto started = read_start(process.id.pid);
        const auto root = read_link(in_proc(process.id.pid, "root"));
        program.can_start_anew = root && *root == "/" && started.readable &&
                                 !started.config.asks_for_secrets &&
                                 !started.config.drops_privileges;
    }
    return program;
}

bool is_in_this_network(pid_t pid)
{
    const auto own = identify("/proc/self/ns/net");
    return own && identify(in_proc(pid, "ns/net")) == own;
}

/// A client that its administrator has made one of ours. Units may run it as a user of its own;
/// a configuration that is named anybody could run.
bool is_ours(const ProcessInfo& process, const std::vector<FileId>& files)
{
    const pid_t pid = process.id.pid;
    const auto started = read_start(pid);
    const bool is_named =
        process.uid == 0 && std::ranges::find_first_of(started.files, files) != started.files.end();
    return !started.config.remotes.empty() &&
           (is_named ||
            is_openvpn_unit(read_file(in_proc(pid, "cgroup"), kLargestProcFile).value_or("")));
}

} // namespace

std::vector<std::string> matching_files(const std::vector<std::string>& patterns)
{
    std::vector<std::string> files;
    for (const auto& pattern : patterns) {
        glob_t found{};
        if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
            files.insert(files.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
        }
        globfree(&found);
    }
    return files;
}

Status learn_servers(LearntServers& learnt, const std::string& file)
{
    const auto directory = std::filesystem::path(file).parent_path();
    const auto read = [&](const std::string& path) {
        return read_file((directory / path).string(), kLargestConfig);
    };
    const auto text = read_file(file, kLargestConfig);
    if (!text) {
        return Failure(text.error());
    }
    const auto config = parse_openvpn_config(*text, read);
    for (const auto& warning : config.warnings) {
        learnt.warnings.push_back(file + ": " + warning);
    }
    Identity identity;
    identity.mark = config.mark;
    if (config.user) {
        if (const auto uid = uid_of(*config.user); uid && *uid && **uid != 0) {
            identity.uids.push_back(**uid);
        }
    }
    for (const auto& remote : config.remotes) {
        learnt.servers.push_back({remote, identity, {}});
    }
    return {};
}

bool is_openvpn_unit(std::string_view cgroups)
{
    while (!cgroups.empty()) {
        const auto line = cgroups.substr(0, cgroups.find('\n'));
        cgroups.remove_prefix(std::min(line.size() + 1, cgroups.size()));
        // Nobody but root makes control groups there.
        if (line.find(":/system.slice/") == std::string_view::npos) {
            continue;
        }
        const std::string unit(line.substr(line.rfind('/') + 1));
        if (fnmatch("openvpn@*.service", unit.c_str(), 0) == 0 ||
            fnmatch("openvpn-client@*.service", unit.c_str(), 0) == 0) {
            return true;
        }
    }
    return false;
}

std::vector<TunnelProgram> find_tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                                const std::vector<std::string>& files)
{
    std::vector<TunnelProgram> programs;
    for (const auto& id : known) {
        const auto process = read_process(id.pid);
        if (process && process->id == id) {
            programs.push_back(describe(*process));
        }
    }
    if (!waiting) {
        return programs;
    }
    std::vector<FileId> named;
    for (const auto& file : files) {
        if (const auto id = identify(file)) {
            named.push_back(*id);
        }
    }
    for (const auto pid : all_processes()) {
        if (!runs_openvpn(pid) || !is_in_this_network(pid)) {
            continue;
        }
        const auto process = read_process(pid);
        // A child of OpenVPN is one of its plugins, or about to become one of its scripts.
        if (process && !runs_openvpn(process->parent) && is_ours(*process, named) &&
            std::ranges::find(programs, process->id, &TunnelProgram::id) == programs.end()) {
            programs.push_back(describe(*process));
        }
    }
    return programs;
}

} // namespace failclosed
