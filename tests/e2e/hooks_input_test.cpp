// SPDX-License-Identifier: GPL-3.0-or-later
// The hooks of NetworkManager and dhcpcd, run by hand with every recorded environment, each changed
// in many ways: never open, never stuck, never crashed.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/apply/kernel/nftables.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"
#include "tests/unit/mutator.hpp"
#include "tests/unit/recording.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;

constexpr int stuck_ms = 20'000;
/// What a call takes for what it says. The machine may be busy with something else for a while;
/// what is slow by itself is so each time.
constexpr long slow_ms = 2000;
constexpr int attempts = 3;

/// Changed copies of each recording. The parsers alone get a thousand in the unit tests.
constexpr unsigned copies = 50;

struct Hook {
    const char* program;
    std::vector<const char*> fixtures;
};

const Hook dispatcher = {
    "/usr/lib/failclosed/nm-dispatcher",
    {"networkmanager", "networkmanager-openvpn", "networkmanager-external-tun"}};
const Hook dhcpcd_hook = {"/usr/lib/failclosed/dhcpcd-hook", {"dhcpcd"}};

/// Runs in the client, without a line from the test in between: thousands of programs.
class Runner {
  public:
    explicit Runner(const Hook& hook) : hook_(hook)
    {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDWR, 0);
        posix_spawn_file_actions_adddup2(&actions_, STDIN_FILENO, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, STDIN_FILENO, STDERR_FILENO);
    }

    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    ~Runner() { posix_spawn_file_actions_destroy(&actions_); }

    /// Whether the changed call ended in time, by itself, and left a closed machine. What went
    /// wrong is told on standard output.
    bool run(const std::string& name, const test::Call& call)
    {
        for (int attempt = 1; attempt <= attempts; ++attempt) {
            if (!run_once(name, call)) {
                return false;
            }
            if (took_ms_ <= slow_ms) {
                slowest_ms_ = std::max(slowest_ms_, took_ms_);
                return true;
            }
        }
        return failed(name, "took more than 2 s each time");
    }

    [[nodiscard]] long slowest_ms() const { return slowest_ms_; }

  private:
    bool run_once(const std::string& name, const test::Call& call)
    {
        std::vector<std::string> words = {hook_.program};
        // What no caller can pass.
        const auto passable = [](const std::string& text) {
            return text.size() < 100'000 && text.find('\0') == std::string::npos;
        };
        std::ranges::copy_if(call.arguments, std::back_inserter(words), passable);
        std::vector<std::string> entries;
        std::ranges::copy_if(call.entries, std::back_inserter(entries), passable);
        pid_t pid = -1;
        const int error = posix_spawn(&pid, hook_.program, &actions_, nullptr,
                                      pointers(words).data(), pointers(entries).data());
        if (error != 0) {
            return failed(name, "could not be started: " + std::to_string(error));
        }
        return judge(name, pid) && is_closed(name);
    }

    static std::vector<char*> pointers(std::vector<std::string>& strings)
    {
        std::vector<char*> result;
        for (auto& string : strings) {
            result.push_back(string.data());
        }
        result.push_back(nullptr);
        return result;
    }

    bool judge(const std::string& name, pid_t pid)
    {
        const auto begin = std::chrono::steady_clock::now();
        const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
        pollfd end{descriptor, POLLIN, 0};
        const bool in_time = poll(&end, 1, stuck_ms) == 1;
        close(descriptor);
        if (!in_time) {
            kill(pid, SIGKILL);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        const auto took = std::chrono::steady_clock::now() - begin;
        took_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
        if (!in_time) {
            return failed(name, "is stuck");
        }
        if (!WIFEXITED(status)) {
            return failed(name, "ended by signal " + std::to_string(WTERMSIG(status)));
        }
        const int code = WEXITSTATUS(status);
        return code == 0 || code == 1 || code == 64 ||
               failed(name, "exit status " + std::to_string(code));
    }

    bool is_closed(const std::string& name)
    {
        auto firewall = Nftables::open();
        const auto exists = firewall ? firewall->exists() : Result<bool>(false);
        return (exists && *exists) || failed(name, "the firewall is gone");
    }

    static bool failed(const std::string& name, const std::string& what)
    {
        std::printf("%s: %s\n", name.c_str(), what.c_str());
        std::fflush(stdout);
        return false;
    }

    const Hook& hook_;
    posix_spawn_file_actions_t actions_{};
    long took_ms_ = 0;
    long slowest_ms_ = 0;
};

struct Recorded {
    std::string name;
    test::Call call;
};

/// Loaded by the test: the client need not see them.
std::vector<Recorded> load(const Hook& hook)
{
    std::vector<Recorded> calls;
    for (const char* folder : hook.fixtures) {
        for (const auto& path : test::recordings_in(folder)) {
            calls.push_back({path.filename().string(), test::Call::load(path)});
        }
    }
    return calls;
}

int run_all(const Hook& hook, const std::vector<Recorded>& originals)
{
    Runner runner(hook);
    const unsigned seeds = rounds(copies);
    unsigned runs = 0;
    for (const auto& original : originals) {
        for (unsigned seed = 0; seed < seeds; ++seed, ++runs) {
            test::Call call = original.call;
            test::Mutator(seed).change(call);
            if (!runner.run(original.name + " seed " + std::to_string(seed), call)) {
                return 1;
            }
        }
    }
    std::printf("%u runs of %s, the slowest took %ld ms\n", runs, hook.program,
                runner.slowest_ms());
    std::fflush(stdout);
    return 0;
}

/// A closed client with the devices that the recordings name, one of them a tunnel.
class HooksInput : public ::testing::Test {
  protected:
    HooksInput() : lab_(with_product())
    {
        for (const char* device : {"vpn0", "tunx", "wg0"}) {
            client().must({"ip", "tuntap", "add", "dev", device, "mode", "tun"});
        }
        client().ip("addr add 198.51.100.2/25 dev vpn0\nlink set vpn0 up\n");
    }

    [[nodiscard]] const Box& client() const { return lab_.client(); }

    /// What leaves while `work` is done.
    template <typename Work> std::uint64_t leaked_while(Work work)
    {
        Sniffer sniffer(lab_);
        const Traffic traffic(lab_, {.kinds = all_kinds(), .interval = 500ms});
        sniffer.settle();
        sniffer.reset();
        work(traffic);
        EXPECT_TRUE(traffic.wait_all_sent(2));
        sniffer.settle();
        return sniffer.leaked();
    }

    void try_all(const Hook& hook)
    {
        EXPECT_GT(leaked_while([](const Traffic&) {}), 0U) << "an open machine has to leak";
        client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
        const auto leaked = leaked_while([&](const Traffic&) {
            const auto originals = load(hook);
            const auto runner = Process::fork(client(), [&] { return run_all(hook, originals); });
            EXPECT_EQ(runner.wait(15min), 0) << runner.output();
            std::printf("%s", runner.out().c_str());
        });
        EXPECT_EQ(leaked, 0U);
        EXPECT_TRUE(failclosed(client(), {"reapply"}).ok());
        const Outcome check = failclosed(client(), {"check"});
        EXPECT_TRUE(check.ok()) << check.err;
        client().must({"failclosed", "unlock"});
        EXPECT_GT(leaked_while([](const Traffic&) {}), 0U) << "it is open again";
    }

    Lab lab_;
};

TEST_F(HooksInput, Dispatcher)
{
    try_all(dispatcher);
}

TEST_F(HooksInput, Dhcpcd)
{
    try_all(dhcpcd_hook);
}

} // namespace

} // namespace failclosed::lab
