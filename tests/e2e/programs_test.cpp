// SPDX-License-Identifier: GPL-3.0-or-later
// Who is told to reconnect when the underlay changes, how, and who is not; and what an event makes
// of a machine whose memory was removed.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/lab/signal_counter.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr uid_t nobody = 65534;

/// Makes OpenVPN go on waiting for an answer. By itself it gives up after some seconds, and as soon
/// as it tries to send without a network; it then pauses, and hears no signal in a pause.
const std::vector<std::string> patience_lines = {"server-poll-timeout 60", "tls-timeout 30"};
/// How long it takes to connect then, should its first packet have come before the server.
constexpr auto of_the_patient = 100s;

Command with_exactly(Command command, std::vector<std::string> variables)
{
    command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    return command.with_env(std::move(variables));
}

/// As NetworkManager calls it.
Command dispatcher_up()
{
    return with_exactly({"/etc/NetworkManager/dispatcher.d/90-failclosed", "eth0", "up"},
                        {"NM_DISPATCHER_ACTION=up", "CONNECTION_ID=eth0", "DEVICE_IFACE=eth0",
                         "DEVICE_IP_IFACE=eth0", "IP4_NUM_ADDRESSES=1",
                         "IP4_ADDRESS_0=192.168.50.10/24 192.168.50.1"});
}

/// As dhcpcd-run-hooks(8) sources it.
Command dhcpcd_bound()
{
    return with_exactly({"sh", "-eu", "-c", ". /usr/lib/dhcpcd/dhcpcd-hooks/90-failclosed"},
                        {"reason=BOUND", "interface=eth0", "if_up=true", "if_down=false",
                         "new_ip_address=192.168.50.10", "new_routers=192.168.50.1",
                         "new_dhcp_server_identifier=192.168.50.1"});
}

Command reapply()
{
    return {"failclosed", "reapply"};
}

/// A program that tells of these signals and lives on.
int listen_to(std::initializer_list<int> signals)
{
    for (const int number : signals) {
        std::signal(number, [](int got) {
            const char line[] = {'g',
                                 'o',
                                 't',
                                 ' ',
                                 static_cast<char>('0' + got / 10),
                                 static_cast<char>('0' + got % 10),
                                 '\n'};
            (void)!write(STDOUT_FILENO, line, sizeof line);
        });
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        pause();
    }
}

int listen_to_all()
{
    return listen_to({SIGHUP, SIGUSR1, SIGUSR2});
}

/// Starts a program with this process id of the box, which is unused now: the kernel gives the
/// number after ns_last_pid next. Tries again if another process starts in between.
int start_as(pid_t wanted)
{
    for (int tries = 0; tries < 100; ++tries) {
        const int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
        const std::string number = std::to_string(wanted - 1);
        const bool written = write(last, number.data(), number.size()) > 0;
        close(last);
        const pid_t child = written ? fork() : -1;
        if (child == 0) {
            return getpid() == wanted ? listen_to_all() : 0;
        }
        if (child == wanted) {
            pause();
        }
        waitpid(child, nullptr, 0);
    }
    return 1;
}

