// SPDX-License-Identifier: GPL-3.0-or-later
// dhcpcd's hook, called by the fragment 90-failclosed. Only translates.
#include <unistd.h>

#include "core/base/report.hpp"
#include "core/codec/dhcpcd_environment.hpp"
#include "core/engine/hook.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"

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
    return run_event(system, *parsed.event, parsed.warnings).exit_code();
}

} // namespace

int main()
{
    return run_hook("dhcpcd-hook", WhenUnarmed::LeaveOpen, run);
}
