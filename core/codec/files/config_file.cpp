// SPDX-License-Identifier: GPL-3.0-or-later
// The keys of failclosed.conf and their allowed values.
#include "core/codec/files/config_file.hpp"

#include <algorithm>
#include <array>

#include <linux/if_ether.h>

#include "core/codec/files/key_file.hpp"
#include "core/codec/warnings.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {

namespace {

constexpr const char* kGroup = "failclosed";

/// Parses "yes" or "no" into `value`; false if `text` is neither.
bool set_switch(bool& value, std::string_view text)
{
    value = text == "yes";
    return value || text == "no";
}

/// Most devices that `forward` may name.
constexpr std::size_t kMostForwarded = 64;

/// Parses a list into `values`; false if an item is invalid.
template <typename T, typename Parse>
bool set_list(std::vector<T>& values, std::string_view text, const Parse& parse)
{
    values.clear();
    for (const auto& part : split_list(text)) {
        std::optional<T> value = parse(part);
        if (!value) {
            return false;
        }
        values.push_back(*std::move(value));
    }
    return true;
}

/// `nullopt` for a prefix that is too short for a local network.
std::optional<IpPrefix> parse_lan_prefix(const std::string& text)
{
    const auto prefix = IpPrefix::parse(text);
    return prefix && (prefix->length() >= kShortestNetwork || is_private(*prefix)) ? prefix
                                                                                   : std::nullopt;
}

bool set_lan(Config& config, std::string_view text)
{
    constexpr std::array<std::pair<std::string_view, LanPolicy::Kind>, 3> kWords = {{
        {"private", LanPolicy::Kind::Private},
        {"on-link", LanPolicy::Kind::OnLink},
        {"deny", LanPolicy::Kind::Deny},
    }};
    for (const auto& [word, kind] : kWords) {
        if (text == word) {
            config.lan = {kind, {}};
            return true;
        }
    }
    config.lan.kind = LanPolicy::Kind::List;
    return set_list(config.lan.prefixes, text, parse_lan_prefix) && !config.lan.prefixes.empty();
}

/// The address of another host, or of a resolver on this host (loopback).
std::optional<IpAddress> parse_resolver(const std::string& text)
{
    const auto address = IpAddress::parse(text);
    const bool usable = address && !address->is_link_local() &&
                        (address->is_unicast_host() || address->is_loopback());
    return usable ? address : std::nullopt;
}

std::optional<std::string> parse_pattern(const std::string& text)
{
    return text.starts_with('/') && !has_control_characters(text) ? std::optional(text)
                                                                  : std::nullopt;
}

bool set_expiry(Config& config, std::string_view text)
{
    const auto days = parse_number(text, 1, 3650);
    config.server_expiry = std::chrono::days(days.value_or(0));
    return days.has_value();
}

bool set_reconnect_signal(Config& config, std::string_view text)
{
    constexpr std::array<std::pair<std::string_view, ReconnectSignal>, 4> kWords = {{
        {"auto", ReconnectSignal::Auto},
        {"HUP", ReconnectSignal::Hup},
        {"USR1", ReconnectSignal::Usr1},
        {"none", ReconnectSignal::None},
    }};
    for (const auto& [word, value] : kWords) {
        if (text == word) {
            config.reconnect_signal = value;
            return true;
        }
    }
    return false;
}

std::optional<InterfaceName> parse_forwarded(const std::string& text)
{
    return text == "lo" ? std::nullopt : InterfaceName::parse(text);
}

bool set_forward(Config& config, std::string_view text)
{
    return set_list(config.forward, text, parse_forwarded) &&
           config.forward.size() <= kMostForwarded;
}

/// Removes the first word and the blanks around it from `text`, and returns the word.
std::string_view take_word(std::string_view& text)
{
    constexpr std::string_view kBlanks = " \t";
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const auto word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
}

/// "any", an address, or a prefix.
std::vector<IpPrefix> parse_sources(std::string_view text)
{
    if (text == "any") {
        return {IpPrefix::any(Family::V4), IpPrefix::any(Family::V6)};
    }
    const auto prefix = IpPrefix::parse(text);
    return prefix ? std::vector{*prefix} : std::vector<IpPrefix>{};
}

bool set_inbound(Config& config, std::string_view text)
{
    config.inbound.clear();
    for (const auto& part : split_list(text)) {
        std::string_view rest = part;
        const auto service = take_word(rest);
        const auto from = take_word(rest);
        const auto sources = parse_sources(take_word(rest));
        const bool is_tcp = service.starts_with("tcp/");
        const auto port =
            is_tcp || service.starts_with("udp/") ? Port::parse(service.substr(4)) : std::nullopt;
        if (!port || from != "from" || sources.empty() || !take_word(rest).empty()) {
            return false;
        }
        for (const auto& source : sources) {
            config.inbound.push_back({is_tcp ? Transport::Tcp : Transport::Udp, *port, source});
        }
    }
    return true;
}

/// The belt judges IP and ARP by the addresses in a frame, not by its type.
bool is_judged_by_addresses(const EtherType& type)
{
    return type.number == ETH_P_IP || type.number == ETH_P_IPV6 || type.number == ETH_P_ARP;
}

std::optional<BeltAllowance> parse_belt_allowance(const std::string& text)
{
    if (const auto mac = MacAddress::parse(text)) {
        return mac->is_unicast() ? std::optional<BeltAllowance>(*mac) : std::nullopt;
    }
    if (const auto type = EtherType::parse(text)) {
        return is_judged_by_addresses(*type) ? std::nullopt : std::optional<BeltAllowance>(*type);
    }
    const auto prefix = IpPrefix::parse(text);
    return prefix && prefix->length() >= kShortestNetwork ? std::optional<BeltAllowance>(*prefix)
                                                          : std::nullopt;
}

/// Why no server can be at the address of `remote`. `nullopt` for a program on this machine too
/// (stunnel, a local proxy): such a line has no effect, and older versions read it.
std::optional<std::string> why_not_listed(const Remote& remote)
{
    const auto* address = std::get_if<IpAddress>(&remote.host);
    return address != nullptr && address->is_loopback() ? std::nullopt : why_no_server(remote);
}

std::optional<Remote> parse_server(const std::string& text)
{
    auto remote = Remote::parse(text);
    return remote && !why_not_listed(*remote) ? std::move(remote) : std::nullopt;
}

/// Why an item of a list that has a valid form is not allowed; empty if the form is the cause.
std::string why_not(std::string_view key, const std::string& item)
{
    const auto remote = key == "server" ? Remote::parse(item) : std::nullopt;
    if (const auto why = remote ? why_not_listed(*remote) : std::nullopt) {
        return *why + ", which no VPN server can have";
    }
    const auto network = key == "lan" ? IpPrefix::parse(item) : std::nullopt;
    return network && !parse_lan_prefix(item)
               ? network->to_string() +
                     " is a part of the default route: a network that is not "
                     "private needs at least /" +
                     std::to_string(kShortestNetwork)
               : "";
}

/// " (REASON)" of the first item with a reason.
std::string reason(std::string_view key, std::string_view text)
{
    for (const auto& item : split_list(text)) {
        if (const auto why = why_not(key, item); !why.empty()) {
            return " (" + why + ")";
        }
    }
    return {};
}

/// Parses a key's value into the configuration; false if the value is not allowed.
using Setter = bool (*)(Config&, std::string_view);

constexpr std::string_view kSwitch = "yes or no";

constexpr std::array<ConfigKey, 12> kKeys = {{
    {"lan", "private, on-link, deny, or a list of prefixes such as 192.168.1.0/24;fd00::/8"},
    {"lan-names", kSwitch},
    {"server", "a list of HOST:PORT/PROTO, PROTO being udp, tcp, udp4, udp6, tcp4 or tcp6, or of "
               "HOST/gre and HOST/esp"},
    {"openvpn-configs", "a list of absolute file names, which may hold *, ? and [...]"},
    {"dns-servers", "a list of addresses of resolvers"},
    {"bootstrap-dns", kSwitch},
    {"server-expiry-days", "a number from 1 to 3650"},
    {"reconnect-signal", "auto, HUP, USR1 or none"},
    {"forward", "a list of at most 64 names of network devices other than lo"},
    {"inbound", "a list of tcp/PORT or udp/PORT, followed by 'from' and an address, a prefix, or "
                "any: udp/51820 from any"},
    {"belt-allow", "a list of hardware addresses of single devices, addresses and prefixes of at "
                   "least 8 bits, and EtherTypes such as 0x88e5, but not IP's and ARP's"},
    {"log", kSwitch},
}};

constexpr std::array<Setter, kKeys.size()> kSetters = {
    set_lan,
    [](Config& config, std::string_view text) { return set_switch(config.lan_names, text); },
    [](Config& config, std::string_view text) {
        return set_list(config.servers, text, parse_server);
    },
    [](Config& config, std::string_view text) {
        return set_list(config.openvpn_configs, text, parse_pattern);
    },
    [](Config& config, std::string_view text) {
        return set_list(config.dns_servers, text, parse_resolver);
    },
    [](Config& config, std::string_view text) { return set_switch(config.bootstrap_dns, text); },
    set_expiry,
    set_reconnect_signal,
    set_forward,
    set_inbound,
    [](Config& config, std::string_view text) {
        return set_list(config.belt_allow, text, parse_belt_allowance);
    },
    [](Config& config, std::string_view text) { return set_switch(config.log, text); },
};

std::string all_keys()
{
    std::string names;
    for (const auto& key : kKeys) {
        names += (names.empty() ? "" : ", ") + std::string(key.name);
    }
    return names;
}

Status read_file_into(Config& config, const KeyFile& file)
{
    for (const auto& group : file.groups()) {
        if (group != kGroup) {
            return fail("unknown group " + in_quotes(group) + "; the only group is [failclosed]");
        }
    }
    for (const auto& name : file.keys(kGroup)) {
        const auto key = std::ranges::find(kKeys, name, &ConfigKey::name);
        if (key == kKeys.end()) {
            return fail("unknown key " + in_quotes(name) + "; the keys are " + all_keys());
        }
        const auto value = file.get(kGroup, name).value_or("");
        const auto set = kSetters[static_cast<std::size_t>(key - kKeys.begin())];
        if (!set(config, value)) {
            return fail("invalid value " + name + "=" + in_quotes(value) + reason(name, value) +
                        "; allowed: " + std::string(key->allowed));
        }
    }
    return {};
}

} // namespace

std::span<const ConfigKey> config_keys()
{
    return kKeys;
}

Result<Config> read_config(std::span<const ConfigText> files)
{
    Config config;
    for (const auto& [file_name, text] : files) {
        const auto file = KeyFile::parse(text);
        if (!file) {
            return fail_during(file_name, file.error());
        }
        if (const auto read = read_file_into(config, *file); !read) {
            return fail_during(file_name, read.error());
        }
    }
    return config;
}

} // namespace failclosed
