// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager's dispatcher environment, variable by variable.
#include "core/codec/network_manager/environment.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/codec/tunnel_parts.hpp"

namespace failclosed {

namespace {

/// Limit for each family.
constexpr std::size_t kMaxAddresses = 64;
/// A UUID has 36 characters; old profiles have a SHA-1 sum of 40 digits.
constexpr std::size_t kLongestUuid = 40;

constexpr std::array<std::string_view, 15> kActions = {
    "pre-up",       "up",         "pre-down",     "down",         "vpn-pre-up",          "vpn-up",
    "vpn-pre-down", "vpn-down",   "dhcp4-change", "dhcp6-change", "connectivity-change", "reapply",
    "dns-change",   "device-add", "device-delete"};

/// The words of a value, separated by spaces; empty words are left out.
std::vector<std::string_view> words_of(std::string_view text)
{
    auto words = split_words(text);
    std::erase(words, std::string_view{});
    return words;
}

/// Parses "ADDRESS/LENGTH" and keeps the host bits, which IpPrefix clears.
std::optional<InterfaceAddress> parse_address(std::string_view text, Family family)
{
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address || address->family() != family || !address->is_unicast_host()) {
        return std::nullopt;
    }
    const auto length = parse_number(text.substr(slash + 1), 1, address->bits());
    return length ? std::optional(InterfaceAddress{*address, static_cast<unsigned>(*length)})
                  : std::nullopt;
}

/// Parses one environment and collects warnings.
class Reader {
  public:
    Reader(std::string_view device, const Environment& environment, const FindDevice& find_device)
        : device_(device), environment_(environment), find_device_(find_device)
    {
    }

    NetworkManagerEvent operator()(std::string_view action) &&
    {
        if (action == "vpn-pre-up" || action == "vpn-up") {
            result_.event = vpn_up();
        } else if (action == "vpn-down") {
            result_.event = vpn_down();
        } else if (action.starts_with("vpn-")) {
            result_.event = UnderlayChanged{};
        } else {
            result_.event = device_changed(action);
        }
        return std::move(result_);
    }

  private:
    Event vpn_up();
    Event vpn_down();
    Event device_changed(std::string_view action);
    Event lease(const std::optional<InterfaceName>& device, bool down);
    Event tunnel_up(const InterfaceName& device, const std::string& prefix);
    void read_addresses(TunnelUp& event, TunnelParts& parts, Family family,
                        const std::string& prefix);
    void read_routes(Tunnel& tunnel, TunnelParts& parts, Family family, const std::string& prefix);
    static void note_gateway(Tunnel& tunnel, std::string_view text);
    std::optional<InterfaceName> interface(std::string_view text);
    std::string profile();

