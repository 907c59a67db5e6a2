// SPDX-License-Identifier: GPL-3.0-or-later
// Script environments of any bytes: entries end with NUL, or with line breaks where there is no
// NUL, so that recorded environments are seeds.
#include "core/codec/openvpn_environment.hpp"
#include "core/codec/state_file.hpp"
#include "core/codec/tunnel_parts.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace failclosed;

std::vector<std::string> split(std::string_view text)
{
    const char separator = text.find('\0') == std::string_view::npos ? '\n' : '\0';
    std::vector<std::string> entries;
    while (!text.empty()) {
        const auto end = text.find(separator);
        entries.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return entries;
}

void check(const TunnelUp& event)
{
    fuzz::require(!event.tunnel.addresses.empty());
    fuzz::require(event.tunnel.networks.size() <= kMaxRoutes);
    fuzz::require(event.tunnel.resolvers.size() <= kMaxResolvers);
    fuzz::require(event.tunnel.search_domains.size() <= kMaxSearchDomains);
    const auto running = read_running(write_running({.tunnels = {event.tunnel}}));
    fuzz::require(running && running->tunnels.at(0) == event.tunnel);
    const auto servers = read_servers(write_servers(event.servers));
    fuzz::require(servers && *servers == event.servers);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto entries = split(fuzz::to_text(data, size));
    std::vector<const char*> pointers;
    for (const auto& entry : entries) {
        pointers.push_back(entry.c_str());
    }
    const Environment environment(pointers);
    OpenvpnFacts facts;
    facts.ancestors = {{{1000, 1}, 0}};
    const auto result = parse_openvpn_event({}, environment, facts);
    if (!result) {
        fuzz::require(!has_control_characters(result.error().message()));
        return 0;
    }
    fuzz::require(result->warnings.size() <= kMaxWarnings + 1);
    for (const auto& line : result->warnings) {
        fuzz::require(!has_control_characters(line));
    }
    if (result->event) {
        if (const auto* up = std::get_if<TunnelUp>(&*result->event)) {
            check(*up);
        }
    }
    return 0;
}
