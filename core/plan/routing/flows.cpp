// SPDX-License-Identifier: GPL-3.0-or-later
// Classifies flows by their addresses and their owner.
#include "core/plan/routing/flows.hpp"

#include <algorithm>

namespace failclosed {

namespace {

bool any_contains(const std::vector<IpPrefix>& prefixes, const IpAddress& address)
{
    return std::ranges::any_of(prefixes,
                               [&](const IpPrefix& prefix) { return prefix.contains(address); });
}

bool holds(const std::vector<IpAddress>& sorted, const IpAddress& address)
{
    return std::ranges::binary_search(sorted, address);
}

/// A lease is renewed by unicast (RFC 2131, RFC 8415): ports of client and server.
bool is_dhcp(const Flow& flow)
{
    const bool v4 = flow.local.family() == Family::V4;
    return flow.transport == Transport::Udp && flow.local_port == (v4 ? 68 : 546) &&
           flow.remote_port == (v4 ? 67 : 547);
}

template <typename T> void append(std::vector<T>& values, const std::vector<T>& more)
{
    values.insert(values.end(), more.begin(), more.end());
}

} // namespace

FlowPolicy::FlowPolicy(const State& state, const Config& config, const Snapshot& snapshot)
    : inbound_(config.inbound), admitted_(admissions(state))
{
    for (const auto family : kFamilies) {
        append(tunnel_networks_, tunnel_networks(family, state));
        append(lan_, lan_prefixes(family, state, config, snapshot));
        for (const auto& [device, prefix] : downstream_networks(family, state, config, snapshot)) {
            lan_.push_back(prefix);
        }
    }
    for (const auto& link : snapshot.links) {
        for (const auto& address : link.addresses) {
            own_.push_back(address.address);
        }
    }
    for (const auto& tunnel : state.tunnels) {
        for (const auto& address : tunnel.addresses) {
            tunnel_addresses_.push_back(address.address);
        }
    }
    std::ranges::sort(own_);
    std::ranges::sort(tunnel_addresses_);
}

bool FlowPolicy::is_admitted(const Flow& flow) const
{
    const auto port = Port::make(flow.remote_port);
    if (!port) {
        return false;
    }
    const Endpoint endpoint{flow.remote, flow.transport, *port};
    return std::ranges::binary_search(admitted_.uids, AdmittedUid{flow.uid, endpoint}) ||
           std::ranges::binary_search(admitted_.marks, AdmittedMark{flow.mark, endpoint});
}

bool FlowPolicy::is_local_network(const IpAddress& address) const
{
    return any_contains(lan_, address) && !any_contains(tunnel_networks_, address);
}

bool FlowPolicy::is_inbound(const Flow& flow) const
{
    return std::ranges::any_of(inbound_, [&](const InboundService& service) {
        return service.transport == flow.transport && service.port.number() == flow.local_port &&
               service.from.contains(flow.remote);
    });
}

bool FlowPolicy::is_foreign(const Flow& flow) const
{
    const bool on_this_machine =
        flow.local.is_loopback() || flow.remote.is_loopback() || holds(own_, flow.remote);
    return !on_this_machine && !holds(tunnel_addresses_, flow.local) &&
           !is_local_network(flow.remote) && !is_admitted(flow) && !is_dhcp(flow) &&
           !is_inbound(flow);
}

} // namespace failclosed
