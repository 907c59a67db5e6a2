// SPDX-License-Identifier: GPL-3.0-or-later
// Telling what a hostile network adds from what every network has.
#include "core/plan/findings.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <linux/rtnetlink.h>

#include "core/plan/routing/networks.hpp"
#include "core/plan/routing/routing.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

// rtm_protocol, linux/rtnetlink.h.
constexpr std::uint8_t kByKernel = 2;
constexpr std::uint8_t kByRouterAdvertisement = 9;
constexpr std::uint8_t kByDhcp = 16;

/// A network in which hosts make their own IPv6 addresses has this many bits (RFC 4291, 2.5.1).
constexpr unsigned kUsualIpv6Network = 64;

// Besides private space: no host on the internet has these. RFC 1122, RFC 6598, RFC 5771, RFC 4291.
constexpr std::array<std::string_view, 7> kSpecial = {"0.0.0.0/8",   "100.64.0.0/10", "127.0.0.0/8",
                                                      "224.0.0.0/4", "240.0.0.0/4",   "::1/128",
                                                      "ff00::/8"};

/// Whether it covers any address on the internet.
bool covers_public(const IpPrefix& prefix)
{
    return !is_private(prefix) && std::ranges::none_of(kSpecial, [&](std::string_view block) {
        return IpPrefix::parse(block)->contains(prefix);
    });
}

bool is_host(const IpPrefix& prefix)
{
    return prefix.length() == prefix.address().bits();
}

std::string_view origin(std::uint8_t protocol)
{
    switch (protocol) {
    case kByKernel:
        return "by the kernel";
    case kByRouterAdvertisement:
        return "by a router advertisement";
    case kByDhcp:
        return "by DHCP";
    default:
        return "by another program";
    }
}

class Look {
  public:
    Look(const State& state, const Config& config, const Snapshot& snapshot)
        : state_(state), config_(config), snapshot_(snapshot)
    {
        for (const auto& server : state.servers) {
            for (const auto& endpoint : server.endpoints()) {
                // Every network has routes to link-local ones.
                if (!endpoint.address.is_link_local()) {
                    servers_.push_back(endpoint.address);
                }
            }
        }
        for (const Family family : kFamilies) {
            const auto networks = tunnel_networks(family, state);
            inside_.insert(inside_.end(), networks.begin(), networks.end());
        }
    }

    std::vector<Finding> operator()() &&
    {
        for (const auto& route : snapshot_.main_routes) {
            judge(route);
        }
        for (const auto& link : snapshot_.links) {
            if (is_underlay(state_, link)) {
                judge(link);
            }
        }
        for (const auto& server : state_.servers) {
            if (server.remote.name() != nullptr) {
                judge(server);
            }
        }
        judge_forward();
        judge_configured_servers();
        for (auto& finding : findings_of_lan(config_.lan)) {
            add(finding.kind, std::move(finding.text));
        }
        std::ranges::stable_sort(found_, {}, &Finding::kind);
        return std::move(found_);
    }

  private:
    void add(Finding::Kind kind, std::string text)
    {
        Finding finding{kind, std::move(text)};
        if (std::ranges::find(found_, finding) == found_.end()) {
            found_.push_back(std::move(finding));
        }
    }

    void judge(const MainRoute& route)
    {
        const auto link = std::ranges::find(snapshot_.links, route.device, &Link::index);
        if (link == snapshot_.links.end() || !is_underlay(state_, *link) ||
            route.destination.length() == 0 || is_connected(route, *link) || is_to_gateway(route) ||
            is_of_tunnel_program(route)) {
            return;
        }
        const auto meant = what_it_takes(route.destination);
        if (meant.empty()) {
            return;
        }
        add(Finding::Kind::InjectedRoute,
            "a route leads " + route.destination.to_string() + " (" + std::string(meant) +
                ") past the tunnel: " +
                (route.gateway ? "via " + route.gateway->to_string() + " " : "") + "dev " +
                link->name.text() + ", set " + std::string(origin(route.protocol)));
    }

