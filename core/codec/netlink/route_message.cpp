// SPDX-License-Identifier: GPL-3.0-or-later
// Encoding with libmnl; decoding by copies from bounds-checked views.
#include "core/codec/netlink/route_message.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "core/plan/constants.hpp"

namespace failclosed {

namespace {

std::uint8_t address_family(Family family)
{
    return family == Family::V4 ? AF_INET : AF_INET6;
}

std::optional<Family> family_of(std::uint8_t number)
{
    switch (number) {
    case AF_INET:
        return Family::V4;
    case AF_INET6:
        return Family::V6;
    default:
        return std::nullopt;
    }
}

/// An address of `family`; `nullopt` if the length does not match.
std::optional<IpAddress> read_address(ByteView bytes, Family family)
{
    const auto address = IpAddress::from_bytes(bytes);
    return address && address->family() == family ? address : std::nullopt;
}

// ---- Encoding ----

/// A message in a buffer that is larger than any request.
template <typename Header> class Request {
  public:
    Request(std::uint16_t type, std::uint16_t flags) : message_(mnl_nlmsg_put_header(bytes_.data()))
    {
        message_->nlmsg_type = type;
        message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        header_ = static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
    }

    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    Header* operator->() { return header_; }

    template <typename T> void put(std::uint16_t type, const T& value)
    {
        mnl_attr_put(message_, type, sizeof(T), &value);
    }

    void put(std::uint16_t type, const IpAddress& address)
    {
        mnl_attr_put(message_, type, address.bytes().size(), address.bytes().data());
    }

    void put(std::uint16_t type, const char* text) { mnl_attr_put_strz(message_, type, text); }

    void append_to(Bytes& requests) const
    {
        requests.insert(requests.end(), bytes_.begin(), bytes_.begin() + message_->nlmsg_len);
    }

    [[nodiscard]] Bytes bytes() const
    {
        Bytes request;
        append_to(request);
        return request;
    }

  private:
    alignas(nlmsghdr) std::array<std::uint8_t, 512> bytes_{};
    nlmsghdr* message_;
    Header* header_;
};

std::uint8_t to_number(RoutingRule::Action action)
{
    switch (action) {
    case RoutingRule::Action::Lookup:
        return FR_ACT_TO_TBL;
    case RoutingRule::Action::Goto:
        return FR_ACT_GOTO;
    case RoutingRule::Action::Unreachable:
        return FR_ACT_UNREACHABLE;
    }
    return FR_ACT_UNREACHABLE;
}

std::uint8_t to_number(Route::Type type)
{
    switch (type) {
    case Route::Type::Unicast:
        return RTN_UNICAST;
    case Route::Type::Throw:
        return RTN_THROW;
    case Route::Type::Unreachable:
        return RTN_UNREACHABLE;
    }
    return RTN_UNREACHABLE;
}

void put_target(Request<fib_rule_hdr>& request, const RoutingRule& rule)
{
    switch (rule.action) {
    case RoutingRule::Action::Lookup:
        request.put(FRA_TABLE, rule.target);
        break;
    case RoutingRule::Action::Goto:
        request.put(FRA_GOTO, rule.target);
        break;
    case RoutingRule::Action::Unreachable:
        break;
    }
}

fib_rule_port_range only(Port port)
{
    return {port.number(), port.number()};
}

void put_conditions(Request<fib_rule_hdr>& request, const RoutingRule& rule)
{
    if (rule.from) {
        request->src_len = static_cast<std::uint8_t>(rule.from->length());
        request.put(FRA_SRC, rule.from->address());
    }
    if (rule.to) {
        request->dst_len = static_cast<std::uint8_t>(rule.to->length());
        request.put(FRA_DST, rule.to->address());
    }
    if (rule.local_only) {
        request.put(FRA_IIFNAME, "lo");
    }
    if (rule.uid) {
        request.put(FRA_UID_RANGE, fib_rule_uid_range{*rule.uid, *rule.uid});
    }
    if (rule.transport) {
        request.put(FRA_IP_PROTO, static_cast<std::uint8_t>(*rule.transport));
    }
    if (rule.source_port) {
        request.put(FRA_SPORT_RANGE, only(*rule.source_port));
    }
    if (rule.destination_port) {
        request.put(FRA_DPORT_RANGE, only(*rule.destination_port));
    }
    if (rule.mark) {
        request.put(FRA_FWMARK, *rule.mark);
        request.put(FRA_FWMASK, rule.mark_mask);
    }
    if (rule.suppressed_length) {
        request.put(FRA_SUPPRESS_PREFIXLEN, *rule.suppressed_length);
    }
}

// ---- Decoding ----

/// Stores `value` in `field`; false if it is `nullopt` (malformed).
template <typename T> bool read_into(std::optional<T>& field, std::optional<T> value)
{
    field = value;
    return value.has_value();
}

bool read_prefix(std::optional<IpPrefix>& field, ByteView value, Family family, unsigned length)
{
    const auto address = read_address(value, family);
    return address && read_into(field, IpPrefix::make(*address, length));
}

/// Reads a range that holds a single number.
template <typename Range> auto read_single(ByteView value)
{
    const auto range = read_exactly<Range>(value);
    using Number = decltype(range->start);
    return range && range->start == range->end ? std::optional<Number>(range->start) : std::nullopt;
}

std::optional<Transport> read_transport(ByteView value)
{
    const auto number = read_exactly<std::uint8_t>(value);
    for (const auto transport : {Transport::Tcp, Transport::Udp, Transport::Gre, Transport::Esp}) {
        if (number == static_cast<std::uint8_t>(transport)) {
            return transport;
        }
    }
    return std::nullopt;
}

std::optional<Port> read_port(ByteView value)
{
    const auto number = read_single<fib_rule_port_range>(value);
    return number ? Port::make(*number) : std::nullopt;
}

/// Text with exactly one NUL, at its end.
std::optional<std::string_view> read_text(ByteView value)
{
    const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    if (text.empty() || text.find('\0') != text.size() - 1) {
        return std::nullopt;
    }
    return text.substr(0, text.size() - 1);
}

bool read_number(std::uint32_t& field, ByteView value)
{
    const auto number = read_exactly<std::uint32_t>(value);
    field = number.value_or(0);
    return number.has_value();
}

/// False if the attribute has a meaning that no rule of a plan uses.
bool read_rule_attribute(RoutingRule& rule, const fib_rule_hdr& header,
                         const NetlinkAttribute& attribute)
{
    const auto value = attribute.value;
    std::uint32_t number = 0;
    switch (attribute.type) {
    case FRA_PRIORITY:
        return read_number(rule.priority, value);
    case FRA_TABLE:
        // Every rule is shown with a table; 0 if it looks up none.
        return read_number(number, value) &&
               (number == 0 ||
                (rule.action == RoutingRule::Action::Lookup && read_number(rule.target, value)));
    case FRA_GOTO:
        return rule.action == RoutingRule::Action::Goto && read_number(rule.target, value);
    case FRA_SRC:
        return read_prefix(rule.from, value, rule.family, header.src_len);
    case FRA_DST:
        return read_prefix(rule.to, value, rule.family, header.dst_len);
    case FRA_IIFNAME:
        rule.local_only = true;
        return read_text(value) == "lo";
    case FRA_UID_RANGE:
        return read_into(rule.uid, read_single<fib_rule_uid_range>(value));
    case FRA_IP_PROTO:
        return read_into(rule.transport, read_transport(value));
    case FRA_SPORT_RANGE:
        return read_into(rule.source_port, read_port(value));
    case FRA_DPORT_RANGE:
        return read_into(rule.destination_port, read_port(value));
    case FRA_FWMARK:
        return read_into(rule.mark, read_exactly<std::uint32_t>(value));
    case FRA_FWMASK:
        return read_number(rule.mark_mask, value);
    case FRA_SUPPRESS_PREFIXLEN:
        // Shown with every rule; all bits set means that it is not used.
        if (!read_number(number, value)) {
            return false;
        }
        if (number != 0xffffffff) {
            rule.suppressed_length = number;
        }
        return true;
    case FRA_PROTOCOL:
        return true;
    default:
        // Kernels newer than these headers show further attributes with every rule, with default
        // values (FRA_DPORT_MASK since 6.15).
        return attribute.type > FRA_DPORT_RANGE;
    }
}

std::optional<RoutingRule::Action> rule_action(std::uint8_t number)
{
    for (const auto action : {RoutingRule::Action::Lookup, RoutingRule::Action::Goto,
                              RoutingRule::Action::Unreachable}) {
        if (number == to_number(action)) {
            return action;
        }
    }
    return std::nullopt;
}

std::optional<RoutingRule> read_rule(const fib_rule_hdr& header, Family family, ByteView attributes)
{
    const auto action = rule_action(header.action);
    const auto unusual = header.flags & (FIB_RULE_INVERT | FIB_RULE_PERMANENT);
    if (!action || unusual != 0 || header.tos != 0) {
        return std::nullopt;
    }
    RoutingRule rule{.family = family, .action = *action};
    while (const auto attribute = take_attribute(attributes)) {
        if (!read_rule_attribute(rule, header, *attribute)) {
            return std::nullopt;
        }
    }
    return rule;
}

std::optional<Route::Type> route_type(std::uint8_t number)
{
    for (const auto type : {Route::Type::Unicast, Route::Type::Throw, Route::Type::Unreachable}) {
        if (number == to_number(type)) {
            return type;
        }
    }
    return std::nullopt;
}

/// False if the attribute has a meaning that no route of a plan uses.
bool read_route_attribute(Route& route, const rtmsg& header, const NetlinkAttribute& attribute)
{
    const auto value = attribute.value;
    const auto family = route.destination.family();
    switch (attribute.type) {
    case RTA_TABLE:
        return read_number(route.table, value);
    case RTA_PRIORITY:
        return read_number(route.metric, value);
    case RTA_GATEWAY:
        return read_into(route.gateway, read_address(value, family));
    case RTA_DST: {
        std::optional<IpPrefix> destination;
        const bool valid = read_prefix(destination, value, family, header.rtm_dst_len);
        route.destination = destination.value_or(route.destination);
        return valid;
    }
    case RTA_OIF:
        // The kernel shows IPv6 routes without a device with the device `lo`.
        return route.type != Route::Type::Unicast || read_number(route.device, value);
    case RTA_CACHEINFO:
    case RTA_PREF:
        return true;
    default:
        // As for rules: an attribute that these headers do not know is a newer kernel's default.
        return attribute.type > RTA_NH_ID;
    }
}

std::optional<Route> read_route(const rtmsg& header, Family family, ByteView attributes)
{
    const auto type = route_type(header.rtm_type);
    if (!type || header.rtm_tos != 0 || header.rtm_src_len != 0) {
        return std::nullopt;
    }
    Route route{.destination = IpPrefix::any(family), .type = *type};
    while (const auto attribute = take_attribute(attributes)) {
        if (!read_route_attribute(route, header, *attribute)) {
            return std::nullopt;
        }
    }
    return route.destination.length() == header.rtm_dst_len ? std::optional(route) : std::nullopt;
}

/// Properties of a device (linux/if_link.h, IFLA_LINKINFO).
struct LinkInfo {
    /// The kind (`ip link add type KIND`); empty for hardware and for drivers that do not set it.
    std::string_view kind;
    /// A tun device that carries IP packets, ends with the program that made it, and has no owner.
    bool is_private_tun = false;
    bool is_bridge_port = false;
};

bool is_private_tun(ByteView data)
{
    bool carries_ip = false;
    bool persistent = true;
    bool owned = false;
    while (const auto attribute = take_attribute(data)) {
        switch (attribute->type) {
        case IFLA_TUN_TYPE:
            carries_ip = read_exactly<std::uint8_t>(attribute->value) == IFF_TUN;
            break;
        case IFLA_TUN_PERSIST:
            persistent = read_exactly<std::uint8_t>(attribute->value) != 0;
            break;
        case IFLA_TUN_OWNER:
            owned = owned || read_exactly<std::uint32_t>(attribute->value) != 0;
            break;
        case IFLA_TUN_GROUP:
            owned = true;
            break;
        default:
            break;
        }
    }
    return carries_ip && !persistent && !owned;
}

LinkInfo read_link_info(ByteView attributes)
{
    LinkInfo info;
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == IFLA_INFO_KIND) {
            info.kind = read_text(attribute->value).value_or("");
        } else if (attribute->type == IFLA_INFO_DATA && info.kind == "tun") {
            info.is_private_tun = is_private_tun(attribute->value);
        } else if (attribute->type == IFLA_INFO_SLAVE_KIND) {
            info.is_bridge_port = read_text(attribute->value) == "bridge";
        }
    }
    return info;
}

