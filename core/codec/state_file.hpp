// SPDX-License-Identifier: GPL-3.0-or-later
// Remembered state as the text of key files, and back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

// Each file says how many parts it has, so that one that lost its end is known as damaged. Every
// value is checked again on reading; what is missing, wrong, or written by a later format makes
// the whole file an error. Keys that are not known are passed over. What was written reads back
// as equal values.

/// The tunnels that are up: for a file that does not survive a reboot.
std::string write_tunnels(const std::vector<Tunnel>& tunnels);
Result<std::vector<Tunnel>> read_tunnels(std::string_view text);

/// Servers with identities and learnt addresses.
std::string write_inside(const std::vector<InsideNetworks>& inside);
Result<std::vector<InsideNetworks>> read_inside(std::string_view text);

std::string write_servers(const std::vector<Server>& servers);
Result<std::vector<Server>> read_servers(std::string_view text);

/// Whether protection was last asked for or put off.
std::string write_armed(Armed armed);
Result<Armed> read_armed(std::string_view text);

} // namespace failclosed
