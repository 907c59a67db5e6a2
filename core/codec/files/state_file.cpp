// SPDX-License-Identifier: GPL-3.0-or-later
// State files: one group for the file, and one per part.
#include "core/codec/files/state_file.hpp"

#include <algorithm>
#include <limits>

#include "core/codec/files/key_file.hpp"
#include "core/codec/warnings.hpp"

namespace failclosed {

namespace {

constexpr const char* kHead = "failclosed";
constexpr const char* kPortal = "portal";
constexpr const char* kFormat = "1";
constexpr const char* kHeadText = "[failclosed]\nformat=1\n";
constexpr std::uint64_t kMaxParts = 100'000;
constexpr auto kMaxTime = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

using Text = Owned<gchar, g_free>;

// ---- Writing ----

std::string line(std::string_view key, std::string_view value)
{
    return std::string(key) + "=" + std::string(value) + "\n";
}

template <typename T, typename ToText>
std::string list_line(std::string_view key, const std::vector<T>& values, const ToText& to_text)
{
    std::string text;
    for (const auto& value : values) {
        text += to_text(value) + ";";
    }
    return line(key, text);
}

std::string head(std::string_view count_key, std::size_t count)
{
    return kHeadText + line(count_key, std::to_string(count));
}

std::string group_name(std::string_view kind, std::size_t number)
{
    return std::string(kind) + " " + std::to_string(number);
}

std::string text_of(const InterfaceAddress& address)
{
    return address.address.to_string() + "/" + std::to_string(address.prefix_length);
}

std::string text_of(const LearntAddress& learnt)
{
    return learnt.address.to_string() + " " + std::to_string(learnt.seen.count()) +
           (learnt.worked_last ? " worked" : "") + (learnt.unverified ? " unverified" : "");
}

/// Escapes bytes that a key file cannot hold: device names may hold any byte above 0x20, paths any
/// byte.
std::string escaped(const std::string& text)
{
    return Text(g_uri_escape_string(text.c_str(), nullptr, FALSE)).get();
}

std::string text_of(const InterfaceName& name)
{
    return escaped(name.text());
}

std::string text_of(const ProcessId& process)
{
    return std::to_string(process.pid) + " " + std::to_string(process.start_time);
}

std::string text_of(const VpnProgram& program)
{
    return text_of(program.interface) + " " + text_of(program.id);
}

std::string text_of(const LearntProfile& profile)
{
    return profile.uuid + " " + profile.digest;
}

constexpr auto kToString = [](const auto& value) { return value.to_string(); };
constexpr auto kTextOf = [](const auto& value) { return text_of(value); };
constexpr auto kNameText = [](const HostName& name) { return name.text(); };
constexpr auto kNumberText = [](auto number) { return std::to_string(number); };

// ---- Reading: `nullopt` is a missing or invalid value ----

std::optional<InterfaceName> read_interface(const std::string& text)
{
    const Text name(g_uri_unescape_string(text.c_str(), nullptr));
    return name ? InterfaceName::parse(name.get()) : std::nullopt;
}

std::optional<std::string> read_path(const std::string& text)
{
    const Text path(g_uri_unescape_string(text.c_str(), nullptr));
    return path && *path.get() == '/' ? std::optional<std::string>(path.get()) : std::nullopt;
}

std::optional<ProcessId> read_process_id(const std::string& text)
{
    const auto space = text.find(' ');
    const auto pid = parse_number(text.substr(0, space), 1, std::numeric_limits<pid_t>::max());
    if (!pid || space == std::string::npos) {
        return std::nullopt;
    }
    const auto start =
        parse_number(text.substr(space + 1), 0, std::numeric_limits<std::uint64_t>::max());
    return start ? std::optional(ProcessId{static_cast<pid_t>(*pid), *start}) : std::nullopt;
}

/// Parses "DEVICE PID START"; a device's name holds no space.
std::optional<VpnProgram> read_vpn_program(const std::string& text)
{
    const auto space = text.find(' ');
    const auto interface = read_interface(text.substr(0, space));
    const auto id =
        space == std::string::npos ? std::nullopt : read_process_id(text.substr(space + 1));
    return interface && id ? std::optional(VpnProgram{*interface, *id}) : std::nullopt;
}

bool is_hexadecimal(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF-") == text.npos;
}

/// "UUID DIGEST"
std::optional<LearntProfile> read_profile(const std::string& text)
{
    constexpr std::size_t kLongestUuid = 40;
    constexpr std::size_t kDigestDigits = 64;
    const auto space = text.find(' ');
    if (space == std::string::npos) {
        return std::nullopt;
    }
    LearntProfile profile{text.substr(0, space), text.substr(space + 1)};
    const bool valid = profile.uuid.size() <= kLongestUuid && is_hexadecimal(profile.uuid) &&
                       profile.digest.size() == kDigestDigits && is_hexadecimal(profile.digest);
    return valid ? std::optional(std::move(profile)) : std::nullopt;
}

std::optional<Tunnel::Word> read_word(const std::string& text)
{
    if (text != "announced" && text != "found") {
        return std::nullopt;
    }
    return text == "found" ? Tunnel::Word::Found : Tunnel::Word::Announced;
}

std::optional<InterfaceAddress> read_interface_address(const std::string& text)
{
    const auto slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address || slash == std::string::npos) {
        return std::nullopt;
    }
    const auto length = parse_number(text.substr(slash + 1), 0, address->bits());
    return length ? std::optional(InterfaceAddress{*address, static_cast<unsigned>(*length)})
                  : std::nullopt;
}

/// Removes `word` from the end of `text`; false if it is not there.
bool take_last_word(std::string_view& text, std::string_view word)
{
    const bool is_there = text.ends_with(word);
    text.remove_suffix(is_there ? word.size() : 0);
    return is_there;
}

std::optional<LearntAddress> read_learnt_address(std::string_view text)
{
    // Version 0.2.0 wrote "hearsay".
    const bool unverified = take_last_word(text, " unverified") || take_last_word(text, " hearsay");
    const bool worked = take_last_word(text, " worked");
    const auto space = text.find(' ');
    const auto address = IpAddress::parse(text.substr(0, space));
    if (!address || space == std::string_view::npos) {
        return std::nullopt;
    }
    const auto seen = parse_number(text.substr(space + 1), 0, kMaxTime);
    return seen ? std::optional(LearntAddress{*address, Seconds(*seen), worked, unverified})
                : std::nullopt;
}

// The highest number is not a user or group (chown(2)).
std::optional<uid_t> read_uid(const std::string& text)
{
    const auto uid = parse_number(text, 0, std::numeric_limits<uid_t>::max() - 1);
    return uid ? std::optional(static_cast<uid_t>(*uid)) : std::nullopt;
}

/// The group of a program that signs in; never root's.
std::optional<gid_t> read_gid(const std::string& text)
{
    const auto gid = parse_number(text, 1, std::numeric_limits<gid_t>::max() - 1);
    return gid ? std::optional(static_cast<gid_t>(*gid)) : std::nullopt;
}

/// Reads the values of a group and keeps the first error.
class Group {
  public:
    Group(const KeyFile& file, std::string name) : file_(file), name_(std::move(name)) {}

