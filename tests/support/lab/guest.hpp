// SPDX-License-Identifier: GPL-3.0-or-later
// Guests of the client: containers and virtual machines, as far as the network can tell.
#pragma once

#include <string>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

enum class Attachment {
    Routed,  ///< behind a bridge of the client's with a network of its own, as Docker does it
    Bridged, ///< a port of the uplink's bridge: a host of the LAN (see bridge_uplink)
    MacvlanBridge,
    MacvlanPrivate,
    MacvlanVepa,
};

/// The client's bridge for routed guests, and the address of the first of them.
inline constexpr char guests_device[] = "guests0";
inline constexpr char routed_guest4[] = "172.20.0.2";
inline constexpr char routed_guest6[] = "fd20::2";

/// What the uplink's bridge has for a port.
enum class UplinkPort {
    Device, ///< one that cannot be taken for a guest's, as a machine's own; it is called up0
    Wire,   ///< eth0, a veth: as in a container that has guests of its own
};

/// Makes the uplink a port of br0 in the client; addresses and routes move there, the wire stays.
void bridge_uplink(const Box& client, UplinkPort port = UplinkPort::Device);

/// A machine with one device, eth0, of the given kind: addresses, routes and names as a host of
/// its network has them. Guests of one client have different numbers, 1 to 99.
class Guest {
  public:
    Guest(const Lab& lab, Attachment attachment, int number = 1);

    const Box& box() const { return box_; }

    const std::string& address4() const { return address4_; }

    const std::string& address6() const { return address6_; }

    const std::string& mac() const { return mac_; }

  private:
    void attach_routed(const Box& client);

    Box box_;
    std::string mac_;
    std::string address4_;
    std::string address6_;
    std::string port_; ///< the client's end of the wire
};

} // namespace failclosed::lab
