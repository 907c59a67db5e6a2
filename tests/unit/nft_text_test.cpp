// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets as nft(8) reads them. That it does read them is shown by the kernel tests.
#include <gtest/gtest.h>

#include "core/codec/nftables/text.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::device;
using test::port;
using test::prefix;

std::string text_of(Rule rule, TableFamily family = TableFamily::Inet)
{
    const std::string text = to_nft({{{family, "t", {}, {{"c", {}, {std::move(rule)}}}}}});
    const std::string before = "\tchain c {\n";
    const std::size_t start = text.find(before) + before.size();
    return text.substr(start, text.find("\t}\n", start) - start);
}

TEST(NftText, PrintsWholeTables)
{
    const Ruleset ruleset = {
        {{TableFamily::Inet,
          "failclosed",
          {{{.name = "by_device", .key = {Field::OutputInterface}, .verdicts = true},
            {{{device("lo")}, Verdict::Accept}, {{device("tun*")}, Jump{"tunnel"}}}},
           {{.name = "lan", .key = {Field::Destination4}, .intervals = true},
            {{{prefix("10.0.0.0/8")}, {}}}},
           {{.name = "timed", .key = {Field::Destination6, Field::Protocol}, .timeouts = true},
            {}}},
          {{"tunnel", {}, {}},
           {"output",
            BaseChain{Hook::Output, -5, Verdict::Drop},
            {{"by device",
              {},
              false,
              {},
              Dispatch{
                  {.name = "by_device", .key = {Field::OutputInterface}, .verdicts = true}}}}}}}}};
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

TEST(NftText, PrintsRawBitsForMissingKeywords)
{
    EXPECT_EQ(text_of({"", {HasSocket{}}, false, {}, Verdict::Return}),
              "\t\tmeta skuid != 4294967295 return\n");
    EXPECT_EQ(text_of({"", {ToOthers{}}, false, {}, Goto{"x"}}),
              "\t\tfib daddr type != local fib daddr type != broadcast fib daddr type != "
              "multicast goto x\n");
}

TEST(NftText, PrintsChainsOfDevicesAndTranslations)
{
    Table belt{TableFamily::Netdev, "failclosed", {}, {}};
    belt.sets = {
        {{.name = "macs", .key = {Field::SourceMac}}, {{{test::mac("52:54:00:12:34:56")}, {}}}},
        {{.name = "groups", .key = {Field::SocketGid}, .timeouts = true}, {}}};
    belt.chains = {{"wire", {}, {}}, test::device_chain(device("eth0"))};
    const Table inet{TableFamily::Inet,
                     "failclosed",
                     {},
                     {{"out",
                       BaseChain{Hook::Postrouting, 100, Verdict::Accept, ChainType::Nat},
                       {{"guests", {ToInterface{device("tun0")}}, true, {}, Masquerade{}}}}}};
    EXPECT_EQ(to_nft({{belt, inet}}),
              "table netdev failclosed\n"
              "delete table netdev failclosed\n"
              "table netdev failclosed {\n"
              "\tset macs {\n"
              "\t\ttype ether_addr\n"
              "\t\telements = {\n"
              "\t\t\t52:54:00:12:34:56\n"
              "\t\t}\n"
              "\t}\n"
              "\tset groups {\n"
              "\t\ttype gid\n"
              "\t\tflags timeout\n"
              "\t}\n"
              "\tchain wire {\n"
              "\t}\n"
              "\tchain device_eth0 {\n"
              "\t\ttype filter hook egress device \"eth0\" priority 0; policy drop;\n"
              "\t\tgoto wire comment \"whatever leaves\"\n"
              "\t}\n"
              "}\n"
              "\n"
              "table inet failclosed\n"
              "delete table inet failclosed\n"
              "table inet failclosed {\n"
              "\tchain out {\n"
              "\t\ttype nat hook postrouting priority 100; policy accept;\n"
              "\t\toifname \"tun0\" counter masquerade comment \"guests\"\n"
              "\t}\n"
              "}\n");
    EXPECT_EQ(text_of({"", {}, false, {}, RedirectTo{test::address("10.8.0.1")}}),
              "\t\tmeta nfproto ipv4 dnat ip to 10.8.0.1\n");
    EXPECT_EQ(text_of({"", {}, false, {}, RedirectTo{test::address("fd00::1")}}),
              "\t\tmeta nfproto ipv6 dnat ip6 to fd00::1\n");
}

TEST(NftText, PrintsFrameTypes)
{
    const auto text = [](std::vector<Match> matches) {
        return text_of({"", std::move(matches), false, {}, Verdict::Accept}, TableFamily::Netdev);
    };
    EXPECT_EQ(text({ToNetwork{prefix("10.0.0.0/8")}}),
              "\t\tmeta protocol ip ip daddr 10.0.0.0/8 accept\n");
    EXPECT_EQ(text({LaterFragment{Family::V4}}),
              "\t\tmeta protocol ip ip frag-off & 0x1fff != 0 accept\n");
    EXPECT_EQ(text({LaterFragment{Family::V6}}),
              "\t\tmeta protocol ip6 frag frag-off != 0 accept\n");
    EXPECT_EQ(text({HasIpOptions{}}), "\t\t@nh,0,8 > 0x45 @nh,0,8 < 0x50 accept\n");
    EXPECT_EQ(text({HasRouterAlertAlone{}}),
              "\t\tmeta protocol ip @nh,0,8 0x46 @nh,160,32 0x94040000 accept\n");
    EXPECT_EQ(text({HasMoreHeaders{}}), "\t\tmeta protocol ip6 ip6 nexthdr != 17 ip6 nexthdr != 6 "
                                        "ip6 nexthdr != 58 accept\n");
    EXPECT_EQ(text({HasRoutingHeader{}}), "\t\tmeta protocol ip6 exthdr rt exists accept\n");
    EXPECT_EQ(
        text({InSet{{.name = "s", .key = {Field::ArpTarget}}}}),
        "\t\tmeta protocol arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp daddr ip @s "
        "accept\n");
    EXPECT_EQ(text({InSet{{.name = "s", .key = {Field::SourceMac}}}}),
              "\t\tmeta iiftype ether ether saddr @s accept\n");
    EXPECT_EQ(text({InSet{{.name = "s", .key = {Field::SocketGid}}}}),
              "\t\tmeta skgid @s accept\n");
    EXPECT_EQ(text({ToMac{test::mac("01:80:c2:00:00:02")}}),
              "\t\tmeta iiftype ether ether daddr 01:80:c2:00:00:02 accept\n");
    EXPECT_EQ(text({OfEtherType{{0x888e}}}),
              "\t\tmeta protocol 0x888e meta iiftype ether @ll,96,16 0x888e accept\n"
              "\t\tmeta protocol 0x888e meta iiftype ether @ll,96,16 0x8100 @ll,128,16 0x888e "
              "accept\n");
    EXPECT_EQ(text({AsLabelled{Family::V4}}),
              "\t\tmeta protocol ip meta iiftype ether @ll,96,16 0x0800 meta l4proto >= 0 accept\n"
              "\t\tmeta protocol ip meta iiftype ether @ll,96,16 0x8100 @ll,128,16 0x0800 meta "
              "l4proto >= 0 accept\n"
              "\t\tmeta protocol ip meta iiftype != ether meta l4proto >= 0 accept\n");
    EXPECT_EQ(text({OfEtherType{{0x888e}}, InFamily{Family::V4}}), "") << "can never match";
    EXPECT_EQ(text({InSet{{.name = "s", .key = {Field::ArpTarget}}}, InFamily{Family::V4}}), "");
}

TEST(NftText, SplitsRulesThatNeedSeveralKernelRules)
{
    EXPECT_EQ(text_of({"no", {}, true, {Log{"x: ", 6, 5}}, Verdict::Reject}),
              "\t\tmeta nfproto ipv4 limit rate 6/minute burst 5 packets log prefix \"x: \" "
              "comment \"no\"\n"
              "\t\tmeta nfproto ipv4 counter reject with icmp type admin-prohibited comment "
              "\"no\"\n"
              "\t\tmeta nfproto ipv6 limit rate 6/minute burst 5 packets log prefix \"x: \" "
              "comment \"no\"\n"
              "\t\tmeta nfproto ipv6 counter reject with icmpv6 type no-route comment \"no\"\n");
    EXPECT_EQ(
        text_of({"",
                 {InSet{{.name = "s", .key = {Field::DestinationPort}}, Direction::Outgoing, true}},
                 false,
                 {},
                 {}}),
        "\t\tmeta l4proto udp th dport != @s\n"
        "\t\tmeta l4proto tcp th dport != @s\n");
}

TEST(NftText, LeavesOutRulesThatCannotMatch)
{
    EXPECT_EQ(text_of({"", {InFamily{Family::V4}, HopLimit{1}}, false, {}, Verdict::Accept}), "");
    EXPECT_EQ(text_of({"", {OfTransport{Transport::Udp}, HasMptcpOption{}}, false, {}, {}}), "");
    EXPECT_EQ(text_of({"", {InConntrackState{}}, false, {}, Verdict::Accept}), "");
}

TEST(NftText, ReplacesQuotationMarksInNames)
{
    EXPECT_EQ(text_of({"", {FromInterface{device("a\";drop")}}, false, {}, {}}),
              "\t\tiifname \"a?;drop\"\n");
}

} // namespace
} // namespace failclosed
