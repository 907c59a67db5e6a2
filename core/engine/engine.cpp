// SPDX-License-Identifier: GPL-3.0-or-later
// The engine: every failure on the way ends closed, and says so.
#include "core/engine/engine.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>
#include <variant>

#include "core/plan/admission.hpp"
#include "core/plan/firewall.hpp"
#include "core/plan/next_state.hpp"
#include "core/plan/protection.hpp"

namespace failclosed {

namespace {

void note(std::vector<std::string>& notes, const std::string& what, const Status& status)
{
    if (!status) {
        notes.push_back(status.error().during(what).message());
    }
}

enum class Loaded : std::uint8_t { Before, Now };

/// Loads `ruleset` and reads it back; what is loaded already is left as it is.
Result<Loaded> ensure_firewall(System& system, const Ruleset& ruleset)
{
    const auto held = system.firewall_holds(ruleset);
    if (held && *held) {
        return Loaded::Before;
    }
    // Somebody else may take a part away in between. That is no reason to load less.
    for (int tries = 0; tries < 2; ++tries) {
        if (auto replaced = system.replace_firewall(ruleset); !replaced) {
            return Failure(replaced.error());
        }
        const auto holds = system.firewall_holds(ruleset);
        if (!holds) {
            return Failure(holds.error());
        }
        if (*holds) {
            return Loaded::Now;
        }
    }
    return fail("the kernel took the rules but shows others");
}

/// One run over a system; collects what goes wrong.
class Run {
  public:
    Run(System& system, const Event& event) : system_(system), event_(event) {}

    Outcome operator()() &&
    {
        // Without the lock two runs could undo each other's work, so that nothing is opened; but
        // whatever was closed, or is to be closed, can be closed by both.
        const Status locked = system_.lock();
        locked_ = locked.has_value();
        note(outcome_.errors, "waiting for another run", locked);
        auto config = system_.load_config();
        auto loaded = system_.load_state();
        outcome_.config = std::move(config.config);
        append(config.damage);
        append(loaded.damage);
        const bool loaded_tables = tables_exist();
        const bool unlocks = std::holds_alternative<UnlockRequested>(event_);
        if (loaded.absent && !loaded_tables) {
            loaded.state.armed = Armed::No;
        } else if (loaded_tables && !unlocks) {
            believe_rules(loaded.state);
        }
        if (unlocks && !locked_) {
            outcome_.errors.emplace_back("not unlocked: another run may be at work");
            finish(loaded.state, loaded_tables);
            return std::move(outcome_);
        }
        decide(loaded.state);
        if (outcome_.state.armed == Armed::Yes) {
            close(loaded_tables);
        } else if (unlocks) {
            open();
        } else {
            outcome_.protection = Outcome::Protection::Open;
        }
        return std::move(outcome_);
    }

  private:
    /// What could not be read keeps nobody from unlocking.
    void append(const std::vector<std::string>& damage)
    {
        auto& lines =
            std::holds_alternative<UnlockRequested>(event_) ? outcome_.warnings : outcome_.errors;
        lines.insert(lines.end(), damage.begin(), damage.end());
    }

    /// Unknown counts as loaded: what must not be opened is not touched for want of knowledge.
    bool tables_exist()
    {
        const auto exists = system_.firewall_exists();
        return !exists || *exists;
    }

    void decide(State before)
    {
        auto snapshot = system_.observe();
        if (!snapshot) {
            outcome_.errors.push_back(snapshot.error().during("reading links").message());
            snapshot_.links = assumed_links(before);
        } else {
            snapshot_ = *std::move(snapshot);
            observed_ = true;
        }
        was_armed_ = before.armed == Armed::Yes;
        if (!was_armed_) {
            forget_ended(before.tunnels);
        }
        portal_before_ = before.portal;
        check_portal(before);
        check_admission(before);
        outcome_.state = next_state(before, event_, outcome_.config, snapshot_);
        check_withdrawn(before);
        wanted_ = plan_protection(outcome_.state, outcome_.config, snapshot_);
    }

