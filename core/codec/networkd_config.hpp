// SPDX-License-Identifier: GPL-3.0-or-later
// networkd.conf(5): what systemd-networkd does to rules and routes that it has not made.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace failclosed {

/// One boolean setting, and the file that decided it.
struct NetworkdSetting {
    bool is_on = true;     ///< systemd's default for each of these settings
    std::string file = {}; ///< empty: the default

    friend bool operator==(const NetworkdSetting&, const NetworkdSetting&) = default;
};

/// What systemd-networkd removes when it configures a device, unless a .network file names it.
struct NetworkdConfig {
    NetworkdSetting rules;     ///< ManageForeignRoutingPolicyRules=, systemd 249
    NetworkdSetting routes;    ///< ManageForeignRoutes=, systemd 246
    NetworkdSetting next_hops; ///< ManageForeignNextHops=, systemd 256
    /// The file at whose broken section header systemd stops to read: neither the rest of it nor
    /// any later file counts. Empty: all files count.
    std::string stopped_at = {};

    friend bool operator==(const NetworkdConfig&, const NetworkdConfig&) = default;
};

/// A file's path, for messages, and its text.
struct NetworkdFile {
    std::string path;
    std::string text;
};

/// The settings of `files`, in the order in which systemd reads them: the main file, then the
/// drop-ins; the last assignment counts. Lines that systemd ignores are ignored: other sections,
/// values that are no boolean (an empty one too), and keys in another case. A line that ends in a
/// backslash goes on in the next one.
///
/// Source: config_parse_many_files() and parse_boolean() of systemd 252 and 257.
NetworkdConfig parse_networkd_config(const std::vector<NetworkdFile>& files);

/// Which drop-ins count, in the order in which systemd reads them: sorted by file name; of several
/// files of one name the first in `paths` counts and hides the others. `paths` begins with those
/// of the folder with the highest priority. Names that do not end in `.conf`, and hidden ones, are
/// left out. Source: conf_files_list_strv() of systemd, systemd-system.conf(5).
std::vector<std::string> effective_drop_ins(const std::vector<std::string>& paths);

} // namespace failclosed
