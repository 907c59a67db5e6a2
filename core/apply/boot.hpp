// SPDX-License-Identifier: GPL-3.0-or-later
// The start of the machine: which one it is, and whether it is locked at each, before its network.
#pragma once

#include <string>

#include "core/base/result.hpp"

namespace failclosed {

/// Tells one start of the machine from another (proc_sys_kernel(5)).
inline constexpr const char* kBootIdFile = "/proc/sys/kernel/random/boot_id";

/// What stands in that file; empty where it cannot be told.
std::string read_boot_id(const std::string& file);

/// Whether systemd will start failclosed-lock.service at boot.
bool is_enabled_at_boot();

/// Enables the unit by `systemctl enable`, which needs no running systemd. An enabled unit is enabled
/// again: an older version may have asked for fewer links. Not for the boot unit's own run, which
/// must not wait for the service manager. Fails if the unit or systemctl(1) is not installed.
Status enable_at_boot();

} // namespace failclosed
