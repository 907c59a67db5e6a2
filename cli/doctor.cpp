// SPDX-License-Identifier: GPL-3.0-or-later
// doctor: checks everything that this machine's protection depends on, and prints a line for each.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/json_writer.hpp"
#include "cli/look.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/apply/dns/dns.hpp"
#include "core/apply/kernel/netlink.hpp"
#include "core/apply/kernel/sysctl.hpp"
#include "core/apply/programs/boot.hpp"
#include "core/apply/programs/bystanders.hpp"
#include "core/apply/programs/networkd.hpp"
#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/tun_program.hpp"
#include "core/apply/storage/state_store.hpp"
#include "core/base/file.hpp"
#include "core/codec/files/key_file.hpp"
#include "core/codec/netlink/route_message.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/refresh.hpp"
#include "core/plan/routing/route_decision.hpp"

namespace failclosed::cli {

namespace {

namespace fs = std::filesystem;

enum class Health : std::uint8_t {
    Ok,
    Note, ///< for information
    Bad   ///< a part of the protection does not work
};

struct Check {
    Health health = Health::Ok;
    /// The name of the check, for programs.
    std::string name;
    std::string text;
    /// What to do. Can be empty.
    std::string advice = {};
};

using Checks = std::vector<Check>;

constexpr std::string_view to_string(Health health)
{
    switch (health) {
    case Health::Ok:
        return "ok";
    case Health::Note:
        return "note";
    case Health::Bad:
        break;
    }
    return "bad";
}

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

// ---- Checks that need root ----

void check_lock(Checks& checks, const Inspection& found, bool loaded)
{
    if (found.state.armed == Armed::No) {
        checks.push_back({Health::Note, "lock", "not locked", "failclosed lock"});
    } else if (!loaded) {
        checks.push_back({Health::Bad, "lock",
                          "NOT CLOSED: locked, but no firewall of failclosed is loaded",
                          "failclosed reapply"});
    } else {
        checks.push_back({Health::Ok, "lock", "locked"});
    }
}

void check_kernel(Checks& checks, const ProtectionView& view)
{
    const auto is_of_file = [](const Difference& difference) {
        return difference.part == Difference::Part::Files;
    };
    for (const auto& difference : view.differences) {
        checks.push_back(is_of_file(difference)
                             ? Check{Health::Bad, "files", difference.text,
                                     "correct or remove it, then failclosed reapply"}
                             : Check{Health::Bad, "kernel", difference.text, "failclosed reapply"});
    }
    if (std::ranges::all_of(view.differences, is_of_file)) {
        checks.push_back({Health::Ok, "kernel", "matches the plan"});
    }
}

void check_belt(Checks& checks, LiveSystem& system, const Inspection& found)
{
    const auto guard = look_at_device_guard(system, found);
    switch (guard.form) {
    case DeviceGuard::Form::Whole:
        checks.push_back({Health::Ok, "locks", "firewall, routing and device guard are in force"});
        break;
    case DeviceGuard::Form::Drifted:
        checks.push_back({Health::Bad, "locks", "device guard (lock 3): " + cli::to_string(guard),
                          "failclosed reapply"});
        break;
    case DeviceGuard::Form::None:
        checks.push_back(
            {Health::Note, "locks", kNoBelt,
             "use Linux 5.16 or later with CONFIG_NETFILTER_EGRESS; without it, packet "
             "sockets, macvlan devices and bridged guests bypass the VPN"});
        break;
    }
}

/// The kernel's rule for packets that no other rule routes.
constexpr std::uint32_t kKernelsMainPriority = 32766;

bool is_main_rule(const NetlinkMessage& message, int family)
{
    const auto header = read_front<fib_rule_hdr>(message.payload);
    if (message.type != RTM_NEWRULE || !header || header->family != family) {
        return false;
    }
    std::uint32_t priority = 0;
    std::uint32_t table = header->table;
    auto attributes = message.payload.subspan(sizeof(fib_rule_hdr));
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == FRA_PRIORITY) {
            priority = read_exactly<std::uint32_t>(attribute->value).value_or(priority);
        } else if (attribute->type == FRA_TABLE) {
            table = read_exactly<std::uint32_t>(attribute->value).value_or(table);
        }
    }
    return priority == kKernelsMainPriority && table == RT_TABLE_MAIN;
}

