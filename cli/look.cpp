// SPDX-License-Identifier: GPL-3.0-or-later
// Looking without being misled by a run that is between its steps.
#include "cli/look.hpp"

#include <algorithm>
#include <chrono>

namespace failclosed::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// Many times what a run takes, and little if a run waits for a program that calls us:
/// resolvconf's subscribers may do so.
constexpr Seconds kRunWait{2};

void look_once(Look& look)
{
    look.found = inspect(*look.system);
    look.differences = differences(*look.system, look.found);
}

/// dhcpcd writes resolv.conf first and calls the hooks after it, ours among the last of them.
bool may_be_mended_soon(const std::vector<Difference>& differences)
{
    return !differences.empty() && std::ranges::all_of(differences, [](const Difference& each) {
        return each.reapply_mends &&
               (each.part == Difference::Part::Dns || each.part == Difference::Part::Hosts);
    });
}

/// With the lock held the run has ended, and no other begins.
bool look_between_runs(Look& look)
{
    look.system = std::make_unique<LiveSystem>();
    const bool locked = look.system->lock(kRunWait).has_value();
    look_once(look);
    return locked;
}

} // namespace

Look look_at_protection()
{
    const auto end = Clock::now() + kRunWait;
    Look look{std::make_unique<LiveSystem>(), {}, {}};
    look_once(look);
    bool locked = !look.differences.empty() && look_between_runs(look);
    while (locked && may_be_mended_soon(look.differences)) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
        if (left.count() <= 0) {
            break;
        }
        look.system->wait_for_another_run(left);
        locked = look_between_runs(look);
    }
    return look;
}

} // namespace failclosed::cli
