// SPDX-License-Identifier: GPL-3.0-or-later
// What the network around this machine does that its owner should know of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

struct Finding {
    enum class Kind : std::uint8_t {
        /// Somebody leads addresses that are not the local network's past the tunnel.
        InjectedRoute,
        /// A connected network has addresses that a tunnel has too.
        Overlap,
        /// Public addresses are said to be the local network. So it is where a machine has a public
        /// address of its own.
        PublicNetwork,
        /// Only the network's own resolver gave it, and others gave, or proved, another one.
        DoubtfulServer,
        /// A server's name has an address that is no address on the internet.
        PrivateServer,
        /// `forward` names a device that is not there.
        MissingDevice,
        /// `forward` names an uplink or a tunnel, which counts as not named.
        UnfitDevice,
    };

    Kind kind = Kind::InjectedRoute;
    /// One line, without anything secret.
    std::string text;

    friend bool operator==(const Finding&, const Finding&) = default;
};

/// "injected-route", "overlap", "public-network", "doubtful-server", "private-server",
/// "missing-device", "unfit-device".
std::string_view to_string(Finding::Kind kind);

/// Whether it is for information: it is so on machines where nothing is wrong.
bool is_informational(Finding::Kind kind);

/// Sorted by kind, each once. What is in order on an ordinary network is none: default routes,
/// connected networks, host routes to gateways, and those of a tunnel program to its server.
/// Routes with several next hops are not seen.
std::vector<Finding> findings(const State& state, const Config& config, const Snapshot& snapshot);

} // namespace failclosed
