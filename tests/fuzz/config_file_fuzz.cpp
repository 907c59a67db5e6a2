// SPDX-License-Identifier: GPL-3.0-or-later
// Configuration files of any bytes: no error makes several lines, nothing opens everything.
#include <array>

#include "core/codec/config_file.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace failclosed;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::array files = {ConfigText{"file", std::string(fuzz::to_text(data, size))}};
    const auto config = read_config(files);
    if (!config) {
        fuzz::require(!has_control_characters(config.error().message()));
        return 0;
    }
    for (const auto& prefix : config->lan.prefixes) {
        fuzz::require(prefix.length() > 1);
    }
    return 0;
}
