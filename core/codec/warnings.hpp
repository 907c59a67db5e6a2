// SPDX-License-Identifier: GPL-3.0-or-later
// What a parser leaves out of hostile input, said in lines that are safe to print.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace failclosed {

/// One line each.
using Warnings = std::vector<std::string>;

inline constexpr std::size_t kMaxWarnings = 16;

/// Adds a line that is not there yet; of more than kMaxWarnings only the fact that there are more
/// is kept.
void warn(Warnings& warnings, std::string line);

/// `text` in single quotes, on one line of printable ASCII: everything else, quotes and
/// backslashes too, becomes \xNN, and what is over 64 bytes is cut off.
std::string in_quotes(std::string_view text);

} // namespace failclosed
