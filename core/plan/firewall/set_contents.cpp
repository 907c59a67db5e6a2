// SPDX-License-Identifier: GPL-3.0-or-later
// The elements of our sets.
#include "core/plan/firewall/set_contents.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/belt.hpp"
#include "core/plan/refused_services.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

/// Loopback is accepted. On a device that was refused as a tunnel all packets are dropped, also
/// those to the local network: it may lead to a server of any user. The refusal outlives the
/// device, so that a new device of this name is covered before any hook runs. It does not apply to
/// a device of this name that cannot be a tunnel.
Set device_map(const SetOf<InterfaceName, Decision>& handle, const FirewallInputs& in,
               const Decision& for_tunnels)
{
    SetBuilder map(handle);
    map.add(loopback(), Verdict::Accept);
    for (const auto& tunnel : in.state.tunnels) {
        map.add(tunnel.interface, for_tunnels);
    }
    for (const auto& refused : in.state.refused) {
        const Link* link = in.snapshot.find(refused);
        if (link == nullptr || link->can_be_tunnel) {
            map.add(refused, Verdict::Drop);
        }
    }
    return map.take();
}

std::vector<InterfaceName> tunnel_devices(const State& state)
{
    std::vector<InterfaceName> devices;
    std::ranges::transform(state.tunnels, std::back_inserter(devices), &Tunnel::interface);
    return devices;
}

/// Destinations of neighbour discovery and multicast listener discovery. Solicitations go only to
/// groups of the link and connected networks, because they contain the address that is asked for;
/// redirects are not admitted.
void add_neighbours_out(std::vector<Set>& all, const FirewallInputs& in)
{
    SetBuilder neighbours(sets::kNeighbourOut);
    neighbours.add({icmpv6::kRouterSolicitation}, prefix("ff02::2/128"));
    neighbours.add({icmpv6::kNeighbourSolicitation}, prefix("ff02::1:ff00:0/104"));
    neighbours.add({icmpv6::kNeighbourAdvertisement}, prefix("ff02::1/128"));
    for (const auto& network : connected_prefixes(Family::V6, in.state, in.snapshot)) {
        neighbours.add({icmpv6::kNeighbourSolicitation}, network);
        neighbours.add({icmpv6::kNeighbourAdvertisement}, network);
    }
    all.push_back(neighbours.take());
    SetBuilder listeners(sets::kListenerOut);
    listeners.add({icmpv6::kListenerReportV2}, prefix("ff02::16/128"));
    listeners.add({icmpv6::kListenerReport}, prefix("ff02::/16"));
    listeners.add({icmpv6::kListenerDone}, prefix("ff02::2/128"));
    all.push_back(listeners.take());
}

/// Sources of neighbour discovery to this machine, on other devices and inside tunnels.
void add_neighbours_in(std::vector<Set>& all)
{
    SetBuilder neighbours(sets::kNeighbourIn);
    neighbours.add({icmpv6::kRouterAdvertisement}, prefix("fe80::/10"));
    neighbours.add({icmpv6::kNeighbourSolicitation}, IpPrefix::any(Family::V6));
    neighbours.add({icmpv6::kNeighbourAdvertisement}, IpPrefix::any(Family::V6));
    all.push_back(neighbours.take());
    all.push_back(filled(sets::kNeighbourInside, {Icmpv6Type{icmpv6::kNeighbourSolicitation},
                                                  Icmpv6Type{icmpv6::kNeighbourAdvertisement}}));
}

void add_icmp_errors(std::vector<Set>& all)
{
    all.push_back(filled(sets::kIcmpError,
                         {IcmpType{icmp::kDestinationUnreachable}, IcmpType{icmp::kTimeExceeded},
                          IcmpType{icmp::kParameterProblem}}));
    all.push_back(
        filled(sets::kIcmpv6Error,
               {Icmpv6Type{icmpv6::kDestinationUnreachable}, Icmpv6Type{icmpv6::kPacketTooBig},
                Icmpv6Type{icmpv6::kTimeExceeded}, Icmpv6Type{icmpv6::kParameterProblem}}));
}

Set lease_servers(const State& state, const Snapshot& snapshot)
{
    SetBuilder servers(sets::kLeaseServer);
    for (const auto& lease : usable_leases(state, snapshot)) {
        servers.add(lease.interface, lease.server);
    }
    return servers.take();
}

