// SPDX-License-Identifier: GPL-3.0-or-later
// Remotes and endpoints as text, and the endpoints of a server.
#include <gtest/gtest.h>

#include "core/model/endpoint.hpp"

namespace failclosed {
namespace {

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

TEST(Remote, TextGoesBothWays)
{
    for (const char* text : {"vpn.example:1194/udp", "vpn.example:443/tcp", "192.0.2.1:1/udp4",
                             "192.0.2.1/gre", "[2001:db8::1]:65535/tcp6", "2001:db8::1/esp",
                             "vpn.example/esp", "a:1/udp6", "a:1/tcp4"}) {
        const auto remote = Remote::parse(text);
        ASSERT_TRUE(remote) << text;
        EXPECT_EQ(to_string(*remote), text);
    }
    EXPECT_EQ(Remote::parse("vpn.example:1194"), Remote::parse("vpn.example:1194/udp"));
}

TEST(Remote, StrictText)
{
    for (const char* text : {"",
                             "/",
                             ":",
                             "vpn.example",
                             "vpn.example/udp",
                             "vpn.example:/udp",
                             ":1194/udp",
                             "vpn.example:0/udp",
                             "vpn.example:65536/udp",
                             "vpn.example:01/udp",
                             "a:1/sctp",
                             "a:1/",
                             "a:1/UDP",
                             "2001:db8::1:443/tcp",
                             "[2001:db8::1]/tcp",
                             "[2001:db8::1:443/tcp",
                             "[192.0.2.1]:1/udp",
                             "[vpn.example]:1/udp",
                             "a b:1/udp",
                             "a\n:1/udp",
                             "a:1/udp\n",
                             "$(id):1/udp",
                             "a/../b:1/udp",
                             "a:1/udp/tcp",
                             "a:1/esp"}) {
        EXPECT_FALSE(Remote::parse(text)) << text;
    }
}

TEST(Endpoint, Text)
{
    EXPECT_EQ(to_string(Endpoint{address("192.0.2.1"), Transport::Udp, Port::make(5)}),
              "192.0.2.1:5/udp");
    EXPECT_EQ(to_string(Endpoint{address("2001:db8::1"), Transport::Tcp, Port::make(443)}),
              "[2001:db8::1]:443/tcp");
    EXPECT_EQ(to_string(Endpoint{address("2001:db8::1"), Transport::Esp, std::nullopt}),
              "2001:db8::1/esp");
}

TEST(Server, EndpointsAreOfItsFamilyOnly)
{
    Server server{Remote::parse("vpn.example:443/tcp4").value(), {}, {}};
    server.addresses = {{address("192.0.2.1")}, {address("2001:db8::1")}, {address("192.0.2.2")}};
    const std::vector<Endpoint> expected = {
        {address("192.0.2.1"), Transport::Tcp, Port::make(443)},
        {address("192.0.2.2"), Transport::Tcp, Port::make(443)},
    };
    EXPECT_EQ(server.endpoints(), expected);
    server.remote.family = std::nullopt;
    EXPECT_EQ(server.endpoints().size(), 3U);
    EXPECT_EQ((Server{Remote::parse("192.0.2.7:1/udp").value(), {}, {}}.endpoints().size()), 1U);
    EXPECT_TRUE((Server{Remote::parse("192.0.2.7:1/udp6").value(), {}, {}}.endpoints().empty()));
}

TEST(Remote, AddressesThatNoServerCanHave)
{
    const auto why = [](std::string_view text) {
        return why_no_server(Remote::parse(text).value()).value_or("");
    };
    EXPECT_EQ(why("127.8.0.1:1/udp"), "127.8.0.1 is a loopback address");
    EXPECT_EQ(why("[::1]:1/udp"), "::1 is a loopback address");
    EXPECT_EQ(why("0.0.0.0:1/udp"), "0.0.0.0 is the unspecified address");
    EXPECT_EQ(why("[::]:1/tcp"), ":: is the unspecified address");
    EXPECT_EQ(why("239.1.2.3:1/udp"), "239.1.2.3 is a multicast address");
    EXPECT_EQ(why("[ff02::1]:1/udp"), "ff02::1 is a multicast address");
    EXPECT_EQ(why("255.255.255.255/esp"), "255.255.255.255 is the broadcast address");
    EXPECT_EQ(why("240.0.0.1:1/udp"), "240.0.0.1 is in a reserved block");
    EXPECT_EQ(why("0.1.2.3:1/udp"), "0.1.2.3 is in a reserved block");
    for (const char* text : {"203.0.113.2:1/udp", "192.168.1.1:1/udp", "[fe80::1]:1/udp",
                             "169.254.1.1:1/udp", "localhost:1/udp"}) {
        EXPECT_EQ(why(text), "") << text;
    }
}

} // namespace
} // namespace failclosed
