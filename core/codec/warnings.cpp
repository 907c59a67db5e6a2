// SPDX-License-Identifier: GPL-3.0-or-later
// Bounded lists of warnings, and quoting of untrusted text.
#include "core/codec/warnings.hpp"

#include <algorithm>

namespace failclosed {

namespace {

constexpr std::size_t kMaxQuoted = 64;
constexpr std::string_view kHex = "0123456789abcdef";

} // namespace

void warn(Warnings& warnings, std::string line)
{
    if (std::ranges::find(warnings, line) != warnings.end()) {
        return;
    }
    if (warnings.size() < kMaxWarnings) {
        warnings.push_back(std::move(line));
    } else if (warnings.size() == kMaxWarnings) {
        warnings.emplace_back("further warnings are not shown");
    }
}

std::string in_quotes(std::string_view text)
{
    std::string result = "'";
    for (const char c : text.substr(0, kMaxQuoted)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte > 0x7e || c == '\'' || c == '\\') {
            result += "\\x";
            result += kHex[byte >> 4U];
            result += kHex[byte & 0xfU];
        } else {
            result += c;
        }
    }
    return result + (text.size() > kMaxQuoted ? "...'" : "'");
}

} // namespace failclosed
