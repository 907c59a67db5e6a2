// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a program from one of its system calls to the next, as slowly as the test likes.
#include "tests/support/lab/stepper.hpp"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

constexpr char stopped[] = "stopped\n";
constexpr int go_on = SIGUSR1;      // to the next call
constexpr int run_freely = SIGUSR2; // to the end

void say(const std::string& text)
{
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
}

std::vector<char*> pointers(std::vector<std::string>& texts)
{
    std::vector<char*> result;
    for (auto& text : texts) {
        result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
}

[[noreturn]] void become(char* const* argv, char* const* env)
{
    dup2(STDERR_FILENO, STDOUT_FILENO); // stdout tells the test of the stops
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    execvpe(argv[0], argv, env);
    _exit(127);
}

// Runs in a process of its own, which holds the program by the leash of ptrace.
int trace(pid_t pid, const std::set<long>& calls, const sigset_t& orders)
{
    int status = 0;
    waitpid(pid, &status, 0); // it stands after its exec
    ptrace(PTRACE_SETOPTIONS, pid, nullptr,
           reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    bool free = false;
    bool entering = true;
    std::uintptr_t pending = 0;
    for (;;) {
        ptrace(free ? PTRACE_CONT : PTRACE_SYSCALL, pid, nullptr, reinterpret_cast<void*>(pending));
        pending = 0;
        if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            pending = static_cast<std::uintptr_t>(WSTOPSIG(status));
            continue;
        }
        __ptrace_syscall_info info{};
        ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), pid,
               reinterpret_cast<void*>(sizeof info), &info);
        entering = info.op == PTRACE_SYSCALL_INFO_ENTRY;
        if (entering && calls.contains(static_cast<long>(info.entry.nr))) {
            say(stopped);
            int order = 0;
            sigwait(&orders, &order);
            free = order == run_freely;
        }
    }
}

Process start(const Box& box, const Command& command, std::set<long> calls)
{
    return Process::fork(
        box, [argv = command.argv, env = command.env, calls = std::move(calls)]() mutable {
            const auto words = pointers(argv);
            const auto variables = pointers(env);
            sigset_t orders;
            sigemptyset(&orders);
            sigaddset(&orders, go_on);
            sigaddset(&orders, run_freely);
            sigprocmask(SIG_BLOCK, &orders, nullptr);
            const pid_t pid = ::fork();
            if (pid == 0) {
                become(words.data(), variables.data());
            }
            return pid < 0 ? 126 : trace(pid, calls, orders);
        });
}

} // namespace

Stepper::Stepper(const Box& box, const Command& command, std::set<long> calls)
    : tracer_(start(box, command, std::move(calls)))
{
    wait_for_stop(1);
}

bool Stepper::wait_for_stop(std::size_t calls) const
{
    const bool stands = tracer_.wait_for(stopped, calls);
    if (!stands && tracer_.running() && !tracer_.wait()) {
        throw LabError("a program neither comes to its next system call nor ends: " + err());
    }
    return stands;
}

std::size_t Stepper::calls() const
{
    return tracer_.count(stopped);
}

bool Stepper::ended() const
{
    return !tracer_.running();
}

bool Stepper::step()
{
    const std::size_t before = calls();
    tracer_.signal(go_on);
    return wait_for_stop(before + 1);
}

std::optional<int> Stepper::finish(std::chrono::milliseconds timeout)
{
    tracer_.signal(run_freely);
    return tracer_.wait(timeout);
}

} // namespace failclosed::lab
