// SPDX-License-Identifier: GPL-3.0-or-later
// Our entries in a hosts(5) file that other programs and users write too.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/plan/names/hosts.hpp"

namespace failclosed {

/// Returns `contents` with the entries of `plan` as its first lines, in place of those from earlier
/// calls. `nullopt` stands for a file that does not exist, as argument and as result. Each of our
/// lines ends in a mark, so lines that a user adds before, between or after them are kept. A plan
/// without entries does the same as remove_hosts_entries().
std::optional<std::string> put_hosts_entries(const std::optional<std::string>& contents,
                                             const HostsPlan& plan);

/// Returns `contents` without our lines: byte for byte what it was before the first call of
/// put_hosts_entries(), or `nullopt` if there was no file then.
std::optional<std::string> remove_hosts_entries(const std::optional<std::string>& contents);

} // namespace failclosed
