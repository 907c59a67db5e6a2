// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's script: up, down, route-up, route-pre-down, ipchange. Only translates.
#include <span>
#include <string>

#include <unistd.h>

#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/process.hpp"
#include "core/apply/programs/users.hpp"
#include "core/base/report.hpp"
#include "core/codec/openvpn/environment.hpp"
#include "core/engine/hook.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"

using namespace failclosed;

namespace {

// OpenVPN, and possibly a wrapper script between it and this hook.
constexpr std::size_t kMostAncestors = 3;
constexpr int kUsageError = 64;

/// Data from the kernel, and from OpenVPN's command line and files. The command line is that of the
/// process named in the environment, if it is an ancestor.
OpenvpnFacts gather_facts(const Environment& environment)
{
    OpenvpnFacts facts;
    for (const auto& process : read_ancestors(kMostAncestors)) {
        facts.ancestors.push_back({process.id, process.uid});
    }
    if (facts.ancestors.empty()) {
        return facts;
    }
    pid_t openvpn = facts.ancestors.front().id.pid;
    for (const auto& process : facts.ancestors) {
        if (environment.get("daemon_pid") == std::to_string(process.id.pid)) {
            openvpn = process.id.pid;
        }
    }
    if (auto started = read_started_openvpn(openvpn)) {
        facts.config = std::move(started->config);
        if (environment.get("script_type") == "up") {
            for (const auto& line : started->refused) {
                report_warning(line);
            }
        }
    }
    if (facts.config && facts.config->user) {
        if (const auto uid = uid_of(*facts.config->user); uid && *uid) {
            facts.config_user = **uid;
        }
    }
    return facts;
}

/// Admits the servers that are known without a usable environment, so that OpenVPN can reconnect.
LockRequested lock_with(const OpenvpnFacts& facts)
{
    LockRequested lock;
    lock.look_names_up = false;
    if (facts.config) {
        Identity identity;
        identity.mark = facts.config->mark;
        if (facts.config_user && *facts.config_user != 0) {
            identity.uids.push_back(*facts.config_user);
        }
        for (const auto& remote : facts.config->remotes) {
            lock.servers.push_back({remote, identity, {}});
        }
    }
    return lock;
}

/// A hook of OpenVPN that has dropped its privileges has none either. An exit code other than 0
/// ends OpenVPN, which is right only if the machine is not locked.
int run_without_privileges(std::string_view type)
{
    LiveSystem system;
    const std::string who = "(OpenVPN runs as user " + std::to_string(geteuid()) + ")";
    // Unlike the firewall, routing rules can be listed without privileges.
    const auto open = system.routing_holds({});
    if (open && !*open) {
        report_warning(std::string(type) + ": the hook has no privileges to change anything " +
                       who +
                       "; the machine stays closed. If OpenVPN dropped them by `user`, the next "
                       "privileged hook or `failclosed reapply` restores DNS; if it never had "
                       "them, its tunnel is not used: start OpenVPN as root");
        return 0;
    }
    report_error(std::string(type) + ": NOT CLOSED, and cannot be closed without privileges " +
                 who +
                 ": start OpenVPN as root (it drops privileges by `user`), or run "
                 "`failclosed lock` before");
    return type == "up" ? 2 : 0;
}

int run(std::span<const char* const> arguments)
{
    const Environment environment = Environment::of_process(environ);
    const std::string_view type = environment.get("script_type");
    const bool is_up = type == "up";
    if (type.empty()) {
        report_error("no script_type in the environment: OpenVPN runs this program, see "
                     "failclosed(8)");
        return kUsageError;
    }
    if (geteuid() != 0) {
        return run_without_privileges(type);
    }
    const OpenvpnFacts facts = gather_facts(environment);
    const auto parsed = parse_openvpn_event(arguments, environment, facts);
    LiveSystem system(LiveSystem::Reading::Changes);
    if (!parsed) {
        report_error(parsed.error().message());
        if (is_up) {
            // OpenVPN ends if the hook fails, and must not leave an open machine.
            run_event(system, lock_with(facts));
        }
        return is_up ? 1 : 0;
    }
    for (const auto& line : parsed->warnings) {
        report_warning(line);
    }
    if (!parsed->event) {
        return 0;
    }
    const Outcome outcome = run_event(system, *parsed->event);
    // A failure of `up` or `down` ends OpenVPN, so the hook fails only if the machine is not
    // protected.
    return is_up && !outcome.enforced ? outcome.exit_code() : 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::span<const char* const> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    // OpenVPN ends if `up` fails; the machine must not stay open.
    return run_hook("openvpn-hook", WhenUnarmed::Close, [&] { return run(arguments); });
}
