// SPDX-License-Identifier: GPL-3.0-or-later
// Reads configurations as OpenVPN does, and finds OpenVPN's processes in /proc.
#include "core/apply/programs/openvpn_configs.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <sstream>

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "core/apply/programs/process.hpp"
#include "core/apply/programs/users.hpp"
#include "core/base/file.hpp"
#include "core/base/owned.hpp"

namespace failclosed {

namespace {

constexpr uid_t kRoot = 0;
constexpr std::size_t kLargestConfig = 1 << 20;
/// Limit for a configuration with all included files.
constexpr std::size_t kMostConfigBytes = 4 << 20;
constexpr std::size_t kLargestProcFile = 1 << 16;
constexpr const char* kClientUnits = "openvpn-client@*.service";
/// Units of clients and servers.
constexpr const char* kAnyUnits = "openvpn@*.service";

/// Reads the files of a configuration.
class ConfigReader {
  public:
    explicit ConfigReader(const TrustedTree& tree) : tree_(&tree) {}

    Result<std::string> read(const std::string& path)
    {
        auto text = tree_->read(path, std::min(kLargestConfig, left_));
        if (text) {
            left_ -= text->size();
        } else if (text.error().number() == EPERM) {
            return fail(path + ": ignored, because others than root can change it (" +
                            text.error().message() +
                            "); copy it to /etc/openvpn/client, writable by root only",
                        EPERM);
        }
        return text;
    }

  private:
    const TrustedTree* tree_;
    std::size_t left_ = kMostConfigBytes;
};

std::string in_proc(pid_t pid, const char* name)
{
    return "/proc/" + std::to_string(pid) + "/" + name;
}

std::optional<FileId> identify(const std::string& path)
{
    struct stat found{};
    return stat(path.c_str(), &found) == 0 ? std::optional(FileId{found.st_dev, found.st_ino})
                                           : std::nullopt;
}

/// The effective user: the owner of /proc/PID, which the process cannot change (proc(5)). Cheaper
/// than read_process().
std::optional<uid_t> effective_user(pid_t pid)
{
    struct stat found{};
    return stat(in_proc(pid, "").c_str(), &found) == 0 ? std::optional(found.st_uid) : std::nullopt;
}

bool runs_openvpn(pid_t pid)
{
    auto program = read_link(in_proc(pid, "exe")).value_or("");
    constexpr std::string_view kReplaced = " (deleted)"; // an upgrade has replaced the program
    if (program.ends_with(kReplaced)) {
        program.resize(program.size() - kReplaced.size());
    }
    return program.ends_with("/openvpn");
}

/// The caller chooses the arguments of a set-user-ID program, so the real user counts too.
bool is_roots(const ProcessInfo& process)
{
    return process.uid == kRoot && process.real_uid == kRoot;
}

/// Compares the namespaces of a process with those of the caller.
class OwnNamespaces {
  public:
    [[nodiscard]] static bool hold_network_of(pid_t pid) { return holds(pid, 0); }

    [[nodiscard]] static bool hold_all_of(pid_t pid)
    {
        for (std::size_t i = 0; i < kNames.size(); ++i) {
            if (!holds(pid, i)) {
                return false;
            }
        }
        return true;
    }

  private:
    static constexpr std::array<const char*, 3> kNames = {"ns/net", "ns/user", "ns/pid"};

