// SPDX-License-Identifier: GPL-3.0-or-later
// Drops the privileges that are not needed to read a DNS answer.
#pragma once

#include <vector>

#include "core/base/result.hpp"

namespace failclosed::cli {

/// For a child process that root has forked: closes all descriptors except `kept`, drops all
/// capabilities permanently, changes to a uid and gid without an account, limits memory, processor
/// time, files and processes, and makes the kernel kill it when the process `parent` ends. After an
/// error the caller must exit.
Status drop_privileges(std::vector<int> kept, pid_t parent);

/// Allows only system calls on existing sockets, and those for memory and time. Any other one kills
/// the process. No allowed call names a file, creates a descriptor, starts a program or sends a
/// signal.
Status admit_few_system_calls();

} // namespace failclosed::cli