/// The addresses and networks of each tunnel together with its device.
void add_tunnel_sets(std::vector<Set>& all, Family family, const State& state)
{
    SetBuilder sources(sets::kTunnelSource(family));
    for (const auto& tunnel : state.tunnels) {
        State alone;
        alone.tunnels = {tunnel};
        for (const auto& network : tunnel_networks(family, alone)) {
            sources.add(tunnel.interface, network);
        }
    }
    all.push_back(tunnel_addresses(family, state));
    all.push_back(sources.take());
}

/// The users or marks of `admitted`, and the servers with ports that they are admitted to.
template <typename Who, typename Admitted>
Set admitted_set(const SetOf<Who, IpAddress, Transport, Port>& handle, Family family,
                 const std::vector<Admitted>& admitted)
{
    SetBuilder set(handle);
    for (const auto& [who, endpoint] : admitted) {
        if (endpoint.address.family() == family && endpoint.port) {
            set.add({who}, endpoint.address, endpoint.transport, *endpoint.port);
        }
    }
    return set.take();
}

enum class Servers : std::uint8_t { All, Portless };

/// The same without ports.
template <typename Who, typename Admitted>
Set admitted_hosts(const SetOf<Who, IpAddress, Transport>& handle, Family family,
                   const std::vector<Admitted>& admitted, Servers servers)
{
    SetBuilder set(handle);
    for (const auto& [who, endpoint] : admitted) {
        if (endpoint.address.family() == family && (servers == Servers::All || !endpoint.port)) {
            set.add({who}, endpoint.address, endpoint.transport);
        }
    }
    return set.take();
}

void add_servers(std::vector<Set>& all, Family family, const FirewallInputs& in)
{
    SetBuilder servers(sets::kServer(family));
    for (const auto& endpoint : in.admitted.endpoints) {
        if (endpoint.address.family() == family && endpoint.port) {
            servers.add(endpoint.address, endpoint.transport, *endpoint.port);
        }
    }
    all.push_back(servers.take());
    all.push_back(admitted_set(sets::kVpnUid(family), family, in.admitted.uids));
    if (in.needs.marks) {
        all.push_back(admitted_set(sets::kVpnMark(family), family, in.admitted.marks));
    }
    if (in.needs.portless) {
        all.push_back(admitted_hosts(sets::kVpnPortlessUid(family), family, in.admitted.uids,
                                     Servers::Portless));
        all.push_back(admitted_hosts(sets::kVpnPortlessMark(family), family, in.admitted.marks,
                                     Servers::Portless));
    }
}

Set portless_servers(Family family, const Admissions& admitted)
{
    SetBuilder servers(sets::kPortlessServer(family));
    for (const auto& endpoint : admitted.endpoints) {
        if (endpoint.address.family() == family && !endpoint.port) {
            servers.add(endpoint.address, endpoint.transport);
        }
    }
    return servers.take();
}

/// Prefixes of the same port are made disjoint.
Set inbound_services(Family family, const Config& config)
{
    std::map<std::pair<Transport, Port>, std::vector<IpPrefix>> services;
    for (const auto& service : config.inbound) {
        if (service.from.family() == family) {
            services[{service.transport, service.port}].push_back(service.from);
        }
    }
    SetBuilder set(sets::kInbound(family));
    for (auto& [service, sources] : services) {
        for (const auto& from : without_contained(std::move(sources))) {
            set.add(from, service.first, service.second);
        }
    }
    return set.take();
}

Set networks_behind(Family family, const FirewallInputs& in)
{
    SetBuilder set(sets::kDownstream(family));
    for (const auto& [device, network] :
         downstream_networks(family, in.state, in.config, in.snapshot)) {
        set.add(device, network);
    }
    return set.take();
}

Set questions_to(const IpAddress& resolver, const SetOf<IpAddress, Transport, Port>& handle)
{
    SetBuilder questions(handle);
    questions.add(resolver, Transport::Udp, port(kDnsPort));
    questions.add(resolver, Transport::Tcp, port(kDnsPort));
    return questions.take();
}

} // namespace

Set bootstrap_elements(const IpAddress& resolver)
{
    return questions_to(resolver, sets::kBootstrap(resolver.family()));
}

