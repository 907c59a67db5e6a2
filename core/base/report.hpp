// SPDX-License-Identifier: GPL-3.0-or-later
// Messages to standard error and the system log.
#pragma once

#include <cstdint>
#include <string_view>

namespace failclosed {

/// Where messages go.
enum class ReportTo : std::uint8_t {
    StandardError,
    /// Standard error and the system log, for hooks: their standard error is seldom kept.
    SystemLogToo,
};

/// Sets the program's name ("openvpn-hook") and where messages go. Called once per process.
void set_up_reports(std::string_view program, ReportTo to);

/// Writes "failclosed: LINE". Control characters are replaced by '?'; a line longer than 800 bytes
/// is cut.
void report_error(std::string_view line);
void report_warning(std::string_view line);
void report_notice(std::string_view line);

} // namespace failclosed