    /// A required value.
    template <typename Parse> auto get(const std::string& key, const Parse& parse)
    {
        return parse_value(key, file_.get(name_, key).value_or(""), parse);
    }

    /// `nullopt` if the key does not exist.
    template <typename Parse> auto find(const std::string& key, const Parse& parse)
    {
        const auto text = file_.get(name_, key);
        return text ? parse_value(key, *text, parse) : std::nullopt;
    }

    /// A required list, which may be empty.
    template <typename Parse> auto list(const std::string& key, const Parse& parse)
    {
        std::vector<typename decltype(parse(std::string{}))::value_type> values;
        const auto text = file_.get(name_, key);
        if (!text) {
            refuse(key, "");
        }
        for (const auto& part : split_list(text.value_or(""))) {
            if (auto value = parse_value(key, part, parse)) {
                values.push_back(*std::move(value));
            }
        }
        return values;
    }

    [[nodiscard]] bool has(const std::string& key) const
    {
        return file_.get(name_, key).has_value();
    }

    [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  private:
    template <typename Parse>
    auto parse_value(const std::string& key, const std::string& text, const Parse& parse)
        -> decltype(parse(text))
    {
        auto value = parse(text);
        if (!value) {
            refuse(key, text);
        }
        return value;
    }

    void refuse(const std::string& key, const std::string& text)
    {
        if (!error_) {
            error_ =
                Error("[" + name_ + "] " + key + "=" + in_quotes(text) + " is missing or invalid");
        }
    }

    const KeyFile& file_;
    std::string name_;
    std::optional<Error> error_;
};

std::optional<std::string> read_format(const std::string& text)
{
    return text == kFormat ? std::optional(text) : std::nullopt;
}

/// A function that parses a number from 0 to `high`.
auto number_up_to(std::uint64_t high)
{
    return [high](const std::string& text) { return parse_number(text, 0, high); };
}

/// Reads the groups "[kind 1]" to "[kind N]"; N is the value of `count_key` in the head.
template <typename T, typename ReadPart>
Result<std::vector<T>> read_parts(const KeyFile& file, const std::string& count_key,
                                  std::string_view kind, const ReadPart& read_part,
                                  bool needed = true)
{
    Group head(file, kHead);
    head.get("format", read_format);
    // Files of an earlier version have no count for kinds of parts that it did not know.
    const auto count = needed ? head.get(count_key, number_up_to(kMaxParts))
                              : head.find(count_key, number_up_to(kMaxParts));
    if (head.error()) {
        return Failure(*head.error());
    }
    std::vector<T> parts;
    for (std::uint64_t i = 1; i <= count.value_or(0); ++i) {
        Group group(file, group_name(kind, i));
        std::optional<T> part = read_part(group);
        if (group.error() || !part) {
            return Failure(
                group.error().value_or(Error("[" + group_name(kind, i) + "] is invalid")));
        }
        parts.push_back(*std::move(part));
    }
    return parts;
}

template <typename T, typename ReadPart>
Result<std::vector<T>> read_parts(std::string_view text, const std::string& count_key,
                                  std::string_view kind, const ReadPart& read_part)
{
    const auto file = KeyFile::parse(text);
    return file ? read_parts<T>(*file, count_key, kind, read_part)
                : Result<std::vector<T>>(Failure(file.error()));
}

std::optional<UnderlayPath> read_route(Group& group)
{
    const auto interface = group.get("interface", read_interface);
    if (!interface) {
        return std::nullopt;
    }
    UnderlayPath path{Family::V4, *interface, group.find("gateway", IpAddress::parse),
                      group.list("sources", IpAddress::parse)};
    if (path.sources.empty()) {
        return std::nullopt;
    }
    path.family = path.sources.front().family();
    return path;
}

std::optional<Program> read_program(Group& group)
{
    const auto id = group.get("process", read_process_id);
    if (!id) {
        return std::nullopt;
    }
    Program program{*id, group.find("server", IpAddress::parse)};
    if (group.has("interface")) {
        program.path = read_route(group);
        return program.path ? std::optional(program) : std::nullopt;
    }
    return program;
}

std::optional<Lease> read_lease(Group& group)
{
    const auto interface = group.get("interface", read_interface);
    const auto server = group.get("server", IpAddress::parse);
    return interface && server ? std::optional(Lease{*interface, *server}) : std::nullopt;
}

std::optional<Portal> read_portal(Group& group)
{
    const auto uid = group.get("uid", read_uid);
    const auto gid = group.find("gid", read_gid);
    auto resolvers = group.list("resolvers", IpAddress::parse);
    const auto until = group.get("until", number_up_to(kMaxTime));
    return uid && until ? std::optional(Portal{*uid, gid, std::move(resolvers), Seconds(*until)})
                        : std::nullopt;
}

std::optional<Tunnel> read_tunnel(Group& group)
{
    const auto interface = group.get("interface", read_interface);
    if (!interface) {
        return std::nullopt;
    }
    Tunnel tunnel{.interface = *interface};
    tunnel.addresses = group.list("addresses", read_interface_address);
    tunnel.networks = group.list("networks", IpPrefix::parse);
    tunnel.gateways = group.list("gateways", IpAddress::parse);
    tunnel.resolvers = group.list("resolvers", IpAddress::parse);
    tunnel.search_domains = group.list("search-domains", HostName::parse);
    tunnel.owner = group.find("owner", read_process_id);
    if (group.has("owner-pid")) { // before 0.2
        const auto pid = group.get("owner-pid", number_up_to(std::numeric_limits<pid_t>::max()));
        const auto start =
            group.get("owner-start", number_up_to(std::numeric_limits<std::uint64_t>::max()));
        tunnel.owner = ProcessId{static_cast<pid_t>(pid.value_or(0)), start.value_or(0)};
    }
    tunnel.word = group.find("word", read_word).value_or(Tunnel::Word::Announced);
    return tunnel;
}

std::optional<InsideNetworks> read_inside_networks(Group& group)
{
    const auto interface = group.get("interface", read_interface);
    if (!interface) {
        return std::nullopt;
    }
    return InsideNetworks{*interface, group.list("networks", IpPrefix::parse)};
}

std::optional<Server> read_server(Group& group)
{
    const auto remote = group.get("remote", Remote::parse);
    if (!remote) {
        return std::nullopt;
    }
    Server server{*remote, {}, {}};
    server.identity.uids = group.list("uids", read_uid);
    if (const auto mark =
            group.find("mark", number_up_to(std::numeric_limits<std::uint32_t>::max()))) {
        server.identity.mark = static_cast<std::uint32_t>(*mark);
    }
    server.addresses = group.list("addresses", read_learnt_address);
    return server;
}

std::optional<Armed> read_armed_value(const std::string& text)
{
    if (text != "yes" && text != "no") {
        return std::nullopt;
    }
    return text == "yes" ? Armed::Yes : Armed::No;
}

} // namespace

namespace {

std::string path_lines(const UnderlayPath& path)
{
    return line("interface", text_of(path.interface)) +
           (path.gateway ? line("gateway", path.gateway->to_string()) : "") +
           list_line("sources", path.sources, kToString);
}

std::string tunnel_lines(const Tunnel& tunnel)
{
    return line("interface", text_of(tunnel.interface)) +
           list_line("addresses", tunnel.addresses, kTextOf) +
           list_line("networks", tunnel.networks, kToString) +
           list_line("gateways", tunnel.gateways, kToString) +
           list_line("resolvers", tunnel.resolvers, kToString) +
           list_line("search-domains", tunnel.search_domains, kNameText) +
           line("word", tunnel.word == Tunnel::Word::Found ? "found" : "announced") +
           (tunnel.owner ? line("owner", text_of(*tunnel.owner)) : "");
}

std::string program_lines(const Program& program)
{
    return line("process", text_of(program.id)) +
           (program.server ? line("server", program.server->to_string()) : "") +
           (program.path ? path_lines(*program.path) : "");
}

std::string lease_lines(const Lease& lease)
{
    return line("interface", text_of(lease.interface)) + line("server", lease.server.to_string());
}

std::string portal_lines(const Portal& portal)
{
    return line("uid", std::to_string(portal.uid)) +
           (portal.gid ? line("gid", std::to_string(*portal.gid)) : "") +
           list_line("resolvers", portal.resolvers, kToString) +
           line("until", std::to_string(portal.until.count()));
}

template <typename T, typename Lines>
std::string groups(std::string_view kind, const std::vector<T>& parts, const Lines& lines)
{
    std::string text;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        text += "\n[" + group_name(kind, i + 1) + "]\n" + lines(parts[i]);
    }
    return text;
}

} // namespace

