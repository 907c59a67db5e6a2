// SPDX-License-Identifier: GPL-3.0-or-later
// Every recorded environment, changed in a thousand ways: no crash, and no user is admitted who is
// not in it.
#include <array>

#include <gtest/gtest.h>

#include "tests/unit/mutator.hpp"
#include "tests/unit/recording.hpp"

namespace failclosed {
namespace {

using test::kRounds;
using test::Mutator;
using test::Recording;

std::vector<Server> servers_of(const Event& event)
{
    if (const auto* up = std::get_if<TunnelUp>(&event)) {
        return up->servers;
    }
    if (const auto* restarted = std::get_if<TunnelRestarted>(&event)) {
        return restarted->servers;
    }
    return {};
}

std::optional<Endpoint> connected_of(const Event& event)
{
    if (const auto* up = std::get_if<TunnelUp>(&event)) {
        return up->connected;
    }
    const auto* restarted = std::get_if<TunnelRestarted>(&event);
    return restarted == nullptr ? std::nullopt : restarted->connected;
}

/// Whether the environment names this host, by a variable for hosts.
bool is_named(const Recording& script, const std::variant<IpAddress, HostName>& host)
{
    return std::ranges::any_of(script.entries, [&](const std::string& entry) {
        const std::string value = entry.substr(entry.find('=') + 1);
        const bool is_host = std::ranges::any_of(
            std::array{"remote_", "trusted_ip", "http_proxy_server_", "socks_proxy_server_"},
            [&](const char* prefix) { return entry.starts_with(prefix); });
        if (const auto* name = std::get_if<HostName>(&host)) {
            return is_host && HostName::parse(value) == *name;
        }
        return is_host && IpAddress::parse(value) == std::get<IpAddress>(host);
    });
}

void check(const Recording& script, const OpenvpnEvent& result)
{
    EXPECT_LE(result.warnings.size(), kMaxWarnings + 1);
    for (const auto& line : result.warnings) {
        EXPECT_FALSE(has_control_characters(line));
        EXPECT_LT(line.size(), 1000U);
    }
    if (!result.event) {
        return;
    }
    for (const auto& server : servers_of(*result.event)) {
        EXPECT_TRUE(is_named(script, server.remote.host)) << to_string(server.remote);
        EXPECT_EQ(server.identity.uids.size(), script.facts.ancestors[0].uid == 0 ? 1U : 2U);
    }
    if (const auto connected = connected_of(*result.event)) {
        EXPECT_TRUE(is_named(script, connected->address)) << to_string(*connected);
    }
    if (const auto* up = std::get_if<TunnelUp>(&*result.event)) {
        EXPECT_FALSE(up->tunnel.addresses.empty());
        for (const auto& resolver : up->tunnel.resolvers) {
            EXPECT_TRUE(resolver.is_unicast_host() && !resolver.is_link_local());
        }
        for (const auto& network : up->tunnel.networks) {
            EXPECT_GE(network.length(), kShortestNetwork);
        }
        const auto back = read_running(write_running({.tunnels = {up->tunnel}}));
        EXPECT_TRUE(back && back->tunnels.at(0) == up->tunnel);
    }
}

class HostileInputTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(HostileInputTest, ChangedEnvironments)
{
    const auto original = Recording::load(GetParam());
    for (unsigned seed = 0; seed < kRounds && !HasFailure(); ++seed) {
        Recording script = original;
        Mutator(seed).change(script);
        const auto result = script.parse();
        if (result) {
            check(script, *result);
        } else {
            EXPECT_FALSE(has_control_characters(result.error().message()));
        }
        if (HasFailure()) {
            FAIL() << "seed " << seed << ": " << test::to_text(result);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, HostileInputTest, testing::ValuesIn(test::all_recordings()),
                         [](const auto& parameter) { return test::test_name(parameter.param); });

} // namespace
} // namespace failclosed
