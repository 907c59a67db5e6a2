// SPDX-License-Identifier: GPL-3.0-or-later
// The interpreter: every match, action and end, and the order of base chains.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "core/plan/firewall/interpreter.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::port;
using test::prefix;

Packet udp4()
{
    Packet packet;
    packet.input = device("eth0");
    packet.output = device("eth1");
    packet.source = address("192.0.2.1");
    packet.destination = address("203.0.113.2");
    packet.source_port = port(4000);
    packet.destination_port = port(1194);
    packet.uid = 0;
    return packet;
}

Packet udp6()
{
    Packet packet = udp4();
    packet.source = address("2001:db8::1");
    packet.destination = address("2001:db8::2");
    return packet;
}

Packet changed(Packet packet, void (*change)(Packet&))
{
    change(packet);
    return packet;
}

Ruleset one_chain(std::vector<Rule> rules, std::vector<Set> sets = {},
                  BaseChain base = {Hook::Forward, 0, Verdict::Accept})
{
    return {{{TableFamily::Inet, "t", std::move(sets), {{"c", base, std::move(rules)}}}}};
}

bool matches(const Match& match, const Packet& packet, std::vector<Set> sets = {})
{
    const Ruleset ruleset =
        one_chain({{"hit", {match}, false, {}, Verdict::Drop}}, std::move(sets));
    return evaluate(ruleset, Hook::Forward, packet).verdict == Verdict::Drop;
}

TEST(Interpreter, MatchesFamilyAndNetworks)
{
    EXPECT_TRUE(matches(InFamily{Family::V4}, udp4()));
    EXPECT_FALSE(matches(InFamily{Family::V6}, udp4()));
    EXPECT_TRUE(matches(FromNetwork{prefix("192.0.2.0/24")}, udp4()));
    EXPECT_FALSE(matches(FromNetwork{prefix("203.0.113.0/24")}, udp4()));
    EXPECT_TRUE(matches(ToNetwork{prefix("2001:db8::/32")}, udp6()));
    EXPECT_TRUE(matches(ToNetwork{prefix("0.0.0.0/0")}, udp4()));
    EXPECT_FALSE(matches(ToNetwork{prefix("0.0.0.0/0")}, udp6()));
}

TEST(Interpreter, MatchesDevices)
{
    EXPECT_TRUE(matches(FromInterface{device("eth0")}, udp4()));
    EXPECT_FALSE(matches(FromInterface{device("eth1")}, udp4()));
    EXPECT_TRUE(matches(ToInterface{device("eth0"), true}, udp4()));
    EXPECT_FALSE(matches(ToInterface{device("eth1"), true}, udp4()));
}

TEST(Interpreter, MatchesTransportAndPorts)
{
    EXPECT_TRUE(matches(OfTransport{Transport::Udp}, udp4()));
    EXPECT_FALSE(matches(OfTransport{Transport::Tcp}, udp4()));
    EXPECT_TRUE(matches(ToPort{Transport::Udp, port(1194)}, udp4()));
    EXPECT_FALSE(matches(ToPort{Transport::Tcp, port(1194)}, udp4()));
    EXPECT_TRUE(matches(FromPort{Transport::Udp, port(4000)}, udp6()));
    EXPECT_FALSE(matches(FromPort{Transport::Udp, port(1194)}, udp6()));
}

TEST(Interpreter, MatchesIcmpOfTheRightFamilyOnly)
{
    const Packet ping = changed(udp4(), [](Packet& packet) {
        packet.protocol = IPPROTO_ICMP;
        packet.icmp_type = 8;
    });
    EXPECT_TRUE(matches(IcmpType{8}, ping));
    EXPECT_FALSE(matches(IcmpType{0}, ping));
    EXPECT_FALSE(matches(IcmpType{0}, udp4()));
    const Packet solicitation = changed(udp6(), [](Packet& packet) {
        packet.protocol = IPPROTO_ICMPV6;
        packet.icmp_type = 135;
        packet.hop_limit = 255;
    });
    EXPECT_TRUE(matches(Icmpv6Type{135}, solicitation));
    EXPECT_FALSE(matches(IcmpType{135}, solicitation));
    EXPECT_TRUE(matches(HopLimit{255}, solicitation));
    EXPECT_FALSE(matches(HopLimit{64}, udp4())) << "IPv4 has no hop limit";
}

