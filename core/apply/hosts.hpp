// SPDX-License-Identifier: GPL-3.0-or-later
// The hosts file of the system.
#pragma once

#include <string>

#include "core/base/result.hpp"
#include "core/plan/hosts.hpp"

namespace failclosed {

/// hosts(5). Links on the way are followed.
inline constexpr const char* kHostsPath = "/etc/hosts";

/// Makes our lines those of `plan` and leaves all others as they are. Writes nothing where they
/// are right already. On failure the file is as it was.
Status apply_hosts(const HostsPlan& plan, const std::string& path = kHostsPath);

/// Takes our lines out; afterwards the file is byte for byte what it was without us.
Status remove_hosts(const std::string& path = kHostsPath);

/// Whether the file holds exactly these lines of ours.
Result<bool> hosts_hold(const HostsPlan& plan, const std::string& path = kHostsPath);

} // namespace failclosed
