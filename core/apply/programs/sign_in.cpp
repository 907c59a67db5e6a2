// SPDX-License-Identifier: GPL-3.0-or-later
// The mount namespace, group and user of a program that signs in.
#include "core/apply/programs/sign_in.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/file.hpp"
#include "core/base/owned.hpp"
#include "core/codec/files/resolv_conf.hpp"
#include "core/model/names.hpp"

namespace failclosed {

namespace {

/// A directory that exists in each run. Mounts over it are visible in this mount namespace only.
constexpr const char* kWorkplace = "/run/failclosed";
constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr const char* kNameServices = "/etc/nsswitch.conf";
/// The C library asks this daemon for names first.
constexpr const char* kNameCache = "/run/nscd";

constexpr std::size_t kFileLimit = 1 << 16;

bool exists(const char* path)
{
    return access(path, F_OK) == 0;
}

bool has_name(gid_t group)
{
    std::array<char, 16384> buffer{};
    struct group entry{};
    struct group* found = nullptr;
    // ERANGE: the group exists, but has too many members for the buffer.
    return getgrgid_r(group, &entry, buffer.data(), buffer.size(), &found) == ERANGE ||
           found != nullptr;
}

/// The groups of the "Gid:" and "Groups:" lines (proc_pid_status(5)).
void add_groups(std::string_view status, std::vector<gid_t>& groups)
{
    while (!status.empty()) {
        std::string_view line = status.substr(0, status.find('\n'));
        status.remove_prefix(std::min(status.size(), line.size() + 1));
        if (!line.starts_with("Gid:") && !line.starts_with("Groups:")) {
            continue;
        }
        line.remove_prefix(line.find(':') + 1);
        while (!line.empty()) {
            const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
            if (const auto number = parse_number(line.substr(0, end), 0, UINT32_MAX)) {
                groups.push_back(static_cast<gid_t>(*number));
            }
            line.remove_prefix(std::min(line.size(), end + 1));
        }
    }
}

/// The groups of all processes.
Result<std::vector<gid_t>> groups_in_use()
{
    const Owned<DIR, closedir> directory(opendir("/proc"));
    if (!directory) {
        return fail_errno("listing /proc");
    }
    std::vector<gid_t> groups;
    while (const dirent* entry = readdir(directory.get())) {
        const std::string name = entry->d_name;
        if (!parse_number(name, 1, INT32_MAX)) {
            continue;
        }
        // A process that has ended meanwhile has no groups.
        if (const auto status = read_file("/proc/" + name + "/status", kFileLimit)) {
            add_groups(*status, groups);
        }
    }
    return groups;
}

Status mount_at(const char* source, const char* target, const char* type, unsigned long flags,
                const char* data = nullptr)
{
    return mount(source, target, type, flags, data) == 0
               ? Status{}
               : Status(fail_errno(std::string("mounting ") + target));
}

/// nsswitch.conf(5), with host names from files and DNS only.
std::string name_services()
{
    std::string text;
    const auto before = read_file(kNameServices, kFileLimit);
    for (std::string_view rest = before ? std::string_view(*before) : ""; !rest.empty();) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const std::size_t start = line.find_first_not_of(" \t");
        if (start == std::string_view::npos || !line.substr(start).starts_with("hosts:")) {
            text += std::string(line) + "\n";
        }
    }
    return text + "hosts: files dns\n";
}

/// Mounts a file with `text` over `path`, in this mount namespace.
Status cover(const char* path, const std::string& name, const std::string& text)
{
    const std::string file = std::string(kWorkplace) + "/" + name;
    if (auto written = replace_file(file, text, {.mode = 0644, .durability = Durability::Volatile});
        !written) {
        return written;
    }
    return mount_at(file.c_str(), path, nullptr, MS_BIND);
}

Status use_resolvers(const std::vector<IpAddress>& resolvers)
{
    if (unshare(CLONE_NEWNS) != 0) {
        return fail_errno("making a mount namespace");
    }
    constexpr unsigned long kNothingRuns = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    auto done = mount_at("none", "/", nullptr, MS_REC | MS_PRIVATE);
    if (done) {
        done = mount_at("tmpfs", kWorkplace, "tmpfs", kNothingRuns, "mode=0755,size=1m");
    }
    if (done) {
        done = cover(kResolvConf, "resolv.conf", render_resolver_lines({resolvers, {}}));
    }
    if (done && exists(kNameServices)) { // without this file, files and DNS are the default
        done = cover(kNameServices, "nsswitch.conf", name_services());
    }
    if (done && exists(kNameCache)) {
        done = mount_at("tmpfs", kNameCache, "tmpfs", kNothingRuns | MS_RDONLY);
    }
    // The bind mounts keep the files.
    if (done && umount2(kWorkplace, MNT_DETACH) != 0) {
        return fail_errno(std::string("unmounting ") + kWorkplace);
    }
    return done;
}

Result<std::vector<gid_t>> groups_of(const User& user)
{
    std::vector<gid_t> groups(64);
    for (;;) {
        int count = static_cast<int>(groups.size());
        const int found = getgrouplist(user.name.c_str(), user.gid, groups.data(), &count);
        if (found < 0 && static_cast<std::size_t>(count) <= groups.size()) {
            return fail("listing the groups of " + user.name);
        }
        groups.resize(static_cast<std::size_t>(count));
        if (found >= 0) {
            return groups;
        }
    }
}

Status drop_capabilities()
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
        return fail_errno("dropping capabilities");
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    return syscall(SYS_capset, &header, none.data()) == 0
               ? Status{}
               : Status(fail_errno("dropping capabilities"));
}

} // namespace

