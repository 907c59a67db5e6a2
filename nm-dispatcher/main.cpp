// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager's dispatcher script. Only translates.
#include <algorithm>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <sys/stat.h>
#include <unistd.h>

#include "core/apply/observe.hpp"
#include "core/apply/profiles.hpp"
#include "core/base/report.hpp"
#include "core/codec/network_manager_environment.hpp"
#include "core/engine/last_resort.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/refresh.hpp"
#include "core/engine/report_outcome.hpp"

using namespace failclosed;

namespace {

constexpr int kUsageError = 64;

DeviceFacts find_device(const InterfaceName& device)
{
    const auto snapshot = observe();
    const Link* link = snapshot ? snapshot->find(device) : nullptr;
    if (link == nullptr || !link->is_program_tunnel) {
        return {};
    }
    return {.is_program_tunnel = true, .is_wireguard = link->is_wireguard};
}

/// What the profile that NetworkManager brings up comes to.
struct Profile {
    /// To be learnt; none on a machine that is armed already.
    std::vector<Server> servers;
    Warnings warnings;
    bool is_admitted = false;
};

/// Users who are not root may make profiles, and have NetworkManager bring them up. On an armed
/// machine only those count that root has had learnt, by `lock` or `reapply`: else a user could
/// draw everybody's packets into a tunnel of one's own.
Profile check_profile(LiveSystem& system, const std::string& uuid)
{
    const State state = inspect(system).state;
    const auto found = load_vpn_profiles(kProfilesTimeLimit, uuid);
    auto learnt = servers_of_profiles(found.profiles);
    Profile profile{{}, found.warnings, true};
    profile.warnings.insert(profile.warnings.end(), learnt.warnings.begin(), learnt.warnings.end());
    if (state.armed == Armed::No) {
        profile.servers = std::move(learnt.servers);
        return profile;
    }
    const auto is_known = [&](const Server& server) {
        return std::ranges::find(state.servers, server.remote, &Server::remote) !=
               state.servers.end();
    };
    profile.is_admitted = !learnt.servers.empty() && std::ranges::all_of(learnt.servers, is_known);
    return profile;
}

void report_all(const Warnings& warnings)
{
    for (const auto& line : warnings) {
        report_warning(line);
    }
}

int run(std::span<const char* const> arguments)
{
    auto parsed =
        parse_network_manager_event(arguments, Environment::of_process(environ), find_device);
    if (!parsed) {
        report_error(parsed.error().message());
        return kUsageError;
    }
    if (!parsed->event) {
        return 0;
    }
    if (geteuid() != 0) {
        report_error(
            "only root can change anything: NetworkManager runs this program, see failclosed(8)");
        return 1;
    }
    LiveSystem system(LiveSystem::Reading::Changes);
    if (auto* up = std::get_if<TunnelUp>(&*parsed->event)) {
        auto profile = check_profile(system, parsed->profile);
        report_all(profile.warnings);
        up->servers = std::move(profile.servers);
        if (!profile.is_admitted) {
            report_error(up->tunnel.interface.text() +
                         " is not taken for a tunnel: the servers of its profile were not there "
                         "when the machine was locked; if it may be one: failclosed reapply, and "
                         "bring it up again");
            parsed->event = TunnelRefused{up->tunnel.interface};
        }
    }
    const Outcome outcome = handle(system, *parsed->event);
    // A machine that is none of ours hears nothing of what its network sends.
    if (outcome.state.armed == Armed::Yes) {
        report_all(parsed->warnings);
    }
    report(outcome);
    if (std::holds_alternative<TunnelUp>(*parsed->event) && outcome.state.servers.empty()) {
        report_warning("no server is known, so that the VPN's own packets are refused: name it by "
                       "failclosed lock --server HOST:PORT/PROTO");
    }
    const auto started = refresh_after(*parsed->event, outcome, LiveSystem::refresh_stamp());
    if (!started) {
        report_warning(started.error().message());
    }
    return outcome.exit_code();
}

/// A VPN of NetworkManager's own arms the machine.
bool arms(std::span<const char* const> arguments)
{
    const std::string_view action = arguments.size() == 2 ? arguments[1] : "";
    return action == "vpn-pre-up" || action == "vpn-up";
}

} // namespace

int main(int argc, char** argv)
{
    set_up_reports("nm-dispatcher", ReportTo::SystemLogToo);
    umask(077);
    const std::span<const char* const> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    try {
        return run(arguments);
    } catch (const std::exception& error) {
        return end_closed(error, arms(arguments) ? WhenUnarmed::Close : WhenUnarmed::LeaveOpen);
    }
}
