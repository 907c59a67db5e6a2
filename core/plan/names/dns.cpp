// SPDX-License-Identifier: GPL-3.0-or-later
// Choosing resolvers.
#include "core/plan/names/dns.hpp"

#include <algorithm>

namespace failclosed {
namespace {

template <typename T> void append_once(std::vector<T>& all, const std::vector<T>& more)
{
    for (const T& item : more) {
        if (std::find(all.begin(), all.end(), item) == all.end()) {
            all.push_back(item);
        }
    }
}

/// A query of root to such a resolver would leave outside the tunnel as VPN transport: the firewall
/// identifies a tunnel program by its user.
bool is_server_for_dns(const State& state, const IpAddress& resolver)
{
    for (const Server& server : state.servers) {
        for (const Endpoint& endpoint : server.endpoints()) {
            if (endpoint.address == resolver && endpoint.port == Port::make(53)) {
                return true;
            }
        }
    }
    return false;
}

std::vector<IpAddress> usable_resolvers(const Tunnel& tunnel, const State& state,
                                        const Config& config)
{
    const bool configured = !config.dns_servers.empty();
    std::vector<IpAddress> usable;
    for (const IpAddress& address : configured ? config.dns_servers : tunnel.resolvers) {
        const bool reachable = address.is_unicast_host() && !address.is_link_local();
        if ((reachable && !is_server_for_dns(state, address)) ||
            (configured && address.is_loopback())) {
            append_once(usable, {address});
        }
    }
    return usable;
}

} // namespace

std::vector<IpAddress> DnsPlan::resolvers() const
{
    std::vector<IpAddress> all;
    for (const TunnelDns& tunnel : tunnels) {
        append_once(all, tunnel.resolvers);
    }
    return all;
}

std::vector<HostName> DnsPlan::search_domains() const
{
    std::vector<HostName> all;
    for (const TunnelDns& tunnel : tunnels) {
        append_once(all, tunnel.search_domains);
    }
    return all;
}

DnsPlan plan_dns(const State& state, const Config& config)
{
    DnsPlan plan;
    for (const Tunnel& tunnel : state.tunnels) {
        std::vector<IpAddress> resolvers = usable_resolvers(tunnel, state, config);
        if (resolvers.empty()) {
            continue;
        }
        TunnelDns dns{tunnel.interface, std::move(resolvers), {}};
        append_once(dns.search_domains, tunnel.search_domains);
        plan.tunnels.push_back(std::move(dns));
    }
    return plan;
}

} // namespace failclosed
