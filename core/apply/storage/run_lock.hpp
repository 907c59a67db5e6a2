// SPDX-License-Identifier: GPL-3.0-or-later
// The lock that one run holds at a time.
#pragma once

#include <chrono>
#include <string>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// A lock (flock(2)) of the file "lock" in the run directory. The kernel releases it at every end
/// of the process.
class RunLock {
  public:
    /// Waits at most `wait` for other runs to end. Interrupts system calls by SIGALRM while it
    /// waits.
    Status take(const std::string& directory, Seconds wait);

    /// Releases the lock, and returns when another run has released it after that, or after `time`.
    /// A run that ends at the same moment may be missed: the caller must check again in either
    /// case.
    void wait_for_another_run(std::chrono::milliseconds time);

    void release() { file_.reset(); }

    [[nodiscard]] bool is_held() const { return file_.valid(); }

  private:
    UniqueFd file_;
    std::string path_;
};

} // namespace failclosed
