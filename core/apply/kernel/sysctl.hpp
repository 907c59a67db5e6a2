// SPDX-License-Identifier: GPL-3.0-or-later
// Reads, sets and restores kernel parameters (proc(5), /proc/sys).
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/files/journal.hpp"
#include "core/plan/routing/routing.hpp"

namespace failclosed {

/// The parameter's value without the newline. `name` is as in Sysctl. EINVAL if a part of it is
/// empty, ".", "..", or holds '/' or a control character.
Result<std::string> read_sysctl(const std::vector<std::string>& name);

/// Errors are those of read_sysctl() and those of the kernel (EROFS in containers).
Status write_sysctl(const std::vector<std::string>& name, const std::string& value);

struct SysctlOutcome {
    /// The parameters that had another value. The caller records them for restore_sysctls(), in
    /// addition to those of earlier calls.
    std::vector<SysctlRecord> changes;
    /// An error for each parameter that could not be read or set; no lock depends on them.
    std::vector<Error> refused;
};

/// Sets each parameter that differs. If /proc/sys is read-only, the errors are in `refused`.
SysctlOutcome set_sysctls(const std::vector<Sysctl>& wanted);

/// Restores the previous values, the last change first. Keeps a value that another program has
/// changed since. Continues after an error and returns the first. A parameter that no longer exists
/// is not an error.
Status restore_sysctls(const std::vector<SysctlRecord>& changes);

} // namespace failclosed
