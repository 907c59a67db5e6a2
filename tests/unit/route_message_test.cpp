// SPDX-License-Identifier: GPL-3.0-or-later
// rtnetlink messages out and in, whole, broken and strange.
#include <algorithm>
#include <array>
#include <cstring>

#include <gtest/gtest.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "core/codec/netlink/route_message.hpp"
#include "core/plan/constants.hpp"

namespace failclosed {
namespace {

template <typename T> void append(Bytes& bytes, const T& value)
{
    const auto* first = reinterpret_cast<const std::uint8_t*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof(T));
}

fib_rule_hdr rule_header(std::uint8_t action, std::uint8_t tos = 0, std::uint32_t flags = 0)
{
    fib_rule_hdr header{};
    header.family = AF_INET;
    header.tos = tos;
    header.action = action;
    header.flags = flags;
    return header;
}

rtmsg route_header(std::uint8_t family, std::uint8_t protocol, std::uint8_t type)
{
    rtmsg header{};
    header.rtm_family = family;
    header.rtm_protocol = protocol;
    header.rtm_type = type;
    return header;
}

/// A message built by hand: header, then attributes.
class Message {
  public:
    template <typename Header> Message(std::uint16_t type, const Header& header)
    {
        append(bytes_, nlmsghdr{.nlmsg_len = 0,
                                .nlmsg_type = type,
                                .nlmsg_flags = 0,
                                .nlmsg_seq = 0,
                                .nlmsg_pid = 0});
        append(bytes_, header);
    }

    Message& with(std::uint16_t type, const Bytes& value)
    {
        append(bytes_, static_cast<std::uint16_t>(4 + value.size()));
        append(bytes_, type);
        bytes_.insert(bytes_.end(), value.begin(), value.end());
        bytes_.resize((bytes_.size() + 3) / 4 * 4);
        return *this;
    }

    Message& with_number(std::uint16_t type, std::uint32_t value)
    {
        Bytes bytes;
        append(bytes, value);
        return with(type, bytes);
    }

    Message& with_text(std::uint16_t type, std::string_view text)
    {
        return with(type, Bytes(text.begin(), text.end()));
    }

    /// The view lives as long as this object.
    NetlinkMessage taken()
    {
        const auto length = static_cast<std::uint32_t>(bytes_.size());
        std::memcpy(bytes_.data(), &length, sizeof(length));
        ByteView view(bytes_);
        return take_message(view).value();
    }