    /// While the machine was open nobody noted that tunnels ended.
    void forget_ended(std::vector<Tunnel>& tunnels)
    {
        std::vector<ProcessId> owners;
        for (const auto& tunnel : tunnels) {
            if (tunnel.owner) {
                owners.push_back(*tunnel.owner);
            }
        }
        if (owners.empty()) {
            return;
        }
        const auto running = system_.running(owners);
        std::erase_if(tunnels, [&](const Tunnel& tunnel) {
            return tunnel.owner && std::ranges::find(running, *tunnel.owner) == running.end();
        });
    }

    void check_portal(const State& before)
    {
        const auto* request = std::get_if<PortalRequested>(&event_);
        const auto refused =
            request != nullptr ? refusal(before, *request, snapshot_) : std::nullopt;
        if (refused) {
            outcome_.errors.push_back(refused->during("sign-in").message());
        }
    }

    /// Says why an announcement makes no tunnel. A program that root runs is told so by the exit
    /// code; NetworkManager cannot do anything about it.
    void check_admission(const State& before)
    {
        if (const auto* up = std::get_if<TunnelUp>(&event_)) {
            const auto refused = refusal(before, *up, snapshot_);
            if (!refused) {
                return;
            }
            const std::string reason = to_text(*refused, up->tunnel.interface);
            refused_ = !up->profile;
            (refused_ ? outcome_.errors : outcome_.warnings)
                .push_back(reason + "; the machine is locked without it");
        }
        const auto* found = std::get_if<TunnelFound>(&event_);
        const auto refused =
            found != nullptr && before.armed == Armed::Yes ? refusal(before, *found) : std::nullopt;
        // NetworkManager announces its VPN twice: what there is to say is said of the VPN.
        if (refused && *refused != Refusal::OfNetworkManager) {
            outcome_.warnings.push_back(to_text(*refused, found->interface));
        }
    }

    /// Tunnels that are up no more though their program has not said so.
    void check_withdrawn(const State& before)
    {
        for (const auto& tunnel : before.tunnels) {
            const auto withdrawn = withdrawal(outcome_.state, tunnel, snapshot_);
            const bool is_refused = std::ranges::find(outcome_.state.refused, tunnel.interface) !=
                                    outcome_.state.refused.end();
            if (withdrawn && is_refused) {
                outcome_.warnings.push_back(to_text(*withdrawn, tunnel.interface));
            }
        }
    }

    /// Where links cannot be read, tunnels are taken to be there: forgetting one would put the
    /// underlay's DNS back.
    static std::vector<Link> assumed_links(const State& state)
    {
        std::vector<Link> links;
        for (const auto& tunnel : state.tunnels) {
            Link link{.name = tunnel.interface};
            link.up = true;
            link.can_be_tunnel = true;
            links.push_back(std::move(link));
        }
        return links;
    }

    void finish(const State& state, bool closed)
    {
        outcome_.state = state;
        outcome_.protection = closed ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
    }

    // Closing: firewall, then routes, then names. That the machine is to be closed is on the disk
    // before the first step, so that a crash in between is repaired by whatever runs next.
    void close(bool loaded_tables)
    {
        const Status saved = system_.save_state(outcome_.state);
        note(outcome_.errors, "saving the state", saved);
        saved_ = saved.has_value();
        if (portal_before_ && portal_before_ != outcome_.state.portal) {
            note(outcome_.warnings, "ending the sign-in", system_.end_portal());
        }
        close_firewall(loaded_tables);
        if (saved) {
            // Else nobody would know what to put back.
            note(outcome_.warnings, "sysctls", system_.set_sysctls(outcome_.state));
        }
        close_routing();
        admit_portal();
        if (std::holds_alternative<TunnelUp>(event_)) {
            const auto destroyed =
                system_.destroy_foreign_flows(outcome_.state, outcome_.config, snapshot_);
            if (!destroyed) {
                outcome_.warnings.push_back(
                    destroyed.error().during("ending flows older than the tunnel").message());
            }
        }
        apply_names();
        outcome_.enforced = outcome_.enforced && !refused_;
        reconnect();
    }

