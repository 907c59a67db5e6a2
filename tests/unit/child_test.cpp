// SPDX-License-Identifier: GPL-3.0-or-later
// Child programs: what they get, and that they end.
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/apply/programs/child.hpp"

namespace failclosed {
namespace {

using namespace std::chrono_literals;

/// Less than a minute, which the one that has to be killed would take.
constexpr auto patience = 50s;

/// Runs a shell script that fails with what it wants to tell.
std::string told_by(const std::string& script, const std::string& input = "")
{
    const Status status = run_program({"/bin/sh", "-c", script + "; exit 1"}, input, patience);
    return status ? "(nothing)" : status.error().message();
}

TEST(Child, ExitStatusIsTheOutcome)
{
    EXPECT_TRUE(run_program({"/bin/true"}, "", patience));
    EXPECT_FALSE(run_program({"/bin/false"}, "", patience));
    EXPECT_FALSE(run_program({"/bin/sh", "-c", "kill -9 $$"}, "", patience));
}

TEST(Child, AMissingProgramIsEnoent)
{
    EXPECT_EQ(run_program({"/nonexistent/program"}, "", patience).error().number(), ENOENT);
}

TEST(Child, GetsItsInput)
{
    EXPECT_EQ(told_by("cat", "first\nlast\n"), "/bin/sh failed: last");
}

TEST(Child, MuchOutputDoesNotBlockIt)
{
    EXPECT_EQ(told_by("yes | head -n 200000; echo end"), "/bin/sh failed: end");
}

TEST(Child, ControlCharactersAreNotReported)
{
    EXPECT_EQ(told_by("printf '\\033[2Jx'"), "/bin/sh failed: ");
}

TEST(Child, EnvironmentHasOnlyThePath)
{
    ASSERT_EQ(setenv("LD_PRELOAD_TEST", "x", 1), 0);
    EXPECT_EQ(told_by("/usr/bin/env | grep -v '^PWD=\\|^_=\\|^SHLVL=' | tr '\\n' ' '"),
              "/bin/sh failed: PATH=/usr/sbin:/usr/bin:/sbin:/bin ");
}

TEST(Child, InheritsNoDescriptor)
{
    const int leaked = open("/dev/null", O_RDONLY);
    ASSERT_GT(leaked, 2);
    EXPECT_EQ(
        told_by("test -e /proc/$$/fd/" + std::to_string(leaked) + " && echo leaked || echo no"),
        "/bin/sh failed: no");
    close(leaked);
}

TEST(Child, IsKilledWithItsWholeGroupWhenTimeIsUp)
{
    const auto start = std::chrono::steady_clock::now();
    const Status status = run_program({"/bin/sh", "-c", "sleep 60 & sleep 60"}, "", 50ms);
    EXPECT_EQ(status.error().number(), ETIMEDOUT);
    EXPECT_LT(std::chrono::steady_clock::now() - start, patience);
}

} // namespace
} // namespace failclosed