/// `ip rule flush` removes this rule too, and no program restores it.
void check_main_rule(Checks& checks)
{
    auto netlink = Netlink::open(NETLINK_ROUTE);
    for (const auto& [family, number, command] :
         {std::tuple(Family::V4, AF_INET, "ip rule add pref 32766 lookup main"),
          std::tuple(Family::V6, AF_INET6, "ip -6 rule add pref 32766 lookup main")}) {
        const auto answer = netlink ? netlink->dump(dump_rules_request(family))
                                    : Result<Bytes>(Failure(netlink.error()));
        if (!answer) {
            continue; // the kernel has no IPv6
        }
        bool is_there = false;
        ByteView rest = *answer;
        while (const auto message = take_message(rest)) {
            is_there = is_there || is_main_rule(*message, number);
        }
        if (!is_there) {
            checks.push_back({Health::Bad, "main-rule",
                              std::string(family == Family::V4 ? "IPv4" : "IPv6") +
                                  ": the kernel's rule 32766 (lookup main) is missing: after "
                                  "unlock, this machine has no network",
                              command});
        }
    }
}

/// Whether OpenVPN runs our hook for this value of `up` or `down`.
bool leads_to_hook(const std::string& script)
{
    std::error_code error;
    return fs::equivalent(script.substr(0, script.find(' ')), FAILCLOSED_LIBEXECDIR "/openvpn-hook",
                          error);
}

/// Without `up` failclosed does not know the tunnel, and refuses all packets into it.
void check_scripts(Checks& checks, const std::string& file, const OpenvpnConfig& config)
{
    const auto note = [&](const char* what, const char* advice) {
        checks.push_back({Health::Note, "openvpn-config", file + what, advice});
    };
    if (!leads_to_hook(config.up)) {
        note(" does not call failclosed: no packet can use its tunnel",
             "add the lines `script-security 2`, `up /etc/openvpn/failclosed` and `down "
             "/etc/openvpn/failclosed`, as the last `up` and `down`");
        return;
    }
    if (!config.runs_scripts) {
        note(" has no `script-security 2`: OpenVPN may not call failclosed, and ends when its "
             "tunnel comes up",
             "add the line `script-security 2`, unless OpenVPN's command line has it");
    }
    if (!leads_to_hook(config.down)) {
        note(" does not call failclosed when its tunnel ends: the next event notices that, and "
             "until then names are asked for in the dead tunnel",
             "add the line `down /etc/openvpn/failclosed`, as the last `down`");
    }
}

void check_openvpn_configs(Checks& checks, const Inspection& found)
{
    auto [files, warnings] = matching_files(found.config.config.openvpn_configs);
    for (const auto& warning : warnings) {
        checks.push_back({Health::Note, "openvpn-config", warning});
    }
    files.insert(files.end(), found.state.openvpn_configs.begin(),
                 found.state.openvpn_configs.end());
    std::ranges::sort(files);
    const auto [end, last] = std::ranges::unique(files);
    files.erase(end, last);
    for (const auto& file : files) {
        const auto config = read_openvpn_config(file);
        if (!config) {
            checks.push_back({Health::Note, "openvpn-config", config.error().message()});
            continue;
        }
        for (const auto& warning : config->warnings) {
            checks.push_back({Health::Note, "openvpn-config", file + ": " + warning});
        }
        if (!config->remotes.empty()) {
            check_scripts(checks, file, *config);
        }
    }
}

bool is_announced(const State& state, const ProcessId& program)
{
    return std::ranges::find(state.programs, program, &Program::id) != state.programs.end() ||
           std::ranges::find(state.tunnels, program, &Tunnel::owner) != state.tunnels.end();
}

