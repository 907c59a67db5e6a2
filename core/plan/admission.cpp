// SPDX-License-Identifier: GPL-3.0-or-later
// Decides on every announcement of a tunnel, from each source.
#include "core/plan/admission.hpp"

#include <algorithm>
#include <cmath>

#include "core/plan/routing/networks.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

double largest_share(Family family)
{
    return family == Family::V4 ? kLargestShare4 : kLargestShare6;
}

/// Whether public networks of `family` among `networks` are more than its share.
bool claims_everything(const std::vector<IpPrefix>& networks, Family family)
{
    double share = 0;
    for (const auto& network : without_contained(networks)) {
        if (network.family() == family && !is_private(network)) {
            share += std::ldexp(1.0, -static_cast<int>(network.length()));
        }
    }
    return share > largest_share(family);
}

bool has_address(const Link& link, const IpAddress& address)
{
    return std::ranges::find(link.addresses, address, &InterfaceAddress::address) !=
           link.addresses.end();
}

/// A device, other than the tunnel's own, that packets outside the tunnels can use.
bool is_beneath(const State& state, const Link& link, const Tunnel& tunnel)
{
    return link.name != tunnel.interface && is_underlay(state, link);
}

bool is_of_underlay(const State& state, const Tunnel& tunnel, const IpAddress& address,
                    const Snapshot& snapshot)
{
    return std::ranges::any_of(snapshot.links, [&](const Link& link) {
        return is_beneath(state, link, tunnel) && has_address(link, address);
    });
}

bool is_gateway(const State& state, const Tunnel& tunnel, const IpAddress& address,
                const Snapshot& snapshot)
{
    return std::ranges::any_of(snapshot.main_routes, [&](const MainRoute& route) {
        const auto link = std::ranges::find(snapshot.links, route.device, &Link::index);
        return route.gateway == address && link != snapshot.links.end() &&
               is_beneath(state, *link, tunnel);
    });
}

/// Unverified addresses do not count as servers here: the network's resolver could prevent any
/// tunnel by answering with the tunnel's address.
bool is_server(const std::vector<Server>& servers, const IpAddress& address)
{
    const auto is_known = [&](const LearntAddress& learnt) {
        return learnt.address == address && !learnt.unverified;
    };
    return std::ranges::any_of(servers, [&](const Server& server) {
        const auto* literal = std::get_if<IpAddress>(&server.remote.host);
        return (literal != nullptr && *literal == address) ||
               std::ranges::any_of(server.addresses, is_known);
    });
}

bool is_dhcp_server(const State& state, const Tunnel& tunnel, const IpAddress& address,
                    const Snapshot& snapshot)
{
    return std::ranges::any_of(state.underlay.leases, [&](const Lease& lease) {
        const Link* link = snapshot.find(lease.interface);
        return lease.server == address && link != nullptr && is_beneath(state, *link, tunnel);
    });
}

/// The transport of every tunnel needs these addresses. Packets to a tunnel's address are dropped
/// on all other devices, so a tunnel with one of them would cut off other servers as well.
std::optional<Refusal> refusal_of_addresses(const State& state, const Tunnel& tunnel,
                                            const std::vector<Server>& announced,
                                            const Snapshot& snapshot)
{
    for (const auto& [address, length] : tunnel.addresses) {
        if (!address.is_unicast_host()) {
            return Refusal::UnusableAddress;
        }
        if (is_of_underlay(state, tunnel, address, snapshot)) {
            return Refusal::AddressOfUnderlay;
        }
        if (is_gateway(state, tunnel, address, snapshot)) {
            return Refusal::AddressOfGateway;
        }
        if (is_server(state.servers, address) || is_server(announced, address)) {
            return Refusal::AddressOfServer;
        }
        if (is_dhcp_server(state, tunnel, address, snapshot)) {
            return Refusal::AddressOfDhcpServer;
        }
    }
    return std::nullopt;
}

/// An unprivileged user can create a profile and have NetworkManager activate it: the packets of
/// all users would go into that user's tunnel.
std::optional<Refusal> refusal_of_profile(const State& state, const VpnProfileFacts& profile)
{
    if (profile.uuid.empty() || profile.digest.empty()) {
        return Refusal::NoProfile;
    }
    if (profile.is_private) {
        return Refusal::PrivateProfile;
    }
    if (state.armed == Armed::Yes) {
        const auto learnt = std::ranges::find(state.profiles, profile.uuid, &LearntProfile::uuid);
        if (learnt == state.profiles.end()) {
            return Refusal::UnlearntProfile;
        }
        if (learnt->digest != profile.digest) {
            return Refusal::ChangedProfile;
        }
    }
    const bool is_applied =
        !profile.is_newer_than_program && profile.settings != VpnProfileFacts::Settings::Other;
    return is_applied ? std::nullopt : std::optional(Refusal::OtherSettings);
}

std::optional<Refusal> refusal_of_device(const Tunnel& tunnel, const Snapshot& snapshot)
{
    const Link* link = snapshot.find(tunnel.interface);
    if (link == nullptr) {
        return Refusal::NoDevice;
    }
    return link->can_be_tunnel ? std::nullopt : std::optional(Refusal::NoTunnelDevice);
}

} // namespace

bool claims_everything(const std::vector<IpPrefix>& networks)
{
    return std::ranges::any_of(kFamilies,
                               [&](Family family) { return claims_everything(networks, family); });
}

