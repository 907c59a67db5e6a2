// SPDX-License-Identifier: GPL-3.0-or-later
// An nftables ruleset as a value: typed matches, no registers, comparable and printable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/plan/firewall/set_handle.hpp"

namespace failclosed {

// ---- Matches: all matches of a rule must hold. The encoder adds the guards that they need
// (address family, protocol). ----

struct InFamily {
    Family family = Family::V4;
    friend bool operator==(const InFamily&, const InFamily&) = default;
};

struct FromInterface {
    InterfaceName name;
    bool negated = false;
    friend bool operator==(const FromInterface&, const FromInterface&) = default;
};

struct ToInterface {
    InterfaceName name;
    bool negated = false;
    friend bool operator==(const ToInterface&, const ToInterface&) = default;
};

struct FromNetwork {
    IpPrefix prefix;
    friend bool operator==(const FromNetwork&, const FromNetwork&) = default;
};

struct ToNetwork {
    IpPrefix prefix;
    friend bool operator==(const ToNetwork&, const ToNetwork&) = default;
};

struct OfTransport {
    Transport transport = Transport::Udp;
    friend bool operator==(const OfTransport&, const OfTransport&) = default;
};

struct FromPort {
    Transport transport = Transport::Udp;
    Port port;
    friend bool operator==(const FromPort&, const FromPort&) = default;
};

struct ToPort {
    Transport transport = Transport::Udp;
    Port port;
    friend bool operator==(const ToPort&, const ToPort&) = default;
};

/// IPv6 hop limit, exactly: 255 proves that a packet has not been routed (RFC 4861).
struct HopLimit {
    std::uint8_t value = 255;
    friend bool operator==(const HopLimit&, const HopLimit&) = default;
};

/// A later fragment of an IP packet, which has no ports. In other tables than netdev connection
/// tracking has reassembled all packets.
struct LaterFragment {
    Family family = Family::V4;
    friend bool operator==(const LaterFragment&, const LaterFragment&) = default;
};

/// Any packet but an IPv4 packet without options (RFC 791). Cheap: it reads one byte.
struct HasLongerHeader {
    friend bool operator==(const HasLongerHeader&, const HasLongerHeader&) = default;
};

/// An IPv4 packet with options in its header (RFC 791).
struct HasIpOptions {
    friend bool operator==(const HasIpOptions&, const HasIpOptions&) = default;
};

/// An IPv4 packet with Router Alert (RFC 2113) as the only option.
struct HasRouterAlertAlone {
    friend bool operator==(const HasRouterAlertAlone&, const HasRouterAlertAlone&) = default;
};

/// An IPv6 packet whose first header is not that of TCP, UDP or ICMPv6. Reads one byte.
struct HasMoreHeaders {
    friend bool operator==(const HasMoreHeaders&, const HasMoreHeaders&) = default;
};

/// An IPv6 packet with a routing header of any type (RFC 8200, section 4.4), also behind other
/// extension headers. Not seen if the first fragment ends before it; AsLabelled does not hold then.
struct HasRoutingHeader {
    friend bool operator==(const HasRoutingHeader&, const HasRoutingHeader&) = default;
};

/// An IP packet with the EtherType of its IP version: a program with a packet socket may give the
/// kernel another type than the frame's, and rules would then read wrong fields. The IP header is
/// complete, and the Ethernet header, if the device has one, has the same type, directly or behind
/// one VLAN tag. In netdev tables only.
struct AsLabelled {
    Family family = Family::V4;
    friend bool operator==(const AsLabelled&, const AsLabelled&) = default;
};

/// A frame of this EtherType, in its Ethernet header as well; in netdev tables only. Numbers below
/// 0x0600 are the kernel's own (linux/if_ether.h) for frames with a length in that field.
struct OfEtherType {
    EtherType type;
    friend bool operator==(const OfEtherType&, const OfEtherType&) = default;
};

/// A frame to this hardware address; in netdev tables only.
struct ToMac {
    MacAddress address;
    friend bool operator==(const ToMac&, const ToMac&) = default;
};

struct FromUid {
    Uid uid;
    friend bool operator==(const FromUid&, const FromUid&) = default;
};

/// The packet belongs to a socket of any user. Packets of the kernel (of its tunnels, of
/// connections whose socket is closed) and of other machines have no socket.
struct HasSocket {
    friend bool operator==(const HasSocket&, const HasSocket&) = default;
};

/// The destination is not an address of this machine, a group or a broadcast address: the kernel
/// forwards the packet or answers with an error. Needs CONFIG_NFT_FIB_INET.
struct ToOthers {
    friend bool operator==(const ToOthers&, const ToOthers&) = default;
};

/// The source is not an address of this machine. Needs CONFIG_NFT_FIB_INET.
struct FromOthers {
    friend bool operator==(const FromOthers&, const FromOthers&) = default;
};

/// (meta mark & mask) == value.
struct HasMark {
    std::uint32_t value = 0;
    std::uint32_t mask = 0xffffffff;
    friend bool operator==(const HasMark&, const HasMark&) = default;
};

/// (ct mark & mask) == value.
struct HasConntrackMark {
    std::uint32_t value = 0;
    std::uint32_t mask = 0xffffffff;
    friend bool operator==(const HasConntrackMark&, const HasConntrackMark&) = default;
};

/// Any of these conntrack states.
struct InConntrackState {
    bool established = false;
    bool related = false;
    friend bool operator==(const InConntrackState&, const InConntrackState&) = default;
};

/// A TCP packet that carries the MPTCP option (kind 30, RFC 8684).
struct HasMptcpOption {
    friend bool operator==(const HasMptcpOption&, const HasMptcpOption&) = default;
};

/// The packet's values of the set's key fields are an element of the set.
struct InSet {
    SetHandle set;
    Direction direction = Direction::Outgoing;
    bool negated = false;
    friend bool operator==(const InSet&, const InSet&) = default;
};

using Match =
    std::variant<InFamily, FromInterface, ToInterface, FromNetwork, ToNetwork, OfTransport,
                 FromPort, ToPort, IcmpType, Icmpv6Type, HopLimit, LaterFragment, HasLongerHeader,
                 HasIpOptions, HasRouterAlertAlone, HasMoreHeaders, HasRoutingHeader, AsLabelled,
                 OfEtherType, ToMac, FromUid, HasSocket, ToOthers, FromOthers, HasMark,
                 HasConntrackMark, InConntrackState, HasMptcpOption, InSet>;

// ---- Rules ----

/// meta mark = (meta mark & ~mask) | value.
struct SetMark {
    std::uint32_t value = 0;
    std::uint32_t mask = 0;
    friend bool operator==(const SetMark&, const SetMark&) = default;
};

/// ct mark = (ct mark & ~mask) | value.
struct SetConntrackMark {
    std::uint32_t value = 0;
    std::uint32_t mask = 0;
    friend bool operator==(const SetConntrackMark&, const SetConntrackMark&) = default;
};

/// Overwrites the MPTCP option with no-operations, so that the peer sees plain TCP.
struct StripMptcpOption {
    friend bool operator==(const StripMptcpOption&, const StripMptcpOption&) = default;
};

/// Logs a line that begins with `prefix`, at most `per_minute` times.
struct Log {
    std::string prefix;
    unsigned per_minute = 0;
    unsigned burst = 0;
    friend bool operator==(const Log&, const Log&) = default;
};

using Action = std::variant<SetMark, SetConntrackMark, StripMptcpOption, Log>;

/// Looks up the packet in a verdict map; continues with the next rule if it is not in the map.
struct Dispatch {
    SetHandle map;
    Direction direction = Direction::Outgoing;
    friend bool operator==(const Dispatch&, const Dispatch&) = default;
};

/// The source becomes the address of the output device; in chains of type nat at postrouting only.
struct Masquerade {
    friend bool operator==(const Masquerade&, const Masquerade&) = default;
};

/// The destination becomes `address`, the port stays; in chains of type nat at prerouting only.
struct RedirectTo {
    IpAddress address = IpAddress::unspecified(Family::V4);
    friend bool operator==(const RedirectTo&, const RedirectTo&) = default;
};

/// Matches, then a counter if `counted`, then actions, then the end.
struct Rule {
    /// The rule's reason, stored in the kernel as its comment. At most 127 bytes.
    std::string comment;
    std::vector<Match> matches;
    bool counted = false;
    std::vector<Action> actions;
    /// nullopt: continues with the next rule.
    std::variant<std::monostate, Verdict, Jump, Goto, Dispatch, Masquerade, RedirectTo> end;

