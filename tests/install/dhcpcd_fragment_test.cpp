// SPDX-License-Identifier: GPL-3.0-or-later
// dhcpcd's hooks are sourced into one shell: ours must leave nothing behind in it.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/lab/box.hpp"
#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {
namespace {

constexpr const char* kFragment = "/usr/lib/dhcpcd/dhcpcd-hooks/90-failclosed";
constexpr const char* kHook = "/usr/lib/failclosed/dhcpcd-hook";

/// What the hook after ours can see. The shell's own notes of the last command are no part of it.
constexpr const char* kLook = R"(
look()
{
    set | grep -Ev '^(_|status|PIPESTATUS|LINENO|BASH_[A-Z]*|FUNCNAME|SECONDS|EPOCH.*|RANDOM|SRANDOM)='
    echo "options=$-"
    umask
    pwd
    trap
    printf '<%s>\n' "$#" "$@"
}
)";

class DhcpcdFragmentTest : public testing::Test {
  protected:
    DhcpcdFragmentTest()
    {
        std::ifstream installed(Lab::install_root() + kFragment);
        box.write_file(kFragment, {std::istreambuf_iterator<char>(installed), {}});
        hook("echo called >>/run/calls; tr '\\0' '\\n' </proc/$$/environ >/run/environment; "
             "cat >/run/input");
    }

    /// What stands in the program's place.
    void hook(const std::string& body) { box.write_file(kHook, "#!/bin/sh\n" + body + "\n", 0755); }

    /// Shells that dhcpcd-run-hooks may be run by, those that this machine has.
    [[nodiscard]] std::vector<std::vector<std::string>> shells() const
    {
        std::vector<std::vector<std::string>> found;
        for (const std::vector<std::string>& shell : {std::vector<std::string>{"/bin/sh"},
                                                      {"/bin/dash"},
                                                      {"/bin/bash", "--posix"},
                                                      {"/bin/bash"},
                                                      {"/bin/busybox", "sh"}}) {
            if (box.exists(shell.front())) {
                found.push_back(shell);
            }
        }
        EXPECT_GE(found.size(), 3U);
        return found;
    }

    [[nodiscard]] Outcome run(std::vector<std::string> shell, const std::string& script,
                              const std::vector<std::string>& environment = {}) const
    {
        shell.insert(shell.end(), {"-c", script});
        return box.run(Command(shell).with_env(environment));
    }

    /// Sources the fragment after `before`, and says what has become of the shell.
    static std::string sourced(const std::string& before)
    {
        return std::string(kLook) +
               "cd /var; umask 027; IFS=:; reason=BOUND; set -- one 'two  three' ''\n" + before +
               "\nlook >/run/before\n(exit $wanted) || :\n" + "case $- in *e*) . " + kFragment +
               " ;; *) (exit $wanted); . " + kFragment +
               " ;; esac\nstatus=$?\n"
               "look >/run/after\n"
               "diff /run/before /run/after >&2 && echo \"alive $status\"\n";
    }

    const Box box{"machine"};
};

TEST_F(DhcpcdFragmentTest, LeavesTheShellAsItWas)
{
    const std::vector<std::string> programs = {"exit 0", "exit 3", "kill -9 $$", "echo noise >&2",
                                               "umask 0; cd /; exec sleep 0"};
    for (const auto& shell : shells()) {
        for (const auto& program : programs) {
            hook(program);
            for (const std::string options : {"", "set -u", "set -f", "set -C", "set -uf"}) {
                for (const std::string status : {"0", "5"}) {
                    const Outcome outcome =
                        run(shell, sourced("wanted=" + status + "; " + options));
                    EXPECT_EQ(outcome.out, "alive " + status + "\n")
                        << shell.front() << ": " << program << ", " << options << "\n"
                        << outcome.err;
                }
            }
        }
    }
}

TEST_F(DhcpcdFragmentTest, DoesNotEndAShellThatEndsAtErrors)
{
    for (const auto& shell : shells()) {
        for (const char* program : {"exit 0", "exit 3", "kill -9 $$"}) {
            hook(program);
            for (const std::string options : {"set -e", "set -eu"}) {
                const Outcome outcome = run(shell, sourced("wanted=0; " + options));
                EXPECT_EQ(outcome.out, "alive 0\n") << shell.front() << ": " << program << "\n"
                                                    << outcome.err;
                const Outcome after_failure =
                    run(shell, options + "; f() { . " + kFragment +
                                   "; echo alive; }; false || { . " + kFragment + "; f; }");
                EXPECT_EQ(after_failure.out, "alive\n") << shell.front() << after_failure.err;
            }
        }
    }
}

TEST_F(DhcpcdFragmentTest, PassesOnTheStatusOfDhcpcd)
{
    for (const auto& shell : shells()) {
        const Outcome outcome = run(shell,
                                    std::string("printf 'for the next hook\\n' | { . ") +
                                        kFragment + "; read line; echo \"$line\"; }",
                                    {"reason=BOUND", "interface=eth0"});
        EXPECT_EQ(outcome.out, "for the next hook\n") << shell.front() << outcome.err;
        EXPECT_EQ(box.read_file("/run/input"), "");
        const std::string environment = box.read_file("/run/environment");
        EXPECT_NE(environment.find("reason=BOUND\n"), std::string::npos) << environment;
        EXPECT_NE(environment.find("interface=eth0\n"), std::string::npos) << environment;
    }
}

TEST_F(DhcpcdFragmentTest, WorksWithoutAnEnvironment)
{
    std::string calls;
    for (const auto& shell : shells()) {
        std::vector<std::string> words = {"/usr/bin/env", "-i"};
        words.insert(words.end(), shell.begin(), shell.end());
        const Outcome outcome = run(words, std::string("set -eu; . ") + kFragment + "; echo alive");
        EXPECT_EQ(outcome.out, "alive\n") << shell.front() << outcome.err;
        calls += "called\n";
        EXPECT_EQ(box.read_file("/run/calls"), calls);
    }
}

TEST_F(DhcpcdFragmentTest, IsHarmlessWithoutTheProgram)
{
    box.must({"rm", "-r", "/usr/lib/failclosed"});
    for (const auto& shell : shells()) {
        const Outcome outcome = run(shell, sourced("wanted=0; set -eu"));
        EXPECT_EQ(outcome.out, "alive 0\n") << shell.front();
        EXPECT_EQ(outcome.err, "") << shell.front();
    }
}

} // namespace
} // namespace failclosed::lab
