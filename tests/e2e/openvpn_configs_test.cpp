// SPDX-License-Identifier: GPL-3.0-or-later
// Whose configurations of OpenVPN count, and what becomes of an OpenVPN without privileges.
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uid_t nobody = 65534;
constexpr char harmless[] = "client\ndev tun\nremote 203.0.113.2 1194\n";
/// Would let a user of this machine talk to a site of his choice.
constexpr char hostile[] = "client\ndev tun\nremote 203.0.113.2 1194\nuser nobody\n"
                           "remote 198.51.100.20 443 tcp-client\n";
constexpr char hostile_server[] = "198.51.100.20:443/tcp";

/// A configuration that others than root can change.
struct Foreign {
    const char* name;
    /// Puts files and folders below /var/vpn, which is root's; they hold `text`.
    std::function<void(const Box&, const std::string& text)> make;
    std::string path = "/var/vpn/own.conf";
    /// The file that a user can change.
    std::string changed = "/var/vpn/own.conf";
};

void PrintTo(const Foreign& foreign, std::ostream* stream)
{
    *stream << foreign.name;
}

class ConfigOfOthers : public ::testing::TestWithParam<Foreign> {
  protected:
    ConfigOfOthers() : lab_(with_product()), sniffer_(lab_)
    {
        client().must({"install", "-d", "-m", "755", "/var/vpn"});
    }

    const Box& client() const { return lab_.client(); }

    /// The contents alone, not the owner.
    void change(const std::string& path, const std::string& text) const
    {
        client().must(Command{"tee", path}.with_input(text));
    }

    /// What a user sends to the site by TCP.
    void send() const
    {
        client().run(
            Command{"timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/198.51.100.20/443"}.as(nobody));
        sniffer_.settle();
    }

    Lab lab_;
    Sniffer sniffer_;
};

TEST_P(ConfigOfOthers, AdmitsNoServer)
{
    const auto& foreign = GetParam();
    foreign.make(client(), harmless);
    const Outcome locked = failclosed(
        client(), {"lock", "--server", "203.0.113.2:1194/udp", "--openvpn-config", foreign.path});
    const bool is_included = foreign.path != foreign.changed;
    EXPECT_EQ(locked.status, is_included ? 0 : 1) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr(foreign.changed));
    EXPECT_THAT(locked.err, HasSubstr("copy it to /etc/openvpn/client"));
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);

    change(foreign.changed, hostile);
    sniffer_.settle();
    sniffer_.reset();
    const Outcome reapplied = failclosed(client(), {"reapply"});
    EXPECT_EQ(reapplied.status, 0) << reapplied.err;
    EXPECT_THAT(endpoints(client()), Not(Contains(hostile_server)));
    send();
    EXPECT_EQ(sniffer_.leaked(), 0U) << sniffer_.counts().text();

    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    send();
    EXPECT_GT(sniffer_.leaked(), 0U) << "it would have been seen";
}

void make_file(const Box& box, const std::string& text)
{
    box.write_file("/var/vpn/own.conf", text, 0644);
}

void make_file_in_folder_of_user(const Box& box, const std::string& text)
{
    box.must({"install", "-d", "-o", "nobody", "/var/vpn/user"});
    box.write_file("/var/vpn/user/own.conf", text, 0644);
}

constexpr char in_folder_of_user[] = "/var/vpn/user/own.conf";

