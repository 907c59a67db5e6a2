// SPDX-License-Identifier: GPL-3.0-or-later
// Writing messages to standard error and the system log.
#include "core/base/report.hpp"

#include <string>

#include <syslog.h>
#include <unistd.h>

namespace failclosed {

namespace {

// syslog(3) keeps the pointer that openlog(3) gets.
std::string program_name = "failclosed";
ReportTo whereto = ReportTo::StandardError;

/// Limits what hostile input can add to a message, so that the other messages stay visible.
constexpr std::size_t kLongestLine = 800;

void write_line(int priority, std::string_view text)
{
    std::string line(text.substr(0, kLongestLine));
    if (text.size() > kLongestLine) {
        line += "...";
    }
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            c = '?';
        }
    }
    if (whereto == ReportTo::SystemLogToo) {
        syslog(priority, "%s", line.c_str());
    }
    const std::string output = "failclosed: " + line + "\n";
    // A failure to write to standard error cannot be reported.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, output.data(), output.size());
}

} // namespace

void set_up_reports(std::string_view program, ReportTo to)
{
    program_name = "failclosed-" + std::string(program);
    whereto = to;
    openlog(program_name.c_str(), LOG_PID, LOG_DAEMON);
}

void report_error(std::string_view line)
{
    write_line(LOG_ERR, line);
}

void report_warning(std::string_view line)
{
    write_line(LOG_WARNING, line);
}

void report_notice(std::string_view line)
{
    write_line(LOG_NOTICE, line);
}

} // namespace failclosed
