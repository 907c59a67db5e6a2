// SPDX-License-Identifier: GPL-3.0-or-later
// Choosing the DNS system.
#include "core/apply/dns/dns.hpp"

#include <array>
#include <optional>

#include "core/apply/dns/backends.hpp"

namespace failclosed {
namespace {

/// In the order of preference; the last one always exists.
constexpr std::array kBackends = {&kResolvedBackend, &kNetworkManagerBackend, &kOpenresolvBackend,
                                  &kFileBackend};

Result<DnsRun> begin_run(const DnsPaths& paths)
{
    JournalFile file(paths.journal_directory);
    Result<Journal> journal = file.load();
    if (!journal) {
        return Failure(journal.error());
    }
    return DnsRun{paths, std::move(file), std::move(*journal)};
}

Result<const DnsBackend*> choose_backend(const DnsRun& run)
{
    const Result<ResolvConfView> view = view_resolv_conf(run);
    if (!view) {
        return Failure(view.error());
    }
    for (const DnsBackend* backend : kBackends) {
        if (backend->in_charge(run, *view)) {
            return backend;
        }
    }
    return &kFileBackend;
}

/// Restores all systems except `kept`. Tries all of them; returns the first error.
Status restore_all_but(DnsRun& run, const DnsBackend* kept)
{
    Status first;
    for (const DnsBackend* backend : kBackends) {
        if (backend == kept) {
            continue;
        }
        if (Status restored = backend->restore(run); !restored && first) {
            first = std::move(restored);
        }
    }
    return first;
}

/// Chooses the system in charge, and restores all others. To restore one may change resolv.conf and
/// with it the choice, so this is repeated until nothing remains to be restored. The record of a
/// service that does not answer stays in the journal for a later restore().
Result<const DnsBackend*> take_over(DnsRun& run)
{
    for (;;) {
        const Journal before = run.journal;
        const Result<const DnsBackend*> backend = choose_backend(run);
        if (!backend) {
            return backend;
        }
        (void)restore_all_but(run, *backend);
        if (run.journal == before) {
            return backend;
        }
    }
}

Result<DnsSystem> leave(DnsRun& run)
{
    Status left = restore_all_but(run, &kFileBackend);
    if (Status file = leave_resolv_conf(run); left) {
        left = std::move(file);
    }
    return left ? Result<DnsSystem>(DnsSystem::None) : Failure(left.error());
}

Result<bool> has_left(const DnsRun& run)
{
    const Journal& journal = run.journal;
    const bool undone =
        !journal.network_manager && !journal.resolvconf && journal.resolved_links.empty();
    return undone ? has_left_resolv_conf(run) : false;
}

} // namespace

std::string_view to_string(DnsSystem system)
{
    switch (system) {
    case DnsSystem::None:
        return "none";
    case DnsSystem::Resolved:
        return "systemd-resolved";
    case DnsSystem::NetworkManager:
        return "NetworkManager";
    case DnsSystem::Openresolv:
        return "openresolv";
    case DnsSystem::File:
        return "resolv.conf";
    }
    return "none";
}

Result<DnsSystem> Dns::apply(const DnsPlan& plan) const
{
    Result<DnsRun> run = begin_run(paths_);
    if (!run) {
        return Failure(run.error());
    }
    if (plan.tunnels.empty()) {
        return leave(*run);
    }
    const Result<const DnsBackend*> backend = take_over(*run);
    if (!backend) {
        return Failure(backend.error());
    }
    if (const Status applied = (*backend)->apply(*run, plan); !applied) {
        return Failure(applied.error());
    }
    return (*backend)->system;
}

Result<DnsSystem> Dns::in_charge() const
{
    const auto run = begin_run(paths_);
    if (!run) {
        return Failure(run.error());
    }
    const auto backend = choose_backend(*run);
    return backend ? Result<DnsSystem>((*backend)->system) : Failure(backend.error());
}

Status Dns::restore() const
{
    Result<DnsRun> run = begin_run(paths_);
    return run ? restore_all_but(*run, nullptr) : Failure(run.error());
}

Result<bool> Dns::has_lost_resolv_conf() const
{
    const Result<DnsRun> run = begin_run(paths_);
    return run ? failclosed::has_lost_resolv_conf(*run) : Failure(run.error());
}

Result<bool> Dns::holds(const DnsPlan& plan) const
{
    const Result<DnsRun> run = begin_run(paths_);
    if (!run) {
        return Failure(run.error());
    }
    if (plan.tunnels.empty()) {
        return has_left(*run);
    }
    const Result<const DnsBackend*> backend = choose_backend(*run);
    if (!backend) {
        return Failure(backend.error());
    }
    return (*backend)->holds(*run, plan);
}

} // namespace failclosed
