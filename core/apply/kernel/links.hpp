// SPDX-License-Identifier: GPL-3.0-or-later
// Sets links down if no firewall can be loaded: without a link, no packet leaves.
#pragma once

#include "core/base/result.hpp"

namespace failclosed {

/// Sets every link except loopback down (RTM_NEWLINK without IFF_UP, rtnetlink(7)). Tries all
/// links; returns the first error.
Status set_links_down();

} // namespace failclosed
