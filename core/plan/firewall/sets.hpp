// SPDX-License-Identifier: GPL-3.0-or-later
// Every set and verdict map of our tables, except those of refused services: name, key, and types
// of its elements.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/plan/firewall/set_handle.hpp"

namespace failclosed {

/// Whether a value of this type fits `field` of a key.
template <typename Part> constexpr bool fits(Field field)
{
    switch (field) {
    case Field::InputInterface:
    case Field::OutputInterface:
        return std::is_same_v<Part, InterfaceName>;
    case Field::Source4:
    case Field::Source6:
    case Field::Destination4:
    case Field::Destination6:
    case Field::ArpSource:
    case Field::ArpTarget:
        return std::is_same_v<Part, IpAddress> || std::is_same_v<Part, IpPrefix>;
    case Field::Protocol:
        return std::is_same_v<Part, Transport>;
    case Field::SourcePort:
    case Field::DestinationPort:
        return std::is_same_v<Part, Port>;
    case Field::IcmpKind:
        return std::is_same_v<Part, IcmpType>;
    case Field::Icmpv6Kind:
        return std::is_same_v<Part, Icmpv6Type>;
    case Field::SocketUid:
        return std::is_same_v<Part, Uid>;
    case Field::SocketGid:
        return std::is_same_v<Part, Gid>;
    case Field::Mark:
        return std::is_same_v<Part, Mark>;
    case Field::SourceMac:
        return std::is_same_v<Part, MacAddress>;
    }
    return false;
}

/// Not constexpr, so that a handle whose parts do not fit its key does not compile.
void part_does_not_fit_its_field();

/// The source of a set's elements.
enum class Elements : std::uint8_t {
    Planned,
    Timed, ///< added at run time, and removed by the kernel
};

/// A handle whose elements consist of `Parts`, one for each field of the key, in its order. A
/// Decision as the last part makes a verdict map, a prefix a set of intervals.
template <typename... Parts> struct SetOf : SetHandle {
    consteval SetOf(SetName set_name, KeyFields fields, Elements elements = Elements::Planned)
        : SetHandle{.name = set_name,
                    .key = fields,
                    .intervals = (std::is_same_v<Parts, IpPrefix> || ...),
                    .verdicts = (std::is_same_v<Parts, Decision> || ...),
                    .timeouts = elements == Elements::Timed}
    {
        std::size_t place = 0;
        const bool fitting =
            ((std::is_same_v<Parts, Decision> || fits<Parts>(key[place++])) && ...);
        if (!fitting || place != key.size()) {
            part_does_not_fit_its_field();
        }
    }
};

/// One handle for each family. The key is given for IPv4.
template <typename... Parts> class SetsOf {
  public:
    consteval SetsOf(SetName name, KeyFields key, Elements elements = Elements::Planned)
        : v4_(name.of(Family::V4), key, elements),
          v6_(name.of(Family::V6), key.map(in_ipv6), elements)
    {
    }

    constexpr const SetOf<Parts...>& operator()(Family family) const
    {
        return family == Family::V4 ? v4_ : v6_;
    }

  private:
    static constexpr Field in_ipv6(Field field)
    {
        if (field == Field::Source4) {
            return Field::Source6;
        }
        return field == Field::Destination4 ? Field::Destination6 : field;
    }

    SetOf<Parts...> v4_;
    SetOf<Parts...> v6_;
};

/// Collects the elements of a set.
template <typename... Parts> class SetBuilder {
  public:
    explicit SetBuilder(const SetOf<Parts...>& handle) : set_{handle, {}} {}

    void add(Parts... parts)
    {
        SetElement& element = set_.elements.emplace_back();
        (place(element, std::move(parts)), ...);
    }

    /// sorted(); the builder is empty afterwards.
    Set take() { return sorted(std::exchange(set_, Set{set_.handle, {}})); }

  private:
    template <typename Part> static void place(SetElement& element, Part part)
    {
        if constexpr (std::is_same_v<Part, Decision>) {
            element.decision = std::move(part);
        } else {
            element.key.emplace_back(std::move(part));
        }
    }

    Set set_;
};

template <typename Part> Set filled(const SetOf<Part>& handle, const std::vector<Part>& parts)
{
    SetBuilder set(handle);
    for (const Part& part : parts) {
        set.add(part);
    }
    return set.take();
}

namespace sets {

inline constexpr KeyFields kDevice = {Field::OutputInterface};
inline constexpr KeyFields kEndpoint = {Field::Destination4, Field::Protocol,
                                        Field::DestinationPort};

// ---- Devices ----

inline constexpr SetOf<InterfaceName, Decision> kInputDevice{"input_device", kDevice};
inline constexpr SetOf<InterfaceName, Decision> kInnerDevice{"inner_device", kDevice};
inline constexpr SetOf<InterfaceName, Decision> kLeavingDevice{"leaving_device", kDevice};
inline constexpr SetOf<InterfaceName> kTunnelDevice{"tunnel_device", kDevice};
/// The devices of `forward=`.
inline constexpr SetOf<InterfaceName> kDownstreamDevice{"downstream_device", kDevice};
inline constexpr SetOf<InterfaceName> kGuestDevice{"guest_device", kDevice};

// ---- Addresses of this machine ----

/// Of all tunnels.
inline constexpr SetsOf<IpAddress> kTunnelDestination{"tunnel_destination", Field::Source4};
/// Of each tunnel, with its device.
inline constexpr SetsOf<InterfaceName, IpAddress> kTunnelAddress{
    "tunnel_address", {Field::OutputInterface, Field::Source4}};
/// Outside the tunnels, without link-local ones.
inline constexpr SetsOf<IpAddress> kOwn{"own", Field::Source4};

// ---- Remote networks ----

/// Of all tunnels.
inline constexpr SetsOf<IpPrefix> kTunnelNetwork{"tunnel_network", Field::Destination4};
/// Of each tunnel, with its device.
inline constexpr SetsOf<InterfaceName, IpPrefix> kTunnelSource{
    "tunnel_source", {Field::OutputInterface, Field::Destination4}};
inline constexpr SetsOf<IpPrefix> kLan{"lan", Field::Destination4};
inline constexpr SetsOf<IpPrefix> kPrivateNetwork{"private", Field::Destination4};
/// Networks behind this machine, with their device.
inline constexpr SetsOf<InterfaceName, IpPrefix> kDownstream{
    "downstream", {Field::OutputInterface, Field::Destination4}};

// ---- VPN servers ----

inline constexpr SetsOf<IpAddress, Transport, Port> kServer{"server", kEndpoint};
/// With the users and the marks that are admitted to them.
inline constexpr SetsOf<Uid, IpAddress, Transport, Port> kVpnUid{
    "vpn_uid", {Field::SocketUid, Field::Destination4, Field::Protocol, Field::DestinationPort}};
inline constexpr SetsOf<Mark, IpAddress, Transport, Port> kVpnMark{
    "vpn_mark", {Field::Mark, Field::Destination4, Field::Protocol, Field::DestinationPort}};
/// Transports without ports.
inline constexpr SetsOf<IpAddress, Transport> kPortlessServer{
    "portless_server", {Field::Destination4, Field::Protocol}};
inline constexpr SetsOf<Uid, IpAddress, Transport> kVpnPortlessUid{
    "vpn_portless_uid", {Field::SocketUid, Field::Destination4, Field::Protocol}};
inline constexpr SetsOf<Mark, IpAddress, Transport> kVpnPortlessMark{
    "vpn_portless_mark", {Field::Mark, Field::Destination4, Field::Protocol}};
/// All transports, for later fragments, which have no ports.
inline constexpr SetsOf<Uid, IpAddress, Transport> kVpnHostUid{
    "vpn_host_uid", {Field::SocketUid, Field::Destination4, Field::Protocol}};
inline constexpr SetsOf<Mark, IpAddress, Transport> kVpnHostMark{
    "vpn_host_mark", {Field::Mark, Field::Destination4, Field::Protocol}};

// ---- Other packets outside the tunnels ----

/// Neighbour and multicast listener discovery: message types, and networks of their destination or
/// source.
inline constexpr SetOf<Icmpv6Type, IpPrefix> kNeighbourOut{
    "neighbour_out", {Field::Icmpv6Kind, Field::Destination6}};
inline constexpr SetOf<Icmpv6Type, IpPrefix> kListenerOut{"listener_out",
                                                          {Field::Icmpv6Kind, Field::Destination6}};
inline constexpr SetOf<Icmpv6Type, IpPrefix> kNeighbourIn{"neighbour_in",
                                                          {Field::Icmpv6Kind, Field::Destination6}};
inline constexpr SetOf<Icmpv6Type> kNeighbourInside{"neighbour_inside", Field::Icmpv6Kind};
/// ICMP errors that only this machine's own flows may bring.
inline constexpr SetOf<IcmpType> kIcmpError{"icmp_error", Field::IcmpKind};
inline constexpr SetOf<Icmpv6Type> kIcmpv6Error{"icmpv6_error", Field::Icmpv6Kind};
inline constexpr SetOf<InterfaceName, IpAddress> kLeaseServer{
    "lease_server", {Field::OutputInterface, Field::Destination4}};
// ---- Services ----

/// The services of RefusedService, with the chains that refuse them.
inline constexpr SetOf<Transport, Port, Decision> kRefusedService{
    "refused_service", {Field::Protocol, Field::DestinationPort}};
inline constexpr SetOf<Transport, Port, Decision> kRefusedServiceSilently{
    "refused_service_silently", {Field::Protocol, Field::DestinationPort}};
/// Services of this machine, with the networks that may reach them.
inline constexpr SetsOf<IpPrefix, Transport, Port> kInbound{
    "inbound", {Field::Destination4, Field::Protocol, Field::SourcePort}};
/// Addresses that ARP may query on a device.
inline constexpr SetOf<InterfaceName, IpPrefix> kArpTarget{
    "arp_target4", {Field::OutputInterface, Field::ArpTarget}};
/// Guests of `belt-allow=`.
inline constexpr SetOf<MacAddress> kAllowedMac{"allowed_mac", Field::SourceMac};
inline constexpr SetsOf<IpPrefix> kAllowedSource{"allowed_source", Field::Source4};

// ---- In all tables that filter leaving packets, under the same name ----

/// Resolvers that the refresh helper may query outside the tunnels, for seconds.
inline constexpr SetsOf<IpAddress, Transport, Port> kBootstrap{"bootstrap", kEndpoint,
                                                               Elements::Timed};
/// Users and programs that sign in to the network, and its resolvers, for minutes.
inline constexpr SetOf<Uid> kPortalUid{"portal_uid", Field::SocketUid, Elements::Timed};
inline constexpr SetOf<Gid> kPortalGid{"portal_gid", Field::SocketGid, Elements::Timed};
inline constexpr SetsOf<IpAddress, Transport, Port> kPortalResolver{"portal_resolver", kEndpoint,
                                                                    Elements::Timed};

} // namespace sets

} // namespace failclosed