std::vector<Set> portal_elements(const Portal& portal)
{
    std::vector<Set> all;
    if (portal.gid) {
        all.push_back(filled(sets::kPortalGid, {Gid{*portal.gid}}));
    } else {
        all.push_back(filled(sets::kPortalUid, {Uid{portal.uid}}));
    }
    for (const auto& resolver : portal.resolvers) {
        all.push_back(questions_to(resolver, sets::kPortalResolver(resolver.family())));
    }
    return all;
}

std::vector<SetHandle> portal_sets()
{
    return {sets::kPortalUid, sets::kPortalGid, sets::kPortalResolver(Family::V4),
            sets::kPortalResolver(Family::V6)};
}

Set tunnel_addresses(Family family, const State& state)
{
    SetBuilder addresses(sets::kTunnelAddress(family));
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == family) {
                addresses.add(tunnel.interface, own.address);
            }
        }
    }
    return addresses.take();
}

Set tunnel_destinations(Family family, const State& state)
{
    SetBuilder addresses(sets::kTunnelDestination(family));
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == family) {
                addresses.add(own.address);
            }
        }
    }
    return addresses.take();
}

std::vector<Set> leaving_sets(const FirewallInputs& in)
{
    std::vector<Set> all;
    for (const Family family : kFamilies) {
        all.push_back(tunnel_destinations(family, in.state));
        all.push_back(filled(sets::kTunnelNetwork(family), tunnel_networks(family, in.state)));
        add_servers(all, family, in);
        all.push_back({sets::kBootstrap(family), {}});
        all.push_back(
            filled(sets::kLan(family), lan_prefixes(family, in.state, in.config, in.snapshot)));
        if (in.needs.inbound) {
            all.push_back(inbound_services(family, in.config));
        }
        if (in.needs.portal) {
            all.push_back({sets::kPortalResolver(family), {}});
        }
    }
    add_neighbours_out(all, in);
    all.push_back(lease_servers(in.state, in.snapshot));
    if (in.needs.portal) {
        all.push_back({sets::kPortalUid, {}});
        all.push_back({sets::kPortalGid, {}});
    }
    return all;
}

Set own_addresses(Family family, const FirewallInputs& in)
{
    SetBuilder addresses(sets::kOwn(family));
    for (const auto& link : in.snapshot.links) {
        for (const auto& own : link.addresses) {
            if (is_underlay(in.state, link) && own.address.family() == family &&
                !own.address.is_link_local()) {
                addresses.add(own.address);
            }
        }
    }
    return addresses.take();
}

std::vector<Set> egress_sets(const FirewallInputs& in)
{
    std::vector<Set> all;
    for (const Family family : kFamilies) {
        all.push_back(own_addresses(family, in));
        all.push_back(
            admitted_hosts(sets::kVpnHostUid(family), family, in.admitted.uids, Servers::All));
        if (in.needs.marks) {
            all.push_back(admitted_hosts(sets::kVpnHostMark(family), family, in.admitted.marks,
                                         Servers::All));
        }
    }
    return all;
}

std::vector<Set> inet_sets(const FirewallInputs& in)
{
    std::vector<Set> all;
    all.push_back(device_map(sets::kInputDevice, in, Goto{chains::kFromTunnel}));
    all.push_back(device_map(sets::kInnerDevice, in, Verdict::Accept));
    all.push_back(device_map(sets::kLeavingDevice, in, Goto{chains::kIntoTunnel}));
    all.push_back(filled(sets::kTunnelDevice, tunnel_devices(in.state)));
    if (in.needs.downstream) {
        all.push_back(
            filled(sets::kDownstreamDevice, downstream_devices(in.state, in.config, in.snapshot)));
    }
    if (in.needs.inbound) {
        all.push_back(filled(sets::kGuestDevice, guest_devices(in.state, in.config, in.snapshot)));
    }
    for (const Family family : kFamilies) {
        add_tunnel_sets(all, family, in.state);
        all.push_back(filled(sets::kPrivateNetwork(family), private_prefixes(family)));
        if (in.needs.portless) {
            all.push_back(portless_servers(family, in.admitted));
        }
        if (in.needs.downstream) {
            all.push_back(networks_behind(family, in));
        }
    }
    add_neighbours_in(all);
    add_icmp_errors(all);
    return all;
}

} // namespace failclosed
