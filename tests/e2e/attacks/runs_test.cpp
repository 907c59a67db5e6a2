// SPDX-License-Identifier: GPL-3.0-or-later
// The product's own runs under a flood: from step to step, many at once, over damaged files.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/support/lab/paths.hpp"
#include "tests/support/lab/stepper.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;

// ---- Between the first and the last step ----

/// System calls by which a run changes the kernel's network settings and files.
const std::set<long> effects = {SYS_sendto,   SYS_sendmsg, SYS_rename,
                                SYS_renameat, SYS_unlink,  SYS_unlinkat};

bool has_firewall(const Box& client)
{
    return client.run({"nft", "list", "chain", "inet", "failclosed", "output"}).ok();
}

class Step : public ::testing::Test {
  protected:
    Step()
        : target_(Guard::All), traffic_(target_.lab(), {.kinds = ordinary_kinds() + bound_kinds()})
    {
    }

    /// Lets the run go on call by call: before each one the machine is closed wherever it has
    /// rules.
    void watch(const char* verb)
    {
        Stepper run(target_.client(), {"failclosed", verb}, effects);
        std::size_t closed = 0;
        for (; !run.ended(); run.step()) {
            if (!has_firewall(target_.client())) {
                continue;
            }
            if (closed++ == 0) {
                target_.sniffer().settle();
                target_.sniffer().reset();
            }
            ASSERT_TRUE(traffic_.wait_all_sent(1));
            ASSERT_EQ(target_.leaked(), 0U)
                << verb << ", call " << run.calls() << target_.sniffer().counts().text();
        }
        EXPECT_EQ(run.finish(), 0) << run.err();
        std::printf("%s: %zu calls, closed before %zu of them\n", verb, run.calls(), closed);
        EXPECT_GT(closed, 0U);
    }

    void expect_open()
    {
        target_.sniffer().reset();
        EXPECT_TRUE(
            target_.sniffer().wait_until([](const Counts& seen) { return seen.leaked > 100; }));
    }

    Target target_;
    Traffic traffic_;
};

TEST_F(Step, OfLockAndUnlockOpensNothingWhileTheTunnelIsAway)
{
    target_.vpn().kill();
    ASSERT_NO_FATAL_FAILURE(watch("reapply"));
    ASSERT_NO_FATAL_FAILURE(watch("unlock"));
    EXPECT_FALSE(has_firewall(target_.client()));
    expect_open();
    ASSERT_NO_FATAL_FAILURE(watch("lock"));
    EXPECT_TRUE(has_firewall(target_.client()));
    ASSERT_EQ(failclosed(target_.client(), {"unlock"}).status, 0);
    expect_open();
}

// ---- Many at once ----

TEST(Hooks, FiftyAtOnceEndLikeSequentialHooks)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const Traffic traffic(target.lab(),
                          {.kinds = ordinary_kinds() + bound_kinds(), .interval = 20ms});
    const std::string serial = protection(client);
    const Command dispatcher =
        Command{"/etc/NetworkManager/dispatcher.d/90-failclosed", "eth0", "up"}.with_env(
            {"NM_DISPATCHER_ACTION=up", "CONNECTION_ID=eth0", "DEVICE_IFACE=eth0",
             "DEVICE_IP_IFACE=eth0"});
    const Command dhcpcd =
        Command{"sh", "-c", ". /usr/lib/dhcpcd/dhcpcd-hooks/90-failclosed"}.with_env(
            {"reason=BOUND", "interface=eth0", "if_up=true", "if_down=false",
             "new_ip_address=192.168.50.10", "new_routers=192.168.50.1"});
    const Command up{"failclosed", "up",    "--interface", "tun0",     "--dns",
                     "10.8.0.1",   "--dns", "fd00:8::1",   "--server", "203.0.113.2:1194/udp"};
    std::vector<Command> commands;
    for (int i = 0; i < 10; ++i) {
        commands.insert(commands.end(),
                        {dispatcher,
                         dhcpcd,
                         up,
                         {"failclosed", "reapply"},
                         {"failclosed", "lock", "--server", "203.0.113.2:1194/udp"}});
    }
    std::mt19937 random(20180407); // NOLINT: the same order every time
    std::ranges::shuffle(commands, random);
    std::vector<Process> running;
    for (const auto& command : commands) {
        running.push_back(client.start(command));
    }
    for (const auto& process : running) {
        EXPECT_EQ(process.wait(60s), 0) << process.output();
    }
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_EQ(protection(client), serial);
    ASSERT_TRUE(traffic.wait_all_sent(3));
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
    EXPECT_TRUE(target.tunnel_works());
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    EXPECT_TRUE(target.sniffer().wait_until([](const Counts& seen) { return seen.leaked > 100; }));
}

