// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the files that can name the network's resolvers.
#include "core/engine/underlay_resolvers.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "core/apply/storage/journal.hpp"
#include "core/base/file.hpp"
#include "core/codec/files/resolv_conf.hpp"
#include "core/engine/live_system.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {

namespace {

constexpr std::size_t kMost = 2;

/// Files that name the resolvers of the underlay, in the order of preference. /etc/resolv.conf
/// names them only if no local resolver is used.
constexpr std::array kFiles = {
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/NetworkManager/resolv.conf",
    "/run/resolvconf/resolv.conf",
    "/etc/resolv.conf",
};

} // namespace

std::vector<IpAddress> underlay_resolvers(const State& state)
{
    std::vector<std::string> texts;
    if (const auto journal = JournalFile(LiveSystem::persistent_directory()).load();
        journal && journal->resolv_conf &&
        journal->resolv_conf->kind == ResolvConfBefore::Kind::Regular) {
        texts.push_back(journal->resolv_conf->data);
    }
    for (const char* path : kFiles) {
        if (auto text = read_file(path, 1 << 16); text && !is_our_resolv_conf(*text)) {
            texts.push_back(*std::move(text));
        }
    }
    std::vector<IpAddress> resolvers;
    for (const auto& text : texts) {
        for (const auto& resolver : parse_resolv_conf(text).servers) {
            const auto inside = tunnel_networks(resolver.family(), state);
            const bool in_tunnel = std::ranges::any_of(
                inside, [&](const IpPrefix& network) { return network.contains(resolver); });
            if (resolver.is_unicast_host() && !resolver.is_link_local() && !in_tunnel &&
                resolvers.size() < kMost &&
                std::ranges::find(resolvers, resolver) == resolvers.end()) {
                resolvers.push_back(resolver);
            }
        }
    }
    return resolvers;
}

} // namespace failclosed
