// SPDX-License-Identifier: GPL-3.0-or-later
// Our entries in a hosts(5) file that belongs to somebody else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/plan/hosts.hpp"

namespace failclosed {

/// `contents` with the entries of `plan` as its first lines, in the place of those that earlier
/// calls put there; nothing for a file that does not exist. Each line of ours ends in a mark of
/// its own, so there is no block whose end could be lost, and what the user writes before,
/// between or after them stays. A plan without entries is remove_hosts_entries.
std::optional<std::string> put_hosts_entries(const std::optional<std::string>& contents,
                                             const HostsPlan& plan);

/// `contents` without our lines: byte for byte what it was before the first call of
/// put_hosts_entries, and nothing where there was no file then.
std::optional<std::string> remove_hosts_entries(const std::optional<std::string>& contents);

} // namespace failclosed
