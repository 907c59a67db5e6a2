// SPDX-License-Identifier: GPL-3.0-or-later
// What is local, what is inside a tunnel and who is admitted: shared by firewall and routes, so
// that the two cannot disagree.
#pragma once

#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

/// A VPN endpoint and one identity that may talk to it outside the tunnel.
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

/// Who may send what past the tunnels; each list sorted, without duplicates.
struct Admissions {
    std::vector<AdmittedUid> uids;
    std::vector<AdmittedMark> marks;
    /// All endpoints of both.
    std::vector<Endpoint> endpoints;
};

/// All servers of `state`, with everybody who may reach them. A server inside a network that a
/// tunnel was given stays admitted: companies push the network that their own gateway is in.
Admissions admissions(const State& state);

/// Destinations that are the local network, disjoint and sorted. What belongs to a tunnel is not
/// taken out here: rules and routes for tunnel_networks come first. `on-link` needs `snapshot`.
std::vector<IpPrefix> lan_prefixes(Family family, const State& state, const Config& config,
                                   const Snapshot& snapshot);

/// Own and pushed networks and resolvers of one tunnel, of both families; pieces of a default route
/// are left out.
std::vector<IpPrefix> networks_of(const Tunnel& tunnel);

/// The networks of all tunnels, and of those that were up before, disjoint and sorted.
std::vector<IpPrefix> tunnel_networks(Family family, const State& state);

/// Prefixes that are directly connected on links other than tunnels and loopback; fe80::/10 is
/// always one of them.
std::vector<IpPrefix> connected_prefixes(Family family, const State& state,
                                         const Snapshot& snapshot);

/// The devices of `forward=` that lead to what is behind this machine, whether they are there or
/// not. One that a default route leads over is an uplink, whatever the configuration says.
std::vector<InterfaceName> downstream_devices(const State& state, const Config& config,
                                              const Snapshot& snapshot);

/// A network behind this machine, and the device that leads to it.
struct DownstreamNetwork {
    InterfaceName interface;
    IpPrefix prefix;

    friend auto operator<=>(const DownstreamNetwork&, const DownstreamNetwork&) = default;
};

/// What downstream_devices() are directly connected to; in IPv6 with fe80::/10. Prefixes that
/// overlap a tunnel's network are left out, for the tunnel's comes first, and so are pieces of a
/// default route.
std::vector<DownstreamNetwork> downstream_networks(Family family, const State& state,
                                                   const Config& config, const Snapshot& snapshot);

/// Leases whose server may be asked past the tunnels: on a device that is there and no tunnel, by
/// an address outside of all tunnels' networks.
std::vector<Lease> usable_leases(const State& state, const Snapshot& snapshot);

/// Private (RFC 1918), unique local (RFC 4193) and link-local blocks, disjoint and sorted.
std::vector<IpPrefix> private_prefixes(Family family);

/// Whether all of `prefix` is private (RFC 1918), unique local (RFC 4193) or link-local space.
bool is_private(const IpPrefix& prefix);

} // namespace failclosed
