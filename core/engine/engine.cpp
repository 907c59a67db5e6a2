// SPDX-License-Identifier: GPL-3.0-or-later
// The engine: every failure ends closed, and is reported.
#include "core/engine/engine.hpp"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>
#include <variant>

#include "core/engine/reconnect.hpp"
#include "core/plan/decide.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/protection.hpp"

namespace failclosed {

namespace {

enum class Loaded : std::uint8_t { Before, Now };

/// Loads `ruleset` and reads it back; does not change it if it is loaded already.
Result<Loaded> ensure_firewall(System& system, const Ruleset& ruleset)
{
    const auto held = system.firewall_holds(ruleset);
    if (held && *held) {
        return Loaded::Before;
    }
    // Another program may remove a part in between, so tries again before it loads less.
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
    return fail("the kernel accepted the rules, but reading them back shows others");
}

/// One run over a system; collects its errors.
class Run {
  public:
    explicit Run(System& system) : system_(system) {}

    Outcome operator()(const Event& event) &&
    {
        // Without the lock two runs could undo each other's changes, so this run may close, but not
        // open.
        const Status locked = system_.lock();
        locked_ = locked.has_value();
        note(outcome_.errors, "waiting for another run", locked);
        auto config = system_.load_config();
        auto loaded = system_.load_state();
        outcome_.config = std::move(config.config);
        had_tables_ = tables_exist();
        outcome_.state = believed(std::move(loaded.state), {!loaded.absent, had_tables_}, event);
        const Status observed = observe();
        forget_ended_programs();
        auto decided = decide(outcome_.state, event, outcome_.config, snapshot_);
        for (const auto* damage : {&config.damage, &loaded.damage}) {
            // Unlock proceeds even if a file is unreadable.
            auto& lines = decided.opens() ? outcome_.warnings : outcome_.errors;
            lines.insert(lines.end(), damage->begin(), damage->end());
        }
        if (decided.opens() && !locked_) {
            outcome_.errors.emplace_back(
                "not unlocked: another run may be active; run failclosed unlock again");
            outcome_.protection =
                had_tables_ ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
            return std::move(outcome_);
        }
        note(outcome_.errors, "reading links", observed);
        outcome_.state = std::move(decided.state);
        if (outcome_.state.armed == Armed::No) {
            outcome_.protection = Outcome::Protection::Open;
        }
        wanted_ = plan_protection(outcome_.state, outcome_.config, snapshot_);
        for (const auto& obligation : decided.obligations) {
            std::visit([this](const auto& each) { carry_out(each); }, obligation);
        }
        outcome_.enforced = outcome_.enforced && !refused_;
        return std::move(outcome_);
    }

  private:
    void carry_out(const SayWarning& warning) { outcome_.warnings.push_back(warning.text); }

    void carry_out(const RefuseEvent& refusal)
    {
        outcome_.errors.push_back(refusal.text);
        refused_ = refused_ || refusal.ends_program;
    }

    void carry_out(const SaveState&)
    {
        const Status saved = system_.save_state(outcome_.state);
        note(outcome_.errors, "saving the state", saved);
        saved_ = saved.has_value();
    }

    void carry_out(const EndSignIn&)
    {
        note(outcome_.warnings, "ending the sign-in", system_.end_portal());
    }

    void carry_out(const LoadFirewall& firewall)
    {
        load_firewall();
        if (outcome_.protection == Outcome::Protection::NotClosed && firewall.or_links_down) {
            note(outcome_.errors, "taking links down instead", system_.set_links_down());
        }
    }

    void carry_out(const SetRoutes&)
    {
        if (saved_) {
            // Otherwise the former values would be lost.
            note(outcome_.warnings, "sysctls", system_.set_sysctls(outcome_.state));
        }
        set_routing();
    }

    /// Elements with timeouts are removed when the rules are replaced.
    void carry_out(const AdmitSignIn& sign_in)
    {
        const auto& portal = *outcome_.state.portal;
        const Seconds remaining = portal.until - snapshot_.uptime;
        if (outcome_.enforced && (sign_in.is_new || reloaded_) && remaining > Seconds{0}) {
            note(sign_in.is_new ? outcome_.errors : outcome_.warnings, "sign-in",
                 system_.admit_portal(portal, remaining));
        }
    }

    void carry_out(const EndOlderFlows&)
    {
        const auto destroyed =
            system_.destroy_foreign_flows(outcome_.state, outcome_.config, snapshot_);
        if (!destroyed) {
            outcome_.warnings.push_back(
                destroyed.error().during("ending flows older than the tunnel").message());
        }
    }

