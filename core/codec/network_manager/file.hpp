// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager-intern.conf, where NetworkManager stores settings that were made over D-Bus.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace failclosed {

/// Replaces the GlobalDnsConfiguration in `contents` by `value`, for a NetworkManager that does not
/// run. `value` is GVariant text of a dictionary, the type of the property; an empty dictionary
/// removes the configuration; text of another type is an error. All other bytes are kept. Returns
/// `contents` unchanged if it has no such configuration, or is not a key file (NetworkManager then
/// does not read it either).
///
/// Groups and keys are those that NetworkManager 1.42 writes (nm-config-keyfile).
Result<std::string> replace_global_dns(std::string_view contents, const std::string& value);

} // namespace failclosed
