// SPDX-License-Identifier: GPL-3.0-or-later
// Searching a snapshot.
#include "core/model/snapshot.hpp"

#include <algorithm>

namespace failclosed {

const Link* Snapshot::find(const InterfaceName& name) const
{
    const auto found = std::ranges::find(links, name, &Link::name);
    return found == links.end() ? nullptr : &*found;
}

std::optional<Error> refusal(const Snapshot& snapshot, const Tunnel& tunnel)
{
    const Link* link = snapshot.find(tunnel.interface);
    if (link == nullptr) {
        return Error("no such device: " + tunnel.interface.text());
    }
    if (link->can_be_tunnel) {
        return std::nullopt;
    }
    return Error(
        tunnel.interface.text() +
        " is not a tunnel device: packets would leave through it in clear; name the device that "
        "the tunnel program made");
}

} // namespace failclosed
