// SPDX-License-Identifier: GPL-3.0-or-later
// A ruleset in which every kind of match, action, field, verdict and set occurs.
#pragma once

#include <string_view>

#include "core/plan/firewall/ruleset.hpp"

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

inline MacAddress mac(std::string_view text)
{
    return MacAddress::parse(text).value();
}

inline std::vector<Set> sample_sets()
{
    const Transport udp = Transport::Udp;
    return {
        {{.name = "by_device", .key = {Field::OutputInterface}, .verdicts = true},
         {{{device("lo")}, Verdict::Accept},
          {{device("tun0")}, Jump{"tunnel"}},
          {{device("tun*")}, Goto{"tunnel"}},
          {{device("old")}, Verdict::Drop}}},
        {{.name = "servers4",
          .key = {Field::SocketUid, Field::Destination4, Field::Protocol, Field::DestinationPort}},
         {{{Uid{0}, address("203.0.113.2"), udp, port(1194)}, {}},
          {{Uid{65534}, address("203.0.113.3"), Transport::Tcp, port(443)}, {}}}},
        {{.name = "servers6",
          .key = {Field::Mark, Field::Destination6, Field::Protocol, Field::DestinationPort}},
         {{{Mark{0x1234}, address("2001:db8::2"), udp, port(1194)}, {}}}},
        {{.name = "lan4", .key = {Field::Destination4}, .intervals = true},
         {{{prefix("10.0.0.0/8")}, {}},
          {{prefix("11.0.0.0/8")}, {}},
          {{prefix("192.168.1.7/32")}, {}},
          {{prefix("255.255.255.0/24")}, {}}}},
        {{.name = "lan6", .key = {Field::Destination6}, .intervals = true},
         {{{prefix("fe80::/10")}, {}}, {{prefix("fc00::/7")}, {}}, {{prefix("ff00::/8")}, {}}}},
        {{.name = "everything6", .key = {Field::Source6}, .intervals = true},
         {{{prefix("::/0")}, {}}}},
        {{.name = "inside", .key = {Field::InputInterface, Field::Source4}, .intervals = true},
         {{{device("tun0"), prefix("10.8.0.0/24")}, {}},
          {{device("tun1"), prefix("10.9.0.1/32")}, {}}}},
        {{.name = "prefix_verdicts", .key = {Field::Source4}, .intervals = true, .verdicts = true},
         {{{prefix("172.16.0.0/12")}, Verdict::Return}, {{prefix("240.0.0.0/4")}, Verdict::Drop}}},
        {{.name = "resolvers", .key = {Field::Destination4, Field::Protocol}, .timeouts = true},
         {}},
        {{.name = "ports", .key = {Field::SourcePort}}, {{{port(68)}, {}}, {{port(546)}, {}}}},
        {{.name = "users", .key = {Field::SocketUid}}, {{{Uid{33}}, {}}}},
        {{.name = "marks", .key = {Field::Mark}}, {{{Mark{0xfc0000}}, {}}}},
        {{.name = "protocols", .key = {Field::Protocol}}, {{{Transport::Esp}, {}}}},
        {{.name = "groups", .key = {Field::SocketGid}}, {{{Gid{4321}}, {}}}},
    };
}

