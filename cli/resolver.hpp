// SPDX-License-Identifier: GPL-3.0-or-later
// Looking names up at given resolvers, past resolv.conf and /etc/hosts, in a process of its own
// that holds no privilege when it reads an answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/event.hpp"

namespace failclosed::cli {

/// Where questions go, and how their packets are told from others.
struct ResolverPath {
    /// The first kMostResolversAsked count.
    std::vector<IpAddress> resolvers;
    /// Only through this device (SO_BINDTODEVICE).
    std::optional<InterfaceName> device;
    /// SO_MARK; 0 for none.
    std::uint32_t mark = 0;
    /// For one question; it is asked twice.
    std::chrono::milliseconds timeout{2000};
};

inline constexpr std::size_t kMostResolversAsked = 8;

struct Lookup {
    /// The names that have any address.
    std::vector<ServersResolved::Answer> answers;
    /// A resolver answered, be it that it knows nothing.
    bool reached = false;
};

/// The IPv4 and IPv6 addresses of each name, whatever its canonical name is. Returns when all are
/// answered or have timed out: at most 4 * timeout * number of resolvers, and a second. Takes root.
/// An error if the process that reads the answers could not be started, ended early, or wrote what
/// it may not: there is no answer then.
Result<Lookup> look_up(const std::vector<HostName>& names, const ResolverPath& path);

} // namespace failclosed::cli
