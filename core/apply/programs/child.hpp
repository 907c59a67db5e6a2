// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a child program with an argument vector, a clean environment and a time limit.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace failclosed {

/// Runs argv[0], an absolute path, in "/", in a new process group, with `input` as standard input,
/// with a fixed PATH as its only environment, without the caller's descriptors. An exit status
/// other than 0 is an error that quotes the last line of output; other output is discarded. If it
/// runs longer than `time_limit`, its process group is killed and an error returned. ENOENT if
/// there is no such program.
Status run_program(const std::vector<std::string>& argv, std::string_view input,
                   std::chrono::milliseconds time_limit);

} // namespace failclosed