bool is_admitted(const State& state, uid_t uid)
{
    return std::ranges::any_of(state.servers, [&](const Server& server) {
        return std::ranges::find(server.identity.uids, uid) != server.identity.uids.end();
    });
}

/// OpenVPN that was not started by root can neither reach its server nor announce its tunnel. Any
/// user can start programs of that name, so there is one note per user.
void check_unprivileged_openvpn(Checks& checks, const State& state)
{
    constexpr std::size_t kMostUsers = 8;
    std::map<uid_t, std::vector<UnprivilegedOpenvpn>> by_user;
    for (auto& program : find_unprivileged_openvpn()) {
        const auto process = read_process(program.id.pid);
        // NetworkManager announces the tunnels of programs that it has started.
        const bool is_managed = process && is_of_network_manager(*process);
        if (!is_managed && !is_announced(state, program.id) &&
            (by_user.contains(program.uid) || by_user.size() < kMostUsers)) {
            by_user[program.uid].push_back(std::move(program));
        }
    }
    for (const auto& [uid, programs] : by_user) {
        const std::string user = std::to_string(uid);
        const auto& first = programs.front();
        const bool is_held = state.armed == Armed::Yes && !is_admitted(state, uid);
        const std::string more =
            programs.size() > 1 ? " and " + std::to_string(programs.size() - 1) + " more" : "";
        checks.push_back(
            {Health::Note, "openvpn",
             "process " + std::to_string(first.id.pid) + more +
                 (first.unit ? " (" + *first.unit + ")" : "") +
                 " runs without privileges, as user " + user + ": it " +
                 (is_held ? "may not reach any server, and " : "") + "cannot announce its tunnel",
             "start it as root, without User= in its unit, and let `user` in its configuration "
             "drop privileges; or as root: failclosed lock --server HOST:PORT/PROTO --uid " +
                 user + ", then failclosed up"});
    }
}

/// The last value of User= in the [Service] section of unit files (systemd.unit(5)).
std::string user_of_unit(const std::string& name)
{
    constexpr std::array<const char*, 4> kFolders = {"/etc/systemd/system", "/run/systemd/system",
                                                     "/usr/local/lib/systemd/system",
                                                     "/usr/lib/systemd/system"};
    std::vector<fs::path> files;
    std::map<std::string, fs::path> fragments;
    std::error_code error;
    for (const fs::path folder : kFolders) {
        if (files.empty() && fs::exists(folder / name, error)) {
            files.push_back(folder / name);
        }
        for (const auto& entry : fs::directory_iterator(folder / (name + ".d"), error)) {
            if (entry.path().extension() == ".conf") {
                fragments.try_emplace(entry.path().filename(), entry.path());
            }
        }
    }
    for (const auto& [fragment, path] : fragments) {
        files.push_back(path);
    }
    std::string user;
    for (const auto& path : files) {
        std::istringstream text(read_file(path, 1 << 20).value_or(""));
        bool is_service = false;
        for (std::string line; std::getline(text, line);) {
            constexpr std::string_view kUser = "User=";
            if (line.starts_with('[')) {
                is_service = line == "[Service]";
            } else if (is_service && line.starts_with(kUser)) {
                user = line.substr(kUser.size());
            }
        }
    }
    return user;
}

void check_openvpn_units(Checks& checks)
{
    for (const char* unit : {"openvpn-client@.service", "openvpn@.service"}) {
        const std::string user = user_of_unit(unit);
        if (!user.empty() && user != "root" && user != "0") {
            checks.push_back({Health::Note, "openvpn",
                              std::string(unit) + " runs OpenVPN as user " + user +
                                  ", without privileges: it cannot announce a tunnel",
                              std::string("systemctl edit ") + unit +
                                  ": [Service] User=root; `user` in OpenVPN's configuration drops "
                                  "privileges"});
        }
    }
}

