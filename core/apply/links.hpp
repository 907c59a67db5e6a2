// SPDX-License-Identifier: GPL-3.0-or-later
// The last resort where no firewall can be loaded: no link, no leak.
#pragma once

#include "core/base/result.hpp"

namespace failclosed {

/// Sets every link but loopback down (RTM_NEWLINK without IFF_UP, rtnetlink(7)). All are tried;
/// the first error is returned.
Status set_links_down();

} // namespace failclosed
