// SPDX-License-Identifier: GPL-3.0-or-later
// State files: what was written reads back, what is damaged is refused.
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "core/codec/files/state_file.hpp"

namespace failclosed {
namespace {

using Random = std::mt19937;

unsigned below(Random& random, unsigned limit)
{
    return std::uniform_int_distribution<unsigned>(0, limit - 1)(random);
}

IpAddress random_address(Random& random)
{
    std::vector<std::uint8_t> bytes(below(random, 2) == 0 ? 4 : 16);
    for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(below(random, 256));
    }
    return IpAddress::from_bytes(bytes).value();
}

HostName random_name(Random& random)
{
    return HostName::parse("h" + std::to_string(random()) + "-_x.Example").value();
}

InterfaceName random_interface(Random& random)
{
    while (true) {
        std::string text(1 + below(random, 15), ' ');
        for (char& c : text) {
            c = static_cast<char>(33 + below(random, 223));
        }
        if (const auto name = InterfaceName::parse(text)) {
            return *name;
        }
    }
}

template <typename Make> auto random_list(Random& random, const Make& make)
{
    std::vector<decltype(make(random))> list;
    for (unsigned count = below(random, 5); count > 0; --count) {
        list.push_back(make(random));
    }
    return list;
}

Tunnel random_tunnel(Random& random)
{
    Tunnel tunnel{random_interface(random)};
    tunnel.addresses = random_list(random, [](Random& source) {
        const auto address = random_address(source);
        return InterfaceAddress{address, below(source, address.bits() + 1)};
    });
    tunnel.networks = random_list(random, [](Random& source) {
        const auto address = random_address(source);
        return IpPrefix::make(address, below(source, address.bits() + 1)).value();
    });
    tunnel.gateways = random_list(random, random_address);
    tunnel.resolvers = random_list(random, random_address);
    tunnel.search_domains = random_list(random, random_name);
    if (below(random, 2) == 0) {
        tunnel.owner = ProcessId{static_cast<pid_t>(1 + below(random, 1U << 22U)),
                                 std::numeric_limits<std::uint64_t>::max() - random()};
        tunnel.word = Tunnel::Word::Found;
    }
    return tunnel;
}

UnderlayPath random_path(Random& random)
{
    UnderlayPath path{Family::V4, random_interface(random), std::nullopt, {random_address(random)}};
    path.family = path.sources.front().family();
    if (below(random, 2) == 0) {
        path.gateway = random_address(random);
    }
    return path;
}

Server random_server(Random& random)
{
    constexpr std::array kTransports = {Transport::Udp, Transport::Tcp, Transport::Gre,
                                        Transport::Esp};
    constexpr std::array<std::optional<Family>, 3> kFamilyChoices = {std::nullopt, Family::V4,
                                                                     Family::V6};
    Remote remote{random_address(random), kTransports[below(random, 4)], std::nullopt,
                  std::nullopt};
    if (below(random, 2) == 0) {
        remote.host = random_name(random);
    }
    if (has_ports(remote.transport)) {
        remote.port = Port::make(static_cast<std::uint16_t>(1 + below(random, 65535)));
        remote.family = kFamilyChoices[below(random, 3)];
    }
    Server server{remote, {}, {}};
    server.identity.uids =
        random_list(random, [](Random& source) { return static_cast<uid_t>(source() >> 1U); });
    if (below(random, 2) == 0) {
        server.identity.mark = static_cast<std::uint32_t>(random());
    }
    server.addresses = random_list(random, [](Random& source) {
        return LearntAddress{random_address(source), Seconds(source()), below(source, 2) == 0,
                             below(source, 2) == 0};
    });
    return server;
}

Portal random_portal(Random& random)
{
    Portal portal{static_cast<uid_t>(random() >> 1U), {}, random_list(random, random_address), {}};
    portal.until = Seconds(random());
    if (below(random, 2) == 0) {
        portal.gid = 1 + below(random, 1U << 31U);
    }
    return portal;
}

TEST(StateFile, IsReadAsWritten)
{
    Random random(20);
    for (unsigned round = 0; round < 500; ++round) {
        const auto tunnels = random_list(random, random_tunnel);
        Running running{"boot " + std::to_string(round), tunnels, {}, {}, {}};
        running.underlay.paths = random_list(random, random_path);
        running.underlay.leases = random_list(random, [](Random& source) {
            return Lease{random_interface(source), random_address(source)};
        });
        running.underlay.suspended = Seconds(below(random, 100));
        running.programs = random_list(random, [](Random& source) {
            Program program{{static_cast<pid_t>(1 + below(source, 1000)), source()}};
            if (below(source, 2) == 0) {
                program.server = random_address(source);
                program.path = random_path(source);
            }
            return program;
        });
        running.refused = random_list(random, random_interface);
        running.vpn_programs = random_list(random, [](Random& source) {
            return VpnProgram{random_interface(source),
                              {static_cast<pid_t>(source() % 4000 + 1), source()}};
        });
        if (below(random, 2) == 0) {
            running.portal = random_portal(random);
        }
        const auto servers = random_list(random, random_server);
        const auto running_back = read_running(write_running(running));
        const auto servers_back = read_servers(write_servers(servers));
        ASSERT_TRUE(running_back) << running_back.error().message() << write_running(running);
        ASSERT_TRUE(servers_back) << servers_back.error().message() << write_servers(servers);
        EXPECT_EQ(*running_back, running);
        EXPECT_EQ(*servers_back, servers);
        std::vector<InsideNetworks> inside;
        for (const auto& tunnel : tunnels) {
            inside.push_back({tunnel.interface, tunnel.networks});
        }
        EXPECT_EQ(read_inside(write_inside(inside)).value(), inside);
    }
    const std::vector<std::string> configs = {"/etc/openvpn/a;b.conf", "/x/ü%\n="};
    EXPECT_EQ(read_configs(write_configs(configs)).value(), configs);
    EXPECT_FALSE(read_configs("[failclosed]\nformat=1\nconfigs=relative;\n"));
    for (const auto armed : {Armed::Yes, Armed::No}) {
        EXPECT_EQ(read_armed(write_armed(armed)).value(), armed);
    }
}

TEST(StateFile, TruncatedAnywhereIsDamagedOrComplete)
{
    Random random(21);
    const std::vector<Server> servers = {random_server(random), random_server(random),
                                         random_server(random)};
    const auto text = write_servers(servers);
    for (std::size_t size = 0; size < text.size(); ++size) {
        const auto read = read_servers(std::string_view(text).substr(0, size));
        // The last list may lose its end without a trace; everything else is noticed.
        EXPECT_TRUE(!read || read->size() == 3) << size;
    }
    EXPECT_FALSE(read_servers(""));
}

TEST(StateFile, DamagedValuesAreErrors)
{
    const std::string tunnels =
        "[failclosed]\nformat=1\ntunnels=1\nboot=x\npaths=2\nleases=1\nprograms=2\nsuspended="
        "3\nrefused=tun9;\nportal=yes\n"
        "[tunnel 1]\ninterface=tun0\n"
        "addresses=10.0.0.2/24;\nnetworks=10.0.0.0/8;\ngateways=\n"
        "resolvers=10.0.0.1;\nsearch-domains=a.example;\n"
        "owner=8 10\nword=found\n"
        "[path 1]\ninterface=eth0\nsources=192.0.2.9;\n"
        "[path 2]\ninterface=eth1\ngateway=192.0.2.254\nsources=192.0.2.8;\n"
        "[lease 1]\ninterface=eth2\nserver=192.0.2.253\n"
        "[program 1]\nprocess=7 9\n"
        "[program 2]\nprocess=8 9\nserver=192.0.2.7\ninterface=eth3\nsources=192.0.2.6;\n"
        "[portal]\nuid=1000\ngid=998\nresolvers=192.0.2.53;\nuntil=600\n";
    const auto whole = read_running(tunnels);
    ASSERT_TRUE(whole) << whole.error().message();
    EXPECT_EQ(whole->portal,
              (Portal{1000, 998, {IpAddress::parse("192.0.2.53").value()}, Seconds(600)}));
    EXPECT_TRUE(read_running(tunnels + "unknown=1\n[other]\nkey=1\n"));
    const std::vector<std::pair<std::string, std::string>> changes = {
        {"format=1", "format=2"},
        {"format=1", ""},
        {"tunnels=1", "tunnels=2"},
        {"tunnels=1", "tunnels=-1"},
        {"tunnels=1", "tunnels=99999999999999999999"},
        {"tun0", "tun%2f0"},
        {"tun0", "tun%zz"},
        {"tun0", "0123456789abcdef"},
        {"10.0.0.2/24", "10.0.0.2/33"},
        {"10.0.0.2/24", "10.0.0.2"},
        {"10.0.0.2/24", "x/24"},
        {"10.0.0.0/8", "10.0.0.0/99"},
        {"10.0.0.1;", "10.0.0.1.;"},
        {"a.example", "a example"},
        {"owner=8 10", "owner=8"},
        {"owner=8 10", "owner=0 10"},
        {"owner=8 10", "owner=8 -10"},
        {"word=found", "word=x"},
        {"7 9", "7"},
        {"192.0.2.7", "192.0.2"},
        {"192.0.2.6;", ";"},
        {"process=8 9", ""},
        {"paths=2", "paths=3"},
        {"programs=2", "programs=3"},
        {"programs=2", "programs=x"},
        {"sources=192.0.2.9;", "sources="},
        {"leases=1", "leases=2"},
        {"server=192.0.2.253", ""},
        {"suspended=3", "suspended=x"},
        {"tun9", "tun%zz"},
        {"networks=10.0.0.0/8;", ""},
        {"[portal]", "[portals]"},
        {"uid=1000", "uid=-1"},
        {"uid=1000", "uid=4294967295"},
        {"uid=1000", ""},
        {"gid=998", "gid=0"},
        {"gid=998", "gid="},
        {"192.0.2.53;", "192.0.2.;"},
        {"resolvers=192.0.2.53;", ""},
        {"until=600", "until=soon"},
        {"until=600", ""},
        {"[tunnel 1]", "[tunnel 2]"},
        {"[failclosed]", "failclosed]"},
    };
    for (const auto& [from, to] : changes) {
        auto text = tunnels;
        text.replace(text.find(from), from.size(), to);
        EXPECT_FALSE(read_running(text)) << from << " -> " << to;
    }
    auto with_nul = tunnels;
    with_nul.push_back('\0');
    EXPECT_FALSE(read_running(with_nul));
}

// 0.1 knew of no underlay, and wrote the owner in two lines.
TEST(StateFile, TunnelsOfAnEarlierVersionAreRead)
{
    const auto read =
        read_running("[failclosed]\nformat=1\ntunnels=1\n\n[tunnel 1]\ninterface=tun0\n"
                     "addresses=10.0.0.2/24;\nnetworks=\ngateways=\nresolvers=\n"
                     "search-domains=\nowner-pid=7\nowner-start=9\n");
    ASSERT_TRUE(read) << read.error().message();
    ASSERT_EQ(read->tunnels.size(), 1U);
    EXPECT_EQ(read->tunnels.front().word, Tunnel::Word::Announced);
    EXPECT_EQ(read->tunnels.front().owner, (ProcessId{7, 9}));
    EXPECT_EQ(read->underlay, Underlay{});
    EXPECT_EQ(read->portal, std::nullopt);
}

TEST(StateFile, DamagedServersAreErrors)
{
    const std::string servers = "[failclosed]\nformat=1\nservers=1\n[server 1]\n"
                                "remote=a.example:1194/udp\nuids=0;65534;\nmark=5\n"
                                "addresses=192.0.2.1 1795149082 worked;192.0.2.2 5;"
                                "192.0.2.3 6 hearsay;192.0.2.4 7 unverified;\n";
    const auto read = read_servers(servers);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_TRUE(read->at(0).addresses.at(0).worked_last);
    EXPECT_FALSE(read->at(0).addresses.at(1).unverified);
    EXPECT_TRUE(read->at(0).addresses.at(2).unverified) << "as version 0.2.0 wrote it";
    EXPECT_TRUE(read->at(0).addresses.at(3).unverified);
    EXPECT_EQ(write_servers(*read).find("hearsay"), std::string::npos);
    const std::vector<std::pair<std::string, std::string>> changes = {
        {"a.example:1194/udp", "a.example:0/udp"},
        {"a.example:1194/udp", "a.example:1194/quic"},
        {"a.example:1194/udp", ""},
        {"65534", "4294967295"},
        {"65534", "-2"},
        {"mark=5", "mark=4294967296"},
        {"1795149082 worked", "1795149082 failed"},
        {"1795149082 worked", "worked"},
        {"6 hearsay", "hearsay"},
        {"6 hearsay", "6 hearsay worked"},
        {"7 unverified", "unverified"},
        {"7 unverified", "7 unverified worked"},
        {"7 unverified", "7 unverified hearsay"},
        {" 5;", " 99999999999999999999;"},
        {"192.0.2.2", "192.0.2.300"},
    };
    for (const auto& [from, to] : changes) {
        auto text = servers;
        text.replace(text.find(from), from.size(), to);
        EXPECT_FALSE(read_servers(text)) << from << " -> " << to;
    }
}

TEST(StateFile, ArmedIsYesOrNo)
{
    EXPECT_EQ(read_armed("[failclosed]\nformat=1\narmed=no\n").value(), Armed::No);
    for (const char* text : {"", "armed=no", "[failclosed]\narmed=no\n",
                             "[failclosed]\nformat=1\narmed=maybe\n", "[failclosed]\nformat=1\n"}) {
        EXPECT_FALSE(read_armed(text)) << text;
    }
}

TEST(StateFile, ProfilesReadBackAndBrokenOnesDoNot)
{
    const std::string digest(64, 'a');
    const std::vector<LearntProfile> profiles = {{"b524f1cd-b799-4dab-830b-cfe0a6e46934", digest},
                                                 {"c0", std::string(64, '0')}};
    const auto back = read_profiles(write_profiles(profiles));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, profiles);
    EXPECT_TRUE(read_profiles(write_profiles({})));
    for (const LearntProfile& broken : {LearntProfile{"", digest},
                                        {"c0", ""},
                                        {"c0", digest + "a"},
                                        {"x y", digest},
                                        {"c0", std::string(64, 'g')},
                                        {std::string(41, 'a'), digest}}) {
        EXPECT_FALSE(read_profiles(write_profiles({broken}))) << broken.uuid << broken.digest;
    }
    EXPECT_FALSE(read_profiles("[failclosed]\nformat=1\n"));
}

} // namespace
} // namespace failclosed