/// The families whose packets to the internet use the tunnel.
std::vector<std::string> families_through(const Inspection& found, unsigned device)
{
    std::vector<std::string> families;
    for (const auto& [name, destination] :
         {std::pair("IPv4", "192.0.2.1"), std::pair("IPv6", "2001:db8::1")}) {
        const auto decision = decide_route(found.wanted.routing, {*IpAddress::parse(destination)});
        if (decision.kind == RouteDecision::Kind::Device && decision.device == device) {
            families.emplace_back(name);
        }
    }
    return families;
}

void check_tunnels(Checks& checks, const Inspection& found)
{
    if (found.state.tunnels.empty()) {
        checks.push_back({Health::Note, "tunnel", "no tunnel is up"});
    }
    bool is_first = true;
    for (const auto& tunnel : found.state.tunnels) {
        const std::string name = tunnel.interface.text();
        const Link* link = found.snapshot.find(tunnel.interface);
        const auto families =
            link != nullptr ? families_through(found, link->index) : std::vector<std::string>{};
        if (link == nullptr || !link->up) {
            checks.push_back(
                {Health::Bad, "tunnel", name + " is not up", "read the log of its program"});
        } else if (is_first && families.empty()) {
            checks.push_back({Health::Bad, "tunnel", name + " is up, but no packet is routed to it",
                              "failclosed reapply"});
        } else {
            checks.push_back(
                {Health::Ok, "tunnel",
                 name + " is up" + (families.empty() ? "" : "; through it: " + joined(families))});
        }
        is_first = false;
    }
    for (const auto& interface : found.state.refused) {
        if (found.snapshot.find(interface) != nullptr) {
            checks.push_back(
                {Health::Bad, "tunnel",
                 interface.text() + " was refused as a tunnel: no packet is let through it",
                 "for the reason: journalctl -b | grep failclosed"});
        }
    }
}

/// Whether root's HTTPS programs are admitted to this server, as its tunnel program is.
bool shares_roots_https(const Server& server)
{
    constexpr std::uint16_t kHttps = 443;
    return server.remote.name() != nullptr && server.remote.transport == Transport::Tcp &&
           server.remote.port && server.remote.port->number() == kHttps && !server.identity.mark &&
           std::ranges::find(server.identity.uids, uid_t{0}) != server.identity.uids.end();
}

void check_servers(Checks& checks, const State& state)
{
    if (state.servers.empty()) {
        checks.push_back({Health::Bad, "servers", "no server is known, so no tunnel can come up",
                          "failclosed lock --server HOST:PORT/PROTO"});
        return;
    }
    const auto unknown = names_without_address(state);
    for (const auto& name : unknown) {
        checks.push_back({Health::Note, "servers", "no address is known for " + name.text(),
                          "failclosed refresh"});
    }
    for (const auto& server : state.servers) {
        if (shares_roots_https(server)) {
            checks.push_back(
                {Health::Note, "root-https",
                 failclosed::to_string(server.remote) +
                     " is known by name and its tunnel program runs as root: while no tunnel is "
                     "up, a network that forges DNS answers can admit root's HTTPS to any address",
                 "write the server's address into its configuration, or start the tunnel program "
                 "as a separate user"});
        }
    }
    if (unknown.empty()) {
        checks.push_back({Health::Ok, "servers", "known: " + std::to_string(state.servers.size())});
    }
}

void check_network(Checks& checks, const std::vector<Finding>& all)
{
    for (const auto& finding : all) {
        const bool is_ours = finding.kind == Finding::Kind::MissingDevice ||
                             finding.kind == Finding::Kind::UnfitDevice;
        checks.push_back({is_ours ? Health::Bad : Health::Note,
                          std::string(failclosed::to_string(finding.kind)), finding.text,
                          is_ours ? "correct forward= in failclosed.conf"
                          : finding.kind == Finding::Kind::PublicLan
                              ? "correct lan= in failclosed.conf, unless it is meant"
                          : finding.kind == Finding::Kind::LocalServer
                              ? "correct server= in failclosed.conf"
                              : ""});
    }
    if (all.empty()) {
        checks.push_back({Health::Ok, "network", "nothing suspicious"});
    }
}

