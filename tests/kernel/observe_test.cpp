// SPDX-License-Identifier: GPL-3.0-or-later
// What a snapshot shows of a real kernel.
#include <algorithm>
#include <chrono>
#include <ctime>

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>

#include "core/apply/kernel/observe.hpp"
#include "tests/kernel/network.hpp"

namespace failclosed {
namespace {

using test::ip;
using test::NetworkNamespace;

class ObserveTest : public testing::Test {
  protected:
    ObserveTest() : namespace_(NetworkNamespace::make()) {}

    static Link link(const std::string& name)
    {
        const auto snapshot = observe().value();
        const auto* found = snapshot.find(InterfaceName::parse(name).value());
        EXPECT_NE(found, nullptr) << name;
        return found == nullptr
                   ? Link{.name = InterfaceName::parse("none").value(), .addresses = {}}
                   : *found;
    }

    static bool has(const Link& link, std::string_view address, unsigned length)
    {
        const InterfaceAddress wanted{IpAddress::parse(address).value(), length};
        return std::ranges::find(link.addresses, wanted) != link.addresses.end();
    }

    test::ReturnToNetwork return_;
    NetworkNamespace namespace_;
};

TEST_F(ObserveTest, ShowsLoopback)
{
    const auto lo = link("lo");
    EXPECT_EQ(lo.index, 1U);
    EXPECT_TRUE(lo.up);
    EXPECT_TRUE(lo.loopback);
    EXPECT_TRUE(has(lo, "127.0.0.1", 8));
    EXPECT_TRUE(has(lo, "::1", 128));
}

TEST_F(ObserveTest, ShowsAddressesOfBothFamiliesOnTheirLink)
{
    ip("link add a0 type veth peer name b0\nlink set a0 up\n"
       "addr add 192.168.77.2/24 dev a0\naddr add 192.168.77.3/24 dev a0\n"
       "addr add 2001:db8::2/64 dev a0\n");
    const auto a0 = link("a0");
    EXPECT_TRUE(a0.up);
    EXPECT_FALSE(a0.loopback);
    EXPECT_FALSE(a0.point_to_point);
    EXPECT_TRUE(has(a0, "192.168.77.2", 24));
    EXPECT_TRUE(has(a0, "192.168.77.3", 24));
    EXPECT_TRUE(has(a0, "2001:db8::2", 64));
    EXPECT_FALSE(link("b0").up);
    EXPECT_TRUE(link("b0").addresses.empty());
}

TEST_F(ObserveTest, ShowsTheLocalAddressOfAPeerLink)
{
    ip("tuntap add dev tun0 mode tun\nlink set tun0 up\n"
       "addr add 10.8.0.6 peer 10.8.0.5/32 dev tun0\naddr add fd08::6 peer fd08::5/128 dev tun0\n");
    const auto tun0 = link("tun0");
    EXPECT_TRUE(tun0.point_to_point);
    EXPECT_TRUE(has(tun0, "10.8.0.6", 32));
    EXPECT_TRUE(has(tun0, "fd08::6", 128));
}

TEST_F(ObserveTest, DistinguishesTapFromTun)
{
    ip("tuntap add dev tap0 mode tap\n");
    EXPECT_FALSE(link("tap0").point_to_point);
}

TEST_F(ObserveTest, ShowsWhichLinksCanBeTunnels)
{
    ip("tuntap add dev tun0 mode tun\ntuntap add dev tap0 mode tap\n"
       "link add a0 type veth peer name b0\nlink add br0 type bridge\n"
       "link set a0 arp off\n");
    EXPECT_TRUE(link("tun0").can_be_tunnel);
    EXPECT_TRUE(link("tap0").can_be_tunnel);
    EXPECT_FALSE(link("lo").can_be_tunnel);
    EXPECT_FALSE(link("a0").can_be_tunnel);
    EXPECT_FALSE(link("b0").can_be_tunnel);
    EXPECT_FALSE(link("br0").can_be_tunnel);
    const auto snapshot = observe().value();
    const auto tunnel = [](const char* name) {
        return Tunnel{.interface = InterfaceName::parse(name).value()};
    };
    EXPECT_FALSE(refusal(snapshot, tunnel("tun0")));
    EXPECT_TRUE(refusal(snapshot, tunnel("gone0")));
    ASSERT_TRUE(refusal(snapshot, tunnel("a0")));
    EXPECT_EQ(refusal(snapshot, tunnel("lo"))->message().substr(0, 25),
              "lo is not a tunnel device");
}

TEST_F(ObserveTest, ShowsGuestPortsOfABridge)
{
    ip("link add br0 type bridge\ntuntap add dev tap0 mode tap\ntuntap add dev tap1 mode tap\n"
       "link add v0 type veth peer name v1\nlink add x0 type vxlan id 3 dstport 4789\n"
       "link set v0 master br0\nlink set tap0 master br0\nlink set x0 master br0\n");
    EXPECT_TRUE(link("v0").is_guest_port);
    EXPECT_TRUE(link("tap0").is_guest_port);
    for (const char* name : {"lo", "br0", "tap1", "v1", "x0"}) {
        EXPECT_FALSE(link(name).is_guest_port) << name;
    }
    ip("link set v0 nomaster\n");
    EXPECT_FALSE(link("v0").is_guest_port);
}

TEST_F(ObserveTest, ShowsTheProtocolOfARoute)
{
    ip("link add a0 type veth peer name b0\nlink set a0 up\nlink set b0 up\n"
       "addr add 192.168.77.2/24 dev a0\n"
       "route add 198.51.100.0/24 via 192.168.77.1 proto dhcp\n"
       "-6 route add 2001:db8:9::/64 dev a0 proto ra\n");
    const auto routes = observe().value().main_routes;
    const auto protocol_of = [&](const char* destination) {
        const auto route = std::ranges::find(routes, IpPrefix::parse(destination).value(),
                                             &MainRoute::destination);
        return route == routes.end() ? -1 : int{route->protocol};
    };
    EXPECT_EQ(protocol_of("192.168.77.0/24"), RTPROT_KERNEL);
    EXPECT_EQ(protocol_of("198.51.100.0/24"), RTPROT_DHCP);
    EXPECT_EQ(protocol_of("2001:db8:9::/64"), RTPROT_RA);
}

TEST_F(ObserveTest, IsInOrderOfIndexes)
{
    ip("link add a0 index 900 type veth peer name a1\n"
       "link add b0 index 800 type veth peer name b1\n");
    const auto links = observe().value().links;
    EXPECT_TRUE(std::ranges::is_sorted(links, {}, &Link::index));
    EXPECT_EQ(link("b0").index, 800U);
}

TEST_F(ObserveTest, ReadsTheClock)
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seen = observe().value().now;
    EXPECT_GE(seen, std::chrono::duration_cast<Seconds>(now));
    EXPECT_LE(seen, std::chrono::duration_cast<Seconds>(now) + Seconds(60));
    timespec since_boot{};
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    const auto uptime = observe().value().uptime;
    EXPECT_GE(uptime, Seconds(since_boot.tv_sec));
    EXPECT_LE(uptime, Seconds(since_boot.tv_sec + 60));
}

TEST_F(ObserveTest, ShowsAThousandLinks)
{
    std::string lines;
    for (int i = 0; i < 500; ++i) {
        const auto name = "d" + std::to_string(i);
        lines += "link add " + name + " type veth\naddr add 10.1." + std::to_string(i / 250) + "." +
                 std::to_string(i % 250 + 1) + "/32 dev " + name + "\n";
    }
    ip(lines);
    EXPECT_EQ(observe().value().links.size(), 1001U);
    EXPECT_TRUE(has(link("d499"), "10.1.1.250", 32));
}

} // namespace
} // namespace failclosed
