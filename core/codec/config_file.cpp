// SPDX-License-Identifier: GPL-3.0-or-later
// The keys of failclosed.conf and what each may hold.
#include "core/codec/config_file.hpp"

#include <algorithm>
#include <array>

#include "core/codec/key_file.hpp"
#include "core/codec/warnings.hpp"
#include "core/plan/networks.hpp"

namespace failclosed {

namespace {

constexpr const char* kGroup = "failclosed";

/// "yes" or "no", into `value`.
bool set_switch(bool& value, std::string_view text)
{
    value = text == "yes";
    return value || text == "no";
}

/// A list of which each part parses, into `values`.
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

/// A prefix that is short enough to be a share of the internet is no local network.
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

/// Of another host, or of a resolver of the administrator's own on this one.
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

/// How a key's text gets into the configuration; false where it is not allowed.
using Setter = bool (*)(Config&, std::string_view);

constexpr std::string_view kSwitch = "yes or no";

constexpr std::array<ConfigKey, 9> kKeys = {{
    {"lan", "private, on-link, deny, or a list of prefixes such as 192.168.1.0/24;fd00::/8"},
    {"lan-names", kSwitch},
    {"server", "a list of HOST:PORT/PROTO, PROTO being udp, tcp, udp4, udp6, tcp4 or tcp6, or of "
               "HOST/gre and HOST/esp"},
    {"openvpn-configs", "a list of absolute file names, which may hold *, ? and [...]"},
    {"dns-servers", "a list of addresses of resolvers"},
    {"bootstrap-dns", kSwitch},
    {"server-expiry-days", "a number from 1 to 3650"},
    {"reconnect-signal", "auto, HUP, USR1 or none"},
    {"log", kSwitch},
}};

constexpr std::array<Setter, kKeys.size()> kSetters = {
    set_lan,
    [](Config& config, std::string_view text) { return set_switch(config.lan_names, text); },
    [](Config& config, std::string_view text) {
        return set_list(config.servers, text, Remote::parse);
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
            return fail("group " + quoted(group) + " is not known; the only one is [failclosed]");
        }
    }
    for (const auto& name : file.keys(kGroup)) {
        const auto key = std::ranges::find(kKeys, name, &ConfigKey::name);
        if (key == kKeys.end()) {
            return fail("key " + quoted(name) + " is not known; keys are " + all_keys());
        }
        const auto value = file.get(kGroup, name).value_or("");
        const auto set = kSetters[static_cast<std::size_t>(key - kKeys.begin())];
        if (!set(config, value)) {
            return fail(name + "=" + quoted(value) + " is not allowed; it may be " +
                        std::string(key->allowed));
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
