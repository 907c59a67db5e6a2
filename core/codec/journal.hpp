// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: what the system was like before us, so that every change can be undone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// resolv.conf as it was before a file of ours took its place.
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
    /// What we set.
    std::string ours;
    /// What was there before.
    std::string previous;

    friend bool operator==(const SysctlRecord&, const SysctlRecord&) = default;
};

struct Journal {
    /// Set while resolv.conf itself is ours, and for a link after that.
    std::optional<ResolvConfBefore> resolv_conf;
    /// When the link was put back, in seconds since 1970.
    std::optional<std::int64_t> resolv_conf_left;
    /// NetworkManager's GlobalDnsConfiguration before ours, as GVariant text.
    std::optional<std::string> network_manager;
    /// The resolvconf(8) program that holds a record of ours.
    std::optional<std::string> resolvconf;
    /// Links that systemd-resolved holds settings of ours for.
    std::vector<InterfaceName> resolved_links;
    std::vector<SysctlRecord> sysctls;

    friend bool operator==(const Journal&, const Journal&) = default;
};

/// Text with a check sum over the whole in its first line.
std::string render_journal(const Journal& journal);

/// The opposite of render_journal. Anything else, be it one byte, is an error.
Result<Journal> parse_journal(std::string_view text);

} // namespace failclosed
