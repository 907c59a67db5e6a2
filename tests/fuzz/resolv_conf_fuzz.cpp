// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf of any bytes: what is read can be written and read again.
#include "core/codec/files/resolv_conf.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace failclosed;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto conf = parse_resolv_conf(fuzz::to_text(data, size));
    const auto text = render_resolv_conf(conf);
    fuzz::require(parse_resolv_conf(text) == conf);
    fuzz::require(is_our_resolv_conf(text));
    return 0;
}
