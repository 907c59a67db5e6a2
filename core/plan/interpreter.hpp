// SPDX-License-Identifier: GPL-3.0-or-later
// What a ruleset does with a packet, worked out without the kernel.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/plan/ruleset.hpp"

namespace failclosed {

/// What connection tracking knows of a packet's flow.
struct TrackedFlow {
    enum class State : std::uint8_t { New, Established, Related };

    State state = State::New;
    std::uint32_t mark = 0;

    friend bool operator==(const TrackedFlow&, const TrackedFlow&) = default;
};

/// The addresses of an ARP packet for IPv4 over Ethernet.
struct ArpAddresses {
    IpAddress source = IpAddress::unspecified(Family::V4);
    IpAddress target = IpAddress::unspecified(Family::V4);

    friend bool operator==(const ArpAddresses&, const ArpAddresses&) = default;
};

/// Options in the header of an IPv4 packet.
enum class IpOptions : std::uint8_t {
    None,
    RouterAlert, ///< and no other
    Other,
};

struct Packet {
    /// Not looked at where the kernel does not know them: the input device of what is sent from
    /// here, the output device before routing.
    std::optional<InterfaceName> input;
    std::optional<InterfaceName> output;
    /// Set: a chain of somebody else's at output gave the packet another mark or destination, and
    /// the kernel another route, which leads here. The output hook sees `output` to its end.
    std::optional<InterfaceName> rerouted;
    /// Both of one family, which is the packet's.
    IpAddress source = IpAddress::unspecified(Family::V4);
    IpAddress destination = IpAddress::unspecified(Family::V4);
    /// IANA's number; 17 is UDP.
    std::uint8_t protocol = 17;
    /// Set where the protocol has ports.
    std::optional<Port> source_port;
    std::optional<Port> destination_port;
    /// Of ICMP or ICMPv6, whichever `protocol` is.
    std::uint8_t icmp_type = 0;
    std::uint8_t hop_limit = 64;
    /// A later fragment: only the first one holds ports, an ICMP type and TCP options.
    bool later_fragment = false;
    IpOptions options = IpOptions::None;
    /// Of IPv6, of any type.
    bool routing_header = false;
    /// A first fragment of IPv6 whose extension headers go on in a later one.
    bool headers_cut = false;
    /// Who made the socket; nothing where the packet belongs to none.
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::uint32_t mark = 0;
    /// The destination is no address of this machine, no group and no broadcast, and neither is the
    /// source an address of this machine. evaluate_path() sets it by the path.
    bool for_others = false;
    bool mptcp = false;
    /// Nothing: the first packet of a flow of its own.
    std::optional<TrackedFlow> flow;
    /// Set: an ARP packet, whose addresses these are; ports and the like do not count.
    std::optional<ArpAddresses> arp;
    /// Of the Ethernet header; nothing where the device has none.
    std::optional<MacAddress> source_mac;
    std::optional<MacAddress> destination_mac;
    /// Set: a frame that is neither IP nor ARP, of which the addresses, ports and the like do not
    /// count.
    std::optional<EtherType> ether_type;
    /// A packet socket's frame that says another type than the kernel was told. What is here is
    /// what the kernel takes it for.
    bool mislabelled = false;
    /// The address of the output device, which Masquerade writes; nothing where it has none.
    std::optional<IpAddress> masquerade_source;

    friend bool operator==(const Packet&, const Packet&) = default;
};

/// How one base chain ended.
struct Step {
    std::string table;
    /// The chain with the rule that decided, or the base chain itself.
    std::string chain;
    /// The rule's comment; empty where the chain's policy decided.
    std::string comment;
    Verdict verdict = Verdict::Accept;

    friend bool operator==(const Step&, const Step&) = default;
};

struct Trace {
    /// Accept, Drop or Reject.
    Verdict verdict = Verdict::Accept;
    /// One for each base chain that the packet met, in that order; the last one decided.
    std::vector<Step> steps;
    /// As it is afterwards: marks set, options stripped.
    Packet packet;

    friend bool operator==(const Trace&, const Trace&) = default;
};

/// What the base chains of `hook` do with `packet`, in the order of their priorities (those of
/// equal priority in the order of the ruleset). Drop and Reject are final; Accept ends one chain
/// only. Chains before connection tracking (priority -200) see no flow, as in the kernel, nor do
/// those at Egress, where only chains of the packet's output device are met. Chains of type nat are
/// met by packets of new flows alone: what belongs to a flow that is known is to be given with the
/// addresses that it has after translation.
Trace evaluate(const Ruleset& ruleset, Hook hook, const Packet& packet);

enum class Path : std::uint8_t {
    Sent,      ///< by a program here: output, postrouting, egress
    Received,  ///< for a program here: prerouting, input
    Forwarded, ///< prerouting, forward, postrouting, egress
    Frame,     ///< by a packet socket, a macvlan device or a bridged guest: egress
};

/// All hooks of a path, one after the other, until one drops or rejects.
Trace evaluate_path(const Ruleset& ruleset, Path path, const Packet& packet);

} // namespace failclosed
