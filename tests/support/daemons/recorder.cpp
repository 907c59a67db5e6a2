// SPDX-License-Identifier: GPL-3.0-or-later
// Scripts in a machine of the lab that tell the test which events they were called for, and when.
#include "tests/support/daemons/recorder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

constexpr char pipe_path[] = "/run/lab-events";
constexpr char field_end = '\037';
constexpr char record_end = '\036';

// Copies each record to stdout as a line, with the time of its arrival.
int read_events()
{
    const int pipe = open(pipe_path, O_RDWR);
    if (pipe < 0) {
        return 1;
    }
    // An event's time is when it is read: before anything else that the machine has to do.
    const sched_param first{.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_FIFO, &first) != 0) {
        setpriority(PRIO_PROCESS, 0, -20);
    }
    std::puts("ready");
    std::fflush(stdout);
    std::string record;
    std::array<char, 4096> buffer;
    for (ssize_t size = 0; (size = read(pipe, buffer.data(), buffer.size())) > 0;) {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        for (const char byte : std::string_view(buffer.data(), static_cast<std::size_t>(size))) {
            if (byte != record_end) {
                record += byte == '\n' ? ' ' : byte;
                continue;
            }
            std::printf("%lld%c%s\n", now.tv_sec * 1'000'000LL + now.tv_nsec / 1000, field_end,
                        record.c_str());
            record.clear();
        }
        std::fflush(stdout);
    }
    return 1;
}

Event parse(const std::string& line)
{
    std::vector<std::string> fields;
    std::istringstream text(line);
    for (std::string field; std::getline(text, field, field_end);) {
        fields.push_back(field);
    }
    fields.resize(std::max<std::size_t>(fields.size(), 4));
    Event event{
        std::chrono::microseconds(std::stoll(fields[0])), fields[1], fields[2], fields[3], {}};
    for (std::size_t i = 4; i < fields.size(); ++i) {
        const auto equals = fields[i].find('=');
        if (equals + 1 < fields[i].size()) {
            event.env[fields[i].substr(0, equals)] = fields[i].substr(equals + 1);
        }
    }
    return event;
}

std::vector<Event> parse_all(const std::string& output, std::size_t from)
{
    std::vector<Event> events;
    std::istringstream text(output.substr(from));
    for (std::string line; std::getline(text, line);) {
        // A line that is not whole yet counts when it is.
        if (text.eof()) {
            break;
        }
        if (line != "ready") {
            events.push_back(parse(line));
        }
    }
    return events;
}

std::size_t count_of(const std::vector<Event>& events, const std::string& action,
                     const std::string& interface, const std::string& source)
{
    return static_cast<std::size_t>(
        std::count_if(events.begin(), events.end(), [&](const Event& event) {
            return event.action == action && (interface.empty() || event.interface == interface) &&
                   (source.empty() || event.source == source);
        }));
}

} // namespace

std::string Event::text() const
{
    std::string line =
        std::to_string(time.count()) + " " + source + ": " + action + " " + interface;
    for (const auto& [name, value] : env) {
        line += " " + name + "=" + value;
    }
    return line;
}

Recorder::Recorder(const Box& box)
    : reader_([&] {
          box.in([] { mkfifo(pipe_path, 0600); });
          return Process::fork(box, read_events);
      }())
{
    if (!reader_.wait_for("ready\n")) {
        throw LabError(box.name() + ": the recorder does not start");
    }
}

std::string Recorder::lines(const std::string& source, const std::string& action,
                            const std::string& interface, const std::vector<std::string>& variables)
{
    std::string format = source + "\\037%s\\037%s";
    std::string values = " " + action + " " + interface;
    for (const auto& name : variables) {
        format += "\\037" + name + "=%s";
        values += " \"${" + name + "-}\"";
    }
    // Opened for both, a pipe never makes its writer wait for a reader.
    return "printf '" + format + "\\036'" + values + " 1<>" + pipe_path + " || :\n";
}

std::vector<Event> Recorder::events(const std::string& source) const
{
    std::vector<Event> events = parse_all(reader_.output(), seen_);
    std::erase_if(events,
                  [&](const Event& event) { return !source.empty() && event.source != source; });
    return events;
}

std::size_t Recorder::count(const std::string& action, const std::string& interface,
                            const std::string& source) const
{
    return count_of(events(), action, interface, source);
}

bool Recorder::wait_for(const std::string& action, const std::string& interface, std::size_t times,
                        std::chrono::milliseconds timeout, const std::string& source) const
{
    return wait_until(
        [&](const std::vector<Event>& events) {
            return count_of(events, action, interface, source) >= times;
        },
        timeout);
}

bool Recorder::wait_until(const std::function<bool(const std::vector<Event>&)>& met,
                          std::chrono::milliseconds timeout) const
{
    return reader_.wait_until(
        [&](const std::string& output) { return met(parse_all(output, seen_)); }, timeout);
}

void Recorder::forget()
{
    // Up to the last whole line.
    seen_ = reader_.output().rfind('\n') + 1;
}

std::string Recorder::text() const
{
    std::string text;
    for (const auto& event : events()) {
        text += event.text() + "\n";
    }
    return text;
}

} // namespace failclosed::lab