  private:
    Bytes bytes_;
};

std::vector<RoutingRule> all_kinds_of_rules()
{
    RoutingRule base;
    base.priority = 5010;
    base.action = RoutingRule::Action::Lookup;
    base.target = 64600;
    std::vector<RoutingRule> rules(9, base);
    rules[1].action = RoutingRule::Action::Goto;
    rules[1].target = 5020;
    rules[1].local_only = true;
    rules[1].uid = 65534;
    rules[1].transport = Transport::Udp;
    rules[1].destination_port = Port::make(1194);
    rules[2].from = IpPrefix::parse("10.8.0.2");
    rules[3].to = IpPrefix::parse("10.0.0.0/8");
    rules[4].mark = 0x00fc0000;
    rules[4].mark_mask = 0x00ff0000;
    rules[5].action = RoutingRule::Action::Unreachable;
    rules[5].target = 0;
    rules[6].family = Family::V6;
    rules[6].to = IpPrefix::parse("fd08::/64");
    rules[7].transport = Transport::Gre;
    rules[7].uid = 0;
    rules[8].transport = Transport::Tcp;
    rules[8].source_port = Port::make(22);
    rules[8].to = IpPrefix::parse("198.51.100.0/24");
    return rules;
}

std::vector<Route> all_kinds_of_routes()
{
    const auto v4 = IpPrefix::any(Family::V4);
    const auto v6 = IpPrefix::any(Family::V6);
    const auto gateway = IpAddress::parse("10.8.0.1");
    return {{64600, v4, 1024, Route::Type::Unicast, 3, std::nullopt},
            {64600, v4, 1024, Route::Type::Unicast, 3, gateway},
            {64600, v4, 0xfffffffe, Route::Type::Unreachable, 0, std::nullopt},
            {64601, *IpPrefix::parse("203.0.113.10"), 1024, Route::Type::Throw, 0, std::nullopt},
            {64600, v6, 0xfffffffe, Route::Type::Unreachable, 0, std::nullopt},
            {64600, *IpPrefix::parse("fd08::/64"), 1024, Route::Type::Unicast, 9, std::nullopt}};
}

template <typename T> Bytes encoded(const T& entry)
{
    Bytes bytes;
    append_addition(bytes, entry);
    return bytes;
}

NetlinkMessage first(ByteView bytes)
{
    return take_message(bytes).value();
}

TEST(RouteMessage, RulesAreReadAsWritten)
{
    for (const auto& rule : all_kinds_of_rules()) {
        const auto bytes = encoded(rule);
        const auto held = decode_rule(first(bytes));
        ASSERT_TRUE(held) << to_string(rule);
        EXPECT_EQ(held->value, rule) << to_string(rule);
    }
}

TEST(RouteMessage, RoutesAreReadAsWritten)
{
    for (const auto& route : all_kinds_of_routes()) {
        const auto bytes = encoded(route);
        const auto held = decode_route(first(bytes));
        ASSERT_TRUE(held) << to_string(route);
        EXPECT_EQ(held->value, route) << to_string(route);
    }
}

TEST(RouteMessage, RequestsFollowEachOtherAligned)
{
    Bytes bytes;
    for (const auto& rule : all_kinds_of_rules()) {
        append_addition(bytes, rule);
    }
    ByteView rest(bytes);
    std::size_t count = 0;
    while (take_message(rest)) {
        ++count;
    }
    EXPECT_EQ(count, all_kinds_of_rules().size());
    EXPECT_TRUE(rest.empty());
}

TEST(RouteMessage, ARemovalRepeatsWhatTheKernelReported)
{
    const auto bytes = encoded(all_kinds_of_routes().front());
    Bytes requests;
    append_removal(requests, first(bytes));
    const auto request = first(requests);
    EXPECT_EQ(request.type, RTM_DELROUTE);
    EXPECT_EQ(request.flags, NLM_F_REQUEST);
    EXPECT_TRUE(std::ranges::equal(request.payload, first(bytes).payload));
    const auto rule = encoded(all_kinds_of_rules().front());
    requests.clear();
    append_removal(requests, first(rule));
    EXPECT_EQ(first(requests).type, RTM_DELRULE);
}

TEST(RouteMessage, EntriesOfOthersAreNotOurs)
{
    Message rule(RTM_NEWRULE, rule_header(FR_ACT_TO_TBL));
    EXPECT_FALSE(decode_rule(rule.taken()));
    EXPECT_FALSE(decode_rule(rule.with(FRA_PROTOCOL, {RTPROT_STATIC}).taken()));
    Message wide(RTM_NEWRULE, rule_header(FR_ACT_TO_TBL));
    EXPECT_FALSE(decode_rule(wide.with_number(FRA_PROTOCOL, kRouteProtocol).taken()));
    Message route(RTM_NEWROUTE, route_header(AF_INET, RTPROT_DHCP, RTN_UNICAST));
    EXPECT_FALSE(decode_route(route.taken()));
    Message family(RTM_NEWROUTE, route_header(AF_MPLS, kRouteProtocol, RTN_UNICAST));
    EXPECT_FALSE(decode_route(family.taken()));
}

TEST(RouteMessage, OtherMessagesAreNeither)
{
    auto bytes = encoded(all_kinds_of_routes().front());
    EXPECT_FALSE(decode_rule(first(bytes)));
    EXPECT_FALSE(decode_link(first(bytes)));
    EXPECT_FALSE(decode_address(first(bytes)));
    bytes = encoded(all_kinds_of_rules().front());
    EXPECT_FALSE(decode_route(first(bytes)));
}

Message our_rule(const fib_rule_hdr& header = rule_header(FR_ACT_TO_TBL))
{
    Message message(RTM_NEWRULE, header);
    message.with(FRA_PROTOCOL, {kRouteProtocol}).with_number(FRA_TABLE, 64600);
    return message;
}

TEST(RouteMessage, RulesOfOursWithUnknownPartsHaveNoValue)
{
    const auto odd = [](Message message) {
        const auto held = decode_rule(message.taken());
        return held && !held->value;
    };
    EXPECT_FALSE(odd(our_rule()));
    EXPECT_TRUE(odd(our_rule(rule_header(FR_ACT_BLACKHOLE))));
    EXPECT_TRUE(odd(our_rule(rule_header(FR_ACT_TO_TBL, 4))));
    EXPECT_TRUE(odd(our_rule(rule_header(FR_ACT_TO_TBL, 0, FIB_RULE_INVERT))));
    EXPECT_FALSE(odd(our_rule().with_number(FRA_SUPPRESS_PREFIXLEN, 7)));
    EXPECT_FALSE(odd(our_rule().with_number(FRA_SUPPRESS_PREFIXLEN, 0xffffffff)));
    EXPECT_TRUE(odd(our_rule().with_text(FRA_IIFNAME, std::string_view("eth0\0", 5))));
    EXPECT_TRUE(odd(our_rule().with_text(FRA_IIFNAME, "lo")));
    EXPECT_TRUE(odd(our_rule().with_text(FRA_OIFNAME, std::string_view("lo\0", 3))));
    EXPECT_TRUE(odd(our_rule().with(FRA_IP_PROTO, {132})));
    EXPECT_TRUE(odd(our_rule().with(FRA_UID_RANGE, {0, 0, 0, 0, 9, 0, 0, 0})));
    EXPECT_TRUE(odd(our_rule().with(FRA_DPORT_RANGE, {1, 0, 2, 0})));
    EXPECT_TRUE(odd(our_rule().with(FRA_DPORT_RANGE, {0, 0, 0, 0})));
    EXPECT_TRUE(odd(our_rule().with(FRA_SPORT_RANGE, {1, 0, 2, 0})));
    EXPECT_TRUE(odd(our_rule().with(FRA_SPORT_RANGE, {0, 0, 0, 0})));
    EXPECT_TRUE(odd(our_rule().with(FRA_SPORT_RANGE, {1, 0})));
    EXPECT_TRUE(odd(our_rule().with_number(FRA_SUPPRESS_IFGROUP, 1)));
    EXPECT_TRUE(odd(our_rule().with(FRA_DST, {1, 2, 3})));
    EXPECT_TRUE(odd(our_rule().with(FRA_DST, Bytes(16))));
    EXPECT_TRUE(odd(our_rule().with_number(FRA_GOTO, 5020)));
    EXPECT_TRUE(odd(our_rule().with(FRA_PRIORITY, {1})));
    // What a kernel newer than the headers adds to every rule.
    EXPECT_FALSE(odd(our_rule().with(FRA_DPORT_RANGE + 5, {0xff, 0xff})));
}

Message our_route(const rtmsg& header = route_header(AF_INET, kRouteProtocol, RTN_UNICAST))
{
    Message message(RTM_NEWROUTE, header);
    message.with_number(RTA_TABLE, 64600);
    return message;
}

bool is_odd(Message message)
{
    const auto held = decode_route(message.taken());
    return held && !held->value;
}

TEST(RouteMessage, RoutesOfOursWithUnknownPartsHaveNoValue)
{
    EXPECT_FALSE(is_odd(our_route()));
    EXPECT_TRUE(is_odd(our_route(route_header(AF_INET, kRouteProtocol, RTN_BLACKHOLE))));
    auto header = route_header(AF_INET, kRouteProtocol, RTN_UNICAST);
    header.rtm_tos = 4;
    EXPECT_TRUE(is_odd(our_route(header)));
    header.rtm_tos = 0;
    header.rtm_src_len = 8;
    EXPECT_TRUE(is_odd(our_route(header)));
    header.rtm_src_len = 0;
    header.rtm_dst_len = 8;
    EXPECT_TRUE(is_odd(our_route(header)));
    header.rtm_dst_len = 33;
    EXPECT_TRUE(is_odd(our_route(header).with(RTA_DST, {10, 0, 0, 0})));
    EXPECT_TRUE(is_odd(our_route().with(RTA_METRICS, Bytes(8))));
    EXPECT_TRUE(is_odd(our_route().with(RTA_PREFSRC, {10, 0, 0, 1})));
    EXPECT_TRUE(is_odd(our_route().with(RTA_MULTIPATH, Bytes(8))));
    EXPECT_TRUE(is_odd(our_route().with(RTA_GATEWAY, Bytes(16))));
    EXPECT_TRUE(is_odd(our_route().with(RTA_OIF, {3})));
}

TEST(RouteMessage, UnreachableOfIpv6HasNoDevice)
{
    Message message(RTM_NEWROUTE, route_header(AF_INET6, kRouteProtocol, RTN_UNREACHABLE));
    message.with_number(RTA_TABLE, 64600).with_number(RTA_PRIORITY, 0xfffffffe);
    message.with_number(RTA_OIF, 1).with(RTA_CACHEINFO, Bytes(32)).with(RTA_PREF, {0});
    EXPECT_EQ(decode_route(message.taken())->value,
              (Route{64600, IpPrefix::any(Family::V6), 0xfffffffe, Route::Type::Unreachable, 0,
                     std::nullopt}));
}

TEST(RouteMessage, LinksHaveNameIndexAndFlags)
{
    const auto link = [](unsigned flags, std::string_view name, int index = 7) {
        Message message(RTM_NEWLINK, ifinfomsg{AF_UNSPEC, 0, 0, index, flags, 0});
        return decode_link(message.with_text(IFLA_IFNAME, name).taken());
    };
    const auto tun = link(IFF_UP | IFF_POINTOPOINT, std::string_view("tun0\0", 5));
    ASSERT_TRUE(tun);
    EXPECT_EQ(tun->name.text(), "tun0");
    EXPECT_EQ(tun->index, 7U);
    EXPECT_TRUE(tun->up);
    EXPECT_TRUE(tun->point_to_point);
    EXPECT_FALSE(tun->loopback);
    EXPECT_TRUE(link(IFF_LOOPBACK, std::string_view("lo\0", 3))->loopback);
    EXPECT_FALSE(link(0, "eth0"));
    EXPECT_FALSE(link(0, std::string_view("a\0b\0", 4)));
    EXPECT_FALSE(link(0, std::string_view("a\nb\0", 4)));
    EXPECT_FALSE(link(0, std::string_view("sixteen-bytes-xx\0", 17)));
    EXPECT_FALSE(link(0, ""));
    EXPECT_FALSE(link(0, std::string_view("eth0\0", 5), 0));
    EXPECT_FALSE(link(0, std::string_view("eth0\0", 5), -1));
}

void append_text(Bytes& info, std::uint16_t type, const std::string& text)
{
    append(info, static_cast<std::uint16_t>(5 + text.size()));
    append(info, type);
    info.insert(info.end(), text.begin(), text.end());
    info.push_back(0);
    info.resize((info.size() + 3) / 4 * 4);
}

TEST(RouteMessage, GuestsAreAtThePortsOfABridge)
{
    const auto is_guest_port = [](const char* kind, const char* port_of) {
        Message message(RTM_NEWLINK, ifinfomsg{AF_UNSPEC, 0, 0, 7, IFF_UP, 0});
        message.with_text(IFLA_IFNAME, std::string_view("if0\0", 4));
        Bytes info;
        append_text(info, IFLA_INFO_KIND, kind);
        append_text(info, IFLA_INFO_SLAVE_KIND, port_of);
        message.with_number(IFLA_MASTER, 3).with(IFLA_LINKINFO | NLA_F_NESTED, info);
        return decode_link(message.taken())->is_guest_port;
    };
    for (const char* kind : {"veth", "tun", "macvtap", "netkit"}) {
        EXPECT_TRUE(is_guest_port(kind, "bridge")) << kind;
        EXPECT_FALSE(is_guest_port(kind, "bond")) << kind;
        EXPECT_FALSE(is_guest_port(kind, "vrf")) << kind;
    }
    for (const char* kind : {"", "vlan", "bond", "macvlan", "vxlan", "gretap", "wlan"}) {
        EXPECT_FALSE(is_guest_port(kind, "bridge")) << kind;
    }
}

TEST(RouteMessage, MainRoutesHaveTheirProtocol)
{
    for (const std::uint8_t protocol :
         std::to_array<std::uint8_t>({RTPROT_DHCP, RTPROT_RA, RTPROT_KERNEL})) {
        auto header = route_header(AF_INET, protocol, RTN_UNICAST);
        header.rtm_table = RT_TABLE_MAIN;
        Message message(RTM_NEWROUTE, header);
        const auto route = decode_main_route(message.with_number(RTA_OIF, 3).taken());
        ASSERT_TRUE(route);
        EXPECT_EQ(route->protocol, protocol);
    }
}

TEST(RouteMessage, OnlyDevicesOfTunnelProgramsCanBeTunnels)
{
    const auto can_be_tunnel = [](unsigned flags, const char* kind, bool hardware = false) {
        Message message(RTM_NEWLINK, ifinfomsg{AF_UNSPEC, 0, 0, 7, flags, 0});
        message.with_text(IFLA_IFNAME, std::string_view("if0\0", 4));
        if (*kind != '\0') {
            Bytes info;
            append_text(info, IFLA_INFO_KIND, kind);
            message.with(IFLA_LINKINFO | NLA_F_NESTED, info);
        }
        if (hardware) {
            message.with_text(IFLA_PARENT_DEV_NAME, std::string_view("0000:00:03.0\0", 13));
        }
        return decode_link(message.taken())->can_be_tunnel;
    };
    for (const char* kind : {"wireguard", "ipip", "gre", "vti", "xfrm", "ppp", "ovpn", "sit", ""}) {
        EXPECT_TRUE(can_be_tunnel(IFF_POINTOPOINT | IFF_NOARP, kind)) << kind;
        EXPECT_TRUE(can_be_tunnel(IFF_NOARP, kind)) << kind;
    }
    for (const char* kind : {"tun", "gretap", "vxlan"}) {
        EXPECT_TRUE(can_be_tunnel(IFF_BROADCAST, kind)) << kind;
    }
    for (const char* kind : {"", "veth", "bridge", "vlan", "bond", "macvlan", "unheard-of"}) {
        EXPECT_FALSE(can_be_tunnel(IFF_BROADCAST, kind)) << kind;
    }
    // No neighbours to resolve, and the underlay nevertheless.
    for (const char* kind : {"veth", "ipvlan", "vrf", "wwan", "rmnet"}) {
        EXPECT_FALSE(can_be_tunnel(IFF_NOARP, kind)) << kind;
    }
    EXPECT_FALSE(can_be_tunnel(IFF_POINTOPOINT | IFF_NOARP, "", true)) << "a modem";
    EXPECT_FALSE(can_be_tunnel(IFF_LOOPBACK, ""));
    EXPECT_FALSE(can_be_tunnel(IFF_LOOPBACK | IFF_NOARP, "tun"));
}

TEST(RouteMessage, AddressesAreTheLocalOnes)
{
    const auto message = [](std::uint8_t family, std::uint8_t length) {
        return Message(RTM_NEWADDR, ifaddrmsg{.ifa_family = family,
                                              .ifa_prefixlen = length,
                                              .ifa_flags = 0,
                                              .ifa_scope = 0,
                                              .ifa_index = 4});
    };
    EXPECT_EQ(decode_address(message(AF_INET, 32)
                                 .with(IFA_ADDRESS, {10, 8, 0, 5})
                                 .with(IFA_LOCAL, {10, 8, 0, 6})
                                 .taken()),
              (AddressOnLink{4, {*IpAddress::parse("10.8.0.6"), 32}}));
    EXPECT_TRUE(decode_address(message(AF_INET6, 64).with(IFA_ADDRESS, Bytes(16)).taken()));
    EXPECT_FALSE(decode_address(message(AF_INET6, 64).with(IFA_ADDRESS, Bytes(4)).taken()));
    EXPECT_FALSE(decode_address(message(AF_INET, 33).with(IFA_ADDRESS, Bytes(4)).taken()));
    EXPECT_FALSE(decode_address(message(AF_INET, 24).taken()));
    EXPECT_FALSE(decode_address(message(AF_BRIDGE, 24).with(IFA_ADDRESS, Bytes(4)).taken()));
}

TEST(RouteMessage, CutShortAnywhereIsReadWithinItsBounds)
{
    for (const auto& rule : all_kinds_of_rules()) {
        const auto bytes = encoded(rule);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            // A copy of just that size, so that a sanitizer sees a read past its end.
            const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
            ByteView view(cut);
            EXPECT_FALSE(take_message(view));
            EXPECT_EQ(view.size(), size);
            if (size < sizeof(nlmsghdr)) {
                continue;
            }
            Bytes shorter = cut;
            const auto length = static_cast<std::uint32_t>(size);
            std::memcpy(shorter.data(), &length, sizeof(length));
            const auto held = decode_rule(first(shorter));
            // Without its padding the last attribute is still whole.
            const bool only_padding = bytes.size() - size < 4;
            EXPECT_TRUE(only_padding || !held || held->value != rule);
        }
    }
}

