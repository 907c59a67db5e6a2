// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed.conf: every key, its limits, fragments, and what errors say.
#include <array>

#include <gtest/gtest.h>

#include "core/codec/config_file.hpp"

namespace failclosed {
namespace {

Result<Config> read(const std::string& body)
{
    return read_config(std::array{ConfigText{"test.conf", "[failclosed]\n" + body}});
}

TEST(ConfigFile, NothingMeansDefaults)
{
    EXPECT_EQ(read_config({}).value(), Config{});
    EXPECT_EQ(read("").value(), Config{});
    EXPECT_EQ(read_config(std::array{ConfigText{"empty", ""}}).value(), Config{});
    EXPECT_EQ(read_config(std::array{ConfigText{"comment", "# only\n"}}).value(), Config{});
}

TEST(ConfigFile, EveryKey)
{
    const auto config = read("lan = 192.168.1.0/24 ; fd00::/8\n"
                             "lan-names = yes\n"
                             "server = vpn.example:1194/udp; [2001:db8::1]:443/tcp;192.0.2.1/esp\n"
                             "openvpn-configs = /etc/a.conf;/srv/*/b.ovpn\n"
                             "dns-servers = 192.0.2.53;2001:db8::53;127.0.0.1\n"
                             "bootstrap-dns = no\n"
                             "server-expiry-days = 7\n"
                             "log = no\n");
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->lan.kind, LanPolicy::Kind::List);
    EXPECT_EQ(config->lan.prefixes.size(), 2U);
    EXPECT_TRUE(config->lan_names);
    ASSERT_EQ(config->servers.size(), 3U);
    EXPECT_EQ(to_string(config->servers[1]), "[2001:db8::1]:443/tcp");
    EXPECT_EQ(config->openvpn_configs, (std::vector<std::string>{"/etc/a.conf", "/srv/*/b.ovpn"}));
    EXPECT_EQ(config->dns_servers.size(), 3U);
    EXPECT_FALSE(config->bootstrap_dns);
    EXPECT_EQ(config->server_expiry, std::chrono::days(7));
    EXPECT_FALSE(config->log);
}

TEST(ConfigFile, LanWords)
{
    EXPECT_EQ(read("lan=private").value().lan.kind, LanPolicy::Kind::Private);
    EXPECT_EQ(read("lan=on-link").value().lan.kind, LanPolicy::Kind::OnLink);
    EXPECT_EQ(read("lan=deny").value().lan.kind, LanPolicy::Kind::Deny);
}

TEST(ConfigFile, ListsMayBeEmpty)
{
    const auto config = read("openvpn-configs=\nserver=;\n");
    ASSERT_TRUE(config);
    EXPECT_TRUE(config->openvpn_configs.empty());
    EXPECT_TRUE(config->servers.empty());
}

TEST(ConfigFile, LaterFilesReplaceKeys)
{
    const std::array<ConfigText, 3> files = {{
        {"failclosed.conf", "[failclosed]\nlan=192.168.0.0/16\nlog=no\nserver=a.example:1/udp\n"},
        {"10.conf", "[failclosed]\nlan=10.0.0.0/8\n"},
        {"20.conf", "[failclosed]\nserver=b.example:2/tcp\n"},
    }};
    const auto config = read_config(files);
    ASSERT_TRUE(config);
    EXPECT_EQ(config->lan.prefixes, std::vector{IpPrefix::parse("10.0.0.0/8").value()});
    ASSERT_EQ(config->servers.size(), 1U);
    EXPECT_EQ(to_string(config->servers[0]), "b.example:2/tcp");
    EXPECT_FALSE(config->log);
}

TEST(ConfigFile, WhatIsNotAllowedIsAnError)
{
    for (const char* line : {"lan=",
                             "lan=public",
                             "lan=0.0.0.0/0",
                             "lan=0.0.0.0/1",
                             "lan=::/0",
                             "lan=10.0.0.0/33",
                             "lan=private;10.0.0.0/8",
                             "lan=10.0.0.0/8;x",
                             "lan=Private",
                             "lan-names=true",
                             "lan-names=",
                             "server=vpn.example",
                             "server=vpn.example:0/udp",
                             "server=vpn.example:70000/udp",
                             "server=2001:db8::1:443/tcp",
                             "server=$(id):1/udp",
                             "openvpn-configs=relative.conf",
                             "dns-servers=0.0.0.0",
                             "dns-servers=fe80::1",
                             "dns-servers=dns.example",
                             "bootstrap-dns=1",
                             "server-expiry-days=0",
                             "server-expiry-days=3651",
                             "server-expiry-days=-1",
                             "server-expiry-days=1.5",
                             "log=YES",
                             "unknown=1",
                             "lan[de]=deny"}) {
        EXPECT_FALSE(read(line)) << line;
    }
    EXPECT_FALSE(read_config(std::array{ConfigText{"x", "[other]\nlan=deny\n"}}));
    EXPECT_FALSE(read_config(std::array{ConfigText{"x", "lan=deny\n"}}));
    EXPECT_FALSE(read_config(std::array{ConfigText{"x", "[failclosed]\nlan\n"}}));
    EXPECT_FALSE(read_config(std::array{ConfigText{"x", std::string("[failclosed]\n\0", 14)}}));
    EXPECT_FALSE(read_config(std::array{ConfigText{"x", "[failclosed]\n#\xff\n"}}));
}

TEST(ConfigFile, ErrorsNameFileKeyValueAndWhatIsAllowed)
{
    const auto bad_value = read("log=\x1b[31m");
    ASSERT_FALSE(bad_value);
    EXPECT_EQ(bad_value.error().message(),
              "test.conf: log='\\x1b[31m' is not allowed; it may be yes or no");
    const auto bad_key = read("lam=deny");
    ASSERT_FALSE(bad_key);
    EXPECT_EQ(bad_key.error().message().find("test.conf: key 'lam' is not known; keys are lan, "),
              0U);
}

TEST(ConfigFile, KeysAreListed)
{
    EXPECT_EQ(config_keys().size(), 9U);
    for (const auto& key : config_keys()) {
        const auto refused = read(std::string(key.name) + "=\x01");
        ASSERT_FALSE(refused) << key.name;
        EXPECT_NE(refused.error().message().find(key.allowed), std::string::npos);
    }
}

} // namespace
} // namespace failclosed
