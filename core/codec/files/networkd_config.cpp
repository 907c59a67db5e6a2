// SPDX-License-Identifier: GPL-3.0-or-later
// Parses networkd.conf(5) as systemd does.
#include "core/codec/files/networkd_config.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace failclosed {

namespace {

constexpr std::string_view kSpace = " \t\n\r";

std::string_view trim(std::string_view text)
{
    const auto begin = text.find_first_not_of(kSpace);
    return begin == std::string_view::npos
               ? std::string_view{}
               : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<bool> parse_boolean(std::string_view text)
{
    std::string word(text);
    // ASCII only: the file's meaning does not depend on the locale.
    std::ranges::transform(word, word.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    static constexpr std::array kYes = {"1", "yes", "y", "true", "t", "on"};
    static constexpr std::array kNo = {"0", "no", "n", "false", "f", "off"};
    if (std::ranges::find(kYes, word) != kYes.end()) {
        return true;
    }
    return std::ranges::find(kNo, word) != kNo.end() ? std::optional(false) : std::nullopt;
}

/// Whether a line continues on the next one: it ends in a backslash that is not itself escaped.
bool is_continued(std::string_view line)
{
    const auto last = line.find_last_not_of('\\');
    const auto count = line.size() - (last == std::string_view::npos ? 0 : last + 1);
    return count % 2 == 1;
}

/// Removes the next line from `text`. systemd also ends lines at NUL and carriage return.
std::string_view take_line(std::string_view& text)
{
    const auto end = text.find_first_of(std::string_view("\n\r\0", 3));
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

/// Removes the next line and its continuations from `text`; returns them without comments. A line
/// that is only a comment does not end a continuation.
std::string take_logical_line(std::string_view& text)
{
    std::string line;
    while (!text.empty()) {
        const auto part = take_line(text);
        const auto begin = part.find_first_not_of(kSpace);
        if (begin != std::string_view::npos && (part[begin] == '#' || part[begin] == ';')) {
            continue;
        }
        if (!is_continued(part)) {
            line += part;
            break;
        }
        line += part.substr(0, part.size() - 1);
        line += ' ';
    }
    return line;
}

NetworkdSetting* setting_of(NetworkdConfig& config, std::string_view key)
{
    if (key == "ManageForeignRoutingPolicyRules") {
        return &config.rules;
    }
    if (key == "ManageForeignRoutes") {
        return &config.routes;
    }
    return key == "ManageForeignNextHops" ? &config.next_hops : nullptr;
}

/// Whether the file was read to its end.
bool read_into(NetworkdConfig& config, const NetworkdFile& file)
{
    std::string_view rest = file.text;
    if (rest.starts_with("\xef\xbb\xbf")) {
        rest.remove_prefix(3);
    }
    bool is_ours = false;
    while (!rest.empty()) {
        const std::string logical = take_logical_line(rest);
        const auto line = trim(logical);
        if (line.starts_with('[')) {
            if (!line.ends_with(']')) {
                return false;
            }
            is_ours = line == "[Network]";
            continue;
        }
        const auto equals = line.find('=');
        if (!is_ours || equals == std::string_view::npos) {
            continue;
        }
        NetworkdSetting* setting = setting_of(config, trim(line.substr(0, equals)));
        const auto value = parse_boolean(trim(line.substr(equals + 1)));
        if (setting != nullptr && value) {
            *setting = {*value, file.path};
        }
    }
    return true;
}

} // namespace

NetworkdConfig parse_networkd_config(const std::vector<NetworkdFile>& files)
{
    NetworkdConfig config;
    for (const auto& file : files) {
        if (!read_into(config, file)) {
            config.stopped_at = file.path;
            break;
        }
    }
    return config;
}

std::vector<std::string> effective_drop_ins(const std::vector<std::string>& paths)
{
    std::map<std::string_view, const std::string*> by_name;
    for (const auto& path : paths) {
        const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
        if (name.ends_with(".conf") && !name.starts_with('.')) {
            by_name.emplace(name, &path);
        }
    }
    std::vector<std::string> files;
    files.reserve(by_name.size());
    for (const auto& [name, path] : by_name) {
        files.push_back(*path);
    }
    return files;
}

} // namespace failclosed
