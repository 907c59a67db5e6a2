// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager's dispatcher script. Only translates.
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <unistd.h>

#include "core/apply/kernel/observe.hpp"
#include "core/apply/programs/profiles.hpp"
#include "core/apply/programs/tun_program.hpp"
#include "core/base/report.hpp"
#include "core/codec/network_manager/environment.hpp"
#include "core/engine/hook.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"

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

/// Only OpenVPN's command line shows the settings of the VPN; those of other VPNs do not.
VpnProfileFacts::Settings read_settings(const VpnProfile& profile,
                                        const std::optional<ProcessInfo>& program)
{
    if (profile.service != "org.freedesktop.NetworkManager.openvpn") {
        return VpnProfileFacts::Settings::Unseen;
    }
    if (program) {
        const auto arguments = read_command_line(program->id.pid);
        if (arguments && runs_openvpn_profile(profile, *arguments)) {
            return VpnProfileFacts::Settings::OfProfile;
        }
    }
    return VpnProfileFacts::Settings::Other;
}

/// Adds the VPN's profile and program, from NetworkManager and the kernel.
void complete(TunnelUp& up, Warnings& warnings)
{
    auto& facts = *up.profile;
    if (facts.uuid.empty()) {
        return;
    }
    const auto profile =
        load_applied_profile(kProfilesTimeLimit, facts.uuid, up.tunnel.interface, warnings);
    if (!profile) {
        return;
    }
    const auto program = find_tun_program(up.tunnel.interface);
    facts.digest = profile->digest;
    facts.is_private = profile->is_private;
    facts.settings = read_settings(*profile, program);
    facts.is_newer_than_program =
        program && !profile->file.empty() && is_newer_than(profile->file, *program);
    if (program && is_of_network_manager(*program)) {
        facts.program = program->id;
    }
    if (!profile->is_private) {
        auto learnt = servers_of_profiles({&*profile, 1});
        up.servers = std::move(learnt.servers);
        warnings.insert(warnings.end(), learnt.warnings.begin(), learnt.warnings.end());
    }
}

/// Adds the process that made the device. Devices made by the kernel have none.
void complete(TunnelFound& found)
{
    if (found.maker == TunnelFound::Maker::Kernel) {
        return;
    }
    if (const auto program = find_tun_program(found.interface)) {
        found.program = program->id;
        found.maker = is_of_network_manager(*program) ? TunnelFound::Maker::NetworkManager
                                                      : TunnelFound::Maker::Program;
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
        complete(*up, parsed->warnings);
    } else if (auto* found = std::get_if<TunnelFound>(&*parsed->event)) {
        complete(*found);
    }
    return run_event(system, *parsed->event, parsed->warnings).exit_code();
}

/// A NetworkManager VPN arms the machine.
bool arms(std::span<const char* const> arguments)
{
    const std::string_view action = arguments.size() == 2 ? arguments[1] : "";
    return action == "vpn-pre-up" || action == "vpn-up";
}

} // namespace

int main(int argc, char** argv)
{
    const std::span<const char* const> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    return run_hook("nm-dispatcher", arms(arguments) ? WhenUnarmed::Close : WhenUnarmed::LeaveOpen,
                    [&] { return run(arguments); });
}