void check_dns(Checks& checks)
{
    const auto system = Dns().in_charge();
    if (system) {
        checks.push_back(
            {Health::Ok, "dns",
             "resolvers are set through " + std::string(failclosed::to_string(*system))});
    } else {
        checks.push_back({Health::Bad, "dns", system.error().message()});
    }
}

void check_as_root(Checks& checks)
{
    ProtectionView view = view_protection();
    const Inspection& found = view.found;
    const auto loaded = view.system->firewall_exists();
    const bool is_armed = found.state.armed == Armed::Yes;
    check_lock(checks, found, loaded && *loaded);
    check_kernel(checks, view);
    if (is_armed && loaded && *loaded) {
        check_belt(checks, *view.system, found);
    }
    const auto network = findings_of(*view.system, found, found.state);
    view.system.reset(); // a hook may be waiting for the lock of the run
    check_main_rule(checks);
    if (is_armed) {
        check_tunnels(checks, found);
        check_servers(checks, found.state);
    }
    if (const auto portal = portal_in_force(found)) {
        checks.push_back(
            {Health::Note, "sign-in", cli::to_string(*portal), "failclosed portal --end"});
    }
    check_openvpn_configs(checks, found);
    check_unprivileged_openvpn(checks, found.state);
    check_openvpn_units(checks);
    check_network(checks, network);
    check_dns(checks);
}

// ---- Hooks ----

/// Whether only root can change the file at `path`, the links on the path, and their folders.
Status check_owner(const fs::path& path)
{
    std::error_code error;
    const fs::path file = fs::canonical(path, error);
    if (error) {
        return fail_errno(path.string(), error.value());
    }
    std::set<fs::path> steps = {file};
    for (const auto& end : {path, file}) {
        for (fs::path folder = end.parent_path();; folder = folder.parent_path()) {
            steps.insert(folder);
            if (folder == folder.root_path()) {
                break;
            }
        }
    }
    for (const auto& step : steps) {
        struct stat status{};
        if (stat(step.c_str(), &status) != 0) {
            return fail_errno(step.string());
        }
        if (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            return fail(step.string() + ": users other than root can write to it", EPERM);
        }
    }
    return {};
}

/// A file that another program reads or runs, and the target of its link.
struct Hook {
    std::string name;
    fs::path path;
    /// Empty: it is not a link.
    fs::path target = {};
};

Check check_hook(const Hook& hook)
{
    const auto owned = check_owner(hook.path);
    if (!owned && owned.error().number() != EPERM) {
        return {Health::Bad, hook.name, owned.error().message(), "install failclosed again"};
    }
    if (!owned) {
        return {Health::Bad, hook.name, owned.error().message(),
                "run chown root and chmod go-w on it: those users can run programs as root"};
    }
    std::error_code error;
    if (!hook.target.empty() && (!fs::equivalent(hook.path, hook.target, error) ||
                                 access(hook.target.c_str(), X_OK) != 0)) {
        return {Health::Bad, hook.name,
                hook.path.string() + " does not lead to " + hook.target.string() +
                    ", or that is not executable",
                "install failclosed again"};
    }
    return {Health::Ok, hook.name, hook.path.string()};
}

fs::path dhcpcd_hook()
{
    const fs::path fedoras = "/usr/libexec/dhcpcd-hooks/90-failclosed";
    std::error_code error;
    return fs::exists(fedoras, error) ? fedoras : "/usr/lib/dhcpcd/dhcpcd-hooks/90-failclosed";
}