bool is_tunnel_kind(std::string_view kind, bool point_to_point)
{
    // These tunnels carry Ethernet and resolve neighbours, as a network card does.
    constexpr std::array<std::string_view, 6> ethernet = {"tun",     "gretap", "ip6gretap",
                                                          "l2tpeth", "vxlan",  "geneve"};
    // These lead to a network card; some do not resolve neighbours.
    constexpr std::array<std::string_view, 14> underlay = {
        "bond",   "bridge", "ifb",  "ipvlan", "ipvtap", "macvlan", "macvtap",
        "netkit", "rmnet",  "team", "veth",   "vlan",   "vrf",     "wwan"};
    if (std::ranges::find(ethernet, kind) != ethernet.end()) {
        return true;
    }
    return point_to_point && std::ranges::find(underlay, kind) == underlay.end();
}

/// Whether a guest (container, virtual machine) can hold the other end of such a device.
bool is_guest_wire(std::string_view kind)
{
    constexpr std::array<std::string_view, 4> kinds = {"veth", "tun", "macvtap", "netkit"};
    return std::ranges::find(kinds, kind) != kinds.end();
}

/// Whether the attribute of a route describes next hops, and not a nexthop object.
bool describes_next_hop(std::uint16_t type)
{
    return type == RTA_OIF || type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH ||
           type == RTA_ENCAP || type == RTA_ENCAP_TYPE;
}