Result<User> find_user(const std::string& name_or_number)
{
    std::array<char, 16384> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    int error = getpwnam_r(name_or_number.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) {
        if (const auto number = parse_number(name_or_number, 0, UINT32_MAX - 1)) {
            error = getpwuid_r(static_cast<uid_t>(*number), &entry, buffer.data(), buffer.size(),
                               &found);
        }
    }
    if (found == nullptr) {
        return fail_errno("user " + name_or_number, error == 0 ? ENOENT : error);
    }
    return User{found->pw_name, found->pw_dir, found->pw_uid, found->pw_gid};
}

Result<gid_t> choose_group()
{
    const auto used = groups_in_use();
    if (!used) {
        return Failure(used.error());
    }
    // Starts at random: sockets of the group that was used last may still exist.
    std::uint32_t start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start) {
        return fail_errno("getrandom");
    }
    for (gid_t i = 0; i < kSignInGroups; ++i) {
        const gid_t group = kFirstSignInGroup + (start + i) % kSignInGroups;
        if (std::ranges::find(*used, group) == used->end() && !has_name(group)) {
            return group;
        }
    }
    return fail("no free group id from " + std::to_string(kFirstSignInGroup) + " to " +
                std::to_string(kFirstSignInGroup + kSignInGroups - 1));
}

Status become_signer(const User& user, gid_t group, const std::vector<IpAddress>& resolvers)
{
    const auto groups = groups_of(user);
    if (!groups) {
        return Failure(groups.error());
    }
    if (auto done = use_resolvers(resolvers); !done) {
        return done;
    }
    if (setgroups(groups->size(), groups->data()) != 0 || setresgid(group, group, group) != 0 ||
        setresuid(user.uid, user.uid, user.uid) != 0) {
        return fail_errno("becoming " + user.name);
    }
    if (auto dropped = drop_capabilities(); !dropped) {
        return dropped;
    }
    // sudo leaves root's values in these variables.
    for (const auto& [name, value] : {std::pair("HOME", user.home), std::pair("USER", user.name),
                                      std::pair("LOGNAME", user.name)}) {
        if (setenv(name, value.c_str(), 1) != 0) {
            return fail_errno("setting the environment");
        }
    }
    return {};
}

} // namespace failclosed
