// SPDX-License-Identifier: GPL-3.0-or-later
// Servers in configurations on this machine.
#pragma once

#include <vector>

#include "core/codec/warnings.hpp"
#include "core/model/state.hpp"

namespace failclosed {

struct LearntServers {
    /// Servers that are given by name have no addresses yet.
    std::vector<Server> servers;
    /// One for each server or file that could not be learnt, with the reason.
    Warnings warnings;
    /// VPN profiles of NetworkManager.
    std::vector<LearntProfile> profiles = {};
};

} // namespace failclosed
