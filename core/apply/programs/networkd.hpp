// SPDX-License-Identifier: GPL-3.0-or-later
// systemd-networkd on this machine: whether it keeps our rules and routes.
#pragma once

#include <string>
#include <vector>

#include "core/codec/files/networkd_config.hpp"

namespace failclosed {

struct Networkd {
    bool is_running = false;
    NetworkdConfig config;
    /// Whether the installed program supports the setting; false also if it could not be read.
    bool knows_rules = false;
    bool knows_routes = false;
    bool knows_next_hops = false;
    /// It was started before a file of its configuration was changed.
    bool is_outdated = false;
    /// A message for each file that could not be read; such a file counts as empty.
    std::vector<std::string> unread;
};

/// Reads /etc/systemd/networkd.conf (else that of /run, /usr/local/lib, /usr/lib) with its
/// drop-ins, and searches the program file for the names of the settings. Starts no process.
Networkd look_at_networkd();

} // namespace failclosed
