// SPDX-License-Identifier: GPL-3.0-or-later
// The strictest configuration.
#include "core/model/config.hpp"

namespace failclosed {

Config strictest_config()
{
    Config config;
    config.lan = {LanPolicy::Kind::Deny, {}};
    config.bootstrap_dns = false;
    return config;
}

} // namespace failclosed
