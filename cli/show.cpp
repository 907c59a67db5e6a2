// SPDX-License-Identifier: GPL-3.0-or-later
// status, check, plan: verbs that change nothing.
#include <array>
#include <cstdio>
#include <utility>

#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/look.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/apply/programs/boot.hpp"
#include "core/base/report.hpp"
#include "core/codec/files/resolv_conf.hpp"
#include "core/codec/nftables/text.hpp"
#include "core/engine/live_system.hpp"

namespace failclosed::cli {

namespace {

constexpr Seconds kWatchInterval{1};

bool needs_root(const char* verb)
{
    if (geteuid() == 0) {
        return false;
    }
    report_error(std::string(verb) + ": only root can read the firewall: run it as root (sudo)");
    return true;
}

StatusReport make_report()
{
    StatusReport report;
    ProtectionView view = view_protection();
    LiveSystem& system = *view.system;
    const Inspection& found = view.found;
    report.differences = std::move(view.differences);
    report.state = found.state;
    report.config = found.config.config;
    if (found.state.armed == Armed::No) {
        // The state kept for the next lock does not describe the present.
        report.state.tunnels.clear();
        report.state.underlay = {};
    }
    for (const auto& tunnel : report.state.tunnels) {
        const Link* link = found.snapshot.find(tunnel.interface);
        if (link == nullptr || !link->up) {
            report.dead_tunnels.insert(tunnel.interface);
        }
    }
    report.findings = findings_of(system, found, report.state);
    report.state.portal = portal_in_force(found);
    if (report.state.portal) {
        report.portal_left = report.state.portal->until - found.snapshot.uptime;
    }
    report.boot_lock = is_enabled_at_boot();
    const auto exists = system.firewall_exists();
    const bool loaded = exists && *exists;
    if (found.state.armed == Armed::Yes) {
        report.protection = loaded ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
    } else {
        report.protection = Outcome::Protection::Open;
    }
    if (loaded) {
        if (auto counters = system.counters()) {
            report.counters = *std::move(counters);
        }
        report.passing = passing_counters(found.wanted.firewall);
        report.guard = look_at_device_guard(system, found);
    }
    return report;
}

int print_status(bool as_json)
{
    const StatusReport report = make_report();
    const std::string text = as_json ? status_json(report) : status_text(report);
    return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
}

/// Prints the status each second, until the reader closes its end or a signal arrives.
int watch(bool as_json)
{
    const UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    itimerspec times{};
    times.it_interval.tv_sec = times.it_value.tv_sec = kWatchInterval.count();
    if (!timer.valid() || timerfd_settime(timer.get(), 0, &times, nullptr) != 0) {
        report_error(Error::from_errno("setting a timer").message());
        return 1;
    }
    for (;;) {
        if (!as_json) {
            std::fputs("\033[H\033[2J", stdout);
        }
        if (const int failed = print_status(as_json); failed != 0) {
            return failed;
        }
        std::array<pollfd, 2> polled = {{{timer.get(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
        poll(polled.data(), polled.size(), -1);
        std::uint64_t expirations = 0;
        if ((polled[1].revents & (POLLERR | POLLHUP)) != 0 ||
            read(timer.get(), &expirations, sizeof expirations) < 0) {
            return 0;
        }
    }
}

std::string names_of(const Protection& wanted)
{
    std::string text;
    if (!wanted.dns.tunnels.empty()) {
        text += "# resolv.conf\n" +
                render_resolver_lines({wanted.dns.resolvers(), wanted.dns.search_domains()});
    }
    if (!wanted.hosts.entries.empty()) {
        text += "# /etc/hosts\n";
        for (const auto& entry : wanted.hosts.entries) {
            text += entry.address.to_string() + " " + entry.name.text() + "\n";
        }
    }
    return text;
}

} // namespace

int status(const Arguments& arguments)
{
    const auto options = Options::parse(
        "status", {{"json", "One JSON object", ""}, {"watch", "Print again every second", ""}},
        arguments);
    if (!options) {
        return usage_error("status", options.error());
    }
    if (needs_root("status")) {
        return 1;
    }
    return options->has("watch") ? watch(options->has("json")) : print_status(options->has("json"));
}

int check(const Arguments& arguments)
{
    const auto options = Options::parse("check", {}, arguments);
    if (!options) {
        return usage_error("check", options.error());
    }
    if (needs_root("check")) {
        return 1;
    }
    const StatusReport report = make_report();
    for (const auto& difference : report.differences) {
        report_error(to_string(difference));
    }
    for (const auto& finding : report.findings) {
        if (finding.kind == Finding::Kind::ForeignRule) {
            report_warning(finding.text);
        }
    }
    switch (report.protection) {
    case Outcome::Protection::Open:
        report_error("not locked: run `failclosed lock`");
        return 2;
    case Outcome::Protection::NotClosed:
        report_error("NOT CLOSED: no firewall of failclosed is loaded: run `failclosed reapply`");
        return 2;
    case Outcome::Protection::Closed:
        break;
    }
    return report.differences.empty() ? 0 : 1;
}

int plan(const Arguments& arguments)
{
    const auto options = Options::parse("plan", {}, arguments);
    if (!options) {
        return usage_error("plan", options.error());
    }
    if (needs_root("plan")) {
        return 1;
    }
    LiveSystem system;
    Inspection found = inspect(system);
    for (const auto& line : found.errors) {
        report_warning(line);
    }
    // If the machine is not locked: the plan that `lock` would apply.
    found.state.armed = Armed::Yes;
    const Protection wanted = plan_protection(found.state, found.config.config, found.snapshot);
    const std::string text = "# nft -f\n" + to_nft(wanted.firewall) + "# ip\n" +
                             to_ip_commands(wanted.routing, found.snapshot) + names_of(wanted);
    return std::fputs(text.c_str(), stdout) < 0 || !found.errors.empty() ? 1 : 0;
}

} // namespace failclosed::cli
