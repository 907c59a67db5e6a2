// SPDX-License-Identifier: GPL-3.0-or-later
// sock_diag requests and answers (linux/inet_diag.h).
#include "core/codec/netlink/socket_message.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

namespace failclosed {

namespace {

struct Request {
    nlmsghdr header;
    inet_diag_req_v2 body;
};

void append(Bytes& requests, const Request& request)
{
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(&request), sizeof(request));
    requests.insert(requests.end(), bytes.begin(), bytes.end());
}

Request make_request(std::uint16_t type, std::uint16_t flags, std::uint8_t family,
                     Transport transport)
{
    Request request{};
    request.header.nlmsg_len = sizeof(Request);
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    request.body.sdiag_family = family;
    request.body.sdiag_protocol = static_cast<std::uint8_t>(transport);
    return request;
}

/// States in which a socket has a peer and can send to it. A connected UDP socket is ESTABLISHED.
constexpr std::uint32_t kConnected =
    1U << TCP_ESTABLISHED | 1U << TCP_SYN_SENT | 1U << TCP_SYN_RECV | 1U << TCP_FIN_WAIT1 |
    1U << TCP_FIN_WAIT2 | 1U << TCP_CLOSE_WAIT | 1U << TCP_LAST_ACK | 1U << TCP_CLOSING;

std::optional<IpAddress> read_address(std::span<const std::uint32_t, 4> words, std::uint8_t family)
{
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), words.data(), bytes.size());
    constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const ByteView view(bytes);
    if (family == AF_INET) {
        return IpAddress::from_bytes(view.first(4));
    }
    return IpAddress::from_bytes(std::ranges::equal(view.first(12), mapped) ? view.subspan(12)
                                                                            : view);
}

std::uint32_t read_mark(ByteView attributes)
{
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == INET_DIAG_MARK) {
            return read_exactly<std::uint32_t>(attribute->value).value_or(0);
        }
    }
    return 0;
}

} // namespace

Bytes dump_flows_request(Family family, Transport transport)
{
    auto request = make_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP,
                                family == Family::V4 ? AF_INET : AF_INET6, transport);
    request.body.idiag_states = kConnected;
    Bytes bytes;
    append(bytes, request);
    return bytes;
}

std::optional<Flow> decode_flow(const NetlinkMessage& message, Transport transport)
{
    const auto body = read_front<inet_diag_msg>(message.payload);
    if (message.type != SOCK_DIAG_BY_FAMILY || !body ||
        (body->idiag_family != AF_INET && body->idiag_family != AF_INET6)) {
        return std::nullopt;
    }
    const auto local = read_address(body->id.idiag_src, body->idiag_family);
    const auto remote = read_address(body->id.idiag_dst, body->idiag_family);
    if (!local || !remote) {
        return std::nullopt;
    }
    return Flow{transport,
                *local,
                ntohs(body->id.idiag_sport),
                *remote,
                ntohs(body->id.idiag_dport),
                body->idiag_uid,
                read_mark(message.payload.subspan(sizeof(inet_diag_msg)))};
}

void append_destruction(Bytes& requests, const NetlinkMessage& message, Transport transport)
{
    const auto body = read_front<inet_diag_msg>(message.payload);
    if (!body) {
        return;
    }
    auto request = make_request(SOCK_DESTROY, 0, body->idiag_family, transport);
    request.body.idiag_states = kConnected;
    // The id holds a cookie, so the kernel destroys no other socket.
    request.body.id = body->id;
    append(requests, request);
}

} // namespace failclosed
