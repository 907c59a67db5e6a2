// SPDX-License-Identifier: GPL-3.0-or-later
// A netlink socket (netlink(7)): lists objects of the kernel, and changes many of them per send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <libmnl/libmnl.h>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/codec/netlink/message.hpp"

namespace failclosed {

/// A request that the kernel refused.
struct Refusal {
    /// The position of the request, from 0.
    std::size_t position = 0;
    /// errno
    int number = 0;
};

class Netlink {
  public:
    /// `bus` is NETLINK_ROUTE, NETLINK_SOCK_DIAG, ... (linux/netlink.h).
    static Result<Netlink> open(int bus);

    /// Sends a dump request and returns the messages of the answer, each padded to four bytes. A
    /// list that changes while it is read is read again, at most five times (EINTR).
    Result<Bytes> dump(Bytes request);

    /// Sends change requests, each padded to four bytes, in order. A refused request does not stop
    /// the others. Fails if the requests could not be sent, or answers were lost.
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
    /// Of one read.
    Bytes received_;
    std::uint32_t sequence_ = 0;
};

} // namespace failclosed
