// SPDX-License-Identifier: GPL-3.0-or-later
// Other owners of the kernel's firewall and routes: what they take away, and what still holds.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/networkd.hpp"
#include "tests/support/daemons/resolvers.hpp"

namespace failclosed::lab {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Outcomes held_by_each = {.firewall = Holds, .routing = Holds, .belt = Holds};

/// A program without protection sends into the clear as soon as its tunnel is away.
void break_tunnel(Target& target)
{
    target.vpn().kill();
}

/// The next hook, whichever it is.
void heal(Target& target)
{
    const Outcome outcome = failclosed(target.client(), {"reapply"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(failclosed(target.client(), {"check"}).status, 0);
}

/// Other people's programs are slow, and here five of each run at once.
constexpr std::chrono::seconds slow_programs{60};

void must_slowly(const Box& client, const Command& command)
{
    const Outcome outcome = client.run(command, slow_programs);
    if (!outcome.ok()) {
        throw LabError(command.argv.front() + ": " + outcome.err + outcome.out);
    }
}

/// Other people's firewalls one after the other on the same targets.
class Foreign : public ::testing::Test {
  protected:
    static void SetUpTestSuite() { targets_ = new Targets({.client = impatient()}); }

    static void TearDownTestSuite() { delete targets_; }

    static void expect(const Outcomes& outcomes, const Kinds& kinds,
                       const std::function<void(Target&)>& strike,
                       const std::function<void(Target&)>& mend = {})
    {
        expect_under_flood(outcomes, *targets_, kinds, strike, [&](Target& target) {
            if (mend) {
                mend(target);
            }
            if (target.guard() == Guard::All) {
                heal(target);
                target.set_has_to_leak(false);
                target.sniffer().settle();
                target.sniffer().reset();
                EXPECT_EQ(flood(target, ordinary_kinds() + bound_kinds(), 5), 0U)
                    << "after the next hook: " << target.sniffer().counts().text();
            } else if (target.guard() != Guard::None) {
                target.client().must({"failclosed", "reapply"});
                target.keep_guard();
            }
        });
    }

    /// Into every target, before anything runs in one: a program that is being written cannot be
    /// run, by whomever the writer's descriptor was inherited.
    static void unpack_everywhere(const std::string& package)
    {
        for (const Guard guard : every_guard) {
            unpack(targets_->of(guard).client(), package);
        }
    }

  private:
    static inline Targets* targets_ = nullptr;
};

// ---- nft ----

// systemd's nftables.service does the first when it stops, and loads the second when it starts.
const std::vector<Command> flushes = {{"nft", "flush", "ruleset"},
                                      {"nft", "-f", "/etc/nftables.conf"}};

class Flush : public Foreign, public ::testing::WithParamInterface<Command> {};

// Both tables go at once; the routing rules are no tables.
TEST_P(Flush, LeavesOrdinaryPacketsToTheRoutingRules)
{
    const Outcomes outcomes = {.firewall = Leaks, .routing = Holds, .belt = Leaks};
    expect(outcomes, ordinary_kinds(), [](Target& target) {
        target.client().must(GetParam());
        EXPECT_THAT(target.client().must({"nft", "list", "tables"}), Not(HasSubstr("failclosed")));
        break_tunnel(target);
    });
}

INSTANTIATE_TEST_SUITE_P(Nft, Flush, ::testing::ValuesIn(flushes), [](const auto& test) {
    return test.index == 0 ? "Ruleset" : "ByTheServicesFile";
});

// Until the next hook these are open: a limit, and how wide it is.
TEST_F(Foreign, AFlushLetsBoundSocketsOutUntilTheNextHook)
{
    const Outcomes outcomes = {.all = Leaks, .firewall = Leaks, .routing = Leaks, .belt = Leaks};
    const auto strike = [](Target& target) {
        // A neighbour who says of every address that it is his gets the packets themselves.
        target.isp().sysctl("net.ipv4.conf.lan0.proxy_arp", "1");
        target.isp().sysctl("net.ipv4.neigh.lan0.proxy_delay", "0");
        target.client().must({"nft", "flush", "ruleset"});
    };
    const auto mend = [](Target& target) {
        if (target.guard() == Guard::All) {
            std::printf("%s", target.sniffer().counts().text().c_str());
            for (const auto& [kind, count] : target.sniffer().counts().leaked_kinds) {
                EXPECT_EQ(kind.find("-source"), std::string::npos) << kind << " names no device";
            }
        }
        target.isp().sysctl("net.ipv4.conf.lan0.proxy_arp", "0");
        target.client().must({"ip", "neigh", "flush", "all"});
    };
    expect(outcomes, bound_kinds(), strike, mend);
}

TEST_F(Foreign, TheFirewallsTableIsDeletedAndTheBeltHolds)
{
    const Outcomes outcomes = {.firewall = Leaks, .routing = Leaks, .belt = Holds};
    expect(outcomes, bound_kinds(), [](Target& target) {
        target.client().run({"nft", "delete", "table", "inet", "failclosed"});
    });
}

TEST_F(Foreign, TheBeltsTableIsDeletedAndTheFirewallHolds)
{
    const Outcomes outcomes = {.firewall = Holds, .routing = Leaks, .belt = Leaks};
    expect(outcomes, bound_kinds(), [](Target& target) {
        target.client().run({"nft", "delete", "table", "netdev", "failclosed"});
    });
}

// A neighbour sends ARP queries for the tunnel's address.
TEST_F(Foreign, TheTableForArpIsDeletedAndTheBeltHolds)
{
    const Outcomes outcomes = {.firewall = Leaks, .routing = Leaks, .belt = Holds};
    expect(outcomes, {}, [](Target& target) {
        target.client().run({"nft", "delete", "table", "arp", "failclosed"});
        const Mac mac = mac_of(target.isp(), "lan0");
        const Frame question =
            ethernet({.from = mac}, 0x0806,
                     arp({.sender_mac = mac, .sender = addr::gateway4, .target = "10.8.0.2"}));
        for (int i = 0; i < 3; ++i) {
            send_frame(target.isp(), "lan0", question);
        }
        // What comes after it on the wire shows that it was heard.
        EXPECT_TRUE(answers(target.isp(), addr::client4));
    });
}

// ---- nftables.service, as systemd runs it ----

constexpr char nftables_drop_in[] = "nftables.service.d/failclosed.conf";

/// The commands of these settings, in the order in which systemd runs them: those of Debian's unit,
/// then those of our drop-in.
void run_nftables_service(const Box& client, const std::vector<std::string>& settings)
{
    for (const auto& setting : settings) {
        auto commands = unit_values(client, "nftables.service", setting);
        if (client.exists(std::string("/usr/lib/systemd/system/") + nftables_drop_in)) {
            const auto more = unit_values(client, nftables_drop_in, setting);
            commands.insert(commands.end(), more.begin(), more.end());
        }
        for (const auto& command : commands) {
            const Outcome outcome = run_unit_command(client, command);
            EXPECT_EQ(outcome.status, 0) << command << outcome.err;
        }
    }
}

using Settings = std::vector<std::string>;
const std::vector<std::pair<const char*, Settings>> orders = {
    {"Start", {"ExecStart", "ExecStartPost"}},
    {"Reload", {"ExecReload"}},
    {"Stop", {"ExecStop", "ExecStopPost"}},
    {"Restart", {"ExecStop", "ExecStopPost", "ExecStart", "ExecStartPost"}},
};

class NftablesService : public ::testing::TestWithParam<std::pair<const char*, Settings>> {};

// The routing rules hold until the whole firewall is back, which is before systemctl(1) returns.
TEST_P(NftablesService, LeavesTheMachineClosed)
{
    Target target(Guard::All, {.client = impatient()});
    const Box& client = target.client();
    ASSERT_EQ(unit_values(client, "nftables.service", "ExecStop"),
              Settings{"/usr/sbin/nft flush ruleset"});

    const auto leaked = flood_during(target, ordinary_kinds(), [&] {
        break_tunnel(target);
        for (int i = 0; i < 5; ++i) {
            client.must({"nft", "add", "table", "inet", "own"});
            run_nftables_service(client, GetParam().second);
            EXPECT_THAT(client.must({"nft", "list", "tables"}), Not(HasSubstr("inet own")));
            EXPECT_EQ(failclosed(client, {"check"}).status, 0);
        }
    });

    EXPECT_EQ(leaked, 0U) << target.sniffer().counts().text();
    // Nor do the sockets that the routing rules do not hold.
    EXPECT_EQ(flood(target, bound_kinds(), 5), 0U) << target.sniffer().counts().text();
}

TEST_P(NftablesService, WithoutTheDropInLeavesTheMachineNotClosed)
{
    Target target(Guard::All, {.client = impatient()});
    const Box& client = target.client();
    client.must({"rm", std::string("/usr/lib/systemd/system/") + nftables_drop_in});
    run_nftables_service(client, GetParam().second);
    EXPECT_EQ(failclosed(client, {"check"}).status, 2);
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr("NOT CLOSED"));
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr("bad   nftables-hook"));
}

TEST_P(NftablesService, LeavesAnOpenMachineOpen)
{
    const Lab lab(with_product());
    run_nftables_service(lab.client(), GetParam().second);
    EXPECT_THAT(lab.client().must({"nft", "list", "tables"}), Not(HasSubstr("failclosed")));
    EXPECT_TRUE(answers(lab.client(), addr::site4));
}

INSTANTIATE_TEST_SUITE_P(Debian, NftablesService, ::testing::ValuesIn(orders),
                         [](const auto& test) { return std::string(test.param.first); });

// A firewall is not to fail because of us, but the journal has to tell.
TEST(NftablesDropIn, FailsNoUnitAndNeedsNoWritableSystem)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    for (const char* setting : {"ExecStartPost", "ExecReload", "ExecStopPost"}) {
        EXPECT_EQ(unit_values(client, nftables_drop_in, setting),
                  Settings{"-+/usr/sbin/failclosed reapply --quiet"});
    }
    // Without '+' it would run with a read-only /etc.
    EXPECT_EQ(unit_values(client, "nftables.service", "ProtectSystem"), Settings{"full"});
    client.must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    client.must({"nft", "flush", "ruleset"});
    client.write_file("/etc/failclosed/failclosed.conf", "no key file");
    const Outcome told = failclosed(client, {"reapply", "--quiet"});
    EXPECT_EQ(told.status, 1);
    EXPECT_THAT(told.err, HasSubstr("failclosed.conf"));
    client.must({"nft", "flush", "ruleset"});
    run_nftables_service(client, {"ExecStartPost"});
    EXPECT_THAT(client.must({"nft", "list", "tables"}), HasSubstr("inet failclosed"));
    // Nor when failclosed was removed.
    client.must({"rm", "/usr/sbin/failclosed"});
    run_nftables_service(client, {"ExecStartPost"});
}

