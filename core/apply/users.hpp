// SPDX-License-Identifier: GPL-3.0-or-later
// Users by name, from this machine's own file only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/base/result.hpp"

namespace failclosed {

/// The number of user `name` in `passwd_file` (passwd(5)); nothing where it has none. Name
/// services are not asked: they may need the network, which waits for us.
Result<std::optional<uid_t>> uid_of(std::string_view name,
                                    const std::string& passwd_file = "/etc/passwd");

} // namespace failclosed
