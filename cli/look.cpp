// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the protection in force, not a state between two steps of a run.
#include "cli/look.hpp"

#include <algorithm>
#include <chrono>

namespace failclosed::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// Much longer than a run, and short enough for a run that waits for a program which calls this
/// one, as subscribers of resolvconf do.
constexpr Seconds kRunWait{2};

void compare(ProtectionView& view)
{
    view.found = inspect(*view.system);
    view.differences = differences(*view.system, view.found);
}

/// Whether a hook may repair all differences soon: dhcpcd writes resolv.conf and then calls its
/// hooks, ours among the last.
bool may_be_repaired_soon(const std::vector<Difference>& differences)
{
    return !differences.empty() && std::ranges::all_of(differences, [](const Difference& each) {
        return each.reapply_mends &&
               (each.part == Difference::Part::Dns || each.part == Difference::Part::Hosts);
    });
}

/// Takes the lock, so that no run is in progress, and compares again. False if the lock was not
/// taken.
bool compare_between_runs(ProtectionView& view)
{
    view.system = std::make_unique<LiveSystem>();
    const bool locked = view.system->lock(kRunWait).has_value();
    compare(view);
    return locked;
}

} // namespace

ProtectionView view_protection()
{
    const auto end = Clock::now() + kRunWait;
    ProtectionView view{std::make_unique<LiveSystem>(), {}, {}};
    compare(view);
    bool locked = !view.differences.empty() && compare_between_runs(view);
    while (locked && may_be_repaired_soon(view.differences)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
        if (left.count() <= 0) {
            break;
        }
        view.system->wait_for_another_run(left);
        locked = compare_between_runs(view);
    }
    return view;
}

std::vector<Finding> findings_of(LiveSystem& system, const Inspection& found, const State& state)
{
    auto all = findings(state, found.config.config, found.snapshot);
    if (state.armed == Armed::Yes) {
        const auto rules = system.foreign_rules();
        const auto of_rules = rules ? findings_of_rules(*rules) : std::vector<Finding>{};
        all.insert(all.end(), of_rules.begin(), of_rules.end());
    }
    return all;
}

} // namespace failclosed::cli
