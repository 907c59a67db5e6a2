// SPDX-License-Identifier: GPL-3.0-or-later
// Finds users by name, in the passwd file only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/base/result.hpp"

namespace failclosed {

/// The uid of user `name` in `passwd_file` (passwd(5)); `nullopt` if it has no such user. Does not
/// use name services: they may need the network, which is not up before this program has ended.
Result<std::optional<uid_t>> uid_of(std::string_view name,
                                    const std::string& passwd_file = "/etc/passwd");

} // namespace failclosed