    [[nodiscard]] static bool holds(pid_t pid, std::size_t number)
    {
        const std::string name = kNames.at(number);
        const auto own = identify("/proc/self/" + name);
        return own && identify(in_proc(pid, name.c_str())) == own;
    }
};

std::optional<std::string> unit_of(pid_t pid)
{
    return find_openvpn_unit(read_file(in_proc(pid, "cgroup"), kLargestProcFile).value_or(""));
}

TunnelProgram describe(const ProcessInfo& process, const std::optional<StartedOpenvpn>& started)
{
    const auto handles = [&](int number) {
        return (process.handled_signals >> (number - 1) & 1U) != 0;
    };
    TunnelProgram program{process.id, handles(SIGHUP), handles(SIGUSR1), is_roots(process)};
    if (started) {
        program.can_start_anew = program.can_start_anew && started->readable &&
                                 !started->config.asks_for_secrets &&
                                 !started->config.drops_privileges;
    }
    return program;
}

/// Only for processes of root. A process whose command line cannot be read counts as unable to
/// restart.
StartedOpenvpn started_by_root(pid_t pid)
{
    auto started = read_started_openvpn(pid);
    if (!started) {
        StartedOpenvpn unknown;
        unknown.readable = false;
        return unknown;
    }
    return *std::move(started);
}

TunnelProgram describe_known(const ProcessInfo& process)
{
    const bool is_readable = is_roots(process) && runs_openvpn(process.id.pid);
    return describe(process,
                    is_readable ? std::optional(started_by_root(process.id.pid)) : std::nullopt);
}

/// OpenVPN clients that have no tunnel yet.
class WaitingClients {
  public:
    WaitingClients(const std::vector<std::string>& patterns, const std::vector<std::string>& files)
        : patterns_(patterns), files_(files)
    {
    }

    std::optional<TunnelProgram> look_at(pid_t pid)
    {
        // A user may have thousands of processes called openvpn: the cheapest check comes first.
        const bool may_be_roots = effective_user(pid) == kRoot;
        const bool is_of_client_unit = std::ranges::binary_search(of_client_units_, pid);
        if (!(may_be_roots || is_of_client_unit) || !runs_openvpn(pid) ||
            !OwnNamespaces::hold_all_of(pid)) {
            return std::nullopt;
        }
        const auto process = read_process(pid);
        // A child of OpenVPN is a plugin, or about to become a script.
        if (!process || runs_openvpn(process->parent)) {
            return std::nullopt;
        }
        if (!is_roots(*process)) {
            // Its command line is not trusted: only its unit shows that it is a client.
            return is_of_client_unit ? std::optional(describe(*process, std::nullopt))
                                     : std::nullopt;
        }
        const auto started = started_by_root(pid);
        const bool is_client = !started.config.remotes.empty();
        return is_client && (unit_of(pid) || is_named(started))
                   ? std::optional(describe(*process, started))
                   : std::nullopt;
    }

  private:
    bool is_named(const StartedOpenvpn& started)
    {
        if (!named_) {
            named_ = identify_named();
        }
        return std::ranges::find_first_of(started.files, *named_) != started.files.end();
    }

    [[nodiscard]] std::vector<FileId> identify_named() const
    {
        std::vector<FileId> named;
        const auto tree = TrustedTree::open("/", kRoot);
        const auto matching = matching_files(patterns_);
        for (const auto* list : {&matching.files, &files_}) {
            for (const auto& file : *list) {
                const auto id = tree ? tree->identify(file) : Failure(tree.error());
                if (id) {
                    named.push_back(*id);
                }
            }
        }
        return named;
    }

