// SPDX-License-Identifier: GPL-3.0-or-later
// Warnings about values that a parser ignores. Each is safe to print.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace failclosed {

/// One line each.
using Warnings = std::vector<std::string>;

inline constexpr std::size_t kMaxWarnings = 16;

/// Adds a line, unless it is there already. After kMaxWarnings lines, a last one says that there
/// are more.
void warn(Warnings& warnings, std::string line);

/// `text` in single quotes, as a line of printable ASCII. Other bytes, quotes and backslashes are
/// escaped (\xNN); text after 64 bytes is replaced by "...".
std::string in_quotes(std::string_view text);

} // namespace failclosed
