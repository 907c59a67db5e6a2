// SPDX-License-Identifier: GPL-3.0-or-later
// The sets that rules look into.
#include "core/plan/firewall_sets.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/plan/belt.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/underlay.hpp"

namespace failclosed {

namespace {

/// Loopback is accepted. A device that was refused as a tunnel may lead to a server of any user's:
/// nothing passes it, not even what is for the local network. The refusal outlives the device, so
/// that its end changes no rule and a device made anew is covered before any hook runs. A network
/// card of this name is no tunnel and is not concerned.
Set device_map(std::string name, Field field, const FirewallInputs& in, const Decision& for_tunnels)
{
    std::vector<SetElement> elements = {{{loopback()}, Decision(Verdict::Accept)}};
    for (const auto& tunnel : in.state.tunnels) {
        elements.push_back({{tunnel.interface}, for_tunnels});
    }
    for (const auto& refused : in.state.refused) {
        const Link* link = in.snapshot.find(refused);
        if (link == nullptr || link->can_be_tunnel) {
            elements.push_back({{refused}, Decision(Verdict::Drop)});
        }
    }
    Set map = elements_of(std::move(name), {field}, std::move(elements));
    map.verdicts = true;
    return map;
}

Set device_set(std::string name, const std::vector<InterfaceName>& devices)
{
    std::vector<SetElement> elements;
    std::ranges::transform(devices, std::back_inserter(elements),
                           [](const InterfaceName& device) { return SetElement{{device}, {}}; });
    return elements_of(std::move(name), {Field::InputInterface}, std::move(elements));
}

std::vector<InterfaceName> tunnel_devices(const State& state)
{
    std::vector<InterfaceName> devices;
    std::ranges::transform(state.tunnels, std::back_inserter(devices), &Tunnel::interface);
    return devices;
}

SetElement icmpv6_to(std::uint8_t type, const IpPrefix& network)
{
    return {{Icmpv6Type{type}, network}, {}};
}

/// What neighbour discovery and multicast listener discovery say, and to whom. Solicitations go to
/// the link's own groups and connected networks only, because they name the address that is asked
/// for; redirects are no part of it.
void add_neighbours_out(std::vector<Set>& sets, const FirewallInputs& in)
{
    std::vector<SetElement> out = {
        icmpv6_to(icmpv6::kRouterSolicitation, prefix("ff02::2/128")),
        icmpv6_to(icmpv6::kNeighbourSolicitation, prefix("ff02::1:ff00:0/104")),
        icmpv6_to(icmpv6::kNeighbourAdvertisement, prefix("ff02::1/128"))};
    for (const auto& network : connected_prefixes(Family::V6, in.state, in.snapshot)) {
        out.push_back(icmpv6_to(icmpv6::kNeighbourSolicitation, network));
        out.push_back(icmpv6_to(icmpv6::kNeighbourAdvertisement, network));
    }
    sets.push_back(elements_of("neighbour_out", {Field::Icmpv6Kind, Field::Destination6},
                               std::move(out), true));
    sets.push_back(elements_of("listener_out", {Field::Icmpv6Kind, Field::Destination6},
                               {icmpv6_to(icmpv6::kListenerReportV2, prefix("ff02::16/128")),
                                icmpv6_to(icmpv6::kListenerReport, prefix("ff02::/16")),
                                icmpv6_to(icmpv6::kListenerDone, prefix("ff02::2/128"))},
                               true));
}

/// And what they may say to this machine, by its other devices and inside tunnels.
void add_neighbours_in(std::vector<Set>& sets)
{
    sets.push_back(
        elements_of("neighbour_in", {Field::Icmpv6Kind, Field::Source6},
                    {icmpv6_to(icmpv6::kRouterAdvertisement, prefix("fe80::/10")),
                     icmpv6_to(icmpv6::kNeighbourSolicitation, IpPrefix::any(Family::V6)),
                     icmpv6_to(icmpv6::kNeighbourAdvertisement, IpPrefix::any(Family::V6))},
                    true));
    sets.push_back(elements_of("neighbour_inside", {Field::Icmpv6Kind},
                               {{{Icmpv6Type{icmpv6::kNeighbourSolicitation}}, {}},
                                {{Icmpv6Type{icmpv6::kNeighbourAdvertisement}}, {}}}));
}

Set lease_servers(const State& state, const Snapshot& snapshot)
{
    std::vector<SetElement> elements;
    for (const auto& lease : usable_leases(state, snapshot)) {
        elements.push_back({{lease.interface, lease.server}, {}});
    }
    return elements_of("lease_server", {Field::OutputInterface, Field::Destination4},
                       std::move(elements));
}

/// The addresses of all tunnels.
Set tunnel_destinations(Family family, const State& state)
{
    std::vector<SetElement> elements;
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == family) {
                elements.push_back({{own.address}, {}});
            }
        }
    }
    return elements_of(of_family("tunnel_destination", family), {destination(family)},
                       std::move(elements));
}