/// Waits until `parent` forks, and holds the child at its birth until SIGUSR1.
int hold_fork(pid_t parent)
{
    sigset_t orders;
    sigemptyset(&orders);
    sigaddset(&orders, SIGUSR1);
    sigprocmask(SIG_BLOCK, &orders, nullptr);
    constexpr std::uintptr_t births = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    if (ptrace(PTRACE_SEIZE, parent, nullptr, reinterpret_cast<void*>(births)) != 0) {
        return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    int status = 0;
    for (pid_t stopped = waitpid(-1, &status, __WALL); WIFSTOPPED(status);
         stopped = waitpid(-1, &status, __WALL)) {
        if (stopped != parent) {
            std::printf("holding %d\n", stopped);
            std::fflush(stdout);
            int order = 0;
            sigwait(&orders, &order);
            return 0; // the kernel lets both go
        }
        const bool of_ptrace = (status >> 16) != 0;
        const std::uintptr_t signal = of_ptrace ? 0U : static_cast<unsigned>(WSTOPSIG(status));
        ptrace(PTRACE_CONT, stopped, nullptr, reinterpret_cast<void*>(signal));
    }
    return 1;
}

constexpr char state_file[] = "/run/failclosed/state";

/// Field 22 of proc(5)'s stat, in clock ticks; of a program whose name has no spaces.
std::string start_time(const Box& client, pid_t pid)
{
    std::istringstream stat(client.read_file("/proc/" + std::to_string(pid) + "/stat"));
    std::string field;
    for (int number = 0; number < 22; ++number) {
        stat >> field;
    }
    return field;
}

class Programs : public ::testing::Test {
  protected:
    explicit Programs(Lab::Options options = {}) : lab_(with_product(std::move(options))) {}

    const Box& client() const { return lab_.client(); }

    void lock(std::vector<std::string> more = {})
    {
        std::vector<std::string> arguments = {"lock", "--server", "203.0.113.2:1194/udp"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome locked = failclosed(client(), arguments);
        ASSERT_EQ(locked.status, 0) << locked.err;
    }

    /// NetworkManager's `up` of eth0.
    void announce() const
    {
        const Outcome outcome = client().run(dispatcher_up());
        ASSERT_EQ(outcome.status, 0) << outcome.err;
    }

    /// Another gateway on the same wire, and its announcement.
    void change_gateway()
    {
        other_gateway_ = !other_gateway_;
        client().ip(std::string("route replace default via ") +
                    (other_gateway_ ? addr::other_gateway4 : addr::gateway4) +
                    " dev eth0 metric 100\n");
        announce();
    }

    void lose_network() const
    {
        client().ip("route del default dev eth0\n");
        announce();
    }

    void find_network() const
    {
        client().ip(std::string("route add default via ") + addr::gateway4 +
                    " dev eth0 metric 100\n");
        announce();
    }

    /// Returns when every signal that was sent so far has been counted: they are delivered in the
    /// order of their numbers, and USR2 is the last of those that are sent here.
    static void settle(SignalCounter& counter, const Process& process)
    {
        const std::size_t before = counter.count(SIGUSR2);
        process.signal(SIGUSR2);
        ASSERT_TRUE(counter.wait_for(SIGUSR2, before + 1)) << process.output();
    }

    struct Expected {
        std::size_t hup = 0;
        std::size_t usr1 = 0;
    };

    static void expect_signals(SignalCounter& counter, const Process& process,
                               const Expected& expected, const std::string& whose)
    {
        ASSERT_NO_FATAL_FAILURE(settle(counter, process));
        EXPECT_EQ(counter.count(SIGHUP), expected.hup) << whose << process.output();
        EXPECT_EQ(counter.count(SIGUSR1), expected.usr1) << whose << process.output();
        EXPECT_EQ(counter.all() - counter.count(SIGUSR2), expected.hup + expected.usr1) << whose;
    }

    /// A tunnel that no OpenVPN holds: its device stays after the end of `owner`.
    void announce_tunnel(pid_t owner) const
    {
        client().ip("tuntap add dev tun7 mode tun\n"
                    "addr add 10.66.0.2/24 dev tun7\nlink set tun7 up\n");
        const Outcome up = failclosed(client(), {"up", "--interface", "tun7", "--address",
                                                 "10.66.0.2/24", "--server", "203.0.113.2:1194/udp",
                                                 "--pid", std::to_string(owner)});
        ASSERT_EQ(up.status, 0) << up.err;
    }

    Lab lab_;
    bool other_gateway_ = false;
};

// ---- Known by their tunnel ----

TEST_F(Programs, ThatTookOverAProcessIdAreNotSignalled)
{
    lock();
    const Process owner = Process::fork(client(), listen_to_all);
    ASSERT_TRUE(owner.wait_for("ready"));
    const pid_t pid = owner.inner_pid();
    ASSERT_NO_FATAL_FAILURE(announce_tunnel(pid));
    {
        SignalCounter counter(client(), owner);
        ASSERT_NO_FATAL_FAILURE(change_gateway());
        expect_signals(counter, owner, {.hup = 1}, "the owner");
    }
    const std::string recorded =
        "process=" + std::to_string(pid) + " " + start_time(client(), pid) + "\n";
    std::string state = client().read_file(state_file);
    ASSERT_THAT(state, HasSubstr(recorded));
    owner.kill();
    ASSERT_EQ(owner.inner_pid(), 0);

    const Process decoy = Process::fork(client(), [pid] { return start_as(pid); });
    ASSERT_TRUE(decoy.wait_for("ready")) << decoy.output();
    SignalCounter counter(client(), pid);
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    client().must({"kill", "-USR2", std::to_string(pid)});
    ASSERT_TRUE(counter.wait_for(SIGUSR2));
    EXPECT_EQ(counter.all(), 1U) << decoy.output();

    // It is the time of its start that tells them apart: with that of the decoy it is told.
    EXPECT_THAT(client().read_file(state_file), Not(HasSubstr(recorded)));
    state.replace(state.find(recorded), recorded.size(),
                  "process=" + std::to_string(pid) + " " + start_time(client(), pid) + "\n");
    client().write_file(state_file, state, 0600);
    ASSERT_NO_FATAL_FAILURE(announce());
    EXPECT_TRUE(counter.wait_for(SIGHUP));
    EXPECT_TRUE(decoy.wait_for("got 01")) << decoy.output();
}

TEST_F(Programs, WithoutASignalHandlerAreNotSignalled)
{
    lock();
    const Process owner = client().start({"sleep", "1000"});
    ASSERT_NO_FATAL_FAILURE(announce_tunnel(owner.inner_pid()));
    SignalCounter counter(client(), owner);
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    EXPECT_TRUE(owner.running());
    // What ends it shows that nothing came before: HUP would have.
    owner.signal(SIGTERM);
    EXPECT_EQ(owner.wait(), 128 + SIGTERM);
    EXPECT_EQ(counter.count(SIGHUP) + counter.count(SIGUSR1), 0U);
}

TEST_F(Programs, ThatHandleOnlyUsr1GetUsr1)
{
    lock();
    const Process owner = Process::fork(client(), [] { return listen_to({SIGUSR1, SIGUSR2}); });
    ASSERT_TRUE(owner.wait_for("ready"));
    ASSERT_NO_FATAL_FAILURE(announce_tunnel(owner.inner_pid()));
    SignalCounter counter(client(), owner);
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    expect_signals(counter, owner, {.usr1 = 1}, "the owner");
}

class TwoUnderlays : public Programs {
  protected:
    TwoUnderlays() : Programs({.second_uplink = true}) {}
};

// One server is reached over eth0 by IPv4, the other over eth1 by IPv6.
TEST_F(TwoUnderlays, OnlyTheProgramWhosePathChangedIsTold)
{
    const VpnServer one(lab_);
    const VpnServer two(lab_, {.number = 2, .address = addr::other_server6});
    const std::string over_eth1 =
        std::string("route add ::/0 via ") + addr::second_gateway6 + " dev eth1 metric 200\n";
    client().ip("route del ::/0 dev eth0\n");
    lock({"--server", "[2001:db8:113::3]:1194/udp"});
    VpnClient::Options options;
    options.redirect_gateway = false;
    VpnClient first(lab_, options);
    options.name = "other";
    options.device = "tun1";
    options.remotes = {std::string(addr::other_server6) + " 1194"};
    VpnClient second(lab_, options);
    ASSERT_TRUE(first.wait_connected()) << first.log();
    ASSERT_TRUE(second.wait_connected()) << second.log();
    SignalCounter of_first(client(), first.process());
    SignalCounter of_second(client(), second.process());

    ASSERT_NO_FATAL_FAILURE(announce());
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    expect_signals(of_first, first.process(), {.hup = 1}, "eth0's, changed");
    expect_signals(of_second, second.process(), {}, "eth1's, unchanged");
    ASSERT_TRUE(first.wait_connected(2)) << first.log();

    client().ip("route del ::/0 dev eth1\n");
    ASSERT_NO_FATAL_FAILURE(announce());
    expect_signals(of_second, second.process(), {}, "eth1's, away");
    client().ip(over_eth1);
    ASSERT_NO_FATAL_FAILURE(announce());
    expect_signals(of_first, first.process(), {.hup = 1}, "eth0's, unchanged");
    expect_signals(of_second, second.process(), {.hup = 1}, "eth1's, back");
    ASSERT_TRUE(second.wait_connected(2)) << second.log();
    EXPECT_TRUE(answers(client(), one.inside_address4()));
    EXPECT_TRUE(answers(client(), two.inside_address4()));
}

// ---- Known before they have a tunnel ----

TEST_F(Programs, ThatWaitForTheirServerAreToldOnceWhenTheNetworkReturns)
{
    // Of the list by default, as systemd starts it, and named by its administrator.
    VpnClient::Options listed;
    listed.extra = patience_lines;
    listed.directory = "/etc/openvpn/client";
    listed.as_unit = true;
    VpnClient::Options named;
    named.name = "mine";
    named.directory = "/root/vpn";
    named.device = "tun1";
    named.redirect_gateway = false;
    named.remotes = {std::string(addr::other_server4) + " 1194"};
    named.extra = patience_lines;
    VpnClient first(lab_, listed);
    VpnClient second(lab_, named);
    lock({"--openvpn-config", named.directory + "/mine.conf"});
    ASSERT_TRUE(first.wait_trying()) << first.log();
    ASSERT_TRUE(second.wait_trying()) << second.log();
    SignalCounter of_first(client(), first.process());
    SignalCounter of_second(client(), second.process());
    ASSERT_NO_FATAL_FAILURE(lose_network());
    expect_signals(of_first, first.process(), {}, "no network");
    expect_signals(of_second, second.process(), {}, "no network");

    ASSERT_NO_FATAL_FAILURE(find_network());
    ASSERT_NO_FATAL_FAILURE(announce());
    client().must(dhcpcd_bound());
    client().must(reapply());
    expect_signals(of_first, first.process(), {.hup = 1}, first.config_path());
    expect_signals(of_second, second.process(), {.hup = 1}, second.config_path());

    const VpnServer one(lab_);
    const VpnServer two(lab_, {.number = 2, .address = addr::other_server4});
    ASSERT_TRUE(first.wait_connected(1, of_the_patient)) << first.log();
    ASSERT_TRUE(second.wait_connected(1, of_the_patient)) << second.log();
    EXPECT_TRUE(answers(client(), addr::site4));
    expect_signals(of_first, first.process(), {.hup = 1}, first.config_path());
    expect_signals(of_second, second.process(), {.hup = 1}, second.config_path());
}

// It is root until its tunnel is up, and would handle a HUP only after that, when it cannot read
// its configuration any more.
TEST_F(Programs, ThatDropTheirPrivilegesAreNotToldToRestart)
{
    VpnClient::Options options;
    options.user = "nobody";
    options.extra = patience_lines;
    options.extra.emplace_back("persist-key");
    VpnClient waiting(lab_, options);
    lock();
    ASSERT_TRUE(waiting.wait_trying()) << waiting.log();
    SignalCounter counter(client(), waiting.process());
    ASSERT_NO_FATAL_FAILURE(lose_network());
    ASSERT_NO_FATAL_FAILURE(find_network());
    expect_signals(counter, waiting.process(), {.usr1 = 1}, "user nobody");
    const VpnServer server(lab_);
    ASSERT_TRUE(waiting.wait_connected(1, of_the_patient)) << waiting.log();
    EXPECT_TRUE(waiting.process().running());
    EXPECT_TRUE(answers(client(), addr::site4));
}

// OpenVPN ignores signals while it pauses between two attempts, and after a pause it tries anyway.
TEST_F(Programs, ThatPauseWithoutANetworkReconnectAfterThePause)
{
    const VpnServer server(lab_);
    client().ip("route del default dev eth0\n");
    lock();
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.process().wait_for("Restart pause")) << vpn.log();
    SignalCounter counter(client(), vpn.process());
    ASSERT_NO_FATAL_FAILURE(find_network());
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_NO_FATAL_FAILURE(settle(counter, vpn.process()));
    EXPECT_LE(counter.all() - counter.count(SIGUSR2), 1U);
    EXPECT_TRUE(answers(client(), addr::site4));
}

TEST_F(Programs, ThatAreNotClientsOfThisMachineAreNotSignalled)
{
    // Configs that match the list, so that it is not for want of those that a decoy is passed over.
    VpnClient::Options options;
    options.directory = "/etc/openvpn/client";
    options.extra = patience_lines;
    VpnClient ours(lab_, options);
    const auto write = [&](const std::string& path, const std::string& text) {
        client().write_file(path, text);
        return path;
    };
    const std::string foreign = write("/etc/openvpn/client/foreign.conf", ours.config());
    const std::string unprivileged = write("/etc/openvpn/client/nobody.conf", ours.config());
    const std::string unlisted = write("/root/own.conf", ours.config());
    const auto block = [](const std::string& name, const std::string& text) {
        return "<" + name + ">\n" + text + "</" + name + ">\n";
    };
    const std::string serving =
        write("/etc/openvpn/serving.conf",
              "dev tun9\nserver 10.99.0.0 255.255.255.0\ntopology subnet\ndh none\nport 1199\n" +
                  block("ca", pki().ca) + block("cert", pki().server_certificate) +
                  block("key", pki().server_key));
    std::vector<Process> decoys;
    decoys.push_back(client().start({"unshare", "-n", "openvpn", "--config", foreign}));
    decoys.push_back(client().start(Command{"openvpn", "--config", unprivileged}.as(nobody)));
    decoys.push_back(client().start({"openvpn", "--config", unlisted}));
    decoys.push_back(client().start({"openvpn", "--config", serving}));
    const std::array<const char*, 4> names = {"in another network", "of nobody", "in no list",
                                              "a server"};
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_TRUE(ours.wait_trying()) << ours.log();
    for (std::size_t i = 0; i < 3; ++i) {
        ASSERT_TRUE(decoys[i].wait_for("link remote: ")) << names.at(i) << decoys[i].output();
    }
    ASSERT_TRUE(decoys[3].wait_for("Initialization Sequence Completed")) << decoys[3].output();
    for (const auto& decoy : decoys) {
        ASSERT_THAT(
            client().must({"readlink", "/proc/" + std::to_string(decoy.inner_pid()) + "/exe"}),
            HasSubstr("/openvpn"));
    }
    SignalCounter of_ours(client(), ours.process());
    std::vector<std::unique_ptr<SignalCounter>> counters;
    counters.reserve(decoys.size());
    for (const auto& decoy : decoys) {
        counters.push_back(std::make_unique<SignalCounter>(client(), decoy));
    }
    ASSERT_NO_FATAL_FAILURE(lose_network());
    ASSERT_NO_FATAL_FAILURE(find_network());
    expect_signals(of_ours, ours.process(), {.hup = 1}, "ours");
    for (std::size_t i = 0; i < decoys.size(); ++i) {
        expect_signals(*counters[i], decoys[i], {}, names.at(i));
    }
}

// Before it becomes the script that it was made for, a fork of OpenVPN looks like an OpenVPN that
// has no tunnel yet. A signal would end the script, and with it OpenVPN.
TEST_F(Programs, AreToldButNotTheirChildren)
{
    ASSERT_NO_FATAL_FAILURE(lock());
    const VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_trying()) << vpn.log();
    const pid_t parent = vpn.process().inner_pid();
    const Process holder = Process::fork(client(), [parent] { return hold_fork(parent); });
    ASSERT_TRUE(holder.wait_for("ready")) << holder.output();
    const VpnServer server(lab_);
    ASSERT_TRUE(holder.wait_for_match("holding [0-9]+")) << vpn.log();
    const std::string output = holder.output();
    const std::string child =
        "/proc/" + output.substr(output.rfind(' ') + 1, output.size() - output.rfind(' ') - 2);
    ASSERT_THAT(client().must({"readlink", child + "/exe"}), HasSubstr("/openvpn"));

    ASSERT_NO_FATAL_FAILURE(lose_network());
    ASSERT_NO_FATAL_FAILURE(find_network());
    constexpr char nothing[] = "0000000000000000\n";
    EXPECT_THAT(client().read_file(child + "/status"),
                HasSubstr(std::string("ShdPnd:\t") + nothing));
    holder.signal(SIGUSR1);
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    EXPECT_EQ(vpn.signals().hup, 1U) << vpn.log();
    EXPECT_TRUE(answers(client(), addr::site4));
}

