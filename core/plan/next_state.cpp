// SPDX-License-Identifier: GPL-3.0-or-later
// The state machine: one function per event, then changes by time and vanished devices.
#include "core/plan/next_state.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>

#include "core/plan/admission.hpp"
#include "core/plan/names/lookups.hpp"
#include "core/plan/routing/networks.hpp"
#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

// A newer time is stored only after this interval, so that not every event writes the state file.
constexpr Seconds kSeenResolution = std::chrono::hours(12);
constexpr Seconds kUnverifiedSeenResolution = std::chrono::minutes(1);

/// Addresses that a VPN server can have: not of this machine, a group or the link.
bool can_be_server(const IpAddress& address)
{
    return address.is_unicast_host() && !address.is_link_local();
}

/// The source of a server's address.
enum class Source : std::uint8_t {
    Trusted,   ///< the administrator, a tunnel's program, or a resolver inside a tunnel
    PastTunnel ///< a resolver of the network
};

LearntAddress& learn(Server& server, const IpAddress& address, Seconds now,
                     Source source = Source::Trusted)
{
    const auto known = std::ranges::find(server.addresses, address, &LearntAddress::address);
    if (known == server.addresses.end()) {
        return server.addresses.emplace_back(
            LearntAddress{address, now, false, source == Source::PastTunnel});
    }
    known->unverified = known->unverified && source == Source::PastTunnel;
    const auto resolution = known->unverified ? kUnverifiedSeenResolution : kSeenResolution;
    // After a clock that was ahead, an unverified address would be kept for too long.
    if (now - known->seen >= resolution || (known->unverified && known->seen > now)) {
        known->seen = now;
    }
    return *known;
}

/// Two programs may have the same server. Of several marks, which replace users, the first is kept.
void add_users(Identity& identity, const Identity& more)
{
    if (identity.mark || more.mark) {
        return;
    }
    for (const auto uid : more.uids) {
        if (std::ranges::find(identity.uids, uid) == identity.uids.end()) {
            identity.uids.push_back(uid);
        }
    }
}

/// Whether users that were admitted to a server before are kept.
enum class Admitted : std::uint8_t { Replaced, Kept };

/// Adds the servers of an event; known addresses are kept.
void remember(State& state, const std::vector<Server>& servers, Seconds now,
              Admitted before = Admitted::Replaced)
{
    std::set<Remote> named_before;
    for (const auto& named : servers) {
        auto known = std::ranges::find(state.servers, named.remote, &Server::remote);
        const bool is_new = known == state.servers.end();
        if (is_new) {
            state.servers.push_back({named.remote, named.identity, {}});
            known = std::prev(state.servers.end());
        }
        const bool is_first = named_before.insert(named.remote).second;
        if (is_first && before == Admitted::Replaced) {
            known->identity = named.identity;
        } else if (!is_new) {
            add_users(known->identity, named.identity);
        }
        if (const auto* address = std::get_if<IpAddress>(&named.remote.host)) {
            if (can_be_server(*address)) {
                learn(*known, *address, now);
            }
        }
        for (const auto& learnt : named.addresses) {
            if (can_be_server(learnt.address)) {
                learn(*known, learnt.address, now);
            }
        }
    }
}

void mark_worked(Server& server, const IpAddress& address, Seconds now)
{
    for (auto& other : server.addresses) {
        other.worked_last = false;
    }
    learn(server, address, now).worked_last = true;
}

/// A tunnel is up whose server has proved its identity, so the other addresses are not needed.
void forget_unverified(State& state)
{
    for (auto& server : state.servers) {
        std::erase_if(server.addresses, &LearntAddress::unverified);
    }
}

bool is_in_use(const State& state, const IpAddress& address)
{
    return std::ranges::any_of(state.programs,
                               [&](const Program& program) { return program.server == address; });
}

bool can_lead_to(const Remote& remote, const Endpoint& endpoint)
{
    return remote.transport == endpoint.transport && remote.port == endpoint.port &&
           (!remote.family || *remote.family == endpoint.address.family());
}