inline std::vector<Rule> sample_output_rules()
{
    const auto in_set = [](const Set& set) { return InSet{set.handle}; };
    const auto sets = sample_sets();
    return {
        {"dispatch on the device", {}, false, {}, Dispatch{sets[0].handle}},
        {"a server", {in_set(sets[1])}, true, {}, Verdict::Accept},
        {"a server by mark", {in_set(sets[2])}, true, {}, Verdict::Accept},
        {"the local network", {in_set(sets[3])}, true, {}, Verdict::Accept},
        {"the local network", {in_set(sets[4])}, true, {}, Verdict::Accept},
        {"from anywhere", {in_set(sets[5])}, true, {}, {}},
        {"verdicts by prefix", {}, true, {}, Dispatch{sets[7].handle}},
        {"timed", {in_set(sets[8])}, true, {}, Verdict::Accept},
        {"not these ports",
         {OfTransport{Transport::Udp}, InSet{sets[9].handle, Direction::Outgoing, true}},
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
        {"groups", {in_set(sets[13])}, true, {}, {}},
        {"pieces", {LaterFragment{Family::V4}, FromUid{Uid{1000}}}, true, {}, {}},
        {"pieces of IPv6", {LaterFragment{Family::V6}}, true, {}, {}},
        {"options", {HasIpOptions{}, HasRouterAlertAlone{}}, true, {}, {}},
        {"extension headers", {HasMoreHeaders{}, HasRoutingHeader{}}, true, {}, {}},
        {"marks",
         {HasMark{0xfc0000, 0xff0000}, HasConntrackMark{0xfc0000, 0xff0000}, HasMark{7}},
         true,
         {},
         {}},
        {"states", {InConntrackState{true, true}, InConntrackState{false, true}}, true, {}, {}},
        {"multipath", {HasMptcpOption{}}, true, {}, {}},
        {"any socket", {HasSocket{}}, true, {}, {}},
        {"routed", {ToOthers{}}, true, {}, {}},
        {"forwarded", {FromOthers{}}, true, {}, {}},
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

/// The devices of the netdev table in the sample.
inline const std::vector<InterfaceName>& sample_devices()
{
    static const std::vector<InterfaceName> devices = {device("egress0"), device("egress1")};
    return devices;
}

inline Chain device_chain(const InterfaceName& name)
{
    return {"device_" + name.text(),
            BaseChain{Hook::Egress, 0, Verdict::Drop, ChainType::Filter, name},
            {{"whatever leaves", {}, false, {}, Goto{"wire"}}}};
}

inline Table sample_belt(const std::string& name)
{
    Table table{TableFamily::Netdev, name, {}, {}};
    table.sets = {
        {{.name = "macs", .key = {Field::SourceMac}}, {{{mac("52:54:00:12:34:56")}, {}}}},
        {{.name = "reachable",
          .key = {Field::OutputInterface, Field::Destination4},
          .intervals = true},
         {{{device("egress0"), prefix("192.168.1.0/24")}, {}},
          {{device("egress1"), prefix("10.1.0.0/16")}, {}}}},
        {{.name = "asked", .key = {Field::ArpTarget}, .intervals = true},
         {{{prefix("192.168.1.0/24")}, {}}}},
        {{.name = "groups", .key = {Field::SocketGid, Field::Destination6}},
         {{{Gid{4321}, address("2001:db8::53")}, {}}}},
        {{.name = "resolvers", .key = {Field::Destination4, Field::Protocol}, .timeouts = true},
         {}},
        {{.name = "ports", .key = {Field::SourcePort}}, {{{port(68)}, {}}}},
    };
    const auto in = [&](std::size_t place) { return InSet{table.sets[place].handle}; };
    const std::vector<Rule> rules = {
        {"a guest", {in(0)}, true, {}, Verdict::Accept},
        {"EAPOL", {OfEtherType{{0x888e}}}, true, {}, Verdict::Accept},
        {"spanning tree", {ToMac{mac("01:80:c2:00:00:00")}}, true, {}, Verdict::Accept},
        {"no tunnel's address",
         {InSet{table.sets[1].handle, Direction::Outgoing, true}},
         true,
         {},
         {}},
        {"asked for", {in(2)}, true, {}, Verdict::Accept},
        {"IPv4", {AsLabelled{Family::V4}}, true, {}, {}},
        {"IPv6", {AsLabelled{Family::V6}, OfTransport{Transport::Tcp}}, true, {}, {}},
        {"local", {in(1)}, true, {}, Verdict::Accept},
        {"a program", {in(3)}, true, {}, Verdict::Accept},
        {"timed", {in(4)}, true, {}, Verdict::Accept},
        {"ports of either", {in(5)}, true, {}, {}},
        {"a user's pieces",
         {LaterFragment{Family::V4}, FromUid{Uid{1000}}},
         true,
         {},
         Verdict::Accept},
        {"pieces of IPv6", {LaterFragment{Family::V6}, HasMark{7}}, true, {}, Verdict::Accept},
        {"neighbours", {Icmpv6Type{135}, HopLimit{255}}, true, {}, Verdict::Accept},
        {"DHCP",
         {ToInterface{device("egress0")}, FromPort{Transport::Udp, port(68)},
          ToPort{Transport::Udp, port(67)}},
         true,
         {},
         Verdict::Accept},
        {"all else", {}, true, {Log{"failclosed: ", 10, 5}}, Verdict::Drop},
    };
    table.chains = {{"wire", {}, rules}};
    for (const InterfaceName& device : sample_devices()) {
        table.chains.push_back(device_chain(device));
    }
    return table;
}

/// The tables inet `name`, arp `name` and netdev `name`.
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
         {{"inside", {InSet{sets[6].handle}}, true, {}, Verdict::Accept},
          {"log only", {FromUid{Uid{9}}}, false, {Log{"x", 1, 1}}, {}}}},
        {"forward", BaseChain{Hook::Forward, 0, Verdict::Drop}, {}},
        {"prerouting", BaseChain{Hook::Prerouting, -300, Verdict::Accept}, {}},
        {"postrouting", BaseChain{Hook::Postrouting, 100, Verdict::Accept}, {}},
        {"guests_dns",
         BaseChain{Hook::Prerouting, -100, Verdict::Accept, ChainType::Nat},
         {{"to our resolver",
           {FromInterface{device("guests")}, ToPort{Transport::Udp, port(53)}},
           true,
           {},
           RedirectTo{address("10.8.0.1")}},
          {"to our resolver",
           {ToPort{Transport::Tcp, port(53)}},
           true,
           {},
           RedirectTo{address("fd00:8::1")}}}},
        {"guests_source",
         BaseChain{Hook::Postrouting, 100, Verdict::Accept, ChainType::Nat},
         {{"guests", {ToInterface{device("tun0")}}, true, {}, Masquerade{}}}},
    };
    Table arp{TableFamily::Arp, name, {}, {}};
    arp.sets = {{{.name = "own", .key = {Field::ArpTarget}, .intervals = true},
                 {{{prefix("10.8.0.0/24")}, {}}}},
                {{.name = "sources", .key = {Field::OutputInterface, Field::ArpSource}},
                 {{{device("eth0"), address("192.168.1.2")}, {}}}}};
    arp.chains = {
        {"input",
         BaseChain{Hook::Input, 0, Verdict::Accept},
         {{"not answered here", {InSet{arp.sets[0].handle}}, true, {}, Verdict::Drop}}},
        {"output",
         BaseChain{Hook::Output, 0, Verdict::Accept},
         {{"own", {InSet{arp.sets[1].handle}}, true, {}, Verdict::Accept}}},
    };
    return {{inet, arp, sample_belt(name)}};
}

} // namespace failclosed::test
