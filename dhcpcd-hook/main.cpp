// SPDX-License-Identifier: GPL-3.0-or-later
// dhcpcd's hook, called by the fragment 90-failclosed. Only translates.
#include <exception>

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/report.hpp"
#include "core/codec/dhcpcd_environment.hpp"
#include "core/engine/last_resort.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/refresh.hpp"
#include "core/engine/report_outcome.hpp"

using namespace failclosed;

namespace {

int run()
{
    const auto parsed = parse_dhcpcd_event(Environment::of_process(environ));
    if (!parsed.event) {
        return 0;
    }
    if (geteuid() != 0) {
        report_error("only root can change anything: dhcpcd runs this program, see failclosed(8)");
        return 1;
    }
    LiveSystem system(LiveSystem::Reading::Changes);
    const Outcome outcome = handle(system, *parsed.event);
    // A machine that is none of ours hears nothing of what its network sends.
    if (outcome.state.armed == Armed::Yes) {
        for (const auto& line : parsed.warnings) {
            report_warning(line);
        }
    }
    report(outcome);
    const auto started = refresh_after(*parsed.event, outcome, LiveSystem::refresh_stamp());
    if (!started) {
        report_warning(started.error().message());
    }
    return outcome.exit_code();
}

} // namespace

int main()
{
    set_up_reports("dhcpcd-hook", ReportTo::SystemLogToo);
    umask(077);
    try {
        return run();
    } catch (const std::exception& error) {
        return end_closed(error, WhenUnarmed::LeaveOpen);
    }
}
