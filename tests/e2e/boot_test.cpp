// SPDX-License-Identifier: GPL-3.0-or-later
// Closed before there is a network: `lock --boot`, then devices, leases, and the tunnel.
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

Lab::Options before_devices()
{
    return with_product({.link_up = false});
}

/// As early as it can be: /etc cannot be written, and /var is not mounted yet.
void make_early(const Box& client)
{
    client.must({"mount", "--bind", "/etc", "/etc"});
    client.must({"mount", "-o", "remount,bind,ro", "/etc"});
    client.must({"mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/var"});
    EXPECT_FALSE(client.run({"touch", "/etc/new", "/var/new"}).ok());
}

class Boot : public ::testing::TestWithParam<bool> {};

TEST_P(Boot, NothingLeavesFromTheFirstMomentOn)
{
    const bool is_protected = GetParam();
    const Lab lab(before_devices());
    if (is_protected) {
        make_early(lab.client());
        const Outcome locked = failclosed(lab.client(), {"lock", "--at-boot"});
        // What could not be written is said; what matters is done.
        EXPECT_EQ(locked.status, 1) << locked.err;
        EXPECT_THAT(locked.err, Not(HasSubstr("NOT CLOSED")));
        ASSERT_TRUE(lab.client().run({"nft", "list", "table", "inet", "failclosed"}).ok());
    }
    const Sniffer sniffer(lab);
    const Traffic traffic(lab); // begins while there is no device
    lab.link_up();
    // The kernel may take a second until a new device carries anything.
    ASSERT_TRUE(eventually([&] { return answers(lab.client(), addr::gateway4, {"-W0.1"}); }));
    ASSERT_TRUE(traffic.wait_all_sent(100));
    sniffer.settle();
    const auto counts = sniffer.counts();
    EXPECT_EQ(counts.lost, 0U);
    if (is_protected) {
        EXPECT_EQ(counts.leaked, 0U) << counts.text();
    } else {
        EXPECT_GT(counts.leaked, 1000U);
        std::printf("without failclosed: %d leaked\n", static_cast<int>(counts.leaked));
    }
}

INSTANTIATE_TEST_SUITE_P(Lock, Boot, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Holds" : "LeaksWithout"; });

TEST(BootLock, SucceedsOnAFreshMachine)
{
    const Lab lab(before_devices());
    const Outcome locked = failclosed(lab.client(), {"lock", "--boot"});
    EXPECT_EQ(locked.status, 0) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("no server is known"));
    EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
}

// The first boot after an installation: no tunnel was ever up, and `lock` was never called.
TEST(BootLock, LearnsTheServersOfOpenvpnsConfigurations)
{
    auto options = with_product({.link_up = false});
    const Lab lab(options);
    const Box& client = lab.client();
    client.write_file("/etc/openvpn/lab.conf", "client\ndev tun\nremote 203.0.113.2 1194\n");
    client.must({"mkdir", "-p", "/etc/openvpn/client/unreadable.conf"});
    const Outcome locked = failclosed(client, {"lock", "--boot"});
    EXPECT_EQ(locked.status, 0) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("unreadable.conf"));
    EXPECT_THAT(locked.err, Not(HasSubstr("no server is known")));
    lab.link_up();
    const VpnServer server(lab);
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(answers(client, addr::site4));
}

// Called by a person the network is there already: names can be looked up.
TEST(BootLock, LooksNamesUpIfNotAtBoot)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.write_file("/etc/openvpn/lab.conf", "client\ndev tun\nremote vpn4.example.net 1194\n");
    EXPECT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    EXPECT_TRUE(eventually(
        [&] { return endpoints(client) == std::set<std::string>{"203.0.113.2:1194/udp"}; }));
}

constexpr const char* kEnabled = "/etc/systemd/system/sysinit.target.wants/failclosed-lock.service";

TEST(BootLock, CommandEnablesTheUnit)
{
    const Lab lab(with_product());
    EXPECT_EQ(failclosed(lab.client(), {"lock", "--boot"}).status, 0);
    EXPECT_TRUE(lab.client().exists(kEnabled));
}