// ---- Which signal ----

TEST_F(Programs, WhoseConfigurationIsGoneStartAgainWithoutIt)
{
    lock();
    const VpnServer server(lab_);
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    SignalCounter counter(client(), vpn.process());
    client().must({"rm", vpn.config_path()});
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    expect_signals(counter, vpn.process(), {.usr1 = 1}, "OpenVPN");
    EXPECT_TRUE(answers(client(), addr::site4));
}

/// Types the name and the password that OpenVPN's management interface asks for.
bool type_password(const Box& client, const std::string& path)
{
    return client.in([&] {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        std::string seen;
        bool typed = false;
        if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
            const timeval limit{5, 0};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            std::array<char, 512> buffer{};
            for (ssize_t size = 0; (size = read(fd, buffer.data(), buffer.size())) > 0;) {
                seen.append(buffer.data(), static_cast<std::size_t>(size));
                if (!typed && seen.find("Need 'Auth'") != std::string::npos) {
                    constexpr char answer[] = "username \"Auth\" me\npassword \"Auth\" secret\n";
                    typed = write(fd, answer, std::strlen(answer)) > 0;
                }
                if (seen.find("SUCCESS: 'Auth' password") != std::string::npos) {
                    break;
                }
            }
        }
        close(fd);
        return typed;
    });
}

