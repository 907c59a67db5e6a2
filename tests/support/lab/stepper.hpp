// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a program from one of its system calls to the next, as slowly as the test likes.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// A program that stands still before each system call of the given kinds until the test lets it
/// go on. A helper in the box traces it (ptrace); what the program starts runs freely.
class Stepper {
  public:
    /// Starts it as root; it stands before its first such call (SYS_ numbers), or has ended.
    Stepper(const Box& box, const Command& command, std::set<long> calls);

    /// How many such calls it has come to.
    std::size_t calls() const;
    bool ended() const;
    /// Lets it run to the next such call. False where it has ended instead.
    bool step();
    /// Lets it run to its end. Its status as in Outcome; nullopt if it does not end in time.
    std::optional<int> finish(std::chrono::milliseconds timeout = patience);

    std::string err() const { return tracer_.err(); } ///< all that it has said

  private:
    bool wait_for_stop(std::size_t calls) const;

    Process tracer_;
};

} // namespace failclosed::lab
