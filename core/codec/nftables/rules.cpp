// SPDX-License-Identifier: GPL-3.0-or-later
// Rules in the form of nftables: explicit guards, one reject type each.
#include "core/codec/nftables/rules.hpp"

#include <algorithm>
#include <array>

#include <linux/if_ether.h>
#include <netinet/in.h>

namespace failclosed {
namespace {

constexpr std::array kPortTransports = {Transport::Udp, Transport::Tcp};

std::uint8_t number(Transport transport)
{
    return static_cast<std::uint8_t>(transport);
}

/// Collects the guards of a rule's parts; `possible` becomes false if they contradict each other.
class GuardCollector {
  public:
    Guards guards;
    bool possible = true;
    bool needs_ports = false;
    bool needs_flows = false;
    bool needs_routes = false;
    bool needs_ethernet = false;
    bool needs_label = false;

    explicit GuardCollector(const Rule& rule)
    {
        for (const Match& match : rule.matches) {
            std::visit(*this, match);
        }
        for (const Action& action : rule.actions) {
            std::visit(*this, action);
        }
        std::visit(*this, rule.end);
    }

    void operator()(const InFamily& match) { family(match.family); }

    void operator()(const FromNetwork& match) { family(match.prefix.family()); }

    void operator()(const ToNetwork& match) { family(match.prefix.family()); }

    void operator()(const OfTransport& match) { protocol(number(match.transport)); }

    void operator()(const FromPort& match) { protocol(number(match.transport)); }

    void operator()(const ToPort& match) { protocol(number(match.transport)); }

    void operator()(const IcmpType&)
    {
        family(Family::V4);
        protocol(IPPROTO_ICMP);
    }

    void operator()(const Icmpv6Type&)
    {
        family(Family::V6);
        protocol(IPPROTO_ICMPV6);
    }

    void operator()(const HopLimit&) { family(Family::V6); }

    void operator()(const LaterFragment& match) { family(match.family); }

    void operator()(const HasRouterAlertAlone&) { family(Family::V4); }

    void operator()(const HasMoreHeaders&) { family(Family::V6); }

    void operator()(const HasRoutingHeader&) { family(Family::V6); }

    void operator()(const AsLabelled& match)
    {
        family(match.family);
        guards.valid = true;
        needs_label = true;
    }

    void operator()(const OfEtherType& match)
    {
        require(guards.ether_type, match.type);
        needs_ethernet = true;
        needs_label = true;
    }

    void operator()(const ToMac&) { needs_ethernet = true; }

    void operator()(const ToOthers&) { needs_routes = true; }

    void operator()(const FromOthers&) { needs_routes = true; }

    void operator()(const HasConntrackMark&) { needs_flows = true; }

    void operator()(const SetConntrackMark&) { needs_flows = true; }

    void operator()(const RedirectTo& end) { family(end.address.family()); }

    void operator()(const HasMptcpOption&) { protocol(IPPROTO_TCP); }

    void operator()(const StripMptcpOption&) { protocol(IPPROTO_TCP); }

    void operator()(const InConntrackState& match)
    {
        needs_flows = true;
        possible = possible && (match.established || match.related);
    }

    void operator()(const InSet& match) { fields(fields_of(match.set, match.direction)); }

    void operator()(const Dispatch& end) { fields(fields_of(end.map, end.direction)); }

    // These need no guard.
    void operator()(const HasLongerHeader&) {}

    void operator()(const HasIpOptions&) {}

    void operator()(const FromInterface&) {}

    void operator()(const ToInterface&) {}

    void operator()(const FromUid&) {}

    void operator()(const HasSocket&) {}

    void operator()(const HasMark&) {}

    void operator()(const SetMark&) {}

    void operator()(const Log&) {}

    void operator()(const std::monostate&) {}

    void operator()(const Verdict&) {}

    void operator()(const Jump&) {}

    void operator()(const Goto&) {}

