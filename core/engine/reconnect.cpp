// SPDX-License-Identifier: GPL-3.0-or-later
// The last step of a run: tells tunnel programs that their underlay has changed.
#include "core/engine/reconnect.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>

#include "core/plan/routing/underlay.hpp"

namespace failclosed {

namespace {

/// One line tells that the state could not be saved, however often the run has tried.
void save(System& system, Outcome& outcome)
{
    const std::string what = "saving the state";
    const Status saved = system.save_state(outcome.state);
    if (std::ranges::none_of(outcome.errors,
                             [&](const auto& line) { return line.starts_with(what + ": "); })) {
        note(outcome.errors, what, saved);
    }
}

/// Loads the state of another run, if there is one. Returns whether a program may still have to be
/// told. If our state could not be saved the file is older, and the kernel tells whether `unlock`
/// has run.
bool look_once_more(System& system, Outcome& outcome, RunSoFar& run)
{
    if (!run.saved) {
        return system.firewall_exists().value_or(true);
    }
    auto loaded = system.load_state();
    if (loaded.absent || !loaded.damage.empty() || loaded.state.armed == Armed::No) {
        return false;
    }
    if (loaded.state == outcome.state) {
        return true;
    }
    auto snapshot = system.observe();
    if (!snapshot) {
        return false;
    }
    run.snapshot = *std::move(snapshot);
    outcome.state = std::move(loaded.state);
    return true;
}

void send(System& system, Outcome& outcome, const DueSignal& signal)
{
    const auto sent = system.signal(signal.program, signal.number);
    const auto process = "process " + std::to_string(signal.program.pid);
    if (sent) {
        outcome.reconnecting = true;
        outcome.notices.push_back("the underlying network has changed: " + process +
                                  " was told to reconnect (" +
                                  (signal.number == SIGHUP ? "SIGHUP" : "SIGUSR1") + ")");
    } else if (sent.error().number() != ESRCH) {
        note(outcome.warnings, "telling " + process + " to reconnect", sent);
    }
}

} // namespace

void remember_underlay(System& system, Outcome& outcome, const Snapshot& snapshot)
{
    const State saved = outcome.state;
    remember_paths(outcome.state, snapshot);
    if (outcome.state != saved) {
        save(system, outcome);
    }
}

void tell_programs(System& system, Outcome& outcome, RunSoFar run, const TellPrograms& telling)
{
    const auto wanted = plan_reconnection(outcome.state, run.snapshot);
    if (wanted == Reconnection{}) {
        remember_underlay(system, outcome, run.snapshot);
        return;
    }
    ProgramLookup lookup{{}, wanted.waiting, {}};
    std::ranges::transform(outcome.state.programs, std::back_inserter(lookup.known), &Program::id);
    // Reads files that programs name, without the lock, so that other runs need not wait.
    system.release();
    lookup.running =
        system.tunnel_programs(lookup.known, lookup.waiting, outcome.config.openvpn_configs,
                               outcome.state.openvpn_configs);
    const Status locked = system.lock();
    note(outcome.warnings, "telling programs to reconnect (the next event does it)", locked);
    if (!locked || !look_once_more(system, outcome, run)) {
        return;
    }
    const auto signals =
        due_signals(outcome.state, run.snapshot, lookup, outcome.config.reconnect_signal);
    if (!signals) {
        return;
    }
    forget_ended(outcome.state, lookup);
    for (const auto& signal : *signals) {
        if (signal.program != telling.except) {
            send(system, outcome, signal);
        }
    }
    remember_paths(outcome.state, run.snapshot);
    save(system, outcome);
}

} // namespace failclosed