// As `systemd-run failclosed lock --boot`, and a unit of the administrator's own.
TEST(BootLock, CommandEnablesTheUnitAsAChildOfProcess1)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const Process shell =
        client.start({"sh", "-c",
                      "sh -c 'until grep -q \"^PPid:.1$\" /proc/$$/status; do :; done;"
                      " grep PPid /proc/$$/status; exec failclosed lock --boot' &"});
    ASSERT_TRUE(shell.wait_all_ended());
    EXPECT_THAT(shell.output(), HasSubstr("PPid:\t1\n"));
    EXPECT_THAT(shell.output(), Not(HasSubstr("the next boot does not lock")));
    EXPECT_TRUE(client.exists(kEnabled));
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

TEST(BootLock, CommandAddsLinksThatAnOlderVersionDidNotMake)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"mkdir", "-p", "/etc/systemd/system/sysinit.target.wants"});
    client.must({"ln", "-s", "/usr/lib/systemd/system/failclosed-lock.service", kEnabled});
    EXPECT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    EXPECT_TRUE(
        client.exists("/etc/systemd/system/dhcpcd@.service.requires/failclosed-lock.service"));
}

TEST(BootLock, DoctorNamesUnitsThatStartWithoutIt)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const std::string links = "/etc/systemd/system/";
    EXPECT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    EXPECT_THAT(failclosed(client, {"doctor"}).out,
                HasSubstr("ok    boot: locked before the network\n"));
    client.must({"rm", links + "NetworkManager.service.requires/failclosed-lock.service"});
    EXPECT_THAT(failclosed(client, {"doctor"}).out,
                HasSubstr("bad   boot: locked before the network, but these units start even if "
                          "that fails, because links below /etc/systemd/system are missing: "
                          "NetworkManager.service (failclosed lock --boot)\n"));
    client.must({"sh", "-c", "rm -r " + links + "*.requires"});
    EXPECT_THAT(failclosed(client, {"doctor"}).out,
                HasSubstr("missing: NetworkManager.service, systemd-networkd.service, "
                          "networking.service and "));
    EXPECT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    EXPECT_THAT(failclosed(client, {"doctor"}).out,
                HasSubstr("ok    boot: locked before the network\n"));
}

TEST(BootLock, CommandReportsWhatToDoWithoutSystemd)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"rm", "/usr/bin/systemctl"});
    const Outcome locked = failclosed(client, {"lock", "--boot"});
    EXPECT_EQ(locked.status, 1) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("the next boot does not lock"));
    EXPECT_THAT(locked.err, HasSubstr("failclosed lock --at-boot"));
    EXPECT_EQ(failclosed(client, {"check"}).status, 0) << "it is locked now";
}

// As sysvinit-core leaves a Debian, on which systemctl(1) may stay installed.
TEST(BootLock, IsNotEnabledUnderAnotherInitSystem)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"ln", "-sf", "/usr/bin/busybox", "/sbin/init"});
    const Outcome locked = failclosed(client, {"lock", "--boot"});
    EXPECT_EQ(locked.status, 1) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("/sbin/init is not systemd"));
    client.must({"systemctl", "--quiet", "enable", "failclosed-lock.service"});
    EXPECT_THAT(client.must({"failclosed", "status"}), HasSubstr("not locked before the network"));
}

std::vector<std::string> commands_of_the_unit(const Box& client)
{
    std::istringstream lines(client.must(
        {"sed", "-n", "s/^ExecStart=//p", "/usr/lib/systemd/system/failclosed-lock.service"}));
    std::vector<std::string> commands;
    for (std::string line; std::getline(lines, line);) {
        commands.push_back(line);
    }
    return commands;
}

