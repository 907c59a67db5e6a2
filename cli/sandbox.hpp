// SPDX-License-Identifier: GPL-3.0-or-later
// Gives up everything that reading a DNS answer does not need.
#pragma once

#include <vector>

#include "core/base/result.hpp"

namespace failclosed::cli {

/// For a child process that root has forked: closes all descriptors but `kept`, gives up every
/// capability for good, takes a user and a group that no account has, limits memory, processor
/// time, files and processes, and dies with the process `parent`. After an error the caller must
/// end.
Status drop_privileges(std::vector<int> kept, pid_t parent);

/// Admits only the system calls that talk on sockets which are there already, and those of memory
/// and time. Any other one kills the process. None of them names a file, makes a descriptor, starts
/// a program or signals one.
Status admit_few_system_calls();

} // namespace failclosed::cli
