// SPDX-License-Identifier: GPL-3.0-or-later
// The journal on disk.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/journal.hpp"

namespace failclosed {

/// Reads and writes `journal` in a directory that exists. Callers hold the lock of the run.
class JournalFile {
  public:
    explicit JournalFile(const std::string& directory) : path_(directory + "/journal") {}

    /// Empty where there is no file. A damaged one is an error that says what to do.
    [[nodiscard]] Result<Journal> load() const;

    /// On the disk when it returns; an empty journal is no file. On failure the old one stands.
    [[nodiscard]] Status save(const Journal& journal) const;

    /// Adds kernel parameters that are about to be changed. One that is there already keeps the
    /// `previous` that it has. On the disk when it returns.
    [[nodiscard]] Status remember_sysctls(const std::vector<SysctlRecord>& changes) const;

    /// After all of them are put back.
    [[nodiscard]] Status forget_sysctls() const;

  private:
    std::string path_;
};

} // namespace failclosed
