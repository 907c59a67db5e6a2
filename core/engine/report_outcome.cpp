// SPDX-License-Identifier: GPL-3.0-or-later
// An outcome in lines for people.
#include "core/engine/report_outcome.hpp"

#include "core/base/report.hpp"

namespace failclosed {

void report(const Outcome& outcome)
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
}

} // namespace failclosed
