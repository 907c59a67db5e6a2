// SPDX-License-Identifier: GPL-3.0-or-later
// The moments between: before the lock, between two tunnels, while a hook runs, after a sleep.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/support/lab/stepper.hpp"
#include "tests/support/traffic/tag.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char management[] = "/run/management";

constexpr char slow_hook[] = "/etc/openvpn/slow";

/// A hook that, while /run/slow exists, creates /run/waiting and waits for a write to /run/pipe.
constexpr char slow_hook_text[] = "#!/bin/sh\n"
                                  "[ -e /run/slow ] && { : >/run/waiting; read x </run/pipe; }\n"
                                  "exec /usr/lib/failclosed/openvpn-hook \"$@\"\n";

Target::Options managed_server()
{
    Target::Options options;
    options.server.extra = {std::string("management ") + management + " unix",
                            "client-config-dir /tmp"};
    options.client = impatient();
    // Programs are written before there are threads: what any child process holds open for writing
    // cannot be run.
    options.prepare = [](Lab& lab) { lab.client().write_file(slow_hook, slow_hook_text, 0755); };
    return options;
}

/// Whether the kernel has noticed that the device has a carrier, which it does in its own time;
/// what is sent before is dropped.
bool carries(const Box& box, const std::string& device)
{
    return box.must({"ip", "link", "show", "dev", device}).find("state UP") != std::string::npos;
}

/// The same of a bridge's port.
bool forwards(const Box& box, const std::string& port)
{
    return box.read_file("/sys/class/net/" + port + "/brport/state") == "3\n";
}

/// Attacks one after the other on the same targets; each ends with a tunnel that works.
class Moment : public ::testing::Test {
  protected:
    static void SetUpTestSuite() { targets_ = new Targets(managed_server()); }

    static void TearDownTestSuite() { delete targets_; }

    static void expect(const Outcomes& outcomes, const std::function<void(Target&)>& strike,
                       const Kinds& kinds = ordinary_kinds(),
                       const std::function<void(Target&)>& mend = {})
    {
        expect_under_flood(outcomes, *targets_, kinds, strike, mend);
    }

    static inline Targets* targets_ = nullptr;
};

// ---- The tunnel goes, and comes back ----

constexpr Outcomes held_by_each = {.firewall = Holds, .routing = Holds, .belt = Holds};

TEST_F(Moment, TheDeviceIsDeleted)
{
    expect(
        held_by_each, [](Target& target) { target.client().ip("link del tun0\n"); },
        ordinary_kinds() + connected_kinds());
}

TEST_F(Moment, TheRoutesAreDeletedAndTheDeviceIsSetDownUnderLiveFlows)
{
    expect(
        held_by_each,
        [](Target& target) {
            target.client().ip("route del 0.0.0.0/1\nroute del 128.0.0.0/1\n"
                               "route del ::/3\nroute del 2000::/4\n");
            if (target.guard() == Guard::All) {
                EXPECT_TRUE(target.tunnel_works(addr::site4));
            }
            target.client().ip("link set tun0 down\n");
        },
        connected_kinds());
}

TEST_F(Moment, TheServerDiesAndOpenvpnGivesUp)
{
    expect(
        held_by_each,
        [](Target& target) {
            const VpnClient& vpn = target.vpn();
            // Longer than hand-window: in a handshake that gets stuck it hears nothing either.
            target.client().write_file(
                vpn.config_path(), "pull-filter ignore ping-restart\nping-exit 6\n" + vpn.config());
            connect_again(target);
            target.server().kill();
            ASSERT_TRUE(vpn.process().wait(40s)) << vpn.log();
        },
        ordinary_kinds(),
        [](Target& target) {
            target.client().write_file(target.vpn().config_path(), target.vpn().config());
            target.server().start();
        });
}

