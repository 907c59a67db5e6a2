// SPDX-License-Identifier: GPL-3.0-or-later
// A netlink socket (netlink(7)): lists what the kernel holds, and changes it in few sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <libmnl/libmnl.h>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/codec/netlink_message.hpp"

namespace failclosed {

/// A request that the kernel refused.
struct Refusal {
    /// Which of the requests, counted from 0.
    std::size_t position = 0;
    /// errno
    int number = 0;
};

class Netlink {
  public:
    /// `bus` is NETLINK_ROUTE, NETLINK_SOCK_DIAG, ... (linux/netlink.h).
    static Result<Netlink> open(int bus);

    /// Sends one dump request and returns the messages of the answer, padded to four bytes each.
    /// A list that changed while it was read is read again, some times.
    Result<Bytes> dump(Bytes request);

    /// Sends change requests, each padded to four bytes, in order. One that is refused stops none
    /// of the others. Fails where the kernel could not be asked, or its answers were lost.
    Result<std::vector<Refusal>> change(Bytes requests);

  private:
    using Socket = Owned<mnl_socket, mnl_socket_close>;

    explicit Netlink(Socket socket) : socket_(std::move(socket)) {}

    Status send(ByteView bytes);
    Status receive(Bytes& buffer);
    Result<bool> dump_once(Bytes& request, Bytes& answer);
    Status await_answers(std::uint32_t first, std::uint32_t last, std::size_t offset,
                         std::vector<Refusal>& refusals);

    Socket socket_;
    std::uint32_t sequence_ = 0;
};

} // namespace failclosed
