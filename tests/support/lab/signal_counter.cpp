// SPDX-License-Identifier: GPL-3.0-or-later
// Counts the signals that reach one process, each of them, however busy it is.
#include "tests/support/lab/signal_counter.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sstream>

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

namespace failclosed::lab {

namespace {

std::string line_of(int signal)
{
    return "signal " + std::to_string(signal) + "\n";
}

void say(const std::string& text)
{
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
}

// What deliveries() reads; the number alone on its line is what is counted.
std::string details(pid_t pid, int signal)
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    siginfo_t info{};
    ptrace(PTRACE_GETSIGINFO, pid, nullptr, &info);
    return "delivery " + std::to_string(now.tv_sec * 1'000'000LL + now.tv_nsec / 1000) + " " +
           std::to_string(signal) + " " + std::to_string(info.si_pid) + "\n";
}

// Runs in a process of its own; the kernel lets the traced one go when this ends.
int trace(pid_t pid)
{
    if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) {
        say(std::string("ptrace: ") + std::strerror(errno) + "\n");
        return 1;
    }
    say("ready\n");
    int status = 0;
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        const bool of_ptrace = (status >> 16) != 0;
        const std::uintptr_t signal = of_ptrace ? 0U : static_cast<unsigned>(WSTOPSIG(status));
        if (!of_ptrace) {
            say(details(pid, WSTOPSIG(status)) + line_of(WSTOPSIG(status)));
        }
        ptrace(PTRACE_CONT, pid, nullptr, reinterpret_cast<void*>(signal));
    }
    return 0;
}

} // namespace

SignalCounter::SignalCounter(const Box& box, const Process& process)
    : SignalCounter(box, process.inner_pid())
{
}

SignalCounter::SignalCounter(const Box& box, pid_t pid)
    : tracer_(Process::fork(box, [pid] { return trace(pid); }))
{
    if (!tracer_.wait_for("ready\n")) {
        throw LabError(box.name() + ": cannot trace process " + std::to_string(pid) + ": " +
                       tracer_.output());
    }
}

std::size_t SignalCounter::total(int signal) const
{
    return tracer_.count(line_of(signal));
}

std::size_t SignalCounter::count(int signal) const
{
    const auto earlier = earlier_.find(signal);
    return total(signal) - (earlier == earlier_.end() ? 0 : earlier->second);
}

std::size_t SignalCounter::all() const
{
    std::size_t sum = 0;
    for (int signal : {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
        sum += count(signal);
    }
    return sum;
}

std::vector<Delivery> SignalCounter::deliveries() const
{
    std::vector<Delivery> found;
    std::istringstream lines(tracer_.output());
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
        std::istringstream fields(line);
        std::string word;
        std::int64_t time = 0;
        Delivery delivery;
        if (fields >> word >> time >> delivery.signal >> delivery.sender && word == "delivery") {
            delivery.time = std::chrono::microseconds(time);
            found.push_back(delivery);
        }
    }
    return found;
}

void SignalCounter::reset()
{
    for (int signal : {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
        earlier_[signal] = total(signal);
    }
}

bool SignalCounter::wait_for(int signal, std::size_t times, std::chrono::milliseconds timeout) const
{
    return tracer_.wait_for(line_of(signal), times + total(signal) - count(signal), timeout);
}

} // namespace failclosed::lab
