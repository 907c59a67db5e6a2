// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper: looks the servers' names up again, through the tunnel where there is one.
#include "core/engine/refresh.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/resolver.hpp"
#include "core/apply/journal.hpp"
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

/// What resolv.conf said before it was ours, and what those say who write it: but nothing of ours,
/// and nobody inside a tunnel, who must not be asked past it.
std::vector<IpAddress> underlay_resolvers(const State& state)
{
    std::vector<std::string> texts;
    if (const auto journal = JournalFile(LiveSystem::persistent_directory()).load();
        journal && journal->resolv_conf &&
        journal->resolv_conf->kind == ResolvConfBefore::Kind::Regular) {
        texts.push_back(journal->resolv_conf->data);
    }
    for (const char* path : kUnderlayResolvers) {
        if (auto text = read_file(path, 1 << 16); text && !is_our_resolv_conf(*text)) {
            texts.push_back(*std::move(text));
        }
    }
    std::vector<IpAddress> resolvers;
    for (const auto& text : texts) {
        for (const auto& resolver : parse_resolv_conf(text).servers) {
            const auto inside = tunnel_networks(resolver.family(), state);
            const bool in_tunnel = std::ranges::any_of(
                inside, [&](const IpPrefix& network) { return network.contains(resolver); });
            if (resolver.is_unicast_host() && !resolver.is_link_local() && !in_tunnel &&
                resolvers.size() < kMostBootstrapResolvers &&
                std::ranges::find(resolvers, resolver) == resolvers.end()) {
                resolvers.push_back(resolver);
            }
        }
    }
    return resolvers;
}

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
    for (const auto& resolver : underlay_resolvers(state)) {
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
    if (!lookup.reached && config.bootstrap_dns) {
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
    const ServersResolved event{std::move(lookup.answers)};
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
