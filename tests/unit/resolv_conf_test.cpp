// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf: what is read, what is written, and what is known as ours.
#include <gtest/gtest.h>

#include "core/codec/files/resolv_conf.hpp"

namespace failclosed {
namespace {

const ResolvConf kConf = {{*IpAddress::parse("10.8.0.1"), *IpAddress::parse("2001:db8:c0::53")},
                          {*HostName::parse("corp.example"), *HostName::parse("example.net")}};

TEST(ResolvConf, RendersServersInOrderAndOneSearchLine)
{
    EXPECT_EQ(render_resolver_lines(kConf), "nameserver 10.8.0.1\n"
                                            "nameserver 2001:db8:c0::53\n"
                                            "search corp.example example.net\n");
}

TEST(ResolvConf, WithoutDomainsThereIsNoSearchLine)
{
    EXPECT_EQ(render_resolver_lines({kConf.servers, {}}).find("search"), std::string::npos);
}

TEST(ResolvConf, ReadsWhatItWrites)
{
    EXPECT_EQ(parse_resolv_conf(render_resolv_conf(kConf)), kConf);
}

TEST(ResolvConf, RecognisesItsOwnEditedFile)
{
    EXPECT_TRUE(is_our_resolv_conf(render_resolv_conf(kConf)));
    EXPECT_TRUE(is_our_resolv_conf(render_resolv_conf(kConf) + "nameserver 192.0.2.1\n"));
    EXPECT_FALSE(is_our_resolv_conf(render_resolver_lines(kConf)));
    EXPECT_FALSE(is_our_resolv_conf(""));
    EXPECT_FALSE(is_our_resolv_conf("nameserver 192.0.2.1\n" + render_resolv_conf(kConf)));
}

TEST(ResolvConf, LastSearchOrDomainLineIsUsed)
{
    const ResolvConf conf = parse_resolv_conf("search a.example b.example\ndomain c.example\n");
    EXPECT_EQ(conf.search_domains, std::vector{*HostName::parse("c.example")});
}

struct Hostile {
    const char* text;
    std::size_t servers;
};

class HostileResolvConf : public testing::TestWithParam<Hostile> {};

TEST_P(HostileResolvConf, GivesOnlyValidValues)
{
    EXPECT_EQ(parse_resolv_conf(GetParam().text).servers.size(), GetParam().servers);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, HostileResolvConf,
    testing::Values(Hostile{"", 0}, Hostile{"nameserver", 0}, Hostile{"nameserver \t \n", 0},
                    Hostile{"nameserver 10.0.0.1", 1}, Hostile{"\tnameserver\t10.0.0.1 x\r\n", 1},
                    Hostile{"#nameserver 10.0.0.1\n;nameserver 10.0.0.1\n", 0},
                    Hostile{"nameserver fe80::1%eth0\nnameserver 010.0.0.1\n", 0},
                    Hostile{"nameserverx 10.0.0.1\nnameserver 10.0.0.1/8\n", 0},
                    Hostile{"nameserver $(id)\nsearch ../ a_b -x\n", 0}));

} // namespace
} // namespace failclosed