/// The addresses and networks of each tunnel together with its device.
void add_tunnel_sets(std::vector<Set>& sets, Family family, const State& state)
{
    std::vector<SetElement> addresses;
    std::vector<SetElement> sources;
    for (const auto& tunnel : state.tunnels) {
        for (const auto& own : tunnel.addresses) {
            if (own.address.family() == family) {
                addresses.push_back({{tunnel.interface, own.address}, {}});
            }
        }
        State alone;
        alone.tunnels = {tunnel};
        for (const auto& network : tunnel_networks(family, alone)) {
            sources.push_back({{tunnel.interface, network}, {}});
        }
    }
    sets.push_back(elements_of(of_family("tunnel_address", family),
                               {Field::InputInterface, destination(family)}, std::move(addresses)));
    sets.push_back(elements_of(of_family("tunnel_source", family),
                               {Field::InputInterface, source(family)}, std::move(sources), true));
}

std::vector<KeyPart> endpoint_key(const Endpoint& endpoint)
{
    std::vector<KeyPart> key{endpoint.address, endpoint.transport};
    if (endpoint.port) {
        key.emplace_back(*endpoint.port);
    }
    return key;
}

/// One set of what may be sent to servers of one family, with or without ports.
template <typename Admitted, typename Key>
Set admitted_set(std::string name, Field who, Family family, bool ports,
                 const std::vector<Admitted>& admitted, Key key_of)
{
    std::vector<SetElement> elements;
    for (const auto& one : admitted) {
        if (one.endpoint.address.family() == family && one.endpoint.port.has_value() == ports) {
            auto key = endpoint_key(one.endpoint);
            key.insert(key.begin(), key_of(one));
            elements.push_back({std::move(key), {}});
        }
    }
    auto fields = with_front(who, endpoint_fields(family));
    if (!ports) {
        fields.pop_back();
    }
    return elements_of(std::move(name), std::move(fields), std::move(elements));
}

Set server_set(std::string name, Family family, bool ports, const Admissions& admitted)
{
    std::vector<SetElement> elements;
    for (const auto& endpoint : admitted.endpoints) {
        if (endpoint.address.family() == family && endpoint.port.has_value() == ports) {
            elements.push_back({endpoint_key(endpoint), {}});
        }
    }
    auto fields = endpoint_fields(family);
    if (!ports) {
        fields.pop_back();
    }
    return elements_of(std::move(name), std::move(fields), std::move(elements));
}

void add_admitted_sets(std::vector<Set>& sets, Family family, const Admissions& admitted,
                       bool ports, bool marks)
{
    const std::string portless = ports ? "" : "portless_";
    const auto by_uid = [](const AdmittedUid& one) { return KeyPart(Uid{one.uid}); };
    const auto by_mark = [](const AdmittedMark& one) { return KeyPart(Mark{one.mark}); };
    sets.push_back(admitted_set(of_family("vpn_" + portless + "uid", family), Field::SocketUid,
                                family, ports, admitted.uids, by_uid));
    if (marks) {
        sets.push_back(admitted_set(of_family("vpn_" + portless + "mark", family), Field::Mark,
                                    family, ports, admitted.marks, by_mark));
    }
}

