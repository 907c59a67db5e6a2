// SPDX-License-Identifier: GPL-3.0-or-later
// Waiting for the lock of a run, and for its release by another one.
#include "core/apply/storage/run_lock.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

namespace failclosed {

namespace {

/// Interrupts system calls after a time, then every second, so that a call that starts at the first
/// signal is interrupted too.
class Alarm {
  public:
    explicit Alarm(Seconds time) : end_(std::chrono::steady_clock::now() + time)
    {
        struct sigaction interrupt{};
        interrupt.sa_handler = [](int) {};
        sigaction(SIGALRM, &interrupt, &before_);
        const itimerval timer{{1, 0}, {time.count(), 0}};
        setitimer(ITIMER_REAL, &timer, nullptr);
    }

    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    ~Alarm()
    {
        const itimerval none{};
        setitimer(ITIMER_REAL, &none, nullptr);
        sigaction(SIGALRM, &before_, nullptr);
    }

    [[nodiscard]] bool is_over() const { return std::chrono::steady_clock::now() >= end_; }

  private:
    std::chrono::steady_clock::time_point end_;
    struct sigaction before_{};
};

} // namespace

Status RunLock::take(const std::string& directory, Seconds wait)
{
    if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno("making " + directory);
    }
    path_ = directory + "/lock";
    UniqueFd file(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return fail_errno("opening " + path_);
    }
    const Alarm limit(wait);
    while (flock(file.get(), LOCK_EX) != 0) {
        if (errno != EINTR) {
            return fail_errno("locking " + path_);
        }
        if (limit.is_over()) {
            return fail("locking " + path_ + ": another run has held it for " +
                        std::to_string(wait.count()) + " s: end that one (fuser -v " + path_ +
                        " tells which)");
        }
    }
    file_ = std::move(file);
    return {};
}

void RunLock::wait_for_another_run(std::chrono::milliseconds time)
{
    const UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    // A run opens the file for writing, and closes it when it ends (inotify(7)).
    const bool watched =
        events.valid() && inotify_add_watch(events.get(), path_.c_str(), IN_CLOSE_WRITE) >= 0;
    release();
    alignas(inotify_event) std::array<char, 4096> buffer;
    while (watched && read(events.get(), buffer.data(), buffer.size()) > 0) {
        // This event was caused by our own close().
    }
    pollfd polled{events.get(), POLLIN, 0};
    poll(&polled, watched ? 1 : 0, static_cast<int>(time.count()));
}

} // namespace failclosed