    const std::vector<std::string>& patterns_;
    const std::vector<std::string>& files_;
    /// Sorted.
    std::vector<pid_t> of_client_units_ = find_processes_of_client_units();
    /// The named configurations. Looked up for the first process of root that may be a client.
    std::optional<std::vector<FileId>> named_;
};

/// The part of "NUMBER:CONTROLLERS:PATH" below system.slice and slices in it; empty if there is
/// none. Users and services choose the names of control groups below their own, so only the
/// beginning of the path shows who made one.
std::string_view unit_in_system_slice(std::string_view line)
{
    const auto number_end = line.find(':');
    const auto end =
        number_end == std::string_view::npos ? number_end : line.find(':', number_end + 1);
    if (end == std::string_view::npos) {
        return {};
    }
    const auto controllers = line.substr(number_end + 1, end - number_end - 1);
    line.remove_prefix(end + 1);
    constexpr std::string_view kSystem = "/system.slice/";
    if ((!controllers.empty() && controllers != "name=systemd") || !line.starts_with(kSystem)) {
        return {};
    }
    line.remove_prefix(kSystem.size());
    for (auto slash = line.find('/'); slash != std::string_view::npos; slash = line.find('/')) {
        if (!line.substr(0, slash).ends_with(".slice")) {
            return {};
        }
        line.remove_prefix(slash + 1);
    }
    return line;
}

/// Adds the processes of client units in a slice, and in slices in it.
void add_processes(const std::string& slice, unsigned depth, std::vector<pid_t>& pids)
{
    constexpr unsigned kMostSlices = 8;
    const Owned<DIR, closedir> folder(opendir(slice.c_str()));
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string name = entry->d_name;
        const std::string path = slice + "/" + name;
        if (name.ends_with(".slice") && depth < kMostSlices) {
            add_processes(path, depth + 1, pids);
        } else if (fnmatch(kClientUnits, name.c_str(), 0) == 0) {
            const auto text = read_file(path + "/cgroup.procs", kLargestProcFile).value_or("");
            std::istringstream numbers(text);
            for (pid_t pid = 0; numbers >> pid;) {
                pids.push_back(pid);
            }
        }
    }
}

/// Adds the files below `folder` that match `pattern`.
void expand(const TrustedTree& tree, const std::string& folder, std::string_view pattern,
            MatchingFiles& found)
{
    while (pattern.starts_with('/')) {
        pattern.remove_prefix(1);
    }
    if (pattern.empty()) {
        found.files.push_back(folder.empty() ? "/" : folder);
        return;
    }
    const std::string part(pattern.substr(0, pattern.find('/')));
    pattern.remove_prefix(part.size());
    if (part.find_first_of("*?[\\") == std::string::npos) {
        expand(tree, folder + "/" + part, pattern, found);
        return;
    }
    const auto names = tree.names(folder.empty() ? "/" : folder);
    if (!names) {
        if (names.error().number() == EPERM) {
            warn(found.warnings,
                 "folder is not searched, because others than root can change it: " +
                     names.error().message());
        }
        return;
    }
    for (const auto& name : *names) {
        if (fnmatch(part.c_str(), name.c_str(), FNM_PERIOD) == 0) {
            expand(tree, folder + "/" + name, pattern, found);
        }
    }
}

} // namespace

MatchingFiles matching_files(const std::vector<std::string>& patterns)
{
    MatchingFiles found;
    const auto tree = TrustedTree::open("/", kRoot);
    if (!tree) {
        warn(found.warnings, tree.error().message());
        return found;
    }
    for (const auto& pattern : patterns) {
        expand(*tree, "", pattern, found);
    }
    std::erase_if(found.files, [&](const std::string& file) {
        const auto id = tree->identify(file);
        return !id && (id.error().number() == ENOENT || id.error().number() == ENOTDIR);
    });
    return found;
}

Result<OpenvpnConfig> read_openvpn_config(const std::string& file)
{
    const auto tree = TrustedTree::open("/", kRoot);
    if (!tree) {
        return Failure(tree.error());
    }
    std::error_code error;
    const auto path = std::filesystem::absolute(file, error);
    if (error) { // the name is empty, or the working directory was removed
        return fail_errno(in_quotes(file), error.value());
    }
    ConfigReader reader(*tree);
    const auto text = reader.read(path);
    if (!text) {
        return Failure(text.error());
    }
    return parse_openvpn_config(*text, [&](const std::string& included) {
        return reader.read((path.parent_path() / included).string());
    });
}

Result<bool> learn_servers(LearntServers& learnt, const std::string& file)
{
    const auto config = read_openvpn_config(file);
    if (!config) {
        return Failure(config.error());
    }
    for (const auto& warning : config->warnings) {
        learnt.warnings.push_back(file + ": " + warning);
    }
    Identity identity;
    identity.mark = config->mark;
    if (config->user) {
        if (const auto uid = uid_of(*config->user); uid && *uid && **uid != 0) {
            identity.uids.push_back(**uid);
        }
    }
    for (const auto& remote : config->remotes) {
        learnt.servers.push_back({remote, identity, {}});
    }
    return config->client;
}

