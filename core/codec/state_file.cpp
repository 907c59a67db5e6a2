// SPDX-License-Identifier: GPL-3.0-or-later
// State files: one group for the file, one for each part.
#include "core/codec/state_file.hpp"

#include <algorithm>
#include <limits>

#include "core/codec/key_file.hpp"
#include "core/codec/warnings.hpp"

namespace failclosed {

namespace {

constexpr const char* kHead = "failclosed";
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
           (learnt.worked_last ? " worked" : "");
}

/// Device names may hold any byte over 0x20; a key file may not.
std::string text_of(const InterfaceName& name)
{
    return Text(g_uri_escape_string(name.text().c_str(), nullptr, FALSE)).get();
}

constexpr auto kToString = [](const auto& value) { return value.to_string(); };
constexpr auto kTextOf = [](const auto& value) { return text_of(value); };
constexpr auto kNameText = [](const HostName& name) { return name.text(); };
constexpr auto kNumberText = [](auto number) { return std::to_string(number); };

// ---- Reading: nothing is a value that is missing or wrong ----

std::optional<InterfaceName> read_interface(const std::string& text)
{
    const Text name(g_uri_unescape_string(text.c_str(), nullptr));
    return name ? InterfaceName::parse(name.get()) : std::nullopt;
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

std::optional<LearntAddress> read_learnt_address(std::string_view text)
{
    constexpr std::string_view kWorked = " worked";
    const bool worked = text.ends_with(kWorked);
    if (worked) {
        text.remove_suffix(kWorked.size());
    }
    const auto space = text.find(' ');
    const auto address = IpAddress::parse(text.substr(0, space));
    if (!address || space == std::string_view::npos) {
        return std::nullopt;
    }
    const auto seen = parse_number(text.substr(space + 1), 0, kMaxTime);
    return seen ? std::optional(LearntAddress{*address, Seconds(*seen), worked}) : std::nullopt;
}

std::optional<uid_t> read_uid(const std::string& text)
{
    // The highest number is "no user" (chown(2)).
    const auto uid = parse_number(text, 0, std::numeric_limits<uid_t>::max() - 1);
    return uid ? std::optional(static_cast<uid_t>(*uid)) : std::nullopt;
}

/// One group, whose values are fetched one after the other; the first that is wrong stays.
class Group {
  public:
    Group(const KeyFile& file, std::string name) : file_(file), name_(std::move(name)) {}

    /// A value that has to be there.
    template <typename Parse> auto get(const std::string& key, const Parse& parse)
    {
        return parse_value(key, file_.get(name_, key).value_or(""), parse);
    }

    /// Nothing where the key is not there.
    template <typename Parse> auto find(const std::string& key, const Parse& parse)
    {
        const auto text = file_.get(name_, key);
        return text ? parse_value(key, *text, parse) : std::nullopt;
    }

    /// The key has to be there; the list may be empty.
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
            error_ = Error("[" + name_ + "] " + key + "=" + quoted(text) + " is missing or wrong");
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

/// A number within `high`, as a reader.
auto number_up_to(std::uint64_t high)
{
    return [high](const std::string& text) { return parse_number(text, 0, high); };
}

/// Reads "[kind 1]" to "[kind N]", N being `count_key` of the head.
template <typename T, typename ReadPart>
Result<std::vector<T>> read_parts(std::string_view text, const std::string& count_key,
                                  std::string_view kind, const ReadPart& read_part)
{
    const auto file = KeyFile::parse(text);
    if (!file) {
        return Failure(file.error());
    }
    Group head(*file, kHead);
    head.get("format", read_format);
    const auto count = head.get(count_key, number_up_to(kMaxParts));
    if (head.error()) {
        return Failure(*head.error());
    }
    std::vector<T> parts;
    for (std::uint64_t i = 1; i <= *count; ++i) {
        Group group(*file, group_name(kind, i));
        std::optional<T> part = read_part(group);
        if (group.error() || !part) {
            return Failure(group.error().value_or(Error(group_name(kind, i) + " is wrong")));
        }
        parts.push_back(*std::move(part));
    }
    return parts;
}

std::optional<Tunnel> read_tunnel(Group& group)
{
    const auto interface = group.get("interface", read_interface);
    if (!interface) {
        return std::nullopt;
    }
    Tunnel tunnel{*interface, {}, {}, {}, {}, {}, {}};
    tunnel.addresses = group.list("addresses", read_interface_address);
    tunnel.networks = group.list("networks", IpPrefix::parse);
    tunnel.gateways = group.list("gateways", IpAddress::parse);
    tunnel.resolvers = group.list("resolvers", IpAddress::parse);
    tunnel.search_domains = group.list("search-domains", HostName::parse);
    const auto pid = group.find("owner-pid", number_up_to(std::numeric_limits<pid_t>::max()));
    if (pid) {
        const auto start =
            group.get("owner-start", number_up_to(std::numeric_limits<std::uint64_t>::max()));
        tunnel.owner = ProcessId{static_cast<pid_t>(*pid), start.value_or(0)};
    }
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

std::string write_tunnels(const std::vector<Tunnel>& tunnels)
{
    std::string text = head("tunnels", tunnels.size());
    for (std::size_t i = 0; i < tunnels.size(); ++i) {
        const Tunnel& tunnel = tunnels[i];
        text += "\n[" + group_name("tunnel", i + 1) + "]\n";
        text += line("interface", text_of(tunnel.interface));
        text += list_line("addresses", tunnel.addresses, kTextOf);
        text += list_line("networks", tunnel.networks, kToString);
        text += list_line("gateways", tunnel.gateways, kToString);
        text += list_line("resolvers", tunnel.resolvers, kToString);
        text += list_line("search-domains", tunnel.search_domains, kNameText);
        if (tunnel.owner) {
            text += line("owner-pid", std::to_string(tunnel.owner->pid));
            text += line("owner-start", std::to_string(tunnel.owner->start_time));
        }
    }
    return text;
}

Result<std::vector<Tunnel>> read_tunnels(std::string_view text)
{
    return read_parts<Tunnel>(text, "tunnels", "tunnel", read_tunnel);
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