bool has_attribute(ByteView attributes, std::uint16_t type)
{
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == type) {
            return true;
        }
    }
    return false;
}

/// The attributes of a route, without next hops if they are those of a nexthop object.
Bytes removable_attributes(ByteView attributes)
{
    const bool has_object = has_attribute(attributes, RTA_NH_ID);
    Bytes kept;
    ByteView rest = attributes;
    ByteView before = rest;
    while (const auto attribute = take_attribute(rest)) {
        if (!has_object || !describes_next_hop(attribute->type)) {
            kept.insert(kept.end(), before.begin(), before.end() - std::ssize(rest));
        }
        before = rest;
    }
    return kept;
}

bool has_our_protocol(ByteView attributes)
{
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == FRA_PROTOCOL) {
            return read_exactly<std::uint8_t>(attribute->value) == kRouteProtocol;
        }
    }
    return false;
}

} // namespace

Bytes dump_rules_request(Family family)
{
    Request<fib_rule_hdr> request(RTM_GETRULE, NLM_F_DUMP);
    request->family = address_family(family);
    return request.bytes();
}

Bytes dump_routes_request(Family family)
{
    Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP);
    request->rtm_family = address_family(family);
    request->rtm_protocol = kRouteProtocol;
    return request.bytes();
}

Bytes dump_main_routes_request(Family family)
{
    Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP);
    request->rtm_family = address_family(family);
    request->rtm_table = RT_TABLE_MAIN;
    return request.bytes();
}