/// Records which address answered. OpenVPN does not tell which name it belongs to: with one
/// candidate it is stored with that name, with several as a server of its own until they are
/// resolved.
void remember_connected(State& state, const std::vector<Server>& announced,
                        const Endpoint& endpoint, Seconds now)
{
    if (!can_be_server(endpoint.address)) {
        return;
    }
    std::vector<Server*> candidates;
    bool known = false;
    for (auto& server : state.servers) {
        const bool is_announced =
            std::ranges::find(announced, server.remote, &Server::remote) != announced.end();
        if (!can_lead_to(server.remote, endpoint)) {
            continue;
        }
        if (std::ranges::find(server.addresses, endpoint.address, &LearntAddress::address) !=
            server.addresses.end()) {
            mark_worked(server, endpoint.address, now);
            known = true;
        } else if (is_announced && server.remote.name() != nullptr) {
            candidates.push_back(&server);
        }
    }
    if (known) {
        return;
    }
    if (candidates.size() == 1) {
        mark_worked(*candidates.front(), endpoint.address, now);
        return;
    }
    Server literal{{endpoint.address, endpoint.transport, endpoint.port, std::nullopt}, {}, {}};
    if (!announced.empty()) {
        literal.identity = announced.front().identity;
    }
    mark_worked(literal, endpoint.address, now);
    state.servers.push_back(std::move(literal));
}

/// Replaces the remembered networks of the device; the order changes only if they change.
void remember_inside(State& state, const Tunnel& tunnel)
{
    Tunnel kept = tunnel;
    leave_out_pieces_of_everything(kept);
    auto networks = networks_of(kept);
    const auto known =
        std::ranges::find(state.inside, tunnel.interface, &InsideNetworks::interface);
    if (known != state.inside.end()) {
        known->networks = std::move(networks);
        return;
    }
    if (state.inside.size() >= kMostInsideNetworks) {
        state.inside.erase(state.inside.begin());
    }
    state.inside.push_back({tunnel.interface, std::move(networks)});
}

/// Appends new entries; beyond the limit the oldest are removed.
template <typename T> void append_new(std::vector<T>& values, const T& value, std::size_t most)
{
    if (std::ranges::find(values, value) != values.end()) {
        return;
    }
    if (values.size() >= most) {
        values.erase(values.begin());
    }
    values.push_back(value);
}

/// Beyond the limit the oldest are removed.
void remember_profiles(State& state, const std::vector<LearntProfile>& profiles)
{
    for (const auto& profile : profiles) {
        std::erase_if(state.profiles,
                      [&](const LearntProfile& known) { return known.uuid == profile.uuid; });
        append_new(state.profiles, profile, kMostProfiles);
    }
}

/// The owner of NetworkManager's own VPN. It is not stored as a Program, which would be told to
/// reconnect: NetworkManager does that.
void remember_vpn_program(State& state, const InterfaceName& interface, const ProcessId& id)
{
    std::erase_if(state.vpn_programs,
                  [&](const VpnProgram& known) { return known.interface == interface; });
    append_new(state.vpn_programs, VpnProgram{interface, id}, kMostPrograms);
}

/// Removes the tunnel, and the networks of one that was found: otherwise such networks would stay
/// unreachable in the local network.
void forget_tunnel(State& state, const InterfaceName& interface)
{
    const auto tunnel = std::ranges::find(state.tunnels, interface, &Tunnel::interface);
    if (tunnel != state.tunnels.end() && tunnel->word == Tunnel::Word::Found) {
        std::erase_if(state.inside,
                      [&](const InsideNetworks& inside) { return inside.interface == interface; });
    }
    std::erase_if(state.tunnels, [&](const Tunnel& known) { return known.interface == interface; });
}

void withdraw(State& state, const InterfaceName& interface)
{
    forget_tunnel(state, interface);
    append_new(state.refused, interface, kMostRefused);
}