TEST(Interpreter, MatchesUidsMarksAndStates)
{
    EXPECT_TRUE(matches(FromUid{Uid{0}}, udp4()));
    EXPECT_FALSE(matches(FromUid{Uid{0}}, changed(udp4(), [](Packet& p) { p.uid.reset(); })));
    const Packet marked = changed(udp4(), [](Packet& packet) {
        packet.mark = 0xfc0001;
        packet.flow = TrackedFlow{TrackedFlow::State::Related, 0x30};
    });
    EXPECT_TRUE(matches(HasMark{0xfc0000, 0xff0000}, marked));
    EXPECT_FALSE(matches(HasMark{0xfc0000}, marked));
    EXPECT_TRUE(matches(HasConntrackMark{0x30, 0xf0}, marked));
    EXPECT_TRUE(matches(InConntrackState{false, true}, marked));
    EXPECT_FALSE(matches(InConntrackState{true, false}, marked));
    EXPECT_FALSE(matches(InConntrackState{true, true}, udp4())) << "a new flow";
}

TEST(Interpreter, MatchesSocketsOfAnyUser)
{
    EXPECT_TRUE(matches(HasSocket{}, udp4()));
    EXPECT_FALSE(matches(HasSocket{}, changed(udp4(), [](Packet& p) { p.uid.reset(); })));
}

TEST(Interpreter, MatchesPacketsForOtherHosts)
{
    const Ruleset ruleset = one_chain({{"hit", {ToOthers{}}, false, {}, Verdict::Drop}}, {},
                                      {Hook::Prerouting, 0, Verdict::Accept});
    EXPECT_EQ(evaluate_path(ruleset, Path::Received, udp4()).verdict, Verdict::Accept);
    EXPECT_EQ(evaluate_path(ruleset, Path::Forwarded, udp4()).verdict, Verdict::Drop);
}

TEST(Interpreter, MatchesPacketsReceivedFromOtherHosts)
{
    const Ruleset ruleset = one_chain({{"hit", {FromOthers{}}, false, {}, Verdict::Drop}}, {},
                                      {Hook::Postrouting, 0, Verdict::Accept});
    const Packet packet = changed(udp4(), [](Packet& p) { p.input = device("br0"); });
    EXPECT_EQ(evaluate_path(ruleset, Path::Sent, packet).verdict, Verdict::Accept);
    EXPECT_EQ(evaluate_path(ruleset, Path::Forwarded, packet).verdict, Verdict::Drop);
}

TEST(Interpreter, MatchesOptionsOfIpv4)
{
    const auto with = [](IpOptions options) {
        Packet packet = udp4();
        packet.options = options;
        return packet;
    };
    EXPECT_FALSE(matches(HasIpOptions{}, udp4()));
    EXPECT_TRUE(matches(HasIpOptions{}, with(IpOptions::RouterAlert)));
    EXPECT_TRUE(matches(HasIpOptions{}, with(IpOptions::Other)));
    EXPECT_TRUE(matches(HasRouterAlertAlone{}, with(IpOptions::RouterAlert)));
    EXPECT_FALSE(matches(HasRouterAlertAlone{}, with(IpOptions::Other)));
}

TEST(Interpreter, MatchesHeadersOfIpv6)
{
    const Packet routed = changed(udp6(), [](Packet& p) { p.routing_header = true; });
    EXPECT_FALSE(matches(HasMoreHeaders{}, udp6()));
    EXPECT_TRUE(matches(HasMoreHeaders{}, routed));
    EXPECT_TRUE(
        matches(HasMoreHeaders{}, changed(udp6(), [](Packet& p) { p.protocol = IPPROTO_GRE; })));
    EXPECT_FALSE(matches(HasRoutingHeader{}, udp6()));
    EXPECT_TRUE(matches(HasRoutingHeader{}, routed));
    EXPECT_FALSE(
        matches(HasRoutingHeader{}, changed(udp4(), [](Packet& p) { p.routing_header = true; })));
}

