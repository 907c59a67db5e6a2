// SPDX-License-Identifier: GPL-3.0-or-later
// Looks names up at given resolvers, without resolv.conf and /etc/hosts, in a child process that
// has no privileges when it reads an answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/result.hpp"
#include "core/model/event.hpp"

namespace failclosed::cli {

/// The resolvers to ask, and how the firewall recognises the queries.
struct ResolverPath {
    /// Only the first kMostResolversAsked are asked.
    std::vector<IpAddress> resolvers;
    /// Only through this device (SO_BINDTODEVICE).
    std::optional<InterfaceName> device;
    /// SO_MARK; 0 for none.
    std::uint32_t mark = 0;
    /// For one query; each query is sent twice.
    std::chrono::milliseconds timeout{2000};
};

inline constexpr std::size_t kMostResolversAsked = 8;

struct Lookup {
    /// The names that have an address.
    std::vector<ServersResolved::Answer> answers;
    /// A resolver answered. True also if the answer is that a name does not exist.
    bool reached = false;
};

/// Looks up the IPv4 and IPv6 addresses of each name; follows canonical names. Returns when all
/// names have been answered or have timed out, after at most 4 * timeout * number of resolvers plus
/// one second. Needs root. An error if the child process could not be started, ended early, or
/// wrote invalid records.
Result<Lookup> look_up(const std::vector<HostName>& names, const ResolverPath& path);

} // namespace failclosed::cli
