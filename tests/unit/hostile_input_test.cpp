// SPDX-License-Identifier: GPL-3.0-or-later
// Every recorded environment, changed in a thousand ways: nothing crashes, and nobody is admitted
// who is not in it.
#include <array>
#include <random>

#include <gtest/gtest.h>

#include "tests/unit/recording.hpp"

namespace failclosed {
namespace {

using test::Recording;

constexpr unsigned kRounds = 1000;

/// What hostile values are made of.
const std::vector<std::string> kPieces = {
    "",
    " ",
    "\n",
    "\nremote_1=6.6.6.6\n",
    "$(id)",
    "`id`",
    "../../etc/passwd",
    "%s%n",
    "\xff\xfe",
    "\x1b[2J",
    "0",
    "-1",
    "65536",
    "4294967296",
    "99999999999999999999",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "::",
    "::1",
    "ff02::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "010.0.0.1",
    "1.2.3.4/33",
    "2001:db8::/129",
    "dhcp-option DNS ",
    "dhcp-option DOMAIN ",
    "dhcp-option",
    "tcp-client",
    "tcp6-server",
    "restart",
    "init",
    "up",
    "down",
    "ipchange",
    "route-up",
    "tap",
    "a.example",
    std::string(300, 'a'),
    std::string(100'000, '9'),
};

class Mutator {
  public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    void change(Recording& script)
    {
        for (std::size_t count = 1 + below(4); count > 0; --count) {
            change_once(script);
        }
    }

  private:
    std::size_t below(std::size_t limit)
    {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
    }

    const std::string& piece() { return kPieces[below(kPieces.size())]; }

    void change_once(Recording& script)
    {
        auto& entries = script.entries;
        if (entries.empty()) {
            entries.push_back("script_type=up");
        }
        std::string& entry = entries[below(entries.size())];
        const auto value = entry.find('=') + 1;
        const auto position = below(entry.size() + 1);
        switch (below(10)) {
        case 0:
            entry.replace(value, std::string::npos, piece());
            break;
        case 1:
            entry.insert(position, piece());
            break;
        case 2:
            entry.erase(position);
            break;
        case 3:
            if (!entry.empty()) {
                entry[below(entry.size())] = static_cast<char>(1 + below(255));
            }
            break;
        case 4:
            entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(below(entries.size())));
            break;
        case 5: { // the same variable twice, or under another number
            std::string copy = entry;
            const auto digits = copy.find_first_of("123456789");
            if (digits < value) {
                copy.insert(digits, std::to_string(below(1000)));
            }
            entries.push_back(copy);
            break;
        }
        case 6: // another variable's value
            entry = entry.substr(0, value) + value_of(entries[below(entries.size())]);
            break;
        case 7:
            script.arguments.assign(below(4), piece());
            break;
        case 8:
            entries.push_back("remote_" + std::to_string(below(20)) + "=" + piece());
            break;
        default:
            std::shuffle(entries.begin(), entries.end(), random_);
            break;
        }
    }

    static std::string value_of(const std::string& entry)
    {
        return entry.substr(entry.find('=') + 1);
    }

    std::mt19937 random_;
};

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
        const auto back = read_tunnels(write_tunnels({up->tunnel}));
        EXPECT_TRUE(back && back->at(0) == up->tunnel);
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
                         [](const auto& parameter) {
                             auto name = parameter.param.parent_path().filename().string() + "_" +
                                         parameter.param.stem().string();
                             std::ranges::replace(name, '-', '_');
                             return name;
                         });

} // namespace
} // namespace failclosed