TEST_F(Programs, WithATypedPasswordDoNotAskForItAgain)
{
    lock();
    const VpnServer server(lab_);
    VpnClient::Options options;
    options.extra = {"auth-user-pass", "management /run/lab-management unix",
                     "management-query-passwords"};
    VpnClient vpn(lab_, options);
    ASSERT_TRUE(vpn.process().wait_for("MANAGEMENT: unix domain socket listening")) << vpn.log();
    ASSERT_TRUE(type_password(client(), "/run/lab-management")) << vpn.log();
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    SignalCounter counter(client(), vpn.process());
    ASSERT_NO_FATAL_FAILURE(change_gateway());
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    expect_signals(counter, vpn.process(), {.usr1 = 1}, "OpenVPN");
    EXPECT_TRUE(answers(client(), addr::site4));
}

// ---- After sleep ----

// A time namespace in which CLOCK_MONOTONIC is behind shows the same as a machine that slept:
// CLOCK_BOOTTIME went on without it. Nothing else of the machine has changed.
TEST_F(Programs, AreToldOnceAfterSuspend)
{
    lock();
    const VpnServer server(lab_);
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    SignalCounter counter(client(), vpn.process());
    const auto after_sleep = [&](int seconds) {
        Command command = dispatcher_up();
        const std::vector<std::string> words = {"unshare", "--time", "--monotonic",
                                                std::to_string(-seconds), "--fork"};
        command.argv.insert(command.argv.begin(), words.begin(), words.end());
        const Outcome outcome = client().run(command);
        ASSERT_EQ(outcome.status, 0) << outcome.err;
    };
    ASSERT_NO_FATAL_FAILURE(announce());
    expect_signals(counter, vpn.process(), {}, "never slept");
    ASSERT_NO_FATAL_FAILURE(after_sleep(60));
    expect_signals(counter, vpn.process(), {.hup = 1}, "slept");
    ASSERT_NO_FATAL_FAILURE(after_sleep(60));
    expect_signals(counter, vpn.process(), {.hup = 1}, "told before");
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    ASSERT_NO_FATAL_FAILURE(after_sleep(100));
    expect_signals(counter, vpn.process(), {.hup = 2}, "slept again");
    ASSERT_TRUE(vpn.wait_connected(3)) << vpn.log();
    EXPECT_TRUE(answers(client(), addr::site4));
}

