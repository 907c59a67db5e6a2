// SPDX-License-Identifier: GPL-3.0-or-later
// Parses and renders resolv.conf(5).
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

/// Parses `text` as the C library does: the "nameserver" lines in order, and the last "search" or
/// "domain" line. Ignores invalid lines, names and addresses, addresses with a zone (fe80::1%eth0),
/// options and sort lists.
ResolvConf parse_resolv_conf(std::string_view text);

/// A file with these values below a first line that marks it as ours.
std::string render_resolv_conf(const ResolvConf& conf);

/// The same lines without the mark, as resolvconf(8) reads them.
std::string render_resolver_lines(const ResolvConf& conf);

/// Whether `text` was made by render_resolv_conf(). It may have been edited since.
bool is_our_resolv_conf(std::string_view text);

} // namespace failclosed
