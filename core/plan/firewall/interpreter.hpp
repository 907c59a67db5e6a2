// SPDX-License-Identifier: GPL-3.0-or-later
// Computes the verdict of a ruleset on a packet without the kernel.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/plan/firewall/ruleset.hpp"

namespace failclosed {

/// The connection tracking data of a packet's flow.
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
    RouterAlert, ///< as the only option
    Other,
};

struct Packet {
    /// Ignored if the kernel does not know them: the input device of sent packets, the output
    /// device before routing.
    std::optional<InterfaceName> input;
    std::optional<InterfaceName> output;
    /// Set: a chain of another program at output changed mark or destination, so that the kernel
    /// rerouted the packet to this device. The output hook sees `output` throughout.
    std::optional<InterfaceName> rerouted;
    /// Both of the packet's family.
    IpAddress source = IpAddress::unspecified(Family::V4);
    IpAddress destination = IpAddress::unspecified(Family::V4);
    /// IANA's number; 17 is UDP.
    std::uint8_t protocol = 17;
    /// Set if the protocol has ports.
    std::optional<Port> source_port;
    std::optional<Port> destination_port;
    /// ICMP or ICMPv6 type, according to `protocol`.
    std::uint8_t icmp_type = 0;
    std::uint8_t hop_limit = 64;
    /// A later fragment: only the first one has ports, an ICMP type and TCP options.
    bool later_fragment = false;
    IpOptions options = IpOptions::None;
    /// An IPv6 routing header of any type.
    bool routing_header = false;
    /// A first IPv6 fragment whose extension headers continue in a later one.
    bool headers_cut = false;
    /// The user that created the socket; nullopt if the packet has no socket.
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::uint32_t mark = 0;
    /// The destination is not an address of this machine, a group or a broadcast address, and the
    /// source is not an address of this machine. evaluate_path() sets it by the path.
    bool for_others = false;
    bool mptcp = false;
    /// nullopt: the first packet of a new flow.
    std::optional<TrackedFlow> flow;
    /// Set: an ARP packet with these addresses; IP fields are ignored.
    std::optional<ArpAddresses> arp;
    /// From the Ethernet header; nullopt if the device has none.
    std::optional<MacAddress> source_mac;
    std::optional<MacAddress> destination_mac;
    /// Set: a frame that is neither IP nor ARP; IP fields are ignored.
    std::optional<EtherType> ether_type;
    /// A frame of a packet socket whose EtherType differs from the protocol given to the kernel.
    /// The other fields describe what the kernel takes it for.
    bool mislabelled = false;
    /// The address of the output device, which Masquerade writes; nullopt if it has none.
    std::optional<IpAddress> masquerade_source;

    friend bool operator==(const Packet&, const Packet&) = default;
};

/// The result of one base chain.
struct Step {
    std::string table;
    /// The chain with the rule that decided, or the base chain itself.
    std::string chain;
    /// The rule's comment; empty if the chain's policy decided.
    std::string comment;
    Verdict verdict = Verdict::Accept;

    friend bool operator==(const Step&, const Step&) = default;
};

struct Trace {
    /// Accept, Drop or Reject.
    Verdict verdict = Verdict::Accept;
    /// One for each base chain that the packet passed, in order; the last one decided.
    std::vector<Step> steps;
    /// The packet afterwards: marks set, options stripped.
    Packet packet;

    friend bool operator==(const Trace&, const Trace&) = default;
};

/// Evaluates the base chains of `hook` by priority (chains of equal priority in the order of the
/// ruleset). Drop and Reject are final; Accept ends one chain only. Chains before connection
/// tracking (priority -200) and at Egress see no flow, as in the kernel. At Egress only chains of
/// the packet's output device apply. Chains of type nat apply to new flows only: a packet of a
/// known flow must be given with its addresses after translation.
Trace evaluate(const Ruleset& ruleset, Hook hook, const Packet& packet);

enum class Path : std::uint8_t {
    Sent,      ///< by a local program: output, postrouting, egress
    Received,  ///< for a local program: prerouting, input
    Forwarded, ///< prerouting, forward, postrouting, egress
    Frame,     ///< by a packet socket, a macvlan device or a bridged guest: egress
};

/// All hooks of a path, one after the other, until one drops or rejects.
Trace evaluate_path(const Ruleset& ruleset, Path path, const Packet& packet);

} // namespace failclosed
