// SPDX-License-Identifier: GPL-3.0-or-later
// Services refused outside the tunnels.
#include "core/plan/refused_services.hpp"

#include <algorithm>
#include <iterator>

namespace failclosed {

std::vector<RefusedService> refused_services(const Config& config)
{
    std::vector<RefusedService> refused;
    std::ranges::copy_if(kRefusedServices, std::back_inserter(refused),
                         [&](const RefusedService& service) {
                             return service.lifted_by == nullptr || !(config.*service.lifted_by);
                         });
    return refused;
}

} // namespace failclosed
