// SPDX-License-Identifier: GPL-3.0-or-later
// A dnsmasq in a machine of the lab: answers what it is told to, and remembers who asked for what.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/box.hpp"

namespace failclosed::lab {

using Names = std::map<std::string, std::vector<std::string>>; ///< name -> IPv4, IPv6 addresses

struct Query {
    std::string type; ///< "A", "AAAA", ...
    std::string name;
    std::string from; ///< the address that asked
};

/// A name server on one device of a box, with optional DHCP and router advertisements.
/// Names it does not know are refused.
class DnsServer {
  public:
    struct Options {
        std::string interface;
        Names names = {};
        std::vector<std::string> extra = {}; ///< more dnsmasq arguments, e.g. "--cname=a,b"
    };

    /// Returns when it serves; throws LabError where dnsmasq does not start.
    DnsServer(const Box& box, Options options);

    /// Replaces the addresses of `name` (none: forgets it) and returns when that is in force.
    void set(const std::string& name, std::vector<std::string> addresses);
    /// Starts it anew with other extra arguments; leases and names stay.
    void restart(std::vector<std::string> extra);
    void stop();
    void start();

    /// Every query since the start or the last forget_queries(), oldest first.
    std::vector<Query> queries() const;
    void forget_queries();

  private:
    void write_names() const;
    std::string path(const std::string& kind) const;

    const Box* box_;
    Options options_;
    std::optional<Process> process_;
    std::size_t seen_ = 0;
};

/// Arguments for DnsServer::Options::extra: DHCPv4 on the client's wire (gateway and resolver are
/// the ISP's), with short renewals: T1 15 s, T2 40 s of a lease of 120 s.
std::vector<std::string> dhcp_arguments();
/// Router advertisements and DHCPv6 on the client's wire.
std::vector<std::string> ra_arguments();

} // namespace failclosed::lab
