// SPDX-License-Identifier: GPL-3.0-or-later
// Which names and addresses go into the hosts file.
#include <gtest/gtest.h>

#include "core/plan/names/hosts.hpp"

namespace failclosed {
namespace {

Server server(const char* remote, std::initializer_list<const char*> addresses = {})
{
    Server made{*Remote::parse(remote), {}, {}};
    for (const char* address : addresses) {
        made.addresses.push_back({*IpAddress::parse(address)});
    }
    return made;
}

HostsPlan plan(std::vector<Server> servers)
{
    State state;
    state.servers = std::move(servers);
    return plan_hosts(state);
}

HostsEntry entry(const char* name, const char* address)
{
    return {*HostName::parse(name), *IpAddress::parse(address)};
}

TEST(HostsPlan, HasNamesOnly)
{
    EXPECT_EQ(plan({server("203.0.113.2:1194/udp"), server("[2001:db8::2]:443/tcp")}), HostsPlan());
}

TEST(HostsPlan, ANameWithoutAddressesGivesNothing)
{
    EXPECT_EQ(plan({server("vpn.example:1194/udp")}), HostsPlan());
}

TEST(HostsPlan, IsSortedWithoutRepetitions)
{
    const HostsPlan expected = {{entry("a.example", "203.0.113.9"),
                                 entry("b.example", "203.0.113.2"),
                                 entry("b.example", "2001:db8::2")}};
    EXPECT_EQ(plan({server("b.example:1194/udp", {"2001:db8::2", "203.0.113.2"}),
                    server("a.example:443/tcp", {"203.0.113.9"}),
                    server("b.example:443/tcp", {"203.0.113.2"})}),
              expected);
}

TEST(HostsPlan, HasOnlyAddressesOfTheRemotesFamily)
{
    const HostsPlan expected = {{entry("vpn.example", "203.0.113.2")}};
    EXPECT_EQ(plan({server("vpn.example:1194/udp4", {"2001:db8::2", "203.0.113.2"})}), expected);
}

} // namespace
} // namespace failclosed
