// SPDX-License-Identifier: GPL-3.0-or-later
// Servers out of NetworkManager's profiles: each plugin's keys, and hostile values.
#include <algorithm>
#include <fstream>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/apply/programs/profiles.hpp"
#include "core/codec/network_manager/profile.hpp"
#include "core/codec/openvpn/config.hpp"

namespace failclosed {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Data = std::vector<std::pair<std::string, std::string>>;
using Texts = std::vector<std::string>;

VpnProfile profile_of(const std::string& plugin, Data data)
{
    return {"work", "", "org.freedesktop.NetworkManager." + plugin, std::move(data), {}, {}};
}

Texts remotes(const ProfileServers& servers)
{
    Texts texts;
    for (const auto& server : servers.servers) {
        texts.push_back(to_string(server.remote));
    }
    return texts;
}

struct Case {
    std::string plugin;
    Data data;
    Texts remotes;
    Texts users = {"root"};
};

void PrintTo(const Case& example, std::ostream* out)
{
    *out << example.plugin;
    for (const auto& [key, value] : example.data) {
        *out << " " << key << "=" << value;
    }
}

class Understood : public testing::TestWithParam<Case> {};

TEST_P(Understood, WithoutWarnings)
{
    const auto servers = servers_of(profile_of(GetParam().plugin, GetParam().data));
    EXPECT_EQ(remotes(servers), GetParam().remotes);
    EXPECT_THAT(servers.warnings, IsEmpty());
    for (const auto& server : servers.servers) {
        EXPECT_EQ(server.users, GetParam().users);
        EXPECT_EQ(server.mark, std::nullopt);
    }
}

const Texts openvpn_users = {"root", "nm-openvpn"};
const Texts openconnect_users = {"root", "nm-openconnect"};
const Texts sstp_users = {"root", "sstpc"};

INSTANTIATE_TEST_SUITE_P(
    Openvpn, Understood,
    testing::Values(
        Case{"openvpn", {{"remote", "a.example"}}, {"a.example:1194/udp"}, openvpn_users},
        Case{"openvpn",
             {{"remote", "a.example, 192.0.2.1:443:tcp  b.example::tcp4-client,,c.example:7"},
              {"port", "5000"}},
             {"a.example:5000/udp", "192.0.2.1:443/tcp", "b.example:5000/tcp4", "c.example:7/udp"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "2001:db8::1\t[2001:db8::2],[2001:db8::3]:443:udp6 2001:db8::4::udp "
                         "[2001:db8::5]:53"}},
             {"[2001:db8::1]:1194/udp", "[2001:db8::2]:1194/udp", "[2001:db8::3]:443/udp6",
              "[2001:db8::4]:1194/udp", "[2001:db8::5]:53/udp"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "a.example A.EXAMPLE.:1194 a.example:1194:udp b.example::udp"},
              {"proto-tcp", "yes"}},
             {"a.example:1194/tcp", "a.example:1194/udp", "b.example:1194/udp"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "t:: u:"}, {"proto-tcp", "no"}, {"port", ""}},
             {"t:1194/udp", "u:1194/udp"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "a.example:443:tcp"},
              {"proxy-type", "http"},
              {"proxy-server", "proxy.example"}},
             {"proxy.example:8080/tcp"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "a.example"},
              {"proxy-type", "socks"},
              {"proxy-server", "192.0.2.9"},
              {"proxy-port", "9050"}},
             {"192.0.2.9:9050/tcp4"},
             openvpn_users},
        Case{"openvpn",
             {{"remote", "a.example"}, {"proxy-type", "http"}, {"proxy-server", ""}},
             {"a.example:1194/udp"},
             openvpn_users}));

