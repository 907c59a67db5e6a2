// SPDX-License-Identifier: GPL-3.0-or-later
// lock, unlock, reapply, up, down, refresh: verbs that change the machine.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/apply/dns/dns.hpp"
#include "core/apply/dns/hosts.hpp"
#include "core/apply/programs/boot.hpp"
#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/process.hpp"
#include "core/apply/programs/profiles.hpp"
#include "core/base/report.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"
#include "core/plan/findings.hpp"

namespace failclosed::cli {

namespace {

const std::vector<OptionSpec>& tunnel_options()
{
    static const std::vector<OptionSpec> options = {
        {"interface", "The tunnel's device", "IF"},
        {"address", "An address of the tunnel, with its prefix length", "ADDR/LEN"},
        {"server", "A server of the tunnel program", "HOST:PORT/PROTO"},
        {"dns", "A resolver inside the tunnel", "ADDR"},
        {"search", "A search domain", "NAME"},
        {"route", "A network inside the tunnel", "NET/LEN"},
        {"gateway", "The next hop inside, for devices that resolve neighbours", "ADDR"},
        {"pid", "The tunnel program", "PID"},
        {"uid", "A user whose sockets may reach the server", "UID"},
        {"mark", "The firewall mark of packets to the server, instead of users", "MARK"},
    };
    return options;
}

/// `nullopt` also for an address of another family than that of PROTO, which can never be reached.
std::optional<Remote> parse_server(const std::string& text)
{
    auto remote = Remote::parse(text);
    const bool never =
        remote && remote->name() == nullptr && Server{*remote, {}, {}}.endpoints().empty();
    return never ? std::nullopt : std::move(remote);
}

/// The values of --server of `lock`: another machine must be able to have each address.
Result<std::vector<Remote>> parse_admitted_servers(const Options& options)
{
    auto remotes = parse_values<Remote>(options, "server", "HOST:PORT/PROTO", parse_server);
    for (const auto& remote : remotes ? *remotes : std::vector<Remote>{}) {
        if (const auto why = why_no_server(remote)) {
            return fail("--server: " + to_string(remote) + ": " + *why +
                        ", which no VPN server can have");
        }
    }
    return remotes;
}

std::optional<InterfaceAddress> parse_interface_address(const std::string& text)
{
    const auto prefix = IpPrefix::parse(text);
    const auto address = IpAddress::parse(text.substr(0, text.find('/')));
    if (!prefix || !address || !address->is_unicast_host()) {
        return std::nullopt;
    }
    return InterfaceAddress{*address, prefix->length()};
}

/// `nullopt` for 0, the mark of packets without a mark.
std::optional<std::uint32_t> parse_admitted_mark(const std::string& text)
{
    const auto mark = parse_mark(text);
    return mark == 0U ? std::nullopt : mark;
}

std::optional<pid_t> parse_pid(const std::string& text)
{
    const auto number = parse_number(text, 1, INT32_MAX);
    return number ? std::optional(static_cast<pid_t>(*number)) : std::nullopt;
}

Result<Identity> parse_identity(const Options& options)
{
    const auto uids = parse_values<uid_t>(options, "uid", "a user's number", parse_uid);
    const auto mark = parse_value<std::uint32_t>(options, "mark", "a mark", parse_admitted_mark);
    if (!uids || !mark) {
        return Failure(uids ? mark.error() : uids.error());
    }
    Identity identity;
    if (!uids->empty()) {
        identity.uids = *uids;
    }
    identity.mark = *mark;
    return identity;
}

Result<TunnelUp> parse_tunnel(const Options& options)
{
    const auto interface =
        parse_value<InterfaceName>(options, "interface", "a device's name", InterfaceName::parse);
    const auto addresses =
        parse_values<InterfaceAddress>(options, "address", "ADDR/LEN", parse_interface_address);
    const auto servers = parse_values<Remote>(options, "server", "HOST:PORT/PROTO", parse_server);
    const auto resolvers = parse_values<IpAddress>(options, "dns", "an address", IpAddress::parse);
    const auto domains =
        parse_values<HostName>(options, "search", "a domain name", HostName::parse);
    const auto networks = parse_values<IpPrefix>(options, "route", "NET/LEN", IpPrefix::parse);
    const auto gateways =
        parse_values<IpAddress>(options, "gateway", "an address", IpAddress::parse);
    const auto pid = parse_value<pid_t>(options, "pid", "a process", parse_pid);
    const auto identity = parse_identity(options);
    for (const Error* error :
         {interface ? nullptr : &interface.error(), addresses ? nullptr : &addresses.error(),
          servers ? nullptr : &servers.error(), resolvers ? nullptr : &resolvers.error(),
          domains ? nullptr : &domains.error(), networks ? nullptr : &networks.error(),
          gateways ? nullptr : &gateways.error(), pid ? nullptr : &pid.error(),
          identity ? nullptr : &identity.error()}) {
        if (error != nullptr) {
            return Failure(*error);
        }
    }
    if (!*interface) {
        return fail("--interface is required");
    }
    TunnelUp event{{.interface = **interface}, {}, {}};
    event.tunnel.addresses = *addresses;
    event.tunnel.resolvers = *resolvers;
    event.tunnel.search_domains = *domains;
    event.tunnel.networks = *networks;
    event.tunnel.gateways = *gateways;
    if (*pid) {
        const auto process = read_process(**pid);
        if (!process) {
            return fail_during("--pid", process.error());
        }
        event.tunnel.owner = process->id;
    }
    for (const auto& remote : *servers) {
        event.servers.push_back({remote, *identity, {}});
    }
    return event;
}

/// If no addresses were given, takes those of the device: tunnel programs other than OpenVPN set
/// them before they call this program.
void take_addresses_from_device(LiveSystem& system, Tunnel& tunnel)
{
    const auto snapshot = system.observe();
    const Link* link = snapshot ? snapshot->find(tunnel.interface) : nullptr;
    if (!tunnel.addresses.empty() || link == nullptr) {
        return;
    }
    for (const auto& address : link->addresses) {
        if (!address.address.is_link_local()) {
            tunnel.addresses.push_back(address);
        }
    }
}

/// A server's name may be looked up only later, when no command can tell that its addresses cannot
/// be written.
void warn_of_hosts(Outcome& outcome)
{
    const bool needs_hosts = std::ranges::any_of(
        outcome.state.servers, [](const Server& it) { return it.remote.name() != nullptr; });
    const auto writable = needs_hosts ? hosts_writable() : Status();
    const std::string text = writable ? "" : writable.error().during(kHostsPath).message();
    if (!writable && std::ranges::find(outcome.warnings, text) == outcome.warnings.end()) {
        outcome.warnings.push_back(text);
    }
}

/// Adds what the configuration admits that its owner may not have meant.
void warn_of_lan(Outcome& outcome)
{
    for (const auto& finding : findings_of_lan(outcome.config.lan)) {
        outcome.warnings.push_back(finding.text);
    }
}

/// The servers of all configurations that match the patterns, of those that were given before, and
/// of NetworkManager's VPNs.
LearntServers learn_from_files(const Config& config, const State& state)
{
    LearntServers learnt;
    auto matching = matching_files(config.openvpn_configs);
    learnt.warnings = std::move(matching.warnings);
    auto files = std::move(matching.files);
    files.insert(files.end(), state.openvpn_configs.begin(), state.openvpn_configs.end());
    for (const auto& file : files) {
        if (const auto learned = learn_servers(learnt, file); !learned) {
            learnt.warnings.push_back(learned.error().message());
        }
    }
    const auto found = load_vpn_profiles(kProfilesTimeLimit);
    const auto of_profiles = servers_of_profiles(found.profiles);
    learnt.servers.insert(learnt.servers.end(), of_profiles.servers.begin(),
                          of_profiles.servers.end());
    learnt.profiles = of_profiles.profiles;
    for (const auto* warnings : {&found.warnings, &of_profiles.warnings}) {
        learnt.warnings.insert(learnt.warnings.end(), warnings->begin(), warnings->end());
    }
    return learnt;
}

std::string full_path(const std::string& file)
{
    std::error_code error;
    return std::filesystem::absolute(file, error).lexically_normal();
}

/// Learns the servers of the configurations that were given, and has them remembered. Returns an
/// error for each that is not.
std::vector<std::string> learn_given_configs(LockRequested& event, LearntServers& learnt,
                                             const std::vector<std::string>& files)
{
    std::vector<std::string> errors;
    for (const auto& file : files) {
        LearntServers with_file = learnt;
        const auto is_client = learn_servers(with_file, file);
        if (!is_client || !*is_client) {
            const Error error =
                is_client ? Error(file + " has neither `remote` nor another option of an OpenVPN "
                                         "client; it is not remembered")
                          : is_client.error();
            errors.push_back(error.during("--openvpn-config").message());
            continue;
        }
        learnt = std::move(with_file);
        event.openvpn_configs.push_back(full_path(file));
    }
    return errors;
}

/// Removes the configurations from those that are remembered. Returns an error for each that is not
/// among them.
std::vector<std::string> forget_configs(LockRequested& event, std::vector<std::string>& remembered,
                                        const std::vector<std::string>& files)
{
    std::vector<std::string> errors;
    for (const auto& file : files) {
        const std::string path = full_path(file);
        if (std::erase(remembered, path) == 0) {
            std::string known;
            for (const auto& other : remembered) {
                known += (known.empty() ? "; these are: " : ", ") + other;
            }
            errors.push_back("--forget-openvpn-config: " + path + " is not remembered" + known);
        }
        event.forgotten_configs.push_back(path);
    }
    return errors;
}

} // namespace

int lock(const Arguments& arguments)
{
    const auto options = Options::parse(
        "lock",
        {{"server", "A VPN server to admit", "HOST:PORT/PROTO"},
         {"openvpn-config", "An OpenVPN configuration whose servers are admitted", "FILE"},
         {"forget-openvpn-config", "Do not learn from this configuration any more", "FILE"},
         {"uid", "A user whose sockets may reach --server", "UID"},
         {"mark", "The firewall mark of packets to --server, instead of users", "MARK"},
         {"boot", "Lock now, and at every boot before the network", ""},
         {"at-boot", "For the boot unit: enable no unit and look up no names", ""}},
        arguments);
    if (!options) {
        return usage_error("lock", options.error());
    }
    const auto remotes = parse_admitted_servers(*options);
    const auto identity = parse_identity(*options);
    if (!remotes || !identity) {
        return usage_error("lock", remotes ? identity.error() : remotes.error());
    }
    // If the same server is listed several times, the first mark is used: a server with --uid or
    // --mark comes before those of configurations.
    const bool is_named = options->has("uid") || options->has("mark");
    if (is_named && remotes->empty()) {
        return usage_error("lock", Error("--uid and --mark require --server"));
    }
    if (!is_permitted("lock")) {
        return kNotPermitted;
    }
    LiveSystem system;
    const bool is_boot = options->has("at-boot");
    LockRequested event{{}, is_boot || options->has("boot")};
    // Before the network there is no resolver to ask.
    event.look_names_up = !is_boot;
    State state = system.load_state().state;
    auto errors =
        forget_configs(event, state.openvpn_configs, options->all("forget-openvpn-config"));
    auto learnt = learn_from_files(system.load_config().config, state);
    const auto refused = learn_given_configs(event, learnt, options->all("openvpn-config"));
    errors.insert(errors.end(), refused.begin(), refused.end());
    event.servers = std::move(learnt.servers);
    event.profiles = std::move(learnt.profiles);
    for (const auto& remote : *remotes) {
        event.servers.insert(is_named ? event.servers.begin() : event.servers.end(),
                             {remote, *identity, {}});
    }
    Outcome outcome = handle(system, event);
    // The machine was closed even if a file could not be read.
    outcome.errors.insert(outcome.errors.end(), errors.begin(), errors.end());
    outcome.warnings.insert(outcome.warnings.begin(), learnt.warnings.begin(),
                            learnt.warnings.end());
    if (outcome.state.servers.empty()) {
        outcome.warnings.emplace_back(kNoServer);
    }
    warn_of_hosts(outcome);
    warn_of_lan(outcome);
    if (event.boot && !is_boot) {
        if (const auto enabled = enable_at_boot(); !enabled) {
            outcome.errors.push_back(
                enabled.error().during("the next boot does not lock").message());
        }
    }
    return conclude(outcome);
}

namespace {

/// The programs that have announced a tunnel and still run.
std::vector<ProcessId> announcing_programs(System& system, const State& state)
{
    std::vector<ProcessId> known;
    const auto add = [&](const ProcessId& id) {
        if (std::ranges::find(known, id) == known.end()) {
            known.push_back(id);
        }
    };
    for (const auto& program : state.programs) {
        add(program.id);
    }
    for (const auto& tunnel : state.tunnels) {
        if (tunnel.owner) {
            add(*tunnel.owner);
        }
    }
    return system.running(known);
}

/// What may surprise the owner of a machine that was opened just now.
void warn_after_unlock(System& system, const State& state)
{
    const auto is_lost = Dns().has_lost_resolv_conf();
    if (is_lost && *is_lost) {
        report_warning("/etc/resolv.conf was not restored: failclosed wrote it, and the record of "
                       "its previous contents is gone; restart the program that manages the "
                       "network, or write the network's resolver into it");
    }
    for (const auto& id : announcing_programs(system, state)) {
        report_warning("process " + std::to_string(id.pid) +
                       " announced a tunnel and still runs: its next `up` locks this machine "
                       "again; to prevent that, end it");
    }
    if (is_enabled_at_boot()) {
        report_warning("the next boot locks again; to prevent that: systemctl disable "
                       "failclosed-lock.service");
    }
}

} // namespace

int unlock(const Arguments& arguments)
{
    const auto options = Options::parse("unlock", {}, arguments);
    if (!options) {
        return usage_error("unlock", options.error());
    }
    if (!is_permitted("unlock")) {
        return kNotPermitted;
    }
    LiveSystem system;
    const Outcome outcome = run_event(system, UnlockRequested{});
    const int code = outcome.exit_code();
    if (code == 0) {
        warn_after_unlock(system, outcome.state);
    }
    return code;
}

int reapply(const Arguments& arguments)
{
    const auto options = Options::parse(
        "reapply", {{"quiet", "Do not learn servers, and print only errors", ""}}, arguments);
    if (!options) {
        return usage_error("reapply", options.error());
    }
    if (!is_permitted("reapply")) {
        return kNotPermitted;
    }
    LiveSystem system;
    if (options->has("quiet")) {
        Outcome outcome = handle(system, ReapplyRequested{});
        outcome.warnings.clear();
        outcome.notices.clear();
        return conclude(outcome);
    }
    auto learnt = learn_from_files(system.load_config().config, system.load_state().state);
    Outcome outcome =
        handle(system, ReapplyRequested{std::move(learnt.servers), std::move(learnt.profiles)});
    outcome.warnings.insert(outcome.warnings.begin(), learnt.warnings.begin(),
                            learnt.warnings.end());
    warn_of_hosts(outcome);
    warn_of_lan(outcome);
    return conclude(outcome);
}

int up(const Arguments& arguments)
{
    const auto options = Options::parse("up", tunnel_options(), arguments);
    if (!options) {
        return usage_error("up", options.error());
    }
    auto event = parse_tunnel(*options);
    if (!event) {
        return usage_error("up", event.error());
    }
    if (!is_permitted("up")) {
        return kNotPermitted;
    }
    LiveSystem system;
    take_addresses_from_device(system, event->tunnel);
    return run_event(system, *event).exit_code();
}

int down(const Arguments& arguments)
{
    // Accepts all options of `up`, so that a tunnel program can use one command line for both.
    const auto options = Options::parse("down", tunnel_options(), arguments);
    if (!options) {
        return usage_error("down", options.error());
    }
    const auto interface =
        parse_value<InterfaceName>(*options, "interface", "a device's name", InterfaceName::parse);
    if (!interface) {
        return usage_error("down", interface.error());
    }
    if (!*interface) {
        return usage_error("down", Error("--interface is required"));
    }
    if (!is_permitted("down")) {
        return kNotPermitted;
    }
    LiveSystem system;
    return run_event(system, TunnelDown{**interface}).exit_code();
}

int refresh(const Arguments& arguments)
{
    const auto options = Options::parse("refresh", {}, arguments);
    if (!options) {
        return usage_error("refresh", options.error());
    }
    execl(FAILCLOSED_LIBEXECDIR "/refresh", "refresh", "--foreground", nullptr);
    report_error(Error::from_errno("starting " FAILCLOSED_LIBEXECDIR "/refresh").message());
    return 1;
}

} // namespace failclosed::cli
