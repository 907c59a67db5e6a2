// SPDX-License-Identifier: GPL-3.0-or-later
// What the process that reads DNS answers can still do.
#include <csignal>
#include <ctime>
#include <functional>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refresh/sandbox.hpp"

namespace failclosed::cli {
namespace {

/// How a child ends that has given up its rights and then does `work`: its exit status, or minus
/// the signal that ended it.
int end_of(const std::function<int()>& work, bool filtered = true)
{
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
        const bool dropped = drop_privileges({STDERR_FILENO}, self).has_value();
        if (!dropped || (filtered && !admit_few_system_calls())) {
            _exit(99);
        }
        _exit(work());
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(SandboxTest, SystemCallsOfALookUpAreAdmitted)
{
    EXPECT_EQ(end_of([] { return 7; }), 7);
    EXPECT_EQ(end_of([] {
                  timespec now{};
                  clock_gettime(CLOCK_MONOTONIC, &now);
                  void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  return memory != MAP_FAILED && munmap(memory, 1 << 20) == 0 ? 0 : 1;
              }),
              0);
}

TEST(SandboxTest, SystemCallOutsideTheListKillsTheProcess)
{
    EXPECT_EQ(end_of([] { return open("/dev/null", O_RDONLY) < 0 ? 1 : 0; }), -SIGSYS);
    EXPECT_EQ(end_of([] { return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? 1 : 0; }), -SIGSYS);
    EXPECT_EQ(end_of([] { return fork() < 0 ? 1 : 0; }), -SIGSYS);
    EXPECT_EQ(end_of([] { return kill(getppid(), 0); }), -SIGSYS);
    EXPECT_EQ(end_of([] { return execl("/bin/true", "true", nullptr); }), -SIGSYS);
    EXPECT_EQ(end_of([] {
                  return mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                              0) == MAP_FAILED
                             ? 1
                             : 0;
              }),
              -SIGSYS);
}

TEST(SandboxTest, WithoutTheFilterItHasNoPrivilegesAndNoDescriptors)
{
    const auto refused = [](const std::function<int()>& work) {
        return end_of([&] { return work() < 0 ? 1 : 0; }, false) == 1;
    };
    EXPECT_TRUE(refused([] { return setuid(0); }));
    EXPECT_TRUE(refused([] { return fork(); }));
    EXPECT_TRUE(refused([] { return socket(AF_INET, SOCK_RAW, IPPROTO_UDP); }));
    EXPECT_TRUE(refused([] { return kill(1, 0); }));
    EXPECT_TRUE(refused([] { return open("/etc/shadow", O_RDONLY); }));
    EXPECT_TRUE(refused([] { return fcntl(STDOUT_FILENO, F_GETFD); })) << "not kept";
    EXPECT_FALSE(refused([] { return fcntl(STDERR_FILENO, F_GETFD); }));
    EXPECT_EQ(end_of([] { return getuid() != 0 && getgid() != 0 ? 0 : 1; }, false), 0);
}

} // namespace
} // namespace failclosed::cli
