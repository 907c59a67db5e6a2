// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses and prefixes: strict text, kinds, containment.
#include <random>

#include <gtest/gtest.h>

#include "core/model/address.hpp"

namespace failclosed {
namespace {

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

IpPrefix prefix(const char* text)
{
    return IpPrefix::parse(text).value();
}

TEST(IpAddress, TextGoesBothWays)
{
    for (const char* text : {"0.0.0.0", "203.0.113.2", "255.255.255.255", "::", "::1",
                             "2001:db8::1", "fe80::1:2:3:4"}) {
        EXPECT_EQ(address(text).to_string(), text);
    }
    EXPECT_EQ(address("2001:DB8:0:0::1").to_string(), "2001:db8::1");
}

TEST(IpAddress, MappedIsIpv4)
{
    EXPECT_EQ(address("::ffff:192.0.2.1"), address("192.0.2.1"));
}

TEST(IpAddress, StrictText)
{
    for (const char* text : {"",
                             " ",
                             "1",
                             "1.2.3",
                             "1.2.3.4.5",
                             "01.2.3.4",
                             "1.2.3.256",
                             "1.2.3.4 ",
                             " 1.2.3.4",
                             "1.2.3.4\n",
                             "0x1.2.3.4",
                             "1.2.3.-4",
                             "fe80::1%eth0",
                             "[::1]",
                             ":::",
                             "1::2::3",
                             "12345::",
                             "1.2.3.4/8",
                             "localhost",
                             "::ffff:1.2.3.400"}) {
        EXPECT_FALSE(IpAddress::parse(text)) << text;
    }
    EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0x", 9)));
    EXPECT_FALSE(IpAddress::parse(std::string(100'000, '1')));
}

TEST(IpAddress, BytesGoBothWays)
{
    std::mt19937 random(3);
    for (unsigned round = 0; round < 1000; ++round) {
        std::vector<std::uint8_t> bytes(round % 2 == 0 ? 4 : 16);
        for (auto& byte : bytes) {
            byte = static_cast<std::uint8_t>(random());
        }
        const auto value = IpAddress::from_bytes(bytes).value();
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), value.bytes().begin()));
        EXPECT_EQ(IpAddress::parse(value.to_string()), value);
    }
    EXPECT_FALSE(IpAddress::from_bytes(std::vector<std::uint8_t>(5)));
    EXPECT_FALSE(IpAddress::from_bytes({}));
}

TEST(IpAddress, Kinds)
{
    for (const char* text : {"0.0.0.0", "::"}) {
        EXPECT_TRUE(address(text).is_unspecified());
    }
    for (const char* text : {"127.0.0.1", "127.255.255.255", "::1"}) {
        EXPECT_TRUE(address(text).is_loopback());
    }
    for (const char* text : {"169.254.0.1", "fe80::1", "febf::1"}) {
        EXPECT_TRUE(address(text).is_link_local());
    }
    for (const char* text : {"224.0.0.1", "239.255.255.255", "ff02::1"}) {
        EXPECT_TRUE(address(text).is_multicast());
    }
    for (const char* text : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                             "255.255.255.255", "::", "::1", "ff02::1"}) {
        EXPECT_FALSE(address(text).is_unicast_host()) << text;
    }
    for (const char* text : {"1.0.0.1", "10.0.0.1", "223.255.255.255", "2001:db8::1", "fe80::1"}) {
        EXPECT_TRUE(address(text).is_unicast_host()) << text;
    }
    EXPECT_FALSE(address("fec0::1").is_link_local());
}

TEST(IpPrefix, TextAndHostBits)
{
    EXPECT_EQ(prefix("10.1.2.3/8").to_string(), "10.0.0.0/8");
    EXPECT_EQ(prefix("10.1.2.3").to_string(), "10.1.2.3/32");
    EXPECT_EQ(prefix("2001:db8::ffff/65").to_string(), "2001:db8::/65");
    EXPECT_EQ(prefix("255.255.255.255/0"), IpPrefix::any(Family::V4));
    for (const char* text : {"", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1",
                             "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/8 ", "10.0.0.0/+8", "x/8"}) {
        EXPECT_FALSE(IpPrefix::parse(text)) << text;
    }
}

TEST(IpPrefix, Netmasks)
{
    const auto from = [](const char* network, const char* mask) {
        return IpPrefix::from_netmask(address(network), address(mask));
    };
    EXPECT_EQ(from("10.1.2.3", "255.255.255.0"), prefix("10.1.2.0/24"));
    EXPECT_EQ(from("10.1.2.3", "0.0.0.0"), IpPrefix::any(Family::V4));
    EXPECT_EQ(from("10.1.2.3", "255.255.255.255"), prefix("10.1.2.3"));
    EXPECT_EQ(from("2001:db8::1", "ffff:ffff::"), prefix("2001:db8::/32"));
    EXPECT_FALSE(from("10.1.2.3", "255.0.255.0"));
    EXPECT_FALSE(from("10.1.2.3", "0.0.0.255"));
    EXPECT_FALSE(from("10.1.2.3", "ffff::"));
}

TEST(IpPrefix, Containment)
{
    EXPECT_TRUE(prefix("10.0.0.0/8").contains(address("10.255.255.255")));
    EXPECT_FALSE(prefix("10.0.0.0/8").contains(address("11.0.0.0")));
    EXPECT_FALSE(prefix("::/0").contains(address("10.0.0.1")));
    EXPECT_TRUE(prefix("10.0.0.0/8").contains(prefix("10.1.0.0/16")));
    EXPECT_FALSE(prefix("10.1.0.0/16").contains(prefix("10.0.0.0/8")));
    EXPECT_TRUE(prefix("10.1.0.0/16").overlaps(prefix("10.0.0.0/8")));
    EXPECT_FALSE(prefix("10.1.0.0/16").overlaps(prefix("10.2.0.0/16")));
    EXPECT_EQ(prefix("10.0.0.0/8").last(), address("10.255.255.255"));
    EXPECT_EQ(prefix("2001:db8::/33").last(), address("2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"));
}

TEST(WithoutContained, KeepsTheWidest)
{
    EXPECT_EQ(without_contained({prefix("10.1.0.0/16"), prefix("10.0.0.0/8"), prefix("10.0.0.0/8"),
                                 prefix("11.0.0.0/8"), prefix("2001:db8::/32")}),
              (std::vector{prefix("10.0.0.0/8"), prefix("11.0.0.0/8"), prefix("2001:db8::/32")}));
}

} // namespace
} // namespace failclosed