INSTANTIATE_TEST_SUITE_P(
    Files, ConfigOfOthers,
    ::testing::Values(Foreign{"OwnedByAUser",
                              [](const Box& box, const std::string& text) {
                                  make_file(box, text);
                                  box.must({"chown", "nobody", "/var/vpn/own.conf"});
                              }},
                      Foreign{"WritableByAGroup",
                              [](const Box& box, const std::string& text) {
                                  make_file(box, text);
                                  box.must({"chmod", "664", "/var/vpn/own.conf"});
                              }},
                      Foreign{"InAFolderOfAUser", make_file_in_folder_of_user, in_folder_of_user,
                              in_folder_of_user},
                      Foreign{"BelowAFolderOfAUser",
                              [](const Box& box, const std::string& text) {
                                  make_file_in_folder_of_user(box, text);
                                  box.must({"install", "-d", "/var/vpn/user/roots"});
                                  box.must(
                                      {"mv", in_folder_of_user, "/var/vpn/user/roots/own.conf"});
                              },
                              "/var/vpn/user/roots/own.conf", "/var/vpn/user/roots/own.conf"},
                      Foreign{"InAFolderThatAllCanWriteTo",
                              [](const Box& box, const std::string& text) {
                                  make_file(box, text);
                                  box.must({"chmod", "1777", "/var/vpn"});
                              }},
                      Foreign{"BehindALinkOfRoots",
                              [](const Box& box, const std::string& text) {
                                  make_file_in_folder_of_user(box, text);
                                  box.must({"ln", "-s", "user/own.conf", "/var/vpn/own.conf"});
                              }},
                      Foreign{"Included",
                              [](const Box& box, const std::string& text) {
                                  make_file_in_folder_of_user(box, text);
                                  make_file(box, std::string("config user/own.conf\n"));
                              },
                              "/var/vpn/own.conf", in_folder_of_user}),
    [](const auto& test) { return std::string(test.param.name); });

class Configs : public ConfigOfOthers {};

TEST_F(Configs, OfRootOnlyAreUsedEvenBehindLinks)
{
    client().must({"install", "-d", "-m", "755", "/var/vpn/real"});
    client().write_file("/var/vpn/real/more.conf", "remote 198.51.100.20 443 tcp-client\n");
    client().write_file("/var/vpn/real/own.conf", std::string(harmless) + "config more.conf\n");
    client().must({"ln", "-s", "real", "/var/vpn/link"});
    client().must({"ln", "-s", "../vpn/./link/own.conf", "/var/vpn/own.conf"});
    client().write_file("/var/vpn/more.conf", "config real/more.conf\n");
    const Outcome locked = failclosed(client(), {"lock", "--openvpn-config", "/var/vpn/own.conf"});
    EXPECT_EQ(locked.status, 0) << locked.err;
    EXPECT_THAT(endpoints(client()), Contains(hostile_server));
}

