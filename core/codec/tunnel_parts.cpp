// SPDX-License-Identifier: GPL-3.0-or-later
// Networks, resolvers and search domains from untrusted text.
#include "core/codec/tunnel_parts.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace failclosed {

bool can_be_inside(const IpPrefix& network)
{
    // RFC 6890: this host and the unspecified address, loopback, link-local, multicast, reserved
    // and the limited broadcast.
    static const std::array kOutside = {
        *IpPrefix::parse("0.0.0.0/8"),      *IpPrefix::parse("127.0.0.0/8"),
        *IpPrefix::parse("169.254.0.0/16"), *IpPrefix::parse("224.0.0.0/4"),
        *IpPrefix::parse("240.0.0.0/4"),    *IpPrefix::parse("::/127"),
        *IpPrefix::parse("fe80::/10"),      *IpPrefix::parse("ff00::/8")};
    return std::ranges::none_of(kOutside,
                                [&](const IpPrefix& outside) { return outside.overlaps(network); });
}

void TunnelParts::add_network(const IpPrefix& prefix)
{
    if (prefix.length() < kShortestNetwork) {
        return;
    }
    if (networks_.size() < kMaxRoutes) {
        networks_.insert(prefix);
    } else if (!networks_.contains(prefix) && !std::exchange(too_many_routes_, true)) {
        warn(warnings_, "only the first " + std::to_string(kMaxRoutes) + " routes are used");
    }
}

void TunnelParts::add_resolver(std::string_view text, std::optional<Family> family)
{
    const auto address = IpAddress::parse(text);
    if (!address || !address->is_unicast_host() || address->is_link_local() ||
        (family && address->family() != *family)) {
        warn(warnings_, "invalid resolver is ignored: " + in_quotes(text));
    } else if (std::ranges::find(resolvers_, *address) != resolvers_.end()) {
        return;
    } else if (resolvers_.size() < kMaxResolvers) {
        resolvers_.push_back(*address);
    } else if (!std::exchange(too_many_resolvers_, true)) {
        warn(warnings_, "only the first " + std::to_string(kMaxResolvers) + " resolvers are used");
    }
}

void TunnelParts::add_search_domain(std::string_view text)
{
    const auto name = HostName::parse(text);
    if (!name) {
        warn(warnings_, "invalid search domain is ignored: " + in_quotes(text));
    } else if (std::ranges::find(search_domains_, *name) != search_domains_.end()) {
        return;
    } else if (search_domains_.size() < kMaxSearchDomains) {
        search_domains_.push_back(*name);
    } else if (!std::exchange(too_many_domains_, true)) {
        warn(warnings_,
             "only the first " + std::to_string(kMaxSearchDomains) + " search domains are used");
    }
}

void TunnelParts::put_into(Tunnel& tunnel) &&
{
    tunnel.networks.assign(networks_.begin(), networks_.end());
    tunnel.resolvers = std::move(resolvers_);
    tunnel.search_domains = std::move(search_domains_);
}

} // namespace failclosed
