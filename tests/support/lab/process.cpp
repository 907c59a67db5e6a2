// SPDX-License-Identifier: GPL-3.0-or-later
// Programs run in a machine of the lab: started, watched, signalled, and never left behind.
#include "tests/support/lab/process.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <regex>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "tests/support/lab/box.hpp"
#include "tests/support/lab/pidfd.hpp"

namespace failclosed::lab {

namespace {

std::size_t count_in(std::string_view haystack, std::string_view needle)
{
    std::size_t found = 0;
    for (auto at = haystack.find(needle); at != std::string_view::npos;
         at = haystack.find(needle, at + needle.size())) {
        ++found;
    }
    return found;
}

std::vector<char*> c_strings(const std::vector<std::string>& words)
{
    std::vector<char*> result;
    for (const auto& word : words) {
        result.push_back(const_cast<char*>(word.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

bool become(uid_t uid)
{
    return uid == 0 || (setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 &&
                        setresuid(uid, uid, uid) == 0);
}

/// The parent of the test may ignore or block some, as nohup(1) does.
void have_all_signals()
{
    for (int number = 1; number < NSIG; ++number) {
        std::signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

int input_of(const std::string& text)
{
    if (text.empty()) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    const int file = memfd_create("stdin", MFD_CLOEXEC);
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t count = write(file, text.data() + done, text.size() - done);
        if (count <= 0) {
            break;
        }
        done += static_cast<std::size_t>(count);
    }
    lseek(file, 0, SEEK_SET);
    return file;
}

/// All processes of the session that this process began.
std::vector<UniqueFd> session_of(pid_t leader)
{
    std::vector<UniqueFd> members;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0) {
            continue;
        }
        // Opened before it is asked for, so that it is still the same one.
        UniqueFd process(pidfd_open(pid, 0));
        if (process.valid() && getsid(pid) == leader) {
            members.push_back(std::move(process));
        }
    }
    return members;
}

template <typename Change> Command changed(Command command, Change&& change)
{
    change(command);
    return command;
}

} // namespace

Command Command::as(uid_t user) const
{
    return changed(*this, [&](Command& it) { it.uid = user; });
}

Command Command::with_input(std::string text) const
{
    return changed(*this, [&](Command& it) { it.input = std::move(text); });
}

Command Command::with_env(std::vector<std::string> variables) const
{
    return changed(*this, [&](Command& it) {
        it.env.insert(it.env.end(), variables.begin(), variables.end());
    });
}

Command Command::with_descriptor(int descriptor) const
{
    return changed(*this, [&](Command& it) { it.descriptors.push_back(descriptor); });
}

// A thread collects the output and reaps the process at once: a box cannot end before all of its
// processes are reaped.
struct Process::Watch {
    pid_t pid = -1;
    int pidfd = -1;
    int wake = -1;
    std::array<int, 2> pipes{-1, -1};

    // Held from the pipes to the text, so that nothing gets out of order.
    std::mutex reading;
    // What was read and is not told yet, each piece with its stream. Of somebody who writes all the
    // time it is told when there are so many.
    std::vector<std::pair<std::size_t, std::string>> unread;
    static constexpr std::size_t most_unread = 256;
    std::array<std::atomic<bool>, 2> ended{};

    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    std::array<std::string, 2> streams;
    std::string output;
    std::optional<int> status;
    bool closed = false; // nothing more will come

    std::thread thread;

    Watch(const Box& box, int input, const std::function<void()>& body)
    {
        std::array<std::array<int, 2>, 2> ends{};
        for (auto& pair : ends) {
            if (pipe2(pair.data(), O_CLOEXEC) != 0) {
                throw LabError(std::string("pipe: ") + std::strerror(errno));
            }
        }
        pid = box.spawn([&] {
            setsid();
            dup2(input, 0);
            dup2(ends[0][1], 1);
            dup2(ends[1][1], 2);
            umask(022);
            have_all_signals();
            body();
        });
        close(input);
        for (std::size_t i : {0U, 1U}) {
            close(ends[i][1]);
            pipes[i] = ends[i][0];
            fcntl(pipes[i], F_SETFL, O_NONBLOCK);
        }
        pidfd = pidfd_open(pid, 0);
        wake = eventfd(0, EFD_CLOEXEC);
        thread = std::thread([this] { watch(); });
    }

    ~Watch()
    {
        pidfd_send_signal(pidfd, SIGKILL, nullptr, 0);
        eventfd_write(wake, 1);
        thread.join();
        for (int fd : {pidfd, wake, pipes[0], pipes[1]}) {
            close(fd);
        }
    }

    void read_from(std::size_t stream)
    {
        std::array<char, 16384> buffer;
        while (!ended[stream] && unread.size() < most_unread) {
            const ssize_t count = read(pipes[stream], buffer.data(), buffer.size());
            if (count > 0) {
                unread.emplace_back(stream,
                                    std::string(buffer.data(), static_cast<std::size_t>(count)));
            } else if (count < 0 && errno == EAGAIN) {
                return;
            } else if (count == 0 || errno != EINTR) {
                ended[stream] = true;
            }
        }
    }

    // Reads both pipes until both are empty before it reports: a caller that sees a text also sees
    // all earlier output, on the other pipe too, of any process. Callers that
    // read the text call this too, so they do not wait until the thread runs. False if there may be
    // more to read.
    bool drain()
    {
        const std::lock_guard order(reading);
        std::size_t before = 0;
        do {
            before = unread.size();
            read_from(0);
            read_from(1);
        } while (unread.size() > before);
        const bool all = unread.size() < most_unread;
        const std::lock_guard lock(mutex);
        for (const auto& [stream, text] : unread) {
            streams[stream] += text;
            output += text;
        }
        unread.clear();
        changed.notify_all();
        return all;
    }

    void reap()
    {
        siginfo_t info{};
        waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
        const std::lock_guard lock(mutex);
        status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        changed.notify_all();
    }

    void watch()
    {
        std::array<pollfd, 4> fds{pollfd{pipes[0], POLLIN, 0}, pollfd{pipes[1], POLLIN, 0},
                                  pollfd{pidfd, POLLIN, 0}, pollfd{wake, POLLIN, 0}};
        bool leaving = false;
        while (fds[2].fd >= 0 || (!leaving && (fds[0].fd >= 0 || fds[1].fd >= 0))) {
            if (poll(fds.data(), fds.size(), -1) < 0) {
                continue;
            }
            // Also at the process's end, so that its status never comes before its last words.
            const bool look = fds[0].revents != 0 || fds[1].revents != 0 || fds[2].revents != 0;
            if (look && !drain()) {
                continue;
            }
            for (std::size_t i : {0U, 1U}) {
                if (ended[i]) {
                    fds[i].fd = -1;
                }
            }
            if (fds[2].fd >= 0 && fds[2].revents != 0) {
                reap();
                fds[2].fd = -1;
            }
            if (fds[3].fd >= 0 && fds[3].revents != 0) {
                leaving = true;
                fds[3].fd = -1;
            }
        }
        const std::lock_guard lock(mutex);
        closed = true;
        changed.notify_all();
    }
};

Process::Process(const Box& box, const Command& command)
{
    const auto argv = c_strings(command.argv);
    const auto env = c_strings(command.env);
    // Closed by exec: when the read ends, the program runs, and is no copy of the test any more.
    std::array<int, 2> started{};
    if (pipe2(started.data(), O_CLOEXEC) != 0) {
        throw LabError(std::string("pipe: ") + std::strerror(errno));
    }
    watch_ = std::make_unique<Watch>(box, input_of(command.input), [&] {
        for (int fd : command.descriptors) {
            fcntl(fd, F_SETFD, 0);
        }
        environ = const_cast<char**>(env.data());
        if (become(command.uid)) {
            execvp(argv[0], argv.data());
        }
        dprintf(2, "%s: %s\n", argv[0], std::strerror(errno));
        _exit(127);
    });
    close(started[1]);
    char none = 0;
    (void)!read(started[0], &none, 1);
    close(started[0]);
}

Process::Process(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}

Process Process::fork(const Box& box, std::function<int()> work, uid_t uid)
{
    return Process(std::make_unique<Watch>(box, input_of(""), [&] {
        close_range(3, ~0U, 0);
        _exit(become(uid) ? work() : 126);
    }));
}

Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() = default;

pid_t Process::pid() const
{
    return watch_->pid;
}

pid_t Process::inner_pid() const
{
    std::ifstream status("/proc/" + std::to_string(pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("NSpid:", 0) == 0) {
            return static_cast<pid_t>(std::stoi(line.substr(line.find_last_of(" \t"))));
        }
    }
    return 0;
}

bool Process::running() const
{
    const std::lock_guard lock(watch_->mutex);
    return !watch_->status;
}

void Process::signal(int number) const
{
    pidfd_send_signal(watch_->pidfd, number, nullptr, 0);
}

bool Process::handles(int number) const
{
    constexpr std::string_view handled = "SigCgt:";
    std::ifstream status("/proc/" + std::to_string(pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(handled)) {
            return (std::stoull(line.substr(handled.size()), nullptr, 16) >> (number - 1) & 1) != 0;
        }
    }
    return false;
}

std::string Process::out() const
{
    watch_->drain();
    const std::lock_guard lock(watch_->mutex);
    return watch_->streams[0];
}

std::string Process::err() const
{
    watch_->drain();
    const std::lock_guard lock(watch_->mutex);
    return watch_->streams[1];
}

std::string Process::output() const
{
    watch_->drain();
    const std::lock_guard lock(watch_->mutex);
    return watch_->output;
}

std::optional<int> Process::wait(std::chrono::milliseconds timeout) const
{
    std::unique_lock lock(watch_->mutex);
    watch_->changed.wait_for(lock, timeout, [&] { return watch_->status.has_value(); });
    return watch_->status;
}

bool Process::wait_all_ended(std::chrono::milliseconds timeout) const
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    if (!wait(timeout)) {
        return false;
    }
    return std::ranges::all_of(session_of(pid()), [&](const UniqueFd& member) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd ended{member.get(), POLLIN, 0};
        return poll(&ended, 1, std::max(0, static_cast<int>(left.count()))) == 1;
    });
}

bool Process::wait_until(const std::function<bool(const std::string&)>& met,
                         std::chrono::milliseconds timeout) const
{
    std::unique_lock lock(watch_->mutex);
    bool result = false;
    watch_->changed.wait_for(lock, timeout, [&] {
        result = met(watch_->output);
        return result || watch_->closed;
    });
    return result;
}

bool Process::wait_for(std::string_view text, std::size_t times,
                       std::chrono::milliseconds timeout) const
{
    return wait_until([&](const std::string& output) { return count_in(output, text) >= times; },
                      timeout);
}

bool Process::wait_for_match(const std::string& pattern, std::chrono::milliseconds timeout) const
{
    const std::regex expression(pattern);
    std::size_t checked = 0;
    return wait_until(
        [&](const std::string& output) {
            for (auto end = output.find('\n', checked); end != std::string::npos;
                 end = output.find('\n', checked)) {
                const std::string line = output.substr(checked, end - checked);
                if (std::regex_search(line, expression)) {
                    return true;
                }
                checked = end + 1;
            }
            return std::regex_search(output.substr(checked), expression);
        },
        timeout);
}

std::size_t Process::count(std::string_view text) const
{
    watch_->drain();
    const std::lock_guard lock(watch_->mutex);
    return count_in(watch_->output, text);
}

void Process::kill() const
{
    signal(SIGKILL);
    std::unique_lock lock(watch_->mutex);
    watch_->changed.wait(lock, [&] { return watch_->status.has_value(); });
}

} // namespace failclosed::lab