std::string write_running(const Running& running)
{
    const auto& underlay = running.underlay;
    return head("tunnels", running.tunnels.size()) + line("boot", running.boot) +
           line("paths", std::to_string(underlay.paths.size())) +
           line("leases", std::to_string(underlay.leases.size())) +
           line("programs", std::to_string(running.programs.size())) +
           line("suspended", std::to_string(underlay.suspended.count())) +
           (running.portal ? line(kPortal, "yes") : "") +
           list_line("refused", running.refused, kTextOf) +
           (running.vpn_programs.empty()
                ? ""
                : list_line("vpn-programs", running.vpn_programs, kTextOf)) +
           groups("tunnel", running.tunnels, tunnel_lines) +
           groups("path", underlay.paths, path_lines) +
           groups("lease", underlay.leases, lease_lines) +
           groups("program", running.programs, program_lines) +
           (running.portal ? std::string("\n[") + kPortal + "]\n" + portal_lines(*running.portal)
                           : "");
}

Result<Running> read_running(std::string_view text)
{
    const auto file = KeyFile::parse(text);
    if (!file) {
        return Failure(file.error());
    }
    auto tunnels = read_parts<Tunnel>(*file, "tunnels", "tunnel", read_tunnel);
    auto paths = read_parts<UnderlayPath>(*file, "paths", "path", read_route, false);
    auto leases = read_parts<Lease>(*file, "leases", "lease", read_lease, false);
    auto programs = read_parts<Program>(*file, "programs", "program", read_program, false);
    for (const Error* error :
         {tunnels ? nullptr : &tunnels.error(), paths ? nullptr : &paths.error(),
          leases ? nullptr : &leases.error(), programs ? nullptr : &programs.error()}) {
        if (error != nullptr) {
            return Failure(*error);
        }
    }
    Group head(*file, kHead);
    const auto suspended = head.find("suspended", number_up_to(kMaxTime));
    std::vector<InterfaceName> refused;
    if (head.has("refused")) {
        refused = head.list("refused", read_interface);
    }
    std::vector<VpnProgram> vpn_programs;
    if (head.has("vpn-programs")) {
        vpn_programs = head.list("vpn-programs", read_vpn_program);
    }
    Group portal(*file, kPortal);
    const auto signing_in =
        head.has(kPortal) ? read_portal(portal) : std::optional<Portal>(std::nullopt);
    for (const Group* group : {&head, &portal}) {
        if (group->error()) {
            return Failure(*group->error());
        }
    }
    const Seconds slept(suspended.value_or(0));
    return Running{file->get(kHead, "boot").value_or(""),
                   *std::move(tunnels),
                   {*std::move(paths), *std::move(leases), slept},
                   *std::move(programs),
                   std::move(refused),
                   signing_in,
                   std::move(vpn_programs)};
}

