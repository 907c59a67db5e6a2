// SPDX-License-Identifier: GPL-3.0-or-later
// Local networks, networks inside tunnels, and admitted users: shared by firewall and routes, so
// that the two agree.
#pragma once

#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// A VPN endpoint, and a user or mark that is admitted to it outside the tunnel.
struct AdmittedUid {
    uid_t uid = 0;
    Endpoint endpoint;

    friend auto operator<=>(const AdmittedUid&, const AdmittedUid&) = default;
};

struct AdmittedMark {
    std::uint32_t mark = 0;
    Endpoint endpoint;

    friend auto operator<=>(const AdmittedMark&, const AdmittedMark&) = default;
};

/// Admissions outside the tunnels; each list sorted, without duplicates.
struct Admissions {
    std::vector<AdmittedUid> uids;
    std::vector<AdmittedMark> marks;
    /// All endpoints of both.
    std::vector<Endpoint> endpoints;
};

/// All servers of `state`, with the users and marks that may reach them. A server inside a pushed
/// network stays admitted: companies push the network of their own gateway.
Admissions admissions(const State& state);

/// Destinations in the local network, disjoint and sorted. Tunnel networks are not removed: rules
/// and routes for tunnel_networks come first. `on-link` needs `snapshot`.
std::vector<IpPrefix> lan_prefixes(Family family, const State& state, const Config& config,
                                   const Snapshot& snapshot);

/// Own and pushed networks and resolvers of one tunnel, of both families; parts of a default route
/// are left out.
std::vector<IpPrefix> networks_of(const Tunnel& tunnel);

/// The networks of all tunnels, and of those that were up before, disjoint and sorted.
std::vector<IpPrefix> tunnel_networks(Family family, const State& state);

/// Prefixes that are directly connected on links other than tunnels and loopback; fe80::/10 is
/// always one of them.
std::vector<IpPrefix> connected_prefixes(Family family, const State& state,
                                         const Snapshot& snapshot);

/// The devices of `forward=`, whether they exist or not, except uplinks: devices with a default
/// route.
std::vector<InterfaceName> downstream_devices(const State& state, const Config& config,
                                              const Snapshot& snapshot);

/// A network behind this machine, and the device that leads to it.
struct DownstreamNetwork {
    InterfaceName interface;
    IpPrefix prefix;

    friend auto operator<=>(const DownstreamNetwork&, const DownstreamNetwork&) = default;
};

/// Networks connected to downstream_devices(); in IPv6 with fe80::/10. Prefixes that overlap a
/// tunnel's network are left out, because the tunnel has precedence, and so are parts of a default
/// route.
std::vector<DownstreamNetwork> downstream_networks(Family family, const State& state,
                                                   const Config& config, const Snapshot& snapshot);

/// Leases whose server may be reached outside the tunnels: the device exists and is not a tunnel,
/// and the server's address is outside all tunnel networks.
std::vector<Lease> usable_leases(const State& state, const Snapshot& snapshot);

/// Private (RFC 1918), unique local (RFC 4193) and link-local blocks, disjoint and sorted.
std::vector<IpPrefix> private_prefixes(Family family);

/// Whether all of `prefix` is private (RFC 1918), unique local (RFC 4193) or link-local space.
bool is_private(const IpPrefix& prefix);

} // namespace failclosed
