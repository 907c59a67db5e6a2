// SPDX-License-Identifier: GPL-3.0-or-later
// What the fuzz targets share: libFuzzer's entry point and a check that is never compiled out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace failclosed::fuzz {

/// Ends the process, for libFuzzer to report, where a promise of a parser is broken.
inline void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

inline std::string_view to_text(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

} // namespace failclosed::fuzz
