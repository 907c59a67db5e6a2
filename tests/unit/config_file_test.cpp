// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed.conf: every key, its limits, fragments, and what errors say.
#include <array>

#include <gtest/gtest.h>

#include "core/codec/files/config_file.hpp"

namespace failclosed {
namespace {

Result<Config> read(const std::string& body)
{
    return read_config(std::array{ConfigText{"test.conf", "[failclosed]\n" + body}});
}

TEST(ConfigFile, AnEmptyFileMeansDefaults)
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

TEST(ConfigFile, ForwardedDevices)
{
    const auto config = read("forward = virbr0; br-lan ;docker0\n");
    ASSERT_TRUE(config) << config.error().message();
    ASSERT_EQ(config->forward.size(), 3U);
    EXPECT_EQ(config->forward[1].text(), "br-lan");
    std::string many = "forward=";
    for (int i = 0; i < 64; ++i) {
        many += "d" + std::to_string(i) + ";";
    }
    EXPECT_EQ(read(many).value().forward.size(), 64U);
    EXPECT_FALSE(read(many + "d64"));
}

TEST(ConfigFile, InboundServices)
{
    const auto config =
        read("inbound = tcp/22 from 198.51.100.7/24 ;udp/51820   from\tany;tcp/443 from fd00::1\n");
    ASSERT_TRUE(config) << config.error().message();
    const auto service = [](Transport transport, std::uint16_t port, const char* from) {
        return InboundService{transport, Port::make(port).value(), IpPrefix::parse(from).value()};
    };
    EXPECT_EQ(config->inbound, (std::vector{service(Transport::Tcp, 22, "198.51.100.0/24"),
                                            service(Transport::Udp, 51820, "0.0.0.0/0"),
                                            service(Transport::Udp, 51820, "::/0"),
                                            service(Transport::Tcp, 443, "fd00::1")}));
}

TEST(ConfigFile, BeltAllowances)
{
    const auto config =
        read("belt-allow=52:54:00:AB:34:56;192.168.50.77;fd00::/8;10.0.0.0/8;0x88E5\n");
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->belt_allow,
              (std::vector<BeltAllowance>{
                  MacAddress::parse("52:54:00:ab:34:56").value(),
                  IpPrefix::parse("192.168.50.77").value(), IpPrefix::parse("fd00::/8").value(),
                  IpPrefix::parse("10.0.0.0/8").value(), EtherType{0x88e5}}));
}

TEST(ConfigFile, TheStrictestHasNoGuestsAndNoServices)
{
    const Config strictest = strictest_config();
    EXPECT_TRUE(strictest.forward.empty());
    EXPECT_TRUE(strictest.inbound.empty());
    EXPECT_TRUE(strictest.belt_allow.empty());
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

TEST(ConfigFile, InvalidValuesAreErrors)
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
                             "forward=lo",
                             "forward=br0;lo",
                             "forward=br 0",
                             "forward=sixteen-bytes-xx",
                             "inbound=22 from any",
                             "inbound=tcp/22",
                             "inbound=tcp/22 from",
                             "inbound=tcp/22 from all",
                             "inbound=tcp/22 to any",
                             "inbound=tcp/22 any",
                             "inbound=tcp/22 from any any",
                             "inbound=tcp/0 from any",
                             "inbound=tcp/22-23 from any",
                             "inbound=sctp/22 from any",
                             "inbound=TCP/22 from any",
                             "inbound=tcp/22 from 10.0.0.0/33",
                             "inbound=tcp/22 from any; udp/1",
                             "belt-allow=any",
                             "belt-allow=0.0.0.0/0",
                             "belt-allow=10.0.0.0/7",
                             "belt-allow=2000::/3",
                             "belt-allow=ff:ff:ff:ff:ff:ff",
                             "belt-allow=01:80:c2:00:00:00",
                             "belt-allow=00:00:00:00:00:00",
                             "belt-allow=52:54:00:12:34",
                             "belt-allow=52-54-00-12-34-56",
                             "belt-allow=0x0800",
                             "belt-allow=0x86dd",
                             "belt-allow=0x86DD",
                             "belt-allow=0x0806",
                             "belt-allow=0x05ff",
                             "belt-allow=0x88e",
                             "belt-allow=88e5",
                             "belt-allow=0x88e5;x",
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
              "test.conf: invalid value log='\\x1b[31m'; allowed: yes or no");
    const auto bad_server = read("server=203.0.113.2:1/udp;[ff02::1]:1194/udp");
    ASSERT_FALSE(bad_server);
    EXPECT_EQ(bad_server.error().message().find(
                  "test.conf: invalid value server='203.0.113.2:1/udp;[ff02::1]:1194/udp' (ff02::1 "
                  "is a multicast address, which no VPN server can have); allowed: a list of HOST"),
              0U);
    const auto bad_network = read("lan=192.168.1.0/24;0.0.0.0/1");
    ASSERT_FALSE(bad_network);
    EXPECT_EQ(bad_network.error().message().find(
                  "test.conf: invalid value lan='192.168.1.0/24;0.0.0.0/1' (0.0.0.0/1 is a part of "
                  "the default route: a network that is not private needs at least /8); allowed: "),
              0U);
    const auto bad_key = read("lam=deny");
    ASSERT_FALSE(bad_key);
    EXPECT_EQ(bad_key.error().message().find("test.conf: unknown key 'lam'; the keys are lan, "),
              0U);
}

TEST(ConfigFile, KeysAreListed)
{
    EXPECT_EQ(config_keys().size(), 12U);
    for (const auto& key : config_keys()) {
        const auto refused = read(std::string(key.name) + "=\x01");
        ASSERT_FALSE(refused) << key.name;
        EXPECT_NE(refused.error().message().find(key.allowed), std::string::npos);
    }
}

} // namespace
} // namespace failclosed