    /// What a route to it takes from the tunnel; empty if the local network may lead it.
    [[nodiscard]] std::string_view what_it_takes(const IpPrefix& destination) const
    {
        const auto holds = [&](const IpAddress& address) { return destination.contains(address); };
        if (destination.length() < kShortestNetwork && covers_public(destination)) {
            return "a piece of the default route";
        }
        if (std::ranges::any_of(servers_, holds)) {
            return "with a VPN server";
        }
        if (std::ranges::any_of(state_.tunnels, [&](const Tunnel& tunnel) {
                return std::ranges::any_of(tunnel.resolvers, holds);
            })) {
            return "with a tunnel's resolver";
        }
        if (std::ranges::any_of(
                inside_, [&](const IpPrefix& inside) { return inside.overlaps(destination); })) {
            return "inside a tunnel";
        }
        return covers_public(destination) ? "public" : "";
    }

    /// What the kernel or a network manager sets with an address of the device. A router can
    /// advertise any prefix as on the link: of IPv6 only what an address of the device is in.
    static bool is_connected(const MainRoute& route, const Link& link)
    {
        if (route.gateway) {
            return false;
        }
        const bool is_ipv4 = route.destination.family() == Family::V4;
        if (route.protocol == kByKernel &&
            (is_ipv4 || link.point_to_point || is_host(route.destination))) {
            return true;
        }
        return std::ranges::any_of(link.addresses, [&](const InterfaceAddress& own) {
            return own.prefix() == route.destination ||
                   (!is_ipv4 && route.destination.length() >= kUsualIpv6Network &&
                    route.destination.contains(own.address));
        });
    }

    /// Where a gateway is outside of the device's own network, its host route comes with it.
    [[nodiscard]] bool is_to_gateway(const MainRoute& route) const
    {
        return !route.gateway && is_host(route.destination) &&
               std::ranges::any_of(snapshot_.main_routes, [&](const MainRoute& other) {
                   return other.device == route.device &&
                          other.gateway == route.destination.address();
               });
    }

    [[nodiscard]] bool is_of_tunnel_program(const MainRoute& route) const
    {
        return is_host(route.destination) && route.protocol != kByDhcp &&
               route.protocol != kByRouterAdvertisement &&
               std::ranges::find(servers_, route.destination.address()) != servers_.end();
    }

    void judge(const Link& link)
    {
        for (const auto& own : link.addresses) {
            if (own.address.is_link_local()) {
                continue;
            }
            const IpPrefix network = own.prefix();
            for (const auto& inside : inside_) {
                if (inside.overlaps(network)) {
                    add(Finding::Kind::Overlap, "the network of " + link.name.text() + ", " +
                                                    network.to_string() + ", overlaps " +
                                                    inside.to_string() +
                                                    " inside a tunnel, which has precedence");
                }
            }
            // Every home has a public IPv6 network of the usual size.
            const bool is_usual = network.family() == Family::V6
                                      ? network.length() >= kUsualIpv6Network
                                      : is_host(network);
            if (!link.point_to_point && !is_usual && covers_public(network)) {
                add(Finding::Kind::PublicNetwork, "the network of " + link.name.text() + ", " +
                                                      network.to_string() +
                                                      ", has public addresses");
            }
        }
    }

    void judge(const Server& server)
    {
        const std::string name = server.remote.name()->text();
        const bool is_confirmed = std::ranges::any_of(
            server.addresses, [](const LearntAddress& learnt) { return !learnt.unverified; });
        for (const auto& learnt : server.addresses) {
            const std::string address = learnt.address.to_string();
            if (!learnt.address.is_unicast_host() || is_private(IpPrefix::host(learnt.address))) {
                add(Finding::Kind::PrivateServer, "the VPN server " + name + " has the address " +
                                                      address + ", which is none on the internet");
            } else if (learnt.unverified && is_confirmed) {
                add(Finding::Kind::DoubtfulServer,
                    "only the network's own resolver says that the VPN server " + name +
                        " has the address " + address);
            }
        }
    }

