// SPDX-License-Identifier: GPL-3.0-or-later
// Generic netlink for MPTCP (linux/mptcp.h), nftables for flowtables (linux/netfilter/nf_tables.h).
#include "core/apply/programs/bystanders.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/mptcp.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "core/apply/kernel/netlink.hpp"
#include "core/codec/netlink/route_message.hpp"

namespace failclosed {

namespace {

template <typename Header> Bytes dump_request(std::uint16_t type, const Header& header)
{
    nlmsghdr message{};
    message.nlmsg_len = NLMSG_LENGTH(sizeof header);
    message.nlmsg_type = type;
    message.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    Bytes bytes(NLMSG_SPACE(sizeof header));
    std::memcpy(bytes.data(), &message, sizeof message);
    std::memcpy(bytes.data() + NLMSG_HDRLEN, &header, sizeof header);
    return bytes;
}

/// Calls `take(attribute)` for each attribute behind a header of `skip` bytes.
template <typename Take> void for_each_attribute(ByteView bytes, std::size_t skip, Take take)
{
    bytes = bytes.subspan(std::min(bytes.size(), NLMSG_ALIGN(skip)));
    while (const auto attribute = take_attribute(bytes)) {
        take(*attribute);
    }
}

/// Without the NUL at the end.
std::string text_of(ByteView value)
{
    return {value.begin(), std::ranges::find(value, 0)};
}

/// The number of the family "mptcp_pm"; 0 if there is none.
std::uint16_t mptcp_family(ByteView messages)
{
    while (const auto message = take_message(messages)) {
        std::string name;
        std::uint16_t number = 0;
        for_each_attribute(
            message->payload, sizeof(genlmsghdr), [&](const NetlinkAttribute& attribute) {
                if (attribute.type == CTRL_ATTR_FAMILY_NAME) {
                    name = text_of(attribute.value);
                } else if (attribute.type == CTRL_ATTR_FAMILY_ID) {
                    number = read_exactly<std::uint16_t>(attribute.value).value_or(0);
                }
            });
        if (name == MPTCP_PM_NAME) {
            return number;
        }
    }
    return 0;
}

void add_endpoint(ByteView endpoint, std::vector<IpAddress>& announced)
{
    std::optional<IpAddress> address;
    std::uint32_t flags = 0;
    for_each_attribute(endpoint, 0, [&](const NetlinkAttribute& attribute) {
        switch (attribute.type) {
        case MPTCP_PM_ADDR_ATTR_ADDR4:
        case MPTCP_PM_ADDR_ATTR_ADDR6:
            address = IpAddress::from_bytes(attribute.value);
            break;
        case MPTCP_PM_ADDR_ATTR_FLAGS:
            flags = read_exactly<std::uint32_t>(attribute.value).value_or(0);
            break;
        default:
            break;
        }
    });
    if (address && (flags & MPTCP_PM_ADDR_FLAG_SIGNAL) != 0) {
        announced.push_back(*address);
    }
}

/// The relations of a device to others. Numbers are ifindexes; 0 if there is no such device.
struct Joint {
    std::string name;
    std::string kind;
    std::uint32_t beneath = 0;
    std::uint32_t master = 0;
};

Joint read_joint(ByteView payload)
{
    Joint joint;
    bool is_elsewhere = false; // its lower device is in another network namespace
    for_each_attribute(payload, sizeof(ifinfomsg), [&](const NetlinkAttribute& attribute) {
        const auto number = read_exactly<std::uint32_t>(attribute.value);
        switch (attribute.type) {
        case IFLA_IFNAME:
            joint.name = text_of(attribute.value);
            break;
        case IFLA_LINK:
            joint.beneath = number.value_or(0);
            break;
        case IFLA_LINK_NETNSID:
            is_elsewhere = true;
            break;
        case IFLA_MASTER:
            joint.master = number.value_or(0);
            break;
        case IFLA_LINKINFO:
            for_each_attribute(attribute.value, 0, [&](const NetlinkAttribute& info) {
                if (info.type == IFLA_INFO_KIND) {
                    joint.kind = text_of(info.value);
                }
            });
            break;
        default:
            break;
        }
    });
    if (is_elsewhere) {
        joint.beneath = 0;
    }
    return joint;
}

template <std::size_t size>
bool is_one_of(const std::string& kind, const std::array<std::string_view, size>& kinds)
{
    return std::ranges::find(kinds, kind) != kinds.end();
}

} // namespace

Result<std::vector<SharedWire>> shared_wires()
{
    constexpr std::array<std::string_view, 4> kLodgers = {"macvlan", "macvtap", "ipvlan", "ipvtap"};
    constexpr std::array<std::string_view, 2> kWiresToGuests = {"veth", "tun"};
    auto netlink = Netlink::open(NETLINK_ROUTE);
    const auto answer =
        netlink ? netlink->dump(dump_links_request()) : Result<Bytes>(Failure(netlink.error()));
    if (!answer) {
        return fail_during("listing network devices", answer.error());
    }
    std::map<std::uint32_t, Joint> joints;
    ByteView messages = *answer;
    while (const auto message = take_message(messages)) {
        if (const auto header = read_front<ifinfomsg>(message->payload);
            header && message->type == RTM_NEWLINK) {
            joints[static_cast<std::uint32_t>(header->ifi_index)] = read_joint(message->payload);
        }
    }
    std::vector<SharedWire> wires;
    for (const auto& [index, joint] : joints) {
        const auto beneath = joints.find(joint.beneath);
        if (is_one_of(joint.kind, kLodgers) && beneath != joints.end()) {
            wires.push_back({joint.name, beneath->second.name});
        }
        const auto master = joints.find(joint.master);
        if (master != joints.end() && master->second.kind == "bridge" &&
            !is_one_of(joint.kind, kWiresToGuests)) {
            wires.push_back({master->second.name, joint.name});
        }
    }
    return wires;
}

Result<std::vector<IpAddress>> announced_by_mptcp()
{
    auto netlink = Netlink::open(NETLINK_GENERIC);
    if (!netlink) {
        return Failure(netlink.error());
    }
    const auto families =
        netlink->dump(dump_request(GENL_ID_CTRL, genlmsghdr{CTRL_CMD_GETFAMILY, 1, 0}));
    if (!families) {
        return Failure(families.error());
    }
    const std::uint16_t family = mptcp_family(*families);
    if (family == 0) {
        return std::vector<IpAddress>{};
    }
    const auto endpoints =
        netlink->dump(dump_request(family, genlmsghdr{MPTCP_PM_CMD_GET_ADDR, MPTCP_PM_VER, 0}));
    if (!endpoints) {
        return Failure(endpoints.error());
    }
    std::vector<IpAddress> announced;
    ByteView messages = *endpoints;
    while (const auto message = take_message(messages)) {
        if (message->type != family) {
            continue;
        }
        for_each_attribute(message->payload, sizeof(genlmsghdr),
                           [&](const NetlinkAttribute& attribute) {
                               if (attribute.type == MPTCP_PM_ATTR_ADDR) {
                                   add_endpoint(attribute.value, announced);
                               }
                           });
    }
    return announced;
}

Result<std::vector<std::string>> flowtables()
{
    auto netlink = Netlink::open(NETLINK_NETFILTER);
    if (!netlink) {
        return Failure(netlink.error());
    }
    const auto answer = netlink->dump(dump_request(
        (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETFLOWTABLE, nfgenmsg{0, NFNETLINK_V0, 0}));
    if (!answer) {
        return Failure(answer.error());
    }
    std::vector<std::string> names;
    ByteView messages = *answer;
    while (const auto message = take_message(messages)) {
        if (message->type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWFLOWTABLE)) {
            continue;
        }
        std::string table;
        std::string name;
        for_each_attribute(message->payload, sizeof(nfgenmsg),
                           [&](const NetlinkAttribute& attribute) {
                               if (attribute.type == NFTA_FLOWTABLE_TABLE) {
                                   table = text_of(attribute.value);
                               } else if (attribute.type == NFTA_FLOWTABLE_NAME) {
                                   name = text_of(attribute.value);
                               }
                           });
        names.push_back(table + "/" + name);
    }
    return names;
}

} // namespace failclosed