/// Tells OpenVPN's server to do it to every client that there may be.
void manage(const Box& box, const std::string& order)
{
    const bool told = box.in([&] {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::copy_n(management, sizeof management, address.sun_path);
        std::string lines;
        for (int client = 0; client < 32; ++client) {
            lines += "client-kill " + std::to_string(client) + " " + order + "\n";
        }
        const bool sent =
            connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
            send(fd, lines.data(), lines.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(lines.size());
        // Until it has answered the last one.
        std::string answers;
        char part[4096];
        while (sent && std::count(answers.begin(), answers.end(), '\n') < 33) {
            const ssize_t size = recv(fd, part, sizeof part, 0);
            if (size <= 0) {
                break;
            }
            answers.append(part, static_cast<std::size_t>(size));
        }
        close(fd);
        return answers.find("SUCCESS") != std::string::npos;
    });
    ASSERT_TRUE(told);
}

TEST_F(Moment, TheServerOrdersTheEnd)
{
    expect(held_by_each, [](Target& target) {
        manage(target.lab().internet(), "HALT");
        ASSERT_TRUE(target.vpn().process().wait()) << target.vpn().log();
        EXPECT_THAT(target.vpn().log(), HasSubstr("halt"));
    });
}

// ---- The same name, another tunnel ----

TEST_F(Moment, OpenvpnStartsAnewAndGetsAnotherAddress)
{
    const std::string path = "/tmp/DEFAULT";
    expect(
        held_by_each,
        [&](Target& target) {
            target.lab().internet().write_file(path, "ifconfig-push 10.8.0.77 255.255.255.0\n");
            const std::size_t before = target.vpn().connections();
            target.vpn().hup();
            ASSERT_TRUE(target.vpn().wait_connected(before + 1, 40s)) << target.vpn().log();
            EXPECT_THAT(target.client().must({"ip", "-4", "address", "show", "dev", "tun0"}),
                        HasSubstr("10.8.0.77/24"));
            if (target.guard() == Guard::All) {
                EXPECT_EQ(failclosed(target.client(), {"check"}).status, 0);
                // The address that it had is no longer one of the tunnel's.
                target.client().ip("addr add 10.8.0.2/32 dev tun0\n");
                EXPECT_FALSE(answers(target.client(), addr::inside4, {"-W0.2", "-I10.8.0.2"}));
                // The flood fills the tunnel's queue at times.
                EXPECT_TRUE(eventually(
                    [&] { return answers(target.client(), addr::inside4, {"-i0.2", "-w5"}); }));
            }
        },
        ordinary_kinds(),
        [&](Target& target) { target.lab().internet().must({"rm", "-f", path}); });
}

/// Another VPN's program: holds tun0 and says "heard" of each packet of ours that comes into it.
int listen_in_the_tunnel()
{
    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    ifreq request{};
    std::strcpy(request.ifr_name, "tun0");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &request) != 0) {
        return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    std::array<std::uint8_t, 65536> packet;
    for (ssize_t size = 0; (size = read(fd, packet.data(), packet.size())) >= 0;) {
        if (find_tag({packet.data(), static_cast<std::size_t>(size)}) >= 0) {
            std::puts("heard");
            std::fflush(stdout);
        }
    }
    return 0;
}

// An unannounced tunnel in place of the former one: no packet goes into it. The belt has no chain
// for a tunnel's name.
TEST_F(Moment, AnotherProgramTakesTheTunnelsName)
{
    const Outcomes outcomes = {.firewall = Holds, .routing = Holds, .belt = Leaks};
    expect_outcomes(outcomes, *targets_, [](Target& target) {
        const Box& client = target.client();
        target.vpn().kill();
        const Process stranger = Process::fork(client, listen_in_the_tunnel);
        EXPECT_TRUE(stranger.wait_for("ready"));
        client.ip("link set tun0 up\naddr add 10.9.9.2/24 dev tun0\n"
                  "addr add fd00:9::2/64 dev tun0 nodad\n"
                  "route add 0.0.0.0/1 dev tun0\nroute add 128.0.0.0/1 dev tun0\n"
                  "route add 2000::/3 dev tun0 metric 1\n");
        flood(target, ordinary_kinds());
        if (target.guard() == Guard::None || target.guard() == Guard::Belt) {
            EXPECT_TRUE(stranger.wait_for("heard"));
        } else {
            EXPECT_EQ(stranger.count("heard"), 0U);
        }
        if (target.guard() == Guard::All) {
            // A hook that finds the name, and not the addresses.
            failclosed(client, {"reapply"});
            flood(target, ordinary_kinds());
            EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
        }
        const auto heard = stranger.count("heard");
        stranger.kill();
        connect_again(target);
        return heard;
    });
}

