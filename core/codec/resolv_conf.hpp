// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf(5) as values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/model/address.hpp"
#include "core/model/names.hpp"

namespace failclosed {

struct ResolvConf {
    std::vector<IpAddress> servers;
    std::vector<HostName> search_domains;

    friend bool operator==(const ResolvConf&, const ResolvConf&) = default;
};

/// What the C library would read: "nameserver" lines in order, the last "search" or "domain"
/// line. Lines, names and addresses that are not valid are left out; so are addresses with a
/// zone (fe80::1%eth0), options and sort lists.
ResolvConf parse_resolv_conf(std::string_view text);

/// A whole file with nothing but these, below the line by which it is known as ours.
std::string render_resolv_conf(const ResolvConf& conf);

/// The same without that line, as resolvconf(8) takes it.
std::string render_resolver_lines(const ResolvConf& conf);

/// Whether render_resolv_conf made `text`, be it edited since then.
bool is_our_resolv_conf(std::string_view text);

} // namespace failclosed