Bytes dump_table_request(Family family, std::uint32_t table)
{
    Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP);
    request->rtm_family = address_family(family);
    request.put(RTA_TABLE, table);
    return request.bytes();
}

Bytes dump_links_request()
{
    Request<ifinfomsg> request(RTM_GETLINK, NLM_F_DUMP);
    request.put(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    return request.bytes();
}

Bytes dump_addresses_request()
{
    return Request<ifaddrmsg>(RTM_GETADDR, NLM_F_DUMP).bytes();
}

void append_addition(Bytes& requests, const RoutingRule& rule)
{
    // Without NLM_F_EXCL, which refuses our rule if another program has added an equal one. That
    // program may remove it at any time.
    Request<fib_rule_hdr> request(RTM_NEWRULE, NLM_F_CREATE);
    request->family = address_family(rule.family);
    request->action = to_number(rule.action);
    request.put(FRA_PROTOCOL, kRouteProtocol);
    request.put(FRA_PRIORITY, rule.priority);
    put_target(request, rule);
    put_conditions(request, rule);
    request.append_to(requests);
}

void append_addition(Bytes& requests, const Route& route)
{
    Request<rtmsg> request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    request->rtm_family = address_family(route.destination.family());
    request->rtm_dst_len = static_cast<std::uint8_t>(route.destination.length());
    request->rtm_protocol = kRouteProtocol;
    request->rtm_type = to_number(route.type);
    // Not RT_SCOPE_LINK: with that scope the kernel also uses the route to look up the gateway of a
    // route that a tunnel program adds. That gateway, in the underlay, may have the address of a
    // host in a tunnel's network.
    request->rtm_scope = RT_SCOPE_UNIVERSE;
    request.put(RTA_TABLE, route.table);
    request.put(RTA_PRIORITY, route.metric);
    if (route.destination.length() != 0) {
        request.put(RTA_DST, route.destination.address());
    }
    if (route.device != 0) {
        request.put(RTA_OIF, std::uint32_t{route.device});
    }
    if (route.gateway) {
        // The gateway is on the link of its device, even if other tables have no route to it.
        request->rtm_flags = RTNH_F_ONLINK;
        request.put(RTA_GATEWAY, *route.gateway);
    }
    request.append_to(requests);
}

void append_removal(Bytes& requests, const NetlinkMessage& message)
{
    const bool is_rule = message.type == RTM_NEWRULE;
    const std::size_t fixed = is_rule ? sizeof(fib_rule_hdr) : sizeof(rtmsg);
    const auto head = message.payload.first(fixed);
    const auto attributes = message.payload.subspan(fixed);
    const Bytes kept =
        is_rule ? Bytes(attributes.begin(), attributes.end()) : removable_attributes(attributes);
    auto header = *read_front<nlmsghdr>(message.whole);
    header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + fixed + kept.size());
    header.nlmsg_type = is_rule ? RTM_DELRULE : RTM_DELROUTE;
    header.nlmsg_flags = NLM_F_REQUEST;
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(&header), sizeof(header));
    requests.insert(requests.end(), bytes.begin(), bytes.end());
    requests.insert(requests.end(), head.begin(), head.end());
    requests.insert(requests.end(), kept.begin(), kept.end());
    requests.resize(NLMSG_ALIGN(requests.size()));
}