Set port_set(std::string name, const std::vector<std::pair<Transport, std::uint16_t>>& ports)
{
    std::vector<SetElement> elements;
    for (const auto& [transport, number] : ports) {
        elements.push_back({{transport, port(number)}, {}});
    }
    return elements_of(std::move(name), {Field::Protocol, Field::DestinationPort},
                       std::move(elements));
}

/// Ports overlap never, prefixes of the same port are made disjoint.
Set inbound_set(Family family, const Config& config)
{
    std::map<std::pair<Transport, Port>, std::vector<IpPrefix>> services;
    for (const auto& service : config.inbound) {
        if (service.from.family() == family) {
            services[{service.transport, service.port}].push_back(service.from);
        }
    }
    std::vector<SetElement> elements;
    for (auto& [service, sources] : services) {
        for (const auto& from : without_contained(std::move(sources))) {
            elements.push_back({{from, service.first, service.second}, {}});
        }
    }
    return elements_of(of_family("inbound", family),
                       {source(family), Field::Protocol, Field::DestinationPort},
                       std::move(elements), true);
}

Set downstream_set(Family family, const FirewallInputs& in)
{
    std::vector<SetElement> elements;
    for (const auto& [device, network] :
         downstream_networks(family, in.state, in.config, in.snapshot)) {
        elements.push_back({{device, network}, {}});
    }
    return elements_of(of_family("downstream", family),
                       {Field::OutputInterface, destination(family)}, std::move(elements), true);
}

Set with_timeouts(std::string name, std::vector<Field> key)
{
    Set set;
    set.name = std::move(name);
    set.key = std::move(key);
    set.timeouts = true;
    return set;
}

} // namespace

Set elements_of(std::string name, std::vector<Field> key, std::vector<SetElement> elements,
                bool intervals)
{
    std::ranges::sort(elements);
    const auto rest = std::ranges::unique(elements);
    elements.erase(rest.begin(), rest.end());
    Set set;
    set.name = std::move(name);
    set.key = std::move(key);
    set.intervals = intervals;
    set.verdicts = !elements.empty() && elements.front().decision.has_value();
    set.elements = std::move(elements);
    return set;
}

Set prefix_set(std::string name, Field field, const std::vector<IpPrefix>& prefixes)
{
    std::vector<SetElement> elements;
    for (const auto& one : prefixes) {
        elements.push_back({{one}, {}});
    }
    return elements_of(std::move(name), {field}, std::move(elements), true);
}

Set bootstrap_set(Family family)
{
    return with_timeouts(of_family("bootstrap", family), endpoint_fields(family));
}

Set portal_uid_set()
{
    return with_timeouts("portal_uid", {Field::SocketUid});
}

Set portal_gid_set()
{
    return with_timeouts("portal_gid", {Field::SocketGid});
}

Set portal_resolver_set(Family family)
{
    return with_timeouts(of_family("portal_resolver", family), endpoint_fields(family));
}

