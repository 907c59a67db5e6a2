// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets in the syntax of nft(8).
#include "core/codec/nftables/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include <linux/if_ether.h>
#include <netinet/in.h>

#include "core/codec/nftables/rules.hpp"

namespace failclosed {
namespace {

std::string hex(std::uint32_t value)
{
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%08x", value);
    return text.data();
}

std::string nft_string(std::string text)
{
    std::ranges::replace(text, '"', '?');
    return '"' + text + '"';
}

std::string nft_string(const InterfaceName& name)
{
    std::string text = name.text();
    if (text.back() == '*') { // would match every name with this prefix
        text.insert(text.size() - 1, 1, '\\');
    }
    return nft_string(std::move(text));
}

std::string protocol_name(std::uint8_t number)
{
    switch (number) {
    case IPPROTO_ICMP:
        return "icmp";
    case IPPROTO_ICMPV6:
        return "ipv6-icmp";
    default:
        return std::string(to_string(static_cast<Transport>(number)));
    }
}

template <typename Items, typename Print>
std::string join(const Items& items, std::string_view separator, Print print)
{
    std::string text;
    for (const auto& item : items) {
        text.append(text.empty() ? "" : separator).append(print(item));
    }
    return text;
}

// ---- Keys and elements ----

struct PartText {
    std::string operator()(const InterfaceName& name) const { return nft_string(name); }

    std::string operator()(const IpAddress& address) const { return address.to_string(); }

    std::string operator()(const IpPrefix& prefix) const { return prefix.to_string(); }

    std::string operator()(Transport transport) const { return std::string(to_string(transport)); }

    std::string operator()(Port port) const { return std::to_string(port.number()); }

    std::string operator()(IcmpType kind) const { return std::to_string(kind.type); }

    std::string operator()(Icmpv6Type kind) const { return std::to_string(kind.type); }

    std::string operator()(Uid uid) const { return std::to_string(uid.number); }

    std::string operator()(Gid gid) const { return std::to_string(gid.number); }

    std::string operator()(Mark mark) const { return hex(mark.value); }

    std::string operator()(const MacAddress& address) const { return address.to_string(); }
};

std::string_view field_text(Field field)
{
    switch (field) {
    case Field::InputInterface:
        return "iifname";
    case Field::OutputInterface:
        return "oifname";
    case Field::Source4:
        return "ip saddr";
    case Field::Source6:
        return "ip6 saddr";
    case Field::Destination4:
        return "ip daddr";
    case Field::Destination6:
        return "ip6 daddr";
    case Field::Protocol:
        return "meta l4proto";
    case Field::SourcePort:
        return "th sport";
    case Field::DestinationPort:
        return "th dport";
    case Field::IcmpKind:
        return "icmp type";
    case Field::Icmpv6Kind:
        return "icmpv6 type";
    case Field::SocketUid:
        return "meta skuid";
    case Field::SocketGid:
        return "meta skgid";
    case Field::Mark:
        return "meta mark";
    case Field::SourceMac:
        return "ether saddr";
    case Field::ArpSource:
        return "arp saddr ip";
    case Field::ArpTarget:
        return "arp daddr ip";
    }
    return "";
}

std::string lookup_text(const SetHandle& set, Direction direction)
{
    return join(fields_of(set, direction), " . ", field_text);
}

std::string reference(const SetHandle& set)
{
    return "@" + std::string(set.name.text());
}

// ---- Decisions ----

std::string verdict_text(Verdict verdict)
{
    switch (verdict) {
    case Verdict::Accept:
        return "accept";
    case Verdict::Drop:
        return "drop";
    case Verdict::Return:
        return "return";
    case Verdict::Reject:
        break;
    }
    return "reject";
}

struct DecisionText {
    std::string operator()(Verdict verdict) const { return verdict_text(verdict); }

    std::string operator()(const Jump& jump) const { return "jump " + jump.chain; }

