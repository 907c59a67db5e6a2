// SPDX-License-Identifier: GPL-3.0-or-later
// Loads and saves the journal.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/files/journal.hpp"

namespace failclosed {

/// Reads and writes `journal` in a directory that exists. Callers hold the lock of the run.
class JournalFile {
  public:
    explicit JournalFile(const std::string& directory) : path_(directory + "/journal") {}

    /// An empty journal if there is no file. A damaged file is an error that says what to do.
    [[nodiscard]] Result<Journal> load() const;

    /// Durable on return; an empty journal removes the file. On failure the old file is unchanged.
    [[nodiscard]] Status save(const Journal& journal) const;

    /// Adds kernel parameters that are about to be changed. A parameter that is recorded already
    /// keeps its `previous`. Durable on return.
    [[nodiscard]] Status remember_sysctls(const std::vector<SysctlRecord>& changes) const;

    /// Removes all of them; called after they were restored.
    [[nodiscard]] Status forget_sysctls() const;

  private:
    std::string path_;
};

} // namespace failclosed