    std::string_view device_;
    const Environment& environment_;
    const FindDevice& find_device_;
    NetworkManagerEvent result_;
};

/// `nullopt`, without a warning, if `text` is empty.
std::optional<InterfaceName> Reader::interface(std::string_view text)
{
    const auto name = InterfaceName::parse(text);
    if (!name && !text.empty()) {
        warn(result_.warnings, "invalid device name from NetworkManager: " + in_quotes(text));
    }
    return name;
}

std::string Reader::profile()
{
    const auto uuid = environment_.get("CONNECTION_UUID");
    const bool valid = !uuid.empty() && uuid.size() <= kLongestUuid &&
                       uuid.find_first_not_of("0123456789abcdefABCDEF-") == std::string_view::npos;
    if (!valid) {
        warn(result_.warnings, "invalid VPN profile UUID: CONNECTION_UUID=" + in_quotes(uuid));
        return {};
    }
    return std::string(uuid);
}

Event Reader::vpn_up()
{
    const auto device = interface(environment_.get("VPN_IP_IFACE"));
    const auto is_underlay = [&](const char* name) {
        return device && environment_.get(name) == device->text();
    };
    // The argument is the VPN's device, or the underlay's if the VPN has no device.
    if (!device || is_underlay("DEVICE_IP_IFACE") || is_underlay("DEVICE_IFACE")) {
        warn(result_.warnings,
             "this VPN has no device of its own (IPsec without a virtual interface?): its packets "
             "cannot be distinguished from those of the network and are refused; use a VPN type or "
             "option that makes a device");
        return UnderlayChanged{};
    }
    return tunnel_up(*device, "VPN_");
}

/// If no device is named, UnderlayChanged suffices: the engine forgets tunnels without a device.
Event Reader::vpn_down()
{
    const auto device = interface(environment_.get("VPN_IP_IFACE"));
    return device ? Event(TunnelDown{*device}) : Event(UnderlayChanged{});
}

Event Reader::device_changed(std::string_view action)
{
    const auto ip_device = environment_.get("DEVICE_IP_IFACE");
    const auto device = interface(ip_device.empty() ? device_ : ip_device);
    if (!device || action == "pre-up" || action == "pre-down") {
        return UnderlayChanged{};
    }
    const DeviceFacts facts = find_device_(*device);
    if (!facts.is_program_tunnel) {
        return lease(device, action == "down");
    }
    if (action != "up") {
        return UnderlayChanged{};
    }
    if (facts.is_wireguard && environment_.get("CONNECTION_EXTERNAL").empty()) {
        return tunnel_up(*device, "");
    }
    return TunnelFound{*device, facts.is_wireguard ? TunnelFound::Maker::Kernel
                                                   : TunnelFound::Maker::Unknown};
}

/// The lease ends when the device goes down; until then the variable names its server.
Event Reader::lease(const std::optional<InterfaceName>& device, bool down)
{
    if (down) {
        return UnderlayChanged{device, {}};
    }
    const auto text = environment_.get("DHCP4_DHCP_SERVER_IDENTIFIER");
    if (text.empty()) {
        return UnderlayChanged{};
    }
    const auto server = IpAddress::parse(text);
    if (!server || server->family() != Family::V4 || !server->is_unicast_host()) {
        warn(result_.warnings, "invalid DHCP server is ignored: " + in_quotes(text));
        return UnderlayChanged{};
    }
    return UnderlayChanged{device, server};
}

/// Parses "ADDRESS/LENGTH GATEWAY". Link-local addresses, which each device has, are left out.
void Reader::read_addresses(TunnelUp& event, TunnelParts& parts, Family family,
                            const std::string& prefix)
{
    Tunnel& tunnel = event.tunnel;
    std::size_t count = 0;
    for (const auto& [number, text] : environment_.numbered(prefix + "ADDRESS_", 0)) {
        const auto words = words_of(text);
        const auto address = words.empty() ? std::nullopt : parse_address(words[0], family);
        if (!address) {
            warn(result_.warnings, "invalid tunnel address is ignored: " + in_quotes(text));
            event.has_unusable_address = true;
        } else if (address->address.is_link_local()) {
            continue;
        } else if (count++ == kMaxAddresses) {
            warn(result_.warnings,
                 "only the first " + std::to_string(kMaxAddresses) + " tunnel addresses are used");
            return;
        } else {
            tunnel.addresses.push_back(*address);
            parts.add_network(address->prefix());
        }
    }
}

/// A tap device needs a next hop on its link.
void Reader::note_gateway(Tunnel& tunnel, std::string_view text)
{
    const auto gateway = IpAddress::parse(text);
    if (!gateway || !gateway->is_unicast_host()) {
        return; // "0.0.0.0" and "::" mean that there is no gateway
    }
    const auto same_family = [&](const IpAddress& other) {
        return other.family() == gateway->family();
    };
    const auto on_link = [&](const InterfaceAddress& own) {
        return own.address != *gateway && own.prefix().contains(*gateway);
    };
    if (std::ranges::none_of(tunnel.gateways, same_family) &&
        std::ranges::any_of(tunnel.addresses, on_link)) {
        tunnel.gateways.push_back(*gateway);
    }
}

/// Parses "NETWORK/LENGTH GATEWAY METRIC".
void Reader::read_routes(Tunnel& tunnel, TunnelParts& parts, Family family,
                         const std::string& prefix)
{
    note_gateway(tunnel, environment_.get(prefix + "GATEWAY"));
    for (const auto& [number, text] : environment_.numbered(prefix + "ROUTE_", 0)) {
        const auto words = words_of(text);
        const auto network = words.empty() ? std::nullopt : IpPrefix::parse(words[0]);
        if (network && network->address().is_link_local()) {
            continue;
        }
        const bool is_piece = network && network->length() < kShortestNetwork;
        if (!network || network->family() != family || !(is_piece || can_be_inside(*network))) {
            warn(result_.warnings,
                 "tunnel route is ignored: not a network inside a tunnel: " + in_quotes(text));
        } else {
            parts.add_network(*network);
            note_gateway(tunnel, words.size() > 1 ? words[1] : std::string_view{});
        }
    }
}

/// Reports the tunnel even if it has no usable address: admission decides whether it is accepted.
Event Reader::tunnel_up(const InterfaceName& device, const std::string& prefix)
{
    TunnelUp event{.tunnel = {.interface = device}};
    TunnelParts parts(result_.warnings);
    for (const Family family : kFamilies) {
        const std::string start = prefix + (family == Family::V4 ? "IP4_" : "IP6_");
        read_addresses(event, parts, family, start);
        read_routes(event.tunnel, parts, family, start);
        for (const auto word : words_of(environment_.get(start + "NAMESERVERS"))) {
            // "ADDRESS#NAME": NAME is the name in the server's certificate.
            parts.add_resolver(word.substr(0, word.find('#')), family);
        }
        for (const auto word : words_of(environment_.get(start + "DOMAINS"))) {
            // "~DOMAIN" routes queries to these resolvers and is not a search domain.
            if (!word.starts_with('~')) {
                parts.add_search_domain(word);
            }
        }
    }
    std::move(parts).put_into(event.tunnel);
    event.profile = VpnProfileFacts{.uuid = profile()};
    return event;
}

} // namespace

Result<NetworkManagerEvent> parse_network_manager_event(std::span<const char* const> arguments,
                                                        const Environment& environment,
                                                        const FindDevice& find_device)
{
    if (arguments.size() != 2) {
        return fail("needs two arguments, device and action: NetworkManager runs this program, see "
                    "failclosed(8)");
    }
    const std::string_view device = arguments[0];
    const std::string_view action = arguments[1];
    if (device == "lo" || device == "none" ||
        std::ranges::find(kActions, action) == kActions.end()) {
        return NetworkManagerEvent{};
    }
    return Reader(device, environment, find_device)(action);
}

} // namespace failclosed
