// SPDX-License-Identifier: GPL-3.0-or-later
// Network namespaces made and entered by one test, and programs run in the current one.
#pragma once

#include <array>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/owned.hpp"

namespace failclosed::test {

/// How a program ended, and what it wrote to stdout and stderr.
struct Outcome {
    int status = -1;
    std::string output;
};

/// Runs a program found in PATH to its end, with `input` (less than a pipe holds, or a program
/// that writes nothing before it has read all) as its stdin.
inline Outcome run(const std::vector<std::string>& argv, const std::string& input = {})
{
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("pipe2");
    }
    UniqueFd write_end(in[1]);
    UniqueFd read_end(out[0]);
    UniqueFd child_in(in[0]);
    UniqueFd child_out(out[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_in.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, child_out.get(), 2);
    std::vector<char*> arguments;
    for (const auto& argument : argv) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, arguments.front(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        throw std::runtime_error("cannot run " + argv.front());
    }
    child_in.reset();
    child_out.reset();
    for (std::size_t done = 0; done < input.size();) {
        const auto size = write(write_end.get(), input.data() + done, input.size() - done);
        if (size < 0) {
            break;
        }
        done += static_cast<std::size_t>(size);
    }
    write_end.reset();
    Outcome outcome;
    std::array<char, 65536> piece{};
    for (ssize_t size = 0; (size = read(read_end.get(), piece.data(), piece.size())) > 0;) {
        outcome.output.append(piece.data(), static_cast<std::size_t>(size));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return outcome;
}

/// As run(), and throws where the status is not 0. Returns the output.
inline std::string must(const std::vector<std::string>& argv, const std::string& input = {})
{
    auto outcome = run(argv, input);
    if (outcome.status != 0) {
        throw std::runtime_error(argv.front() + ": " + outcome.output);
    }
    return outcome.output;
}

/// Commands of ip(8), one a line, without "ip"; "-6" in front makes one of IPv6.
inline void ip(const std::string& lines)
{
    std::istringstream stream(lines);
    std::string batch;
    bool v6 = false;
    const auto flush = [&] {
        must(v6 ? std::vector<std::string>{"ip", "-6", "-batch", "-"}
                : std::vector<std::string>{"ip", "-batch", "-"},
             batch);
        batch.clear();
    };
    for (std::string line; std::getline(stream, line);) {
        if (line.starts_with("-6 ") != v6) {
            flush();
            v6 = !v6;
        }
        batch += line.substr(v6 ? 3 : 0) + "\n";
    }
    flush();
}

/// Puts this thread back into the network namespace that it was in, for the tests after this one.
class ReturnToNetwork {
  public:
    ReturnToNetwork() : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {}

    ReturnToNetwork(const ReturnToNetwork&) = delete;
    ReturnToNetwork& operator=(const ReturnToNetwork&) = delete;

    ~ReturnToNetwork() { (void)setns(before_.get(), CLONE_NEWNET); }

  private:
    UniqueFd before_;
};

/// A network namespace that lives as long as the object, or a socket made in it.
class NetworkNamespace {
  public:
    /// A fresh one, which this thread is in from now on; `lo` is up.
    static NetworkNamespace make()
    {
        if (unshare(CLONE_NEWNET) != 0) {
            throw std::runtime_error("unshare");
        }
        ip("link set lo up\n");
        return NetworkNamespace(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }

    /// This thread, and programs that it runs, are in it from now on.
    void enter() const
    {
        if (setns(fd_.get(), CLONE_NEWNET) != 0) {
            throw std::runtime_error("setns");
        }
    }

    /// The name by which `ip link ... netns` finds it.
    [[nodiscard]] std::string path() const
    {
        return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_.get());
    }

  private:
    explicit NetworkNamespace(int fd) : fd_(fd) {}

    UniqueFd fd_;
};

} // namespace failclosed::test
