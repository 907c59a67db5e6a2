// SPDX-License-Identifier: GPL-3.0-or-later
// Maps each event to its obligations; core/plan/next_state has the states.
#include "core/plan/decide.hpp"

#include <algorithm>
#include <utility>

#include "core/plan/admission.hpp"
#include "core/plan/next_state.hpp"

namespace failclosed {

namespace {

/// "Only UnlockRequested opens" (docs/architecture.md).
bool asks_to_open(const Event& event)
{
    return std::holds_alternative<UnlockRequested>(event);
}

/// What an event needs besides the next state.
struct Request {
    /// SayWarning or RefuseEvent.
    std::optional<Obligation> objection = {};
    bool links_down = false;
    bool end_older_flows = false;
    /// The program that is the source of the event.
    std::optional<ProcessId> program = {};
    std::optional<LookupTime> lookup = {};
    /// Warn if no server is known then: other tunnel programs announce theirs.
    bool needs_server = false;
};

/// Without a default: a new event must be added here.
struct RequestOf {
    const State& before;
    const Snapshot& snapshot;

    Request operator()(const ReapplyRequested&) const { return {.lookup = LookupTime::Now}; }

    Request operator()(const LockRequested& event) const
    {
        return {.links_down = event.boot,
                .lookup = event.look_names_up ? std::optional(LookupTime::Now) : std::nullopt};
    }

    Request operator()(const UnlockRequested&) const { return {}; }

    Request operator()(const TunnelUp& event) const
    {
        return {.objection = objection(event),
                .end_older_flows = true,
                .program = event.tunnel.owner,
                .lookup = LookupTime::InTunnel,
                .needs_server = event.profile.has_value()};
    }

    Request operator()(const TunnelRestarted& event) const
    {
        return {.program = event.owner, .lookup = LookupTime::Now};
    }

    Request operator()(const TunnelDown& event) const
    {
        return {.program = event.owner, .lookup = LookupTime::Later};
    }

    Request operator()(const TunnelFound& event) const
    {
        return {.objection = objection(event), .lookup = LookupTime::Now};
    }

    Request operator()(const UnderlayChanged&) const { return {.lookup = LookupTime::Now}; }

    Request operator()(const PortalRequested& event) const
    {
        const auto refused = refusal(before, event, snapshot);
        return refused ? Request{.objection = RefuseEvent{refused->during("sign-in").message()}}
                       : Request{};
    }

    /// After a sign-in the network may give other answers.
    Request operator()(const PortalEnded&) const { return {.lookup = LookupTime::Now}; }

    /// The refresh helper itself decides when it asks again.
    Request operator()(const ServersResolved&) const { return {}; }

    /// A program that root runs learns from the exit code that its tunnel is not used;
    /// NetworkManager cannot do anything about it.
    [[nodiscard]] std::optional<Obligation> objection(const TunnelUp& event) const
    {
        const auto refused = refusal(before, event, snapshot);
        if (!refused) {
            return std::nullopt;
        }
        const auto text =
            to_text(*refused, event.tunnel.interface) + "; the machine is locked without it";
        return event.profile ? Obligation(SayWarning{text}) : Obligation(RefuseEvent{text, true});
    }

