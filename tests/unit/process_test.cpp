// SPDX-License-Identifier: GPL-3.0-or-later
// Processes of our own: told apart from others with the same number, and searched for.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/process.hpp"

namespace failclosed {
namespace {

/// A child that waits for signals, until the object goes.
class Child {
  public:
    Child()
    {
        // Blocked before it runs, so that none is lost.
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &before);
        pid_ = fork();
        if (pid_ == 0) {
            for (;;) {
                pause();
            }
        }
        sigprocmask(SIG_SETMASK, &before, nullptr);
    }

    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    ~Child()
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] ProcessInfo info() const { return read_process(pid_).value(); }

    /// Whether a signal waits for it (SigPnd of the process as a whole is ShdPnd).
    [[nodiscard]] bool was_told() const
    {
        std::string line;
        FILE* file = fopen(("/proc/" + std::to_string(pid_) + "/status").c_str(), "r");
        char text[256];
        bool told = false;
        while (file != nullptr && fgets(text, sizeof(text), file) != nullptr) {
            line = text;
            told = told || (line.starts_with("ShdPnd:") &&
                            line.find_first_of("123456789abcdef", 7) != std::string::npos);
        }
        if (file != nullptr) {
            fclose(file);
        }
        return told;
    }

  private:
    pid_t pid_ = -1;
};

TEST(SendSignal, ReachesTheProcess)
{
    const Child child;
    ASSERT_FALSE(child.was_told());
    const auto sent = send_signal(child.info().id, SIGUSR1);
    EXPECT_TRUE(sent) << sent.error().message();
    EXPECT_TRUE(child.was_told());
}

TEST(SendSignal, AnotherProcessWithTheSameNumberIsNotSignalled)
{
    const Child child;
    ProcessId earlier = child.info().id;
    --earlier.start_time;
    const auto sent = send_signal(earlier, SIGUSR1);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().number(), ESRCH);
    EXPECT_FALSE(child.was_told());
}

TEST(SendSignal, AnEndedProcessIsAnError)
{
    ProcessId over;
    {
        const Child child;
        over = child.info().id;
    }
    const auto sent = send_signal(over, SIGUSR1);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().number(), ESRCH);
}

TEST(SendSignal, AZombieIsAnError)
{
    const Child child;
    const ProcessId known = child.info().id;
    kill(known.pid, SIGKILL);
    siginfo_t ended{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(known.pid), &ended, WEXITED | WNOWAIT), 0);
    const auto sent = send_signal(known, SIGUSR1);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().number(), ESRCH);
    EXPECT_TRUE(find_tunnel_programs({known}, false, {}, {}).empty());
}

TEST(ReadProcess, ShowsWhichSignalsAreHandled)
{
    struct sigaction before{};
    struct sigaction handle{};
    handle.sa_handler = [](int) {};
    sigaction(SIGUSR2, &handle, &before);
    const auto with = read_process(getpid());
    sigaction(SIGUSR2, &before, nullptr);
    const auto without = read_process(getpid());
    ASSERT_TRUE(with && without);
    EXPECT_EQ(with->handled_signals ^ without->handled_signals, 1ULL << (SIGUSR2 - 1));
}

TEST(FindTunnelPrograms, KnownOnesThatStillRun)
{
    const Child child;
    const ProcessId known = child.info().id;
    ProcessId earlier = known;
    --earlier.start_time;
    const auto found = find_tunnel_programs({known, earlier}, false, {}, {});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().id, known);
    EXPECT_FALSE(found.front().handles_hup);
}

TEST(FindTunnelPrograms, UnitsOfOpenvpn)
{
    for (const char* text :
         {"0::/system.slice/system-openvpn\\x2dclient.slice/openvpn-client@home.service\n",
          "12:pids:/x\n1:name=systemd:/system.slice/system-openvpn.slice/openvpn@a.service\n"
          "0::/",
          "0::/system.slice/openvpn-client@a b.service"}) {
        EXPECT_TRUE(find_openvpn_unit(text)) << text;
    }
    for (const char* text :
         {"", "\n", "0", "0:", "0:\n:", "0::/", "0::/system.slice/openvpn-server@a.service\n",
          // Control groups that a user, a delegated service, or a service in a unit has made.
          "0::/user.slice/user-1000.slice/user@1000.service/a:/system.slice/openvpn@b.service\n",
          "0::/system.slice/other.service/openvpn-client@a.service\n",
          "0::/system.slice/other.service/x.slice/openvpn-client@a.service\n",
          "0::/system.slice/openvpn@a/b.service\n", "0::/a/system.slice/openvpn@a.service\n",
          "3:cpu:/system.slice/openvpn@a.service\n",
          "3:name=mine:/system.slice/openvpn@a.service\n",
          "0::/user.slice/openvpn@a.service/evil.scope\n", "0::/openvpn.service\n",
          "0::/xopenvpn@a.service", "0::/openvpn@a.service.x"}) {
        EXPECT_FALSE(find_openvpn_unit(text)) << text;
    }
}

TEST(FindTunnelPrograms, ProcessesOfClientUnitsFromControlGroups)
{
    namespace fs = std::filesystem;
    std::string root = fs::temp_directory_path() / "failclosed-cgroups-XXXXXX";
    ASSERT_NE(mkdtemp(root.data()), nullptr);
    const auto add = [&](const std::string& folder, const std::string& pids) {
        fs::create_directories(root + "/" + folder);
        std::ofstream(root + "/" + folder + "/cgroup.procs") << pids;
    };
    add("system.slice/system-openvpn\\x2dclient.slice/openvpn-client@home.service", "30\n20\n");
    add("systemd/system.slice/openvpn-client@work.service", "10\n");
    add("system.slice/system-openvpn.slice/openvpn@server.service", "1\n");
    add("system.slice/other.service/openvpn-client@a.service", "2\n");
    add("system.slice/other.service/a.slice/openvpn-client@a.service", "3\n");
    add("user.slice/openvpn-client@a.service", "4\n");
    add("system.slice/openvpn-client@odd.service", "nonsense\n5\n");
    EXPECT_EQ(find_processes_of_client_units(root), (std::vector<pid_t>{10, 20, 30}));
    EXPECT_TRUE(find_processes_of_client_units(root + "/nowhere").empty());
    fs::remove_all(root);
}

} // namespace
} // namespace failclosed