TEST(RouteMessage, AnyByteChangedIsReadWithinItsBounds)
{
    for (const auto& route : all_kinds_of_routes()) {
        const auto bytes = encoded(route);
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            for (unsigned value = 0; value < 256; ++value) {
                Bytes changed = bytes;
                changed[at] = static_cast<std::uint8_t>(value);
                ByteView view(changed);
                while (const auto message = take_message(view)) {
                    (void)decode_route(*message);
                    (void)decode_rule(*message);
                    (void)decode_link(*message);
                    (void)decode_address(*message);
                }
            }
        }
    }
}

TEST(NetlinkMessages, MalformedLengthsEndTheList)
{
    for (const std::uint32_t length : {0U, 1U, 15U, 17U, 1000U, 0xffffffffU}) {
        Bytes bytes(16);
        std::memcpy(bytes.data(), &length, sizeof(length));
        ByteView view(bytes);
        EXPECT_FALSE(take_message(view)) << length;
        EXPECT_EQ(view.size(), 16U);
    }
    for (const auto length : std::to_array<std::uint16_t>({0, 1, 3, 9, 0xffff})) {
        Bytes bytes(8);
        std::memcpy(bytes.data(), &length, sizeof(length));
        ByteView view(bytes);
        EXPECT_FALSE(take_attribute(view)) << length;
        EXPECT_EQ(view.size(), 8U);
    }
}

TEST(NetlinkMessages, TheLastMessageNeedsNoPadding)
{
    const Bytes bytes = {5, 0, 1, 0, 42};
    ByteView view(bytes);
    const auto attribute = take_attribute(view);
    ASSERT_TRUE(attribute);
    EXPECT_EQ(attribute->type, 1);
    EXPECT_EQ(attribute->value.size(), 1U);
    EXPECT_TRUE(view.empty());
}

TEST(NetlinkMessages, AttributeTypesExcludeFlags)
{
    const Bytes bytes = {4, 0, 1, 0xc0};
    ByteView view(bytes);
    EXPECT_EQ(take_attribute(view)->type, 1);
}

} // namespace
} // namespace failclosed
