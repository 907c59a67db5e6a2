// SPDX-License-Identifier: GPL-3.0-or-later
// Which sockets are connected outside the tunnels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/plan/routing/networks.hpp"

namespace failclosed {

/// A connected TCP or UDP socket of this machine. IPv4 addresses if an IPv6 socket uses IPv4.
struct Flow {
    Transport transport = Transport::Tcp;
    IpAddress local;
    std::uint16_t local_port = 0;
    IpAddress remote;
    std::uint16_t remote_port = 0;
    uid_t uid = 0;
    std::uint32_t mark = 0;

    friend bool operator==(const Flow&, const Flow&) = default;
};

/// Decides which flows are ended.
class FlowPolicy {
  public:
    FlowPolicy(const State& state, const Config& config, const Snapshot& snapshot);

    /// Neither on loopback, nor between addresses of this machine, nor from a tunnel's address,
    /// nor to the local network, nor of an admitted program to its server, nor of a DHCP client,
    /// nor of an inbound service.
    [[nodiscard]] bool is_foreign(const Flow& flow) const;

  private:
    [[nodiscard]] bool is_admitted(const Flow& flow) const;
    [[nodiscard]] bool is_local_network(const IpAddress& address) const;
    [[nodiscard]] bool is_inbound(const Flow& flow) const;

    std::vector<IpAddress> own_;
    std::vector<IpAddress> tunnel_addresses_;
    std::vector<IpPrefix> tunnel_networks_;
    std::vector<IpPrefix> lan_;
    std::vector<InboundService> inbound_;
    Admissions admitted_;
};

} // namespace failclosed
