// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper: looks the servers' names up again, through the tunnel where there is one.
#include "core/engine/refresh.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/resolver.hpp"
#include "core/base/file.hpp"
#include "core/base/report.hpp"
#include "core/codec/resolv_conf.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/report_outcome.hpp"
#include "core/plan/constants.hpp"

using namespace failclosed;

namespace {

/// How long the firewall admits the helper's questions past the tunnel, for one resolver.
constexpr Seconds kBootstrapTime{10};
constexpr std::size_t kMostBootstrapResolvers = 2;

/// Where the resolvers of the underlay stand, the one that knows most first. resolv.conf itself
/// names them only where no local resolver stands in front.
constexpr std::array kUnderlayResolvers = {
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/NetworkManager/resolv.conf",
    "/run/resolvconf/resolv.conf",
    "/etc/resolv.conf",
};

std::vector<IpAddress> underlay_resolvers()
{
    std::vector<IpAddress> resolvers;
    for (const char* path : kUnderlayResolvers) {
        const auto text = read_file(path, 1 << 16);
        if (!text) {
            continue;
        }
        for (const auto& resolver : parse_resolv_conf(*text).servers) {
            if (resolver.is_unicast_host() && !resolver.is_link_local() &&
                resolvers.size() < kMostBootstrapResolvers &&
                std::ranges::find(resolvers, resolver) == resolvers.end()) {
                resolvers.push_back(resolver);
            }
        }
    }
    return resolvers;
}

/// Asks through the first tunnel that has resolvers.
std::vector<ServersResolved::Answer> ask_in_tunnel(const State& state, const Config& config,
                                                   const std::vector<HostName>& names)
{
    const auto plan = plan_dns(state, config);
    if (plan.tunnels.empty()) {
        return {};
    }
    const auto& tunnel = plan.tunnels.front();
    cli::ResolverPath path{tunnel.resolvers, tunnel.interface};
    if (std::ranges::any_of(path.resolvers, &IpAddress::is_loopback)) {
        path.device.reset(); // a resolver of the administrator's own is not in the tunnel
    }
    const auto answers = cli::look_up(names, path);
    return answers ? *answers : std::vector<ServersResolved::Answer>{};
}

/// Asks the underlay's resolvers, which alone can bring the tunnel back. The firewall lets just
/// these questions pass, for seconds.
std::vector<ServersResolved::Answer> ask_underlay(LiveSystem& system,
                                                  const std::vector<HostName>& names)
{
    for (const auto& resolver : underlay_resolvers()) {
        if (const auto opened = system.admit_bootstrap(resolver, kBootstrapTime); !opened) {
            report_warning(opened.error().during("bootstrap DNS").message());
            continue;
        }
        const auto answers = cli::look_up(names, {{resolver}, {}, kUnderlayMark});
        if (answers && !answers->empty()) {
            return *answers;
        }
    }
    return {};
}

int refresh()
{
    if (geteuid() != 0) {
        report_error("refresh: only root can look servers up");
        return 1;
    }
    LiveSystem system;
    const Inspection before = inspect(system);
    const auto names = server_names(before.state);
    if (before.state.armed == Armed::No || names.empty()) {
        return 0;
    }
    const Config& config = before.config.config;
    ServersResolved event{ask_in_tunnel(before.state, config, names)};
    const auto missing = names_without_address(before.state);
    if (event.answers.empty() && !missing.empty() && config.bootstrap_dns) {
        event.answers = ask_underlay(system, missing);
    }
    if (event.answers.empty() && missing.empty() && before.state.tunnels.empty()) {
        report_warning("no tunnel is up to look names up through; the known addresses stay");
        return 0;
    }
    if (event.answers.empty()) {
        report_warning("no server's name could be looked up; what was known stays");
        return 1;
    }
    const bool all_answered = event.answers.size() == names.size();
    const Outcome outcome = handle(system, event);
    report(outcome);
    if (all_answered) {
        if (const auto noted = note_refresh(LiveSystem::refresh_stamp()); !noted) {
            report_warning(noted.error().message());
        }
    }
    return outcome.exit_code();
}

} // namespace

int main(int argc, char** argv)
{
    const bool foreground = argc > 1 && std::string_view(argv[1]) == "--foreground";
    set_up_reports("refresh", foreground ? ReportTo::StandardError : ReportTo::SystemLogToo);
    umask(077);
    try {
        return refresh();
    } catch (const std::exception& error) {
        report_error(error.what());
        return 1;
    }
}
