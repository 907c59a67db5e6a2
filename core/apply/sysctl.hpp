// SPDX-License-Identifier: GPL-3.0-or-later
// Kernel parameters (proc(5), /proc/sys): set, with what is needed to put them back.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/journal.hpp"
#include "core/plan/routing.hpp"

namespace failclosed {

/// The parameter's value without the newline. `name` as in Sysctl; a part that is empty, ".",
/// "..", or holds '/' or a control character gives EINVAL.
Result<std::string> read_sysctl(const std::vector<std::string>& name);

/// Errors as read_sysctl, and the kernel's own (EROFS in containers).
Status write_sysctl(const std::vector<std::string>& name, const std::string& value);

struct SysctlOutcome {
    /// Only parameters whose value was another one: to be remembered for restore_sysctls, beside
    /// what earlier calls gave.
    std::vector<SysctlRecord> changes;
    /// What could not be read or set; no lock depends on it.
    std::vector<Error> refused;
};

/// Sets each parameter that differs. /proc/sys may be read-only: such a one is among `refused`.
SysctlOutcome set_sysctls(const std::vector<Sysctl>& wanted);

/// Puts back what each was before, the last change first, unless somebody else changed it since.
/// Goes on after an error and returns the first. A parameter that is gone is no error.
Status restore_sysctls(const std::vector<SysctlRecord>& changes);

} // namespace failclosed