TEST(Interpreter, ReroutedPacketsKeepTheirFirstDeviceInTheOutputHook)
{
    const auto from_eth0 = [](Hook hook) {
        return one_chain({{"hit", {ToInterface{device("eth0")}}, false, {}, Verdict::Drop}}, {},
                         {hook, 0, Verdict::Accept});
    };
    const Packet packet = changed(udp4(), [](Packet& p) {
        p.output = device("tun0");
        p.rerouted = device("eth0");
    });
    const auto verdict = [&](Hook hook) {
        return evaluate_path(from_eth0(hook), Path::Sent, packet).verdict;
    };
    EXPECT_EQ(verdict(Hook::Output), Verdict::Accept);
    EXPECT_EQ(verdict(Hook::Postrouting), Verdict::Drop);
}

TEST(Interpreter, MatchesMultipathTcpOnly)
{
    EXPECT_FALSE(matches(HasMptcpOption{}, changed(udp4(), [](Packet& p) { p.mptcp = true; })));
    EXPECT_TRUE(matches(HasMptcpOption{}, changed(udp4(), [](Packet& p) {
                            p.mptcp = true;
                            p.protocol = IPPROTO_TCP;
                        })));
}

TEST(Interpreter, LooksIntoSets)
{
    const auto sets = test::sample_sets();
    const auto in = [](const Set& set, bool negated = false) {
        return InSet{set.handle, Direction::Outgoing, negated};
    };
    EXPECT_TRUE(matches(in(sets[1]), udp4(), sets));
    EXPECT_FALSE(matches(in(sets[1], true), udp4(), sets));
    EXPECT_FALSE(matches(in(sets[1]), changed(udp4(), [](Packet& p) { p.uid = 1; }), sets));
    const Packet no_socket = changed(udp4(), [](Packet& p) { p.uid.reset(); });
    EXPECT_FALSE(matches(in(sets[1]), no_socket, sets));
    EXPECT_FALSE(matches(in(sets[1], true), no_socket, sets)) << "neither in nor out";
    EXPECT_TRUE(matches(in(sets[2]), changed(udp6(), [](Packet& p) { p.mark = 0x1234; }), sets));
    EXPECT_TRUE(matches(in(sets[5]), udp6(), sets));
    EXPECT_FALSE(matches(in(sets[5]), udp4(), sets));
    EXPECT_TRUE(matches(in(sets[6]),
                        changed(udp4(),
                                [](Packet& packet) {
                                    packet.input = device("tun0");
                                    packet.source = address("10.8.0.9");
                                }),
                        sets));
    EXPECT_FALSE(matches(InSet{{.name = "missing", .key = {Field::Mark}}}, udp4(), sets));
}

Verdict verdict_of(const std::vector<Rule>& rules, Verdict policy = Verdict::Accept)
{
    return evaluate(one_chain(rules, {}, {Hook::Forward, 0, policy}), Hook::Forward, udp4())
        .verdict;
}

TEST(Interpreter, FirstRuleWithAVerdictDecides)
{
    EXPECT_EQ(verdict_of({}, Verdict::Drop), Verdict::Drop);
    EXPECT_EQ(verdict_of({{"", {}, true, {}, {}}, {"", {}, false, {}, Verdict::Reject}}),
              Verdict::Reject);
    EXPECT_EQ(
        verdict_of({{"", {}, false, {}, Verdict::Return}, {"", {}, false, {}, Verdict::Drop}}),
        Verdict::Accept)
        << "return in a base chain means its policy";
    EXPECT_EQ(verdict_of({{"", {}, false, {Log{"x", 1, 1}}, Verdict::Drop}}), Verdict::Drop);
    EXPECT_EQ(verdict_of({{"", {}, false, {}, Jump{"missing"}}}), Verdict::Drop);
    EXPECT_EQ(verdict_of({{"", {}, false, {}, Jump{"c"}}}), Verdict::Drop) << "endless jumps";
}

