// SPDX-License-Identifier: GPL-3.0-or-later
// Counts the signals that reach one process, each of them, however busy it is.
#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// One signal, as the kernel delivered it.
struct Delivery {
    std::chrono::microseconds time{}; ///< CLOCK_MONOTONIC, when it reached the process
    int signal = 0;
    pid_t sender = 0; ///< as the box sees it; 0: the kernel
};

/// A helper in the box traces the process (ptrace) and passes every signal on. A program's own
/// log merges two signals that come while it is busy; this does not, unless the first one is
/// still pending in the kernel. Only the process's first thread is watched, and nothing that it
/// starts. The counting ends with this object or with the process, which lives on.
class SignalCounter {
  public:
    /// Counts from when it returns; throws LabError where the process cannot be traced.
    SignalCounter(const Box& box, const Process& process);
    /// The same for one that the test did not start; `pid` as the box sees it.
    SignalCounter(const Box& box, pid_t pid);

    std::size_t count(int signal) const; ///< since the start or the last reset()
    /// SIGHUP, SIGUSR1, SIGUSR2, SIGTERM and SIGINT together: all signals that OpenVPN handles.
    std::size_t all() const;
    /// All of them since the start, oldest first; reset() does not forget them.
    std::vector<Delivery> deliveries() const;
    void reset();
    bool wait_for(int signal, std::size_t times = 1,
                  std::chrono::milliseconds timeout = patience) const;

  private:
    std::size_t total(int signal) const;

    Process tracer_;
    std::map<int, std::size_t> earlier_;
};

} // namespace failclosed::lab
