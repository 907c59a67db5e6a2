// SPDX-License-Identifier: GPL-3.0-or-later
// The words that our tables are written in: rules by intent, fields by family, numbers by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/config.hpp"
#include "core/plan/firewall.hpp"
#include "core/plan/networks.hpp"

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

InterfaceName loopback();

/// `text` and `number` are our own: they are valid.
IpPrefix prefix(const char* text);
Port port(std::uint16_t number);

InSet outgoing(const SetHandle& set);
InSet incoming(const SetHandle& set);

InSet negated(InSet match);

Rule allow(std::string comment, std::vector<Match> matches);

/// Counted.
Rule refuse(std::string comment, std::vector<Match> matches, Verdict verdict);

void append(std::vector<Rule>& rules, std::vector<Rule> more);

/// A refusal, and before it the line in the log where the configuration wants one.
class Refusals {
  public:
    explicit Refusals(bool logged) : logged_(logged) {}

    [[nodiscard]] std::vector<Rule> operator()(const std::string& comment,
                                               const std::vector<Match>& matches,
                                               Verdict verdict) const;

  private:
    bool logged_;
};

/// The flow was begun by an admitted program: its packets, and ICMP errors about it, carry the
/// connection mark that the first one set.
HasConntrackMark of_admitted_flow();

/// Kinds of rules that not every machine needs.
struct Needs {
    /// Servers that are admitted by mark.
    bool marks = false;
    /// Servers without ports.
    bool portless = false;
    /// Somebody signs in to the network.
    bool portal = false;
    /// Services of this machine are reached from outside the tunnel.
    bool inbound = false;
    /// Guests or a network behind this machine.
    bool downstream = false;
};

Needs needs_of(const State& state, const Config& config, const Admissions& admitted);

// ---- What every machine needs to have a network at all (also in the base form) ----

std::vector<Rule> dhcp_out();
std::vector<Rule> dhcp_in();

} // namespace failclosed
