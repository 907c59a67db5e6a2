// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the parts of the kernel's state that plans need.
#pragma once

#include "core/base/result.hpp"
#include "core/model/snapshot.hpp"

namespace failclosed {

/// The links of this network namespace in the order of their indexes, with their addresses, the
/// routes of table main, and the clocks. Leaves out links whose name is not a valid InterfaceName.
Result<Snapshot> observe();

} // namespace failclosed