    void close_firewall(bool loaded_tables)
    {
        if (!loaded_tables) {
            note(outcome_.errors, "loading the first firewall rules",
                 system_.load_beside(base_ruleset()));
        }
        auto loaded = observed_ ? ensure_firewall(system_, wanted_.firewall) : load_without_links();
        // A device that is not there (ENOENT) may be there again by the time of the second look.
        if (!loaded && (look_again() || (observed_ && loaded.error().number() == ENOENT))) {
            loaded = ensure_firewall(system_, wanted_.firewall);
        }
        if (!loaded) {
            loaded = load_less(loaded.error());
        }
        note(outcome_.errors, "loading the firewall",
             loaded ? Status{} : Status(Failure(loaded.error())));
        outcome_.enforced = loaded.has_value();
        reloaded_ = loaded && *loaded == Loaded::Now;
        // What was there before is still there where a batch was refused; only the kernel knows.
        const bool closed = loaded || ensure_closed(system_);
        outcome_.protection = closed ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
        if (!closed && std::holds_alternative<LockRequested>(event_) &&
            std::get<LockRequested>(event_).boot) {
            note(outcome_.errors, "taking links down instead", system_.set_links_down());
        }
    }

    /// Which devices there are is not known: those that have a guard keep it.
    Result<Loaded> load_without_links()
    {
        const auto loaded = system_.load_beside(
            plan_firewall(outcome_.state, outcome_.config, snapshot_, Expressions::WithoutBelt));
        return loaded ? Result<Loaded>(Loaded::Now) : Result<Loaded>(Failure(loaded.error()));
    }

    /// A device may have gone since it was looked at. Whether another firewall is wanted now.
    bool look_again()
    {
        auto snapshot = system_.observe();
        if (!snapshot) {
            return false;
        }
        auto wanted = plan_protection(outcome_.state, outcome_.config, *snapshot);
        const bool differs = wanted.firewall != wanted_.firewall;
        snapshot_ = *std::move(snapshot);
        wanted_ = std::move(wanted);
        return differs;
    }

    /// Loads as much as this kernel, which refused all of it for the reason `full`, takes.
    Result<Loaded> load_less(const Error& full)
    {
        const auto load = [&](Expressions form) {
            return ensure_firewall(system_,
                                   plan_firewall(outcome_.state, outcome_.config, snapshot_, form));
        };
        const auto warn = [&](const char* what, const Error& error) {
            outcome_.warnings.push_back(error.during(what).message());
        };
        const auto without_belt = load(Expressions::WithoutBelt);
        const auto loaded = without_belt ? without_belt : load(Expressions::Essential);
        if (!loaded) {
            return Failure(full);
        }
        warn("no device guard (lock 3)", full);
        if (!without_belt) {
            warn("this kernel lacks optional firewall parts", without_belt.error());
        }
        return loaded;
    }

    /// Elements with times go with the rules that are exchanged.
    void admit_portal()
    {
        const auto& portal = outcome_.state.portal;
        const bool is_new = portal != portal_before_;
        if (!portal || !outcome_.enforced || (!is_new && !reloaded_)) {
            return;
        }
        const Seconds remaining = portal->until - snapshot_.uptime;
        if (remaining > Seconds{0}) {
            note(is_new ? outcome_.errors : outcome_.warnings, "sign-in",
                 system_.admit_portal(*portal, remaining));
        }
    }