    std::string operator()(const Goto& to) const { return "goto " + to.chain; }
};

// ---- Rules ----

/// Every part of a rule as a text; empty texts are left out.
class RuleText {
  public:
    explicit RuleText(const Guards& guards) : guards_(guards) {}

    std::string operator()(const InFamily&) const { return {}; }

    std::string operator()(const OfTransport&) const { return {}; }

    std::string operator()(const OfEtherType&) const { return {}; }

    std::string operator()(const AsLabelled&) const { return {}; }

    std::string operator()(const FromInterface& match) const
    {
        return "iifname " + negation(match.negated) + nft_string(match.name);
    }

    std::string operator()(const ToInterface& match) const
    {
        return "oifname " + negation(match.negated) + nft_string(match.name);
    }

    std::string operator()(const FromNetwork& match) const
    {
        return network("saddr ", match.prefix);
    }

    std::string operator()(const ToNetwork& match) const { return network("daddr ", match.prefix); }

    std::string operator()(const FromPort& match) const
    {
        return std::string(to_string(match.transport)) + " sport " + PartText()(match.port);
    }

    std::string operator()(const ToPort& match) const
    {
        return std::string(to_string(match.transport)) + " dport " + PartText()(match.port);
    }

    std::string operator()(const IcmpType& match) const
    {
        return "icmp type " + std::to_string(match.type);
    }

    std::string operator()(const Icmpv6Type& match) const
    {
        return "icmpv6 type " + std::to_string(match.type);
    }

    std::string operator()(const HopLimit& match) const
    {
        return "ip6 hoplimit " + std::to_string(match.value);
    }

    std::string operator()(const LaterFragment& match) const
    {
        return match.family == Family::V4 ? "ip frag-off & 0x1fff != 0" : "frag frag-off != 0";
    }

    // As raw bits: nft(8) has no syntax for version and length together, nor for a single option.
    std::string operator()(const HasLongerHeader&) const { return "@nh,0,8 != 0x45"; }

    std::string operator()(const HasIpOptions&) const { return "@nh,0,8 > 0x45 @nh,0,8 < 0x50"; }

    std::string operator()(const HasRouterAlertAlone&) const
    {
        return "@nh,0,8 0x46 @nh,160,32 0x94040000";
    }

    std::string operator()(const HasMoreHeaders&) const
    {
        return "ip6 nexthdr != 17 ip6 nexthdr != 6 ip6 nexthdr != 58";
    }

    std::string operator()(const HasRoutingHeader&) const { return "exthdr rt exists"; }

    std::string operator()(const ToMac& match) const
    {
        return "ether daddr " + PartText()(match.address);
    }

    std::string operator()(const FromUid& match) const
    {
        return "meta skuid " + std::to_string(match.uid.number);
    }

    std::string operator()(const HasSocket&) const
    {
        return "meta skuid != " + std::to_string(kNoUid);
    }

    std::string operator()(const ToOthers&) const
    {
        return "fib daddr type != local fib daddr type != broadcast fib daddr type != multicast";
    }

    std::string operator()(const FromOthers&) const { return "fib saddr type != local"; }

    std::string operator()(const HasMark& match) const
    {
        return masked("meta mark", match.value, match.mask);
    }

    std::string operator()(const HasConntrackMark& match) const
    {
        return masked("ct mark", match.value, match.mask);
    }

    std::string operator()(const InConntrackState& match) const
    {
        const bool both = match.established && match.related;
        return std::string("ct state ") + (match.established ? "established" : "") +
               (both ? "," : "") + (match.related ? "related" : "");
    }

    std::string operator()(const HasMptcpOption&) const { return "tcp option mptcp exists"; }

    std::string operator()(const InSet& match) const
    {
        return lookup_text(match.set, match.direction) + " " + negation(match.negated) +
               reference(match.set);
    }

    std::string operator()(const SetMark& action) const
    {
        return set_mark("meta mark", action.value, action.mask);
    }

