// SPDX-License-Identifier: GPL-3.0-or-later
// JSON strings.
#include "cli/json_writer.hpp"

#include <array>
#include <cstdio>

namespace failclosed::cli {

void JsonWriter::append_string(std::string_view value)
{
    text_ += '"';
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text_ += '\\';
            text_ += c;
        } else if (byte < 0x20 || byte >= 0x7f) {
            // Device names can hold any byte. Each byte is written as its Latin-1 code point.
            std::array<char, 8> escaped{};
            std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
            text_ += escaped.data();
        } else {
            text_ += c;
        }
    }
    text_ += '"';
}

} // namespace failclosed::cli
