// SPDX-License-Identifier: GPL-3.0-or-later
// OpenVPN's configuration language: words, inline files, connections, includes, command lines.
#include <gtest/gtest.h>

#include "core/codec/openvpn/config.hpp"

namespace failclosed {
namespace {

using Texts = std::vector<std::string>;

Texts remotes(const OpenvpnConfig& config)
{
    Texts texts;
    for (const auto& remote : config.remotes) {
        texts.push_back(to_string(remote));
    }
    return texts;
}

Texts remotes(std::string_view text)
{
    return remotes(parse_openvpn_config(text));
}

TEST(OpenvpnConfig, EmptyHasNothing)
{
    EXPECT_EQ(parse_openvpn_config(""), OpenvpnConfig{});
    EXPECT_EQ(parse_openvpn_config("\n\n# remote a.example\n; remote b.example\n   # x\n"),
              OpenvpnConfig{});
}

TEST(OpenvpnConfig, OfAClientOrNot)
{
    for (const char* text :
         {"remote vpn.example\n", "client\n", "--client\n", "tls-client\n", "pull\n",
          "secret static.key\n", "<connection>\nremote vpn.example\n</connection>\n",
          "config unreadable.conf\n"}) {
        EXPECT_TRUE(parse_openvpn_config(text).client) << text;
    }
    for (const char* text :
         {"", "root:x:0:0:root:/root:/bin/bash\n", "remote\n", "# client\n", "dev tun\n",
          "server 10.8.0.0 255.255.255.0\ndev tun\n", "<ca>\nclient\n</ca>\n"}) {
        EXPECT_FALSE(parse_openvpn_config(text).client) << text;
    }
}

TEST(OpenvpnConfig, ScriptsRunFromTheSecondLevelOn)
{
    for (const char* text : {"script-security 2\n", "script-security 1\nscript-security 3\n"}) {
        EXPECT_TRUE(parse_openvpn_config(text).runs_scripts) << text;
    }
    for (const char* text : {"", "script-security 1\n", "script-security\n", "script-security x\n",
                             "script-security 2\nscript-security 0\n"}) {
        EXPECT_FALSE(parse_openvpn_config(text).runs_scripts) << text;
    }
}

TEST(OpenvpnConfig, SecretsWithoutAFileNeedAPrompt)
{
    for (const char* text :
         {"auth-user-pass", "askpass", "management-query-passwords", "  auth-user-pass # x"}) {
        EXPECT_TRUE(parse_openvpn_config(text).asks_for_secrets) << text;
    }
    for (const char* text : {"auth-user-pass /x", "askpass /x", "remote a.example",
                             "<auth-user-pass>\nuser\npassword\n</auth-user-pass>"}) {
        EXPECT_FALSE(parse_openvpn_config(text).asks_for_secrets) << text;
    }
}

TEST(OpenvpnConfig, RequirementsOfARestart)
{
    for (const char* text : {"user nobody", "group nogroup", "chroot /x", "setcon x"}) {
        EXPECT_TRUE(parse_openvpn_config(text).drops_privileges) << text;
    }
    EXPECT_FALSE(parse_openvpn_config("remote a.example\nuser\n").drops_privileges);
    EXPECT_EQ(parse_openvpn_config("ca /x/ca.crt\nkey k.pem\nauth-user-pass p\nverb 3\n"
                                   "<cert>\nkey inside\n</cert>\ntls-auth t 1\n")
                  .files,
              (Texts{"/x/ca.crt", "k.pem", "p", "t"}));
}

TEST(OpenvpnConfig, RemotesTakePortAndProtocolFromAnywhere)
{
    EXPECT_EQ(remotes("remote a.example\nremote b.example 443\nremote c.example 443 tcp\n"
                      "port 5000\nproto udp6\n"),
              (Texts{"a.example:5000/udp6", "b.example:443/udp6", "c.example:443/tcp6"}));
    EXPECT_EQ(remotes("remote a.example"), Texts{"a.example:1194/udp"});
    EXPECT_EQ(remotes("rport 7\nremote 2001:db8::1"), Texts{"[2001:db8::1]:7/udp"});
    EXPECT_EQ(remotes("proto tcp4-client\nremote 192.0.2.1\nremote-random\nnobind\n"),
              Texts{"192.0.2.1:1194/tcp4"});
}

TEST(OpenvpnConfig, EqualRemotesOnce)
{
    EXPECT_EQ(remotes("remote a.example\nremote A.EXAMPLE. 1194 udp\nremote b.example\n"),
              (Texts{"a.example:1194/udp", "b.example:1194/udp"}));
}

TEST(OpenvpnConfig, QuotesBackslashesAndSpaces)
{
    EXPECT_EQ(remotes("\t remote \"a.example\" '443' # comment\r\n"), Texts{"a.example:443/udp"});
    EXPECT_EQ(remotes("--remote a.example"), Texts{"a.example:1194/udp"});
    EXPECT_EQ(remotes("\xEF\xBB\xBFremote a.example"), Texts{"a.example:1194/udp"});
    EXPECT_EQ(parse_openvpn_config("user \"a b\\\\c\\\"d\"").user, "a b\\c\"d");
    EXPECT_EQ(parse_openvpn_config("user 'a\\b'").user, "a\\b");
    EXPECT_EQ(parse_openvpn_config("user a\\ b").user, "a b");
    EXPECT_EQ(parse_openvpn_config("user a#b;c").user, "a#b;c");
}

TEST(OpenvpnConfig, LinesThatOpenvpnRefusesAreLeftOut)
{
    for (const char* line :
         {"remote \"a.example", "remote 'a.example", "remote a\\.example", "remote a.example\\"}) {
        const auto config = parse_openvpn_config(std::string(line) + "\nremote b.example\n");
        EXPECT_EQ(remotes(config), Texts{"b.example:1194/udp"}) << line;
        EXPECT_EQ(config.warnings.size(), 1U) << line;
    }
    const auto config = parse_openvpn_config("remote a.example " + std::string(300, ' ') + "1\n");
    EXPECT_TRUE(config.remotes.empty());
    EXPECT_EQ(config.warnings.size(), 1U);
}

TEST(OpenvpnConfig, InlineFilesArePassedOver)
{
    EXPECT_EQ(remotes("<ca>\nremote evil.example\n" + std::string(1000, 'x') +
                      "\n  </ca>\nremote a.example\n<secret>\nremote b.example\n"),
              Texts{"a.example:1194/udp"});
}

TEST(OpenvpnConfig, ConnectionsReplaceRemotes)
{
    EXPECT_EQ(remotes("remote left.example\nproto tcp\nport 9\n"
                      "<connection>\nremote a.example 443\n</connection>\n"
                      "proto udp\n"
                      "<connection>\nport 10\nremote b.example\nuser mallory\n</connection>\n"
                      "<connection>\nproto udp4\nremote c.example\n</connection>\n"
                      "<connection>\n# nothing\n</connection>\n"),
              (Texts{"a.example:443/tcp", "b.example:10/udp", "c.example:9/udp4"}));
}

TEST(OpenvpnConfig, ProxiesReplaceRemotes)
{
    EXPECT_EQ(remotes("proto tcp-client\nremote a.example 443\nhttp-proxy proxy.example 3128\n"),
              Texts{"proxy.example:3128/tcp"});
    EXPECT_EQ(remotes("proto tcp6\nremote a.example 443\nsocks-proxy proxy.example\n"),
              Texts{"proxy.example:1080/tcp6"});
    EXPECT_EQ(remotes("remote a.example 443\nsocks-proxy 192.0.2.1 9050\n"),
              Texts{"192.0.2.1:9050/tcp4"});
    EXPECT_EQ(remotes("<connection>\nremote a.example 443 tcp\nhttp-proxy p.example 80\n"
                      "</connection>\n<connection>\nremote b.example\n</connection>\n"),
              (Texts{"p.example:80/tcp", "b.example:1194/udp"}));
}

TEST(OpenvpnConfig, WrongRemotesAreLeftOutOneByOne)
{
    for (const char* remote :
         {"127.0.0.1", "0.0.0.0", "224.0.0.1", "::", "-a.example", "a..example", "$(id)",
          "fe80::1%eth0", "a.example 0", "a.example 70000", "a.example https", "a.example 1 sctp",
          "a.example 1 tcp-server", "1.2.3", "0x7f.1"}) {
        const auto config =
            parse_openvpn_config("remote " + std::string(remote) + "\nremote b.example\n");
        EXPECT_EQ(remotes(config), Texts{"b.example:1194/udp"}) << remote;
        EXPECT_EQ(config.warnings.size(), 1U) << remote;
    }
}

TEST(OpenvpnConfig, ServersHaveNoRemotes)
{
    for (const char* line : {"mode server", "server 10.8.0.0 255.255.255.0", "server-bridge",
                             "server-ipv6 2001:db8::/64"}) {
        const auto config = parse_openvpn_config(std::string(line) + "\nremote a.example\n");
        EXPECT_TRUE(config.server) << line;
        EXPECT_TRUE(config.remotes.empty()) << line;
    }
    EXPECT_FALSE(parse_openvpn_config("mode p2p\ntls-server\nremote a.example\n").server);
}

TEST(OpenvpnConfig, Identity)
{
    const auto config = parse_openvpn_config("user nobody\nmark 64\ngroup nogroup\n");
    EXPECT_EQ(config.user, "nobody");
    EXPECT_EQ(config.mark, 64U);
    for (const char* mark : {"0", "-1", "0x40", "99999999999", ""}) {
        EXPECT_FALSE(parse_openvpn_config("mark \"" + std::string(mark) + "\"").mark) << mark;
    }
}

TEST(OpenvpnConfig, TheLastScriptsAreUsed)
{
    const auto config =
        parse_openvpn_config("up /etc/first\nup \"/etc/second with words\"\ndown /etc/third\n");
    EXPECT_EQ(config.up, "/etc/second with words");
    EXPECT_EQ(config.down, "/etc/third");
}

TEST(OpenvpnConfig, IncludesAreRead)
{
    Texts asked;
    const auto read = [&](const std::string& path) -> Result<std::string> {
        asked.push_back(path);
        return path == "common" ? Result<std::string>("proto tcp\nconfig missing\n")
                                : Result<std::string>(fail("no such file"));
    };
    const auto config = parse_openvpn_config("remote a.example\nconfig common\n", read);
    EXPECT_EQ(remotes(config), Texts{"a.example:1194/tcp"});
    EXPECT_EQ(asked, (Texts{"common", "missing"}));
    EXPECT_EQ(config.warnings.size(), 1U);
    EXPECT_EQ(parse_openvpn_config("config common\n").warnings.size(), 1U);
}

TEST(OpenvpnConfig, IncludesEnd)
{
    unsigned reads = 0;
    const auto read = [&](const std::string&) -> Result<std::string> {
        ++reads;
        return std::string("config a\nconfig b\nremote a.example\n");
    };
    EXPECT_FALSE(parse_openvpn_config("config a\n", read).warnings.empty());
    EXPECT_LE(reads, 64U);
}

TEST(OpenvpnConfig, CommandLines)
{
    const auto read = [](const std::string& path) -> Result<std::string> {
        return "remote " + path + "\n";
    };
    const auto parse = [&](const Texts& arguments) {
        return parse_openvpn_arguments(arguments, read);
    };
    EXPECT_EQ(remotes(parse({"openvpn", "a.example"})), Texts{"a.example:1194/udp"});
    const auto config =
        parse({"openvpn", "--config", "a.example", "--mark", "7", "--proto", "tcp", "--remote",
               "b.example", "443", "udp", "--user", "nobody", "--verb", "3", "--"});
    EXPECT_EQ(remotes(config), (Texts{"a.example:1194/tcp", "b.example:443/udp"}));
    EXPECT_EQ(config.mark, 7U);
    EXPECT_EQ(config.user, "nobody");
    EXPECT_EQ(parse({}), OpenvpnConfig{});
    EXPECT_EQ(parse({"openvpn"}), OpenvpnConfig{});
    EXPECT_EQ(parse({"openvpn", "--remote"}), OpenvpnConfig{});
}

TEST(OpenvpnConfig, RemotesAreBounded)
{
    std::string text;
    std::string connections;
    for (unsigned i = 0; i < 3000; ++i) {
        const auto remote = "remote h" + std::to_string(i) + ".example\n";
        text += remote;
        connections += "<connection>\n" + remote + "</connection>\n";
    }
    for (const auto& config : {parse_openvpn_config(text), parse_openvpn_config(connections)}) {
        EXPECT_EQ(config.remotes.size(), kMaxRemotes);
        EXPECT_EQ(config.warnings.size(), 1U);
    }
}

} // namespace
} // namespace failclosed
