// SPDX-License-Identifier: GPL-3.0-or-later
// The verbs of failclosed(8). Each takes the arguments after the verb and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace failclosed::cli {

/// sysexits.h EX_USAGE.
inline constexpr int kUsageError = 64;

using Arguments = std::vector<std::string>;

// protect.cpp: verbs that change the machine.
int lock(const Arguments& arguments);
int unlock(const Arguments& arguments);
int reapply(const Arguments& arguments);
int up(const Arguments& arguments);
int down(const Arguments& arguments);
int refresh(const Arguments& arguments);

// portal.cpp
int portal(const Arguments& arguments);

// show.cpp, explain.cpp and doctor.cpp: verbs that change nothing.
int status(const Arguments& arguments);
int check(const Arguments& arguments);
int plan(const Arguments& arguments);
int explain(const Arguments& arguments);
int doctor(const Arguments& arguments);

} // namespace failclosed::cli
