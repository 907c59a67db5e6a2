// SPDX-License-Identifier: GPL-3.0-or-later
// Marked lines in a hosts file.
#include "core/codec/files/hosts_file.hpp"

namespace failclosed {
namespace {

/// The end of each of our lines; text after '#' is a comment (hosts(5)).
constexpr std::string_view kMark = " # by failclosed\n";
constexpr std::string_view kHeading = "# Addresses of VPN servers, so that tunnels need no DNS";
/// Marks a file that is removed together with its last line.
constexpr std::string_view kNewFile = "# There was no hosts file before";

void append_line(std::string& text, std::string_view line)
{
    text.append(line).append(kMark);
}

} // namespace

std::optional<std::string> put_hosts_entries(const std::optional<std::string>& contents,
                                             const HostsPlan& plan)
{
    const std::optional<std::string> foreign = remove_hosts_entries(contents);
    if (plan.entries.empty()) {
        return foreign;
    }
    std::string text;
    append_line(text, kHeading);
    if (!foreign) {
        append_line(text, kNewFile);
    }
    for (const HostsEntry& entry : plan.entries) {
        append_line(text, entry.address.to_string() + " " + entry.name.text());
    }
    return text + foreign.value_or("");
}

std::optional<std::string> remove_hosts_entries(const std::optional<std::string>& contents)
{
    if (!contents) {
        return std::nullopt;
    }
    bool was_missing = false;
    std::string foreign;
    for (std::string_view rest = *contents; !rest.empty();) {
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end == rest.npos ? end : end + 1);
        rest.remove_prefix(line.size());
        if (!line.ends_with(kMark)) {
            foreign += line;
        } else if (line.starts_with(kNewFile)) {
            was_missing = true;
        }
    }
    return was_missing && foreign.empty() ? std::nullopt : std::optional(foreign);
}

} // namespace failclosed