Result<StartedOpenvpn> read_started_openvpn(pid_t pid)
{
    const auto arguments = read_command_line(pid);
    const auto root = read_link(in_proc(pid, "root"));
    const auto folder = read_link(in_proc(pid, "cwd"));
    if (!arguments || !root || !folder) {
        return Failure((!arguments ? arguments.error()
                        : !root    ? root.error()
                                   : folder.error())
                           .during("reading how a process was started"));
    }
    // Through the process's own root, because a unit can have mounts of its own. In a chroot(2) the
    // working directory's path has another root, and files that were read before are out of reach.
    const auto tree = *root == "/" ? TrustedTree::open(in_proc(pid, "root"), kRoot)
                                   : fail("process " + std::to_string(pid) + " is in a chroot");
    StartedOpenvpn started;
    std::optional<ConfigReader> reader;
    if (tree) {
        reader.emplace(*tree);
    }
    const auto seen = [&](const std::string& path) {
        return path.starts_with('/') ? path : *folder + "/" + path;
    };
    started.config = parse_openvpn_arguments(*arguments, [&](const std::string& path) {
        auto text = reader ? reader->read(seen(path)) : Failure(tree.error());
        started.readable = started.readable && text;
        if (!text && text.error().number() == EPERM) {
            warn(started.refused, text.error().message());
        }
        const auto id = text ? tree->identify(seen(path)) : Failure(text.error());
        if (id) {
            started.files.push_back(*id);
        }
        return text;
    });
    for (const auto& path : started.config.files) {
        // "[inline]" and similar words are not files.
        const bool is_file = !path.starts_with('[');
        started.readable = started.readable && tree && (!is_file || tree->holds(seen(path)));
    }
    return started;
}

std::optional<std::string> find_openvpn_unit(std::string_view cgroups)
{
    while (!cgroups.empty()) {
        const auto line = cgroups.substr(0, cgroups.find('\n'));
        cgroups.remove_prefix(std::min(line.size() + 1, cgroups.size()));
        const std::string unit(unit_in_system_slice(line));
        if (fnmatch(kAnyUnits, unit.c_str(), 0) == 0 ||
            fnmatch(kClientUnits, unit.c_str(), 0) == 0) {
            return unit;
        }
    }
    return std::nullopt;
}

std::vector<pid_t> find_processes_of_client_units(const std::string& cgroups)
{
    std::vector<pid_t> pids;
    // Control groups version 2, version 2 beside version 1, and version 1.
    for (const char* hierarchy : {"", "/unified", "/systemd"}) {
        add_processes(cgroups + hierarchy + "/system.slice", 0, pids);
    }
    std::ranges::sort(pids);
    return pids;
}

std::vector<TunnelProgram> find_tunnel_programs(const std::vector<ProcessId>& known, bool waiting,
                                                const std::vector<std::string>& patterns,
                                                const std::vector<std::string>& files)
{
    std::vector<TunnelProgram> programs;
    for (const auto& id : known) {
        const auto process = read_process(id.pid);
        if (process && process->id == id) {
            programs.push_back(describe_known(*process));
        }
    }
    if (!waiting) {
        return programs;
    }
    WaitingClients clients(patterns, files);
    for (const auto pid : all_processes()) {
        const auto is_known = [&](const TunnelProgram& program) { return program.id.pid == pid; };
        if (std::ranges::any_of(programs, is_known)) {
            continue;
        }
        if (const auto client = clients.look_at(pid)) {
            programs.push_back(*client);
        }
    }
    return programs;
}

std::vector<UnprivilegedOpenvpn> find_unprivileged_openvpn()
{
    std::vector<UnprivilegedOpenvpn> found;
    auto pids = all_processes();
    std::ranges::sort(pids);
    for (const auto pid : pids) {
        if (!runs_openvpn(pid) || effective_user(pid) == kRoot ||
            !OwnNamespaces::hold_network_of(pid)) {
            continue;
        }
        const auto process = read_process(pid);
        if (process && process->uid != kRoot && !runs_openvpn(process->parent)) {
            found.push_back({process->id, process->uid, unit_of(pid)});
        }
    }
    return found;
}

} // namespace failclosed