// ---- Decoys ----

/// Counts how often these files of a box are opened. The kernel notes it before open(2) returns; an
/// opening that has no effect on the file (O_PATH) is not noted.
class Openings {
  public:
    Openings(const Box& box, const std::vector<std::string>& paths)
        : notes_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
    {
        for (const auto& path : paths) {
            if (inotify_add_watch(notes_.get(), box.outside_path(path).c_str(), IN_OPEN) < 0) {
                throw LabError("cannot watch " + path);
            }
        }
    }

    /// Since the last call.
    std::size_t count()
    {
        alignas(inotify_event) std::array<char, 65536> notes{};
        std::size_t count = 0;
        for (ssize_t size = 0; (size = read(notes_.get(), notes.data(), notes.size())) > 0;) {
            count += static_cast<std::size_t>(size) / sizeof(inotify_event);
        }
        return count;
    }

  private:
    UniqueFd notes_;
};

/// Runs `command` to its end and tells what it took of the processor, in microseconds: its own
/// time and the kernel's for it.
int tell_time_of(const Command& command)
{
    std::vector<char*> argv;
    std::vector<char*> env;
    for (const auto& [words, pointers] : {std::pair(&command.argv, &argv), {&command.env, &env}}) {
        for (const auto& word : *words) {
            pointers->push_back(const_cast<char*>(word.c_str()));
        }
        pointers->push_back(nullptr);
    }
    const pid_t child = ::fork();
    if (child == 0) {
        execve(argv[0], argv.data(), env.data());
        _exit(127);
    }
    int status = 0;
    rusage usage{};
    wait4(child, &status, 0, &usage);
    const auto micros = [](const timeval& time) { return time.tv_sec * 1'000'000L + time.tv_usec; };
    std::printf("took %ld\n", micros(usage.ru_utime) + micros(usage.ru_stime));
    std::fflush(stdout);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/// Processes of a user that are called openvpn, and were started as an OpenVPN would be.
class Decoys : public Programs {
  protected:
    void SetUp() override
    {
        // Where programs may have their set-user-ID bit.
        client().must({"install", "-d", "-m", "755", "/usr/local/decoy"});
        client().must({"cp", "-L", "/bin/sh", program});
        client().must({"mkfifo", "-m", "666", "/usr/local/decoy/hold"});
        client().must({"install", "-d", "-o", "nobody", "-m", "755", "/tmp/files"});
    }

    /// Named openvpn, with these arguments, of a user.
    Process start(std::vector<std::string> arguments, bool is_set_user_id = false)
    {
        client().must({"chmod", is_set_user_id ? "4755" : "755", program});
        std::vector<std::string> argv = {program};
        if (is_set_user_id) {
            argv.emplace_back("-p");
        }
        argv.insert(argv.end(), {"-c", "echo ready; read x <>/usr/local/decoy/hold"});
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        Process decoy = client().start(Command(argv).as(nobody));
        EXPECT_TRUE(decoy.wait_for("ready")) << decoy.output();
        const std::string pid = std::to_string(decoy.inner_pid());
        EXPECT_THAT(client().must({"readlink", "/proc/" + pid + "/exe"}), HasSubstr("/openvpn"));
        EXPECT_EQ(client().must({"stat", "-c", "%u", "/proc/" + pid}),
                  is_set_user_id ? "0\n" : "65534\n");
        return decoy;
    }

    /// What the hook takes of the processor where it looks for clients to tell, in microseconds.
    long time_of_search()
    {
        lose_network();
        client().ip(std::string("route add default via ") + addr::gateway4 +
                    " dev eth0 metric 100\n");
        const Process hook = Process::fork(client(), [] { return tell_time_of(dispatcher_up()); });
        EXPECT_EQ(hook.wait(5 * patience), 0) << hook.output();
        const std::string out = hook.out();
        const auto found = out.find("took ");
        return found == std::string::npos ? -1 : std::stol(out.substr(found + 5));
    }

    long least_time_of_search()
    {
        long least = time_of_search();
        for (int i = 1; i < 5; ++i) {
            least = std::min(least, time_of_search());
        }
        return least;
    }

    static constexpr char program[] = "/usr/local/decoy/openvpn";
};

// Root that opens a FIFO lets its writer go on, and one that opens a watchdog starts its timer.
TEST_F(Decoys, OfAUserMakeNoHookOpenTheFilesThatTheyName)
{
    const std::vector<std::string> paths = {"/tmp/files/pipe", "/tmp/files/device",
                                            "/tmp/files/file.conf", "/tmp/files/link"};
    client().must({"mkfifo", "-m", "666", paths[0]});
    client().must({"mknod", "-m", "666", paths[1], "c", "1", "3"});
    client().write_file(paths[2], "remote 203.0.113.2 1194\nconfig /tmp/files/pipe\n", 0666);
    client().must({"ln", "-s", "pipe", paths[3]});
    std::vector<Process> decoys;
    for (const bool is_set_user_id : {false, true}) {
        for (const auto& path : paths) {
            decoys.push_back(start({"--config", path, "--ca", path}, is_set_user_id));
        }
    }
    lock();
    ASSERT_NO_FATAL_FAILURE(lose_network());
    Openings openings(client(), paths);
    ASSERT_NO_FATAL_FAILURE(find_network());
    EXPECT_EQ(openings.count(), 0U);
    client().must({"failclosed", "reapply"});
    client().run({"failclosed", "doctor"});
    EXPECT_EQ(openings.count(), 0U);
    for (const auto& path : paths) {
        client().must({"sh", "-c", ": <>" + path});
        EXPECT_EQ(openings.count(), 1U) << path;
    }
}

TEST_F(Decoys, OfAUserByTheThousandCostAHookLessThan10Milliseconds)
{
    constexpr std::size_t kDecoys = 1000;
    client().write_file("/tmp/files/big", std::string(1 << 20, '#'), 0644);
    std::string text = "remote 203.0.113.2 1194\n";
    for (int i = 0; i < 62; ++i) {
        text += "config /tmp/files/big\n";
    }
    client().write_file("/tmp/files/bomb.conf", text, 0644);
    lock();
    const long without = least_time_of_search();
    const Process decoys = client().start(Command{"sh", "-c",
                                                  "i=0; while [ $i -lt $0 ]; do i=$((i+1)); "
                                                  "$1 -c 'read x <>/usr/local/decoy/hold' --config "
                                                  "/tmp/files/bomb.conf & done; echo ready; wait",
                                                  std::to_string(kDecoys), program}
                                              .as(nobody));
    ASSERT_TRUE(decoys.wait_for("ready")) << decoys.output();
    ASSERT_TRUE(eventually([&] {
        return client().run({"pgrep", "-xc", "openvpn"}).out == std::to_string(kDecoys) + "\n";
    }));
    const long with = least_time_of_search();
    std::printf("a hook took %ld us without decoys, %ld us with a thousand\n", without, with);
    EXPECT_GT(without, 0);
    EXPECT_LT(with - without, 10'000);

    // Nor do they hold doctor up, or fill what it says.
    const std::string told = client().run({"failclosed", "doctor"}).out;
    const auto first = told.find("openvpn: ");
    EXPECT_NE(first, std::string::npos) << told;
    EXPECT_EQ(told.find("openvpn: ", first + 1), std::string::npos) << told;
    EXPECT_THAT(told, HasSubstr("user 65534"));
}

// ---- Without memory ----

struct NextEvent {
    const char* name;
    /// Tells the product of it; `vpn` runs, or has been killed.
    std::function<void(const Box& client, VpnClient& vpn)> happen;
    std::size_t own_signals = 0; ///< that `happen` sends itself
};

void PrintTo(const NextEvent& event, std::ostream* stream)
{
    *stream << event.name;
}

class WithoutMemory : public ::testing::TestWithParam<NextEvent> {
  protected:
    WithoutMemory()
        : lab_(with_product()), resolv_conf_(client().read_file("/etc/resolv.conf")), server_(lab_),
          sniffer_(lab_), traffic_(lab_, {.interval = 20ms})
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
        sniffer_.settle();
        sniffer_.reset();
        vpn_.emplace(lab_);
        ASSERT_TRUE(vpn_->wait_connected()) << vpn_->log();
    }

    void TearDown() override
    {
        EXPECT_TRUE(traffic_.wait_all_sent(10));
        sniffer_.settle();
        EXPECT_EQ(sniffer_.leaked(), 0U) << sniffer_.counts().text();
        vpn_.reset();
        EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
        EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_);
        EXPECT_TRUE(sniffer_.wait_until([](const Counts& seen) { return seen.leaked > 100; }));
    }

    const Box& client() const { return lab_.client(); }

    void forget() const
    {
        ASSERT_THAT(client().must({"ls", "-A", "/run/failclosed"}), Not(IsEmpty()));
        client().must({"rm", "-r", "/run/failclosed"});
    }

    void expect_closed() const
    {
        EXPECT_TRUE(client().run({"nft", "list", "table", "inet", "failclosed"}).ok());
        const Outcome check = failclosed(client(), {"check"});
        EXPECT_EQ(check.status, 0) << check.out << check.err;
    }

    Lab lab_;
    std::string resolv_conf_;
    VpnServer server_;
    Sniffer sniffer_;
    Traffic traffic_;
    std::optional<VpnClient> vpn_;
};

