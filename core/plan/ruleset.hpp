// SPDX-License-Identifier: GPL-3.0-or-later
// An nftables ruleset as a value: typed matches, no registers, comparable and printable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/plan/set_handle.hpp"

namespace failclosed {

// ---- Matches: all of a rule's must hold. The encoder adds the guards that one needs (address
// family, protocol) by itself. ----

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

/// A later fragment of an IP packet, which holds no ports. Elsewhere than in netdev tables nothing
/// is seen in pieces where connection tracking is at work.
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

/// An IPv4 packet with the option Router Alert (RFC 2113), and with no other.
struct HasRouterAlertAlone {
    friend bool operator==(const HasRouterAlertAlone&, const HasRouterAlertAlone&) = default;
};

/// An IPv6 packet whose first header is not that of TCP, UDP or ICMPv6. Cheap: it reads one byte.
struct HasMoreHeaders {
    friend bool operator==(const HasMoreHeaders&, const HasMoreHeaders&) = default;
};

/// An IPv6 packet with a routing header of any type (RFC 8200, section 4.4), also behind other
/// extension headers. Where an earlier fragment ends before it, it is not seen: AsLabelled does not
/// hold then.
struct HasRoutingHeader {
    friend bool operator==(const HasRoutingHeader&, const HasRoutingHeader&) = default;
};

/// An IP packet that is what it is said to be: a program with a packet socket may tell the kernel
/// another type than the frame's own, and rules would then read addresses where none are. Its IP
/// header is whole, and its Ethernet header, where the device has them, says the same, as it is or
/// behind one VLAN tag. In netdev tables only.
struct AsLabelled {
    Family family = Family::V4;
    friend bool operator==(const AsLabelled&, const AsLabelled&) = default;
};

/// A frame of this type (IEEE 802 numbers), by its Ethernet header as well; in netdev tables only.
/// Numbers below 0x0600 are the kernel's own (linux/if_ether.h) for frames that have a length in
/// the type's place.
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

/// The packet belongs to a socket, whoever made it. The kernel's own packets (of its tunnels, of
/// connections whose socket is closed) and those of other machines belong to none.
struct HasSocket {
    friend bool operator==(const HasSocket&, const HasSocket&) = default;
};

/// The destination is no address of this machine, no group and no broadcast: what receives the
/// packet will forward it or answer that it cannot. Needs CONFIG_NFT_FIB_INET.
struct ToOthers {
    friend bool operator==(const ToOthers&, const ToOthers&) = default;
};

/// The packet came in by a device of this machine. At postrouting this holds for what is forwarded,
/// and for what a tunnel device of this machine has wrapped into packets of its own (Linux 5.7;
/// before, for no packet).
struct HasInput {
    friend bool operator==(const HasInput&, const HasInput&) = default;
};

/// The source is no address of this machine. Needs CONFIG_NFT_FIB_INET.
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

/// What a packet has in the fields of the set's key is an element of it.
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
                 OfEtherType, ToMac, FromUid, HasSocket, ToOthers, HasInput, FromOthers, HasMark,
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

/// A line in the kernel's log that begins with `prefix`, at most `per_minute` of them.
struct Log {
    std::string prefix;
    unsigned per_minute = 0;
    unsigned burst = 0;
    friend bool operator==(const Log&, const Log&) = default;
};

using Action = std::variant<SetMark, SetConntrackMark, StripMptcpOption, Log>;

/// Looks a packet up in a verdict map; one that is not in it goes on to the next rule.
struct Dispatch {
    SetHandle map;
    Direction direction = Direction::Outgoing;
    friend bool operator==(const Dispatch&, const Dispatch&) = default;
};

/// The source becomes the address of the device that the packet leaves by; in chains of type nat at
/// postrouting only.
struct Masquerade {
    friend bool operator==(const Masquerade&, const Masquerade&) = default;
};

/// The destination becomes `address`, the port stays; in chains of type nat at prerouting only.
struct RedirectTo {
    IpAddress address = IpAddress::unspecified(Family::V4);
    friend bool operator==(const RedirectTo&, const RedirectTo&) = default;
};

/// Matches, then a counter where `counted`, then actions, then the end.
struct Rule {
    /// Why the rule is there; goes into the kernel as its comment. At most 127 bytes.
    std::string comment;
    std::vector<Match> matches;
    bool counted = false;
    std::vector<Action> actions;
    /// Nothing: the packet goes on to the next rule.
    std::variant<std::monostate, Verdict, Jump, Goto, Dispatch, Masquerade, RedirectTo> end;

    friend bool operator==(const Rule&, const Rule&) = default;
};

enum class Hook : std::uint8_t {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Egress, ///< what leaves one device, whoever made it; in netdev tables only (Linux 5.16)
};

enum class ChainType : std::uint8_t {
    Filter,
    Nat, ///< sees the first packet of each flow; its translation holds for the rest
};

/// Where a chain is called by the kernel.
struct BaseChain {
    Hook hook = Hook::Output;
    /// Lower runs earlier (linux/netfilter_ipv4.h); filter is 0.
    int priority = 0;
    /// What becomes of packets that no rule decides.
    Verdict policy = Verdict::Drop;
    ChainType type = ChainType::Filter;
    /// The device of an Egress chain, and of no other.
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
    /// In an order in which every chain comes after those that it jumps to.
    std::vector<Chain> chains;

    friend bool operator==(const Table&, const Table&) = default;
};

struct Ruleset {
    std::vector<Table> tables;

    friend bool operator==(const Ruleset&, const Ruleset&) = default;
};

} // namespace failclosed
