// SPDX-License-Identifier: GPL-3.0-or-later
// The common handling of an event by every entry point.
#include "core/engine/run_event.hpp"

#include "core/base/report.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/refresh.hpp"

namespace failclosed {

Outcome run_event(System& system, const Event& event, const std::vector<std::string>& warnings)
{
    Outcome outcome = handle(system, event);
    if (outcome.state.armed == Armed::Yes) {
        for (const auto& line : warnings) {
            report_warning(line);
        }
    }
    static_cast<void>(conclude(outcome));
    return outcome;
}

int conclude(const Outcome& outcome)
{
    for (const auto& line : outcome.notices) {
        report_notice(line);
    }
    for (const auto& line : outcome.warnings) {
        report_warning(line);
    }
    for (const auto& line : outcome.errors) {
        report_error(line);
    }
    if (outcome.protection == Outcome::Protection::NotClosed) {
        report_error("NOT CLOSED: no firewall could be loaded; disconnect this machine");
    }
    const auto started = refresh_after(outcome, LiveSystem::refresh_stamp());
    if (!started) {
        report_warning(started.error().message());
    }
    return outcome.exit_code();
}

} // namespace failclosed
