// SPDX-License-Identifier: GPL-3.0-or-later
// What NetworkManager and dhcpcd pass to their hooks, in any bytes. The first two entries are also
// the dispatcher's arguments.
#include "core/codec/dhcpcd_environment.hpp"
#include "core/codec/network_manager/environment.hpp"
#include "tests/fuzz/environment.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace failclosed;
    const auto entries = fuzz::split(fuzz::to_text(data, size));
    const auto pointers = fuzz::to_pointers(entries);
    const Environment environment(pointers);
    const auto of_dhcpcd = parse_dhcpcd_event(environment);
    fuzz::check(of_dhcpcd.event, of_dhcpcd.warnings);
    const std::span<const char* const> arguments =
        std::span(pointers).first(pointers.size() < 2 ? pointers.size() : 2);
    for (const DeviceFacts facts :
         {DeviceFacts{}, DeviceFacts{true, false}, DeviceFacts{true, true}}) {
        const auto result = parse_network_manager_event(
            arguments, environment, [&](const InterfaceName&) { return facts; });
        if (result) {
            fuzz::check(result->event, result->warnings);
        } else {
            fuzz::require(!has_control_characters(result.error().message()));
        }
    }
    return 0;
}
