// SPDX-License-Identifier: GPL-3.0-or-later
// `unlock` puts every byte back in a machine that had rules, routes, settings and files of its own.
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"

namespace failclosed::lab {

namespace {

constexpr char foreign_rules[] = R"(
table inet mine {
    set hosts {
        type ipv4_addr; flags interval
        elements = { 192.0.2.0/24, 198.51.100.7 }
    }
    map ports {
        type inet_service : verdict
        elements = { 22 : accept, 23 : drop }
    }
    chain input {
        type filter hook input priority 5; policy accept;
        ip saddr @hosts counter packets 7 bytes 700 drop comment "not ours"
        tcp dport vmap @ports
    }
}
table ip nat {
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        ip saddr 172.20.0.0/16 oifname "eth9" masquerade
    }
}
table ip6 failclosed_not {
    chain empty {
    }
}
table arp filter {
    chain in {
        type filter hook input priority 0; policy accept;
    }
}
)";

// Priorities of ours among them: only the protocol tells.
constexpr char foreign_routes[] = "rule add pref 100 from 10.66.0.0/16 lookup 100\n"
                                  "rule add pref 5010 from 10.67.0.0/16 lookup 100\n"
                                  "rule add pref 5000 to 10.68.0.0/16 lookup main\n"
                                  "route add 192.0.2.0/24 via 192.168.50.9 table 100\n"
                                  "route add blackhole 10.69.0.0/16 metric 7\n"
                                  "route add unreachable 10.70.0.0/16 table 64700\n"
                                  "route add 2001:db8:66::/48 via fe80::1 dev eth0 table 100\n"
                                  "route add blackhole 2001:db8:67::/48\n"
                                  "neigh add 192.168.50.77 lladdr 02:00:00:00:00:77 dev eth0\n";

constexpr char odd_resolv_conf[] = "# by hand\r\n\nnameserver 192.168.50.1 ; the ISP's\n"
                                   "options timeout:1\nsearch lan.example\n#no newline";
constexpr char odd_hosts[] = "127.0.0.1\tlocalhost\r\n\n  # by somebody\n"
                             "203.0.113.2 vpn.example.net # mine\n::1 ip6-localhost";

/// Every kernel parameter of the network, but the one that counts.
std::string sysctls(const Box& client)
{
    return client.must({"sh", "-c",
                        "cd /proc/sys/net && find . -type f ! -name nf_conntrack_count |"
                        " sort | xargs grep -H . 2>/dev/null; true"});
}

std::string file(const Box& client, const std::string& path)
{
    const std::string quoted = "'" + path + "'";
    return client.must({"sh", "-c",
                        "stat -c '%n %F %a %u %g' " + quoted + "; stat -L -c '%F %a %u %g' " +
                            quoted + "; readlink " + quoted + "; cat " + quoted});
}

struct Before {
    std::string kernel;
    std::string sysctls;
    std::string resolv_conf;
    std::string hosts;

    explicit Before(const Box& client)
        : kernel(kernel_state(client)), sysctls(lab::sysctls(client)),
          resolv_conf(file(client, "/etc/resolv.conf")), hosts(file(client, "/etc/hosts"))
    {
    }
};

class Unlock : public ::testing::Test {
  protected:
    Unlock() : lab_(with_product()), server_(lab_)
    {
        client().nft(foreign_rules);
        client().ip(foreign_routes);
        for (const char* rule : {"pref 5001 from fd66::/16", "pref 40000 from all"}) {
            client().must({"sh", "-c", std::string("ip -6 rule add ") + rule + " lookup 100"});
        }
        client().sysctl("net.ipv4.conf.all.rp_filter", "1");
        client().sysctl("net.ipv4.conf.eth0.rp_filter", "2");
        client().sysctl("net.ipv4.conf.all.src_valid_mark", "0");
        client().sysctl("net.ipv4.tcp_syn_retries", "3");
        client().sysctl("net.ipv6.conf.eth0.hop_limit", "77");
        client().write_file("/etc/resolv.conf", odd_resolv_conf, 0664);
        client().write_file("/etc/hosts", odd_hosts, 0640);
        client().must({"chown", "5:6", "/etc/resolv.conf"});
        client().must({"chown", "3:4", "/etc/hosts"});
    }

    const Box& client() const { return lab_.client(); }

    void expect_as(const Before& before) const
    {
        const Before now(client());
        EXPECT_EQ(now.kernel, before.kernel);
        EXPECT_EQ(now.sysctls, before.sysctls);
        EXPECT_EQ(now.resolv_conf, before.resolv_conf);
        EXPECT_EQ(now.hosts, before.hosts);
        EXPECT_FALSE(client().exists("/etc/.resolv.conf.failclosed"));
        EXPECT_FALSE(client().exists("/etc/.hosts.failclosed"));
    }

    void lock_and_connect()
    {
        ASSERT_EQ(failclosed(client(), {"lock", "--server", "vpn4.example.net:1194/udp"}).status,
                  0);
        ASSERT_TRUE(eventually([&] { return !our_hosts(client()).empty(); }));
        vpn_.emplace(lab_, client_to({"vpn4.example.net 1194"}));
        ASSERT_TRUE(vpn_->wait_connected()) << vpn_->log();
        ASSERT_THAT(client().read_file("/etc/resolv.conf"), ::testing::HasSubstr(addr::inside4));
        ASSERT_EQ(failclosed(client(), {"check"}).status, 0);
        vpn_->hup();
        ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
        ASSERT_EQ(failclosed(client(), {"check"}).status, 0);
    }

