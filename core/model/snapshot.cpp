// SPDX-License-Identifier: GPL-3.0-or-later
// Looking things up in a snapshot.
#include "core/model/snapshot.hpp"

#include <algorithm>

namespace failclosed {

const Link* Snapshot::find(const InterfaceName& name) const
{
    const auto found = std::ranges::find(links, name, &Link::name);
    return found == links.end() ? nullptr : &*found;
}

} // namespace failclosed
