// SPDX-License-Identifier: GPL-3.0-or-later
// Lock 3: all frames that leave a device.
#include "core/plan/firewall/belt.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/leaving.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

// linux/if_ether.h
constexpr EtherType kWithLength{0x0004}; // ETH_P_802_2
constexpr EtherType kSlowProtocols{0x8809};
constexpr EtherType kEapol{0x888e};
constexpr EtherType kPppoeDiscovery{0x8863};
constexpr EtherType kPppoeSession{0x8864};

/// A chain name may contain letters, digits, '_' and '.'; a device name nearly any byte.
std::string chain_of(const InterfaceName& device)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string name = "device_";
    for (const char c : device.text()) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
        if (plain) {
            name += c;
        } else {
            name += {'_', kDigits[byte >> 4], kDigits[byte & 0xf]};
        }
    }
    return name;
}

/// Sorts the entries of `belt-allow` by type: sets, except for EtherTypes, which get one rule each.
struct Allowances {
    std::vector<MacAddress> macs;
    std::vector<IpPrefix> sources;
    std::vector<EtherType> types;

    void operator()(const MacAddress& mac) { macs.push_back(mac); }

    void operator()(const IpPrefix& source) { sources.push_back(source); }

    void operator()(EtherType type) { types.push_back(type); }
};

Allowances allowances(const Config& config)
{
    Allowances all;
    for (const auto& one : config.belt_allow) {
        std::visit([&](const auto& value) { all(value); }, one);
    }
    all.sources = without_contained(std::move(all.sources));
    return all;
}

std::vector<IpPrefix> of(Family family, const std::vector<IpPrefix>& prefixes)
{
    std::vector<IpPrefix> found;
    std::ranges::copy_if(prefixes, std::back_inserter(found),
                         [&](const IpPrefix& prefix) { return prefix.family() == family; });
    return found;
}

bool is_one_of(const std::vector<unsigned>& indices, unsigned index)
{
    return std::ranges::find(indices, index) != indices.end();
}

/// Devices that do not lead out of this machine: bridges whose ports all belong to guests, and
/// these ports; and devices that can be a tunnel: packets sent there reach a program, or leave by
/// another device as packets of this machine, and are filtered there. A device with a default route
/// is not one of them: it is an uplink (PPP), or the guest is a router.
class Inner {
  public:
    Inner(const State& state, const Snapshot& snapshot)
    {
        for (const auto& link : snapshot.links) {
            if (link.bridge != 0 && !link.is_guest_port) {
                with_card_.push_back(link.bridge);
            }
        }
        for (const Family family : kFamilies) {
            for (const auto& route : underlay_defaults(family, state, snapshot)) {
                uplinks_.push_back(route.device);
            }
        }
    }

    [[nodiscard]] bool holds(const Link& link) const
    {
        if (link.is_bridge) {
            return !is_one_of(with_card_, link.index) && !is_one_of(uplinks_, link.index);
        }
        if (link.bridge != 0) {
            return link.is_guest_port &&
                   (is_one_of(with_card_, link.bridge) || !is_one_of(uplinks_, link.bridge));
        }
        return link.can_be_tunnel && !is_one_of(uplinks_, link.index);
    }

  private:
    std::vector<unsigned> with_card_;
    std::vector<unsigned> uplinks_;
};

bool has_address4(const Link& link)
{
    return std::ranges::any_of(link.addresses, [](const InterfaceAddress& own) {
        return own.address.family() == Family::V4;
    });
}

/// Addresses that ARP may query: possible neighbours. A query for another address would show it to
/// the network, and any host could answer and receive its packets. On a device without an address
/// all addresses, because its neighbours are unknown: it must be able to come up without a hook.
Set arp_targets(const FirewallInputs& in, const std::vector<InterfaceName>& devices)
{
    auto neighbours = private_prefixes(Family::V4);
    // The target of answers to address probes: a host that gets no answer would take our address
    // (RFC 5227).
    neighbours.push_back(prefix("0.0.0.0/32"));
    const auto connected = connected_prefixes(Family::V4, in.state, in.snapshot);
    neighbours.insert(neighbours.end(), connected.begin(), connected.end());
    for (const auto& route : underlay_defaults(Family::V4, in.state, in.snapshot)) {
        if (route.gateway) {
            neighbours.push_back(IpPrefix::host(*route.gateway));
        }
    }
    neighbours = without_contained(std::move(neighbours));
    SetBuilder targets(sets::kArpTarget);
    for (const auto& device : devices) {
        const Link* link = in.snapshot.find(device);
        if (link == nullptr || !has_address4(*link)) {
            targets.add(device, IpPrefix::any(Family::V4));
            continue;
        }
        for (const auto& prefix : neighbours) {
            targets.add(device, prefix);
        }
    }
    return targets.take();
}