// ---- iptables, and what is made of it ----

void run_all(const Box& client, const std::vector<std::string>& lines)
{
    for (const auto& line : lines) {
        client.must({"sh", "-c", line});
    }
}

const std::vector<std::string> flush_iptables = {
    "for i in iptables ip6tables; do for t in filter nat mangle raw; do $i -w -t $t -F; $i -w -t "
    "$t -X; "
    "done; for c in INPUT FORWARD OUTPUT; do $i -w -P $c ACCEPT; done; done",
    "for i in iptables ip6tables; do printf '*filter\\n:INPUT ACCEPT\\n:FORWARD ACCEPT\\n:OUTPUT "
    "ACCEPT\\n"
    "-A OUTPUT -j ACCEPT\\nCOMMIT\\n' | $i-restore; $i -w -F; done",
};

TEST_F(Foreign, IptablesIsFlushed)
{
    expect(held_by_each, ordinary_kinds(), [](Target& target) {
        target.client().must({"iptables", "-A", "OUTPUT", "-d", "192.0.2.7", "-j", "DROP"});
        break_tunnel(target);
        run_all(target.client(), flush_iptables);
        EXPECT_THAT(target.client().must({"iptables", "-S"}), Not(HasSubstr("192.0.2.7")));
    });
}

/// What dockerd loads at its start for its default bridge.
const std::vector<std::string> docker_rules = {
    "iptables -w -t nat -N DOCKER",
    "iptables -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "iptables -w -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "iptables -w -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "for c in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do "
    "iptables -w -N $c; done",
    "iptables -w -P FORWARD DROP",
    "iptables -w -A FORWARD -j DOCKER-USER",
    "iptables -w -A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "iptables -w -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "iptables -w -A FORWARD -o docker0 -j DOCKER",
    "iptables -w -A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "iptables -w -A FORWARD -i docker0 -o docker0 -j ACCEPT",
    "iptables -w -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
    "iptables -w -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
    "echo 1 >/proc/sys/net/ipv4/ip_forward",
};