std::optional<Held<RoutingRule>> decode_rule(const NetlinkMessage& message)
{
    const auto header = read_front<fib_rule_hdr>(message.payload);
    if (message.type != RTM_NEWRULE || !header) {
        return std::nullopt;
    }
    const auto family = family_of(header->family);
    const auto attributes = message.payload.subspan(sizeof(fib_rule_hdr));
    if (!family || !has_our_protocol(attributes)) {
        return std::nullopt;
    }
    return Held<RoutingRule>{read_rule(*header, *family, attributes), message};
}

std::optional<Held<Route>> decode_route(const NetlinkMessage& message)
{
    const auto header = read_front<rtmsg>(message.payload);
    if (message.type != RTM_NEWROUTE || !header || header->rtm_protocol != kRouteProtocol) {
        return std::nullopt;
    }
    const auto family = family_of(header->rtm_family);
    if (!family) {
        return std::nullopt;
    }
    const auto attributes = message.payload.subspan(sizeof(rtmsg));
    return Held<Route>{read_route(*header, *family, attributes), message};
}

std::optional<Held<Route>> decode_foreign_route(const NetlinkMessage& message, std::uint32_t table)
{
    const auto header = read_front<rtmsg>(message.payload);
    if (message.type != RTM_NEWROUTE || !header || header->rtm_protocol == kRouteProtocol ||
        !family_of(header->rtm_family)) {
        return std::nullopt;
    }
    std::uint32_t found = header->rtm_table;
    auto attributes = message.payload.subspan(sizeof(rtmsg));
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == RTA_TABLE && !read_number(found, attribute->value)) {
            return std::nullopt;
        }
    }
    return found == table ? std::optional(Held<Route>{std::nullopt, message}) : std::nullopt;
}

std::optional<ForeignRule> decode_foreign_rule(const NetlinkMessage& message)
{
    const auto header = read_front<fib_rule_hdr>(message.payload);
    const auto family = header ? family_of(header->family) : std::nullopt;
    if (message.type != RTM_NEWRULE || !family) {
        return std::nullopt;
    }
    auto attributes = message.payload.subspan(sizeof(fib_rule_hdr));
    if (has_our_protocol(attributes) || has_attribute(attributes, FRA_L3MDEV)) {
        return std::nullopt;
    }
    ForeignRule rule{.family = *family, .table = header->table};
    rule.ends = header->action != FR_ACT_TO_TBL && header->action != FR_ACT_GOTO;
    while (const auto attribute = take_attribute(attributes)) {
        const bool is_read =
            attribute->type == FRA_PRIORITY ? read_number(rule.priority, attribute->value)
            : attribute->type == FRA_TABLE  ? read_number(rule.table, attribute->value)
            : attribute->type == FRA_GOTO   ? read_number(rule.jump.emplace(), attribute->value)
                                            : true;
        if (!is_read) {
            return std::nullopt;
        }
    }
    return rule;
}

