// SPDX-License-Identifier: GPL-3.0-or-later
// Parsing and rendering resolv.conf(5).
#include "core/codec/files/resolv_conf.hpp"

#include <optional>

namespace failclosed {
namespace {

/// Shorter than any resolv.conf that names a server: our file is still recognised while it is
/// overwritten in place and already truncated to its new size.
constexpr std::string_view kMark = "# failclosed\n";
constexpr std::string_view kNote =
    "# Made while a tunnel is up; changes are lost. See failclosed(8).\n";

/// Removes the text up to the next byte of `ends`, and that byte, from `text`.
std::string_view take_until(std::string_view& text, std::string_view ends)
{
    const std::size_t end = text.find_first_of(ends);
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return taken;
}

/// Removes the next word from `line` and returns it; empty at the end of the line.
std::string_view take_word(std::string_view& line)
{
    std::string_view word;
    while (word.empty() && !line.empty()) {
        word = take_until(line, " \t\r");
    }
    return word;
}

std::vector<HostName> parse_domains(std::string_view line)
{
    std::vector<HostName> domains;
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
        if (const std::optional<HostName> domain = HostName::parse(word)) {
            domains.push_back(*domain);
        }
    }
    return domains;
}

} // namespace

ResolvConf parse_resolv_conf(std::string_view text)
{
    ResolvConf conf;
    while (!text.empty()) {
        std::string_view line = take_until(text, "\n");
        const std::string_view keyword = take_word(line);
        if (keyword == "nameserver") {
            if (const std::optional<IpAddress> server = IpAddress::parse(take_word(line))) {
                conf.servers.push_back(*server);
            }
        } else if (keyword == "search" || keyword == "domain") {
            conf.search_domains = parse_domains(line);
        }
    }
    return conf;
}

std::string render_resolver_lines(const ResolvConf& conf)
{
    std::string text;
    for (const IpAddress& server : conf.servers) {
        text += "nameserver " + server.to_string() + "\n";
    }
    if (!conf.search_domains.empty()) {
        text += "search";
        for (const HostName& domain : conf.search_domains) {
            text += " " + domain.text();
        }
        text += "\n";
    }
    return text;
}

std::string render_resolv_conf(const ResolvConf& conf)
{
    return std::string(kMark).append(kNote) + render_resolver_lines(conf);
}

bool is_our_resolv_conf(std::string_view text)
{
    return text.starts_with(kMark);
}

} // namespace failclosed