TEST_F(Foreign, DockerStartsAndItsContainerSends)
{
    const auto strike = [](Target& target) {
        const Box container("container");
        target.client().ip("link add docker0 type bridge\naddr add 172.17.0.1/16 dev docker0\n"
                           "link add veth0 type veth peer name eth0 netns /proc/self/fd/" +
                               std::to_string(container.network()) +
                               "\nlink set veth0 master docker0\nlink set veth0 up\n"
                               "link set docker0 up\n",
                           container.network());
        container.ip("link set lo up\naddr add 172.17.0.2/16 dev eth0\nlink set eth0 up\n"
                     "route add default via 172.17.0.1\n");
        run_all(target.client(), docker_rules);
        // One answer may be lost in what all the others send.
        const auto is_answered = [&] { return answers(container, addr::site4, {"-W1"}); };
        if (target.guard() == Guard::All) {
            EXPECT_TRUE(eventually(is_answered)) << "through the tunnel";
        }
        break_tunnel(target);
        target.keep_guard();
        if (target.guard() == Guard::None) {
            EXPECT_TRUE(eventually(is_answered)) << "past the tunnel";
        }
        for (int i = 0; i < 3 && target.guard() != Guard::None; ++i) {
            EXPECT_FALSE(answers(container, addr::site4, {"-W0.1"}));
        }
    };
    expect(held_by_each, ordinary_kinds(), strike, [](Target& target) {
        run_all(target.client(), {"ip link del docker0", "echo 0 >/proc/sys/net/ipv4/ip_forward",
                                  "iptables -w -t nat -F", "iptables -w -P FORWARD ACCEPT",
                                  "iptables -w -F", "iptables -w -X", "iptables -w -t nat -X"});
    });
}

