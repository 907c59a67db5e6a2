// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's script environment, variable by variable.
#include "core/codec/openvpn/environment.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "core/codec/tunnel_parts.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {

namespace {

constexpr std::uint64_t kMaxNumber = 999'999'999;

std::string_view find_in(const std::map<std::uint64_t, std::string_view>& values,
                         std::uint64_t number)
{
    const auto found = values.find(number);
    return found == values.end() ? std::string_view{} : found->second;
}

/// Parses one environment and collects `warnings`.
class Reader {
  public:
    Reader(const Environment& environment, const OpenvpnFacts& facts)
        : environment_(environment), facts_(facts), process_(find_process())
    {
    }

    Result<Event> tunnel_down(std::span<const char* const> arguments);
    Result<Event> tunnel_up(std::span<const char* const> arguments);
    Event restarted();
    [[nodiscard]] Result<InterfaceName> interface(std::span<const char* const> arguments) const;

    Warnings warnings;

  private:
    Status read_address4(Tunnel& tunnel);
    Status read_address6(Tunnel& tunnel);
    void read_gateways(Tunnel& tunnel);
    void read_routes4();
    void read_routes6();
    void add_route(const std::string& route, const std::optional<IpPrefix>& network,
                   bool around_tunnel);
    [[nodiscard]] bool is_around_tunnel(std::string_view gateway, std::string_view net_gateway,
                                        std::string_view vpn_gateway) const;
    [[nodiscard]] bool is_server(const IpPrefix& network) const;
    void warn_of_resolvers(const Tunnel& tunnel);
    void read_dns();
    void read_dns_servers();
    void read_foreign_option(std::string_view option);

    const OpenvpnProcess* find_process();
    [[nodiscard]] Identity identity() const;
    std::vector<Server> servers();
    std::vector<OpenvpnProtocol> protocols(const OpenvpnConnection& connection,
                                           std::string_view text);

    struct Answer {
        IpAddress address;
        Port port;
    };

    std::optional<Answer> answer();
    std::optional<Endpoint> connected(std::vector<Server>& servers);

