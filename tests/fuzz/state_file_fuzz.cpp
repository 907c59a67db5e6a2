// SPDX-License-Identifier: GPL-3.0-or-later
// State files of any bytes: what is read can be written and read again.
#include "core/codec/files/state_file.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace failclosed;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::to_text(data, size);
    if (const auto running = read_running(text)) {
        const auto again = read_running(write_running(*running));
        fuzz::require(again && *again == *running);
        fuzz::require(!running->portal || running->portal->gid != gid_t{0});
    }
    if (const auto servers = read_servers(text)) {
        const auto again = read_servers(write_servers(*servers));
        fuzz::require(again && *again == *servers);
    }
    if (const auto armed = read_armed(text)) {
        fuzz::require(read_armed(write_armed(*armed)).value() == *armed);
    }
    return 0;
}