void check_hooks(Checks& checks)
{
    const fs::path programs = FAILCLOSED_LIBEXECDIR;
    const fs::path dispatcher = "/etc/NetworkManager/dispatcher.d";
    checks.push_back(
        check_hook({"openvpn-hook", "/etc/openvpn/failclosed", programs / "openvpn-hook"}));
    Checks bad;
    for (const char* folder : {"", "no-wait.d", "pre-up.d", "pre-down.d"}) {
        Check check = check_hook({"networkmanager-hook", dispatcher / folder / "90-failclosed",
                                  programs / "nm-dispatcher"});
        if (check.health != Health::Ok) {
            bad.push_back(std::move(check));
        }
    }
    if (bad.empty()) {
        checks.push_back({Health::Ok, "networkmanager-hook", dispatcher.string()});
    }
    checks.insert(checks.end(), bad.begin(), bad.end());
    checks.push_back(check_hook({"dhcpcd-hook", dhcpcd_hook()}));
    checks.push_back(check_hook({"udev-rule", FAILCLOSED_UDEV_DIR "/90-failclosed.rules"}));
    const fs::path units = "/usr/lib/systemd/system";
    checks.push_back(check_hook(
        {"networkd-hook", units / "systemd-networkd.service.wants/failclosed-networkd.path"}));
    checks.push_back(check_hook({"nftables-hook", units / "nftables.service.d/failclosed.conf"}));
}

// ---- Settings of other programs ----

/// NetworkManager.conf(5): the files in the order in which they are read. A file in /etc hides
/// those of the same name in /run and /usr/lib, and a file in /run those in /usr/lib.
std::vector<fs::path> network_manager_files()
{
    const auto listed = [](const char* folder) {
        std::map<std::string, fs::path> files;
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(folder, error)) {
            if (entry.path().extension() == ".conf") {
                files[entry.path().filename()] = entry.path();
            }
        }
        return files;
    };
    const auto own = listed("/etc/NetworkManager/conf.d");
    const auto volatiles = listed("/run/NetworkManager/conf.d");
    std::vector<fs::path> files;
    for (const auto& [name, path] : listed("/usr/lib/NetworkManager/conf.d")) {
        if (!own.contains(name) && !volatiles.contains(name)) {
            files.push_back(path);
        }
    }
    for (const auto& [name, path] : volatiles) {
        if (!own.contains(name)) {
            files.push_back(path);
        }
    }
    files.emplace_back("/etc/NetworkManager/NetworkManager.conf");
    for (const auto& [name, path] : own) {
        files.push_back(path);
    }
    files.emplace_back("/var/lib/NetworkManager/NetworkManager-intern.conf");
    return files;
}

void check_connectivity_check(Checks& checks)
{
    std::string uri;
    std::string enabled = "true";
    std::vector<std::string> unread;
    for (const auto& path : network_manager_files()) {
        const auto text = read_file(path, 1 << 20);
        if (!text && text.error().number() != ENOENT && geteuid() == 0) {
            unread.push_back(text.error().message());
        }
        const auto file = text ? KeyFile::parse(*text) : Result<KeyFile>(Failure(text.error()));
        if (file) {
            uri = file->get("connectivity", "uri").value_or(uri);
            enabled = file->get("connectivity", "enabled").value_or(enabled);
        }
    }
    for (const auto& line : unread) {
        checks.push_back({Health::Note, "connectivity-check", line});
    }
    const bool is_off = enabled == "false" || enabled == "no" || enabled == "0";
    if (uri.empty() || is_off) {
        checks.push_back(
            {Health::Ok, "connectivity-check", "NetworkManager's connectivity check is off"});
    } else {
        checks.push_back({Health::Note, "connectivity-check",
                          "NetworkManager asks " + uri +
                              " over each device; packets outside the tunnel are refused",
                          "set [connectivity] enabled=false in /etc/NetworkManager/conf.d"});
    }
}

/// Whether systemd-networkd removes one kind of entries that other programs have made.
struct ForeignKind {
    const char* name;
    const char* key;
    NetworkdSetting setting;
    bool is_known;
};