std::optional<MainRoute> decode_main_route(const NetlinkMessage& message)
{
    const auto header = read_front<rtmsg>(message.payload);
    const auto family = header ? family_of(header->rtm_family) : std::nullopt;
    if (message.type != RTM_NEWROUTE || !family || header->rtm_table != RT_TABLE_MAIN ||
        header->rtm_src_len != 0 || header->rtm_type != RTN_UNICAST ||
        (header->rtm_flags & RTNH_F_DEAD) != 0) {
        return std::nullopt;
    }
    MainRoute route{.destination = IpPrefix::any(*family)};
    route.protocol = header->rtm_protocol;
    auto attributes = message.payload.subspan(sizeof(rtmsg));
    while (const auto attribute = take_attribute(attributes)) {
        switch (attribute->type) {
        case RTA_DST:
            if (const auto address = read_address(attribute->value, *family)) {
                route.destination =
                    IpPrefix::make(*address, header->rtm_dst_len).value_or(route.destination);
            }
            break;
        case RTA_OIF:
            read_number(route.device, attribute->value);
            break;
        case RTA_PRIORITY:
            read_number(route.metric, attribute->value);
            break;
        case RTA_GATEWAY:
            route.gateway = read_address(attribute->value, *family);
            break;
        default:
            break;
        }
    }
    const bool whole = route.device != 0 && route.destination.length() == header->rtm_dst_len;
    return whole ? std::optional(route) : std::nullopt;
}

std::optional<Link> decode_link(const NetlinkMessage& message)
{
    const auto header = read_front<ifinfomsg>(message.payload);
    if (message.type != RTM_NEWLINK || !header || header->ifi_index <= 0) {
        return std::nullopt;
    }
    std::string_view name;
    LinkInfo info;
    bool is_hardware = false;
    unsigned master = 0;
    auto attributes = message.payload.subspan(sizeof(ifinfomsg));
    while (const auto attribute = take_attribute(attributes)) {
        switch (attribute->type) {
        case IFLA_IFNAME:
            name = read_text(attribute->value).value_or("");
            break;
        case IFLA_LINKINFO:
            info = read_link_info(attribute->value);
            break;
        case IFLA_MASTER:
            read_number(master, attribute->value);
            break;
        case IFLA_PARENT_DEV_NAME:
            is_hardware = true;
            break;
        default:
            break;
        }
    }
    const auto valid_name = InterfaceName::parse(name);
    if (!valid_name) {
        return std::nullopt;
    }
    const bool loopback = (header->ifi_flags & IFF_LOOPBACK) != 0;
    const bool point_to_point = (header->ifi_flags & (IFF_POINTOPOINT | IFF_NOARP)) != 0;
    return Link{
        .name = *valid_name,
        .index = static_cast<unsigned>(header->ifi_index),
        .up = (header->ifi_flags & IFF_UP) != 0,
        .loopback = loopback,
        .point_to_point = point_to_point,
        .addresses = {},
        .can_be_tunnel = !loopback && !is_hardware && is_tunnel_kind(info.kind, point_to_point),
        .is_program_tunnel = master == 0 && (info.is_private_tun || info.kind == "wireguard"),
        .is_wireguard = info.kind == "wireguard",
        .is_guest_port = info.is_bridge_port && is_guest_wire(info.kind),
        .is_bridge = info.kind == "bridge",
        .bridge = info.is_bridge_port ? master : 0};
}

std::optional<AddressOnLink> decode_address(const NetlinkMessage& message)
{
    const auto header = read_front<ifaddrmsg>(message.payload);
    const auto family = header ? family_of(header->ifa_family) : std::nullopt;
    if (message.type != RTM_NEWADDR || !family) {
        return std::nullopt;
    }
    std::optional<IpAddress> address;
    std::optional<IpAddress> local;
    auto attributes = message.payload.subspan(sizeof(ifaddrmsg));
    while (const auto attribute = take_attribute(attributes)) {
        if (attribute->type == IFA_ADDRESS) {
            address = read_address(attribute->value, *family);
        } else if (attribute->type == IFA_LOCAL) {
            local = read_address(attribute->value, *family);
        }
    }
    const auto own = local ? local : address;
    if (!own || header->ifa_prefixlen > own->bits()) {
        return std::nullopt;
    }
    return AddressOnLink{header->ifa_index, {*own, header->ifa_prefixlen}};
}

} // namespace failclosed
