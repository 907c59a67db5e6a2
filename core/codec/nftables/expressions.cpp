// SPDX-License-Identifier: GPL-3.0-or-later
// One rule as nftables expressions: the only place that knows registers.
#include "core/codec/nftables/expressions.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <span>

#include <arpa/inet.h> // before linux/netfilter.h, whose own in.h gives way to libc's
#include <libmnl/libmnl.h>
#include <libnftnl/expr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_arp.h>
#include <linux/rtnetlink.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "core/base/owned.hpp"

namespace failclosed {
namespace {

constexpr std::uint32_t kMptcpOption = 30; // RFC 8684
constexpr std::uint32_t kWarning = 4;      // syslog(3); the default level of `log` in nft(8)
constexpr std::size_t kRegister32 = 4;

/// libnftnl searches all kinds by name when it allocates one. A rule has five or more, so the
/// common ones are allocated once for each thread, and all their attributes are set anew each time.
class Expression {
  public:
    explicit Expression(const char* name) : handle_(nftnl_expr_alloc(name))
    {
        if (handle_ == nullptr) {
            std::abort(); // out of memory
        }
    }

    Expression& u8(std::uint16_t attribute, std::uint8_t value)
    {
        nftnl_expr_set_u8(handle_.get(), attribute, value);
        return *this;
    }

    Expression& u32(std::uint16_t attribute, std::uint32_t value)
    {
        nftnl_expr_set_u32(handle_.get(), attribute, value);
        return *this;
    }

    Expression& u64(std::uint16_t attribute, std::uint64_t value)
    {
        nftnl_expr_set_u64(handle_.get(), attribute, value);
        return *this;
    }

    Expression& text(std::uint16_t attribute, const char* value)
    {
        nftnl_expr_set_str(handle_.get(), attribute, value);
        return *this;
    }

    Expression& data(std::uint16_t attribute, std::span<const std::uint8_t> value)
    {
        nftnl_expr_set(handle_.get(), attribute, value.data(),
                       static_cast<std::uint32_t>(value.size()));
        return *this;
    }

    void append_to(nlmsghdr* message) const
    {
        nlattr* element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
        nftnl_expr_build_payload(message, handle_.get());
        mnl_attr_nest_end(message, element);
    }

  private:
    Owned<nftnl_expr, nftnl_expr_free> handle_;
};

std::array<std::uint8_t, 4> host_order(std::uint32_t value)
{
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &value, bytes.size());
    return bytes;
}

std::array<std::uint8_t, 2> host_order_16(std::uint16_t value)
{
    std::array<std::uint8_t, 2> bytes{};
    std::memcpy(bytes.data(), &value, bytes.size());
    return bytes;
}

std::array<std::uint8_t, 2> network_order(std::uint16_t value)
{
    return {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value & 0xff)};
}

/// The register `offset` bytes after the first one. The kernel has two numberings for registers,
/// and reports the 16-byte one if possible.
std::uint32_t register_at(std::size_t offset)
{
    const auto words = static_cast<std::uint32_t>(offset / kRegister32);
    return words % 4 == 0 ? NFT_REG_1 + words / 4 : NFT_REG32_00 + words;
}

class RuleWriter {
  public:
    explicit RuleWriter(nlmsghdr* message) : message_(message) {}

