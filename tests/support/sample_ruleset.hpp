// SPDX-License-Identifier: GPL-3.0-or-later
// A ruleset in which every kind of match, action, field, verdict and set occurs.
#pragma once

#include <string_view>

#include "core/plan/ruleset.hpp"

namespace failclosed::test {

inline IpAddress address(std::string_view text)
{
    return IpAddress::parse(text).value();
}

inline IpPrefix prefix(std::string_view text)
{
    return IpPrefix::parse(text).value();
}

inline InterfaceName device(std::string_view text)
{
    return InterfaceName::parse(text).value();
}

inline Port port(std::uint16_t number)
{
    return Port::make(number).value();
}

inline std::vector<Set> sample_sets()
{
    const Transport udp = Transport::Udp;
    return {
        {"by_device",
         {Field::OutputInterface},
         false,
         true,
         false,
         {{{device("lo")}, Verdict::Accept},
          {{device("tun0")}, Jump{"tunnel"}},
          {{device("tun*")}, Goto{"tunnel"}},
          {{device("old")}, Verdict::Drop}}},
        {"servers4",
         {Field::SocketUid, Field::Destination4, Field::Protocol, Field::DestinationPort},
         false,
         false,
         false,
         {{{Uid{0}, address("203.0.113.2"), udp, port(1194)}, {}},
          {{Uid{65534}, address("203.0.113.3"), Transport::Tcp, port(443)}, {}}}},
        {"servers6",
         {Field::Mark, Field::Destination6, Field::Protocol, Field::DestinationPort},
         false,
         false,
         false,
         {{{Mark{0x1234}, address("2001:db8::2"), udp, port(1194)}, {}}}},
        {"lan4",
         {Field::Destination4},
         true,
         false,
         false,
         {{{prefix("10.0.0.0/8")}, {}},
          {{prefix("11.0.0.0/8")}, {}},
          {{prefix("192.168.1.7/32")}, {}},
          {{prefix("255.255.255.0/24")}, {}}}},
        {"lan6",
         {Field::Destination6},
         true,
         false,
         false,
         {{{prefix("fe80::/10")}, {}}, {{prefix("fc00::/7")}, {}}, {{prefix("ff00::/8")}, {}}}},
        {"everything6", {Field::Source6}, true, false, false, {{{prefix("::/0")}, {}}}},
        {"inside",
         {Field::InputInterface, Field::Source4},
         true,
         false,
         false,
         {{{device("tun0"), prefix("10.8.0.0/24")}, {}},
          {{device("tun1"), prefix("10.9.0.1/32")}, {}}}},
        {"prefix_verdicts",
         {Field::Source4},
         true,
         true,
         false,
         {{{prefix("172.16.0.0/12")}, Verdict::Return}, {{prefix("240.0.0.0/4")}, Verdict::Drop}}},
        {"resolvers", {Field::Destination4, Field::Protocol}, false, false, true, {}},
        {"ports", {Field::SourcePort}, false, false, false, {{{port(68)}, {}}, {{port(546)}, {}}}},
        {"users", {Field::SocketUid}, false, false, false, {{{Uid{33}}, {}}}},
        {"marks", {Field::Mark}, false, false, false, {{{Mark{0xfc0000}}, {}}}},
        {"protocols", {Field::Protocol}, false, false, false, {{{Transport::Esp}, {}}}},
    };
}

inline std::vector<Rule> sample_output_rules()
{
    const auto in_set = [](const Set& set) { return InSet{set.key, set.name, false}; };
    const auto sets = sample_sets();
    return {
        {"dispatch on the device", {}, false, {}, Dispatch{{Field::OutputInterface}, "by_device"}},
        {"a server", {in_set(sets[1])}, true, {}, Verdict::Accept},
        {"a server by mark", {in_set(sets[2])}, true, {}, Verdict::Accept},
        {"the local network", {in_set(sets[3])}, true, {}, Verdict::Accept},
        {"the local network", {in_set(sets[4])}, true, {}, Verdict::Accept},
        {"from anywhere", {in_set(sets[5])}, true, {}, {}},
        {"verdicts by prefix", {}, true, {}, Dispatch{{Field::Source4}, "prefix_verdicts"}},
        {"timed", {in_set(sets[8])}, true, {}, Verdict::Accept},
        {"not these ports",
         {OfTransport{Transport::Udp}, InSet{sets[9].key, "ports", true}},
         true,
         {},
         {}},
        {"ports of either", {in_set(sets[9])}, true, {}, {}},
        {"sets of one field", {in_set(sets[10]), in_set(sets[11]), in_set(sets[12])}, true, {}, {}},
        {"families", {InFamily{Family::V6}, OfTransport{Transport::Gre}}, true, {}, {}},
        {"by_device",
         {FromInterface{device("lo"), true}, ToInterface{device("eth*"), false}},
         true,
         {},
         {}},
        {"networks",
         {FromNetwork{prefix("100.64.0.0/10")}, ToNetwork{prefix("10.1.0.0/16")}},
         true,
         {},
         {}},
        {"networks of IPv6",
         {FromNetwork{prefix("fe80::/10")}, ToNetwork{prefix("2001:db8::1/128")}},
         true,
         {},
         {}},
        {"all of IPv4", {ToNetwork{prefix("0.0.0.0/0")}}, true, {}, {}},
        {"DHCP",
         {FromPort{Transport::Udp, port(68)}, ToPort{Transport::Udp, port(67)}},
         true,
         {},
         {}},
        {"ping", {IcmpType{8}}, true, {}, {}},
        {"neighbour solicitation", {Icmpv6Type{135}, HopLimit{255}}, true, {}, {}},
        {"users", {FromUid{Uid{1000}}}, true, {}, {}},
        {"marks",
         {HasMark{0xfc0000, 0xff0000}, HasConntrackMark{0xfc0000, 0xff0000}, HasMark{7}},
         true,
         {},
         {}},
        {"states", {InConntrackState{true, true}, InConntrackState{false, true}}, true, {}, {}},
        {"multipath", {HasMptcpOption{}}, true, {}, {}},
        {"any socket", {HasSocket{}}, true, {}, {}},
        {"routed", {ToOthers{}}, true, {}, {}},
        {"strip multipath", {OfTransport{Transport::Tcp}}, true, {StripMptcpOption{}}, {}},
        {"set marks",
         {},
         true,
         {SetMark{0xfc0000, 0xff0000}, SetConntrackMark{0xfc0000, 0xff0000}},
         {}},
        {"save all marks", {}, false, {SetConntrackMark{5, 0xffffffff}}, {}},
        {"jump", {}, false, {}, Jump{"tunnel"}},
        {"log and refuse", {}, true, {Log{"failclosed: ", 10, 5}}, Verdict::Reject},
        {"nothing gets here", {}, false, {}, Goto{"tunnel"}},
    };
}

/// The table inet `name` and the table arp `name`.
inline Ruleset sample_ruleset(const std::string& name = "failclosed")
{
    const auto sets = sample_sets();
    Table inet{TableFamily::Inet, name, sets, {}};
    inet.chains = {
        {"tunnel",
         {},
         {{"back", {InFamily{Family::V4}}, true, {}, Verdict::Return},
          {"no DNS", {ToPort{Transport::Tcp, port(53)}}, true, {}, Verdict::Reject}}},
        {"output", BaseChain{Hook::Output, 0, Verdict::Drop}, sample_output_rules()},
        {"input",
         BaseChain{Hook::Input, -10, Verdict::Accept},
         {{"inside", {InSet{sets[6].key, "inside", false}}, true, {}, Verdict::Accept},
          {"log only", {FromUid{Uid{9}}}, false, {Log{"x", 1, 1}}, {}}}},
        {"forward", BaseChain{Hook::Forward, 0, Verdict::Drop}, {}},
        {"prerouting", BaseChain{Hook::Prerouting, -300, Verdict::Accept}, {}},
        {"postrouting", BaseChain{Hook::Postrouting, 100, Verdict::Accept}, {}},
    };
    Table arp{TableFamily::Arp, name, {}, {}};
    arp.sets = {{"own", {Field::ArpTarget}, true, false, false, {{{prefix("10.8.0.0/24")}, {}}}},
                {"sources",
                 {Field::OutputInterface, Field::ArpSource},
                 false,
                 false,
                 false,
                 {{{device("eth0"), address("192.168.1.2")}, {}}}}};
    arp.chains = {
        {"input",
         BaseChain{Hook::Input, 0, Verdict::Accept},
         {{"not answered here", {InSet{arp.sets[0].key, "own", false}}, true, {}, Verdict::Drop}}},
        {"output",
         BaseChain{Hook::Output, 0, Verdict::Accept},
         {{"own", {InSet{arp.sets[1].key, "sources", false}}, true, {}, Verdict::Accept}}},
    };
    return {{inet, arp}};
}

} // namespace failclosed::test