/// Reports what systemd-networkd does to rules, routes and next hops of other programs.
void check_networkd(Checks& checks)
{
    const Networkd networkd = look_at_networkd();
    for (const auto& line : networkd.unread) {
        checks.push_back({Health::Note, "networkd", line});
    }
    if (!networkd.is_running) {
        checks.push_back({Health::Ok, "networkd", "systemd-networkd does not run"});
        return;
    }
    const auto& config = networkd.config;
    const std::string from_now_on = "then systemctl restart systemd-networkd";
    bool is_kept = true;
    // failclosed has no next hops, and a version that does not know the setting for them cannot be
    // configured, so that case is not reported.
    for (const auto& [name, key, setting, is_known] :
         {ForeignKind{"routing rules (lock 2)", "ManageForeignRoutingPolicyRules", config.rules,
                      networkd.knows_rules},
          ForeignKind{"routes (lock 2)", "ManageForeignRoutes", config.routes,
                      networkd.knows_routes},
          ForeignKind{"next hops of other programs", "ManageForeignNextHops",
                      networkd.knows_next_hops ? config.next_hops : NetworkdSetting{false, ""},
                      true}}) {
        if (!is_known) {
            is_kept = false;
            checks.push_back({Health::Note, "networkd",
                              std::string("this systemd-networkd does not know ") + key +
                                  ": it may delete " + name +
                                  " when it configures a device, until the next event",
                              "upgrade systemd to 249 or later"});
        } else if (setting.is_on) {
            is_kept = false;
            std::string why = setting.file.empty() ? "no file sets " + std::string(key) + "=no"
                                                   : setting.file + " sets " + key + "=yes";
            if (setting.file.empty() && !config.stopped_at.empty()) {
                why = "it stops reading at an invalid section header in " + config.stopped_at;
            }
            checks.push_back({Health::Bad, "networkd",
                              std::string("systemd-networkd deletes ") + name +
                                  " when it configures a device: " + why,
                              "set " + std::string(key) + "=no in /etc/systemd/networkd.conf.d, " +
                                  from_now_on});
        }
    }
    if (networkd.is_outdated) {
        checks.push_back({Health::Note, "networkd",
                          "systemd-networkd was started before its configuration was changed, and "
                          "may still use the old one",
                          "systemctl restart systemd-networkd"});
    } else if (is_kept) {
        checks.push_back(
            {Health::Ok, "networkd", "systemd-networkd keeps rules and routes of other programs"});
    }
}

bool is_on(const std::vector<std::string>& sysctl)
{
    const auto value = read_sysctl(sysctl);
    return value && *value != "0";
}

void check_forwarding(Checks& checks, const Config& config)
{
    const bool forwards = is_on({"net", "ipv4", "ip_forward"});
    if (!config.forward.empty() && !forwards) {
        checks.push_back({Health::Bad, "forwarding",
                          "forward= names devices, but IP forwarding is off",
                          "sysctl net.ipv4.ip_forward=1"});
    } else if (config.forward.empty() && forwards) {
        checks.push_back({Health::Note, "forwarding",
                          "IP forwarding is on, and packets from guests and containers are refused "
                          "while the machine is locked",
                          "name their devices with forward= in failclosed.conf"});
    } else {
        checks.push_back({Health::Ok, "forwarding", forwards ? "into the tunnel" : "none"});
    }
}

/// Whether `result` holds a value; if not, adds a note with the reason.
template <typename T> bool could_look(Checks& checks, const char* name, const Result<T>& result)
{
    if (!result) {
        checks.push_back({Health::Note, name,
                          result.error().number() == EPERM ? "not checked: needs root"
                                                           : result.error().message()});
    }
    return result.has_value();
}