    void disconnect()
    {
        vpn_->term();
        ASSERT_TRUE(vpn_->process().wait());
    }

    /// A tunnel program that still runs is named in one line.
    void unlock() const
    {
        const bool is_running = vpn_ && vpn_->process().running();
        const Outcome unlocked = failclosed(client(), {"unlock"});
        EXPECT_EQ(unlocked.status, 0) << unlocked.err;
        EXPECT_THAT(unlocked.err,
                    is_running ? ::testing::MatchesRegex("failclosed: process [0-9]+ announced a "
                                                         "tunnel and still runs: [^\n]*\n")
                               : ::testing::MatchesRegex(""));
    }

    Lab lab_;
    VpnServer server_;
    std::optional<VpnClient> vpn_;
};

// To log into a captive portal, say: OpenVPN's connection works all the time, so that it would not
// announce its tunnel again.
TEST_F(Unlock, ThenLockAdmitsATunnelThatIsStillUp)
{
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    const std::string resolv_conf = client().read_file("/etc/resolv.conf");
    unlock();
    EXPECT_THAT(client().must({"failclosed", "status"}),
                ::testing::Not(::testing::HasSubstr("tunnel tun0")));
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
    EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf);
    EXPECT_TRUE(answers(client(), addr::site4));
    EXPECT_EQ(vpn_->connections(), 2U) << "it was told nothing";
    unlock();
    disconnect();
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    EXPECT_THAT(client().must({"failclosed", "status"}),
                ::testing::Not(::testing::HasSubstr("tunnel tun0")));
    EXPECT_FALSE(answers(client(), addr::site4));
    unlock();
}

TEST_F(Unlock, AfterAWholeSessionTwice)
{
    const Before before(client());
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    ASSERT_NO_FATAL_FAILURE(disconnect());
    unlock();
    expect_as(before);
    unlock();
    expect_as(before);
}

TEST_F(Unlock, OfAMachineThatWasNeverLockedChangesNothing)
{
    const Before before(client());
    unlock();
    expect_as(before);
}

TEST_F(Unlock, WhileTheTunnelIsUp)
{
    const Before before(client());
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    unlock();
    EXPECT_EQ(file(client(), "/etc/resolv.conf"), before.resolv_conf);
    EXPECT_EQ(file(client(), "/etc/hosts"), before.hosts);
    EXPECT_EQ(failclosed(client(), {"check"}).status, 2);
    ASSERT_NO_FATAL_FAILURE(disconnect());
    expect_as(before);
}

TEST_F(Unlock, WithLinksInThePlacesOfTheFiles)
{
    for (const char* name : {"resolv.conf", "hosts"}) {
        const std::string path = std::string("/etc/") + name;
        client().must({"mv", path, path + ".real"});
        client().must({"ln", "-s", std::string(name) + ".real", path});
    }
    const Before before(client());
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    ASSERT_NO_FATAL_FAILURE(disconnect());
    unlock();
    expect_as(before);
}

/// The lock of the runs is in there: a helper that still ran would hold one that is gone.
void remove_state(const Box& client)
{
    // It waits for the tunnel, and another one may just have been started.
    ASSERT_TRUE(eventually(
        [&] { return !client.run({"pkill", "-f", "^/usr/lib/failclosed/refresh"}).ok(); }));
    client.must({"rm", "-rf", "/var/lib/failclosed", "/run/failclosed"});
}

TEST_F(Unlock, AfterTheStateWasRemoved)
{
    const Before before(client());
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    ASSERT_NO_FATAL_FAILURE(disconnect());
    ASSERT_NO_FATAL_FAILURE(remove_state(client()));
    // Closed until then: the tables alone are enough to know it.
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_FALSE(answers(client(), addr::site4));
    ASSERT_NO_FATAL_FAILURE(remove_state(client()));
    unlock();
    Before expected = before;
    // The earlier contents are unknown.
    const std::string mark = "all/src_valid_mark:";
    expected.sysctls.replace(expected.sysctls.find(mark) + mark.size(), 1, "1");
    expect_as(expected);
}

TEST_F(Unlock, WithoutTheJournalNamesWhatItCouldNotRestore)
{
    ASSERT_NO_FATAL_FAILURE(lock_and_connect());
    ASSERT_NO_FATAL_FAILURE(remove_state(client()));
    client().must({"failclosed", "unlock"});
    ASSERT_NO_FATAL_FAILURE(disconnect());
    const Outcome unlocked = failclosed(client(), {"unlock"});
    EXPECT_EQ(unlocked.status, 0);
    EXPECT_THAT(unlocked.err,
                ::testing::MatchesRegex("failclosed: /etc/resolv.conf was not restored: [^\n]*\n"));
    EXPECT_THAT(client().read_file("/etc/resolv.conf"), ::testing::HasSubstr(addr::inside4));
    client().write_file("/etc/resolv.conf", odd_resolv_conf);
    unlock();
}

} // namespace

} // namespace failclosed::lab
