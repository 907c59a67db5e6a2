// SPDX-License-Identifier: GPL-3.0-or-later
// Single packets by hand, and users who hold single capabilities to send them with.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/lab/box.hpp"
#include "tests/support/traffic/tag.hpp"

namespace failclosed::lab {

/// A tag of this name for as long as the object lives.
class HeldTag {
  public:
    explicit HeldTag(const std::string& name) : tag_(take_tag(name)) {}

    HeldTag(const HeldTag&) = delete;
    HeldTag& operator=(const HeldTag&) = delete;

    ~HeldTag() { release_tag(tag_); }

    std::string text() const { return tag_text(tag_); }

  private:
    int tag_;
};

struct PacketSocket {
    std::string device = "eth0";
    /// Past the queueing disciplines (PACKET_QDISC_BYPASS).
    bool bypass = false;
    /// The EtherType given to the kernel; 0: that of the frame.
    std::uint16_t said_type = 0;
    std::uint32_t mark = 0; ///< set where it is not 0
};

/// Writes a whole frame to an AF_PACKET socket in the calling thread's network. 0, or an errno.
int write_frame(std::span<const std::uint8_t> frame, const PacketSocket& how);

struct DatagramSocket {
    std::string from;            ///< the socket's own address
    std::uint16_t from_port = 0; ///< 0: any
    std::uint32_t mark = 0;      ///< set where it is not 0
    std::string device = {};     ///< bound to it where it is not empty
};

/// Sends `payload` from a socket in the calling thread's network. 0, or an errno.
int send_datagram(const DatagramSocket& how, const std::string& to, std::uint16_t to_port,
                  const std::string& payload);

/// Makes the calling process another user, who keeps these capabilities (CAP_*) and no others. 0,
/// or an errno.
int become(uid_t uid, const std::vector<int>& capabilities);

/// Runs `work` in a child in `box` as such a user; its result is the exit status. As with
/// Process::fork, it must neither throw nor use gtest.
int run_as(const Box& box, uid_t uid, const std::vector<int>& capabilities,
           const std::function<int()>& work);

} // namespace failclosed::lab
