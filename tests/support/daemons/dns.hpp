// SPDX-License-Identifier: GPL-3.0-or-later
// A dnsmasq in a machine of the lab: answers what it is told to, and remembers who asked for what.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/lab/box.hpp"

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

    /// Every query since the first start or the last forget_queries(), oldest first; of those that
    /// were answered before this call none is missing.
    std::vector<Query> queries() const;
    /// The names among them.
    std::set<std::string> names_asked() const;
    void forget_queries();

    /// What dnsmasq has logged since the last start: leases and advertisements as well.
    std::string log() const { return process_->output(); }

    /// Waits until a DHCPACK (IPv4) was logged `times` times since the last start.
    bool wait_lease(std::size_t times = 1, std::chrono::milliseconds timeout = patience) const
    {
        return process_->wait_for("DHCPACK(", times, timeout);
    }

  private:
    void catch_up() const; ///< until all that it has received is in its log
    void write_names() const;
    std::string path(const std::string& kind) const;

    const Box* box_;
    Options options_;
    std::optional<Process> process_;
    std::string earlier_; ///< the log of earlier starts
    std::size_t seen_ = 0;
};

/// What a DHCPv4 server offers. The router must have an address in the network.
struct Dhcp {
    std::string network = "192.168.50";  ///< of 24 bits; clients get .100 to .200
    std::string gateway = {};            ///< empty: .1
    std::string resolver = {};           ///< empty: .1; several with commas
    int lease = 120;                     ///< seconds; dnsmasq gives no shorter ones
    int t1 = 15;                         ///< seconds until the client renews, at least 3
    int t2 = 40;                         ///< seconds until it asks any server
    std::vector<std::string> extra = {}; ///< more dnsmasq arguments
};

/// What a router advertises. It must have an address in the prefix.
struct RouterAdvertisement {
    std::string prefix = "2001:db8:50::"; ///< of 64 bits
    std::string resolver = {};            ///< empty: the prefix's ::1
    int lifetime = 120;                   ///< seconds
    bool dhcp6 = true;                    ///< leases of ::100 to ::200
    bool slaac = false;                   ///< addresses of the clients' own making
    int interval = 4;                     ///< seconds between advertisements
};

/// Arguments for DnsServer::Options::extra and DnsServer::restart(); by default for the client's
/// wire, gateway and resolver being the ISP's.
std::vector<std::string> dhcp_arguments(const Dhcp& dhcp = {});
std::vector<std::string> ra_arguments(const RouterAdvertisement& advertisement = {});
/// Both.
std::vector<std::string> dhcp_and_ra(const Dhcp& dhcp = {},
                                     const RouterAdvertisement& advertisement = {});

} // namespace failclosed::lab