    void close_routing()
    {
        const auto held = system_.routing_holds(wanted_.routing);
        if (held && *held) {
            return;
        }
        auto synced = system_.sync_routing(wanted_.routing);
        if (!synced) {
            // A device may have been made anew since it was looked at.
            if (const auto snapshot = system_.observe()) {
                wanted_.routing = plan_routing(outcome_.state, outcome_.config, *snapshot);
                synced = system_.sync_routing(wanted_.routing);
            }
        }
        note(outcome_.errors, "setting rules and routes", synced);
        outcome_.enforced = outcome_.enforced && synced.has_value();
    }

    void apply_names()
    {
        const auto dns_held = system_.dns_holds(wanted_.dns);
        if (!dns_held || !*dns_held) {
            note(outcome_.warnings, "DNS", system_.apply_dns(wanted_.dns));
        }
        const auto hosts_held = system_.hosts_hold(wanted_.hosts);
        if (!hosts_held || !*hosts_held) {
            note(outcome_.warnings, "/etc/hosts", system_.apply_hosts(wanted_.hosts));
        }
    }

    // Last: programs find their servers by the new routes and names. What was seen is saved after
    // they were told, so that a run which is cut short leaves that to the next one.
    void reconnect()
    {
        if (!observed_ || !locked_) {
            return; // of two runs at once both would tell
        }
        const auto wanted =
            was_armed_ ? plan_reconnection(outcome_.state, snapshot_) : Reconnection{};
        if (wanted == Reconnection{}) {
            remember();
        } else {
            tell(wanted);
        }
    }

    void remember()
    {
        const State saved = outcome_.state;
        remember_paths(outcome_.state, snapshot_);
        if (outcome_.state != saved) {
            note(outcome_.errors, "saving the state", system_.save_state(outcome_.state));
        }
    }

    /// How each program is to be told is looked up without the lock, because that reads files which
    /// programs name. A run that came in between may have told them, or have other programs to
    /// tell: the last word has the state that it left.
    void tell(const Reconnection& wanted)
    {
        std::vector<ProcessId> ids;
        std::ranges::transform(outcome_.state.programs, std::back_inserter(ids), &Program::id);
        system_.release();
        const auto running = system_.tunnel_programs(
            ids, wanted.waiting, outcome_.config.openvpn_configs, outcome_.state.openvpn_configs);
        const Status locked = system_.lock();
        locked_ = locked.has_value();
        note(outcome_.warnings, "telling programs to reconnect, which the next event does", locked);
        if (!locked_ || !look_once_more()) {
            return;
        }
        const auto still_wanted = plan_reconnection(outcome_.state, snapshot_);
        const bool is_known = std::ranges::all_of(still_wanted.programs, [&](const auto& id) {
            return std::ranges::find(ids, id) != ids.end();
        });
        if (!is_known || (still_wanted.waiting && !wanted.waiting)) {
            return; // what has changed since the look-up has an event of its own
        }
        std::erase_if(outcome_.state.programs, [&](const Program& program) {
            return std::ranges::find(ids, program.id) != ids.end() &&
                   std::ranges::find(running, program.id, &TunnelProgram::id) == running.end();
        });
        for (const auto& program : running) {
            tell(program, still_wanted);
        }
        remember_paths(outcome_.state, snapshot_);
        note(outcome_.errors, "saving the state", system_.save_state(outcome_.state));
    }

    /// Whether there may still be a program to tell. Where the state could not be saved the file is
    /// an older one, and the kernel tells whether `unlock` came; what no other run has changed was
    /// seen by none.
    bool look_once_more()
    {
        if (!saved_) {
            return system_.firewall_exists().value_or(true);
        }
        auto loaded = system_.load_state();
        if (loaded.absent || !loaded.damage.empty() || loaded.state.armed == Armed::No) {
            return false;
        }
        if (loaded.state == outcome_.state) {
            return true;
        }
        auto snapshot = system_.observe();
        if (!snapshot) {
            return false;
        }
        snapshot_ = *std::move(snapshot);
        outcome_.state = std::move(loaded.state);
        return true;
    }

