// SPDX-License-Identifier: GPL-3.0-or-later
// Computes the verdict of a ruleset on a packet without the kernel.
#include "core/plan/firewall/interpreter.hpp"

#include <algorithm>
#include <span>

#include <linux/if_ether.h>
#include <netinet/in.h>

namespace failclosed {
namespace {

constexpr int kConntrackPriority = -200; // NF_IP_PRI_CONNTRACK, linux/netfilter_ipv4.h
constexpr int kDeepestJump = 16;         // NFT_JUMP_STACK_SIZE in the kernel

/// The value of a packet's field; nullopt if the packet has no such field. An unknown device has an
/// empty name, as in the kernel.
using FieldValue = std::variant<std::monostate, std::string, IpAddress, std::uint32_t, MacAddress>;

std::uint8_t number(Transport transport)
{
    return static_cast<std::uint8_t>(transport);
}

std::string name_of(const std::optional<InterfaceName>& device)
{
    return device ? device->text() : std::string();
}

template <typename T> FieldValue number_of(const std::optional<T>& value)
{
    return value ? FieldValue(std::uint32_t{*value}) : FieldValue();
}

struct PartMatches {
    const FieldValue& value;

    bool operator()(const InterfaceName& name) const { return is(name.text()); }

    bool operator()(const IpAddress& address) const { return is(address); }

    bool operator()(const IpPrefix& prefix) const
    {
        const auto* address = std::get_if<IpAddress>(&value);
        return address != nullptr && prefix.contains(*address);
    }

    bool operator()(Transport transport) const { return is(std::uint32_t{number(transport)}); }

    bool operator()(Port port) const { return is(std::uint32_t{port.number()}); }

    bool operator()(IcmpType kind) const { return is(std::uint32_t{kind.type}); }

    bool operator()(Icmpv6Type kind) const { return is(std::uint32_t{kind.type}); }

    bool operator()(Uid uid) const { return is(std::uint32_t{uid.number}); }

    bool operator()(Gid gid) const { return is(std::uint32_t{gid.number}); }

    bool operator()(Mark mark) const { return is(mark.value); }

    bool operator()(const MacAddress& address) const { return is(address); }

  private:
    template <typename T> bool is(const T& wanted) const
    {
        const auto* found = std::get_if<T>(&value);
        return found != nullptr && *found == wanted;
    }
};

/// One packet and the chains of one table.
class Walk {
  public:
    Walk(const Table& table, Packet& packet, bool tracked)
        : table_(table), packet_(packet), tracked_(tracked)
    {
    }

    Step run(const Chain& base)
    {
        if (std::optional<Step> step = run_chain(base, 0)) {
            return *step;
        }
        return {table_.name, base.name, {}, base.base->policy};
    }

    // ---- Matches ----

    bool operator()(const InFamily& match) const { return family() == match.family; }

    bool operator()(const FromInterface& match) const
    {
        return (name_of(packet_.input) == match.name.text()) != match.negated;
    }

    bool operator()(const ToInterface& match) const
    {
        return (name_of(packet_.output) == match.name.text()) != match.negated;
    }

    bool operator()(const FromNetwork& match) const
    {
        return family() && match.prefix.contains(packet_.source);
    }

    bool operator()(const ToNetwork& match) const
    {
        return family() && match.prefix.contains(packet_.destination);
    }

    bool operator()(const OfTransport& match) const { return is_protocol(number(match.transport)); }

    bool operator()(const FromPort& match) const
    {
        return begins_with(number(match.transport)) && packet_.source_port == match.port;
    }

    bool operator()(const ToPort& match) const
    {
        return begins_with(number(match.transport)) && packet_.destination_port == match.port;
    }

    bool operator()(const IcmpType& match) const
    {
        return family() == Family::V4 && begins_with(IPPROTO_ICMP) &&
               packet_.icmp_type == match.type;
    }

    bool operator()(const Icmpv6Type& match) const
    {
        return family() == Family::V6 && begins_with(IPPROTO_ICMPV6) &&
               packet_.icmp_type == match.type;
    }

    bool operator()(const HopLimit& match) const
    {
        return family() == Family::V6 && packet_.hop_limit == match.value;
    }

    bool operator()(const LaterFragment& match) const
    {
        return family() == match.family && packet_.later_fragment;
    }

    bool operator()(const HasLongerHeader&) const
    {
        return family() && (family() == Family::V6 || packet_.options != IpOptions::None);
    }

    bool operator()(const HasIpOptions&) const
    {
        return family() == Family::V4 && packet_.options != IpOptions::None;
    }

    bool operator()(const HasRouterAlertAlone&) const
    {
        return family() == Family::V4 && packet_.options == IpOptions::RouterAlert;
    }

