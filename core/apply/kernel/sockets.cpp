// SPDX-License-Identifier: GPL-3.0-or-later
// Listing and destroying sockets by sock_diag.
#include "core/apply/kernel/sockets.hpp"

#include <linux/netlink.h>

#include "core/apply/kernel/netlink.hpp"
#include "core/codec/netlink/socket_message.hpp"

namespace failclosed {

namespace {

struct Victims {
    Bytes requests;
    unsigned count = 0;
};

Victims select(const FlowPolicy& policy, ByteView messages, Transport transport)
{
    Victims victims;
    while (const auto message = take_message(messages)) {
        const auto flow = decode_flow(*message, transport);
        if (flow && policy.is_foreign(*flow)) {
            append_destruction(victims.requests, *message, transport);
            ++victims.count;
        }
    }
    return victims;
}

Status destroy(Netlink& netlink, const Victims& victims, FlowSweep& sweep)
{
    const auto refusals = netlink.change(victims.requests);
    if (!refusals) {
        return fail_during("destroying sockets", refusals.error());
    }
    sweep.destroyed += victims.count - static_cast<unsigned>(refusals->size());
    for (const auto& refusal : *refusals) {
        if (refusal.number == EOPNOTSUPP) {
            sweep.supported = false;
        } else if (refusal.number != ENOENT) {
            // ENOENT: its program has closed it meanwhile.
            return fail_errno("destroying a socket", refusal.number);
        }
    }
    return {};
}

Status sweep_kind(Netlink& netlink, const FlowPolicy& policy, Family family, Transport transport,
                  FlowSweep& sweep)
{
    const auto messages = netlink.dump(dump_flows_request(family, transport));
    if (!messages) {
        // ENOENT: the kernel does not have this family or its diag module.
        return messages.error().number() == ENOENT
                   ? Status()
                   : Status(fail_during("listing sockets", messages.error()));
    }
    return destroy(netlink, select(policy, *messages, transport), sweep);
}

} // namespace

Result<FlowSweep> destroy_foreign_flows(const FlowPolicy& policy)
{
    auto netlink = Netlink::open(NETLINK_SOCK_DIAG);
    if (!netlink) {
        return fail_during("listing sockets", netlink.error());
    }
    FlowSweep sweep;
    for (const auto family : kFamilies) {
        for (const auto transport : {Transport::Tcp, Transport::Udp}) {
            if (const auto swept = sweep_kind(*netlink, policy, family, transport, sweep); !swept) {
                return Failure(swept.error());
            }
        }
    }
    return sweep;
}

} // namespace failclosed