    void tell(const TunnelProgram& program, const Reconnection& wanted)
    {
        const auto& known = outcome_.state.programs;
        const bool is_known = std::ranges::find(known, program.id, &Program::id) != known.end();
        // A program that is searched for is one that has had no tunnel yet.
        const bool is_wanted =
            is_known ? std::ranges::find(wanted.programs, program.id) != wanted.programs.end()
                     : wanted.waiting;
        const auto number = reconnect_signal(outcome_.config.reconnect_signal, program);
        if (!is_wanted || !number || program.id == busy_program()) {
            return;
        }
        const auto sent = system_.signal(program.id, *number);
        const auto process = "process " + std::to_string(program.id.pid);
        if (sent) {
            outcome_.reconnecting = true;
            outcome_.notices.push_back("the underlying network has changed: " + process +
                                       " was told to reconnect (" +
                                       (*number == SIGHUP ? "SIGHUP" : "SIGUSR1") + ")");
        } else if (sent.error().number() != ESRCH) {
            note(outcome_.warnings, "telling " + process + " to reconnect", sent);
        }
    }

    /// The program that the event comes from: it is reconnecting already.
    [[nodiscard]] std::optional<ProcessId> busy_program() const
    {
        if (const auto* up = std::get_if<TunnelUp>(&event_)) {
            return up->tunnel.owner;
        }
        if (const auto* restarted = std::get_if<TunnelRestarted>(&event_)) {
            return restarted->owner;
        }
        const auto* down = std::get_if<TunnelDown>(&event_);
        return down != nullptr ? down->owner : std::nullopt;
    }

    // Opening: the other way round, and what is remembered as armed stays so until the end. A
    // step that fails stops it: half open is closed.
    void open()
    {
        const auto done = [&](const char* what, const Status& status) {
            note(outcome_.errors, what, status);
            return status.has_value();
        };
        const bool dns = done("DNS", system_.restore_dns());
        const bool hosts = done("/etc/hosts", system_.remove_hosts());
        if (!dns || !hosts || !done("rules and routes", system_.remove_routing())) {
            stay_locked();
            return;
        }
        note(outcome_.warnings, "sysctls", system_.restore_sysctls());
        if (!done("firewall", system_.remove_firewall())) {
            stay_locked();
            return;
        }
        if (!done("saving the state", system_.save_state(outcome_.state))) {
            outcome_.errors.emplace_back(
                "the machine is open but remembered as locked, and the next change of the network "
                "locks it: mend this and run failclosed unlock again");
        }
        outcome_.protection =
            tables_exist() ? Outcome::Protection::Closed : Outcome::Protection::Open;
    }

    void stay_locked()
    {
        outcome_.errors.emplace_back("still locked: mend this, or run failclosed-reset --open");
        outcome_.state.armed = Armed::Yes;
        outcome_.protection =
            tables_exist() ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
    }

    System& system_;
    const Event& event_;
    Snapshot snapshot_;
    Protection wanted_;
    bool locked_ = false;
    /// The state is on the disk as it was decided.
    bool saved_ = false;
    bool observed_ = false;
    bool was_armed_ = false;
    bool refused_ = false;
    /// The firewall is not the one that an earlier run has left.
    bool reloaded_ = false;
    std::optional<Portal> portal_before_;
    Outcome outcome_;
};

} // namespace

int Outcome::exit_code() const
{
    if (protection == Protection::NotClosed) {
        return 2;
    }
    if (errors.empty()) {
        return 0;
    }
    return protection == Protection::Closed ? 1 : 2;
}

Status ensure_closed(System& system)
{
    const auto exists = system.firewall_exists();
    return exists && *exists ? Status{} : system.load_beside(base_ruleset());
}

Outcome handle(System& system, const Event& event)
{
    return Run(system, event)();
}

} // namespace failclosed