// ---- The real ones ----

TEST_F(Foreign, FirewalldStartsReloadsAndStops)
{
    const auto strike = [](Target& target) {
        const Box& client = target.client();
        SystemBus bus(client);
        break_tunnel(target);
        const Process daemon = client.start({"firewalld", "--nofork", "--nopid"});
        ASSERT_TRUE(bus.wait_for_name("org.fedoraproject.FirewallD1", slow_programs))
            << daemon.output();
        for (const char* order : {"--reload", "--complete-reload"}) {
            must_slowly(client, {"firewall-cmd", order});
            EXPECT_TRUE(client.run({"nft", "list", "table", "inet", "firewalld"}).ok()) << order;
        }
        // What others have loaded by iptables it flushes up to version 1.3, and leaves since then;
        // neither says anything about tables of others.
        daemon.signal(SIGTERM);
        EXPECT_TRUE(daemon.wait(slow_programs)) << daemon.output();
        EXPECT_FALSE(client.run({"nft", "list", "table", "inet", "firewalld"}).ok());
    };
    unpack_everywhere("firewalld");
    expect(held_by_each, ordinary_kinds(), strike);
}

TEST_F(Foreign, UfwIsEnabledDisabledAndFlushed)
{
    const auto strike = [](Target& target) {
        const Box& client = target.client();
        // As its package does when it is installed.
        client.must(
            {"sh", "-c", "cp /usr/share/ufw/ufw.conf /usr/share/ufw/iptables/*.rules /etc/ufw"});
        break_tunnel(target);
        must_slowly(client, {"ufw", "--force", "enable"});
        EXPECT_THAT(client.must({"iptables", "-S"}), HasSubstr("ufw-before-output"));
        must_slowly(client, {"ufw", "disable"});
        must_slowly(client, {"/lib/ufw/ufw-init", "flush-all"});
    };
    unpack_everywhere("ufw");
    expect(held_by_each, ordinary_kinds(), strike);
}

