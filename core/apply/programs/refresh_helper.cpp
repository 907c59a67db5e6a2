// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper's process.
#include "core/apply/programs/refresh_helper.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/apply/programs/process.hpp"
#include "core/base/file.hpp"

namespace failclosed {

namespace {

std::string turn_path(const std::string& stamp)
{
    return stamp + ".turn";
}

/// The running helper locks this part of the turn file. The lock belongs to the open file, and the
/// kernel releases it at every end of the helper (fcntl(2), "Open file description locks").
struct flock turn_lock(short type)
{
    struct flock range = {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = 0;
    range.l_len = 1;
    return range;
}

bool is_running(const UniqueFd& turn)
{
    auto range = turn_lock(F_RDLCK);
    return fcntl(turn.get(), F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

UniqueFd open_turn(const std::string& stamp)
{
    return UniqueFd(open(turn_path(stamp).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

} // namespace

bool is_refreshed(const std::string& stamp)
{
    const auto text = read_file(stamp, 32);
    const auto then = text ? parse_number(*text, 0, UINT32_MAX) : std::nullopt;
    const auto now = static_cast<std::uint64_t>(time(nullptr));
    return then && *then <= now && Seconds(now - *then) < kRefreshInterval;
}

bool is_refresh_running(const std::string& stamp)
{
    const UniqueFd turn = open_turn(stamp);
    return turn.valid() && is_running(turn);
}

// The order matters: an ending helper releases the turn before it checks for the last time whether
// it was woken.
bool wake_refresh(const std::string& stamp)
{
    const UniqueFd turn = open_turn(stamp);
    return turn.valid() && futimens(turn.get(), nullptr) == 0 && is_running(turn);
}

Status note_refresh(const std::string& stamp)
{
    return replace_file(stamp, std::to_string(time(nullptr)),
                        {.mode = 0600, .durability = Durability::Volatile});
}

Status forget_refresh(const std::string& stamp)
{
    return unlink(stamp.c_str()) == 0 || errno == ENOENT ? Status{} : fail_errno("remove " + stamp);
}

Status spawn_refresh(const std::vector<std::string>& arguments)
{
    return start_detached(FAILCLOSED_LIBEXECDIR "/refresh", arguments);
}

Status start_refresh(const std::string& stamp)
{
    return wake_refresh(stamp) ? Status{} : spawn_refresh();
}

Result<UniqueFd> take_refresh_turn(const std::string& stamp)
{
    const std::string path = turn_path(stamp);
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return fail_errno("opening " + path);
    }
    for (;;) {
        auto range = turn_lock(F_WRLCK);
        if (fcntl(file.get(), F_OFD_SETLK, &range) == 0) {
            return file;
        }
        if (errno != EAGAIN && errno != EACCES) {
            return fail_errno("locking " + path);
        }
        // The other helper may have ended in between.
        if (wake_refresh(stamp)) {
            return UniqueFd{};
        }
    }
}

Result<Wakeups> Wakeups::open(const std::string& stamp, const std::vector<std::string>& folders,
                              const std::string& program)
{
    Wakeups wakeups;
    wakeups.events_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    wakeups.timer_.reset(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!wakeups.events_.valid() || !wakeups.timer_.valid()) {
        return fail_errno("preparing to sleep");
    }
    const int events = wakeups.events_.get();
    wakeups.turn_ = inotify_add_watch(events, turn_path(stamp).c_str(), IN_ATTRIB);
    wakeups.program_ =
        inotify_add_watch(events, program.c_str(), IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
    if (wakeups.turn_ < 0 || wakeups.program_ < 0) {
        return fail_errno("watching for changes");
    }
    for (const auto& folder : folders) {
        if (inotify_add_watch(events, folder.c_str(), IN_MOVED_TO | IN_DELETE | IN_ONLYDIR) < 0) {
            return fail_errno("watching " + folder);
        }
    }
    return wakeups;
}

void Wakeups::read_events()
{
    alignas(inotify_event) std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t size = read(events_.get(), buffer.data(), buffer.size());
        if (size <= 0) {
            return;
        }
        for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof event);
            // After an overflow any event may be missing.
            const bool overflow = (event.mask & IN_Q_OVERFLOW) != 0;
            wanted_ = wanted_ || overflow || event.wd == turn_;
            replaced_ = replaced_ || event.wd == program_;
            const std::string_view name =
                event.len > 0 ? buffer.data() + at + sizeof event : std::string_view{};
            changed_ = changed_ || overflow || name == "state" || name == "armed";
            at += sizeof event + event.len;
        }
    }
}

Result<Wakeups::Reason> Wakeups::sleep(Seconds time)
{
    itimerspec until{};
    until.it_value.tv_sec = time.count();
    until.it_value.tv_nsec = time.count() > 0 ? 0 : 1; // 0 would disarm the timer
    if (timerfd_settime(timer_.get(), 0, &until, nullptr) != 0) {
        return fail_errno("setting a timer");
    }
    for (;;) {
        read_events();
        for (const auto& [flag, reason] :
             {std::pair(&replaced_, Reason::Replaced), std::pair(&wanted_, Reason::Wanted),
              std::pair(&changed_, Reason::Change)}) {
            if (std::exchange(*flag, false)) {
                return reason;
            }
        }
        std::uint64_t expired = 0;
        if (read(timer_.get(), &expired, sizeof expired) > 0) {
            return Reason::Time;
        }
        std::array<pollfd, 2> waiting = {{{events_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}}};
        if (poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
            return fail_errno("sleeping");
        }
    }
}

void Wakeups::rest(Seconds time)
{
    timespec rest = {time.count(), 0};
    while (clock_nanosleep(CLOCK_BOOTTIME, 0, &rest, &rest) == EINTR) {
    }
    read_events();
    wanted_ = false;
}

bool Wakeups::is_wanted()
{
    read_events();
    return wanted_;
}

} // namespace failclosed