    bool operator()(const HasMoreHeaders&) const
    {
        const bool plain = packet_.protocol == IPPROTO_UDP || packet_.protocol == IPPROTO_TCP ||
                           packet_.protocol == IPPROTO_ICMPV6;
        return family() == Family::V6 &&
               (!plain || packet_.routing_header || packet_.later_fragment || packet_.headers_cut);
    }

    bool operator()(const HasRoutingHeader&) const
    {
        return family() == Family::V6 && packet_.routing_header;
    }

    bool operator()(const AsLabelled& match) const
    {
        return family() == match.family && !packet_.mislabelled && !packet_.headers_cut;
    }

    bool operator()(const OfEtherType& match) const
    {
        return ether_type() == match.type && !packet_.mislabelled;
    }

    bool operator()(const ToMac& match) const { return packet_.destination_mac == match.address; }

    bool operator()(const FromUid& match) const { return packet_.uid == match.uid.number; }

    bool operator()(const HasSocket&) const { return packet_.uid.has_value(); }

    bool operator()(const ToOthers&) const { return family() && packet_.for_others; }

    bool operator()(const FromOthers&) const { return family() && packet_.for_others; }

    bool operator()(const HasMark& match) const
    {
        return (packet_.mark & match.mask) == match.value;
    }

    bool operator()(const HasConntrackMark& match) const
    {
        return tracked_ && (packet_.flow->mark & match.mask) == match.value;
    }

    bool operator()(const InConntrackState& match) const
    {
        return tracked_ &&
               ((match.established && packet_.flow->state == TrackedFlow::State::Established) ||
                (match.related && packet_.flow->state == TrackedFlow::State::Related));
    }

    bool operator()(const HasMptcpOption&) const
    {
        return begins_with(IPPROTO_TCP) && packet_.mptcp;
    }

    bool operator()(const InSet& match) const
    {
        const auto values = read(fields_of(match.set, match.direction));
        return values && (find(match.set, *values) != nullptr) != match.negated;
    }

    // ---- Actions ----

    void operator()(const SetMark& action) const
    {
        packet_.mark = (packet_.mark & ~action.mask) | action.value;
    }

    void operator()(const SetConntrackMark& action) const
    {
        if (tracked_) {
            packet_.flow->mark = (packet_.flow->mark & ~action.mask) | action.value;
        }
    }

    void operator()(const StripMptcpOption&) const { packet_.mptcp = false; }

    void operator()(const Log&) const {}

  private:
    /// nullopt if no rule of the chain decides.
    std::optional<Step> run_chain(const Chain& chain, int depth)
    {
        for (const Rule& rule : chain.rules) {
            if (!matches(rule)) {
                continue;
            }
            for (const Action& action : rule.actions) {
                std::visit(*this, action);
            }
            const std::optional<Decision> decision = end_of(rule);
            if (!decision) {
                continue;
            }
            if (*decision == Decision(Verdict::Return)) {
                return std::nullopt;
            }
            if (const auto* verdict = std::get_if<Verdict>(&*decision)) {
                return Step{table_.name, chain.name, rule.comment, *verdict};
            }
            const std::optional<Step> step = follow(*decision, chain, rule, depth);
            if (step || std::holds_alternative<Goto>(*decision)) {
                return step;
            }
        }
        return std::nullopt;
    }

    /// The target of a jump or goto. A missing chain, which the kernel would not load, drops.
    std::optional<Step> follow(const Decision& decision, const Chain& from, const Rule& rule,
                               int depth)
    {
        const auto* jump = std::get_if<Jump>(&decision);
        const std::string& name = jump != nullptr ? jump->chain : std::get<Goto>(decision).chain;
        const auto target = std::ranges::find(table_.chains, name, &Chain::name);
        if (target == table_.chains.end() || depth == kDeepestJump) {
            return Step{table_.name, from.name, rule.comment, Verdict::Drop};
        }
        return run_chain(*target, depth + 1);
    }

    bool matches(const Rule& rule) const
    {
        // Stripping applies only to TCP, and redirection to one family, and so does the whole rule.
        const bool strips = std::ranges::any_of(rule.actions, [](const Action& action) {
            return std::holds_alternative<StripMptcpOption>(action);
        });
        const auto* redirect = std::get_if<RedirectTo>(&rule.end);
        return (!strips || begins_with(IPPROTO_TCP)) &&
               (redirect == nullptr || family() == redirect->address.family()) &&
               std::ranges::all_of(rule.matches,
                                   [&](const Match& match) { return std::visit(*this, match); });
    }