/// `id` has just connected over the present path, so it needs no signal. Its known server is kept
/// if the event names none.
void remember_program(State& state, const Snapshot& snapshot, const ProcessId& id,
                      const std::optional<Endpoint>& connected)
{
    Program program{id};
    const auto known = std::ranges::find(state.programs, id, &Program::id);
    if (known != state.programs.end()) {
        program.server = known->server;
        state.programs.erase(known);
    }
    if (connected) {
        program.server = connected->address;
    }
    const auto paths = paths_of(program, state, snapshot);
    program.path = paths.empty() ? std::nullopt : std::optional(paths.front());
    append_new(state.programs, program, kMostPrograms);
}

void remember_lease(std::vector<Lease>& leases, const InterfaceName& interface,
                    const std::optional<IpAddress>& server)
{
    std::erase_if(leases, [&](const Lease& lease) { return lease.interface == interface; });
    if (server && server->is_unicast_host() && leases.size() < kMostLeases) {
        leases.push_back({interface, *server});
    }
}

/// What the kernel shows of a tunnel without a description: its addresses and the routes of its
/// program. Known routes are kept: a program removes them before it ends, and packets to them must
/// not go to a local network with the same addresses.
void describe(Tunnel& tunnel, const Link& link, const Snapshot& snapshot)
{
    tunnel.addresses.clear();
    for (const auto& own : link.addresses) {
        if (!own.address.is_link_local()) {
            tunnel.addresses.push_back(own);
        }
    }
    for (const auto& route : snapshot.main_routes) {
        if (route.device == link.index && route.destination.length() >= kShortestNetwork &&
            !route.destination.address().is_link_local() &&
            !route.destination.address().is_multicast()) {
            tunnel.networks.push_back(route.destination);
        }
    }
    tunnel.networks = without_contained(std::move(tunnel.networks));
}

bool has_address_of(const Link* link, const Tunnel& tunnel)
{
    return link != nullptr && std::ranges::any_of(link->addresses, [&](const auto& own) {
               return std::ranges::find(tunnel.addresses, own.address,
                                        &InterfaceAddress::address) != tunnel.addresses.end();
           });
}

/// Another program has made a device of the same name since. A device without addresses may still
/// be the tunnel's: NetworkManager can announce it before it sets them.
bool is_of_another(const Link& link, const Tunnel& tunnel)
{
    const bool has_addresses = std::ranges::any_of(
        link.addresses, [](const InterfaceAddress& own) { return !own.address.is_link_local(); });
    return has_addresses && !tunnel.addresses.empty() && !has_address_of(&link, tunnel);
}

bool is_over(const Tunnel& tunnel, const Snapshot& snapshot)
{
    if (refusal(snapshot, tunnel)) {
        return true;
    }
    const Link& link = *snapshot.find(tunnel.interface);
    return tunnel.word == Tunnel::Word::Found ? !link.up : is_of_another(link, tunnel);
}

/// Updates each tunnel that was found from the kernel. A tunnel that is refused now is withdrawn
/// before its networks are remembered.
void look_at_tunnels(State& state, const Snapshot& snapshot)
{
    std::vector<InterfaceName> withdrawn;
    for (auto& tunnel : state.tunnels) {
        const Link& link = *snapshot.find(tunnel.interface);
        // If the kernel could not be read, the snapshot has the links without their properties.
        if (tunnel.word == Tunnel::Word::Found && link.is_program_tunnel) {
            describe(tunnel, link, snapshot);
        }
        if (withdrawal(state, tunnel, snapshot)) {
            withdrawn.push_back(tunnel.interface);
        } else if (tunnel.word == Tunnel::Word::Found && link.is_program_tunnel) {
            remember_inside(state, tunnel);
        }
    }
    for (const auto& interface : withdrawn) {
        withdraw(state, interface);
    }
}

/// Also if its end is later than possible: it is then from before the last boot.
bool is_over(const Portal& portal, const Snapshot& snapshot)
{
    return snapshot.uptime > portal.until || portal.until - snapshot.uptime > kLongestPortal;
}

struct Apply {
    State& state;
    const Snapshot& snapshot;
    Seconds server_expiry;
    Seconds now = snapshot.now;