// The name and the address that are known as the tunnel's, on a device that leads to the wire.
TEST_F(Moment, AForeignDeviceTakesTheTunnelsNameAndAddress)
{
    const Outcomes outcomes = {.firewall = Leaks, .routing = Leaks, .belt = Holds};
    const auto strike = [](Target& target) {
        target.vpn().kill();
        const Box& client = target.client();
        // As on most machines: bridged packets pass no IP rules.
        client.run(
            {"sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$f; done"});
        client.ip("link add tun0 type veth peer name leg0\nlink add br0 type bridge\n"
                  "link set leg0 master br0\nlink set eth0 master br0\nlink set leg0 up\n"
                  "link set br0 up\nlink set tun0 up\naddr add 10.8.0.2/24 dev tun0\n"
                  "route replace default dev tun0 metric 1\n"
                  "neigh replace 198.51.100.21 lladdr 02:00:00:00:00:01 dev tun0\n");
        EXPECT_TRUE(eventually([&] {
            return carries(client, "tun0") && carries(client, "br0") && forwards(client, "leg0") &&
                   forwards(client, "eth0");
        }));
        target.keep_guard();
        // A remote host whose neighbour's hardware address is known, and one for which ARP must
        // query it.
        for (const char* to : {"198.51.100.21", addr::site4}) {
            answers(client, to, {"-W0.2", "-Itun0"});
        }
    };
    const auto mend = [](Target& target) {
        if (target.guard() == Guard::All) {
            const Outcome outcome = failclosed(target.client(), {"reapply"});
            EXPECT_EQ(target.client().must({"failclosed", "status"}).find("tunnel tun0"),
                      std::string::npos)
                << outcome.err;
        }
        target.client().ip("link del br0\nlink del tun0\n");
    };
    expect(outcomes, strike, ordinary_kinds(), mend);
}

// ---- The machine sleeps ----

// What its distribution does then: links go down and up, and every OpenVPN is started anew.
TEST_F(Moment, TheMachineSleepsAndWakesInANetworkOfSeveralRouters)
{
    const auto strike = [](Target& target) {
        target.vpn().process().signal(SIGSTOP);
        target.client().ip("link set eth0 down\nlink set eth0 up\n"
                           "addr replace 2001:db8:50::10/64 dev eth0 nodad\n"
                           "route add ::/0 via fe80::1 dev eth0 metric 100\n"
                           "route add default metric 50 nexthop via 192.168.50.1 dev eth0 weight 2 "
                           "nexthop via 192.168.50.2 dev eth0 onlink weight 1\n"
                           "route append default via 192.168.50.2 dev eth0 metric 60 proto 99\n");
        connect_again(target);
        if (target.guard() == Guard::All) {
            EXPECT_TRUE(target.tunnel_works(addr::site4));
        }
    };
    expect(held_by_each, strike, ordinary_kinds(), [](Target& target) {
        target.client().ip("route del default metric 50\nroute del default metric 60\n"
                           "route add default via 192.168.50.1 dev eth0 metric 100\n");
    });
}

// ---- Kernel parameters are changed ----