    void guards(const Guards& guards)
    {
        if (guards.ether_type) {
            meta(NFT_META_PROTOCOL);
            equals(network_order(guards.ether_type->number));
        } else if (guards.family) {
            meta(NFT_META_NFPROTO);
            equals_byte(*guards.family == Family::V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
        }
        header(guards);
        if (guards.arp) {
            // The offsets of the addresses are valid only after 6-byte hardware addresses.
            payload(NFT_PAYLOAD_NETWORK_HEADER, 0, 4);
            equals(std::to_array<std::uint8_t>({0x00, 0x01, 0x08, 0x00}));
            payload(NFT_PAYLOAD_NETWORK_HEADER, 4, 2);
            equals(std::to_array<std::uint8_t>({6, 4}));
        }
        if (guards.protocol) {
            meta(NFT_META_L4PROTO);
            equals_byte(*guards.protocol);
        }
        if (guards.valid) {
            meta(NFT_META_L4PROTO); // does not match a malformed IP header
            compare(NFT_CMP_GTE, std::to_array<std::uint8_t>({0}));
        }
    }

    void counter(std::uint64_t packets, std::uint64_t bytes)
    {
        put(Expression("counter")
                .u64(NFTNL_EXPR_CTR_PACKETS, packets)
                .u64(NFTNL_EXPR_CTR_BYTES, bytes));
    }

    void end(const Rule& rule, const Guards& guards)
    {
        if (const auto* verdict = std::get_if<Verdict>(&rule.end)) {
            if (*verdict == Verdict::Reject) {
                reject(guards);
            } else {
                decide(*verdict);
            }
        } else if (const auto* jump = std::get_if<Jump>(&rule.end)) {
            decide(*jump);
        } else if (const auto* to = std::get_if<Goto>(&rule.end)) {
            decide(*to);
        } else if (const auto* redirect = std::get_if<RedirectTo>(&rule.end)) {
            translate(redirect->address);
        } else if (std::holds_alternative<Masquerade>(rule.end)) {
            put(Expression("masq"));
        } else if (const auto* dispatch = std::get_if<Dispatch>(&rule.end)) {
            load(fields_of(dispatch->map, dispatch->direction));
            put(Expression("lookup")
                    .u32(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1)
                    .u32(NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT)
                    .text(NFTNL_EXPR_LOOKUP_SET, dispatch->map.name.c_str())
                    .u32(NFTNL_EXPR_LOOKUP_FLAGS, 0));
        }
    }

    // ---- Matches ----

    void operator()(const InFamily&) {}

    void operator()(const OfTransport&) {}

    void operator()(const OfEtherType&) {}

    void operator()(const AsLabelled&) {}

    void operator()(const FromInterface& match)
    {
        interface(NFT_META_IIFNAME, match.name, match.negated);
    }

    void operator()(const ToInterface& match)
    {
        interface(NFT_META_OIFNAME, match.name, match.negated);
    }

    void operator()(const FromNetwork& match)
    {
        network(match.prefix, match.prefix.family() == Family::V4 ? 12 : 8);
    }

    void operator()(const ToNetwork& match)
    {
        network(match.prefix, match.prefix.family() == Family::V4 ? 16 : 24);
    }

    void operator()(const FromPort& match) { port(0, match.port); }

    void operator()(const ToPort& match) { port(2, match.port); }

    void operator()(const IcmpType& match) { icmp(match.type); }

    void operator()(const Icmpv6Type& match) { icmp(match.type); }

    void operator()(const HopLimit& match)
    {
        payload(NFT_PAYLOAD_NETWORK_HEADER, 7, 1);
        equals_byte(match.value);
    }

    void operator()(const LaterFragment& match)
    {
        // The fragment offset without the flags (RFC 791, RFC 8200).
        if (match.family == Family::V4) {
            payload(NFT_PAYLOAD_NETWORK_HEADER, 6, 2);
            bitwise(network_order(0x1fff), network_order(0));
        } else {
            put(Expression("exthdr")
                    .u32(NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1)
                    .u8(NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_FRAGMENT)
                    .u32(NFTNL_EXPR_EXTHDR_OFFSET, 2)
                    .u32(NFTNL_EXPR_EXTHDR_LEN, 2));
            bitwise(network_order(0xfff8), network_order(0));
        }
        compare(NFT_CMP_NEQ, network_order(0));
    }

    void operator()(const HasLongerHeader&)
    {
        // The version, and the header's length in words. The kernel compares for equality without
        // a call (nf_tables_core.c).
        payload(NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
        compare(NFT_CMP_NEQ, std::to_array<std::uint8_t>({0x45}));
    }

    void operator()(const HasIpOptions&)
    {
        payload(NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
        compare(NFT_CMP_GT, std::to_array<std::uint8_t>({0x45}));
        payload(NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
        compare(NFT_CMP_LT, std::to_array<std::uint8_t>({0x50}));
    }

    void operator()(const HasRouterAlertAlone&)
    {
        payload(NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
        equals_byte(0x46);
        payload(NFT_PAYLOAD_NETWORK_HEADER, 20, 4);
        equals(std::to_array<std::uint8_t>({0x94, 0x04, 0x00, 0x00}));
    }

    void operator()(const HasMoreHeaders&)
    {
        for (const auto& protocol : std::to_array<std::array<std::uint8_t, 1>>(
                 {{IPPROTO_UDP}, {IPPROTO_TCP}, {IPPROTO_ICMPV6}})) {
            payload(NFT_PAYLOAD_NETWORK_HEADER, 6, 1);
            compare(NFT_CMP_NEQ, protocol);
        }
    }

    void operator()(const HasRoutingHeader&)
    {
        put(Expression("exthdr")
                .u32(NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1)
                .u8(NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_ROUTING)
                .u32(NFTNL_EXPR_EXTHDR_OFFSET, 0)
                .u32(NFTNL_EXPR_EXTHDR_LEN, 1)
                .u32(NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT));
        equals_byte(1);
    }

    void operator()(const ToMac& match)
    {
        payload(NFT_PAYLOAD_LL_HEADER, 0, 6);
        equals(match.address.bytes());
    }

    void operator()(const FromUid& match)
    {
        meta(NFT_META_SKUID);
        equals(host_order(match.uid.number));
    }

    void operator()(const HasSocket&)
    {
        meta(NFT_META_SKUID); // does not match packets without a socket
        compare(NFT_CMP_NEQ, host_order(kNoUid));
    }

    void operator()(const ToOthers&)
    {
        for (const std::uint32_t type : {RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST}) {
            put(Expression("fib")
                    .u32(NFTNL_EXPR_FIB_DREG, NFT_REG_1)
                    .u32(NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
                    .u32(NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR));
            compare(NFT_CMP_NEQ, host_order(type));
        }
    }

    void operator()(const FromOthers&)
    {
        put(Expression("fib")
                .u32(NFTNL_EXPR_FIB_DREG, NFT_REG_1)
                .u32(NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
                .u32(NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR));
        compare(NFT_CMP_NEQ, host_order(RTN_LOCAL));
    }

    void operator()(const HasMark& match)
    {
        meta(NFT_META_MARK);
        masked_equals(match.value, match.mask);
    }

    void operator()(const HasConntrackMark& match)
    {
        conntrack(NFT_CT_MARK);
        masked_equals(match.value, match.mask);
    }

    void operator()(const InConntrackState& match)
    {
        std::uint32_t states = match.established ? NF_CT_STATE_BIT(IP_CT_ESTABLISHED) : 0;
        states |= match.related ? NF_CT_STATE_BIT(IP_CT_RELATED) : 0;
        conntrack(NFT_CT_STATE);
        bitwise(host_order(states), host_order(0));
        compare(NFT_CMP_NEQ, host_order(0));
    }

    void operator()(const HasMptcpOption&)
    {
        put(Expression("exthdr")
                .u32(NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1)
                .u8(NFTNL_EXPR_EXTHDR_TYPE, kMptcpOption)
                .u32(NFTNL_EXPR_EXTHDR_OFFSET, 0)
                .u32(NFTNL_EXPR_EXTHDR_LEN, 1)
                .u32(NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT)
                .u32(NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT));
        equals_byte(1);
    }

    void operator()(const InSet& match)
    {
        load(fields_of(match.set, match.direction));
        static thread_local Expression lookup("lookup");
        put(lookup.u32(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1)
                .text(NFTNL_EXPR_LOOKUP_SET, match.set.name.c_str())
                .u32(NFTNL_EXPR_LOOKUP_FLAGS, match.negated ? NFT_LOOKUP_F_INV : 0));
    }

    // ---- Actions ----

    void operator()(const SetMark& action)
    {
        meta(NFT_META_MARK);
        bitwise(host_order(~(action.mask | action.value)), host_order(action.value));
        put(Expression("meta")
                .u32(NFTNL_EXPR_META_KEY, NFT_META_MARK)
                .u32(NFTNL_EXPR_META_SREG, NFT_REG_1));
    }

    void operator()(const SetConntrackMark& action)
    {
        conntrack(NFT_CT_MARK);
        bitwise(host_order(~(action.mask | action.value)), host_order(action.value));
        put(Expression("ct")
                .u32(NFTNL_EXPR_CT_KEY, NFT_CT_MARK)
                .u32(NFTNL_EXPR_CT_SREG, NFT_REG_1));
    }

    void operator()(const StripMptcpOption&)
    {
        put(Expression("exthdr")
                .u8(NFTNL_EXPR_EXTHDR_TYPE, kMptcpOption)
                .u32(NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT));
    }

    void operator()(const Log& action)
    {
        put(Expression("limit")
                .u64(NFTNL_EXPR_LIMIT_RATE, action.per_minute)
                .u64(NFTNL_EXPR_LIMIT_UNIT, 60)
                .u32(NFTNL_EXPR_LIMIT_BURST, action.burst)
                .u32(NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS)
                .u32(NFTNL_EXPR_LIMIT_FLAGS, 0));
        put(Expression("log")
                .text(NFTNL_EXPR_LOG_PREFIX, action.prefix.c_str())
                .u32(NFTNL_EXPR_LOG_LEVEL, kWarning));
    }

  private:
    void put(const Expression& expression) { expression.append_to(message_); }

    void header(const Guards& guards)
    {
        if (guards.header == FrameHeader::Any) {
            return;
        }
        meta(NFT_META_IIFTYPE); // of the current device, also at egress
        compare(guards.header == FrameHeader::None ? NFT_CMP_NEQ : NFT_CMP_EQ,
                host_order_16(ARPHRD_ETHER));
        std::uint32_t offset = 12;
        if (guards.header == FrameHeader::Tagged) {
            payload(NFT_PAYLOAD_LL_HEADER, offset, 2);
            equals(network_order(ETH_P_8021Q));
            offset += 4;
        }
        if (guards.header == FrameHeader::Plain || guards.header == FrameHeader::Tagged) {
            const bool is_length = guards.ether_type->number < ETH_P_802_3_MIN;
            payload(NFT_PAYLOAD_LL_HEADER, offset, 2);
            compare(is_length ? NFT_CMP_LT : NFT_CMP_EQ,
                    network_order(is_length ? std::uint16_t{ETH_P_802_3_MIN}
                                            : guards.ether_type->number));
        }
    }

    void meta(std::uint32_t key, std::uint32_t target = NFT_REG_1)
    {
        static thread_local Expression load("meta");
        put(load.u32(NFTNL_EXPR_META_KEY, key).u32(NFTNL_EXPR_META_DREG, target));
    }

    void payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length,
                 std::uint32_t target = NFT_REG_1)
    {
        static thread_local Expression load("payload");
        put(load.u32(NFTNL_EXPR_PAYLOAD_DREG, target)
                .u32(NFTNL_EXPR_PAYLOAD_BASE, base)
                .u32(NFTNL_EXPR_PAYLOAD_OFFSET, offset)
                .u32(NFTNL_EXPR_PAYLOAD_LEN, length));
    }

    void conntrack(std::uint32_t key, std::uint32_t target = NFT_REG_1)
    {
        put(Expression("ct").u32(NFTNL_EXPR_CT_KEY, key).u32(NFTNL_EXPR_CT_DREG, target));
    }

    void compare(std::uint32_t operation, std::span<const std::uint8_t> value)
    {
        static thread_local Expression comparison("cmp");
        put(comparison.u32(NFTNL_EXPR_CMP_SREG, NFT_REG_1)
                .u32(NFTNL_EXPR_CMP_OP, operation)
                .data(NFTNL_EXPR_CMP_DATA, value));
    }

    void equals(std::span<const std::uint8_t> value) { compare(NFT_CMP_EQ, value); }

    void equals_byte(std::uint8_t value) { equals({&value, 1}); }

    void bitwise(std::span<const std::uint8_t> mask, std::span<const std::uint8_t> exclusive_or)
    {
        static thread_local Expression operation("bitwise");
        put(operation.u32(NFTNL_EXPR_BITWISE_SREG, NFT_REG_1)
                .u32(NFTNL_EXPR_BITWISE_DREG, NFT_REG_1)
                .u32(NFTNL_EXPR_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()))
                .u32(NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL)
                .data(NFTNL_EXPR_BITWISE_MASK, mask)
                .data(NFTNL_EXPR_BITWISE_XOR, exclusive_or));
    }

    void masked_equals(std::uint32_t value, std::uint32_t mask)
    {
        if (mask != 0xffffffff) {
            bitwise(host_order(mask), host_order(0));
        }
        equals(host_order(value));
    }

    void interface(std::uint32_t key, const InterfaceName& name, bool negated)
    {
        // Compares all 16 bytes: a shorter comparison would match longer names too.
        std::array<std::uint8_t, 16> padded{};
        std::ranges::copy(name.text(), padded.begin());
        meta(key);
        compare(negated ? NFT_CMP_NEQ : NFT_CMP_EQ, padded);
    }

    void network(const IpPrefix& prefix, std::uint32_t offset)
    {
        const std::span bytes = prefix.address().bytes();
        if (prefix.length() == 0) {
            return; // the family guard is sufficient
        }
        if (prefix.length() % 8 == 0) {
            payload(NFT_PAYLOAD_NETWORK_HEADER, offset, prefix.length() / 8);
            equals(bytes.first(prefix.length() / 8));
            return;
        }
        std::array<std::uint8_t, 16> mask{};
        const std::array<std::uint8_t, 16> zero{};
        for (unsigned bit = 0; bit < prefix.length(); ++bit) {
            mask[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
        }
        payload(NFT_PAYLOAD_NETWORK_HEADER, offset, static_cast<std::uint32_t>(bytes.size()));
        bitwise(std::span(mask).first(bytes.size()), std::span(zero).first(bytes.size()));
        equals(bytes);
    }

    void port(std::uint32_t offset, Port port)
    {
        payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2);
        equals(network_order(port.number()));
    }

    void icmp(std::uint8_t type)
    {
        payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
        equals_byte(type);
    }

    void load(const KeyFields& fields)
    {
        std::size_t offset = 0;
        for (const Field field : fields) {
            load(field, register_at(offset));
            offset += (field_type(field).length + kRegister32 - 1) / kRegister32 * kRegister32;
        }
    }

    void load(Field field, std::uint32_t target)
    {
        switch (field) {
        case Field::InputInterface:
            return meta(NFT_META_IIFNAME, target);
        case Field::OutputInterface:
            return meta(NFT_META_OIFNAME, target);
        case Field::Source4:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 12, 4, target);
        case Field::Destination4:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, target);
        case Field::Source6:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 8, 16, target);
        case Field::Destination6:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 24, 16, target);
        case Field::Protocol:
            return meta(NFT_META_L4PROTO, target);
        case Field::SourcePort:
            return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, target);
        case Field::DestinationPort:
            return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, target);
        case Field::IcmpKind:
        case Field::Icmpv6Kind:
            return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, target);
        case Field::SocketUid:
            return meta(NFT_META_SKUID, target);
        case Field::SocketGid:
            return meta(NFT_META_SKGID, target);
        case Field::SourceMac:
            return payload(NFT_PAYLOAD_LL_HEADER, 6, 6, target);
        case Field::Mark:
            return meta(NFT_META_MARK, target);
        case Field::ArpSource:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 14, 4, target);
        case Field::ArpTarget:
            return payload(NFT_PAYLOAD_NETWORK_HEADER, 24, 4, target);
        }
    }

    void decide(const Decision& decision)
    {
        static thread_local Expression verdict("immediate");
        static thread_local Expression to_chain("immediate");
        const std::string* chain = target_chain(decision);
        Expression& immediate = chain != nullptr ? to_chain : verdict;
        immediate.u32(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT)
            .u32(NFTNL_EXPR_IMM_VERDICT, verdict_code(decision));
        if (chain != nullptr) {
            immediate.text(NFTNL_EXPR_IMM_CHAIN, chain->c_str());
        }
        put(immediate);
    }

    void translate(const IpAddress& address)
    {
        put(Expression("immediate")
                .u32(NFTNL_EXPR_IMM_DREG, NFT_REG_1)
                .data(NFTNL_EXPR_IMM_DATA, address.bytes()));
        put(Expression("nat")
                .u32(NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT)
                .u32(NFTNL_EXPR_NAT_FAMILY,
                     address.family() == Family::V4 ? NFPROTO_IPV4 : NFPROTO_IPV6)
                .u32(NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1));
    }

    void reject(const Guards& guards)
    {
        const std::uint8_t code =
            guards.family == Family::V4 ? ICMP_PKT_FILTERED : ICMP6_DST_UNREACH_NOROUTE;
        put(Expression("reject")
                .u32(NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH)
                .u8(NFTNL_EXPR_REJECT_CODE, code));
    }

    nlmsghdr* message_;
};

} // namespace

