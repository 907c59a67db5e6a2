// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper: looks the servers' names up again, through the tunnel where there is one.
#include "core/engine/refresh.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/resolver.hpp"
#include "cli/underlay_resolvers.hpp"
#include "core/base/report.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/report_outcome.hpp"
#include "core/plan/constants.hpp"

using namespace failclosed;

namespace {

/// How long the firewall admits the helper's questions past the tunnel, for one resolver.
constexpr Seconds kBootstrapTime{10};

/// Asks through the first tunnel that has resolvers.
cli::Lookup ask_in_tunnel(const State& state, const Config& config,
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
    return cli::look_up(names, path).value_or(cli::Lookup{});
}

/// Asks the underlay's resolvers, which alone can bring the tunnel back. The firewall lets just
/// these questions pass, for seconds.
cli::Lookup ask_underlay(LiveSystem& system, const State& state, const std::vector<HostName>& names)
{
    if (names.empty()) {
        return {};
    }
    for (const auto& resolver : cli::underlay_resolvers(state)) {
        if (const auto opened = system.admit_bootstrap(resolver, kBootstrapTime); !opened) {
            report_warning(opened.error().during("bootstrap DNS").message());
            continue;
        }
        auto lookup = cli::look_up(names, {{resolver}, {}, kUnderlayMark});
        if (lookup && !lookup->answers.empty()) {
            return *std::move(lookup);
        }
    }
    return {};
}

/// Asking past the tunnel tells the network which VPN is used. The helper does so only for names
/// that nothing is known of; a person who asks says that what is known is of no use.
enum class AskedBy : std::uint8_t { Helper, Person };

int refresh(AskedBy asker)
{
    if (geteuid() != 0) {
        report_error("refresh: only root can look servers up");
        return 1;
    }
    UniqueFd turn;
    if (asker == AskedBy::Helper) {
        auto taken = take_refresh_turn(LiveSystem::refresh_stamp());
        if (!taken) {
            report_error(taken.error().message());
            return 1;
        }
        if (!taken->valid()) {
            return 0; // another one waits, and will do it
        }
        turn = *std::move(taken);
    }
    LiveSystem system;
    const Inspection before = inspect(system);
    const auto names = server_names(before.state);
    if (before.state.armed == Armed::No || names.empty()) {
        return 0;
    }
    // While it waited, another helper may have done it.
    if (asker == AskedBy::Helper && !needs_refresh(before.state, LiveSystem::refresh_stamp())) {
        return 0;
    }
    const Config& config = before.config.config;
    cli::Lookup lookup = ask_in_tunnel(before.state, config, names);
    // A resolver in a working tunnel has the last word: to ask past it would tell others the name.
    const bool past_tunnel = !lookup.reached && config.bootstrap_dns;
    if (past_tunnel) {
        lookup =
            ask_underlay(system, before.state,
                         asker == AskedBy::Person ? names : names_without_address(before.state));
    }
    if (lookup.answers.empty()) {
        const std::string why = before.state.tunnels.empty() && !config.bootstrap_dns
                                    ? " (no tunnel is up, and bootstrap-dns=no)"
                                    : "";
        report_warning("no server's name could be looked up; what was known stays" + why);
        return 1;
    }
    const ServersResolved event{std::move(lookup.answers), past_tunnel};
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
        return refresh(foreground ? AskedBy::Person : AskedBy::Helper);
    } catch (const std::exception& error) {
        report_error(error.what());
        return 1;
    }
}
