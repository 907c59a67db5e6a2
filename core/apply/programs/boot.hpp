// SPDX-License-Identifier: GPL-3.0-or-later
// The unit that locks the machine at boot, before its network starts.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace failclosed {

/// Whether systemd will start failclosed-lock.service at boot.
bool is_enabled_at_boot();

/// The units that failclosed-lock.service names by RequiredBy= and whose links, which `systemctl
/// enable` makes, are missing: they start although the machine could not be locked.
std::vector<std::string> units_without_boot_lock();

/// Enables the unit by `systemctl enable`, which does not need a running systemd. Also enables a
/// unit that is enabled already, because an older version may have made fewer links. Must not be
/// called by the boot unit itself, which must not wait for the service manager. Fails if the unit
/// or systemctl(1) is not installed, or if another init system starts this machine.
Status enable_at_boot();

} // namespace failclosed
