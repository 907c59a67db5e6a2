// SPDX-License-Identifier: GPL-3.0-or-later
// Programs run in a machine of the lab: started, watched, signalled, and never left behind.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace failclosed::lab {

class Box;

/// A broken lab: nothing that a test could assert about. GoogleTest reports it as a failure.
class LabError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// How long a test waits for a required event. A timeout fails the test, so it is long: a machine
/// may have other things to do, and a lost packet is sent again after seconds.
inline constexpr std::chrono::milliseconds patience{30'000};

/// What to run: {"ip", "link"}, or Command{"cat"}.with_input("text").as(65534). The environment is
/// exactly `env`, and every signal has its usual effect: nothing is inherited from the test. The
/// working directory is /.
struct Command {
    std::vector<std::string> argv;
    std::vector<std::string> env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
    uid_t uid = 0;          ///< also the gid; other than 0: no capabilities and no further groups
    std::string input = {}; ///< what stdin holds; empty: at its end at once
    std::vector<int> descriptors = {}; ///< passed on under the same numbers

    Command(std::initializer_list<std::string> words) : argv(words) {}

    Command(std::vector<std::string> words) : argv(std::move(words)) {}

    Command as(uid_t user) const;
    Command with_input(std::string text) const;
    Command with_env(std::vector<std::string> variables) const; ///< added to `env`
    Command with_descriptor(int descriptor) const;
};

/// How a program ended: `status` is its exit status, or 128 plus the signal that ended it.
struct Outcome {
    int status = -1;
    std::string out;
    std::string err;

    bool ok() const { return status == 0; }
};

/// A running program. Its output is collected in memory while it runs; the destructor kills it.
class Process {
  public:
    /// Starts `command` in `box`. Throws LabError where no process could be made; a program that
    /// cannot be executed ends with status 127.
    Process(const Box& box, const Command& command);
    /// Runs `work` in a forked child in `box` as `uid`; its result is the exit status. The child
    /// holds only the descriptors 0, 1 and 2 and must neither throw nor return into test code.
    static Process fork(const Box& box, std::function<int()> work, uid_t uid = 0);

    Process(Process&&) noexcept;
    Process& operator=(Process&&) noexcept;
    ~Process();

    pid_t pid() const;       ///< as the test sees it
    pid_t inner_pid() const; ///< as the box sees it; 0 once it has been reaped
    bool running() const;
    void signal(int number) const; ///< no effect on one that has ended
    /// Whether it has a handler for the signal.
    bool handles(int number) const;

    /// All that it has written before the call.
    std::string out() const;
    std::string err() const;
    std::string output() const; ///< stdout and stderr as they came in

    /// Waits for the end; nullopt if it still runs after `timeout`. The status is as in Outcome.
    std::optional<int> wait(std::chrono::milliseconds timeout = patience) const;
    /// Waits for its end, and then for that of all its children that stayed in its
    /// session.
    bool wait_all_ended(std::chrono::milliseconds timeout = patience) const;
    /// Waits until the output holds `text` at least `times` times. False where the time was over,
    /// or the program ended and closed its output, before that.
    bool wait_for(std::string_view text, std::size_t times = 1,
                  std::chrono::milliseconds timeout = patience) const;
    /// The same for a regular expression (ECMAScript) in any one line.
    bool wait_for_match(const std::string& pattern,
                        std::chrono::milliseconds timeout = patience) const;
    /// The same for a condition on the output so far.
    bool wait_until(const std::function<bool(const std::string& output)>& met,
                    std::chrono::milliseconds timeout = patience) const;
    std::size_t count(std::string_view text) const; ///< in output(), not overlapping

    /// SIGKILL, and gone when this returns.
    void kill() const;

  private:
    struct Watch;
    explicit Process(std::unique_ptr<Watch> watch);

    std::unique_ptr<Watch> watch_;
};

} // namespace failclosed::lab
