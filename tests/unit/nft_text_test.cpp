// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets as nft(8) reads them. That it does read them is shown by the kernel tests.
#include <gtest/gtest.h>

#include "core/codec/nft_text.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::device;
using test::port;
using test::prefix;

std::string text_of(Rule rule)
{
    const std::string text =
        to_nft({{{TableFamily::Inet, "t", {}, {{"c", {}, {std::move(rule)}}}}}});
    const std::string before = "\tchain c {\n";
    const std::size_t start = text.find(before) + before.size();
    return text.substr(start, text.find("\t}\n", start) - start);
}

TEST(NftText, PrintsWholeTables)
{
    const Ruleset ruleset = {
        {{TableFamily::Inet,
          "failclosed",
          {{"by_device",
            {Field::OutputInterface},
            false,
            true,
            false,
            {{{device("lo")}, Verdict::Accept}, {{device("tun*")}, Jump{"tunnel"}}}},
           {"lan", {Field::Destination4}, true, false, false, {{{prefix("10.0.0.0/8")}, {}}}},
           {"timed", {Field::Destination6, Field::Protocol}, false, false, true, {}}},
          {{"tunnel", {}, {}},
           {"output",
            BaseChain{Hook::Output, -5, Verdict::Drop},
            {{"by device", {}, false, {}, Dispatch{{Field::OutputInterface}, "by_device"}}}}}}}};
    EXPECT_EQ(to_nft(ruleset), "table inet failclosed\n"
                               "delete table inet failclosed\n"
                               "table inet failclosed {\n"
                               "\tmap by_device {\n"
                               "\t\ttype ifname : verdict\n"
                               "\t\telements = {\n"
                               "\t\t\t\"lo\" : accept,\n"
                               "\t\t\t\"tun\\*\" : jump tunnel\n"
                               "\t\t}\n"
                               "\t}\n"
                               "\tset lan {\n"
                               "\t\ttype ipv4_addr\n"
                               "\t\tflags interval\n"
                               "\t\telements = {\n"
                               "\t\t\t10.0.0.0/8\n"
                               "\t\t}\n"
                               "\t}\n"
                               "\tset timed {\n"
                               "\t\ttype ipv6_addr . inet_proto\n"
                               "\t\tflags timeout\n"
                               "\t}\n"
                               "\tchain tunnel {\n"
                               "\t}\n"
                               "\tchain output {\n"
                               "\t\ttype filter hook output priority -5; policy drop;\n"
                               "\t\toifname vmap @by_device comment \"by device\"\n"
                               "\t}\n"
                               "}\n");
}

TEST(NftText, AddsGuards)
{
    EXPECT_EQ(text_of({"", {ToNetwork{prefix("10.0.0.0/8")}}, true, {}, Verdict::Accept}),
              "\t\tmeta nfproto ipv4 ip daddr 10.0.0.0/8 counter accept\n");
    EXPECT_EQ(
        text_of({"", {Icmpv6Type{135}, HopLimit{255}}, false, {}, Verdict::Drop}),
        "\t\tmeta nfproto ipv6 meta l4proto ipv6-icmp icmpv6 type 135 ip6 hoplimit 255 drop\n");
    EXPECT_EQ(text_of({"", {ToPort{Transport::Udp, port(53)}}, false, {}, Jump{"x"}}),
              "\t\tmeta l4proto udp udp dport 53 jump x\n");
    EXPECT_EQ(text_of({"", {ToNetwork{prefix("::/0")}}, false, {}, {}}), "\t\tmeta nfproto ipv6\n");
}

TEST(NftText, SaysWhatNftHasNoWordFor)
{
    EXPECT_EQ(text_of({"", {HasSocket{}}, false, {}, Verdict::Return}),
              "\t\tmeta skuid != 4294967295 return\n");
    EXPECT_EQ(text_of({"", {ToOthers{}}, false, {}, Goto{"x"}}),
              "\t\tfib daddr type != local fib daddr type != broadcast fib daddr type != "
              "multicast goto x\n");
}

TEST(NftText, SplitsWhatOneKernelRuleCannotSay)
{
    EXPECT_EQ(text_of({"no", {}, true, {Log{"x: ", 6, 5}}, Verdict::Reject}),
              "\t\tmeta nfproto ipv4 limit rate 6/minute burst 5 packets log prefix \"x: \" "
              "comment \"no\"\n"
              "\t\tmeta nfproto ipv4 counter reject with icmp type admin-prohibited comment "
              "\"no\"\n"
              "\t\tmeta nfproto ipv6 limit rate 6/minute burst 5 packets log prefix \"x: \" "
              "comment \"no\"\n"
              "\t\tmeta nfproto ipv6 counter reject with icmpv6 type no-route comment \"no\"\n");
    EXPECT_EQ(text_of({"", {InSet{{Field::DestinationPort}, "s", true}}, false, {}, {}}),
              "\t\tmeta l4proto udp th dport != @s\n"
              "\t\tmeta l4proto tcp th dport != @s\n");
}

TEST(NftText, LeavesOutWhatCanNeverMatch)
{
    EXPECT_EQ(text_of({"", {InFamily{Family::V4}, HopLimit{1}}, false, {}, Verdict::Accept}), "");
    EXPECT_EQ(text_of({"", {OfTransport{Transport::Udp}, HasMptcpOption{}}, false, {}, {}}), "");
    EXPECT_EQ(text_of({"", {InConntrackState{}}, false, {}, Verdict::Accept}), "");
}

TEST(NftText, CannotBeBrokenOutOf)
{
    EXPECT_EQ(text_of({"", {FromInterface{device("a\";drop")}}, false, {}, {}}),
              "\t\tiifname \"a?;drop\"\n");
}

} // namespace
} // namespace failclosed
