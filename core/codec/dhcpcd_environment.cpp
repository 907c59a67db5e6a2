// SPDX-License-Identifier: GPL-3.0-or-later
// Reasons and leases of dhcpcd.
#include "core/codec/dhcpcd_environment.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace failclosed {

namespace {

constexpr std::array<std::string_view, 7> kLeased = {"BOUND",  "RENEW",   "REBIND", "REBOOT",
                                                     "INFORM", "TIMEOUT", "STATIC"};

constexpr std::array<std::string_view, 7> kLeaseEnds = {"EXPIRE", "NAK",       "RELEASE", "STOP",
                                                        "FAIL",   "NOCARRIER", "DEPARTED"};

/// dhcpcd configures nothing when it reports these.
constexpr std::array<std::string_view, 3> kOnlyShown = {"TEST", "DUMP", "DUMP6"};

template <std::size_t count>
bool is_among(const std::array<std::string_view, count>& reasons, std::string_view reason)
{
    return std::ranges::find(reasons, reason) != reasons.end();
}

} // namespace

DhcpcdEvent parse_dhcpcd_event(const Environment& environment)
{
    DhcpcdEvent result;
    const auto reason = environment.get("reason");
    if (is_among(kOnlyShown, reason)) {
        return result;
    }
    // With dhcpcd's option `persistent` the address and the lease stay after dhcpcd has ended.
    const bool ended = is_among(kLeaseEnds, reason) ||
                       (reason == "STOPPED" && environment.get("if_down") == "true");
    const auto server_text = environment.get("new_dhcp_server_identifier");
    const bool leased = is_among(kLeased, reason) && !server_text.empty();
    if (!ended && !leased) {
        result.event = UnderlayChanged{};
        return result;
    }
    const auto name_text = environment.get("interface");
    const auto name = InterfaceName::parse(name_text);
    const auto server = IpAddress::parse(server_text);
    const bool usable = server && server->family() == Family::V4 && server->is_unicast_host();
    if (!name) {
        warn(result.warnings, "invalid device name from dhcpcd: interface=" + in_quotes(name_text));
        result.event = UnderlayChanged{};
    } else if (ended) {
        result.event = UnderlayChanged{name, {}};
    } else if (!usable) {
        warn(result.warnings, "invalid DHCP server is ignored: " + in_quotes(server_text));
        result.event = UnderlayChanged{};
    } else {
        result.event = UnderlayChanged{name, server};
    }
    return result;
}

} // namespace failclosed