void append_expressions(nlmsghdr* message, const KernelRule& rule, std::uint64_t packets,
                        std::uint64_t bytes)
{
    RuleWriter writer(message);
    writer.guards(rule.guards);
    for (const Match& match : rule.rule->matches) {
        std::visit(writer, match);
    }
    if (rule.counted) {
        writer.counter(packets, bytes);
    }
    for (const Action& action : rule.actions) {
        std::visit(writer, action);
    }
    if (rule.ends) {
        writer.end(*rule.rule, rule.guards);
    }
}

std::optional<std::uint32_t> hook_number(TableFamily family, Hook hook)
{
    if (family == TableFamily::Arp) {
        switch (hook) {
        case Hook::Input:
            return NF_ARP_IN;
        case Hook::Output:
            return NF_ARP_OUT;
        case Hook::Forward:
        case Hook::Prerouting:
        case Hook::Postrouting:
        case Hook::Egress:
            return std::nullopt;
        }
    }
    if (family == TableFamily::Netdev) {
        return hook == Hook::Egress ? std::optional<std::uint32_t>(NF_NETDEV_EGRESS) : std::nullopt;
    }
    switch (hook) {
    case Hook::Prerouting:
        return NF_INET_PRE_ROUTING;
    case Hook::Input:
        return NF_INET_LOCAL_IN;
    case Hook::Forward:
        return NF_INET_FORWARD;
    case Hook::Output:
        return NF_INET_LOCAL_OUT;
    case Hook::Postrouting:
        return NF_INET_POST_ROUTING;
    case Hook::Egress:
        break;
    }
    return std::nullopt;
}

std::uint32_t verdict_code(const Decision& decision)
{
    if (std::holds_alternative<Jump>(decision)) {
        return static_cast<std::uint32_t>(NFT_JUMP);
    }
    if (std::holds_alternative<Goto>(decision)) {
        return static_cast<std::uint32_t>(NFT_GOTO);
    }
    switch (std::get<Verdict>(decision)) {
    case Verdict::Accept:
        return NF_ACCEPT;
    case Verdict::Return:
        return static_cast<std::uint32_t>(NFT_RETURN);
    case Verdict::Drop:
    case Verdict::Reject:
        break;
    }
    return NF_DROP;
}

const std::string* target_chain(const Decision& decision)
{
    if (const auto* jump = std::get_if<Jump>(&decision)) {
        return &jump->chain;
    }
    if (const auto* to = std::get_if<Goto>(&decision)) {
        return &to->chain;
    }
    return nullptr;
}

} // namespace failclosed
