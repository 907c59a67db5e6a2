// SPDX-License-Identifier: GPL-3.0-or-later
// Servers that configurations on this machine name.
#pragma once

#include <vector>

#include "core/codec/warnings.hpp"
#include "core/model/state.hpp"

namespace failclosed {

struct LearntServers {
    /// Those given by name have no addresses yet.
    std::vector<Server> servers;
    /// What could not be learnt, and why.
    Warnings warnings;
    /// Of NetworkManager.
    std::vector<LearntProfile> profiles = {};
};

} // namespace failclosed