    std::string operator()(const SetConntrackMark& action) const
    {
        return set_mark("ct mark", action.value, action.mask);
    }

    std::string operator()(const StripMptcpOption&) const { return "reset tcp option mptcp"; }

    std::string operator()(const Log& action) const
    {
        return "limit rate " + std::to_string(action.per_minute) + "/minute burst " +
               std::to_string(action.burst) + " packets log prefix " + nft_string(action.prefix);
    }

    std::string operator()(const std::monostate&) const { return {}; }

    std::string operator()(Verdict verdict) const
    {
        if (verdict != Verdict::Reject) {
            return verdict_text(verdict);
        }
        return guards_.family == Family::V4 ? "reject with icmp type admin-prohibited"
                                            : "reject with icmpv6 type no-route";
    }

    std::string operator()(const Jump& jump) const { return DecisionText()(jump); }

    std::string operator()(const Goto& to) const { return DecisionText()(to); }

    std::string operator()(const Dispatch& dispatch) const
    {
        return lookup_text(dispatch.map, dispatch.direction) + " vmap " + reference(dispatch.map);
    }

    std::string operator()(const Masquerade&) const { return "masquerade"; }

    std::string operator()(const RedirectTo& end) const
    {
        const char* header = end.address.family() == Family::V4 ? "ip" : "ip6";
        return std::string("dnat ") + header + " to " + PartText()(end.address);
    }

  private:
    static std::string negation(bool negated) { return negated ? "!= " : ""; }

    static std::string network(const char* side, const IpPrefix& prefix)
    {
        const char* header = prefix.family() == Family::V4 ? "ip " : "ip6 ";
        return prefix.length() == 0 ? std::string() : header + (side + prefix.to_string());
    }

    static std::string masked(const char* what, std::uint32_t value, std::uint32_t mask)
    {
        const std::string bits = mask == 0xffffffff ? "" : " & " + hex(mask) + " ==";
        return what + bits + " " + hex(value);
    }

    static std::string set_mark(const std::string& what, std::uint32_t value, std::uint32_t mask)
    {
        return what + " set " + what + " & " + hex(~(mask | value)) + " | " + hex(value);
    }

