// SPDX-License-Identifier: GPL-3.0-or-later
// What the network around this machine does that its owner should know of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/snapshot.hpp"

namespace failclosed {

struct Finding {
    enum class Kind : std::uint8_t {
        /// A route leads addresses outside the local network past the tunnel.
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
        /// `lan` lists a network that has addresses on the internet.
        PublicLan,
        /// `server` lists an address of this machine, which no rule is needed for.
        LocalServer,
        /// A policy rule of another program decides before those of lock 2.
        ForeignRule,
    };

    Kind kind = Kind::InjectedRoute;
    /// One line, without anything secret.
    std::string text;

    friend bool operator==(const Finding&, const Finding&) = default;
};

/// "injected-route", "overlap", "public-network", "doubtful-server", "private-server",
/// "missing-device", "unfit-device", "public-lan", "local-server", "foreign-rule".
std::string_view to_string(Finding::Kind kind);

/// Whether it is for information: it is so on machines where nothing is wrong.
bool is_informational(Finding::Kind kind);

/// Sorted by kind, each once. What is in order on an ordinary network is none: default routes,
/// connected networks, host routes to gateways, and those of a tunnel program to its server.
/// Routes with several next hops are not seen.
std::vector<Finding> findings(const State& state, const Config& config, const Snapshot& snapshot);

/// Those of Kind::PublicLan.
std::vector<Finding> findings_of_lan(const LanPolicy& lan);

/// A policy rule of another program (ip-rule(8)).
struct ForeignRule {
    Family family = Family::V4;
    std::uint32_t priority = 0;
    /// The table that it looks up, if it has neither `jump` nor `ends`.
    std::uint32_t table = 0;
    /// The priority that it goes to.
    std::optional<std::uint32_t> jump = {};
    /// It refuses its packets or does nothing, and leads none anywhere.
    bool ends = false;

    friend bool operator==(const ForeignRule&, const ForeignRule&) = default;
};

/// The rules that can lead packets past lock 2 while the machine is locked: those that come before
/// its end, but the look-up of this machine's own addresses.
std::vector<Finding> findings_of_rules(const std::vector<ForeignRule>& rules);

} // namespace failclosed