    std::optional<Decision> end_of(const Rule& rule) const
    {
        struct Visitor {
            const Walk& walk;

            std::optional<Decision> operator()(const std::monostate&) const { return {}; }

            std::optional<Decision> operator()(Verdict verdict) const { return verdict; }

            std::optional<Decision> operator()(const Jump& jump) const { return jump; }

            std::optional<Decision> operator()(const Goto& to) const { return to; }

            std::optional<Decision> operator()(const Dispatch& dispatch) const
            {
                const auto values = walk.read(fields_of(dispatch.map, dispatch.direction));
                const SetElement* found = values ? walk.find(dispatch.map, *values) : nullptr;
                return found == nullptr ? std::nullopt : found->decision;
            }

            std::optional<Decision> operator()(const Masquerade&) const
            {
                const std::optional<IpAddress>& source = walk.packet_.masquerade_source;
                if (!source || source->family() != walk.family()) {
                    return Verdict::Drop; // as the kernel does if the device has no address
                }
                walk.packet_.source = *source;
                return Verdict::Accept;
            }

            std::optional<Decision> operator()(const RedirectTo& redirect) const
            {
                walk.packet_.destination = redirect.address;
                return Verdict::Accept;
            }
        };

        return std::visit(Visitor{*this}, rule.end);
    }

    std::optional<Family> family() const
    {
        return packet_.arp || packet_.ether_type ? std::nullopt
                                                 : std::optional(packet_.destination.family());
    }

    EtherType ether_type() const
    {
        if (packet_.arp) {
            return {ETH_P_ARP};
        }
        return packet_.ether_type.value_or(EtherType{
            family() == Family::V4 ? std::uint16_t{ETH_P_IP} : std::uint16_t{ETH_P_IPV6}});
    }

    bool is_protocol(std::uint8_t protocol) const
    {
        return family() && packet_.protocol == protocol;
    }

    /// Also requires the transport header.
    bool begins_with(std::uint8_t protocol) const
    {
        return is_protocol(protocol) && !packet_.later_fragment;
    }

    FieldValue of_family(const IpAddress& address, Family wanted) const
    {
        return family() == wanted ? FieldValue(address) : FieldValue();
    }

    FieldValue number_of_port(const std::optional<Port>& port) const
    {
        return family() && !packet_.later_fragment && port
                   ? FieldValue(std::uint32_t{port->number()})
                   : FieldValue();
    }

    /// nullopt if the packet lacks one of the fields: then neither the match nor its negation
    /// holds.
    std::optional<std::vector<FieldValue>> read(const KeyFields& fields) const
    {
        std::vector<FieldValue> values;
        for (const Field field : fields) {
            values.push_back(read(field));
            if (std::holds_alternative<std::monostate>(values.back())) {
                return std::nullopt;
            }
        }
        return values;
    }

    FieldValue read(Field field) const
    {
        switch (field) {
        case Field::InputInterface:
            return name_of(packet_.input);
        case Field::OutputInterface:
            return name_of(packet_.output);
        case Field::Source4:
            return of_family(packet_.source, Family::V4);
        case Field::Source6:
            return of_family(packet_.source, Family::V6);
        case Field::Destination4:
            return of_family(packet_.destination, Family::V4);
        case Field::Destination6:
            return of_family(packet_.destination, Family::V6);
        case Field::Protocol:
            return family() ? FieldValue(std::uint32_t{packet_.protocol}) : FieldValue();
        case Field::SourcePort:
            return number_of_port(packet_.source_port);
        case Field::DestinationPort:
            return number_of_port(packet_.destination_port);
        case Field::IcmpKind:
            return family() == Family::V4 && begins_with(IPPROTO_ICMP)
                       ? FieldValue(std::uint32_t{packet_.icmp_type})
                       : FieldValue();
        case Field::Icmpv6Kind:
            return family() == Family::V6 && begins_with(IPPROTO_ICMPV6)
                       ? FieldValue(std::uint32_t{packet_.icmp_type})
                       : FieldValue();
        case Field::SocketUid:
            return number_of(packet_.uid);
        case Field::SocketGid:
            return number_of(packet_.gid);
        case Field::Mark:
            return packet_.mark;
        case Field::SourceMac:
            return packet_.source_mac ? FieldValue(*packet_.source_mac) : FieldValue();
        case Field::ArpSource:
            return packet_.arp ? FieldValue(packet_.arp->source) : FieldValue();
        case Field::ArpTarget:
            return packet_.arp ? FieldValue(packet_.arp->target) : FieldValue();
        }
        return {};
    }

    const SetElement* find(const SetHandle& handle, std::span<const FieldValue> values) const
    {
        const auto set = std::ranges::find(table_.sets, handle, &Set::handle);
        if (set == table_.sets.end()) {
            return nullptr;
        }
        const auto found = std::ranges::find_if(set->elements, [&](const SetElement& element) {
            return std::ranges::equal(element.key, values,
                                      [](const KeyPart& part, const FieldValue& value) {
                                          return std::visit(PartMatches{value}, part);
                                      });
        });
        return found == set->elements.end() ? nullptr : &*found;
    }