std::string write_configs(const std::vector<std::string>& paths)
{
    return kHeadText + list_line("configs", paths, escaped);
}

Result<std::vector<std::string>> read_configs(std::string_view text)
{
    const auto file = KeyFile::parse(text);
    if (!file) {
        return Failure(file.error());
    }
    Group head(*file, kHead);
    head.get("format", read_format);
    auto paths = head.list("configs", read_path);
    return head.error() ? Result<std::vector<std::string>>(Failure(*head.error())) : paths;
}

std::string write_profiles(const std::vector<LearntProfile>& profiles)
{
    return kHeadText + list_line("profiles", profiles, kTextOf);
}

Result<std::vector<LearntProfile>> read_profiles(std::string_view text)
{
    const auto file = KeyFile::parse(text);
    if (!file) {
        return Failure(file.error());
    }
    Group head(*file, kHead);
    head.get("format", read_format);
    auto profiles = head.list("profiles", read_profile);
    return head.error() ? Result<std::vector<LearntProfile>>(Failure(*head.error())) : profiles;
}

std::string write_inside(const std::vector<InsideNetworks>& inside)
{
    std::string text = head("inside", inside.size());
    for (std::size_t i = 0; i < inside.size(); ++i) {
        text += "\n[" + group_name("inside", i + 1) + "]\n";
        text += line("interface", text_of(inside[i].interface));
        text += list_line("networks", inside[i].networks, kToString);
    }
    return text;
}

