// SPDX-License-Identifier: GPL-3.0-or-later
// Text forms of endpoints and remotes.
#include "core/model/endpoint.hpp"

#include <algorithm>
#include <array>

namespace failclosed {

namespace {

struct TransportName {
    std::string_view name;
    Transport transport;
    std::optional<Family> family;
};

// The first name of a transport is the one that is printed.
constexpr std::array<TransportName, 8> kTransportNames = {{
    {"udp", Transport::Udp, std::nullopt},
    {"udp4", Transport::Udp, Family::V4},
    {"udp6", Transport::Udp, Family::V6},
    {"tcp", Transport::Tcp, std::nullopt},
    {"tcp4", Transport::Tcp, Family::V4},
    {"tcp6", Transport::Tcp, Family::V6},
    {"gre", Transport::Gre, std::nullopt},
    {"esp", Transport::Esp, std::nullopt},
}};

std::string host_text(const std::variant<IpAddress, HostName>& host, bool bracketed)
{
    if (const auto* name = std::get_if<HostName>(&host)) {
        return name->text();
    }
    const auto& address = std::get<IpAddress>(host);
    const bool brackets = bracketed && address.family() == Family::V6;
    return brackets ? "[" + address.to_string() + "]" : address.to_string();
}

std::optional<std::variant<IpAddress, HostName>> parse_host(std::string_view text)
{
    if (text.starts_with('[') && text.ends_with(']')) {
        const auto address = IpAddress::parse(text.substr(1, text.size() - 2));
        return address && address->family() == Family::V6
                   ? std::optional(std::variant<IpAddress, HostName>(*address))
                   : std::nullopt;
    }
    if (const auto address = IpAddress::parse(text)) {
        return *address;
    }
    if (auto name = HostName::parse(text)) {
        return *std::move(name);
    }
    return std::nullopt;
}

} // namespace

std::string_view to_string(Transport transport)
{
    return std::ranges::find(kTransportNames, transport, &TransportName::transport)->name;
}

bool has_ports(Transport transport)
{
    return transport == Transport::Tcp || transport == Transport::Udp;
}

std::string to_string(const Endpoint& endpoint)
{
    std::string text = host_text(endpoint.address, endpoint.port.has_value());
    if (endpoint.port) {
        text += ":" + std::to_string(endpoint.port->number());
    }
    return text + "/" + std::string(to_string(endpoint.transport));
}

std::optional<Remote> Remote::parse(std::string_view text)
{
    const auto slash = text.rfind('/');
    const auto proto = slash == std::string_view::npos ? "udp" : text.substr(slash + 1);
    const auto known = std::ranges::find(kTransportNames, proto, &TransportName::name);
    if (known == kTransportNames.end()) {
        return std::nullopt;
    }
    auto host_part = text.substr(0, slash);
    std::optional<Port> port;
    if (has_ports(known->transport)) {
        const auto colon = host_part.rfind(':');
        if (colon == std::string_view::npos) {
            return std::nullopt;
        }
        port = Port::parse(host_part.substr(colon + 1));
        host_part = host_part.substr(0, colon);
        const bool is_ipv6 = host_part.find(':') != std::string_view::npos;
        if (!port || is_ipv6 != host_part.starts_with('[')) {
            return std::nullopt; // without brackets, the end of an IPv6 address is ambiguous
        }
    }
    auto host = parse_host(host_part);
    if (!host) {
        return std::nullopt;
    }
    return Remote{*std::move(host), known->transport, port, known->family};
}

std::string to_string(const Remote& remote)
{
    std::string text = host_text(remote.host, remote.port.has_value());
    if (remote.port) {
        text += ":" + std::to_string(remote.port->number());
    }
    const auto is_same = [&](const TransportName& entry) {
        return entry.transport == remote.transport && entry.family == remote.family;
    };
    return text + "/" + std::string(std::ranges::find_if(kTransportNames, is_same)->name);
}

std::optional<std::string> why_no_server(const Remote& remote)
{
    const auto* address = std::get_if<IpAddress>(&remote.host);
    if (address == nullptr || address->is_unicast_host()) {
        return std::nullopt;
    }
    const std::string text = address->to_string();
    if (address->is_loopback()) {
        return text + " is a loopback address";
    }
    if (address->is_unspecified()) {
        return text + " is the unspecified address";
    }
    if (address->is_multicast()) {
        return text + " is a multicast address";
    }
    return text +
           (text == "255.255.255.255" ? " is the broadcast address" : " is in a reserved block");
}

std::vector<Endpoint> Server::endpoints() const
{
    std::vector<Endpoint> endpoints;
    const auto add = [&](const IpAddress& address) {
        if (!remote.family || *remote.family == address.family()) {
            endpoints.push_back({address, remote.transport, remote.port});
        }
    };
    if (const auto* address = std::get_if<IpAddress>(&remote.host)) {
        add(*address);
    }
    for (const auto& learnt : addresses) {
        add(learnt.address);
    }
    // The address of a remote that is configured by address can also be among the learnt ones.
    std::ranges::sort(endpoints);
    const auto rest = std::ranges::unique(endpoints);
    endpoints.erase(rest.begin(), rest.end());
    return endpoints;
}

} // namespace failclosed
