// SPDX-License-Identifier: GPL-3.0-or-later
// Setting links down.
#include "core/apply/kernel/links.hpp"

#include <array>

#include <linux/rtnetlink.h>
#include <net/if.h>

#include "core/apply/kernel/netlink.hpp"
#include "core/apply/kernel/observe.hpp"

namespace failclosed {

Status set_links_down()
{
    const auto snapshot = observe();
    if (!snapshot) {
        return Failure(snapshot.error());
    }
    auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink) {
        return Failure(netlink.error());
    }
    Bytes requests;
    for (const auto& link : snapshot->links) {
        if (link.loopback || !link.up) {
            continue;
        }
        alignas(nlmsghdr) std::array<std::uint8_t, 256> buffer{};
        nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
        header->nlmsg_type = RTM_NEWLINK;
        header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        auto* message =
            static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
        message->ifi_family = AF_UNSPEC;
        message->ifi_index = static_cast<int>(link.index);
        message->ifi_change = IFF_UP;
        requests.insert(requests.end(), buffer.begin(), buffer.begin() + header->nlmsg_len);
    }
    if (requests.empty()) {
        return {};
    }
    const auto refused = netlink->change(std::move(requests));
    if (!refused) {
        return Failure(refused.error());
    }
    return refused->empty() ? Status{}
                            : Status(fail_errno("setting a link down", refused->front().number));
}

} // namespace failclosed
