// SPDX-License-Identifier: GPL-3.0-or-later
// sock_diag messages out and in.
#include <cstring>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "core/codec/netlink/socket_message.hpp"

namespace failclosed {
namespace {

struct Sample {
    nlmsghdr header{};
    inet_diag_msg body{};
    nlattr mark_header{};
    std::uint32_t mark = 0;

    Sample(std::uint8_t family, const char* local, const char* remote)
    {
        header.nlmsg_len = sizeof(Sample);
        header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
        body.idiag_family = family;
        body.idiag_uid = 1000;
        body.id.idiag_sport = htons(40000);
        body.id.idiag_dport = htons(443);
        body.id.idiag_cookie[0] = 7;
        body.id.idiag_cookie[1] = 8;
        inet_pton(family, local, body.id.idiag_src);
        inet_pton(family, remote, body.id.idiag_dst);
        mark_header.nla_len = sizeof(mark_header) + sizeof(mark);
        mark_header.nla_type = INET_DIAG_MARK;
        mark = 0x1234;
    }

    [[nodiscard]] Bytes bytes() const
    {
        Bytes bytes(sizeof(Sample));
        std::memcpy(bytes.data(), static_cast<const void*>(this), sizeof(Sample));
        return bytes;
    }
};

NetlinkMessage first(ByteView bytes)
{
    return take_message(bytes).value();
}

TEST(SocketMessage, ShowsBothEndsUserAndMark)
{
    const auto bytes = Sample(AF_INET, "192.168.77.2", "198.51.100.20").bytes();
    EXPECT_EQ(decode_flow(first(bytes), Transport::Udp),
              (Flow{Transport::Udp, *IpAddress::parse("192.168.77.2"), 40000,
                    *IpAddress::parse("198.51.100.20"), 443, 1000, 0x1234}));
}

TEST(SocketMessage, MappedAddressesAreIpv4)
{
    const auto bytes = Sample(AF_INET6, "::ffff:192.168.77.2", "::ffff:198.51.100.20").bytes();
    const auto flow = decode_flow(first(bytes), Transport::Tcp);
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->local, *IpAddress::parse("192.168.77.2"));
    EXPECT_EQ(flow->remote, *IpAddress::parse("198.51.100.20"));
}

TEST(SocketMessage, Ipv6StaysIpv6)
{
    const auto bytes = Sample(AF_INET6, "2001:db8::1", "2001:db8::2").bytes();
    EXPECT_EQ(decode_flow(first(bytes), Transport::Tcp)->remote, *IpAddress::parse("2001:db8::2"));
}

TEST(SocketMessage, OtherFamiliesAndMessagesAreNoFlows)
{
    auto unknown = Sample(AF_INET, "192.168.77.2", "198.51.100.20");
    unknown.body.idiag_family = AF_UNIX;
    EXPECT_FALSE(decode_flow(first(unknown.bytes()), Transport::Tcp));
    auto other = Sample(AF_INET, "192.168.77.2", "198.51.100.20");
    other.header.nlmsg_type = NLMSG_DONE;
    EXPECT_FALSE(decode_flow(first(other.bytes()), Transport::Tcp));
}

TEST(SocketMessage, CutShortAnywhereIsReadWithinItsBounds)
{
    const auto bytes = Sample(AF_INET, "192.168.77.2", "198.51.100.20").bytes();
    for (std::uint32_t size = sizeof(nlmsghdr); size < bytes.size(); ++size) {
        Bytes cut(bytes.begin(), bytes.begin() + size);
        std::memcpy(cut.data(), &size, sizeof(size));
        const auto flow = decode_flow(first(cut), Transport::Tcp);
        EXPECT_EQ(flow.has_value(), size >= sizeof(nlmsghdr) + sizeof(inet_diag_msg));
        EXPECT_TRUE(!flow || flow->mark == 0);
    }
}

TEST(SocketMessage, DestroysExactlyTheReportedSocket)
{
    const Sample sample(AF_INET6, "2001:db8::1", "2001:db8::2");
    const auto bytes = sample.bytes();
    Bytes requests;
    append_destruction(requests, first(bytes), Transport::Udp);
    const auto request = first(requests);
    EXPECT_EQ(request.type, SOCK_DESTROY);
    const auto body = read_exactly<inet_diag_req_v2>(request.payload).value();
    EXPECT_EQ(body.sdiag_family, AF_INET6);
    EXPECT_EQ(body.sdiag_protocol, IPPROTO_UDP);
    EXPECT_EQ(std::memcmp(&body.id, &sample.body.id, sizeof(body.id)), 0);
}

TEST(SocketMessage, RequestsConnectedSocketsOnly)
{
    const auto bytes = dump_flows_request(Family::V6, Transport::Tcp);
    const auto body = read_exactly<inet_diag_req_v2>(first(bytes).payload).value();
    EXPECT_EQ(body.sdiag_family, AF_INET6);
    EXPECT_NE(body.idiag_states & (1U << TCP_ESTABLISHED), 0U);
    EXPECT_EQ(body.idiag_states & (1U << TCP_LISTEN | 1U << TCP_CLOSE), 0U);
}

} // namespace
} // namespace failclosed