TEST_F(Configs, OfNoClientAreRefusedAndOthersCanBeForgotten)
{
    const std::string remembered = "/var/lib/failclosed/configs";
    const Outcome refused = failclosed(
        client(), {"lock", "--server", "203.0.113.2:1194/udp", "--openvpn-config", "/etc/passwd"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.err,
              "failclosed: --openvpn-config: /etc/passwd has neither `remote` nor another "
              "option of an OpenVPN client; it is not remembered\n");
    EXPECT_FALSE(client().exists(remembered));
    client().write_file("/var/vpn/own.conf", harmless);
    ASSERT_EQ(failclosed(client(), {"lock", "--openvpn-config", "/var/vpn/own.conf"}).status, 0);
    EXPECT_THAT(client().read_file(remembered), HasSubstr("own.conf"));
    const Outcome unknown =
        failclosed(client(), {"lock", "--forget-openvpn-config", "/var/vpn/other.conf"});
    EXPECT_EQ(unknown.status, 1);
    EXPECT_EQ(unknown.err, "failclosed: --forget-openvpn-config: /var/vpn/other.conf is not "
                           "remembered; these are: /var/vpn/own.conf\n");
    client().must({"rm", "/var/vpn/own.conf"});
    EXPECT_THAT(failclosed(client(), {"reapply"}).err, HasSubstr("/var/vpn/own.conf"));
    EXPECT_THAT(failclosed(client(), {"doctor"}).out, HasSubstr("/var/vpn/own.conf"));
    const Outcome forgotten =
        failclosed(client(), {"lock", "--forget-openvpn-config", "/var/vpn/../vpn/own.conf"});
    EXPECT_EQ(forgotten.status, 0);
    EXPECT_EQ(forgotten.err, "");
    EXPECT_EQ(failclosed(client(), {"reapply"}).err, "");
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
}

// Also one that was root's when it was named.
TEST_F(Configs, ThatRootGivesAwayAreNoLongerUsed)
{
    client().write_file("/var/vpn/own.conf", harmless);
    ASSERT_EQ(failclosed(client(), {"lock", "--openvpn-config", "/var/vpn/own.conf"}).status, 0);
    client().must({"chown", "nobody", "/var/vpn/own.conf"});
    change("/var/vpn/own.conf", hostile);
    const Outcome reapplied = failclosed(client(), {"reapply"});
    EXPECT_EQ(reapplied.status, 0) << reapplied.err;
    EXPECT_THAT(reapplied.err, HasSubstr("/var/vpn/own.conf: ignored, because"));
    EXPECT_THAT(endpoints(client()), Not(Contains(hostile_server)));
    EXPECT_THAT(failclosed(client(), {"doctor"}).out,
                HasSubstr("/var/vpn/own.conf: ignored, because"));
    send();
    sniffer_.settle();
    EXPECT_EQ(sniffer_.leaked(), 0U) << sniffer_.counts().text();
}

TEST_F(Configs, InTheUsualFolderAreNamedIfOthersCanChangeThem)
{
    client().must({"install", "-d", "/etc/openvpn/client"});
    client().write_file("/etc/openvpn/client/home.conf", harmless, 0600);
    client().write_file("/etc/openvpn/client/alice.conf", hostile, 0600);
    client().must({"chown", "nobody", "/etc/openvpn/client/alice.conf"});
    const Outcome locked = failclosed(client(), {"lock"});
    EXPECT_EQ(locked.status, 0) << locked.err;
    EXPECT_THAT(locked.err, HasSubstr("/etc/openvpn/client/alice.conf: ignored, because"));
    EXPECT_THAT(endpoints(client()), Not(Contains(hostile_server)));
    EXPECT_THAT(endpoints(client()), Contains("203.0.113.2:1194/udp"));
    EXPECT_THAT(failclosed(client(), {"doctor"}).out,
                HasSubstr("/etc/openvpn/client/alice.conf: ignored, because"));

    client().must({"chown", "nobody", "/etc/openvpn/client"});
    const Outcome again = failclosed(client(), {"lock"});
    EXPECT_EQ(again.status, 0) << again.err;
    EXPECT_THAT(again.err, HasSubstr("not searched"));
    EXPECT_THAT(again.err, HasSubstr("/etc/openvpn/client belongs to user 65534"));
    EXPECT_THAT(failclosed(client(), {"doctor"}).out, HasSubstr("not searched"));
}

// The hook that root's OpenVPN calls believes such a file no more than `lock` does.
TEST_F(Configs, OfOthersGiveTheHookOfARunningOpenvpnNoUser)
{
    const VpnServer server(lab_);
    VpnClient::Options options;
    options.directory = "/var/vpn";
    VpnClient vpn(lab_, options);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    client().must({"chown", "nobody", vpn.config_path()});
    change(vpn.config_path(), vpn.config() + "user nobody\n");
    vpn.usr1();
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    EXPECT_THAT(vpn.log(), HasSubstr(vpn.config_path() + ": ignored, because"));
    EXPECT_THAT(client().must({"nft", "list", "table", "inet", "failclosed"}),
                Not(HasSubstr("65534")));
}

// ---- Without privileges ----

class OpenvpnWithoutPrivileges : public Configs {
  protected:
    Process start() const
    {
        VpnClient::Options options;
        options.name = "own";
        {
            // For its text; the file is read by `nobody`.
            const VpnClient written(lab_, options);
        }
        client().must({"chmod", "644", "/etc/openvpn/own.conf"});
        return client().start({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               "--inh-caps=+net_admin", "--ambient-caps=+net_admin", "openvpn",
                               "--config", "/etc/openvpn/own.conf"});
    }

    std::string doctor() const { return failclosed(client(), {"doctor"}).out; }
};

TEST_F(OpenvpnWithoutPrivileges, EndsOnAnOpenMachineAndReportsWhatToDo)
{
    const VpnServer server(lab_);
    const Process vpn = start();
    ASSERT_TRUE(vpn.wait().has_value()) << vpn.output();
    EXPECT_THAT(vpn.output(), HasSubstr("up: NOT CLOSED"));
    EXPECT_THAT(vpn.output(), HasSubstr("OpenVPN runs as user 65534"));
    EXPECT_THAT(vpn.output(), HasSubstr("start OpenVPN as root"));
    Command up = {hook_path, "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"};
    up.env.insert(up.env.end(), {"script_type=up", "script_context=init", "dev=tun0"});
    EXPECT_EQ(client().run(up.as(nobody)).status, 2);
}

TEST_F(OpenvpnWithoutPrivileges, IsNamedByDoctorWithWhatToDo)
{
    const VpnServer server(lab_);
    ASSERT_EQ(failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
    sniffer_.settle();
    sniffer_.reset();
    {
        const Process vpn = start();
        ASSERT_TRUE(vpn.wait_for("link remote: ")) << vpn.output();
        const std::string told = doctor();
        EXPECT_THAT(told, HasSubstr("openvpn: process " + std::to_string(vpn.inner_pid()) +
                                    " runs without privileges, as user 65534"));
        EXPECT_THAT(told, HasSubstr("may not reach any server"));
        EXPECT_THAT(told, HasSubstr("start it as root"));
        EXPECT_THAT(told, HasSubstr("failclosed lock --server HOST:PORT/PROTO --uid 65534"));
    }
    // Root can admit its transport, and announce its tunnel.
    ASSERT_EQ(
        failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp", "--uid", "65534"}).status,
        0);
    const Process vpn = start();
    ASSERT_TRUE(vpn.wait_for("Initialization Sequence Completed")) << vpn.output();
    EXPECT_THAT(vpn.output(), HasSubstr("stays closed"));
    EXPECT_THAT(vpn.output(), HasSubstr("start OpenVPN as root"));
    EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));
    const std::string told = doctor();
    EXPECT_THAT(told, HasSubstr("cannot announce its tunnel"));
    EXPECT_THAT(told, Not(HasSubstr("may not reach any server")));
    ASSERT_EQ(failclosed(client(),
                         {"up", "--interface", "tun0", "--pid", std::to_string(vpn.inner_pid())})
                  .status,
              0);
    EXPECT_TRUE(gets_answers(client(), addr::site4));
    EXPECT_THAT(doctor(), Not(HasSubstr("without privileges")));
    sniffer_.settle();
    EXPECT_EQ(sniffer_.leaked(), 0U) << sniffer_.counts().text();
    vpn.kill();
    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    send();
    EXPECT_GT(sniffer_.leaked(), 0U) << "it would have been seen";
}

TEST_F(OpenvpnWithoutPrivileges, ByItsUnitIsNamedBeforeItRuns)
{
    const std::string folder = "/etc/systemd/system/openvpn-client@.service.d";
    client().must({"mkdir", "-p", folder});
    client().write_file(folder + "/user.conf", "[Service]\nUser=openvpn\n");
    EXPECT_THAT(doctor(), HasSubstr("openvpn-client@.service runs OpenVPN as user openvpn"));
    client().write_file(folder + "/zz.conf", "[Service]\nUser=\n");
    EXPECT_THAT(doctor(), Not(HasSubstr("runs OpenVPN as user")));
}

} // namespace

} // namespace failclosed::lab