TEST(Interpreter, JumpsReturnAndGotosDoNot)
{
    Table table{TableFamily::Inet, "t", {}, {}};
    table.chains = {
        {"sub",
         {},
         {{"back", {OfTransport{Transport::Udp}}, false, {}, Verdict::Return},
          {"in sub", {}, false, {}, Verdict::Accept}}},
        {"base",
         BaseChain{Hook::Forward, 0, Verdict::Drop},
         {{"to sub", {}, false, {}, Jump{"sub"}}, {"after", {}, false, {}, Verdict::Accept}}}};
    EXPECT_EQ(evaluate({{table}}, Hook::Forward, udp4()).steps,
              (std::vector<Step>{{"t", "base", "after", Verdict::Accept}}));
    EXPECT_EQ(evaluate({{table}}, Hook::Forward,
                       changed(udp4(), [](Packet& p) { p.protocol = IPPROTO_TCP; }))
                  .steps,
              (std::vector<Step>{{"t", "sub", "in sub", Verdict::Accept}}));
    table.chains[1].rules[0].end = Goto{"sub"};
    EXPECT_EQ(evaluate({{table}}, Hook::Forward, udp4()).steps,
              (std::vector<Step>{{"t", "base", "", Verdict::Drop}}));
}

TEST(Interpreter, DispatchesByVerdictMap)
{
    const auto sets = test::sample_sets();
    Ruleset ruleset = one_chain({{"by device", {}, false, {}, Dispatch{sets[0].handle}},
                                 {"all else", {}, false, {}, Verdict::Reject}},
                                sets);
    ruleset.tables[0].chains.push_back(
        {"tunnel", {}, {{"inside", {}, false, {}, Verdict::Accept}}});
    const auto through = [&](const char* name) {
        Packet packet = udp4();
        packet.output = device(name);
        return evaluate(ruleset, Hook::Forward, packet).steps.back().comment;
    };
    EXPECT_EQ(through("lo"), "by device");
    EXPECT_EQ(through("tun0"), "inside");
    EXPECT_EQ(through("eth0"), "all else");
    EXPECT_EQ(through("tun1"), "all else") << "names are no patterns";
}

TEST(Interpreter, BaseChainsRunByPriorityAndDropIsFinal)
{
    Ruleset ruleset = one_chain({{"late", {}, false, {}, Verdict::Drop}}, {},
                                {Hook::Forward, 10, Verdict::Accept});
    ruleset.tables[0].chains.push_back({"early",
                                        BaseChain{Hook::Forward, -10, Verdict::Accept},
                                        {{"first", {}, false, {}, Verdict::Accept}}});
    const Trace trace = evaluate(ruleset, Hook::Forward, udp4());
    EXPECT_EQ(trace.verdict, Verdict::Drop);
    EXPECT_EQ(trace.steps, (std::vector<Step>{{"t", "early", "first", Verdict::Accept},
                                              {"t", "c", "late", Verdict::Drop}}));
    EXPECT_EQ(evaluate(ruleset, Hook::Input, udp4()).verdict, Verdict::Accept);
    EXPECT_TRUE(evaluate(ruleset, Hook::Input, udp4()).steps.empty());
}

TEST(Interpreter, ActionsChangeThePacketForLaterRules)
{
    const Ruleset ruleset = one_chain(
        {{"set", {}, false, {SetMark{0xfc0000, 0xff0000}, SetConntrackMark{0x10, 0xf0}}, {}},
         {"strip", {}, false, {StripMptcpOption{}}, {}},
         {"seen", {HasMark{0xfc0001}, HasConntrackMark{0x10}}, false, {}, Verdict::Drop}});
    const Trace trace = evaluate(ruleset, Hook::Forward, changed(udp4(), [](Packet& packet) {
                                     packet.mark = 0xab0001;
                                     packet.mptcp = true;
                                     packet.protocol = IPPROTO_TCP;
                                 }));
    EXPECT_EQ(trace.verdict, Verdict::Drop);
    EXPECT_EQ(trace.packet.mark, 0xfc0001U);
    EXPECT_FALSE(trace.packet.mptcp);
}

TEST(Interpreter, ChainsBeforeConntrackSeeNoFlow)
{
    const Packet established = changed(udp4(), [](Packet& packet) {
        packet.flow = TrackedFlow{TrackedFlow::State::Established, 0};
    });
    const Rule rule{"flow", {InConntrackState{true, true}}, false, {}, Verdict::Drop};
    const auto at = [&](Hook hook, int priority) {
        return evaluate(one_chain({rule}, {}, {hook, priority, Verdict::Accept}), hook, established)
            .verdict;
    };
    EXPECT_EQ(at(Hook::Prerouting, -300), Verdict::Accept);
    EXPECT_EQ(at(Hook::Prerouting, -150), Verdict::Drop);
    EXPECT_EQ(at(Hook::Forward, -300), Verdict::Drop);
}

