// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel shows now, as plans need it.
#pragma once

#include "core/base/result.hpp"
#include "core/model/snapshot.hpp"

namespace failclosed {

/// Links of this network namespace in the order of their indexes, with their addresses, routes
/// of table main, and the clocks. A link whose name no InterfaceName can hold is left out.
Result<Snapshot> observe();

} // namespace failclosed
