// SPDX-License-Identifier: GPL-3.0-or-later
// Child programs by posix_spawn(3).
#include "core/apply/programs/child.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "core/model/names.hpp"

namespace failclosed {
namespace {

/// Files in memory instead of pipes: neither the child nor the caller can block on the other.
struct Streams {
    UniqueFd input;
    UniqueFd output;
};

Result<Streams> make_streams(std::string_view input)
{
    Streams streams{UniqueFd(memfd_create("input", MFD_CLOEXEC)),
                    UniqueFd(memfd_create("output", MFD_CLOEXEC))};
    if (!streams.input.valid() || !streams.output.valid()) {
        return fail_errno("memfd_create");
    }
    if (pwrite(streams.input.get(), input.data(), input.size(), 0) !=
        static_cast<ssize_t>(input.size())) {
        return fail_errno("write to memory file");
    }
    return streams;
}

/// Descriptors and directory of the child.
class FileActions {
  public:
    explicit FileActions(const Streams& streams)
    {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_adddup2(&actions_, streams.input.get(), STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, streams.output.get(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, streams.output.get(), STDERR_FILENO);
        posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
        posix_spawn_file_actions_addchdir_np(&actions_, "/");
    }

    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;

    ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }

    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_{};
};

/// A process group of its own; all signals unblocked, with their default action.
class Attributes {
  public:
    Attributes()
    {
        posix_spawnattr_init(&attributes_);
        sigset_t signals;
        sigemptyset(&signals);
        posix_spawnattr_setsigmask(&attributes_, &signals);
        sigfillset(&signals);
        posix_spawnattr_setsigdefault(&attributes_, &signals);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                   POSIX_SPAWN_SETSIGDEF);
    }

    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;

    ~Attributes() { posix_spawnattr_destroy(&attributes_); }

    [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }

  private:
    posix_spawnattr_t attributes_{};
};

Result<pid_t> spawn(const std::vector<std::string>& argv, const Streams& streams)
{
    std::vector<char*> arguments;
    for (const std::string& argument : argv) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    std::array environment = {path.data(), static_cast<char*>(nullptr)};
    pid_t pid = 0;
    const int error = posix_spawn(&pid, arguments[0], FileActions(streams).get(),
                                  Attributes().get(), arguments.data(), environment.data());
    return error == 0 ? Result<pid_t>(pid) : fail_errno("start " + argv[0], error);
}

/// False if the process did not end in time.
bool wait_for_end(pid_t pid, std::chrono::milliseconds time_limit)
{
    // Not pidfd_open(3): glibc 2.36 declares it without C linkage.
    const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!process.valid()) {
        return false;
    }
    const auto deadline = std::chrono::steady_clock::now() + time_limit;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return false;
        }
        pollfd waiting{process.get(), POLLIN, 0};
        if (poll(&waiting, 1, static_cast<int>(left.count())) > 0) {
            return true;
        }
    }
}

/// The last line of output; empty if there is none that can be printed.
std::string last_line(int descriptor)
{
    std::array<char, 512> buffer;
    const off_t size = lseek(descriptor, 0, SEEK_END);
    const off_t start = std::max<off_t>(0, size - static_cast<off_t>(buffer.size()));
    const ssize_t got = pread(descriptor, buffer.data(), buffer.size(), start);
    std::string text(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    text.erase(0, text.rfind('\n') + 1);
    return has_control_characters(text) ? "" : text;
}

} // namespace

Status run_program(const std::vector<std::string>& argv, std::string_view input,
                   std::chrono::milliseconds time_limit)
{
    const Result<Streams> streams = make_streams(input);
    if (!streams) {
        return Failure(streams.error());
    }
    const Result<pid_t> pid = spawn(argv, *streams);
    if (!pid) {
        return Failure(pid.error());
    }
    const bool ended = wait_for_end(*pid, time_limit);
    if (!ended) {
        kill(-*pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!ended) {
        return fail_errno(argv[0], ETIMEDOUT);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return fail(argv[0] + " failed: " + last_line(streams->output.get()));
    }
    return {};
}

} // namespace failclosed
