// SPDX-License-Identifier: GPL-3.0-or-later
// Listing links and addresses by rtnetlink.
#include "core/apply/kernel/observe.hpp"

#include <algorithm>
#include <ctime>

#include <linux/netlink.h>

#include "core/apply/kernel/netlink.hpp"
#include "core/codec/netlink/route_message.hpp"

namespace failclosed {

namespace {

std::vector<Link> decode_links(ByteView messages)
{
    std::vector<Link> links;
    while (const auto message = take_message(messages)) {
        if (auto link = decode_link(*message)) {
            links.push_back(std::move(*link));
        }
    }
    std::ranges::sort(links, {}, &Link::index);
    return links;
}

void add_addresses(std::vector<Link>& links, ByteView messages)
{
    while (const auto message = take_message(messages)) {
        const auto found = decode_address(*message);
        if (!found) {
            continue;
        }
        const auto link = std::ranges::lower_bound(links, found->link, {}, &Link::index);
        if (link != links.end() && link->index == found->link) {
            link->addresses.push_back(found->address);
        }
    }
}

Status add_main_routes(Netlink& netlink, Snapshot& snapshot)
{
    for (const Family family : kFamilies) {
        const auto routes = netlink.dump(dump_main_routes_request(family));
        if (!routes && routes.error().number() != EAFNOSUPPORT &&
            routes.error().number() != EOPNOTSUPP && routes.error().number() != ENOENT) {
            return Failure(routes.error());
        }
        if (!routes) {
            continue; // the kernel has no IPv6, or the table does not exist yet
        }
        ByteView messages = *routes;
        while (const auto message = take_message(messages)) {
            if (const auto route = decode_main_route(*message)) {
                snapshot.main_routes.push_back(*route);
            }
        }
    }
    std::ranges::sort(snapshot.main_routes);
    return {};
}

Seconds read_clock(clockid_t clock)
{
    timespec time{};
    clock_gettime(clock, &time);
    return Seconds(time.tv_sec);
}

Result<Snapshot> list(Netlink& netlink)
{
    const auto links = netlink.dump(dump_links_request());
    if (!links) {
        return Failure(links.error());
    }
    const auto addresses = netlink.dump(dump_addresses_request());
    if (!addresses) {
        return Failure(addresses.error());
    }
    Snapshot snapshot;
    snapshot.links = decode_links(*links);
    add_addresses(snapshot.links, *addresses);
    if (auto added = add_main_routes(netlink, snapshot); !added) {
        return Failure(added.error());
    }
    return snapshot;
}

} // namespace

Result<Snapshot> observe()
{
    auto netlink = Netlink::open(NETLINK_ROUTE);
    auto snapshot = netlink ? list(*netlink) : Result<Snapshot>(Failure(netlink.error()));
    if (!snapshot) {
        return fail_during("listing network devices", snapshot.error());
    }
    // Only one of these clocks runs while the machine is suspended (clock_gettime(2)). If this
    // process was stopped between the two readings, their difference is invalid, so they are read
    // again.
    Seconds awake{0};
    do {
        awake = read_clock(CLOCK_MONOTONIC);
        snapshot->uptime = read_clock(CLOCK_BOOTTIME);
    } while (read_clock(CLOCK_MONOTONIC) - awake > Seconds{1});
    snapshot->suspended = snapshot->uptime - awake;
    snapshot->now =
        std::chrono::duration_cast<Seconds>(std::chrono::system_clock::now().time_since_epoch());
    return snapshot;
}

} // namespace failclosed