void check_bystanders(Checks& checks)
{
    if (const auto wires = shared_wires(); could_look(checks, "guests", wires)) {
        for (const auto& [guest, device] : *wires) {
            checks.push_back({Health::Note, "guests",
                              guest + " sends by " + device +
                                  ": only the device guard (lock 3) stops packets of guests there",
                              "name trusted guests with belt-allow= in failclosed.conf"});
        }
        if (wires->empty()) {
            checks.push_back({Health::Ok, "guests", "none visible in this network namespace"});
        }
    }
    if (const auto announced = announced_by_mptcp(); could_look(checks, "mptcp", announced)) {
        std::vector<std::string> addresses;
        std::ranges::transform(*announced, std::back_inserter(addresses), &IpAddress::to_string);
        checks.push_back(addresses.empty() ? Check{Health::Ok, "mptcp", "announces no address"}
                                           : Check{Health::Note, "mptcp",
                                                   "announces " + joined(addresses) +
                                                       " to peers; not inside tunnels while locked",
                                                   "ip mptcp endpoint flush"});
    }
    if (const auto tables = flowtables(); could_look(checks, "flowtables", tables)) {
        checks.push_back(
            tables->empty() ? Check{Health::Ok, "flowtables", "none"}
                            : Check{Health::Note, "flowtables",
                                    joined(*tables) + ": forwarded flows in it bypass the firewall",
                                    "remove it, or flush it after failclosed lock"});
    }
}

void check_boot(Checks& checks)
{
    if (!is_enabled_at_boot()) {
        checks.push_back(
            {Health::Note, "boot", "not locked before the network", "failclosed lock --boot"});
        return;
    }
    constexpr std::size_t kMostNamed = 3;
    auto units = units_without_boot_lock();
    if (units.empty()) {
        checks.push_back({Health::Ok, "boot", "locked before the network"});
        return;
    }
    const std::size_t more = units.size() - std::min(units.size(), kMostNamed);
    units.resize(units.size() - more);
    checks.push_back({Health::Bad, "boot",
                      "locked before the network, but these units start even if that fails, "
                      "because links below /etc/systemd/system are missing: " +
                          joined(units) +
                          (more > 0 ? " and " + std::to_string(more) + " more" : ""),
                      "failclosed lock --boot"});
}

Checks examine()
{
    Checks checks;
    if (geteuid() == 0) {
        check_as_root(checks);
    } else {
        checks.push_back({Health::Note, "lock",
                          "not checked: the lock, tunnels, servers, the network and DNS need root",
                          "run it as root"});
    }
    check_boot(checks);
    check_hooks(checks);
    check_connectivity_check(checks);
    check_networkd(checks);
    check_forwarding(checks, load_config().config);
    check_bystanders(checks);
    return checks;
}

std::string text_of(const Checks& checks)
{
    std::string text;
    for (const auto& check : checks) {
        std::string health(to_string(check.health));
        health.resize(6, ' ');
        text += health + check.name + ": " + check.text +
                (check.advice.empty() ? "" : " (" + check.advice + ")") + "\n";
    }
    return text;
}

std::string json_of(const Checks& checks, bool is_healthy)
{
    JsonWriter json;
    json.object([&] {
        json.key("healthy").boolean(is_healthy);
        json.key("checks").array([&] {
            for (const auto& check : checks) {
                json.object([&] {
                    json.key("health").string(to_string(check.health));
                    json.key("check").string(check.name);
                    json.key("text").string(check.text);
                    json.key("advice").string(check.advice);
                });
            }
        });
    });
    return std::move(json).take() + "\n";
}

} // namespace

int doctor(const Arguments& arguments)
{
    const auto options = Options::parse("doctor", {{"json", "One JSON object", ""}}, arguments);
    if (!options) {
        return usage_error("doctor", options.error());
    }
    const Checks checks = examine();
    const bool is_healthy = std::ranges::find(checks, Health::Bad, &Check::health) == checks.end();
    const std::string text = options->has("json") ? json_of(checks, is_healthy) : text_of(checks);
    const bool is_written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
    return is_healthy && is_written ? 0 : 1;
}

} // namespace failclosed::cli