    friend bool operator==(const Rule&, const Rule&) = default;
};

enum class Hook : std::uint8_t {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Egress, ///< all frames that leave one device; in netdev tables only (Linux 5.16)
};

enum class ChainType : std::uint8_t {
    Filter,
    Nat, ///< sees the first packet of each flow; its translation applies to the flow
};

/// Hook and order in which the kernel calls a chain.
struct BaseChain {
    Hook hook = Hook::Output;
    /// Lower runs earlier (linux/netfilter_ipv4.h); filter is 0.
    int priority = 0;
    /// The verdict if no rule decides.
    Verdict policy = Verdict::Drop;
    ChainType type = ChainType::Filter;
    /// The device; set for Egress chains only.
    std::optional<InterfaceName> device = {};

    friend bool operator==(const BaseChain&, const BaseChain&) = default;
};

struct Chain {
    std::string name;
    std::optional<BaseChain> base;
    std::vector<Rule> rules;

    friend bool operator==(const Chain&, const Chain&) = default;
};

enum class TableFamily : std::uint8_t { Inet, Arp, Netdev };

struct Table {
    TableFamily family = TableFamily::Inet;
    std::string name;
    std::vector<Set> sets;
    /// Every chain comes after those that it jumps to.
    std::vector<Chain> chains;

    friend bool operator==(const Table&, const Table&) = default;
};

struct Ruleset {
    std::vector<Table> tables;

    friend bool operator==(const Ruleset&, const Ruleset&) = default;
};

} // namespace failclosed
