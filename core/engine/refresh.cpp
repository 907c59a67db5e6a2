// SPDX-License-Identifier: GPL-3.0-or-later
// Deciding about the refresh helper.
#include "core/engine/refresh.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "core/apply/observe.hpp"
#include "core/apply/process.hpp"
#include "core/base/file.hpp"
#include "core/plan/underlay.hpp"

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

/// Bytes of the turn's file that helpers lock. These locks belong to the open file, and the kernel
/// frees them however a helper ends (fcntl(2), "Open file description locks").
constexpr off_t kWaiting = 0;
constexpr off_t kRunning = 1;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

std::string turn_path(const std::string& stamp)
{
    return stamp + ".turn";
}

struct flock one_byte(off_t byte, short type)
{
    struct flock range = {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = byte;
    range.l_len = 1;
    return range;
}

bool is_waited_for(const std::string& stamp)
{
    const UniqueFd file(open(turn_path(stamp).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    auto range = one_byte(kWaiting, F_RDLCK);
    return file.valid() && fcntl(file.get(), F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

std::int64_t nanoseconds_since_boot()
{
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

/// Waits until kRefreshSpacing after the time that the file says, and notes the new one.
Status space_out(const UniqueFd& file)
{
    constexpr std::int64_t kSpacing = kRefreshSpacing.count() * kNanosecondsPerSecond;
    std::array<char, 32> text{};
    const ssize_t size = pread(file.get(), text.data(), text.size(), 0);
    const std::string_view noted(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    const auto then = parse_number(noted, 0, INT64_MAX);
    const std::int64_t passed =
        then ? nanoseconds_since_boot() - static_cast<std::int64_t>(*then) : kSpacing;
    if (passed >= 0 && passed < kSpacing) {
        timespec rest = {(kSpacing - passed) / kNanosecondsPerSecond,
                         (kSpacing - passed) % kNanosecondsPerSecond};
        while (clock_nanosleep(CLOCK_BOOTTIME, 0, &rest, &rest) == EINTR) {
        }
    }
    const std::string now = std::to_string(nanoseconds_since_boot());
    if (pwrite(file.get(), now.data(), now.size(), 0) < 0 ||
        ftruncate(file.get(), static_cast<off_t>(now.size())) != 0) {
        return fail_errno("noting that servers are looked up");
    }
    return {};
}

/// Whether anything but tunnels leads out of this machine. A link-local route says nothing.
bool has_network(const State& state)
{
    const auto snapshot = observe();
    if (!snapshot) {
        return true; // the helper finds out
    }
    const auto leads_out = [&](const MainRoute& route) {
        const auto link = std::ranges::find(snapshot->links, route.device, &Link::index);
        return !route.destination.address().is_link_local() && link != snapshot->links.end() &&
               is_underlay(state, *link);
    };
    return std::ranges::any_of(snapshot->main_routes, leads_out);
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

Status refresh_after(const Event& event, const State& state, const std::string& stamp)
{
    if (state.armed == Armed::No) {
        return {};
    }
    const bool changed = std::holds_alternative<UnderlayChanged>(event) ||
                         std::holds_alternative<TunnelFound>(event);
    const bool wanted =
        std::holds_alternative<TunnelUp>(event)
            ? needs_refresh(state, stamp)
            : changed && !names_without_address(state).empty() && has_network(state);
    return wanted && !is_waited_for(stamp) ? start_refresh() : Status{};
}

Result<UniqueFd> take_refresh_turn(const std::string& stamp)
{
    const std::string path = turn_path(stamp);
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return fail_errno("opening " + path);
    }
    auto waiting = one_byte(kWaiting, F_WRLCK);
    if (fcntl(file.get(), F_OFD_SETLK, &waiting) != 0) {
        return errno == EAGAIN || errno == EACCES ? Result<UniqueFd>(UniqueFd{})
                                                  : Result<UniqueFd>(fail_errno("locking " + path));
    }
    auto running = one_byte(kRunning, F_WRLCK);
    while (fcntl(file.get(), F_OFD_SETLKW, &running) != 0) {
        if (errno != EINTR) {
            return fail_errno("locking " + path);
        }
    }
    if (auto spaced = space_out(file); !spaced) {
        return Failure(spaced.error());
    }
    waiting.l_type = F_UNLCK;
    if (fcntl(file.get(), F_OFD_SETLK, &waiting) != 0) {
        return fail_errno("unlocking " + path);
    }
    return file;
}

} // namespace failclosed
