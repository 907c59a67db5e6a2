// SPDX-License-Identifier: GPL-3.0-or-later
// The hosts file of the system.
#pragma once

#include <string>

#include "core/base/result.hpp"
#include "core/plan/names/hosts.hpp"

namespace failclosed {

/// hosts(5). Links are followed; a link to a file that does not exist is neither followed nor
/// replaced (ELOOP), unless there is no line to write.
inline constexpr const char* kHostsPath = "/etc/hosts";

/// Replaces our lines by those of `plan`, and keeps all other lines. Writes nothing if they are the
/// same. On failure the file is unchanged.
Status apply_hosts(const HostsPlan& plan, const std::string& path = kHostsPath);

/// Removes our lines. The rest of the file stays byte for byte.
Status remove_hosts(const std::string& path = kHostsPath);

/// Whether our lines in the file are exactly those of `plan`.
Result<bool> hosts_hold(const HostsPlan& plan, const std::string& path = kHostsPath);

/// Whether lines could be written: fails if the file cannot be read, or is a link to a file that
/// does not exist. Names the reason, without the path, and what to do.
Status hosts_writable(const std::string& path = kHostsPath);

} // namespace failclosed