    /// Tunnels that were up before the machine was opened, and still are, are tunnels again: their
    /// programs do not announce them a second time.
    void arm() const
    {
        if (state.armed == Armed::No) {
            std::erase_if(state.tunnels, [&](const Tunnel& tunnel) {
                return !has_address_of(snapshot.find(tunnel.interface), tunnel);
            });
            for (const auto& tunnel : state.tunnels) {
                remember_inside(state, tunnel);
            }
        }
        state.armed = Armed::Yes;
    }

    void operator()(const ReapplyRequested& event) const
    {
        if (state.armed == Armed::Yes) {
            // An event with a user or a mark has precedence over files.
            remember(state, event.servers, now, Admitted::Kept);
            remember_profiles(state, event.profiles);
        }
    }

    void operator()(const LockRequested& event) const
    {
        arm();
        remember(state, event.servers, now);
        remember_profiles(state, event.profiles);
        std::erase_if(state.openvpn_configs, [&](const std::string& path) {
            return std::ranges::find(event.forgotten_configs, path) !=
                   event.forgotten_configs.end();
        });
        for (const auto& path : event.openvpn_configs) {
            append_new(state.openvpn_configs, path, kMostConfigs);
        }
    }

    void operator()(const UnlockRequested&) const
    {
        state.armed = Armed::No;
        state.inside.clear();
        state.underlay = {};
        state.refused.clear();
        state.portal.reset();
    }

    void operator()(const TunnelUp& event) const
    {
        if (const auto refused = refusal(state, event, snapshot)) {
            refuse(event, *refused);
            return;
        }
        const bool was_armed = state.armed == Armed::Yes;
        arm();
        const Tunnel& tunnel = event.tunnel;
        const auto known = std::ranges::find(state.tunnels, tunnel.interface, &Tunnel::interface);
        if (known == state.tunnels.end()) {
            state.tunnels.push_back(tunnel);
        } else {
            *known = tunnel;
        }
        std::erase(state.refused, tunnel.interface);
        remember_inside(state, tunnel);
        if (event.profile) {
            remember_vpn(event, was_armed);
            return;
        }
        remember(state, event.servers, now);
        if (event.connected) {
            remember_connected(state, event.servers, *event.connected, now);
            forget_unverified(state);
        }
        if (event.tunnel.owner) {
            remember_program(state, snapshot, *event.tunnel.owner, event.connected);
        }
    }

    /// On a machine that was locked before, the servers were learnt with the profile.
    void remember_vpn(const TunnelUp& event, bool was_armed) const
    {
        if (!was_armed) {
            remember(state, event.servers, now);
            remember_profiles(state, {{event.profile->uuid, event.profile->digest}});
        }
        if (event.profile->program) {
            remember_vpn_program(state, event.tunnel.interface, *event.profile->program);
        }
    }

    /// A program that root runs may reconnect to another server.
    void refuse(const TunnelUp& event, Refusal reason) const
    {
        const InterfaceName& interface = event.tunnel.interface;
        arm();
        if (!event.profile) {
            // Servers of a program that root runs are admitted, so that it can reconnect.
            remember(state, event.servers, now);
        }
        // The name is remembered only if the device can be a tunnel.
        if (reason == Refusal::NoDevice || reason == Refusal::NoTunnelDevice) {
            forget_tunnel(state, interface);
        } else {
            withdraw(state, interface);
        }
    }

    void operator()(const TunnelRestarted& event) const
    {
        if (state.armed == Armed::No) {
            return;
        }
        remember(state, event.servers, now);
        if (!event.connected) {
            return;
        }
        remember_connected(state, event.servers, *event.connected, now);
        forget_unverified(state);
        const bool is_known =
            event.owner &&
            std::ranges::find(state.programs, *event.owner, &Program::id) != state.programs.end();
        if (is_known) {
            remember_program(state, snapshot, *event.owner, event.connected);
        }
    }

