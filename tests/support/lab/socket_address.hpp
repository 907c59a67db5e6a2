// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses in the form that sockets take.
#pragma once

#include <cstdint>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>

namespace failclosed::lab {

union SocketAddress {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
};

/// The address in `text`, of either family. One that means something on a link alone is one of
/// `device`'s, where that is given.
SocketAddress socket_address(const std::string& text, std::uint16_t port,
                             const char* device = nullptr);

} // namespace failclosed::lab