TEST(Interpreter, PathsHaveTheDevicesThatTheKernelKnows)
{
    Ruleset ruleset =
        one_chain({{"no input device", {FromInterface{device("eth0"), true}}, false, {}, {}},
                   {"out", {ToInterface{device("eth1")}}, false, {}, Verdict::Accept}},
                  {}, {Hook::Output, 0, Verdict::Drop});
    ruleset.tables[0].chains.push_back(
        {"post",
         BaseChain{Hook::Postrouting, 0, Verdict::Accept},
         {{"left", {ToInterface{device("eth1")}}, false, {}, Verdict::Drop}}});
    ruleset.tables[0].chains.push_back(
        {"pre",
         BaseChain{Hook::Prerouting, 0, Verdict::Drop},
         {{"arrived",
           {FromInterface{device("eth0")}, ToInterface{device("eth1"), true}},
           false,
           {},
           Verdict::Accept}}});
    const auto comments = [&](Path path) {
        std::string text;
        for (const Step& step : evaluate_path(ruleset, path, udp4()).steps) {
            text += step.comment + ";";
        }
        return text;
    };
    EXPECT_EQ(comments(Path::Sent), "out;left;");
    EXPECT_EQ(comments(Path::Received), "arrived;");
    EXPECT_EQ(comments(Path::Forwarded), "arrived;left;");
}

TEST(Interpreter, ArpPacketsPassArpTablesOnly)
{
    Packet packet;
    packet.input = device("eth0");
    packet.arp = ArpAddresses{address("192.168.1.2"), address("10.8.0.2")};
    const Trace trace = evaluate(test::sample_ruleset(), Hook::Input, packet);
    EXPECT_EQ(trace.steps,
              (std::vector<Step>{{"failclosed", "input", "not answered here", Verdict::Drop}}));
    packet.arp->target = address("192.168.1.1");
    EXPECT_EQ(evaluate(test::sample_ruleset(), Hook::Input, packet).verdict, Verdict::Accept);
}

TEST(Interpreter, MatchesGroupsOfSockets)
{
    const std::vector<Set> sets = {
        {{.name = "groups", .key = {Field::SocketGid}}, {{{Gid{7}}, {}}}}};
    const InSet in{sets[0].handle};
    EXPECT_TRUE(matches(in, changed(udp4(), [](Packet& p) { p.gid = 7; }), sets));
    EXPECT_FALSE(matches(in, changed(udp4(), [](Packet& p) { p.gid = 8; }), sets));
    EXPECT_FALSE(matches(in, udp4(), sets));
    EXPECT_FALSE(matches(InSet{sets[0].handle, Direction::Outgoing, true}, udp4(), sets));
}

TEST(Interpreter, LaterFragmentsHaveNoPorts)
{
    const auto later = [](Packet& packet) { packet.later_fragment = true; };
    EXPECT_TRUE(matches(LaterFragment{Family::V4}, changed(udp4(), later)));
    EXPECT_FALSE(matches(LaterFragment{Family::V4}, udp4()));
    EXPECT_FALSE(matches(LaterFragment{Family::V4}, changed(udp6(), later)));
    EXPECT_TRUE(matches(LaterFragment{Family::V6}, changed(udp6(), later)));
    EXPECT_TRUE(matches(OfTransport{Transport::Udp}, changed(udp4(), later)));
    EXPECT_FALSE(matches(ToPort{Transport::Udp, port(1194)}, changed(udp4(), later)));
    EXPECT_FALSE(matches(FromPort{Transport::Udp, port(4000)}, changed(udp4(), later)));
    const auto sets = test::sample_sets();
    EXPECT_FALSE(matches(InSet{sets[1].handle}, changed(udp4(), later), sets));
    Packet ping = changed(udp4(), later);
    ping.protocol = IPPROTO_ICMP;
    EXPECT_FALSE(matches(IcmpType{0}, ping));
    ping.protocol = IPPROTO_TCP;
    ping.mptcp = true;
    EXPECT_FALSE(matches(HasMptcpOption{}, ping));
}

