// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the machine is locked at every boot, before its network.
#pragma once

#include "core/base/result.hpp"

namespace failclosed {

/// Whether systemd will start failclosed-lock.service at boot.
bool is_enabled_at_boot();

/// Whether pid 1 runs us: as the boot unit, before there is any network.
bool is_started_by_systemd();

/// Enables the unit by `systemctl enable`, which needs no running systemd; nothing is done where it
/// is enabled already, or where systemd itself is starting it. Fails where the unit or systemctl(1)
/// is not installed.
Status enable_at_boot();

} // namespace failclosed