    const Environment& environment_;
    const OpenvpnFacts& facts_;
    const OpenvpnProcess* process_;
    TunnelParts parts_{warnings};
    /// Resolvers that are ignored; foreign options name them again, without port and transport.
    std::set<std::string_view> not_plain_;
};

Result<InterfaceName> Reader::interface(std::span<const char* const> arguments) const
{
    // Prefer the variable: the administrator's arguments can precede those of OpenVPN.
    std::string_view text = environment_.get("dev");
    if (text.empty() && !arguments.empty()) {
        text = arguments[0];
    }
    const auto name = InterfaceName::parse(text);
    if (!name) {
        return fail("invalid tunnel device name from OpenVPN: dev=" + in_quotes(text));
    }
    return *name;
}

/// Reads ifconfig_local, with ifconfig_netmask (topology subnet, tap) or ifconfig_remote (net30,
/// p2p).
Status Reader::read_address4(Tunnel& tunnel)
{
    const auto local_text = environment_.get("ifconfig_local");
    if (local_text.empty()) {
        return {};
    }
    const auto mask_text = environment_.get("ifconfig_netmask");
    const auto peer_text = environment_.get("ifconfig_remote");
    const auto local = IpAddress::parse(local_text);
    const auto mask = IpAddress::parse(mask_text);
    const auto peer = IpAddress::parse(peer_text);
    if (!local || local->family() != Family::V4 || !local->is_unicast_host()) {
        return fail("invalid tunnel address: ifconfig_local=" + in_quotes(local_text));
    }
    if (!mask_text.empty()) {
        const auto prefix = mask ? IpPrefix::from_netmask(*local, *mask) : std::nullopt;
        if (!prefix) {
            return fail("invalid tunnel netmask: ifconfig_netmask=" + in_quotes(mask_text));
        }
        tunnel.addresses.push_back({*local, prefix->length()});
    } else {
        tunnel.addresses.push_back({*local, local->bits()});
    }
    parts_.add_network(tunnel.addresses.back().prefix());
    if (!peer_text.empty()) {
        if (!peer || peer->family() != Family::V4 || !peer->is_unicast_host()) {
            return fail("invalid tunnel peer: ifconfig_remote=" + in_quotes(peer_text));
        }
        parts_.add_network(IpPrefix::host(*peer));
    }
    return {};
}

Status Reader::read_address6(Tunnel& tunnel)
{
    const auto local_text = environment_.get("ifconfig_ipv6_local");
    if (local_text.empty()) {
        return {};
    }
    const auto bits_text = environment_.get("ifconfig_ipv6_netbits");
    const auto peer_text = environment_.get("ifconfig_ipv6_remote");
    const auto local = IpAddress::parse(local_text);
    const auto bits = parse_number(bits_text, 0, 128);
    const auto peer = IpAddress::parse(peer_text);
    if (!local || local->family() != Family::V6 || !local->is_unicast_host()) {
        return fail("invalid tunnel address: ifconfig_ipv6_local=" + in_quotes(local_text));
    }
    if (!bits) {
        return fail("invalid tunnel prefix length: ifconfig_ipv6_netbits=" + in_quotes(bits_text));
    }
    tunnel.addresses.push_back({*local, static_cast<unsigned>(*bits)});
    parts_.add_network(tunnel.addresses.back().prefix());
    // OpenVPN sets "::" if the peer has no address.
    if (peer && peer->family() == Family::V6 && peer->is_unicast_host()) {
        parts_.add_network(IpPrefix::host(*peer));
    } else if (!peer_text.empty() && !(peer && peer->is_unspecified())) {
        warn(warnings,
             "invalid tunnel peer is ignored: ifconfig_ipv6_remote=" + in_quotes(peer_text));
    }
    return {};
}

/// A tap device needs a next hop: without one the kernel sends ARP requests on the link.
void Reader::read_gateways(Tunnel& tunnel)
{
    if (environment_.get("dev_type") != "tap") {
        return;
    }
    const std::array<std::pair<Family, std::string_view>, 2> gateways = {{
        {Family::V4, environment_.get("route_vpn_gateway")},
        {Family::V6, environment_.get("ifconfig_ipv6_remote")},
    }};
    for (const auto& [family, text] : gateways) {
        const auto gateway = IpAddress::parse(text);
        if (gateway && gateway->family() == family && gateway->is_unicast_host()) {
            tunnel.gateways.push_back(*gateway);
        } else if (!text.empty() && !(gateway && gateway->is_unspecified())) {
            warn(warnings, "invalid tunnel gateway is ignored: " + in_quotes(text));
        }
    }
}

/// Whether a route bypasses the tunnel: its gateway is that of the underlay.
bool Reader::is_around_tunnel(std::string_view gateway, std::string_view net_gateway,
                              std::string_view vpn_gateway) const
{
    const auto own = IpAddress::parse(environment_.get(net_gateway));
    return own && IpAddress::parse(gateway) == own &&
           IpAddress::parse(environment_.get(vpn_gateway)) != own;
}

/// Whether `network` is the host route to a server, which OpenVPN adds.
bool Reader::is_server(const IpPrefix& network) const
{
    const auto is_its_address = [&](const auto& variable) {
        const auto address = IpAddress::parse(variable.second);
        return address && network == IpPrefix::host(*address);
    };
    return std::ranges::any_of(environment_.numbered("remote_"), is_its_address) ||
           std::ranges::any_of(environment_.with_prefix("trusted_ip"), is_its_address);
}

/// `route` is the description for warnings; `network` is `nullopt` if the route is malformed.
void Reader::add_route(const std::string& route, const std::optional<IpPrefix>& network,
                       bool around_tunnel)
{
    const bool is_piece =
        network && network->length() < kShortestNetwork && !network->address().is_multicast();
    if (!network || !(is_piece || can_be_inside(*network))) {
        warn(warnings, route + " is ignored: not a network inside a tunnel");
    } else if (!around_tunnel) {
        parts_.add_network(*network);
    } else if (!is_server(*network) && !is_private(*network)) {
        warn(warnings, route + " is ignored: it bypasses the tunnel");
    }
}

void Reader::read_routes4()
{
    const auto masks = environment_.numbered("route_netmask_");
    const auto gateways = environment_.numbered("route_gateway_");
    for (const auto& [number, text] : environment_.numbered("route_network_")) {
        const auto network = IpAddress::parse(text);
        // A route without a mask is a host route for OpenVPN.
        const auto mask_text = find_in(masks, number);
        const auto mask = IpAddress::parse(mask_text.empty() ? "255.255.255.255" : mask_text);
        const auto prefix = network && network->family() == Family::V4 && mask
                                ? IpPrefix::from_netmask(*network, *mask)
                                : std::nullopt;
        add_route(
            "route " + std::to_string(number) + ", " + in_quotes(text) + " netmask " +
                in_quotes(mask_text) + ",",
            prefix,
            is_around_tunnel(find_in(gateways, number), "route_net_gateway", "route_vpn_gateway"));
    }
}

void Reader::read_routes6()
{
    const auto gateways = environment_.numbered("route_ipv6_gateway_");
    for (const auto& [number, text] : environment_.numbered("route_ipv6_network_")) {
        const auto prefix = IpPrefix::parse(text);
        const bool is_ipv6 = prefix && prefix->family() == Family::V6;
        add_route("IPv6 route " + std::to_string(number) + ", " + in_quotes(text) + ",",
                  is_ipv6 ? prefix : std::nullopt,
                  is_around_tunnel(find_in(gateways, number), "net_gateway_ipv6",
                                   "ifconfig_ipv6_remote"));
    }
}

/// Reads dns_server_N_address_M in the order of N and M. Ignores servers that do not use plain DNS
/// on port 53, because resolv.conf holds addresses only.
void Reader::read_dns_servers()
{
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::string_view> addresses;
    for (const auto& [rest, text] : environment_.with_prefix("dns_server_")) {
        constexpr std::string_view kMiddle = "_address_";
        const auto middle = rest.find(kMiddle);
        if (middle == std::string_view::npos) {
            continue;
        }
        const std::string server = "dns_server_" + std::string(rest.substr(0, middle));
        const auto number = parse_number(rest.substr(0, middle), 1, kMaxNumber);
        const auto index_text = rest.substr(middle + kMiddle.size());
        const auto index = parse_number(index_text, 1, kMaxNumber);
        const auto transport = environment_.get(server + "_transport");
        const auto port = environment_.get(server + "_port_" + std::string(index_text));
        if (!number || !index || (!transport.empty() && transport != "plain") ||
            (!port.empty() && port != "53")) {
            warn(warnings, "resolver " + in_quotes(text) +
                               " is ignored: only plain DNS on port 53 is supported");
            not_plain_.insert(text);
        } else {
            addresses.emplace(std::pair(*number, *index), text);
        }
    }
    for (const auto& [number, text] : addresses) {
        parts_.add_resolver(text);
    }
}

/// Reads resolvers and domains in order, without duplicates. OpenVPN gives those of its `dns`
/// options twice, the second time as foreign options.
void Reader::read_dns()
{
    read_dns_servers();
    for (const auto& [number, text] : environment_.numbered("dns_search_domain_")) {
        parts_.add_search_domain(text);
    }
    for (const auto& [number, text] : environment_.numbered("foreign_option_")) {
        read_foreign_option(text);
    }
}

/// Reads "dhcp-option TYPE VALUE". Ignores types that do not concern DNS.
void Reader::read_foreign_option(std::string_view option)
{
    const auto words = split_words(option);
    if (words.size() < 2 || words[0] != "dhcp-option") {
        return;
    }
    const auto type = words[1];
    const bool resolver = type == "DNS" || type == "DNS6";
    const bool domain =
        type == "DOMAIN" || type == "DOMAIN-SEARCH" || type == "ADAPTER_DOMAIN_SUFFIX";
    if ((resolver || domain) && words.size() != 3) {
        warn(warnings, "malformed DNS option is ignored: " + in_quotes(option));
    } else if (resolver && not_plain_.contains(words[2])) {
        return;
    } else if (resolver) {
        parts_.add_resolver(words[2], type == "DNS6" ? std::optional(Family::V6) : std::nullopt);
    } else if (domain) {
        parts_.add_search_domain(words[2]);
    }
}

/// OpenVPN's process. It need not be the parent: a wrapper script can be between it and this hook.
const OpenvpnProcess* Reader::find_process()
{
    if (facts_.ancestors.empty()) {
        return nullptr;
    }
    const auto text = environment_.get("daemon_pid");
    const auto is_named = [&](const OpenvpnProcess& process) {
        return std::to_string(process.id.pid) == text;
    };
    const auto found = std::ranges::find_if(facts_.ancestors, is_named);
    if (found != facts_.ancestors.end()) {
        return &*found;
    }
    if (!text.empty()) {
        warn(warnings, "daemon_pid=" + in_quotes(text) +
                           " is not an ancestor of this program; its parent is taken for OpenVPN");
    }
    return &facts_.ancestors.front();
}

/// Root created the first sockets; the user that OpenVPN runs as, or becomes, creates later ones.
Identity Reader::identity() const
{
    std::set<uid_t> uids = {0};
    if (process_ != nullptr) {
        uids.insert(process_->uid);
    }
    if (facts_.config_user) {
        uids.insert(*facts_.config_user);
    }
    return {{uids.begin(), uids.end()}, facts_.config ? facts_.config->mark : std::nullopt};
}

/// The possible protocols of `connection`: proto_N, and those of the configuration for the same
/// host and port.
std::vector<OpenvpnProtocol> Reader::protocols(const OpenvpnConnection& connection,
                                               std::string_view text)
{
    std::vector<OpenvpnProtocol> protocols;
    if (const auto protocol = OpenvpnProtocol::parse(text)) {
        protocols.push_back(*protocol);
    } else if (!text.empty()) {
        warn(warnings,
             "remote " + in_quotes(connection.host) + ": unknown protocol: " + in_quotes(text));
        return {};
    }
    const auto remote = connection.remote();
    if (remote && facts_.config) {
        for (const auto& configured : facts_.config->remotes) {
            if (configured.host == remote->host && configured.port == remote->port) {
                protocols.push_back({configured.transport, configured.family, false});
            }
        }
    }
    if (protocols.empty()) {
        protocols.emplace_back();
    }
    return protocols;
}

std::vector<Server> Reader::servers()
{
    const auto ports = environment_.numbered("remote_port_");
    const auto protos = environment_.numbered("proto_");
    const auto http_hosts = environment_.numbered("http_proxy_server_");
    const auto http_ports = environment_.numbered("http_proxy_port_");
    const auto socks_hosts = environment_.numbered("socks_proxy_server_");
    const auto socks_ports = environment_.numbered("socks_proxy_port_");
    const auto proxy = [](const auto& hosts, const auto& proxy_ports, std::uint64_t number) {
        const OpenvpnConnection::Proxy found{find_in(hosts, number), find_in(proxy_ports, number)};
        return found.host.empty() ? std::nullopt : std::optional(found);
    };
    const Identity identity = this->identity();
    std::vector<Server> servers;
    std::set<Remote> seen;
    for (const auto& [number, host] : environment_.numbered("remote_")) {
        OpenvpnConnection connection{host,
                                     find_in(ports, number),
                                     {},
                                     proxy(http_hosts, http_ports, number),
                                     proxy(socks_hosts, socks_ports, number)};
        for (const auto& protocol : protocols(connection, find_in(protos, number))) {
            connection.protocol = protocol;
            const auto remote = connection.remote();
            if (!remote) {
                warn(warnings, remote.error().message());
            } else if (!seen.contains(*remote)) {
                if (seen.size() == kMaxRemotes) {
                    warn(warnings,
                         "only the first " + std::to_string(kMaxRemotes) + " remotes are used");
                    return servers;
                }
                seen.insert(*remote);
                servers.push_back({*remote, identity, {}});
            }
        }
    }
    return servers;
}

/// The address that answered; `nullopt` if it is missing or invalid.
std::optional<Reader::Answer> Reader::answer()
{
    auto text = environment_.get("trusted_ip");
    if (text.empty()) {
        text = environment_.get("trusted_ip6");
    }
    if (text.empty()) {
        return std::nullopt; // peer mode calls `up` before a peer answers
    }
    const auto port_text = environment_.get("trusted_port");
    const auto address = IpAddress::parse(text);
    const auto port = Port::parse(port_text);
    if (!address || !address->is_unicast_host() || !port) {
        warn(warnings, "invalid address of the connected server is ignored: " + in_quotes(text) +
                           " port " + in_quotes(port_text));
        return std::nullopt;
    }
    return Answer{*address, *port};
}

/// The endpoint that answered, with the transport of the servers that match it; `nullopt` if these
/// have both transports, because OpenVPN does not say which one it uses. The address is then added
/// to each of them, or, if they have different names, to `servers` with each transport.
std::optional<Endpoint> Reader::connected(std::vector<Server>& servers)
{
    const auto answer = this->answer();
    if (!answer) {
        return std::nullopt;
    }
    std::vector<Server*> named;
    for (auto& server : servers) {
        const Remote& remote = server.remote;
        if (remote.port != answer->port ||
            (remote.family && *remote.family != answer->address.family())) {
            continue;
        }
        if (remote.name() != nullptr) {
            named.push_back(&server);
        } else if (std::get<IpAddress>(remote.host) == answer->address) {
            return Endpoint{answer->address, remote.transport, answer->port};
        }
    }
    if (named.empty()) {
        return std::nullopt;
    }
    const Remote first = named.front()->remote;
    const auto has_other = [&](const auto Remote::* part) {
        return std::ranges::any_of(
            named, [&](const Server* server) { return server->remote.*part != first.*part; });
    };
    if (!has_other(&Remote::transport)) {
        return Endpoint{answer->address, first.transport, answer->port};
    }
    if (!has_other(&Remote::host)) {
        for (auto* server : named) {
            server->addresses.push_back({answer->address, Seconds(0), false});
        }
        return std::nullopt;
    }
    for (const auto transport : {Transport::Udp, Transport::Tcp}) {
        servers.push_back(
            {{answer->address, transport, answer->port, std::nullopt}, identity(), {}});
    }
    return std::nullopt;
}

/// Warns of resolvers that plan_dns() leaves out: the firewall cannot distinguish a DNS query of
/// root to the VPN server from OpenVPN's own packets.
void Reader::warn_of_resolvers(const Tunnel& tunnel)
{
    for (const auto& resolver : tunnel.resolvers) {
        for (const auto& [number, port] : environment_.numbered("remote_port_")) {
            if (port == "53" && is_server(IpPrefix::host(resolver))) {
                warn(warnings, "resolver '" + resolver.to_string() +
                                   "' is not used: the VPN server itself is at this address and "
                                   "port 53");
                break;
            }
        }
    }
}

Result<Event> Reader::tunnel_up(std::span<const char* const> arguments)
{
    const auto name = interface(arguments);
    if (!name) {
        return Failure(name.error());
    }
    Tunnel tunnel{.interface = *name};
    for (const auto& read : {read_address4(tunnel), read_address6(tunnel)}) {
        if (!read) {
            return Failure(read.error());
        }
    }
    if (tunnel.addresses.empty()) {
        return fail("OpenVPN gives " + name->text() +
                    " no address: neither ifconfig_local nor ifconfig_ipv6_local is set");
    }
    read_gateways(tunnel);
    read_routes4();
    read_routes6();
    read_dns();
    std::move(parts_).put_into(tunnel);
    warn_of_resolvers(tunnel);
    if (process_ != nullptr) {
        tunnel.owner = process_->id;
    }
    auto found = servers();
    const auto answered = connected(found);
    return TunnelUp{std::move(tunnel), std::move(found), answered};
}

Result<Event> Reader::tunnel_down(std::span<const char* const> arguments)
{
    const auto name = interface(arguments);
    if (!name) {
        return Failure(name.error());
    }
    TunnelDown event{*name, {}};
    // Without daemon_pid, the parent may be a wrapper, which is another process each time.
    if (process_ != nullptr && environment_.get("daemon_pid") == std::to_string(process_->id.pid)) {
        event.owner = process_->id;
    }
    return event;
}

Event Reader::restarted()
{
    auto found = servers();
    const auto answered = connected(found);
    return TunnelRestarted{std::move(found), answered,
                           process_ != nullptr ? std::optional(process_->id) : std::nullopt};
}

} // namespace

Result<OpenvpnEvent> parse_openvpn_event(std::span<const char* const> arguments,
                                         const Environment& environment, const OpenvpnFacts& facts)
{
    const auto type = environment.get("script_type");
    const bool up = type == "up" || type == "route-up";
    const bool down = type == "down" || type == "route-pre-down";
    const bool restart = environment.get("script_context") == "restart";
    Reader reader(environment, facts);
    OpenvpnEvent result;
    if ((up && restart) || type == "ipchange") {
        result.event = reader.restarted();
    } else if (down && restart) {
        result.event = ReapplyRequested{};
    } else if (up || down) {
        auto event = up ? reader.tunnel_up(arguments) : reader.tunnel_down(arguments);
        if (!event) {
            return Failure(event.error());
        }
        result.event = *std::move(event);
    }
    result.warnings = std::move(reader.warnings);
    return result;
}

} // namespace failclosed
