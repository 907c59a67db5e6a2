// SPDX-License-Identifier: GPL-3.0-or-later
// Local networks, networks inside tunnels, and admitted users.
#include "core/plan/routing/networks.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

// RFC 1918, RFC 3927, RFC 4193, RFC 4291.
constexpr std::array<std::string_view, 6> kPrivate = {
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"};

// Multicast that routers keep local: RFC 5771 (link), RFC 2365 (local scope), RFC 4291 (link and
// site).
constexpr std::array<std::string_view, 4> kLocalMulticast = {"224.0.0.0/24", "239.255.0.0/16",
                                                             "ff02::/16", "ff05::/16"};

std::vector<IpPrefix> parse_all(Family family, std::span<const std::string_view> texts)
{
    std::vector<IpPrefix> prefixes;
    for (const auto text : texts) {
        const auto prefix = IpPrefix::parse(text);
        if (prefix && prefix->family() == family) {
            prefixes.push_back(*prefix);
        }
    }
    return prefixes;
}

bool is_tunnel(const State& state, const InterfaceName& name)
{
    return std::ranges::find(state.tunnels, name, &Tunnel::interface) != state.tunnels.end();
}

template <typename T> void sort_unique(std::vector<T>& values)
{
    std::ranges::sort(values);
    const auto rest = std::ranges::unique(values);
    values.erase(rest.begin(), rest.end());
}

} // namespace

std::vector<Lease> usable_leases(const State& state, const Snapshot& snapshot)
{
    const auto inside = tunnel_networks(Family::V4, state);
    std::vector<Lease> leases;
    for (const auto& lease : state.underlay.leases) {
        const Link* link = snapshot.find(lease.interface);
        const bool is_inside = std::ranges::any_of(
            inside, [&](const IpPrefix& network) { return network.contains(lease.server); });
        if (link != nullptr && is_underlay(state, *link) && !is_inside) {
            leases.push_back(lease);
        }
    }
    return leases;
}

std::vector<IpPrefix> private_prefixes(Family family)
{
    return without_contained(parse_all(family, kPrivate));
}

bool is_private(const IpPrefix& prefix)
{
    return std::ranges::any_of(private_prefixes(prefix.family()),
                               [&](const IpPrefix& block) { return block.contains(prefix); });
}

Admissions admissions(const State& state)
{
    Admissions all;
    for (const auto& server : state.servers) {
        for (const auto& endpoint : server.endpoints()) {
            all.endpoints.push_back(endpoint);
            if (server.identity.mark) {
                all.marks.push_back({*server.identity.mark, endpoint});
                continue;
            }
            for (const uid_t uid : server.identity.uids) {
                all.uids.push_back({uid, endpoint});
            }
        }
    }
    sort_unique(all.uids);
    sort_unique(all.marks);
    sort_unique(all.endpoints);
    return all;
}

std::vector<IpPrefix> lan_prefixes(Family family, const State& state, const Config& config,
                                   const Snapshot& snapshot)
{
    std::vector<IpPrefix> prefixes;
    const auto add_multicast = [&] {
        const auto multicast = parse_all(family, kLocalMulticast);
        prefixes.insert(prefixes.end(), multicast.begin(), multicast.end());
    };
    switch (config.lan.kind) {
    case LanPolicy::Kind::Deny:
        break;
    case LanPolicy::Kind::List:
        std::ranges::copy_if(config.lan.prefixes, std::back_inserter(prefixes),
                             [&](const IpPrefix& prefix) { return prefix.family() == family; });
        break;
    case LanPolicy::Kind::OnLink:
        std::ranges::copy_if(connected_prefixes(family, state, snapshot),
                             std::back_inserter(prefixes), is_private);
        add_multicast();
        break;
    case LanPolicy::Kind::Private:
        prefixes = parse_all(family, kPrivate);
        add_multicast();
        break;
    }
    return without_contained(std::move(prefixes));
}

std::vector<IpPrefix> networks_of(const Tunnel& tunnel)
{
    std::vector<IpPrefix> networks;
    for (const auto& address : tunnel.addresses) {
        if (!address.address.is_link_local()) {
            // A server may push a netmask that covers all addresses.
            networks.push_back(address.prefix_length < kShortestNetwork
                                   ? IpPrefix::host(address.address)
                                   : address.prefix());
        }
    }
    std::ranges::copy_if(
        tunnel.networks, std::back_inserter(networks),
        [](const IpPrefix& network) { return network.length() >= kShortestNetwork; });
    // Queries to a tunnel's resolver go through that tunnel, even if its address is in the local
    // network.
    std::ranges::transform(tunnel.resolvers, std::back_inserter(networks), IpPrefix::host);
    return without_contained(std::move(networks));
}

std::vector<IpPrefix> tunnel_networks(Family family, const State& state)
{
    std::vector<IpPrefix> networks;
    const auto add = [&](const std::vector<IpPrefix>& more) {
        std::ranges::copy_if(more, std::back_inserter(networks),
                             [&](const IpPrefix& network) { return network.family() == family; });
    };
    for (const auto& tunnel : state.tunnels) {
        add(networks_of(tunnel));
    }
    for (const auto& [interface, inside] : state.inside) {
        if (!is_tunnel(state, interface)) {
            add(inside);
        }
    }
    return without_contained(std::move(networks));
}

std::vector<IpPrefix> connected_prefixes(Family family, const State& state,
                                         const Snapshot& snapshot)
{
    std::vector<IpPrefix> prefixes;
    if (family == Family::V6) {
        prefixes.push_back(*IpPrefix::parse("fe80::/10"));
    }
    for (const auto& link : snapshot.links) {
        // A point-to-point link has no neighbours, and may be the device of a tunnel that is
        // ending.
        if (link.loopback || link.point_to_point || is_tunnel(state, link.name)) {
            continue;
        }
        for (const auto& address : link.addresses) {
            if (address.address.family() == family) {
                prefixes.push_back(address.prefix());
            }
        }
    }
    return without_contained(std::move(prefixes));
}

std::vector<InterfaceName> downstream_devices(const State& state, const Config& config,
                                              const Snapshot& snapshot)
{
    std::vector<InterfaceName> devices = config.forward;
    for (const Family family : kFamilies) {
        for (const auto& route : underlay_defaults(family, state, snapshot)) {
            const auto uplink = std::ranges::find(snapshot.links, route.device, &Link::index);
            if (uplink != snapshot.links.end()) {
                std::erase(devices, uplink->name);
            }
        }
    }
    std::erase_if(devices, [&](const InterfaceName& name) { return is_tunnel(state, name); });
    return devices;
}

std::vector<DownstreamNetwork> downstream_networks(Family family, const State& state,
                                                   const Config& config, const Snapshot& snapshot)
{
    const auto inside = tunnel_networks(family, state);
    const auto devices = downstream_devices(state, config, snapshot);
    std::vector<DownstreamNetwork> networks;
    for (const auto& link : snapshot.links) {
        if (std::ranges::find(devices, link.name) == devices.end()) {
            continue;
        }
        State none;
        Snapshot alone;
        alone.links = {link};
        for (const auto& prefix : connected_prefixes(family, none, alone)) {
            const bool is_inside = std::ranges::any_of(
                inside, [&](const IpPrefix& network) { return network.overlaps(prefix); });
            if (!is_inside && prefix.length() >= kShortestNetwork) {
                networks.push_back({link.name, prefix});
            }
        }
    }
    sort_unique(networks);
    return networks;
}

} // namespace failclosed