void leave_out_pieces_of_everything(Tunnel& tunnel)
{
    for (const Family family : kFamilies) {
        if (claims_everything(tunnel.networks, family)) {
            std::erase_if(tunnel.networks, [&](const IpPrefix& network) {
                return network.family() == family && !is_private(network);
            });
        }
    }
}

std::optional<Refusal> refusal(const State& state, const TunnelUp& event, const Snapshot& snapshot)
{
    if (const auto refused = refusal_of_device(event.tunnel, snapshot)) {
        return refused;
    }
    if (event.has_unusable_address) {
        return Refusal::UnusableAddress;
    }
    if (event.profile) {
        if (event.tunnel.addresses.empty()) {
            return Refusal::NoAddress;
        }
        if (const auto refused = refusal_of_profile(state, *event.profile)) {
            return refused;
        }
        if (claims_everything(event.tunnel.networks)) {
            return Refusal::PiecesOfEverything;
        }
    }
    auto announced = event.servers;
    if (event.connected) {
        announced.push_back({{event.connected->address, event.connected->transport,
                              event.connected->port, std::nullopt},
                             {},
                             {}});
    }
    return refusal_of_addresses(state, event.tunnel, announced, snapshot);
}

std::optional<Refusal> refusal(const State& state, const TunnelFound& event)
{
    const auto is_admitted = [&](const VpnProgram& program) {
        return program.interface == event.interface && program.id == event.program;
    };
    switch (event.maker) {
    case TunnelFound::Maker::Program:
        return std::nullopt;
    case TunnelFound::Maker::Kernel:
        // Root's `ip link add` and NetworkManager's own profiles look the same to the kernel.
        return std::ranges::find(state.refused, event.interface) == state.refused.end()
                   ? std::nullopt
                   : std::optional(Refusal::RefusedBefore);
    case TunnelFound::Maker::NetworkManager:
        return std::ranges::any_of(state.vpn_programs, is_admitted)
                   ? std::nullopt
                   : std::optional(Refusal::OfNetworkManager);
    case TunnelFound::Maker::Unknown:
        break;
    }
    return Refusal::UnknownMaker;
}

std::optional<Refusal> withdrawal(const State& state, const Tunnel& tunnel,
                                  const Snapshot& snapshot)
{
    if (tunnel.word == Tunnel::Word::Found) {
        if (claims_everything(tunnel.networks)) {
            return Refusal::PiecesOfEverything;
        }
        return refusal_of_addresses(state, tunnel, {}, snapshot);
    }
    const bool is_taken = std::ranges::any_of(tunnel.addresses, [&](const auto& own) {
        return is_of_underlay(state, tunnel, own.address, snapshot);
    });
    return is_taken ? std::optional(Refusal::AddressOfUnderlay) : std::nullopt;
}

std::string to_text(Refusal refusal, const InterfaceName& interface)
{
    const std::string start = interface.text() + " is not used as a tunnel: ";
    const std::string learn = "; if you trust it: failclosed reapply, then bring it up again";
    switch (refusal) {
    case Refusal::NoDevice:
        return "no such device: " + interface.text();
    case Refusal::NoTunnelDevice:
        return interface.text() + " is not a tunnel: packets sent through it would leave in clear; "
                                  "name the device that "
                                  "the tunnel program made";
    case Refusal::UnusableAddress:
        return start +
               "it has an address that no host can have; configure another one at the VPN server";
    case Refusal::NoAddress:
        return start + "NetworkManager announced no address for it";
    case Refusal::AddressOfUnderlay:
        return start + "another device of this machine has its address, whose packets would be "
                       "dropped; change the address at the VPN server or in the network";
    case Refusal::AddressOfGateway:
        return start + "its address is that of the network's router; configure another one at "
                       "the VPN server";
    case Refusal::AddressOfServer:
        return start +
               "its address is that of a VPN server; configure another one at the VPN server";
    case Refusal::AddressOfDhcpServer:
        return start + "its address is that of the network's DHCP server; configure another one at "
                       "the VPN server";
    case Refusal::PiecesOfEverything:
        return start + "its networks are parts of a default route; use a default route instead";
    case Refusal::NoProfile:
        return start + "its NetworkManager profile could not be read; is libnm installed?";
    case Refusal::PrivateProfile:
        return start + "its NetworkManager profile is private to some users, who can change it; if "
                       "you trust "
                       "it, make it available to all users: nmcli connection modify NAME "
                       "connection.permissions '', then failclosed reapply";
    case Refusal::UnlearntProfile:
        return start + "its NetworkManager profile was not learnt when the machine was locked" +
               learn;
    case Refusal::ChangedProfile:
        return start + "its NetworkManager profile was changed since it was learnt" + learn;
    case Refusal::OtherSettings:
        return start +
               "its program runs with other settings than its NetworkManager profile has (was it "
               "changed while the VPN connected?); bring it up again";
    case Refusal::UnknownMaker:
        return start +
               "the program that made it was not found; if it is a program of root: failclosed up "
               "--interface " +
               interface.text();
    case Refusal::OfNetworkManager:
        return start + "it is held by a NetworkManager VPN that was not admitted";
    case Refusal::RefusedBefore:
        return start +
               "a device of this name was refused before; if you trust it: failclosed up "
               "--interface " +
               interface.text();
    }
    return start;
}

} // namespace failclosed
