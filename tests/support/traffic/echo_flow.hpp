// SPDX-License-Identifier: GPL-3.0-or-later
// A program in the client that wants its answers: tells whether the tunnel works, and what it lost.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

/// Sends numbered datagrams to the echo service (UDP port 7) of `address` and counts the answers,
/// in a thread of its own, from construction to stop(). Runs as root, on an unbound socket.
class EchoFlow {
  public:
    explicit EchoFlow(const Lab& lab, const std::string& address = addr::site4,
                      std::chrono::microseconds interval = std::chrono::milliseconds(1));
    EchoFlow(const EchoFlow&) = delete;
    EchoFlow& operator=(const EchoFlow&) = delete;
    ~EchoFlow();

    /// Waits for `times` more answers.
    bool wait_answers(std::uint64_t times, std::chrono::milliseconds timeout = patience) const;
    /// Sends no more and waits until all are answered, or none came for three seconds.
    void stop();

    std::uint64_t sent() const;     ///< accepted by the kernel
    std::uint64_t refused() const;  ///< not accepted
    std::uint64_t answered() const; ///< each number counts once

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace failclosed::lab
