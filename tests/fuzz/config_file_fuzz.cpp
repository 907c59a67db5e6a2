// SPDX-License-Identifier: GPL-3.0-or-later
// Configuration files of any bytes: no error makes several lines, nothing opens everything.
#include <array>

#include "core/codec/files/config_file.hpp"
#include "core/model/state.hpp"
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
    for (const auto& name : config->forward) {
        fuzz::require(name.text() != "lo");
    }
    for (const auto& allowance : config->belt_allow) {
        const auto* prefix = std::get_if<IpPrefix>(&allowance);
        const auto* mac = std::get_if<MacAddress>(&allowance);
        fuzz::require((prefix == nullptr || prefix->length() >= kShortestNetwork) &&
                      (mac == nullptr || mac->is_unicast()));
    }
    return 0;
}
