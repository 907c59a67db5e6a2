// SPDX-License-Identifier: GPL-3.0-or-later
// Writes resolv.conf itself, if no supported program is in charge of it.
#include "core/base/file.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <sys/stat.h>

#include "core/apply/dns/backends.hpp"

namespace failclosed {
namespace {

/// The file or link at `path` now.
Result<ResolvConfBefore> look_at(const std::string& path)
{
    using Kind = ResolvConfBefore::Kind;
    Result<std::string> target = read_link(path);
    if (target) {
        return ResolvConfBefore{Kind::Link, std::move(*target)};
    }
    if (target.error().number() == ENOENT) {
        return ResolvConfBefore{Kind::Absent, ""};
    }
    Result<std::string> contents = read_file(path, kResolvConfLimit);
    if (!contents) {
        return Failure(contents.error());
    }
    return ResolvConfBefore{Kind::Regular, std::move(*contents)};
}

bool is_ours(const ResolvConfBefore& file)
{
    return file.kind == ResolvConfBefore::Kind::Regular && is_our_resolv_conf(file.data);
}

/// For our own file without a journal: the previous contents are lost.
ResolvConfBefore without_ours(const ResolvConfBefore& file)
{
    return is_ours(file) ? ResolvConfBefore() : file;
}

/// The contents of the file to which a link at `path` leads.
Result<std::string> read_linked(const std::string& path, const std::string& target)
{
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    return read_resolv_conf(target.starts_with('/') ? target : directory + target);
}

/// Whether `now` is NetworkManager's file in place of the link in `before`. NetworkManager does not
/// replace links, or writes the file that they lead to; it has replaced our file because that is
/// not a link. A file that it wrote through a link to another place is out of date by now.
bool stands_for_link(const std::string& path, const ResolvConfBefore& now,
                     const std::optional<ResolvConfBefore>& before)
{
    if (now.kind != ResolvConfBefore::Kind::Regular || !is_network_managers(now.data) || !before ||
        before->kind != ResolvConfBefore::Kind::Link) {
        return false;
    }
    const Result<std::string> linked = read_linked(path, before->data);
    return leads_to_network_manager(before->data) ||
           (linked && !linked->empty() && !is_network_managers(*linked));
}

Status put_back(const std::string& path, const ResolvConfBefore& before)
{
    switch (before.kind) {
    case ResolvConfBefore::Kind::Absent:
        return remove_file(path);
    case ResolvConfBefore::Kind::Link:
        return replace_by_link(path, before.data);
    case ResolvConfBefore::Kind::Regular:
        return replace_file(path, before.data, {.shrink_first = true});
    }
    return {};
}

/// Longer than NetworkManager takes to rename a file that it began to write when the tunnel ended.
constexpr std::int64_t kTidyingUp = 60; // seconds

/// Whether the file was put there long after the link was restored: then it was put there on
/// purpose and is kept.
bool came_later(const DnsRun& run)
{
    struct stat file{};
    return run.journal.resolv_conf_left && lstat(run.paths.resolv_conf.c_str(), &file) == 0 &&
           std::abs(file.st_ctim.tv_sec - *run.journal.resolv_conf_left) > kTidyingUp;
}

/// Whether `now` is our file, or NetworkManager's in place of ours.
bool stands_for_ours(const DnsRun& run, const ResolvConfBefore& now)
{
    return is_ours(now) || (stands_for_link(run.paths.resolv_conf, now, run.journal.resolv_conf) &&
                            !came_later(run));
}

Status apply(DnsRun& run, const DnsPlan& plan)
{
    const std::string& path = run.paths.resolv_conf;
    const Result<ResolvConfBefore> now = look_at(path);
    if (!now) {
        return Failure(now.error());
    }
    const Journal known = run.journal;
    if (!run.journal.resolv_conf || !stands_for_ours(run, *now)) {
        run.journal.resolv_conf = without_ours(*now);
    }
    run.journal.resolv_conf_left.reset();
    if (run.journal != known) {
        if (Status saved = run.file.save(run.journal); !saved) {
            return saved;
        }
    }
    return replace_file(path, render_resolv_conf(wanted_resolv_conf(plan)), {.replace_link = true});
}

/// Restores the file or link of the journal, and keeps the record.
Status put_back(const DnsRun& run)
{
    const std::string& path = run.paths.resolv_conf;
    const Result<ResolvConfBefore> now = look_at(path);
    if (!now) {
        return Failure(now.error());
    }
    return stands_for_ours(run, *now) ? put_back(path, *run.journal.resolv_conf) : Status();
}

Status restore(DnsRun& run)
{
    if (!run.journal.resolv_conf) {
        return {};
    }
    if (Status back = put_back(run); !back) {
        return back;
    }
    run.journal.resolv_conf.reset();
    run.journal.resolv_conf_left.reset();
    return run.file.save(run.journal);
}

bool was_link(const DnsRun& run)
{
    return run.journal.resolv_conf && run.journal.resolv_conf->kind == ResolvConfBefore::Kind::Link;
}

Result<bool> holds(const DnsRun& run, const DnsPlan& plan)
{
    const Result<ResolvConfBefore> now = look_at(run.paths.resolv_conf);
    if (!now) {
        return Failure(now.error());
    }
    return run.journal.resolv_conf && now->kind == ResolvConfBefore::Kind::Regular &&
           now->data == render_resolv_conf(wanted_resolv_conf(plan));
}

} // namespace

Status leave_resolv_conf(DnsRun& run)
{
    if (!was_link(run)) {
        return restore(run);
    }
    if (Status back = put_back(run); !back || run.journal.resolv_conf_left) {
        return back;
    }
    run.journal.resolv_conf_left = time(nullptr);
    return run.file.save(run.journal);
}

Result<bool> has_left_resolv_conf(const DnsRun& run)
{
    if (!was_link(run) || !run.journal.resolv_conf_left) {
        return !run.journal.resolv_conf;
    }
    const Result<ResolvConfBefore> now = look_at(run.paths.resolv_conf);
    return now ? Result<bool>(!stands_for_ours(run, *now)) : Failure(now.error());
}

Result<bool> has_lost_resolv_conf(const DnsRun& run)
{
    if (run.journal.resolv_conf) {
        return false;
    }
    const Result<ResolvConfBefore> now = look_at(run.paths.resolv_conf);
    return now ? Result<bool>(is_ours(*now)) : Failure(now.error());
}

ResolvConf wanted_resolv_conf(const DnsPlan& plan)
{
    return {plan.resolvers(), plan.search_domains()};
}

Result<std::string> read_resolv_conf(const std::string& path)
{
    Result<std::string> contents = read_file(path, kResolvConfLimit);
    return !contents && contents.error().number() == ENOENT ? Result<std::string>("") : contents;
}

Result<ResolvConfView> view_resolv_conf(const DnsRun& run)
{
    const std::string& path = run.paths.resolv_conf;
    Result<ResolvConfBefore> file = look_at(path);
    if (!file) {
        return Failure(file.error());
    }
    if (stands_for_ours(run, *file)) {
        *file = run.journal.resolv_conf.value_or(ResolvConfBefore());
    }
    if (file->kind != ResolvConfBefore::Kind::Link) {
        return ResolvConfView{"", file->data};
    }
    Result<std::string> contents = read_linked(path, file->data);
    if (!contents) {
        return Failure(contents.error());
    }
    return ResolvConfView{file->data, std::move(*contents)};
}

const DnsBackend kFileBackend = {DnsSystem::File,
                                 [](const DnsRun&, const ResolvConfView&) { return true; }, apply,
                                 restore, holds};

} // namespace failclosed