INSTANTIATE_TEST_SUITE_P(
    Openconnect, Understood,
    testing::Values(
        Case{"openconnect",
             {{"gateway", "vpn.example"}},
             {"vpn.example:443/tcp", "vpn.example:443/udp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "https://me@vpn.example:8443/group?x"}, {"protocol", "anyconnect"}},
             {"vpn.example:8443/tcp", "vpn.example:8443/udp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "[2001:db8::1]:444"}, {"protocol", "gp"}},
             {"[2001:db8::1]:444/tcp", "[2001:db8::1]:4501/udp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "2001:db8::1"}, {"protocol", "nc"}},
             {"[2001:db8::1]:443/tcp", "[2001:db8::1]:4500/udp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "vpn.example"}, {"protocol", "f5"}},
             {"vpn.example:443/tcp", "vpn.example:4433/udp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "vpn.example"}, {"proxy", "http://user:word@proxy.example:3128/"}},
             {"proxy.example:3128/tcp"},
             openconnect_users},
        Case{"openconnect",
             {{"gateway", "vpn.example"}, {"proxy", "socks5://192.0.2.9"}},
             {"192.0.2.9:1080/tcp"},
             openconnect_users}));

INSTANTIATE_TEST_SUITE_P(
    Others, Understood,
    testing::Values(
        Case{"vpnc",
             {{"IPSec gateway", "vpn.example"}, {"NAT Traversal Mode", "natt"}},
             {"vpn.example:500/udp", "vpn.example:4500/udp", "vpn.example/esp"}},
        Case{"pptp", {{"gateway", "192.0.2.1"}}, {"192.0.2.1:1723/tcp", "192.0.2.1/gre"}},
        Case{"l2tp", {{"gateway", "vpn.example"}}, {"vpn.example:1701/udp"}},
        Case{"l2tp",
             {{"gateway", "vpn.example"}, {"ipsec-enabled", "yes"}},
             {"vpn.example:1701/udp", "vpn.example:500/udp", "vpn.example:4500/udp",
              "vpn.example/esp"}},
        Case{"strongswan",
             {{"address", "2001:db8::1"}},
             {"[2001:db8::1]:500/udp", "[2001:db8::1]:4500/udp", "2001:db8::1/esp"}},
        Case{"strongswan",
             {{"address", "vpn.example"}, {"server-port", "4510"}},
             {"vpn.example:4510/udp", "vpn.example/esp"}},
        Case{"libreswan",
             {{"right", "vpn.example"}},
             {"vpn.example:500/udp", "vpn.example:4500/udp", "vpn.example/esp"}},
        Case{"openswan",
             {{"right", "192.0.2.1"}},
             {"192.0.2.1:500/udp", "192.0.2.1:4500/udp", "192.0.2.1/esp"}},
        Case{"fortisslvpn", {{"gateway", "vpn.example"}}, {"vpn.example:443/tcp"}},
        Case{"fortisslvpn", {{"gateway", "vpn.example:10443"}}, {"vpn.example:10443/tcp"}},
        Case{"sstp", {{"gateway", "vpn.example:444"}}, {"vpn.example:444/tcp"}, sstp_users},
        Case{
            "sstp",
            {{"gateway", "vpn.example"}, {"proxy-server", "proxy.example"}, {"proxy-port", "3128"}},
            {"proxy.example:3128/tcp"},
            sstp_users},
        Case{"ssh",
             {{"remote", "vpn.example"}, {"port", "22"}},
             {"vpn.example:22/udp", "vpn.example:22/tcp"}},
        Case{"new",
             {{"gateway", "vpn.example"}, {"server", "[2001:db8::1]:99"}},
             {"[2001:db8::1]:99/udp", "[2001:db8::1]:99/tcp"}}));

struct BadCase {
    std::string plugin;
    Data data;
    std::string warning;
    Texts remotes = {};
};

void PrintTo(const BadCase& example, std::ostream* out)
{
    PrintTo(Case{example.plugin, example.data, {}, {}}, out);
}

class NotUnderstood : public testing::TestWithParam<BadCase> {};

TEST_P(NotUnderstood, IsOneWarning)
{
    const auto servers = servers_of(profile_of(GetParam().plugin, GetParam().data));
    EXPECT_THAT(servers.warnings, ElementsAre(AllOf(HasSubstr("NetworkManager profile 'work' ('" +
                                                              GetParam().plugin + "'): "),
                                                    HasSubstr(GetParam().warning))));
    EXPECT_EQ(remotes(servers), GetParam().remotes);
}

INSTANTIATE_TEST_SUITE_P(
    Each, NotUnderstood,
    testing::Values(
        BadCase{"openvpn", {}, "no 'remote' in it; name its server with server="},
        BadCase{"openvpn",
                {{"remote", "a.example:0 b.example"}},
                "port must be 1 to 65535, not '0'",
                {"b.example:1194/udp"}},
        BadCase{"openvpn", {{"remote", "a.example:65536"}}, "port must be 1 to 65535"},
        BadCase{"openvpn", {{"remote", "2001:db8::1:1194:udp"}}, "not 'udp'"},
        BadCase{"openvpn", {{"remote", "a.example:1:sctp"}}, "unknown protocol: 'sctp'"},
        BadCase{"openvpn", {{"remote", "127.0.0.1:1194"}}, "not an address of another host"},
        BadCase{"openvpn", {{"remote", "a.example"}, {"port", "http"}}, "not 'http'"},
        BadCase{"openvpn", {{"remote", "a\x1b[31m.example"}}, "'a\\x1b[31m.example'"},
        BadCase{"openvpn", {{"remote", "a.example:1194:tcp-server"}}, "has no server"},
        BadCase{"openvpn",
                {{"remote", "a.example"}, {"proxy-type", "gopher"}, {"proxy-server", "x"}},
                "unknown proxy type: 'gopher'"},
        BadCase{"openvpn",
                {{"remote", "a.example"}, {"remote-random-hostname", "yes"}},
                "remote-random-hostname is not supported",
                {"a.example:1194/udp"}},
        BadCase{"openconnect", {{"gateway", "https:///"}}, "no host in 'gateway'"},
        BadCase{"openconnect", {{"gateway", "vpn.example:http"}}, "not 'http'"},
        BadCase{"openconnect",
                {{"gateway", "vpn.example"}, {"proxy", "http://user:word@-/"}},
                "remote '-'"},
        BadCase{"vpnc", {{"IPSec gateway", "::"}}, "not an address of another host"},
        BadCase{"vpnc",
                {{"IPSec gateway", "vpn.example"}, {"NAT Traversal Mode", "cisco-udp"}},
                "if that is not 10000",
                {"vpn.example:500/udp", "vpn.example:4500/udp", "vpn.example/esp",
                 "vpn.example:10000/udp"}},
        BadCase{"pptp", {{"gateway", "-"}}, "neither an address nor a host name"},
        BadCase{"l2tp", {{"gateway", ""}, {"ipsec-enabled", "yes"}}, "no 'gateway' in it"},
        BadCase{"l2tp", {{"gateway", "a b"}, {"ipsec-enabled", "yes"}}, "'a b'"},
        BadCase{"strongswan", {{"address", "vpn.example"}, {"server-port", "-1"}}, "not '-1'"},
        BadCase{"libreswan", {{"right", "%any"}}, "'%any'"},
        BadCase{"fortisslvpn", {}, "no 'gateway' in it"},
        BadCase{"iodine", {{"nameserver", "192.0.2.1"}}, "are not supported"},
        BadCase{"new", {{"gateway", "vpn.example"}}, "is not known; name its server with server="},
        BadCase{"new", {{"gateway", "vpn.example:x"}}, "not 'x'"},
        BadCase{"new", {}, "is not known"}));

TEST(NetworkManagerProfile, SecretsInProxiesAreNotRepeated)
{
    const auto servers = servers_of(
        profile_of("openconnect", {{"proxy", "http://user:pass@word@proxy.example:0/"}}));
    EXPECT_THAT(servers.warnings,
                ElementsAre(AllOf(Not(HasSubstr("pass")), Not(HasSubstr("user")))));
}

TEST(NetworkManagerProfile, AHostileNameStaysOnOneLine)
{
    auto profile = profile_of("x\ny", {});
    profile.id = std::string("a\n\x1b[0m'") + std::string(500, 'x');
    const auto servers = servers_of(profile);
    ASSERT_EQ(servers.warnings.size(), 1U);
    EXPECT_TRUE(std::ranges::all_of(servers.warnings[0], [](char c) { return c >= 0x20; }));
    EXPECT_LT(servers.warnings[0].size(), 400U);
}

TEST(NetworkManagerProfile, ThousandsOfRemotesAreCutOff)
{
    std::string list;
    for (int i = 0; i < 5000; i++) {
        list += "h" + std::to_string(i) + ".example,";
    }
    const auto servers = servers_of(profile_of("openvpn", {{"remote", list}}));
    EXPECT_EQ(servers.servers.size(), kMaxRemotes);
    EXPECT_THAT(servers.warnings, ElementsAre(HasSubstr("only the first 1000 servers")));

    const auto bad = servers_of(profile_of("openvpn", {{"remote", std::string(100'000, ':')}}));
    EXPECT_THAT(bad.servers, IsEmpty());
    std::string many_bad;
    for (int i = 0; i < 5000; i++) {
        many_bad += "h" + std::to_string(i) + ":0 ";
    }
    EXPECT_EQ(servers_of(profile_of("openvpn", {{"remote", many_bad}})).warnings.size(),
              kMaxWarnings + 1);
}

VpnProfile wireguard(Texts endpoints, std::optional<std::uint32_t> mark)
{
    return {"wg", "", "wireguard", {}, std::move(endpoints), mark};
}

TEST(NetworkManagerProfile, WireguardIsAdmittedByMark)
{
    const auto servers = servers_of(
        wireguard({"vpn.example:51820", "[2001:db8::1]:53", "", "192.0.2.1:51820"}, 0xca6c));
    EXPECT_EQ(remotes(servers),
              (Texts{"vpn.example:51820/udp", "[2001:db8::1]:53/udp", "192.0.2.1:51820/udp"}));
    EXPECT_THAT(servers.warnings, IsEmpty());
    for (const auto& server : servers.servers) {
        EXPECT_EQ(server.mark, 0xca6cU);
    }
}

TEST(NetworkManagerProfile, WireguardWithoutAMarkIsAWarning)
{
    const auto servers = servers_of(wireguard({"vpn.example:51820", "b.example:1"}, {}));
    EXPECT_THAT(servers.servers, IsEmpty());
    EXPECT_THAT(servers.warnings, ElementsAre(HasSubstr("NAME wireguard.fwmark NUMBER")));
    EXPECT_EQ(servers_of(wireguard({"", ""}, {})), ProfileServers{})
        << "it waits for its peers, and reaches none";
}

TEST(NetworkManagerProfile, WireguardHostileEndpoints)
{
    const auto servers = servers_of(wireguard({"vpn.example", "a\nb:1", "x:99999", "[::1]:5"}, 7));
    EXPECT_THAT(servers.servers, IsEmpty());
    EXPECT_EQ(servers.warnings.size(), 4U);
    EXPECT_EQ(servers_of(wireguard(Texts(5000, "a.example:1"), 7)).warnings.size(), 1U);
}

class LearntProfiles : public testing::Test {
  protected:
    LearntProfiles()
    {
        close(mkstemp(passwd_.data()));
        std::ofstream(passwd_) << "root:x:0:0::/:/bin/sh\nnm-openvpn:x:117:1::/:/bin/false\n";
    }

    ~LearntProfiles() override { unlink(passwd_.c_str()); }

    std::string passwd_ = testing::TempDir() + "profiles_test.XXXXXX";
};

TEST_F(LearntProfiles, UsersBecomeNumbersAndAbsentOnesAreLeftOut)
{
    const std::vector profiles = {profile_of("openvpn", {{"remote", "a.example"}}),
                                  profile_of("openconnect", {{"gateway", "b.example"}}),
                                  profile_of("iodine", {}), wireguard({"c.example:1"}, 7)};
    const auto [servers, warnings, learnt] = servers_of_profiles(profiles, passwd_);
    EXPECT_THAT(warnings, ElementsAre(HasSubstr("iodine")));
    ASSERT_EQ(servers.size(), 4U);
    EXPECT_EQ(to_string(servers[0].remote), "a.example:1194/udp");
    EXPECT_EQ(servers[0].identity, (Identity{{0, 117}, {}}));
    EXPECT_EQ(servers[1].identity, (Identity{{0}, {}}));
    EXPECT_EQ(servers[2].identity, (Identity{{0}, {}}));
    EXPECT_EQ(servers[3].identity, (Identity{{0}, 7}));
}

TEST_F(LearntProfiles, WithoutUsersOnlyRootIsAdmitted)
{
    const std::vector profiles = {profile_of("openvpn", {{"remote", "a.example b.example"}})};
    const auto [servers, warnings, learnt] = servers_of_profiles(profiles, passwd_ + ".absent");
    EXPECT_THAT(warnings, ElementsAre(HasSubstr("look up user 'nm-openvpn'")));
    ASSERT_EQ(servers.size(), 2U);
    EXPECT_EQ(servers[1].identity, (Identity{{0}, {}}));
}

TEST_F(LearntProfiles, AMissingFolderIsNoError)
{
    ProfilePlaces places;
    places.module_directory = testing::TempDir();
    places.folders = {{"/nonexistent/system-connections", false}};
    places.run_directory = "/nonexistent";
    const auto [profiles, warnings] =
        load_vpn_profiles(std::chrono::milliseconds(1), std::nullopt, places);
    EXPECT_THAT(profiles, IsEmpty());
    EXPECT_THAT(warnings, IsEmpty());
}

} // namespace
} // namespace failclosed
