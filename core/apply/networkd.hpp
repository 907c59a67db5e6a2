// SPDX-License-Identifier: GPL-3.0-or-later
// systemd-networkd on this machine: whether it leaves our rules and routes alone.
#pragma once

#include <string>
#include <vector>

#include "core/codec/networkd_config.hpp"

namespace failclosed {

struct Networkd {
    bool is_running = false;
    NetworkdConfig config;
    /// Whether the installed program knows the setting; false also where it could not be read.
    bool knows_rules = false;
    bool knows_routes = false;
    bool knows_next_hops = false;
    /// The running one was started before a file of its configuration was changed.
    bool is_outdated = false;
    /// What could not be read, for people; it then counts as empty.
    std::vector<std::string> unread;
};

/// Reads /etc/systemd/networkd.conf (else that of /run, /usr/local/lib and /usr/lib) with its
/// drop-ins, and looks into the program for the names of the settings. Nothing is started.
Networkd look_at_networkd();

} // namespace failclosed