    void operator()(const Masquerade&) {}

    /// The same in a netdev table, which distinguishes packets by EtherType.
    void make_frames()
    {
        if (guards.family) {
            require(guards.ether_type, ether_type_of(*guards.family));
        }
        if (guards.arp) {
            require(guards.ether_type, EtherType{ETH_P_ARP});
        }
    }

  private:
    static EtherType ether_type_of(Family family)
    {
        return {family == Family::V4 ? std::uint16_t{ETH_P_IP} : std::uint16_t{ETH_P_IPV6}};
    }

    template <typename T> void require(std::optional<T>& slot, T value)
    {
        possible = possible && slot.value_or(value) == value;
        slot = value;
    }

    void family(Family value) { require(guards.family, value); }

    void protocol(std::uint8_t value) { require(guards.protocol, value); }

    void fields(const KeyFields& key)
    {
        for (const Field field : key) {
            this->field(field, key);
        }
    }

    void field(Field field, const KeyFields& key)
    {
        switch (field) {
        case Field::Source4:
        case Field::Destination4:
            family(Family::V4);
            break;
        case Field::Source6:
        case Field::Destination6:
            family(Family::V6);
            break;
        case Field::SourcePort:
        case Field::DestinationPort:
            // If the key contains the protocol, the elements are a sufficient guard.
            needs_ports = needs_ports || std::ranges::count(key, Field::Protocol) == 0;
            break;
        case Field::IcmpKind:
            (*this)(IcmpType{});
            break;
        case Field::Icmpv6Kind:
            (*this)(Icmpv6Type{});
            break;
        case Field::ArpSource:
        case Field::ArpTarget:
            guards.arp = true;
            break;
        case Field::SourceMac:
            needs_ethernet = true;
            break;
        case Field::InputInterface:
        case Field::OutputInterface:
        case Field::Protocol:
        case Field::SocketUid:
        case Field::SocketGid:
        case Field::Mark:
            break;
        }
    }
};

/// Replaces each of `variants` by one for each of `values`, made by `set`.
template <typename Values, typename Set>
void multiply(std::vector<Guards>& variants, const Values& values, Set set)
{
    std::vector<Guards> result;
    for (const Guards& variant : variants) {
        for (const auto value : values) {
            set(result.emplace_back(variant), value);
        }
    }
    variants = std::move(result);
}

bool is_reject(const Rule& rule)
{
    const auto* verdict = std::get_if<Verdict>(&rule.end);
    return verdict != nullptr && *verdict == Verdict::Reject;
}

std::vector<Guards> guard_variants(const Rule& rule, const GuardCollector& needs)
{
    std::vector variants = {needs.guards};
    if (needs.needs_ports && !needs.guards.protocol) {
        multiply(variants, kPortTransports,
                 [](Guards& guards, Transport value) { guards.protocol = number(value); });
    }
    const auto set_header = [](Guards& guards, FrameHeader value) { guards.header = value; };
    if (needs.needs_label && needs.needs_ethernet) {
        multiply(variants, std::array{FrameHeader::Plain, FrameHeader::Tagged}, set_header);
    } else if (needs.needs_label) {
        multiply(variants, std::array{FrameHeader::Plain, FrameHeader::Tagged, FrameHeader::None},
                 set_header);
    } else if (needs.needs_ethernet) {
        multiply(variants, std::array{FrameHeader::Ethernet}, set_header);
    }
    if (is_reject(rule) && !needs.guards.family) {
        multiply(variants, kFamilies, [](Guards& guards, Family value) { guards.family = value; });
    }
    return variants;
}

void append_rules(std::vector<KernelRule>& rules, const Rule& rule, const Guards& guards)
{
    KernelRule main{&rule, guards, rule.counted, {}, true};
    for (const Action& action : rule.actions) {
        if (std::holds_alternative<Log>(action)) {
            rules.push_back({&rule, guards, false, {action}, false});
        } else {
            main.actions.push_back(action);
        }
    }
    const bool nothing_more =
        !main.counted && main.actions.empty() && std::holds_alternative<std::monostate>(rule.end);
    if (!nothing_more || rule.actions.empty()) {
        rules.push_back(std::move(main));
    }
}

} // namespace

std::vector<KernelRule> kernel_rules(const Rule& rule, TableFamily family)
{
    GuardCollector needs(rule);
    if (family == TableFamily::Netdev) {
        needs.make_frames();
    }
    std::vector<KernelRule> rules;
    if (needs.possible) {
        for (const Guards& guards : guard_variants(rule, needs)) {
            append_rules(rules, rule, guards);
        }
    }
    return rules;
}

std::string_view misfit_in(TableFamily family, const Rule& rule)
{
    const GuardCollector needs(rule);
    const bool is_ip = needs.guards.family || needs.guards.protocol || needs.needs_ports;
    const bool is_frame = needs.needs_ethernet || needs.needs_label;
    const bool translates = std::holds_alternative<Masquerade>(rule.end) ||
                            std::holds_alternative<RedirectTo>(rule.end);
    if (family != TableFamily::Netdev && is_frame) {
        return "matches frames in a table without frames";
    }
    if (family == TableFamily::Arp && is_ip) {
        return "matches IP in an ARP table";
    }
    if (family == TableFamily::Inet && needs.guards.arp) {
        return "matches ARP in an IP table";
    }
    if (family != TableFamily::Inet && needs.needs_flows) {
        return "needs connection tracking, which this table does not have";
    }
    if (family != TableFamily::Inet && needs.needs_routes) {
        return "needs routes, which this table does not have";
    }
    if (family != TableFamily::Inet && is_reject(rule)) {
        return "this table can drop, but not reject";
    }
    if (family != TableFamily::Inet && translates) {
        return "address translation is not possible in this chain";
    }
    return {};
}

std::string_view to_string(TableFamily family)
{
    switch (family) {
    case TableFamily::Inet:
        return "inet";
    case TableFamily::Arp:
        return "arp";
    case TableFamily::Netdev:
        break;
    }
    return "netdev";
}

const FieldType& field_type(Field field)
{
    static constexpr FieldType kInterface{"ifname", 41, 16, true};
    static constexpr FieldType kAddress4{"ipv4_addr", 7, 4, false};
    static constexpr FieldType kAddress6{"ipv6_addr", 8, 16, false};
    static constexpr FieldType kProtocol{"inet_proto", 12, 1, false};
    static constexpr FieldType kPort{"inet_service", 13, 2, false};
    static constexpr FieldType kIcmpType{"icmp_type", 14, 1, false};
    static constexpr FieldType kIcmpv6Type{"icmpv6_type", 29, 1, false};
    static constexpr FieldType kUid{"uid", 24, 4, true};
    static constexpr FieldType kGid{"gid", 25, 4, true};
    static constexpr FieldType kMark{"mark", 19, 4, true};
    static constexpr FieldType kMac{"ether_addr", 9, 6, false};
    switch (field) {
    case Field::InputInterface:
    case Field::OutputInterface:
        return kInterface;
    case Field::Source4:
    case Field::Destination4:
    case Field::ArpSource:
    case Field::ArpTarget:
        return kAddress4;
    case Field::Source6:
    case Field::Destination6:
        return kAddress6;
    case Field::Protocol:
        return kProtocol;
    case Field::SourcePort:
    case Field::DestinationPort:
        return kPort;
    case Field::IcmpKind:
        return kIcmpType;
    case Field::Icmpv6Kind:
        return kIcmpv6Type;
    case Field::SocketUid:
        return kUid;
    case Field::SocketGid:
        return kGid;
    case Field::SourceMac:
        return kMac;
    case Field::Mark:
        break;
    }
    return kMark;
}

} // namespace failclosed