    const Table& table_;
    Packet& packet_;
    bool tracked_;
};

struct HookedChain {
    const Table* table;
    const Chain* chain;
};

/// The table family that sees `packet` at `hook`; nullopt if none does.
std::optional<TableFamily> family_at(Hook hook, const Packet& packet)
{
    if (hook == Hook::Egress) {
        return TableFamily::Netdev;
    }
    if (packet.arp) {
        return TableFamily::Arp;
    }
    return packet.ether_type ? std::nullopt : std::optional(TableFamily::Inet);
}

/// Neighbour discovery and multicast listener discovery, which connection tracking ignores
/// (nf_conntrack_proto_icmpv6.c).
bool is_never_tracked(const Packet& packet)
{
    return packet.protocol == IPPROTO_ICMPV6 &&
           ((packet.icmp_type >= 130 && packet.icmp_type <= 137) || packet.icmp_type == 143);
}

bool is_met(const BaseChain& base, Hook hook, const Packet& packet)
{
    const bool is_new = !is_never_tracked(packet) &&
                        (!packet.flow || packet.flow->state == TrackedFlow::State::New);
    return base.hook == hook && (hook != Hook::Egress || base.device == packet.output) &&
           (base.type != ChainType::Nat || is_new);
}

std::vector<HookedChain> chains_at(const Ruleset& ruleset, Hook hook, const Packet& packet)
{
    const std::optional<TableFamily> family = family_at(hook, packet);
    std::vector<HookedChain> chains;
    for (const Table& table : ruleset.tables) {
        for (const Chain& chain : table.chains) {
            if (table.family == family && chain.base && is_met(*chain.base, hook, packet)) {
                chains.push_back({&table, &chain});
            }
        }
    }
    std::ranges::stable_sort(
        chains, {}, [](const HookedChain& hooked) { return hooked.chain->base->priority; });
    return chains;
}

bool is_tracked(const BaseChain& base, const Packet& packet)
{
    if (packet.arp || packet.ether_type || base.hook == Hook::Egress) {
        return false;
    }
    const bool first = base.hook == Hook::Prerouting || base.hook == Hook::Output;
    return !first || base.priority > kConntrackPriority;
}

/// The packet at `hook`.
Packet seen_at(Hook hook, Packet packet)
{
    if (hook == Hook::Output || hook == Hook::Egress) {
        packet.input.reset();
    }
    if (hook == Hook::Prerouting || hook == Hook::Input) {
        packet.output.reset();
    }
    if (packet.rerouted && (hook == Hook::Postrouting || hook == Hook::Egress)) {
        packet.output = packet.rerouted;
    }
    if (!packet.flow) {
        packet.flow.emplace();
    }
    return packet;
}

std::vector<Hook> hooks_of(Path path)
{
    switch (path) {
    case Path::Sent:
        return {Hook::Output, Hook::Postrouting, Hook::Egress};
    case Path::Received:
        return {Hook::Prerouting, Hook::Input};
    case Path::Forwarded:
        return {Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress};
    case Path::Frame:
        break;
    }
    return {Hook::Egress};
}

} // namespace

Trace evaluate(const Ruleset& ruleset, Hook hook, const Packet& packet)
{
    Trace trace{Verdict::Accept, {}, seen_at(hook, packet)};
    for (const HookedChain& hooked : chains_at(ruleset, hook, trace.packet)) {
        Walk walk(*hooked.table, trace.packet, is_tracked(*hooked.chain->base, packet));
        trace.steps.push_back(walk.run(*hooked.chain));
        trace.verdict = trace.steps.back().verdict;
        if (trace.verdict != Verdict::Accept) {
            break;
        }
    }
    trace.packet.input = packet.input;
    trace.packet.output = packet.output;
    return trace;
}

Trace evaluate_path(const Ruleset& ruleset, Path path, const Packet& packet)
{
    Trace trace{Verdict::Accept, {}, packet};
    if (path == Path::Sent) {
        trace.packet.input.reset();
    }
    trace.packet.for_others = path == Path::Forwarded;
    for (const Hook hook : hooks_of(path)) {
        Trace part = evaluate(ruleset, hook, trace.packet);
        trace.verdict = part.verdict;
        trace.packet = std::move(part.packet);
        trace.steps.insert(trace.steps.end(), part.steps.begin(), part.steps.end());
        if (trace.verdict != Verdict::Accept) {
            break;
        }
    }
    return trace;
}

} // namespace failclosed