/// The sample's belt with a rule at the beginning, met by what egress0 sends.
Trace through_belt(const Packet& packet, std::vector<Match> matches = {})
{
    Ruleset ruleset = test::sample_ruleset();
    auto& rules = ruleset.tables[2].chains[0].rules;
    if (!matches.empty()) {
        rules.insert(rules.begin(), {"first", std::move(matches), false, {}, Verdict::Accept});
    }
    return evaluate_path(ruleset, Path::Frame, packet);
}

Packet frame_from_here()
{
    Packet packet = udp4();
    packet.output = test::sample_devices()[0];
    packet.source_mac = test::mac("02:00:00:00:00:01");
    packet.destination_mac = test::mac("02:00:00:00:00:02");
    return packet;
}

TEST(Interpreter, FramesPassOnlyTheChainOfTheirDevice)
{
    EXPECT_EQ(through_belt(frame_from_here()).steps,
              (std::vector<Step>{{"failclosed", "wire", "all else", Verdict::Drop}}));
    EXPECT_TRUE(through_belt(udp4()).steps.empty()) << "of a device that has no chain";
    const Packet to_lan =
        changed(frame_from_here(), [](Packet& p) { p.destination = address("192.168.1.9"); });
    EXPECT_EQ(through_belt(to_lan).steps.back().comment, "local");
    EXPECT_EQ(through_belt(changed(to_lan, [](Packet& p) { p.output = test::sample_devices()[1]; }))
                  .verdict,
              Verdict::Drop);
}

TEST(Interpreter, MatchesFramesByTypeAndHardwareAddress)
{
    const Packet eapol =
        changed(frame_from_here(), [](Packet& p) { p.ether_type = EtherType{0x888e}; });
    EXPECT_EQ(through_belt(eapol).steps.back().comment, "EAPOL");
    EXPECT_EQ(through_belt(changed(eapol, [](Packet& p) { p.mislabelled = true; })).verdict,
              Verdict::Drop);
    EXPECT_EQ(
        through_belt(changed(eapol, [](Packet& p) { p.ether_type->number = 0x88b5; })).verdict,
        Verdict::Drop);
    EXPECT_EQ(through_belt(changed(eapol,
                                   [](Packet& p) {
                                       p.ether_type->number = 0x88b5;
                                       p.source_mac = test::mac("52:54:00:12:34:56");
                                   }))
                  .steps.back()
                  .comment,
              "a guest");
    EXPECT_EQ(through_belt(changed(eapol,
                                   [](Packet& p) {
                                       p.ether_type->number = 0x88b5;
                                       p.destination_mac = test::mac("01:80:c2:00:00:00");
                                   }))
                  .steps.back()
                  .comment,
              "spanning tree");
    for (const Match& ip :
         {Match(InFamily{Family::V4}), Match(ToNetwork{prefix("0.0.0.0/0")}),
          Match(OfTransport{Transport::Udp}), Match(LaterFragment{Family::V4}),
          Match(ToPort{Transport::Udp, port(1194)}),
          Match(InSet{{.name = "s", .key = {Field::Source4}}, Direction::Outgoing, true})}) {
        EXPECT_NE(through_belt(eapol, {ip}).steps.back().comment, "first") << ip.index();
    }
    EXPECT_EQ(through_belt(eapol, {FromUid{Uid{0}}}).steps.back().comment, "first");
    EXPECT_EQ(through_belt(frame_from_here(), {OfEtherType{{0x0800}}}).steps.back().comment,
              "first");
}

TEST(Interpreter, MatchesOnlyFramesWithTheRightEtherType)
{
    const Match honest = AsLabelled{Family::V4};
    EXPECT_EQ(through_belt(frame_from_here(), {honest}).verdict, Verdict::Accept);
    const Packet lie = changed(frame_from_here(), [](Packet& p) { p.mislabelled = true; });
    EXPECT_EQ(through_belt(lie, {honest}).verdict, Verdict::Drop);
    EXPECT_EQ(through_belt(lie, {InFamily{Family::V4}}).verdict, Verdict::Accept);
    EXPECT_EQ(through_belt(frame_from_here(), {AsLabelled{Family::V6}}).verdict, Verdict::Drop);
}

TEST(Interpreter, FramesBelongToNoFlow)
{
    const Packet known = changed(frame_from_here(), [](Packet& packet) {
        packet.flow = TrackedFlow{TrackedFlow::State::Established, 7};
    });
    EXPECT_EQ(through_belt(known, {InConntrackState{true, true}}).verdict, Verdict::Drop);
    EXPECT_EQ(through_belt(known, {HasConntrackMark{7}}).verdict, Verdict::Drop);
}