    void carry_out(const SetNames&)
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

    // Without the lock two runs at once would both tell the programs.
    void carry_out(const TellPrograms& telling)
    {
        if (observed_ && locked_) {
            tell_programs(system_, outcome_, {snapshot_, saved_}, telling);
        }
    }

    void carry_out(const RememberPaths&)
    {
        if (observed_ && locked_) {
            remember_underlay(system_, outcome_, snapshot_);
        }
    }

    void carry_out(const LookNamesUp& lookup) { outcome_.lookup = lookup.time; }

    void carry_out(const OpenMachine&) { open(); }

    /// True if that is unknown: a machine that may be locked is treated as locked.
    bool tables_exist()
    {
        const auto exists = system_.firewall_exists();
        return !exists || *exists;
    }

    Status observe()
    {
        auto snapshot = system_.observe();
        observed_ = snapshot.has_value();
        if (!snapshot) {
            snapshot_ = assumed_snapshot(outcome_.state);
            return Failure(snapshot.error());
        }
        snapshot_ = *std::move(snapshot);
        return {};
    }

    void forget_ended_programs()
    {
        const auto unwatched = unwatched_programs(outcome_.state);
        if (!unwatched.empty()) {
            forget_unwatched(outcome_.state, system_.running(unwatched));
        }
    }

    void load_firewall()
    {
        if (!had_tables_) {
            note(outcome_.errors, "loading the first firewall rules",
                 system_.load_beside(base_ruleset()));
        }
        auto loaded = observed_ ? ensure_firewall(system_, wanted_.firewall) : load_without_links();
        // A missing device (ENOENT) may exist again at the second attempt.
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
        // After a refused batch the former rules are still loaded; only the kernel knows which.
        const bool closed = loaded || ensure_closed(system_);
        outcome_.protection = closed ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
    }

    /// The devices are unknown: existing guards are kept.
    Result<Loaded> load_without_links()
    {
        const auto loaded = system_.load_beside(
            plan_firewall(outcome_.state, outcome_.config, snapshot_, Expressions::WithoutBelt));
        return loaded ? Result<Loaded>(Loaded::Now) : Result<Loaded>(Failure(loaded.error()));
    }

    /// Observes again, because a device may be gone. Returns whether another firewall is planned
    /// now.
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

    /// Loads the fullest ruleset that the kernel accepts; it has refused the whole one for the
    /// reason `full`.
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

    void set_routing()
    {
        auto synced = system_.sync_routing(wanted_.routing);
        if (!synced) {
            // A device may have been created again since it was observed.
            if (const auto snapshot = system_.observe()) {
                wanted_.routing = plan_routing(outcome_.state, outcome_.config, *snapshot);
                synced = system_.sync_routing(wanted_.routing);
            }
        }
        note(outcome_.errors, "setting rules and routes", synced);
        outcome_.enforced = outcome_.enforced && synced.has_value();
    }

    // Opens in reverse order; the saved state stays armed until the end. A failed step stops it,
    // and the machine stays closed.
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
                "the machine is open but saved as locked, and the next change of the network "
                "locks it: fix the cause, then run failclosed unlock again");
        }
        outcome_.protection =
            tables_exist() ? Outcome::Protection::Closed : Outcome::Protection::Open;
    }

    void stay_locked()
    {
        outcome_.errors.emplace_back("still locked: fix the cause and run failclosed unlock again, "
                                     "or run failclosed-reset --open");
        outcome_.state.armed = Armed::Yes;
        outcome_.protection =
            tables_exist() ? Outcome::Protection::Closed : Outcome::Protection::NotClosed;
    }

    System& system_;
    Snapshot snapshot_;
    Protection wanted_;
    bool locked_ = false;
    /// A table of ours was loaded before this run.
    bool had_tables_ = true;
    /// The decided state is saved.
    bool saved_ = false;
    bool observed_ = false;
    bool refused_ = false;
    /// This run has replaced the firewall.
    bool reloaded_ = false;
    Outcome outcome_;
};

} // namespace

void note(std::vector<std::string>& notes, const std::string& what, const Status& status)
{
    if (!status) {
        notes.push_back(status.error().during(what).message());
    }
}

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
    return Run(system)(event);
}

Status close_after_exception(System& system, const LockRequested& event)
{
    try {
        if (handle(system, event).protection == Outcome::Protection::Closed) {
            return {};
        }
    } catch (
        const std::exception&) { // the cause of the caller's exception may persist (out of memory)
    }
    return ensure_closed(system);
}

} // namespace failclosed
