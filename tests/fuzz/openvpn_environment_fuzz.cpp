// SPDX-License-Identifier: GPL-3.0-or-later
// What OpenVPN passes to its scripts, in any bytes.
#include "core/codec/openvpn/environment.hpp"
#include "tests/fuzz/environment.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace failclosed;
    const auto entries = fuzz::split(fuzz::to_text(data, size));
    const auto pointers = fuzz::to_pointers(entries);
    OpenvpnFacts facts;
    facts.ancestors = {{{1000, 1}, 0}};
    const auto result = parse_openvpn_event({}, Environment(pointers), facts);
    if (!result) {
        fuzz::require(!has_control_characters(result.error().message()));
        return 0;
    }
    fuzz::check(result->event, result->warnings);
    return 0;
}