    void operator()(const TunnelFound& event) const
    {
        const Link* link = snapshot.find(event.interface);
        const auto known = std::ranges::find(state.tunnels, event.interface, &Tunnel::interface);
        const bool is_known = known != state.tunnels.end();
        if (state.armed == Armed::No || link == nullptr || !link->is_program_tunnel ||
            (is_known && !is_held_by_another(*known, event))) {
            return;
        }
        if (refusal(state, event)) {
            withdraw(state, event.interface);
            return;
        }
        std::erase(state.refused, event.interface);
        if (!is_known) {
            Tunnel tunnel{.interface = event.interface};
            tunnel.word = Tunnel::Word::Found;
            state.tunnels.push_back(std::move(tunnel));
        }
    }

    /// Another VPN holds the device of a recorded tunnel.
    [[nodiscard]] bool is_held_by_another(const Tunnel& tunnel, const TunnelFound& event) const
    {
        if (event.maker != TunnelFound::Maker::NetworkManager || tunnel.owner == event.program) {
            return false;
        }
        const auto holder =
            std::ranges::find(state.vpn_programs, event.interface, &VpnProgram::interface);
        return tunnel.owner || tunnel.word == Tunnel::Word::Found ||
               (holder != state.vpn_programs.end() && holder->id != event.program);
    }

    void operator()(const UnderlayChanged& event) const
    {
        if (event.leased_interface && state.armed == Armed::Yes) {
            remember_lease(state.underlay.leases, *event.leased_interface, event.lease_server);
        }
    }

    void operator()(const TunnelDown& event) const
    {
        std::erase_if(state.tunnels, [&](const Tunnel& tunnel) {
            // A program that ends late must not remove the device of its successor.
            const bool is_of_another = event.owner && tunnel.owner && *event.owner != *tunnel.owner;
            return tunnel.interface == event.interface && !is_of_another;
        });
    }

    void operator()(const PortalRequested& event) const
    {
        if (!refusal(state, event, snapshot)) {
            state.portal =
                Portal{event.uid, event.gid, event.resolvers, snapshot.uptime + event.time};
        }
    }

    void operator()(const PortalEnded&) const { state.portal.reset(); }

    void operator()(const ServersResolved& event) const
    {
        for (const auto& answer : event.answers) {
            std::vector<IpAddress> addresses;
            std::ranges::copy_if(answer.addresses, std::back_inserter(addresses), can_be_server);
            if (addresses.empty()) {
                continue;
            }
            for (auto& server : state.servers) {
                if (server.remote.name() != nullptr && *server.remote.name() == answer.name) {
                    take_answer(server, addresses, event.past_tunnel);
                }
            }
        }
    }

    /// An answer replaces the unverified addresses of earlier ones.
    void take_answer(Server& server, const std::vector<IpAddress>& addresses,
                     bool past_tunnel) const
    {
        const auto is_given = [&](const LearntAddress& learnt) {
            return std::ranges::find(addresses, learnt.address) != addresses.end();
        };
        std::erase_if(server.addresses, [&](const LearntAddress& learnt) {
            return learnt.unverified && !is_given(learnt);
        });
        for (const auto& address : addresses) {
            learn(server, address, now, past_tunnel ? Source::PastTunnel : Source::Trusted);
        }
        if (past_tunnel) {
            return;
        }
        // The old address of a server that moved is removed, but not while a program may use it.
        for (auto& learnt : server.addresses) {
            learnt.worked_last =
                learnt.worked_last && (is_given(learnt) || now - learnt.seen <= server_expiry ||
                                       is_in_use(state, learnt.address));
        }
    }
};

/// Addresses that worked first, then by the last answer.
bool is_more_useful(const LearntAddress& a, const LearntAddress& b)
{
    return a.worked_last != b.worked_last ? a.worked_last : a.seen > b.seen;
}

/// Addresses that worked have precedence over addresses that were only seen.
std::pair<bool, Seconds> worth(const Server& server)
{
    std::pair<bool, Seconds> most{false, 0};
    for (const auto& learnt : server.addresses) {
        most = {most.first || learnt.worked_last, std::max(most.second, learnt.seen)};
    }
    return most;
}

