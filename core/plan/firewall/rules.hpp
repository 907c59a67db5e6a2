// SPDX-License-Identifier: GPL-3.0-or-later
// Helpers to write rules: rules by intent, fields by family, numbers by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/config.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/sets.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {

namespace icmp {
constexpr std::uint8_t kDestinationUnreachable = 3;
constexpr std::uint8_t kRedirect = 5;
constexpr std::uint8_t kTimeExceeded = 11;
constexpr std::uint8_t kParameterProblem = 12;
} // namespace icmp

namespace icmpv6 {
constexpr std::uint8_t kDestinationUnreachable = 1;
constexpr std::uint8_t kPacketTooBig = 2;
constexpr std::uint8_t kTimeExceeded = 3;
constexpr std::uint8_t kParameterProblem = 4;
constexpr std::uint8_t kListenerQuery = 130;
constexpr std::uint8_t kListenerReport = 131;
constexpr std::uint8_t kListenerDone = 132;
constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kRouterAdvertisement = 134;
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::uint8_t kRedirect = 137;
constexpr std::uint8_t kListenerReportV2 = 143;
} // namespace icmpv6

// Priorities of linux/netfilter_ipv4.h. Raw comes before reassembly, which answers missing
// fragments; postrouting rules come after source NAT, so that they see the addresses on the wire.
inline constexpr int kPriorityRaw = -450;
inline constexpr int kPriorityMangle = -150;
inline constexpr int kPriorityDestinationNat = -100;
inline constexpr int kPriorityFilter = 0;
inline constexpr int kPrioritySourceNat = 100;
inline constexpr int kPriorityAfterNat = 300;

/// Names of chains that rules jump to.
namespace chains {
inline constexpr const char* kAdmittedFlow = "admitted_flow";
inline constexpr const char* kForeignServer = "foreign_server";
inline constexpr const char* kFromTunnel = "from_tunnel";
inline constexpr const char* kIntoTunnel = "into_tunnel";
inline constexpr const char* kOntoTheWire = "onto_the_wire";
inline constexpr const char* kPacketsOntoTheWire = "packets_onto_the_wire";
inline constexpr const char* kPassingThrough = "passing_through";
inline constexpr const char* kPastTunnel = "past_tunnel";
inline constexpr const char* kPortal = "portal";
inline constexpr const char* kSourceRoute = "source_route";
} // namespace chains

InterfaceName loopback();

/// `text` and `number` must be valid.
IpPrefix prefix(const char* text);
Port port(std::uint16_t number);

InSet outgoing(const SetHandle& set);
InSet incoming(const SetHandle& set);

InSet negated(InSet match);

Rule allow(std::string comment, std::vector<Match> matches);

/// Counted. `verdict` is Drop or Reject.
Rule refuse(std::string comment, std::vector<Match> matches, Verdict verdict);

/// Continues with the next rule.
Rule mark(std::string comment, std::vector<Match> matches, Action action);

Rule jump(std::string comment, std::vector<Match> matches, std::string chain);

/// A jump without return.
Rule go_to(std::string comment, std::vector<Match> matches, std::string chain);

/// Returns to the calling chain.
Rule go_back(std::string comment, std::vector<Match> matches);

/// The verdict is looked up in `map`.
Rule dispatch(std::string comment, const SetHandle& map, Direction direction);

Rule counted(Rule rule);

/// Adds `action`, before the verdict.
Rule with(Action action, Rule rule);

void append(std::vector<Rule>& rules, std::vector<Rule> more);

/// A refusal, preceded by a log rule if the configuration asks for one.
class Refusals {
  public:
    explicit Refusals(bool logged) : logged_(logged) {}

    [[nodiscard]] std::vector<Rule> operator()(const std::string& comment,
                                               const std::vector<Match>& matches,
                                               Verdict verdict) const;

  private:
    bool logged_;
};

/// The packet is marked as the underlay's.
HasMark marked();
SetMark mark_packet();

/// Packets of a flow, and ICMP errors about it, carry the connection mark that the first packet was
/// given: kUnderlayMark (an admitted program began it), kInboundMark, kPortalMark or kLocalMark.
HasConntrackMark of_flow(std::uint32_t mark);
SetConntrackMark mark_flow(std::uint32_t mark);

/// Optional kinds of rules.
struct Needs {
    /// A server is admitted by mark.
    bool marks = false;
    /// A server has a transport without ports.
    bool portless = false;
    /// A sign-in to the network is admitted.
    bool portal = false;
    /// Services of this machine are reached from outside the tunnel.
    bool inbound = false;
    /// Guests or a network behind this machine.
    bool downstream = false;
};

Needs needs_of(const State& state, const Config& config, const Admissions& admitted);

// ---- Rules that every network needs (also in base_ruleset()) ----

std::vector<Rule> dhcp_out();
std::vector<Rule> dhcp_in();
Rule listener_query();

// ---- Rules for received packets in more than one chain ----

Rule no_tunnel_network_elsewhere(Family family);
Rule from_behind(Family family);

} // namespace failclosed
