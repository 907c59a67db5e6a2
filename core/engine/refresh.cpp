// SPDX-License-Identifier: GPL-3.0-or-later
// Deciding about the refresh helper.
#include "core/engine/refresh.hpp"

#include <algorithm>
#include <ctime>

#include "core/apply/process.hpp"
#include "core/base/file.hpp"

namespace failclosed {

namespace {

template <typename Predicate>
std::vector<HostName> names_where(const State& state, Predicate wanted)
{
    std::vector<HostName> names;
    for (const auto& server : state.servers) {
        if (server.remote.name() != nullptr && wanted(server)) {
            names.push_back(*server.remote.name());
        }
    }
    std::ranges::sort(names);
    const auto rest = std::ranges::unique(names);
    names.erase(rest.begin(), rest.end());
    return names;
}

bool is_recent(const std::string& stamp)
{
    const auto text = read_file(stamp, 32);
    const auto then = text ? parse_number(*text, 0, UINT32_MAX) : std::nullopt;
    const auto now = static_cast<std::uint64_t>(time(nullptr));
    return then && *then <= now && Seconds(now - *then) < kRefreshInterval;
}

} // namespace

std::vector<HostName> server_names(const State& state)
{
    return names_where(state, [](const Server&) { return true; });
}

std::vector<HostName> names_without_address(const State& state)
{
    return names_where(state, [](const Server& server) { return server.endpoints().empty(); });
}

bool needs_refresh(const State& state, const std::string& stamp)
{
    return !server_names(state).empty() &&
           (!names_without_address(state).empty() || !is_recent(stamp));
}

Status note_refresh(const std::string& stamp)
{
    return replace_file(stamp, std::to_string(time(nullptr)),
                        {.mode = 0600, .durability = Durability::Volatile});
}

Status start_refresh()
{
    return start_detached(FAILCLOSED_LIBEXECDIR "/refresh", {});
}

} // namespace failclosed