/// Unverified addresses expire soon, but not while a tunnel is up: it may use any of them, and the
/// first answer through it decides.
bool is_expired(const LearntAddress& learnt, const State& state, const Config& config, Seconds now)
{
    if (learnt.unverified) {
        const bool is_of_now =
            now - learnt.seen <= kUnverifiedLifetime && learnt.seen - now <= kUnverifiedLifetime;
        return !is_of_now && state.tunnels.empty();
    }
    return !learnt.worked_last && now - learnt.seen > config.server_expiry;
}

/// The address that worked last is kept: without any address the tunnel could not come back.
void expire(State& state, const Config& config, Seconds now)
{
    for (auto& server : state.servers) {
        auto& addresses = server.addresses;
        std::erase_if(addresses, [&](const LearntAddress& learnt) {
            return is_expired(learnt, state, config, now);
        });
        std::ranges::stable_sort(addresses, is_more_useful);
        if (addresses.size() > kMostAddressesPerServer) {
            addresses.erase(addresses.begin() + kMostAddressesPerServer, addresses.end());
        }
        std::ranges::sort(addresses, {}, &LearntAddress::address);
    }
    // A server with a name is kept, so that it can be looked up again.
    std::erase_if(state.servers, [](const Server& server) {
        return server.remote.name() == nullptr && server.addresses.empty();
    });
    if (state.servers.size() > kMostServers) {
        std::ranges::stable_sort(state.servers, std::ranges::greater{}, worth);
        state.servers.erase(state.servers.begin() + kMostServers, state.servers.end());
    }
    std::ranges::sort(state.servers, {}, &Server::remote);
}

} // namespace

std::optional<Error> refusal(const State& state, const PortalRequested& request,
                             const Snapshot& snapshot)
{
    // The highest number means no user (chown(2)).
    constexpr auto kNobody = std::numeric_limits<uid_t>::max();
    if (state.armed == Armed::No) {
        return Error("the machine is not locked: a sign-in needs no portal");
    }
    if (!std::ranges::all_of(state.tunnels,
                             [&](const Tunnel& tunnel) { return is_over(tunnel, snapshot); })) {
        return Error("a tunnel is up: no sign-in is needed");
    }
    if (request.uid == kNobody || request.gid == kNobody || request.gid == gid_t{0}) {
        return Error("no valid user or group for the sign-in");
    }
    if (request.resolvers.empty() ||
        !std::ranges::all_of(request.resolvers, &IpAddress::is_unicast_host)) {
        return Error("no resolver of the network is known");
    }
    if (request.time <= Seconds{0} || request.time > kLongestPortal) {
        return Error("a sign-in lasts from 1 s to " + std::to_string(kLongestPortal.count()) +
                     " s");
    }
    return std::nullopt;
}

State next_state(State state, const Event& event, const Config& config, const Snapshot& snapshot)
{
    std::visit(Apply{state, snapshot, config.server_expiry}, event);
    if (state.armed == Armed::Yes) {
        std::vector<Server> configured;
        for (const auto& remote : config.servers) {
            const auto known = std::ranges::find(state.servers, remote, &Server::remote);
            configured.push_back(
                {remote, known == state.servers.end() ? Identity{} : known->identity, {}});
        }
        remember(state, configured, snapshot.now);
    }
    std::erase_if(state.tunnels, [&](const Tunnel& tunnel) { return is_over(tunnel, snapshot); });
    std::erase_if(state.underlay.leases,
                  [&](const Lease& lease) { return snapshot.find(lease.interface) == nullptr; });
    if (state.portal && (!state.tunnels.empty() || is_over(*state.portal, snapshot))) {
        state.portal.reset();
    }
    look_at_tunnels(state, snapshot);
    // The first tunnel gets the default route.
    std::ranges::stable_sort(state.tunnels, {}, &Tunnel::word);
    expire(state, config, snapshot.now);
    return state;
}

} // namespace failclosed