// udev's own call gives up where the lock takes too long, and ifupdown announces nothing.
TEST(BootLock, UnitCoversADeviceThatAppearsWhileItLocks)
{
    const Lab lab(before_devices());
    const Box& client = lab.client();
    const auto commands = commands_of_the_unit(client);
    ASSERT_THAT(commands.at(0), HasSubstr("failclosed lock --at-boot"));
    client.must({"sh", "-c", commands.at(0)});
    lab.link_up();
    const auto belt = [&] { return client.must({"nft", "list", "table", "netdev", "failclosed"}); };
    EXPECT_THAT(belt(), Not(HasSubstr("eth0")));

    for (std::size_t next = 1; next < commands.size(); next++) {
        client.must({"sh", "-c", commands[next]});
    }

    EXPECT_THAT(belt(), HasSubstr("eth0"));
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

// systemctl would wait for a service manager that is busy with the boot.
TEST(BootLock, UnitClosesAndCallsNoServiceManager)
{
    const Lab lab(before_devices());
    const Box& client = lab.client();
    client.write_file("/usr/bin/systemctl", "#!/bin/sh\ntouch /tmp/called\n", 0755);
    for (const auto& command : commands_of_the_unit(client)) {
        const Outcome outcome = client.run({"sh", "-c", command});
        EXPECT_EQ(outcome.status, 0) << command << outcome.err;
    }
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    EXPECT_FALSE(client.exists("/tmp/called"));

    // What it would have called.
    EXPECT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    EXPECT_TRUE(client.exists("/tmp/called"));
}

TEST(BootLock, IsShownByStatus)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    ASSERT_EQ(failclosed(client, {"lock"}).status, 0);
    EXPECT_THAT(client.must({"failclosed", "status"}),
                HasSubstr("at boot: not locked before the network; run `failclosed lock "
                          "--boot`\n"));
    EXPECT_THAT(client.must({"failclosed", "status", "--json"}), HasSubstr("\"boot_lock\":false"));
    client.must({"mkdir", "-p", "/etc/systemd/system/sysinit.target.wants"});
    client.must({"ln", "-s", "/usr/lib/systemd/system/failclosed-lock.service",
                 "/etc/systemd/system/sysinit.target.wants/failclosed-lock.service"});
    EXPECT_THAT(client.must({"failclosed", "status"}),
                HasSubstr("at boot: locked before the network\n"));
    EXPECT_THAT(client.must({"failclosed", "status", "--json"}), HasSubstr("\"boot_lock\":true"));
}

// From power-on to the tunnel, with a lease on the way.
TEST(BootLock, AdmitsALeaseThenTheTunnel)
{
    auto options = before_devices();
    options.static_addresses = false;
    options.dns_extra = dhcp_arguments();
    const Lab lab(options);
    const Box& client = lab.client();
    ASSERT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    const Sniffer sniffer(lab);
    const Traffic traffic(lab);
    lab.link_up();
    client.write_file("/etc/udhcpc.script",
                      "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n"
                      "ip addr add $ip/$mask dev $interface\n"
                      "ip route add default via $router dev $interface\n"
                      "echo \"nameserver $dns\" > /etc/resolv.conf\necho leased $ip\n",
                      0755);
    const Process lease = client.start({"busybox", "udhcpc", "-f", "-i", "eth0", "-T", "1", "-A",
                                        "1", "-s", "/etc/udhcpc.script"});
    ASSERT_TRUE(lease.wait_for("leased 192.168.50.")) << lease.output();
    // A renewal is a datagram of an ordinary socket to the lease's own server.
    lease.signal(SIGUSR1);
    ASSERT_TRUE(lease.wait_for("obtained", 2)) << lease.output();
    EXPECT_TRUE(gets_answers(client, addr::gateway4));

    const VpnServer server(lab);
    client.write_file("/etc/openvpn/lab.conf", "client\ndev tun\nremote 203.0.113.2 1194\n");
    ASSERT_EQ(failclosed(client, {"lock"}).status, 0);
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(gets_answers(client, addr::site4));
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

TEST(BootLock, AdmitsDhcpcdInBothFamilies)
{
    auto options = before_devices();
    options.static_addresses = false;
    options.dns_extra = dhcp_arguments();
    for (const auto& argument : ra_arguments()) {
        options.dns_extra.push_back(argument);
    }
    const Lab lab(options);
    ASSERT_EQ(failclosed(lab.client(), {"lock", "--boot"}).status, 0);
    const Sniffer sniffer(lab);
    lab.link_up();
    const Process dhcp =
        lab.client().start({"dhcpcd", "--nobackground", "--noarp", "--debug", "eth0"});
    EXPECT_TRUE(dhcp.wait_for("leased 192.168.50.")) << dhcp.output();
    EXPECT_TRUE(dhcp.wait_for("Router Advertisement from fe80::1")) << dhcp.output();
    EXPECT_TRUE(dhcp.wait_for("adding default route via 192.168.50.1")) << dhcp.output();
    EXPECT_FALSE(answers(lab.client(), addr::site4, {"-W0.2"}));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
    EXPECT_EQ(failclosed(lab.client(), {"reapply"}).status, 0);
}

} // namespace

} // namespace failclosed::lab