    [[nodiscard]] std::optional<Obligation> objection(const TunnelFound& event) const
    {
        const auto refused =
            before.armed == Armed::Yes ? refusal(before, event) : std::optional<Refusal>();
        // NetworkManager announces its VPN twice: the reason is reported once, for the VPN.
        if (!refused || *refused == Refusal::OfNetworkManager) {
            return std::nullopt;
        }
        return SayWarning{to_text(*refused, event.interface)};
    }
};

/// Reports tunnels that are gone without an announcement by their program.
void warn_of_withdrawn(Consequences& decided, const State& before, const Snapshot& snapshot)
{
    for (const auto& tunnel : before.tunnels) {
        const auto withdrawn = withdrawal(decided.state, tunnel, snapshot);
        const bool is_refused = std::ranges::find(decided.state.refused, tunnel.interface) !=
                                decided.state.refused.end();
        if (withdrawn && is_refused) {
            decided.obligations.emplace_back(SayWarning{to_text(*withdrawn, tunnel.interface)});
        }
    }
}

/// Firewall first, then routes, then names: an interrupted run leaves the machine closed. Programs
/// are told last, because they need the new routes and names to find their servers.
void add_closing(Consequences& decided, const State& before, const Request& request)
{
    const auto add = [&](Obligation obligation) {
        decided.obligations.push_back(std::move(obligation));
    };
    const auto& portal = decided.state.portal;
    add(SaveState{});
    if (before.portal && before.portal != portal) {
        add(EndSignIn{});
    }
    add(LoadFirewall{.or_links_down = request.links_down});
    add(SetRoutes{});
    if (portal) {
        add(AdmitSignIn{.is_new = portal != before.portal});
    }
    if (request.end_older_flows) {
        add(EndOlderFlows{});
    }
    add(SetNames{});
    if (before.armed == Armed::Yes) {
        add(TellPrograms{.except = request.program});
    } else {
        add(RememberPaths{});
    }
    if (request.lookup) {
        add(LookNamesUp{*request.lookup});
    }
}

} // namespace

bool Consequences::opens() const
{
    return std::ranges::find(obligations, Obligation(OpenMachine{})) != obligations.end();
}

Consequences decide(const State& before, const Event& event, const Config& config,
                    const Snapshot& snapshot)
{
    auto request = std::visit(RequestOf{before, snapshot}, event);
    Consequences decided{next_state(before, event, config, snapshot), {}};
    if (request.objection) {
        decided.obligations.push_back(*std::move(request.objection));
    }
    warn_of_withdrawn(decided, before, snapshot);
    if (request.needs_server && decided.state.servers.empty()) {
        decided.obligations.emplace_back(SayWarning{
            "no server is known, so that the VPN's own packets are refused: name it by failclosed "
            "lock --server HOST:PORT/PROTO"});
    }
    if (asks_to_open(event)) {
        decided.obligations.emplace_back(OpenMachine{});
    } else if (decided.state.armed == Armed::Yes) {
        add_closing(decided, before, request);
    }
    return decided;
}

State believed(State loaded, const Traces& traces, const Event& event)
{
    if (!traces.has_tables) {
        if (!traces.has_state_file) {
            loaded.armed = Armed::No;
        }
        return loaded;
    }
    if (asks_to_open(event)) {
        return loaded;
    }
    // The file says open, so its tunnels may be outdated: the rules in the kernel come from a run
    // that could not save its state.
    if (loaded.armed == Armed::No) {
        loaded.tunnels.clear();
    }
    loaded.armed = Armed::Yes;
    return loaded;
}

std::vector<ProcessId> unwatched_programs(const State& state)
{
    std::vector<ProcessId> programs;
    for (const auto& tunnel : state.tunnels) {
        if (state.armed == Armed::No && tunnel.owner) {
            programs.push_back(*tunnel.owner);
        }
    }
    return programs;
}

void forget_unwatched(State& state, const std::vector<ProcessId>& running)
{
    std::erase_if(state.tunnels, [&](const Tunnel& tunnel) {
        return state.armed == Armed::No && tunnel.owner &&
               std::ranges::find(running, *tunnel.owner) == running.end();
    });
}

Snapshot assumed_snapshot(const State& state)
{
    Snapshot snapshot;
    for (const auto& tunnel : state.tunnels) {
        Link link{.name = tunnel.interface};
        link.up = true;
        link.can_be_tunnel = true;
        snapshot.links.push_back(std::move(link));
    }
    return snapshot;
}

State current_state(const State& before, const Config& config, const Snapshot& snapshot)
{
    State state = next_state(before, ReapplyRequested{}, config, snapshot);
    const auto& portal = before.portal;
    if (portal && portal->until <= snapshot.uptime && state.tunnels.empty()) {
        state.portal = portal;
    }
    return state;
}

} // namespace failclosed
