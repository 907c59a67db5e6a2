// SPDX-License-Identifier: GPL-3.0-or-later
// The rare child program: an argument vector, a clean environment and a time limit.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace failclosed {

/// Runs argv[0], an absolute path, with `input` as its standard input, a fixed PATH and nothing
/// else in its environment, none of our descriptors, in a process group of its own, in "/". Its
/// output goes nowhere but into the error, as the last line that it wrote. An exit status other
/// than 0 is an error, and so is more time than `time_limit`: then the whole group is killed.
/// ENOENT where there is no such program.
Status run_program(const std::vector<std::string>& argv, std::string_view input,
                   std::chrono::milliseconds time_limit);

} // namespace failclosed
