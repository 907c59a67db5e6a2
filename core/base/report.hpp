// SPDX-License-Identifier: GPL-3.0-or-later
// The one place where lines for people leave the program.
#pragma once

#include <cstdint>
#include <string_view>

namespace failclosed {

/// Where lines go besides standard error.
enum class ReportTo : std::uint8_t {
    StandardError,
    /// Also the system log: hooks run where nobody reads their standard error.
    SystemLogToo,
};

/// Says once per process under which name ("openvpn-hook") and whereto lines are written.
void set_up_reports(std::string_view program, ReportTo to);

/// "failclosed: LINE" on standard error; control characters are replaced by '?', and what is longer
/// than a few lines of a terminal is cut.
void report_error(std::string_view line);
void report_warning(std::string_view line);
void report_notice(std::string_view line);

} // namespace failclosed