    void judge_forward()
    {
        const auto downstream = downstream_devices(state_, config_, snapshot_);
        for (const auto& name : config_.forward) {
            const std::string named = "forward names " + name.text();
            if (snapshot_.find(name) == nullptr) {
                add(Finding::Kind::MissingDevice, named + ", and there is no such device");
            } else if (std::ranges::find(state_.tunnels, name, &Tunnel::interface) !=
                       state_.tunnels.end()) {
                add(Finding::Kind::UnfitDevice, named + ", which is a tunnel: it is passed over");
            } else if (std::ranges::find(downstream, name) == downstream.end()) {
                add(Finding::Kind::UnfitDevice,
                    named + ", which a default route leads over: it is passed over");
            }
        }
    }

    void judge_configured_servers()
    {
        for (const auto& remote : config_.servers) {
            const auto* address = std::get_if<IpAddress>(&remote.host);
            if (address != nullptr && address->is_loopback()) {
                add(Finding::Kind::LocalServer,
                    "server=" + to_string(remote) +
                        " is a program on this machine: name the server that this program "
                        "connects to");
            }
        }
    }

    const State& state_;
    const Config& config_;
    const Snapshot& snapshot_;
    std::vector<IpAddress> servers_;
    /// Networks of tunnels, up or remembered.
    std::vector<IpPrefix> inside_;
    std::vector<Finding> found_;
};

} // namespace

std::string_view to_string(Finding::Kind kind)
{
    switch (kind) {
    case Finding::Kind::InjectedRoute:
        return "injected-route";
    case Finding::Kind::Overlap:
        return "overlap";
    case Finding::Kind::PublicNetwork:
        return "public-network";
    case Finding::Kind::DoubtfulServer:
        return "doubtful-server";
    case Finding::Kind::PrivateServer:
        return "private-server";
    case Finding::Kind::MissingDevice:
        return "missing-device";
    case Finding::Kind::UnfitDevice:
        return "unfit-device";
    case Finding::Kind::PublicLan:
        return "public-lan";
    case Finding::Kind::LocalServer:
        return "local-server";
    case Finding::Kind::ForeignRule:
        return "foreign-rule";
    }
    return "";
}

bool is_informational(Finding::Kind kind)
{
    return kind == Finding::Kind::PublicNetwork;
}

std::vector<Finding> findings(const State& state, const Config& config, const Snapshot& snapshot)
{
    return Look(state, config, snapshot)();
}

std::vector<Finding> findings_of_lan(const LanPolicy& lan)
{
    std::vector<Finding> found;
    for (const auto& prefix : lan.prefixes) {
        if (covers_public(prefix)) {
            found.push_back({Finding::Kind::PublicLan,
                             "lan=" + prefix.to_string() +
                                 " is not a private network: packets to it leave outside the "
                                 "tunnel"});
        }
    }
    return found;
}

std::vector<Finding> findings_of_rules(const std::vector<ForeignRule>& rules)
{
    std::vector<Finding> found;
    for (const auto& rule : rules) {
        const bool is_harmless = rule.ends || (!rule.jump && rule.table == RT_TABLE_LOCAL);
        if (is_harmless || rule.priority > kClosedPriority) {
            continue;
        }
        const std::string priority = std::to_string(rule.priority);
        const std::string command = rule.family == Family::V4 ? "ip rule" : "ip -6 rule";
        const std::string action = rule.jump ? "goto " + std::to_string(*rule.jump)
                                   : rule.table == RT_TABLE_MAIN
                                       ? "lookup main"
                                       : "lookup " + std::to_string(rule.table);
        found.push_back({Finding::Kind::ForeignRule,
                         "rule " + priority + " of another program (" + action + ", " + command +
                             ") comes before those of failclosed: routing (lock 2) does not decide "
                             "about its packets, only the firewall does; if no VPN of yours needs "
                             "it: " +
                             command + " del pref " + priority});
    }
    return found;
}

} // namespace failclosed