// ---- Routes and rules ----

constexpr char default_rules[] = "rule flush\nrule add pref 0 lookup local\n"
                                 "rule add pref 32766 lookup main\n";

TEST_F(Foreign, RoutingRulesAreFlushedAndTheKernelsOwnPutBack)
{
    const Outcomes outcomes = {.firewall = Holds, .routing = Leaks, .belt = Holds};
    expect(outcomes, ordinary_kinds(), [](Target& target) {
        for (const char* family : {"-4", "-6"}) {
            const Command flush = Command{"ip", family, "-batch", "-"}.with_input(default_rules);
            target.client().must(flush);
            target.client().must({"ip", family, "route", "flush", "cache"});
        }
        break_tunnel(target);
    });
}

TEST_F(Foreign, OurRoutingTablesAreFlushed)
{
    const auto strike = [](Target& target) {
        for (const char* family : {"-4", "-6"}) {
            for (const char* table : {"64599", "64600", "64601"}) {
                target.client().run({"ip", family, "route", "flush", "table", table});
            }
        }
        // What it sends to a port that nobody has any more the kernel answers as root, whose
        // packets take OpenVPN's own route to the server now, past lock 2.
        target.server().process().signal(SIGSTOP);
        break_tunnel(target);
    };
    expect(held_by_each, ordinary_kinds(), strike,
           [](Target& target) { target.server().process().signal(SIGCONT); });
}

// ---- Every unit is stopped ----

void stop_openvpn(Target& target)
{
    target.vpn().term();
    EXPECT_TRUE(target.vpn().process().wait()) << target.vpn().log();
}

void stop_nftables(Target& target)
{
    target.client().must(flushes.front());
}

void restart_network(Target& target)
{
    target.client().ip("link set eth0 down\nlink set eth0 up\n"
                       "addr replace 2001:db8:50::10/64 dev eth0 nodad\n"
                       "route replace default via 192.168.50.1 dev eth0 metric 100\n"
                       "route replace ::/0 via fe80::1 dev eth0 metric 100\n");
}

TEST_F(Foreign, UnitsAreStoppedInEveryOrder)
{
    const Outcomes outcomes = {.firewall = Leaks, .routing = Holds, .belt = Leaks};
    expect(outcomes, ordinary_kinds(), [](Target& target) {
        std::array<void (*)(Target&), 3> stops = {stop_nftables, stop_openvpn, restart_network};
        std::ranges::sort(stops);
        do {
            for (const auto stop : stops) {
                stop(target);
                target.keep_guard();
            }
            connect_again(target);
        } while (target.guard() == Guard::All && std::next_permutation(stops.begin(), stops.end()));
        stop_openvpn(target);
        stop_nftables(target);
        if (target.guard() == Guard::All) {
            // Ours has nothing that is run when it is stopped.
            EXPECT_THAT(
                target.client().read_file("/usr/lib/systemd/system/failclosed-lock.service"),
                Not(HasSubstr("\nExecStop")));
        }
    });
}

} // namespace

} // namespace failclosed::lab