void add_allowances(std::vector<Rule>& rules, const Allowances& allowed)
{
    if (!allowed.macs.empty()) {
        rules.push_back(allow("trusted guest (belt-allow)", {outgoing(sets::kAllowedMac)}));
    }
    for (const Family family : kFamilies) {
        if (!of(family, allowed.sources).empty()) {
            rules.push_back(
                allow("trusted guest (belt-allow)", {outgoing(sets::kAllowedSource(family))}));
        }
    }
    for (const EtherType type : allowed.types) {
        rules.push_back(allow("trusted frame type (belt-allow)", {OfEtherType{type}}));
    }
}

/// Group addresses that bridges do not forward (IEEE 802.1D).
ToMac to_group(const char* address)
{
    return {*MacAddress::parse(address)};
}

/// Protocols that set up a link, and are never routed.
void add_link_protocols(std::vector<Rule>& rules)
{
    rules.push_back(allow("EAPOL", {OfEtherType{kEapol}}));
    // The PPP device has its own chain.
    rules.push_back(allow("PPPoE", {OfEtherType{kPppoeDiscovery}}));
    rules.push_back(allow("PPPoE", {OfEtherType{kPppoeSession}}));
    rules.push_back(
        allow("spanning tree", {OfEtherType{kWithLength}, to_group("01:80:c2:00:00:00")}));
    rules.push_back(
        allow("link aggregation", {OfEtherType{kSlowProtocols}, to_group("01:80:c2:00:00:02")}));
    rules.push_back(refuse("tunnel address on another device",
                           {InSet{sets::kTunnelDestination(Family::V4), Direction::OutgoingArp}},
                           Verdict::Drop));
    rules.push_back(allow("ARP for hosts of the link", {outgoing(sets::kArpTarget)}));
}

} // namespace

std::vector<InterfaceName> guest_devices(const State& state, const Config& config,
                                         const Snapshot& snapshot)
{
    auto devices = downstream_devices(state, config, snapshot);
    const Inner inner(state, snapshot);
    for (const auto& link : snapshot.links) {
        if ((link.is_bridge || link.bridge != 0) && inner.holds(link) &&
            std::ranges::find(devices, link.name) == devices.end()) {
            devices.push_back(link.name);
        }
    }
    return devices;
}

std::vector<InterfaceName> belt_devices(const State& state, const Config& config,
                                        const Snapshot& snapshot)
{
    const auto downstream = downstream_devices(state, config, snapshot);
    const Inner inner(state, snapshot);
    std::vector<InterfaceName> devices;
    for (const auto& link : snapshot.links) {
        const bool is_tunnel =
            link.is_program_tunnel ||
            std::ranges::find(state.tunnels, link.name, &Tunnel::interface) != state.tunnels.end();
        const bool is_inner =
            inner.holds(link) || std::ranges::find(downstream, link.name) != downstream.end();
        if (!link.loopback && !is_tunnel && !is_inner) {
            devices.push_back(link.name);
        }
    }
    std::ranges::sort(devices);
    return devices;
}

Table plan_belt(const FirewallInputs& in, const Refusals& refusals)
{
    const Leaving leaving{in, refusals, Place::Egress};
    const Allowances allowed = allowances(in.config);
    const auto devices = belt_devices(in.state, in.config, in.snapshot);
    Table table{TableFamily::Netdev, kTableName, leaving_sets(in), leaving_chains(leaving)};
    table.sets.push_back(refused_service_ports(leaving));
    table.chains.push_back(source_route());
    for (auto& set : egress_sets(in)) {
        table.sets.push_back(std::move(set));
    }
    table.sets.push_back(arp_targets(in, devices));
    if (!allowed.macs.empty()) {
        table.sets.push_back(filled(sets::kAllowedMac, allowed.macs));
    }
    for (const Family family : kFamilies) {
        if (const auto sources = of(family, allowed.sources); !sources.empty()) {
            table.sets.push_back(filled(sets::kAllowedSource(family), sources));
        }
    }
    Chain packets{chains::kPacketsOntoTheWire, std::nullopt, {no_source_route()}};
    append(packets.rules, transport_rules(leaving));
    append(packets.rules, leaving_rules(leaving));
    table.chains.push_back(std::move(packets));
    Chain wire{chains::kOntoTheWire, std::nullopt, {}};
    add_allowances(wire.rules, allowed);
    // Before the types of frames that are rare.
    for (const Family family : kFamilies) {
        wire.rules.push_back(go_to("EtherType matches the IP version", {AsLabelled{family}},
                                   chains::kPacketsOntoTheWire));
    }
    add_link_protocols(wire.rules);
    append(wire.rules, refusals("frame outside the tunnel", {}, Verdict::Drop));
    table.chains.push_back(std::move(wire));
    for (const auto& device : devices) {
        BaseChain base{Hook::Egress, 0, Verdict::Drop};
        base.device = device;
        table.chains.push_back({chain_of(device),
                                base,
                                {go_to("all frames of this device", {}, chains::kOntoTheWire)}});
    }
    return table;
}

} // namespace failclosed
