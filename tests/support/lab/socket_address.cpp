// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses in the form that sockets take.
#include "tests/support/lab/socket_address.hpp"

#include <arpa/inet.h>
#include <net/if.h>

namespace failclosed::lab {

SocketAddress socket_address(const std::string& text, std::uint16_t port, const char* device)
{
    SocketAddress result{};
    if (text.find(':') == std::string::npos) {
        result.v4.sin_family = AF_INET;
        result.v4.sin_port = htons(port);
        inet_pton(AF_INET, text.c_str(), &result.v4.sin_addr);
        return result;
    }
    result.v6.sin6_family = AF_INET6;
    result.v6.sin6_port = htons(port);
    inet_pton(AF_INET6, text.c_str(), &result.v6.sin6_addr);
    if (device != nullptr && (IN6_IS_ADDR_LINKLOCAL(&result.v6.sin6_addr) ||
                              IN6_IS_ADDR_MULTICAST(&result.v6.sin6_addr))) {
        result.v6.sin6_scope_id = if_nametoindex(device);
    }
    return result;
}

} // namespace failclosed::lab