    const Guards& guards_;
};

std::string ether_type_name(EtherType type)
{
    switch (type.number) {
    case ETH_P_IP:
        return "ip";
    case ETH_P_IPV6:
        return "ip6";
    case ETH_P_ARP:
        return "arp";
    default:
        return type.to_string();
    }
}

/// As raw payload: the keywords of nft(8) exclude each other, or add conditions.
std::string header_text(const Guards& guards)
{
    std::string type = guards.ether_type ? guards.ether_type->to_string() : "";
    if (guards.ether_type && guards.ether_type->number < ETH_P_802_3_MIN) {
        type = "< " + EtherType{ETH_P_802_3_MIN}.to_string();
    }
    switch (guards.header) {
    case FrameHeader::Any:
        break;
    case FrameHeader::Ethernet:
        return "meta iiftype ether";
    case FrameHeader::Plain:
        return "meta iiftype ether @ll,96,16 " + type;
    case FrameHeader::Tagged:
        return "meta iiftype ether @ll,96,16 0x8100 @ll,128,16 " + type;
    case FrameHeader::None:
        return "meta iiftype != ether";
    }
    return {};
}

std::vector<std::string> guard_texts(const Guards& guards)
{
    std::vector<std::string> parts;
    if (guards.ether_type) {
        parts.push_back("meta protocol " + ether_type_name(*guards.ether_type));
    } else if (guards.family) {
        parts.emplace_back(guards.family == Family::V4 ? "meta nfproto ipv4" : "meta nfproto ipv6");
    }
    parts.push_back(header_text(guards));
    if (guards.arp) {
        parts.emplace_back("arp htype 1 arp ptype ip arp hlen 6 arp plen 4");
    }
    if (guards.protocol) {
        parts.push_back("meta l4proto " + protocol_name(*guards.protocol));
    }
    if (guards.valid) {
        parts.emplace_back("meta l4proto >= 0");
    }
    return parts;
}

std::string rule_text(const KernelRule& rule)
{
    const RuleText text(rule.guards);
    std::vector<std::string> parts = guard_texts(rule.guards);
    for (const Match& match : rule.rule->matches) {
        parts.push_back(std::visit(text, match));
    }
    if (rule.counted) {
        parts.emplace_back("counter");
    }
    for (const Action& action : rule.actions) {
        parts.push_back(std::visit(text, action));
    }
    if (rule.ends) {
        parts.push_back(std::visit(text, rule.rule->end));
    }
    if (!rule.rule->comment.empty()) {
        parts.push_back("comment " + nft_string(rule.rule->comment));
    }
    std::erase(parts, "");
    return join(parts, " ", [](const std::string& part) { return part; });
}

// ---- Tables ----

std::string set_text(const Set& set)
{
    const SetHandle& handle = set.handle;
    std::string text = handle.verdicts ? "\tmap " : "\tset ";
    text.append(handle.name.text()).append(" {\n\t\ttype ");
    text += join(handle.key, " . ", [](Field field) { return field_type(field).name; });
    text += handle.verdicts ? " : verdict\n" : "\n";
    if (handle.intervals || handle.timeouts) {
        text += "\t\tflags ";
        text += handle.intervals ? "interval" : "";
        text += handle.intervals && handle.timeouts ? ", " : "";
        text += handle.timeouts ? "timeout\n" : "\n";
    }
    if (!set.elements.empty()) {
        text += "\t\telements = {\n\t\t\t";
        text += join(set.elements, ",\n\t\t\t",
                     [](const SetElement& element) { return to_nft(element); });
        text += "\n\t\t}\n";
    }
    return text + "\t}\n";
}

std::string_view hook_name(Hook hook)
{
    switch (hook) {
    case Hook::Prerouting:
        return "prerouting";
    case Hook::Input:
        return "input";
    case Hook::Forward:
        return "forward";
    case Hook::Output:
        return "output";
    case Hook::Postrouting:
        return "postrouting";
    case Hook::Egress:
        break;
    }
    return "egress";
}

std::string chain_text(const Chain& chain, TableFamily family)
{
    std::string text = "\tchain " + chain.name + " {\n";
    if (chain.base) {
        text += chain.base->type == ChainType::Nat ? "\t\ttype nat" : "\t\ttype filter";
        text.append(" hook ").append(hook_name(chain.base->hook));
        text += chain.base->device ? " device " + nft_string(*chain.base->device) : "";
        text += " priority " + std::to_string(chain.base->priority) + "; policy ";
        text += verdict_text(chain.base->policy) + ";\n";
    }
    for (const Rule& rule : chain.rules) {
        for (const KernelRule& part : kernel_rules(rule, family)) {
            text += "\t\t" + rule_text(part) + "\n";
        }
    }
    return text + "\t}\n";
}

std::string table_text(const Table& table)
{
    const std::string name = "table " + std::string(to_string(table.family)) + " " + table.name;
    std::string text = name + "\ndelete " + name + "\n" + name + " {\n";
    for (const Set& set : table.sets) {
        text += set_text(set);
    }
    for (const Chain& chain : table.chains) {
        text += chain_text(chain, table.family);
    }
    return text + "}\n";
}

} // namespace

std::string to_nft(const Ruleset& ruleset)
{
    return join(ruleset.tables, "\n", table_text);
}

std::string to_nft(const SetElement& element)
{
    std::string text =
        join(element.key, " . ", [](const KeyPart& part) { return std::visit(PartText(), part); });
    if (element.decision) {
        text += " : " + std::visit(DecisionText(), *element.decision);
    }
    return text;
}

} // namespace failclosed
