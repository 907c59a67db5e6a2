// SPDX-License-Identifier: GPL-3.0-or-later
// Scripts in a machine of the lab that tell the test which events they were called for, and when.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// One call of a hook, as its caller announced it.
struct Event {
    std::chrono::microseconds time{}; ///< CLOCK_MONOTONIC, when the script told it
    std::string source;               ///< which script: see what installed it
    std::string action;               ///< "up", "dhcp4-change", ... or dhcpcd's reason, "BOUND"
    std::string interface;            ///< may be empty
    std::map<std::string, std::string> env; ///< those of the chosen variables that were not empty

    std::string text() const; ///< for a failing test, one line
};

/// Collects the events of the scripts that it writes. It and its scripts end with the box.
class Recorder {
  public:
    /// Ready when it returns: no event is lost. One per box.
    explicit Recorder(const Box& box);

    /// Lines of POSIX sh that report one event; `action` and `interface` are shell words, such as
    /// `"$2"`. They set no variable, start no program and always succeed: fit to be sourced.
    static std::string lines(const std::string& source, const std::string& action,
                             const std::string& interface,
                             const std::vector<std::string>& variables);

    /// Every event since the start or the last forget(), oldest first; `source` empty: of all.
    std::vector<Event> events(const std::string& source = {}) const;
    /// How many had this action and interface (empty: any).
    std::size_t count(const std::string& action, const std::string& interface = {},
                      const std::string& source = {}) const;
    /// Waits until there are `times` such events since the last forget().
    bool wait_for(const std::string& action, const std::string& interface = {},
                  std::size_t times = 1, std::chrono::milliseconds timeout = patience,
                  const std::string& source = {}) const;
    /// The same for a condition on the events since the last forget().
    bool wait_until(const std::function<bool(const std::vector<Event>& events)>& met,
                    std::chrono::milliseconds timeout = patience) const;
    void forget();
    std::string text() const; ///< all events, a line each, for a failing test

  private:
    Process reader_;
    std::size_t seen_ = 0;
};

} // namespace failclosed::lab