TEST_P(WithoutMemory, TheNextEventFindsTheTunnelAgain)
{
    const EchoFlow flow(lab_, addr::site4, 5ms);
    ASSERT_TRUE(flow.wait_answers(5));
    std::optional<SignalCounter> counter(std::in_place, client(), vpn_->process());
    ASSERT_NO_FATAL_FAILURE(forget());
    GetParam().happen(client(), *vpn_);
    if (GetParam().own_signals > 0) {
        ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    }
    ASSERT_TRUE(flow.wait_answers(20)) << vpn_->log();
    for (const char* address : {addr::site4, addr::site6, addr::inside4}) {
        EXPECT_TRUE(answers(client(), address)) << address;
    }
    EXPECT_THAT(client().read_file("/etc/resolv.conf"), HasSubstr(addr::inside4));
    EXPECT_THAT(failclosed(client(), {"status"}).out, HasSubstr("tun0"));
    expect_closed();

    // What was rebuilt is whole: a change of the underlay is told once, and the end is the end.
    client().ip("route replace default via 192.168.50.2 dev eth0 metric 100\n");
    client().must(reapply());
    ASSERT_TRUE(counter->wait_for(SIGHUP));
    vpn_->process().signal(SIGUSR2);
    ASSERT_TRUE(counter->wait_for(SIGUSR2));
    EXPECT_EQ(counter->count(SIGHUP), 1U);
    EXPECT_EQ(counter->count(SIGUSR1), GetParam().own_signals);
    ASSERT_TRUE(vpn_->wait_connected(2 + GetParam().own_signals)) << vpn_->log();
    ASSERT_TRUE(flow.wait_answers(5));
    counter.reset();
    vpn_->term();
    ASSERT_TRUE(vpn_->process().wait());
    EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_);
}

