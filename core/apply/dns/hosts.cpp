// SPDX-License-Identifier: GPL-3.0-or-later
// Writing our lines to the hosts file.
#include "core/apply/dns/hosts.hpp"

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "core/base/file.hpp"
#include "core/base/owned.hpp"
#include "core/codec/files/hosts_file.hpp"

namespace failclosed {
namespace {

/// Block lists of names have several megabytes.
constexpr std::size_t kSizeLimit = 64 << 20;

struct HostsFile {
    /// With links resolved, because a file is renamed over it.
    std::string path;
    std::optional<std::string> contents;
    /// It is a link to a file that does not exist: the reason, and what to do.
    Status writable = {};
};

Status check_link(const std::string& path)
{
    const Result<std::string> target = read_link(path);
    return target ? fail("is a symbolic link to " + *target +
                             ", which does not exist, so that the addresses of VPN servers cannot "
                             "be written there: create that file or remove the link, then "
                             "failclosed reapply",
                         ELOOP)
                  : Status();
}

Result<HostsFile> read_hosts(const std::string& path)
{
    Result<std::string> contents = read_file(path, kSizeLimit);
    if (!contents && contents.error().number() != ENOENT) {
        return Failure(contents.error());
    }
    if (!contents) {
        return HostsFile{path, std::nullopt, check_link(path)};
    }
    const Owned<char, std::free> real(realpath(path.c_str(), nullptr));
    return HostsFile{real ? real.get() : path, std::move(*contents)};
}

} // namespace

Status apply_hosts(const HostsPlan& plan, const std::string& path)
{
    const Result<HostsFile> file = read_hosts(path);
    if (!file) {
        return Failure(file.error());
    }
    const std::optional<std::string> wanted = put_hosts_entries(file->contents, plan);
    if (wanted == file->contents) {
        return {};
    }
    if (!file->writable) {
        return file->writable;
    }
    // If a power cut undoes the change, the next run makes it again.
    return wanted ? replace_file(file->path, *wanted, {.durability = Durability::Whole})
                  : remove_file(file->path, Durability::Whole);
}

Status remove_hosts(const std::string& path)
{
    return apply_hosts({}, path);
}

Result<bool> hosts_hold(const HostsPlan& plan, const std::string& path)
{
    const Result<HostsFile> file = read_hosts(path);
    if (!file) {
        return Failure(file.error());
    }
    const bool holds = put_hosts_entries(file->contents, plan) == file->contents;
    return holds || file->writable ? Result<bool>(holds) : Failure(file->writable.error());
}

Status hosts_writable(const std::string& path)
{
    const Result<HostsFile> file = read_hosts(path);
    return file ? file->writable : Failure(file.error());
}

} // namespace failclosed
