// SPDX-License-Identifier: GPL-3.0-or-later
// networkd.conf(5): whether systemd-networkd removes rules and routes of other programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace failclosed {

/// A boolean setting and the file that set it.
struct NetworkdSetting {
    bool is_on = true;     ///< true is systemd's default for all of these settings
    std::string file = {}; ///< empty: default

    friend bool operator==(const NetworkdSetting&, const NetworkdSetting&) = default;
};

/// What systemd-networkd removes when it configures a device. Entries of .network files are kept.
struct NetworkdConfig {
    NetworkdSetting rules;     ///< ManageForeignRoutingPolicyRules=, systemd 249
    NetworkdSetting routes;    ///< ManageForeignRoutes=, systemd 246
    NetworkdSetting next_hops; ///< ManageForeignNextHops=, systemd 256
    /// The file with an invalid section header. systemd stops there: it ignores the rest of this
    /// file and all later files. Empty: systemd reads all files.
    std::string stopped_at = {};

    friend bool operator==(const NetworkdConfig&, const NetworkdConfig&) = default;
};

/// The path, for messages, and the text of a file.
struct NetworkdFile {
    std::string path;
    std::string text;
};

/// Parses `files`, which are in the order in which systemd reads them: the main file, then the
/// drop-ins. The last assignment of a setting is used. Ignores lines that systemd ignores: other
/// sections, values that are not boolean (empty ones too), and keys in another case. A line that
/// ends in a backslash continues on the next one.
///
/// Source: config_parse_many_files() and parse_boolean() of systemd 252 and 257.
NetworkdConfig parse_networkd_config(const std::vector<NetworkdFile>& files);

/// The drop-ins that systemd reads, in its order: sorted by file name. Of several files with the
/// same name it reads the first in `paths`, which starts with the folder of the highest priority.
/// Leaves out hidden files and names that do not end in `.conf`. Source: conf_files_list_strv() of
/// systemd, systemd-system.conf(5).
std::vector<std::string> effective_drop_ins(const std::vector<std::string>& paths);

} // namespace failclosed