// Between the look at the devices and the rules for them some come, go, and change their names.
TEST(Hooks, AreNotDisturbedByDevicesThatComeAndGo)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const Traffic traffic(target.lab(), {.kinds = bound_kinds(), .interval = 10ms});
    const Process churn = client.start(
        {"sh", "-c",
         "while [ ! -e /run/enough ]; do ip link add v0 type veth peer name v1; ip link set v0 up; "
         "ip link set v1 name w1; ip link add br0 type bridge; ip link set v0 master br0; "
         "ip link del br0; ip tuntap add tun8 mode tun; ip link set tun8 up; ip link del tun8; "
         "ip link del v0; done"});
    for (int i = 0; i < 40; ++i) {
        const Outcome run = failclosed(client, {"reapply", "--quiet"});
        EXPECT_EQ(run.status, 0) << run.err;
        EXPECT_TRUE(has_firewall(client));
    }
    EXPECT_TRUE(churn.running()) << churn.output();
    // Killed, it would leave an ip(8) behind that goes on.
    client.write_file("/run/enough", "");
    ASSERT_TRUE(churn.wait(60s)) << churn.output();
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
    EXPECT_EQ(failclosed(client, {"reapply"}).status, 0);
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    EXPECT_TRUE(target.sniffer().wait_until([](const Counts& seen) { return seen.leaked > 100; }));
}

// ---- Its own files ----

/// Every file of its own, but not its programs.
const std::vector<std::string> own_files = {
    "/run/failclosed/state",     "/var/lib/failclosed/state",   "/var/lib/failclosed/servers",
    "/var/lib/failclosed/armed", "/var/lib/failclosed/journal", "/etc/failclosed/failclosed.conf",
};

/// What a crash, a full disk, or a slip of an administrator's makes of a file `$f`.
const std::vector<std::string> damages = {"rm -f $f", ": >$f", "printf '\\377\\376' >$f",
                                          "head -c 40 $f >$f.new && mv $f.new $f",
                                          "rm -f $f; mkdir $f"};

class Damage : public ::testing::TestWithParam<bool> {};

TEST_P(Damage, OfAnyFileOpensNothing)
{
    const bool is_up = GetParam();
    Target target(Guard::All);
    const Box& client = target.client();
    const Traffic traffic(target.lab(), {.kinds = bound_kinds(), .interval = 10ms});
    if (!is_up) {
        target.vpn().kill();
    }
    const auto expect_closed = [&](const std::string& what) {
        ASSERT_TRUE(traffic.wait_all_sent(1));
        EXPECT_EQ(target.leaked(), 0U) << what << target.sniffer().counts().text();
        EXPECT_TRUE(has_firewall(client)) << what;
    };
    for (const auto& path : own_files) {
        for (const auto& damage : damages) {
            const std::string file = "f=" + path + "; mkdir -p ${f%/*}; ";
            client.must({"sh", "-c", file + "[ -e $f ] || echo '[failclosed]' >$f; " + damage});
            const Outcome outcome = failclosed(client, {"reapply"});
            EXPECT_LE(outcome.status, 1) << path << damage << outcome.err;
            ASSERT_NO_FATAL_FAILURE(expect_closed(path + damage + outcome.err));
            client.must({"sh", "-c", file + "rm -rf $f"});
            EXPECT_LE(failclosed(client, {"reapply"}).status, 1) << path << damage;
            ASSERT_NO_FATAL_FAILURE(expect_closed(path + " was removed"));
        }
    }
    if (is_up) {
        connect_again(target);
        EXPECT_TRUE(target.tunnel_works());
    }
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    EXPECT_TRUE(target.sniffer().wait_until([](const Counts& seen) { return seen.leaked > 100; }));
}

INSTANTIATE_TEST_SUITE_P(Files, Damage, ::testing::Bool(), [](const auto& test) {
    return test.param ? "WhileATunnelIsUp" : "WhileNoneIs";
});

// ---- A new version over the old one ----

TEST(Installation, OverItselfUnderAFloodOpensNothing)
{
    namespace fs = std::filesystem;
    Target target(Guard::All);
    const Box& client = target.client();
    fs::copy(test::source_root() / "setup", client.outside_path("/usr/src"));
    fs::copy(Lab::install_root(), client.outside_path("/usr/src/stage"),
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    const auto leaked = flood_during(target, ordinary_kinds() + bound_kinds(), [&] {
        const Command install = Command{"/usr/src/setup", "install"}.with_env(
            {"FAILCLOSED_INSTALL_ROOT=/usr/src/stage"});
        const Process running = client.start(install);
        while (running.running()) {
            target.vpn().hup();
            EXPECT_TRUE(target.vpn().process().wait_for("SIGHUP"));
            failclosed(client, {"reapply"});
        }
        EXPECT_EQ(running.wait(), 0) << running.output();
        connect_again(target);
    });
    EXPECT_EQ(leaked, 0U) << target.sniffer().counts().text();
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_TRUE(target.tunnel_works());
    ASSERT_EQ(failclosed(client, {"unlock"}).status, 0);
    EXPECT_GT(flood(target, bound_kinds()), 0U);
}

} // namespace

} // namespace failclosed::lab
