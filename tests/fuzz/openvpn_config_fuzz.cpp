// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN configurations and command lines of any bytes; includes give the same text again.
#include "core/codec/openvpn/config.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace failclosed;

void check(const OpenvpnConfig& config)
{
    fuzz::require(config.remotes.size() <= kMaxRemotes);
    fuzz::require(config.warnings.size() <= kMaxWarnings + 1);
    fuzz::require(!config.server || config.remotes.empty());
    for (const auto& remote : config.remotes) {
        fuzz::require(Remote::parse(to_string(remote)) == remote);
    }
    for (const auto& line : config.warnings) {
        fuzz::require(!has_control_characters(line));
    }
}

std::vector<std::string> split(std::string_view text)
{
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = text.find('\n');
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return words;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto text = fuzz::to_text(data, size);
    const auto read = [&](const std::string&) -> Result<std::string> { return std::string(text); };
    check(parse_openvpn_config(text, read));
    check(parse_openvpn_arguments(split(text), read));
    return 0;
}