TEST_P(WithoutMemory, TheNextEventRestoresDnsIfTheTunnelIsGone)
{
    vpn_->kill();
    ASSERT_NO_FATAL_FAILURE(forget());
    ASSERT_THAT(client().read_file("/etc/resolv.conf"), HasSubstr(addr::inside4));
    GetParam().happen(client(), *vpn_);
    EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_);
    EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));
    EXPECT_FALSE(answers(client(), addr::site6, {"-W0.3"}));
    expect_closed();
}

/// A restart runs `down` and `up`; of a program that is gone, its `down` comes late.
void openvpn_calls(const Box& client, VpnClient& vpn)
{
    if (vpn.process().running()) {
        vpn.usr1();
        return;
    }
    client.must(with_exactly({hook_path, "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"},
                             {"script_type=down", "script_context=init", "dev=tun0", "dev_type=tun",
                              "ifconfig_local=10.8.0.2", "ifconfig_netmask=255.255.255.0",
                              "remote_1=203.0.113.2", "remote_port_1=1194", "proto_1=udp"}));
}

INSTANTIATE_TEST_SUITE_P(
    Events, WithoutMemory,
    ::testing::Values(
        NextEvent{"Dispatcher",
                  [](const Box& client, VpnClient&) { client.must(dispatcher_up()); }},
        NextEvent{"Dhcpcd", [](const Box& client, VpnClient&) { client.must(dhcpcd_bound()); }},
        NextEvent{"Reapply", [](const Box& client, VpnClient&) { client.must(reapply()); }},
        NextEvent{"Openvpn", openvpn_calls, 1}),
    [](const auto& test) { return std::string(test.param.name); });

} // namespace

} // namespace failclosed::lab
