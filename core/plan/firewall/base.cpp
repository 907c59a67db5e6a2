// SPDX-License-Identifier: GPL-3.0-or-later
// The base ruleset: loaded before state and configuration are read.
#include "core/plan/constants.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/rules.hpp"

namespace failclosed {

namespace {

// Only to groups and neighbours on the link, because solicitations contain addresses; without
// redirects.
std::vector<Rule> neighbour_discovery_out()
{
    const auto out = [](const char* comment, std::uint8_t type, const char* to) {
        return allow(comment, {Icmpv6Type{type}, ToNetwork{prefix(to)}, HopLimit{255}});
    };
    const auto listener = [](std::uint8_t type, const char* to) {
        return allow("multicast listener reports",
                     {Icmpv6Type{type}, ToNetwork{prefix(to)}, HopLimit{1}});
    };
    return {out("router solicitation", icmpv6::kRouterSolicitation, "ff02::2/128"),
            out("neighbour solicitation", icmpv6::kNeighbourSolicitation, "ff02::1:ff00:0/104"),
            out("neighbour solicitation", icmpv6::kNeighbourSolicitation, "fe80::/10"),
            out("neighbour advertisement", icmpv6::kNeighbourAdvertisement, "ff02::1/128"),
            out("neighbour advertisement", icmpv6::kNeighbourAdvertisement, "fe80::/10"),
            listener(icmpv6::kListenerReportV2, "ff02::16/128"),
            listener(icmpv6::kListenerReport, "ff02::/16"),
            listener(icmpv6::kListenerDone, "ff02::2/128")};
}

std::vector<Rule> neighbour_discovery_in()
{
    return {
        allow("router advertisement", {FromNetwork{prefix("fe80::/10")},
                                       Icmpv6Type{icmpv6::kRouterAdvertisement}, HopLimit{255}}),
        allow("neighbour solicitation",
              {Icmpv6Type{icmpv6::kNeighbourSolicitation}, HopLimit{255}}),
        allow("neighbour advertisement",
              {Icmpv6Type{icmpv6::kNeighbourAdvertisement}, HopLimit{255}}),
        listener_query()};
}

} // namespace

Ruleset base_ruleset()
{
    Table table{TableFamily::Inet, kTableName, {}, {}};
    Chain input{"input", BaseChain{Hook::Input, kPriorityFilter, Verdict::Drop}, {}};
    input.rules.push_back(allow("loopback", {FromInterface{loopback()}}));
    append(input.rules, dhcp_in());
    append(input.rules, neighbour_discovery_in());
    Chain forward{"forward", BaseChain{Hook::Forward, kPriorityFilter, Verdict::Drop}, {}};
    Chain output{"output", BaseChain{Hook::Output, kPriorityFilter, Verdict::Drop}, {}};
    output.rules.push_back(allow("loopback", {ToInterface{loopback()}}));
    output.rules.push_back(refuse("IPv4 options", {HasIpOptions{}}, Verdict::Drop));
    output.rules.push_back(refuse("IPv6 routing header", {HasRoutingHeader{}}, Verdict::Drop));
    append(output.rules, dhcp_out());
    append(output.rules, neighbour_discovery_out());
    Chain postrouting{"postrouting", BaseChain{Hook::Postrouting, kPriorityAfterNat, Verdict::Drop},
                      output.rules};
    table.chains = {std::move(input), std::move(forward), std::move(output),
                    std::move(postrouting)};
    return {{std::move(table)}};
}

} // namespace failclosed
