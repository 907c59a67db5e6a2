// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: the settings of the system before our changes, so that each can be undone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// resolv.conf as it was before our file replaced it.
struct ResolvConfBefore {
    enum class Kind { Absent, Link, Regular };

    Kind kind = Kind::Absent;
    /// The target of a link, or the contents of a regular file; any bytes.
    std::string data;

    friend bool operator==(const ResolvConfBefore&, const ResolvConfBefore&) = default;
};

/// A kernel parameter that we changed (proc(5), /proc/sys).
struct SysctlRecord {
    /// Parts of the path below /proc/sys.
    std::vector<std::string> name;
    /// The value that we set.
    std::string ours;
    /// The value before.
    std::string previous;

    friend bool operator==(const SysctlRecord&, const SysctlRecord&) = default;
};

struct Journal {
    /// Set while resolv.conf is our file, and after that if it was a link before.
    std::optional<ResolvConfBefore> resolv_conf;
    /// When the link was restored, in seconds since 1970.
    std::optional<std::int64_t> resolv_conf_left;
    /// NetworkManager's GlobalDnsConfiguration before ours, as GVariant text.
    std::optional<std::string> network_manager;
    /// The resolvconf(8) program that holds our record.
    std::optional<std::string> resolvconf;
    /// Links for which systemd-resolved holds our settings.
    std::vector<InterfaceName> resolved_links;
    std::vector<SysctlRecord> sysctls;

    friend bool operator==(const Journal&, const Journal&) = default;
};

/// Text whose first line is a checksum of the rest.
std::string render_journal(const Journal& journal);

/// Parses the text of render_journal(). Any other text is an error, even if one byte differs.
Result<Journal> parse_journal(std::string_view text);

} // namespace failclosed
