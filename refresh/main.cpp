// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper: looks up the servers' names again, through a tunnel if there is one.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "refresh/resolver.hpp"

#include "core/base/file.hpp"
#include "core/base/report.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/refresh.hpp"
#include "core/engine/run_event.hpp"
#include "core/engine/underlay_resolvers.hpp"
#include "core/plan/constants.hpp"

using namespace failclosed;

namespace {

constexpr const char* kProgram = FAILCLOSED_LIBEXECDIR "/refresh";

/// How long the firewall admits the helper's queries to one resolver outside the tunnel.
constexpr Seconds kBootstrapTime{10};

/// Asks through the first tunnel that has resolvers. `nullopt` if none has.
std::optional<cli::Lookup> ask_in_tunnel(const State& state, const Config& config,
                                         const std::vector<HostName>& names)
{
    const auto plan = plan_dns(state, config);
    if (plan.tunnels.empty()) {
        return std::nullopt;
    }
    const auto& tunnel = plan.tunnels.front();
    cli::ResolverPath path{tunnel.resolvers, tunnel.interface};
    if (std::ranges::any_of(path.resolvers, &IpAddress::is_loopback)) {
        path.device.reset(); // a resolver on this machine is not in the tunnel
    }
    return cli::look_up(names, path).value_or(cli::Lookup{});
}

/// Asks the underlay's resolvers, if no resolver in a tunnel answers. The firewall admits only
/// these queries, for some seconds.
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

/// The number of packets that all tunnels have received. A tunnel program that has lost its server
/// may keep its device (persist-tun); the number then stays the same.
std::uint64_t received_in_tunnels(const State& state)
{
    std::uint64_t packets = 0;
    for (const auto& tunnel : state.tunnels) {
        const auto text =
            read_file("/sys/class/net/" + tunnel.interface.text() + "/statistics/rx_packets", 32);
        packets +=
            text ? parse_number(text->substr(0, text->find('\n')), 0, UINT64_MAX).value_or(0) : 0;
    }
    return packets;
}

/// The number of packets that tunnel programs have sent to servers.
std::uint64_t sent_to_servers(LiveSystem& system)
{
    const auto counters = system.counters();
    return counters ? std::accumulate(counters->begin(), counters->end(), std::uint64_t{0},
                                      [](std::uint64_t sum, const auto& entry) {
                                          const auto& [key, counter] = entry;
                                          return key.comment == kServerComment
                                                     ? sum + counter.packets
                                                     : sum;
                                      })
                    : 0;
}

Seconds since_boot()
{
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return Seconds(now.tv_sec);
}

enum class AskedBy : std::uint8_t { Helper, Person };

/// The result of one round of look-ups.
struct Asked {
    State state;
    Config config;
    Snapshot snapshot;
    LookupRound round;
    /// A resolver was asked, inside or outside a tunnel.
    bool has_asked = false;
    int exit_code = 0;
};

/// Makes look-ups, and keeps the packet counts of the previous round.
class Lookups {
  public:
    explicit Lookups(AskedBy asker) : asker_(asker) {}

    /// Reads the state of the machine without a query.
    Asked look() const
    {
        LiveSystem system(LiveSystem::Reading::Everything, LiveSystem::Closing::Here);
        Inspection found = inspect(system);
        return {std::move(found.state), std::move(found.config.config), std::move(found.snapshot)};
    }

    /// Reads the state of the machine without a query, and stores the packet counts.
    Asked look_first()
    {
        LiveSystem system(LiveSystem::Reading::Everything, LiveSystem::Closing::Here);
        sent_before_ = sent_to_servers(system);
        return look();
    }

    /// Looks up the names that are needed, in a tunnel first, and passes the answers to the engine.
    Asked ask()
    {
        LiveSystem system(LiveSystem::Reading::Everything, LiveSystem::Closing::Here);
        const Inspection before = inspect(system);
        Asked asked{before.state, before.config.config, before.snapshot};
        const auto names = server_names(before.state);
        if (before.state.armed == Armed::No || names.empty()) {
            return asked;
        }
        auto lookup = ask_in_tunnel(asked.state, asked.config, names);
        const bool has_resolvers = lookup.has_value();
        asked.round = look_around(system, before.state, has_resolvers && !lookup->reached);
        // An answer from a tunnel is final: a query outside would show the name to the network.
        const bool past_tunnel = !lookup || !lookup->reached;
        std::vector<HostName> wanted;
        if (past_tunnel) {
            wanted = asker_ == AskedBy::Person && asked.config.bootstrap_dns
                         ? names
                         : names_past_tunnel(asked.state, asked.config, asked.round);
            lookup = ask_underlay(system, asked.state, wanted);
        }
        asked.has_asked = has_resolvers || !wanted.empty();
        if (!wanted.empty()) {
            sent_before_ = sent_to_servers(system);
        }
        if (lookup->answers.empty()) {
            give_up(system, before, asked);
            return asked;
        }
        const bool all_answered = lookup->answers.size() == names.size();
        const Outcome outcome =
            run_event(system, ServersResolved{std::move(lookup->answers), past_tunnel});
        // When a tunnel comes up, unverified addresses are dropped, and the name must be looked up
        // again in the tunnel.
        const auto stamp = LiveSystem::refresh_stamp();
        const Status noted = past_tunnel    ? forget_refresh(stamp)
                             : all_answered ? note_refresh(stamp)
                                            : Status{};
        if (!noted) {
            report_warning(noted.error().message());
        }
        asked.state = outcome.state;
        asked.exit_code = outcome.exit_code();
        return asked;
    }