Result<std::vector<InsideNetworks>> read_inside(std::string_view text)
{
    return read_parts<InsideNetworks>(text, "inside", "inside", read_inside_networks);
}

std::string write_servers(const std::vector<Server>& servers)
{
    std::string text = head("servers", servers.size());
    for (std::size_t i = 0; i < servers.size(); ++i) {
        const Server& server = servers[i];
        text += "\n[" + group_name("server", i + 1) + "]\n";
        text += line("remote", to_string(server.remote));
        text += list_line("uids", server.identity.uids, kNumberText);
        if (server.identity.mark) {
            text += line("mark", std::to_string(*server.identity.mark));
        }
        text += list_line("addresses", server.addresses, kTextOf);
    }
    return text;
}

Result<std::vector<Server>> read_servers(std::string_view text)
{
    return read_parts<Server>(text, "servers", "server", read_server);
}

std::string write_armed(Armed armed)
{
    return kHeadText + line("armed", armed == Armed::Yes ? "yes" : "no");
}

Result<Armed> read_armed(std::string_view text)
{
    const auto file = KeyFile::parse(text);
    if (!file) {
        return Failure(file.error());
    }
    Group head(*file, kHead);
    head.get("format", read_format);
    const auto armed = head.get("armed", read_armed_value);
    return head.error() ? Result<Armed>(Failure(*head.error())) : Result<Armed>(*armed);
}

} // namespace failclosed