std::vector<Set> leaving_sets(const FirewallInputs& in)
{
    std::vector<Set> sets;
    for (const Family family : kFamilies) {
        sets.push_back(tunnel_destinations(family, in.state));
        sets.push_back(prefix_set(of_family("tunnel_network", family), destination(family),
                                  tunnel_networks(family, in.state)));
        sets.push_back(server_set(of_family("server", family), family, true, in.admitted));
        add_admitted_sets(sets, family, in.admitted, true, in.needs.marks);
        if (in.needs.portless) {
            add_admitted_sets(sets, family, in.admitted, false, true);
        }
        sets.push_back(bootstrap_set(family));
        sets.push_back(prefix_set(of_family("lan", family), destination(family),
                                  lan_prefixes(family, in.state, in.config, in.snapshot)));
        if (in.needs.inbound) {
            sets.push_back(inbound_set(family, in.config));
        }
        if (in.needs.portal) {
            sets.push_back(portal_resolver_set(family));
        }
    }
    add_neighbours_out(sets, in);
    sets.push_back(lease_servers(in.state, in.snapshot));
    sets.push_back(port_set("dns_port", {{Transport::Udp, 53},
                                         {Transport::Tcp, 53},
                                         {Transport::Udp, 853},
                                         {Transport::Tcp, 853}}));
    if (!in.config.lan_names) {
        // NetBIOS, mDNS, LLMNR.
        sets.push_back(port_set("name_port", {{Transport::Udp, 137},
                                              {Transport::Udp, 5353},
                                              {Transport::Udp, 5355},
                                              {Transport::Tcp, 5355}}));
    }
    if (in.needs.portal) {
        sets.push_back(portal_uid_set());
        sets.push_back(portal_gid_set());
    }
    return sets;
}

// Of underlays: those of tunnels come and go with their programs.
Set own_addresses(Family family, const FirewallInputs& in)
{
    std::vector<SetElement> elements;
    for (const auto& link : in.snapshot.links) {
        for (const auto& own : link.addresses) {
            if (is_underlay(in.state, link) && own.address.family() == family &&
                !own.address.is_link_local()) {
                elements.push_back({{own.address}, {}});
            }
        }
    }
    return elements_of(of_family("own", family), {source(family)}, std::move(elements));
}

std::vector<Set> egress_sets(const FirewallInputs& in)
{
    std::vector<Set> sets;
    for (const Family family : kFamilies) {
        std::vector<SetElement> by_uid;
        for (const auto& [uid, endpoint] : in.admitted.uids) {
            if (endpoint.address.family() == family) {
                by_uid.push_back({{Uid{uid}, endpoint.address, endpoint.transport}, {}});
            }
        }
        std::vector<SetElement> by_mark;
        for (const auto& [mark, endpoint] : in.admitted.marks) {
            if (endpoint.address.family() == family) {
                by_mark.push_back({{Mark{mark}, endpoint.address, endpoint.transport}, {}});
            }
        }
        sets.push_back(own_addresses(family, in));
        const std::vector<Field> host = {destination(family), Field::Protocol};
        sets.push_back(elements_of(of_family("vpn_host_uid", family),
                                   with_front(Field::SocketUid, host), std::move(by_uid)));
        if (in.needs.marks) {
            sets.push_back(elements_of(of_family("vpn_host_mark", family),
                                       with_front(Field::Mark, host), std::move(by_mark)));
        }
    }
    return sets;
}

std::vector<Set> inet_sets(const FirewallInputs& in)
{
    const State& state = in.state;
    std::vector<Set> sets;
    sets.push_back(device_map("input_device", Field::InputInterface, in, Goto{"from_tunnel"}));
    sets.push_back(device_map("inner_device", Field::OutputInterface, in, Verdict::Accept));
    sets.push_back(
        device_map("leaving_device", Field::OutputInterface, in, Goto{"into_tunnel"}));
    sets.push_back(device_set("tunnel_device", tunnel_devices(state)));
    if (in.needs.downstream) {
        sets.push_back(
            device_set("downstream_device", downstream_devices(in.state, in.config, in.snapshot)));
    }
    if (in.needs.inbound) {
        sets.push_back(device_set("guest_device", guest_devices(in.state, in.config, in.snapshot)));
    }
    for (const Family family : kFamilies) {
        add_tunnel_sets(sets, family, state);
        sets.push_back(
            prefix_set(of_family("private", family), source(family), private_prefixes(family)));
        if (in.needs.portless) {
            sets.push_back(
                server_set(of_family("portless_server", family), family, false, in.admitted));
        }
        if (in.needs.downstream) {
            sets.push_back(downstream_set(family, in));
        }
    }
    add_neighbours_in(sets);
    return sets;
}

} // namespace failclosed