TEST_F(Moment, KernelParametersAreLoosened)
{
    const std::vector<std::pair<std::string, std::string>> settings = {
        {"net.ipv4.conf.all.rp_filter", "2"},
        {"net.ipv4.conf.all.rp_filter", "0"},
        {"net.ipv4.conf.eth0.rp_filter", "0"},
        {"net.ipv4.conf.all.accept_redirects", "1"},
        {"net.ipv4.conf.all.secure_redirects", "0"},
        {"net.ipv4.conf.all.send_redirects", "1"},
        {"net.ipv4.conf.all.accept_source_route", "1"},
        {"net.ipv4.conf.all.arp_ignore", "0"},
        {"net.ipv4.conf.all.arp_announce", "0"},
        {"net.ipv4.conf.all.accept_local", "1"},
        {"net.ipv4.conf.all.route_localnet", "1"},
        {"net.ipv4.ip_nonlocal_bind", "1"},
        {"net.ipv4.ip_forward", "1"},
        {"net.ipv6.conf.all.forwarding", "1"},
        {"net.ipv6.conf.all.accept_redirects", "1"},
        {"net.ipv4.fwmark_reflect", "1"},
        {"net.ipv4.tcp_fwmark_accept", "1"},
        // The last two together: where sources are validated, answers of servers need their mark.
        {"net.ipv4.conf.all.rp_filter", "1"},
        {"net.ipv4.conf.all.src_valid_mark", "0"},
    };
    // Sockets that name the device: without the firewall the wire is asked for their target.
    const Outcomes outcomes = {.firewall = Holds, .routing = Leaks, .belt = Holds};
    std::map<Guard, std::map<std::string, std::string>> earlier;
    for (const Guard guard :
         {Guard::None, Guard::All, Guard::Firewall, Guard::Routing, Guard::Belt}) {
        earlier[guard];
    }
    const auto strike = [&](Target& target) {
        for (const auto& [key, value] : settings) {
            std::string path = "/proc/sys/" + key;
            std::ranges::replace(path, '.', '/');
            earlier.at(target.guard()).emplace(key, target.client().read_file(path));
            target.client().sysctl(key, value);
            // A socket of its own, begun under this setting.
            answers(target.client(), addr::site4, {"-W0.05", "-Ieth0"});
            if (target.guard() == Guard::All) {
                const bool works = key != "net.ipv4.conf.all.src_valid_mark";
                EXPECT_TRUE(works ? target.tunnel_works()
                                  : !answers(target.client(), addr::inside4, {"-W0.5"}))
                    << key;
            }
        }
        if (target.guard() == Guard::All) {
            EXPECT_EQ(failclosed(target.client(), {"reapply"}).status, 0);
            EXPECT_TRUE(target.tunnel_works());
        }
    };
    expect(outcomes, strike, bound_kinds(), [&](Target& target) {
        for (const auto& [key, value] : earlier.at(target.guard())) {
            target.client().sysctl(key, value.substr(0, value.find('\n')));
        }
    });
}

// ---- Hooks that are slow ----

// NetworkManager and OpenVPN wait for them, the machine's programs do not.
TEST_F(Moment, TheHookIsSlow)
{
    const auto strike = [](Target& target) {
        const Box& client = target.client();
        target.vpn().kill();
        if (target.guard() == Guard::None) {
            return;
        }
        client.must({"ln", "-sf", slow_hook, hook_path});
        client.must({"sh", "-c", "rm -f /run/waiting; : >/run/slow; mkfifo /run/pipe"});
        target.vpn().start();
        EXPECT_TRUE(eventually([&] { return client.exists("/run/waiting"); }, 40s));
        EXPECT_TRUE(client.exists("/sys/class/net/tun0"));
    };
    const auto mend = [](Target& target) {
        if (target.guard() == Guard::None) {
            return;
        }
        const std::size_t before = target.vpn().connections();
        target.client().must({"sh", "-c", "rm /run/slow; echo >/run/pipe; rm /run/pipe"});
        EXPECT_TRUE(target.vpn().wait_connected(before + 1, 40s)) << target.vpn().log();
        target.client().must({"ln", "-sf", "/usr/lib/failclosed/openvpn-hook", hook_path});
    };
    expect(held_by_each, strike, ordinary_kinds(), mend);
}

