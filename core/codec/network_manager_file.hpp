// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager-intern.conf, where NetworkManager keeps what it was told on D-Bus.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace failclosed {

/// `contents` with the GlobalDnsConfiguration that is in it replaced by `value` (GVariant text of
/// a dictionary, as the property is; an empty one for none), for a NetworkManager that does not
/// run. All else is kept byte for byte, as NetworkManager wrote it. Without such a configuration,
/// or where it is no key file and NetworkManager will not read it, `contents` is returned as it
/// is. A `value` of another form is an error.
///
/// Groups and keys are those of nm-config-keyfile of NetworkManager 1.42, and what it writes.
Result<std::string> replace_global_dns(std::string_view contents, const std::string& value);

} // namespace failclosed