  private:
    /// `unanswered`: the resolvers inside a tunnel do not answer.
    LookupRound look_around(LiveSystem& system, const State& state, bool unanswered)
    {
        const auto received = received_in_tunnels(state);
        const auto sent = sent_to_servers(system);
        const LookupRound round{since_boot() - start_,
                                unanswered && received == received_before_.value_or(received),
                                sent_before_ && *sent_before_ != sent};
        received_before_ = received;
        sent_before_ = sent_before_.value_or(sent);
        return round;
    }

    /// Without an answer there is no event, but an address that has expired must not stay admitted.
    void give_up(LiveSystem& system, const Inspection& before, Asked& asked) const
    {
        if (before.loaded.state.servers != before.state.servers) {
            run_event(system, ServersResolved{});
        }
        if (!asked.has_asked && asker_ == AskedBy::Helper) {
            return;
        }
        asked.exit_code = 1;
        if (is_reported_) {
            return;
        }
        is_reported_ = true;
        const std::string why = before.state.tunnels.empty() && !asked.config.bootstrap_dns
                                    ? " (no tunnel is up, and bootstrap-dns=no)"
                                    : "";
        report_warning("no server's name could be looked up; known addresses are kept" + why);
    }

    AskedBy asker_;
    Seconds start_ = since_boot();
    std::optional<std::uint64_t> received_before_;
    std::optional<std::uint64_t> sent_before_;
    /// Warns once per process, so that the log of a machine without a network does not grow.
    mutable bool is_reported_ = false;
};

/// Called if the program file was replaced or removed. Starts the new program, which may write the
/// state in another format.
int hand_over(UniqueFd& turn, Wakeups& wakeups)
{
    wakeups.rest(kRefreshSpacing); // an installation may write the file in several steps
    turn.reset();
    if (access(kProgram, X_OK) != 0) {
        return 0;
    }
    if (const auto started = start_refresh(LiveSystem::refresh_stamp()); !started) {
        report_warning(started.error().message());
    }
    return 0;
}

/// Repeats look-ups, with sleeps between them, while the machine needs them. Holds no lock of a run
/// while it sleeps. `nullopt` if the program file was replaced.
std::optional<int> ask_until_done(Wakeups& wakeups, bool later)
{
    Lookups lookups(AskedBy::Helper);
    Asked last = later ? lookups.look_first() : lookups.ask();
    unsigned attempt = 0;
    auto asked_at = since_boot();
    auto looked_at = asked_at;
    while (needs_lookups(last.state, last.config, last.round)) {
        const auto next =
            asked_at + (later ? kReturnTime : next_lookup(last.state, last.snapshot, attempt));
        const auto reason = wakeups.sleep(std::max(next - since_boot(), Seconds{0}));
        if (!reason) {
            report_warning(reason.error().message());
            return 1;
        }
        if (*reason == Wakeups::Reason::Replaced) {
            return std::nullopt;
        }
        if (*reason == Wakeups::Reason::Wanted && since_boot() - looked_at <= kRefreshSpacing) {
            wakeups.rest(kRefreshSpacing);
        }
        looked_at = since_boot();
        if (*reason == Wakeups::Reason::Change) {
            const auto round = last.round;
            last = lookups.look();
            last.round = round;
            continue;
        }
        later = false;
        last = lookups.ask();
        attempt = *reason == Wakeups::Reason::Wanted ? 0 : attempt + 1;
        asked_at = since_boot();
        looked_at = asked_at;
    }
    return last.exit_code;
}

/// `later`: a tunnel has just ended, so the first query is delayed.
int run_helper(bool later)
{
    const auto stamp = LiveSystem::refresh_stamp();
    for (;;) {
        auto turn = take_refresh_turn(stamp);
        if (!turn) {
            report_error(turn.error().message());
            return 1;
        }
        if (!turn->valid()) {
            return 0; // another helper runs and was woken
        }
        auto wakeups = Wakeups::open(
            stamp, {LiveSystem::run_directory(), LiveSystem::persistent_directory()}, kProgram);
        if (!wakeups) {
            report_warning(wakeups.error().message() +
                           "; names are looked up once now, and again at the next event");
            return Lookups(AskedBy::Helper).ask().exit_code;
        }
        const auto code = ask_until_done(*wakeups, std::exchange(later, false));
        if (!code) {
            return hand_over(*turn, *wakeups);
        }
        // In this order: see wake() in core/engine/refresh.cpp.
        turn->reset();
        if (!wakeups->is_wanted()) {
            return *code;
        }
    }
}

int refresh(AskedBy asker, bool later)
{
    if (geteuid() != 0) {
        report_error("refresh: only root can look up servers: run it as root (sudo)");
        return 1;
    }
    if (asker == AskedBy::Helper) {
        return run_helper(later);
    }
    const Asked asked = Lookups(AskedBy::Person).ask();
    // Unverified addresses are looked up again.
    if (needs_lookups(asked.state, asked.config, asked.round) &&
        !unverified_names(asked.state).empty()) {
        if (const auto started = start_refresh(LiveSystem::refresh_stamp()); !started) {
            report_warning(started.error().message());
        }
    }
    return asked.exit_code;
}

} // namespace

int main(int argc, char** argv)
{
    const bool foreground = argc > 1 && std::string_view(argv[1]) == "--foreground";
    set_up_reports("refresh", foreground ? ReportTo::StandardError : ReportTo::SystemLogToo);
    umask(077);
    try {
        const bool later = argc > 1 && std::string_view(argv[1]) == kAskLater;
        return refresh(foreground ? AskedBy::Person : AskedBy::Helper, later);
    } catch (const std::exception& error) {
        report_error(error.what());
        return 1;
    }
}
