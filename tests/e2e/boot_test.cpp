// SPDX-License-Identifier: GPL-3.0-or-later
// Closed before there is a network: `lock --boot`, then devices, leases, and the tunnel.
#include <cstdio>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
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
        const Outcome locked = failclosed(lab.client(), {"lock", "--boot"});
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

TEST(BootLock, ReadsNothingThatIsNotThereAndSucceedsOnAFreshMachine)
{
    const Lab lab(before_devices());
    const Outcome locked = failclosed(lab.client(), {"lock", "--boot"});
    EXPECT_EQ(locked.status, 0) << locked.err;
    // Only the boot after this one may be missing, where there is no systemd.
    EXPECT_THAT(locked.err, AnyOf("", HasSubstr("not enabled at boot")));
    EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
}

// From power-on to the tunnel, with a lease on the way.
TEST(BootLock, LetsALeaseAndThenTheTunnelThrough)
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
    EXPECT_TRUE(answers(client, addr::gateway4));

    const VpnServer server(lab);
    client.write_file("/etc/openvpn/lab.conf", "client\ndev tun\nremote 203.0.113.2 1194\n");
    ASSERT_EQ(failclosed(client, {"lock"}).status, 0);
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(answers(client, addr::site4));
    ASSERT_TRUE(traffic.wait_all_sent(50));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

TEST(BootLock, LetsDhcpcdThroughInBothFamilies)
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
