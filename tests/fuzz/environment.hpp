// SPDX-License-Identifier: GPL-3.0-or-later
// Environments of any bytes: entries end with NUL, or with line breaks where there is no NUL, so
// that recorded environments are seeds.
#pragma once

#include <string>
#include <vector>

#include "core/codec/files/state_file.hpp"
#include "core/codec/tunnel_parts.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/event.hpp"
#include "core/model/names.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace failclosed::fuzz {

inline std::vector<std::string> split(std::string_view text)
{
    const char separator = text.find('\0') == std::string_view::npos ? '\n' : '\0';
    std::vector<std::string> entries;
    while (!text.empty()) {
        const auto end = text.find(separator);
        entries.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return entries;
}

inline std::vector<const char*> to_pointers(const std::vector<std::string>& entries)
{
    std::vector<const char*> pointers;
    for (const auto& entry : entries) {
        pointers.push_back(entry.c_str());
    }
    return pointers;
}

inline void check(const TunnelUp& event)
{
    require(!event.tunnel.addresses.empty());
    require(event.tunnel.networks.size() <= kMaxRoutes);
    require(event.tunnel.resolvers.size() <= kMaxResolvers);
    require(event.tunnel.search_domains.size() <= kMaxSearchDomains);
    const auto running = read_running(write_running({.tunnels = {event.tunnel}}));
    require(running && running->tunnels.at(0) == event.tunnel);
    const auto servers = read_servers(write_servers(event.servers));
    require(servers && *servers == event.servers);
}

/// No environment opens or locks.
inline void check(const std::optional<Event>& event, const Warnings& warnings)
{
    require(warnings.size() <= kMaxWarnings + 1);
    for (const auto& line : warnings) {
        require(!has_control_characters(line));
    }
    if (!event) {
        return;
    }
    require(!std::holds_alternative<UnlockRequested>(*event));
    require(!std::holds_alternative<LockRequested>(*event));
    if (const auto* up = std::get_if<TunnelUp>(&*event)) {
        check(*up);
    }
}

} // namespace failclosed::fuzz