TEST(Interpreter, ArpLeavesThroughBothTables)
{
    Ruleset ruleset = test::sample_ruleset();
    Packet packet = frame_from_here();
    packet.arp = ArpAddresses{address("192.168.1.2"), address("192.168.1.1")};
    EXPECT_EQ(evaluate_path(ruleset, Path::Sent, packet).steps,
              (std::vector<Step>{{"failclosed", "output", "", Verdict::Accept},
                                 {"failclosed", "wire", "asked for", Verdict::Accept}}));
    packet.arp->target = address("10.8.0.2");
    EXPECT_EQ(evaluate_path(ruleset, Path::Sent, packet).steps.back().comment, "all else");
    EXPECT_EQ(evaluate_path(ruleset, Path::Frame, packet).steps.size(), 1U);
}

Ruleset translating()
{
    Ruleset ruleset = one_chain({{"sent on", {}, false, {}, Verdict::Accept}}, {},
                                {Hook::Postrouting, 200, Verdict::Accept});
    auto& chains = ruleset.tables[0].chains;
    chains.push_back({"in",
                      BaseChain{Hook::Prerouting, -100, Verdict::Accept, ChainType::Nat},
                      {{"redirected", {}, false, {}, RedirectTo{address("10.8.0.1")}}}});
    chains.push_back({"out",
                      BaseChain{Hook::Postrouting, 100, Verdict::Accept, ChainType::Nat},
                      {{"masqueraded", {}, false, {}, Masquerade{}}}});
    return ruleset;
}

TEST(Interpreter, TranslatesTheFirstPacketOfAFlow)
{
    Packet packet = udp4();
    packet.masquerade_source = address("10.8.0.2");
    const Trace trace = evaluate_path(translating(), Path::Forwarded, packet);
    EXPECT_EQ(trace.steps, (std::vector<Step>{{"t", "in", "redirected", Verdict::Accept},
                                              {"t", "out", "masqueraded", Verdict::Accept},
                                              {"t", "c", "sent on", Verdict::Accept}}));
    EXPECT_EQ(trace.packet.destination, address("10.8.0.1"));
    EXPECT_EQ(trace.packet.source, address("10.8.0.2"));
    EXPECT_EQ(trace.packet.destination_port, port(1194));

    packet.flow = TrackedFlow{TrackedFlow::State::Established, 0};
    const Trace known = evaluate_path(translating(), Path::Forwarded, packet);
    EXPECT_EQ(known.steps.size(), 1U);
    EXPECT_EQ(known.packet, changed(packet, [](Packet& p) { p.for_others = true; }));
}

TEST(Interpreter, TranslatesOneFamily)
{
    Packet packet = udp6();
    packet.masquerade_source = address("fd00:8::2");
    const Trace trace = evaluate_path(translating(), Path::Forwarded, packet);
    EXPECT_EQ(trace.packet.destination, packet.destination);
    EXPECT_EQ(trace.packet.source, address("fd00:8::2"));
    packet.masquerade_source = address("10.8.0.2");
    EXPECT_EQ(evaluate_path(translating(), Path::Forwarded, packet).verdict, Verdict::Drop)
        << "the device has no address of this family";
    packet.masquerade_source.reset();
    EXPECT_EQ(evaluate_path(translating(), Path::Forwarded, packet).verdict, Verdict::Drop);
}

TEST(Interpreter, TranslatedPacketsLeaveWithTheNewAddress)
{
    Ruleset ruleset = translating();
    Table belt = test::sample_belt("t");
    belt.chains[0].rules = {
        {"seen", {FromNetwork{prefix("10.8.0.2/32")}}, false, {}, Verdict::Accept}};
    ruleset.tables.push_back(belt);
    Packet packet = frame_from_here();
    packet.masquerade_source = address("10.8.0.2");
    EXPECT_EQ(evaluate_path(ruleset, Path::Forwarded, packet).steps.back(),
              (Step{"t", "wire", "seen", Verdict::Accept}));
    EXPECT_EQ(evaluate_path(ruleset, Path::Sent, packet).steps.back().comment, "seen");
}

} // namespace
} // namespace failclosed
