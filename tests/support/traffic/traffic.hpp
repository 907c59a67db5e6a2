// SPDX-License-Identifier: GPL-3.0-or-later
// Programs in the client that send without pause by every way there is, each packet with a tag.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

enum class Way {
    Udp,          ///< unconnected datagrams
    UdpConnected, ///< one socket, connected when the generator started, kept through every error
    TcpSyn,       ///< connects anew each time; the tag is its source port
    TcpConnected, ///< one connection to port 7, made when the generator started
    Ping,         ///< ICMP echo by an unprivileged ping socket
    RawPing,      ///< the same by a raw socket (root)
    Dns,          ///< a query for a tagged name
    LargeUdp,     ///< 4000 bytes: sent in fragments, each with a tag
    RawHeader,    ///< whole IP packets by IPPROTO_RAW (root)
    RawFragment,  ///< a later fragment without a first one, the same way (root)
};

/// How the socket picks its way out.
enum class Via { Route, Device, Source, PacketInfo, UnicastInterface };

struct Kind {
    std::string name; ///< such as "udp4-device@root"
    Way way = Way::Udp;
    Via via = Via::Route;
    std::string to; ///< an IPv4 or IPv6 address; a link-local one or a group is on eth0
    std::uint16_t port = 0;
    uid_t uid = 0;
    std::uint16_t from_port = 0; ///< of a datagram; 0: any
};

inline constexpr uid_t traffic_uid = 4242; ///< a user that runs nothing else

/// Every way, both families, as root and as traffic_uid. To a VPN server's own port only as
/// traffic_uid: root may be the tunnel program itself.
std::vector<Kind> all_kinds();
/// The same, but only sockets that are connected at once: to start while a tunnel is up.
std::vector<Kind> connected_kinds();

/// What speaks to the whole wire: mDNS, LLMNR, NetBIOS, SSDP, groups and broadcasts.
std::vector<Kind> local_kinds();
/// Those of local_kinds() that tell names, and so are refused towards the local network as well.
bool tells_names(const Kind& kind);
/// Through the holes that every lock has: DHCP's ports to hosts that serve none.
std::vector<Kind> hole_kinds();
/// What a guest with a device and addresses of its own can send as root: no sockets that need to
/// know the address.
std::vector<Kind> guest_kinds();

/// Sends until it is destroyed. Errors of sending are counted and otherwise ignored.
class Traffic {
  public:
    struct Options {
        std::vector<Kind> kinds = all_kinds();
        std::chrono::microseconds interval{5000}; ///< each kind sends once in this time
        const Box* box = nullptr;                 ///< where from; nothing: the client
    };

    explicit Traffic(const Lab& lab) : Traffic(lab, Options{}) {}

    /// Returns after the first round; connected kinds have their sockets then (those that could
    /// not be connected within 2 s only count failures).
    Traffic(const Lab& lab, Options options);
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic();

    /// Waits until every kind has tried at least `times` more times.
    bool wait_all_sent(std::uint64_t times, std::chrono::milliseconds timeout = patience) const;
    void stop(); ///< returns when nothing sends any more

    struct Sent {
        std::uint64_t tries = 0;
        std::uint64_t failures = 0; ///< of these, refused with an errno
        int last_errno = 0;
    };

    std::map<std::string, Sent> sent() const; ///< by the kind's name

  private:
    struct Shared;
    std::vector<Kind> kinds_;
    std::vector<int> tags_;
    Shared* shared_ = nullptr;
    std::vector<Process> senders_;
};

} // namespace failclosed::lab