// ---- Devices that appear ----

/// What gets out by the second uplink, asked for by its name.
std::uint64_t out_by_the_second(Target& target, Sniffer& sniffer,
                                const std::vector<std::string>& hosts = {addr::site4, addr::site6})
{
    sniffer.settle();
    sniffer.reset();
    for (const auto& host : hosts) {
        answers(target.client(), host, {"-W0.2", "-Ieth1"});
    }
    sniffer.settle();
    return sniffer.leaked();
}

/// What udev has run for each device that appears.
void announce(Target& target)
{
    const Outcome outcome = failclosed(target.client(), {"reapply", "--quiet"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    target.keep_guard();
}

/// What a run asks of the kernel.
const std::set<long> questions = {SYS_sendto};

std::size_t questions_of_a_run(const Box& client, const Command& command)
{
    Stepper run(client, command, questions);
    while (!run.ended()) {
        run.step();
    }
    return run.calls();
}

// A run looks at the devices once: one that appears after that has no belt before the next run,
// which udev's rule starts for it.
TEST(Appearing, DeviceWhileAHookRuns)
{
    const Outcomes outcomes = {.firewall = Holds, .routing = Leaks, .belt = Leaks};
    expect_outcomes(outcomes, [](Target& target) {
        Sniffer sniffer(target.lab(), {}, "lan1");
        const auto plug_in = [&] {
            target.lab().second_uplink_up();
            EXPECT_TRUE(eventually([&] { return carries(target.client(), "eth1"); }));
        };
        if (target.guard() == Guard::None) {
            plug_in();
            return out_by_the_second(target, sniffer);
        }
        const Command reapply{"failclosed", "reapply"};
        // One that has nothing to heal, as the one that is counted and the one that is stopped.
        target.client().must(reapply);
        const std::size_t last = questions_of_a_run(target.client(), reapply);
        Stepper run(target.client(), reapply, questions);
        while (run.calls() < last && run.step()) {
        }
        EXPECT_FALSE(run.ended());
        plug_in();
        EXPECT_EQ(run.finish(), 0) << run.err();
        target.keep_guard();
        const auto leaked = out_by_the_second(target, sniffer);
        announce(target);
        // Others, for which the wire was not asked yet.
        const auto later = out_by_the_second(target, sniffer, {addr::resolver4, addr::resolver6});
        EXPECT_EQ(later > 0, target.guard() == Guard::Routing) << sniffer.counts().text();
        return leaked;
    });
}

// From power-on: there is no device yet, and programs send from before there is one.
TEST(Appearing, DevicesAfterTheLockOfTheBoot)
{
    Target::Options options;
    options.lab.link_up = false;
    options.begin = false;
    const Outcomes outcomes = {.firewall = Holds, .routing = Holds, .belt = Leaks, .alive = false};
    expect_outcomes(
        outcomes,
        [](Target& target) {
            if (target.guard() != Guard::None) {
                EXPECT_EQ(failclosed(target.client(), {"lock", "--boot"}).status, 0);
                target.keep_guard();
            }
            const auto leaked = flood_during(target, ordinary_kinds(), [&] {
                target.lab().link_up();
                // The kernel may take a second until a new device carries anything.
                EXPECT_TRUE(eventually(
                    [&] { return answers(target.client(), addr::gateway4, {"-W0.1"}); }));
            });
            if (target.guard() != Guard::None) {
                announce(target);
                target.sniffer().settle();
                target.sniffer().reset();
                EXPECT_EQ(flood(target, ordinary_kinds()), 0U) << to_string(target.guard());
            }
            return leaked;
        },
        options);
}

} // namespace

} // namespace failclosed::lab
