// SPDX-License-Identifier: GPL-3.0-or-later
// One real OpenVPN through all that it can go through; never a packet past the tunnel.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include "tests/e2e/scene.hpp"
#include "tests/e2e/storm.hpp"
#include "tests/support/lab/stepper.hpp"
#include "tests/support/traffic/sniffer.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::chrono::seconds patient_time{40};

std::vector<std::string> lines_of(const std::string& text)
{
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

std::vector<std::string> resolvers_in(const std::string& resolv_conf)
{
    const std::string keyword = "nameserver ";
    std::vector<std::string> found;
    for (const auto& line : lines_of(resolv_conf)) {
        if (line.starts_with(keyword)) {
            found.push_back(line.substr(keyword.size()));
        }
    }
    return found;
}

/// A locked machine with programs that send by every way, and a sniffer that must stay silent from
/// the lock to the end of each test.
class Machine : public ::testing::Test {
  protected:
    Machine()
        : lab_(with_product()), resolv_conf_(client().read_file("/etc/resolv.conf")),
          sniffer_(lab_, policy()), traffic_(lab_, {.interval = std::chrono::milliseconds(20)})
    {
    }

    void SetUp() override
    {
        const auto locked =
            failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp", "--server",
                                  "203.0.113.2:1194/tcp", "--server", "203.0.113.3:1194/udp",
                                  "--server", "[2001:db8:113::2]:1194/udp"});
        ASSERT_EQ(locked.status, 0) << locked.err;
        count_from_now();
    }

    void TearDown() override
    {
        EXPECT_TRUE(traffic_.wait_all_sent(2));
        expect_no_leak();
        vpn_.reset();
        // What was not seen would have been.
        EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
        EXPECT_TRUE(sniffer_.wait_until([](const Counts& seen) { return seen.leaked > 100; }));
        EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_);
    }

    static Policy policy()
    {
        Policy policy;
        policy.servers.push_back({addr::server4, "tcp", 1194});
        policy.servers.push_back({addr::other_server4, "udp", 1194});
        return policy;
    }

    const Box& client() const { return lab_.client(); }

    VpnClient& vpn() { return *vpn_; }

    VpnServer& server() { return *server_; }

    void serve(VpnServer::Options options = {}) { server_.emplace(lab_, std::move(options)); }

    void connect(VpnClient::Options options = {})
    {
        vpn_.emplace(lab_, std::move(options));
        ASSERT_TRUE(vpn_->wait_connected(1, patient_time)) << vpn_->log();
    }

    void count_from_now()
    {
        sniffer_.settle();
        sniffer_.reset();
    }

    void expect_no_leak() const
    {
        const auto counts = sniffer_.counts();
        EXPECT_EQ(counts.leaked, 0U) << counts.text();
        EXPECT_EQ(counts.lost, 0U);
    }

    void expect_check() const
    {
        const auto check = failclosed(client(), {"check"});
        EXPECT_EQ(check.status, 0) << check.out << check.err;
    }

    /// The tunnel carries both families, names are asked inside of it, and all is as wanted.
    void expect_up(const std::vector<std::string>& resolvers = {addr::inside4, addr::inside6})
    {
        wait_alive(lab_);
        expect_check();
        EXPECT_EQ(resolvers_in(client().read_file("/etc/resolv.conf")), resolvers);
        EXPECT_TRUE(traffic_.wait_all_sent(2));
        expect_no_leak();
    }

    /// No tunnel: names are as they were before it, and nothing gets out.
    void expect_closed() const
    {
        EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_);
        expect_check();
        EXPECT_TRUE(traffic_.wait_all_sent(2));
        expect_no_leak();
    }

    void expect_connected(std::size_t times)
    {
        EXPECT_TRUE(vpn_->wait_connected(times, patient_time)) << vpn_->log();
    }

    void expect_end()
    {
        vpn_->term();
        EXPECT_TRUE(vpn_->process().wait()) << vpn_->log();
    }

    Lab lab_;
    std::string resolv_conf_;
    Sniffer sniffer_;
    Traffic traffic_;
    std::optional<VpnServer> server_;
    std::optional<VpnClient> vpn_;
};

VpnClient::Options with(std::vector<std::string> extra, std::string user = {})
{
    VpnClient::Options options;
    options.extra = std::move(extra);
    options.user = std::move(user);
    return options;
}

// ---- The client's own variants, each through every way to start again ----

struct Variant {
    std::string name;
    std::vector<std::string> extra;
};

void PrintTo(const Variant& variant, std::ostream* stream)
{
    *stream << variant.name;
}

const auto name_of = [](const auto& parameter) { return parameter.param.name; };

class ClientVariant : public Machine, public ::testing::WithParamInterface<Variant> {};

TEST_P(ClientVariant, ComesBackFromHupUsr1AndPingRestartAndLeavesDnsAsItWas)
{
    serve();
    connect(with(GetParam().extra));
    expect_up();
    vpn().hup();
    expect_connected(2);
    expect_up();
    vpn().usr1();
    expect_connected(3);
    expect_up();
    server().kill();
    server().start();
    expect_connected(4);
    expect_up();
    expect_end();
    expect_closed();
}

const Variant client_variants[] = {
    {"Plain", {}},
    {"PersistTun", {"persist-tun"}},
    {"PersistTunUpRestart", {"persist-tun", "up-restart"}},
    {"DownPre", {"down-pre"}},
    {"RouteNoexec", {"route-noexec"}},
    {"RouteNoexecPersistTun", {"route-noexec", "persist-tun"}},
    {"AllHooks",
     {"up-restart", "route-up /etc/openvpn/failclosed", "route-pre-down /etc/openvpn/failclosed",
      "ipchange /etc/openvpn/failclosed"}},
};

INSTANTIATE_TEST_SUITE_P(Lifecycle, ClientVariant, ::testing::ValuesIn(client_variants), name_of);

// ---- The server's variants ----

struct Offer {
    std::string name;
    VpnServer::Options server;
    VpnClient::Options client;
};

void PrintTo(const Offer& offer, std::ostream* stream)
{
    *stream << offer.name;
}

class ServerVariant : public Machine, public ::testing::WithParamInterface<Offer> {};

TEST_P(ServerVariant, CarriesEverythingAndComesBackFromHup)
{
    serve(GetParam().server);
    connect(GetParam().client);
    expect_up();
    vpn().hup();
    expect_connected(2);
    expect_up();
    expect_end();
    expect_closed();
}

VpnClient::Options client_of(std::vector<std::string> remotes, std::string proto,
                             std::vector<std::string> extra = {}, bool redirect_gateway = true)
{
    VpnClient::Options options;
    options.remotes = std::move(remotes);
    options.proto = std::move(proto);
    options.extra = std::move(extra);
    options.redirect_gateway = redirect_gateway;
    return options;
}

const std::vector<std::string> usual_remote = {"203.0.113.2 1194"};

const Offer offers[] = {
    {"Net30", {.topology = "net30"}, {}},
    {"PointToPoint", {.topology = "p2p"}, {}},
    {"Tap", {.device_type = "tap"}, client_of(usual_remote, "udp", {"dev-type tap"})},
    {"Tcp", {.proto = "tcp"}, client_of(usual_remote, "tcp")},
    {"OverIpv6",
     {.address = addr::server6, .proto = "udp6"},
     client_of({"2001:db8:113::2 1194"}, "udp6")},
    {"WithoutRedirectGateway", {}, client_of(usual_remote, "udp", {}, false)},
    {"WithRoutesAroundItself",
     {.extra = {"push \"route 198.51.100.0 255.255.255.0 net_gateway\"",
                "push \"route-ipv6 2001:db8:99::/64 fe80::1\""}},
     {}},
};

INSTANTIATE_TEST_SUITE_P(Lifecycle, ServerVariant, ::testing::ValuesIn(offers), name_of);

// ---- Single stories ----

TEST_F(Machine, KilledOpenvpnLeavesItClosedUntilTheNextOne)
{
    serve();
    connect();
    expect_up();
    vpn().kill();
    EXPECT_TRUE(traffic_.wait_all_sent(5));
    expect_no_leak();
    EXPECT_NE(failclosed(client(), {"check"}).status, 0); // names still ask the dead tunnel
    const std::string status = client().must({"failclosed", "status"});
    EXPECT_THAT(status, HasSubstr("closed: no tunnel is up; only VPN servers and the local network "
                                  "can be reached\n"));
    EXPECT_THAT(status, ::testing::Not(HasSubstr("everything goes through the tunnel")));
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    expect_closed();
    vpn().start();
    expect_connected(2);
    expect_up();
    vpn().kill();
    vpn().start();
    expect_connected(3);
    expect_up();
}

TEST_F(Machine, DroppedPrivilegesWithPersistTunComeBack)
{
    serve();
    connect(with({"persist-tun", "persist-key"}, "nobody"));
    expect_up();
    vpn().usr1();
    expect_connected(2);
    expect_up();
    server().kill();
    server().start();
    expect_connected(3);
    expect_up();

    expect_end();
    EXPECT_EQ(vpn().process().count("down: the hook has no privileges"), 1U) << vpn().log();
    EXPECT_TRUE(traffic_.wait_all_sent(2));
    expect_no_leak();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    expect_closed();
}

TEST_F(Machine, DroppedPrivilegesWithoutPersistTunStayClosedUntilReapply)
{
    serve();
    connect(with({"persist-key"}, "nobody"));
    expect_up();
    vpn().usr1();
    expect_connected(2);
    EXPECT_EQ(vpn().process().count("down: the hook has no privileges"), 1U) << vpn().log();
    EXPECT_FALSE(answers(client(), addr::site4));
    EXPECT_TRUE(traffic_.wait_all_sent(2));
    expect_no_leak();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    expect_up();
}

TEST_F(Machine, ServerThatOrdersARestartIsFollowed)
{
    serve({.extra = {"explicit-exit-notify 1"}});
    connect();
    expect_up();
    server().stop();
    EXPECT_TRUE(vpn().process().wait_for("server-pushed-connection-reset", 1, patient_time))
        << vpn().log();
    EXPECT_TRUE(traffic_.wait_all_sent(2));
    expect_no_leak();
    server().start();
    expect_connected(2);
    expect_up();
}

TEST_F(Machine, OpenvpnThatEndsItselfLeavesItClosed)
{
    serve();
    connect(with({"pull-filter ignore \"ping-restart\"", "ping-exit 5"}));
    expect_up();
    server().kill();
    EXPECT_TRUE(vpn().process().wait(patient_time)) << vpn().log();
    expect_closed();
}

TEST_F(Machine, TunnelLinkSetDownStaysClosedUntilARestart)
{
    serve();
    connect();
    expect_up();
    client().ip("link set tun0 down\n");
    EXPECT_FALSE(answers(client(), addr::site4));
    expect_no_leak();
    client().ip("link set tun0 up\n");
    vpn().usr1();
    expect_connected(2);
    expect_up();
}

TEST_F(Machine, DeletedTunnelRoutesAreRestoredByReapply)
{
    serve();
    connect();
    expect_up();
    delete_tunnel_routes({lab_, *server_, *vpn_});
    EXPECT_FALSE(answers(client(), addr::site4));
    EXPECT_NE(failclosed(client(), {"check"}).status, 0);
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    expect_up();
}

TEST_F(Machine, TunnelWhoseDeviceIsDownIsNotCalledUp)
{
    serve();
    connect();
    expect_up();
    EXPECT_THAT(client().must({"failclosed", "status"}),
                HasSubstr("closed: everything goes through the tunnel\n"));
    client().ip("link set tun0 down\n");
    const std::string status = client().must({"failclosed", "status"});
    EXPECT_THAT(status, HasSubstr("closed: no tunnel is up; "));
    client().ip("link set tun0 up\n");
    vpn().usr1();
    expect_connected(2);
    expect_up();
}

TEST_F(Machine, RouteOfAnotherProgramInOurTableFailsTheCheckAndIsRemovedByReapply)
{
    serve();
    connect();
    expect_up();
    client().ip("route add 0.0.0.0/1 via 192.168.50.1 dev eth0 onlink table 64600\n");
    const auto check = failclosed(client(), {"check"});
    EXPECT_EQ(check.status, 1) << check.out << check.err;
    EXPECT_THAT(check.err, HasSubstr("rules and routes differ from the plan"));
    expect_no_leak();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    expect_up();
}

TEST_F(Machine, RuleOfAnotherProgramBeforeOursIsNamed)
{
    serve();
    connect();
    expect_up();
    client().ip("rule add from 10.8.0.0/24 lookup main\n"); // without a priority: before all others
    for (const char* verb : {"check", "status", "doctor"}) {
        const auto told = failclosed(client(), {verb});
        EXPECT_THAT(told.out + told.err,
                    HasSubstr("of another program (lookup main, ip rule) comes "
                              "before those of failclosed"));
    }
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_THAT(client().must({"ip", "rule"}), HasSubstr("from 10.8.0.0/24 lookup main"));
    expect_no_leak();
    client().ip("rule del from 10.8.0.0/24 lookup main\n");
    const auto check = failclosed(client(), {"check"});
    EXPECT_EQ(check.status, 0);
    EXPECT_EQ(check.err, "");
}

// NetworkManager announces no carrier that is back within 6 s, and the kernel keeps the routes.
TEST_F(Machine, RunsWithoutCarrierKeepTheUnderlaysRoutes)
{
    serve();
    connect();
    expect_up();
    const auto defaults = [&] { return client().must({"ip", "route", "show", "table", "64599"}); };
    EXPECT_THAT(defaults(), HasSubstr(addr::gateway4));
    lab_.cut_wire();
    ASSERT_TRUE(eventually(
        [&] { return client().must({"ip", "route"}).find("linkdown") != std::string::npos; }));
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    lab_.mend_wire();
    EXPECT_THAT(defaults(), HasSubstr(addr::gateway4));
    EXPECT_TRUE(eventually([&] { return failclosed(client(), {"check"}).ok(); }));
    expect_up();
    EXPECT_EQ(vpn().signals().hup, 0U) << vpn().log();
}

TEST_F(Machine, DeadFirstRemoteIsPassedOver)
{
    serve();
    connect(client_of({"203.0.113.3 1194", "203.0.113.2 1194"}, "udp"));
    expect_up();
}

class SecondRemote : public Machine, public ::testing::WithParamInterface<Variant> {};

TEST_P(SecondRemote, IsReachedAfterTheFirstDied)
{
    serve();
    const VpnServer other(lab_, {.number = 2, .address = addr::other_server4});
    connect(client_of({"203.0.113.2 1194", "203.0.113.3 1194"}, "udp", GetParam().extra));
    expect_up();
    server().kill();
    expect_connected(2);
    expect_up({other.inside_address4(), other.inside_address6()});
}

const Variant second_remote_variants[] = {
    {"Plain", {}},
    {"PersistTun", {"persist-tun"}},
    {"PersistTunRouteNoexec", {"persist-tun", "route-noexec"}},
};

INSTANTIATE_TEST_SUITE_P(Lifecycle, SecondRemote, ::testing::ValuesIn(second_remote_variants),
                         name_of);

TEST_F(Machine, PeerModeIsATunnelToo)
{
    const std::string keys =
        "<ca>\n" + pki().ca + "</ca>\n<tls-crypt>\n" + pki().tls_crypt + "</tls-crypt>\n";
    lab_.internet().write_file("/etc/openvpn/peer.conf",
                               "dev peer0\ndev-type tun\nproto udp4\nlocal 203.0.113.2\n"
                               "port 1194\ntls-server\ndh none\nifconfig 10.77.0.1 10.77.0.2\n"
                               "ifconfig-ipv6 fd00:77::1/64 fd00:77::2\n"
                               "keepalive 1 4\n<cert>\n" +
                                   pki().server_certificate + "</cert>\n<key>\n" +
                                   pki().server_key + "</key>\n" + keys,
                               0600);
    const Process peer = lab_.internet().start({"openvpn", "--config", "/etc/openvpn/peer.conf"});
    ASSERT_TRUE(peer.wait_for("UDPv4 link remote")) << peer.output();
    client().write_file("/etc/openvpn/peer.conf",
                        "dev tun0\nproto udp\nnobind\nremote 203.0.113.2 1194\ntls-client\n"
                        "remote-cert-tls server\nifconfig 10.77.0.2 10.77.0.1\n"
                        "ifconfig-ipv6 fd00:77::2/64 fd00:77::1\nredirect-gateway def1 ipv6\n"
                        "dhcp-option DNS 10.77.0.1\nkeepalive 1 4\nscript-security 2\n"
                        "up /etc/openvpn/failclosed\ndown /etc/openvpn/failclosed\n<cert>\n" +
                            pki().client_certificate + "</cert>\n<key>\n" + pki().client_key +
                            "</key>\n" + keys,
                        0600);
    const Process program = client().start({"openvpn", "--config", "/etc/openvpn/peer.conf"});
    EXPECT_TRUE(program.wait_for("Initialization Sequence Completed", 1, patient_time))
        << program.output();
    expect_up({"10.77.0.1"});
    program.signal(SIGTERM);
    EXPECT_TRUE(program.wait()) << program.output();
    expect_closed();
}

std::set<std::string> descriptors_of(const Box& box, const std::string& program)
{
    const std::string links = box.run({"sh", "-c",
                                       "for pid in $(pgrep -x " + program +
                                           "); do for file in /proc/$pid/fd/*; do "
                                           "readlink $file; done; done"})
                                  .out;
    const auto lines = lines_of(links);
    return {lines.begin(), lines.end()};
}

/// Whether it waits for a file's lock (flock(2)).
bool waits_for_lock(const Process& process)
{
    std::ifstream file("/proc/" + std::to_string(process.pid()) + "/syscall");
    long number = -1;
    return file >> number && number == SYS_flock;
}

TEST(Check, WaitsForAnUnfinishedRun)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    // It has noted one more server, and has not admitted it yet.
    Stepper run(client, {"failclosed", "lock", "--server", "203.0.113.3:1194/udp"}, {SYS_sendto});
    while (client.read_file("/var/lib/failclosed/servers").find("203.0.113.3") ==
               std::string::npos &&
           run.step()) {
    }
    ASSERT_FALSE(run.ended());
    const Process check = client.start({"failclosed", "check"});
    EXPECT_TRUE(eventually([&] { return waits_for_lock(check) || !check.running(); }));
    EXPECT_TRUE(check.running()) << check.output();
    EXPECT_EQ(run.finish(), 0) << run.err();
    EXPECT_EQ(check.wait(), 0) << check.output();
}

TEST_F(Machine, RefreshHelperKeepsNoneOfOpenvpnsDescriptors)
{
    serve();
    // A resolver that says nothing keeps the helper waiting.
    lab_.internet().nft("table inet silence {\nchain input {\ntype filter hook input priority 0;\n"
                        "iifname vpn1 meta l4proto { tcp, udp } th dport 53 drop\n}\n}\n");
    client().write_file("/etc/hosts",
                        client().read_file("/etc/hosts") + "203.0.113.2 vpn.example.net\n");
    connect(client_of({"vpn.example.net 1194"}, "udp"));
    std::set<std::string> helper;
    EXPECT_TRUE(eventually([&] {
        helper = descriptors_of(client(), "refresh");
        return !helper.empty();
    })) << vpn().log();
    const auto openvpn = descriptors_of(client(), "openvpn");
    EXPECT_TRUE(openvpn.contains("/dev/net/tun"));
    std::vector<std::string> shared;
    std::ranges::set_intersection(helper, openvpn, std::back_inserter(shared));
    std::erase(shared, "/dev/null");
    EXPECT_THAT(shared, IsEmpty());
    EXPECT_FALSE(helper.contains("/dev/net/tun"));
    expect_no_leak();
}

// ---- Machines that were not locked before ----

class OpenMachine : public Machine {
  protected:
    void SetUp() override {}

    void expect_not_armed_yet() const { EXPECT_TRUE(gets_answers(client(), addr::site4)); }
};

TEST_F(OpenMachine, IsClosedByTheFirstTunnel)
{
    expect_not_armed_yet();
    serve();
    connect();
    count_from_now();
    expect_up();
    expect_end();
    expect_closed();
    vpn().start();
    expect_connected(2);
    expect_up();
}

Command openvpn_of_nobody()
{
    return {"setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=+net_admin",
            "--ambient-caps=+net_admin",
            "openvpn",
            "--config",
            "/etc/openvpn/nobody.conf"};
}

TEST_F(OpenMachine, EndsATunnelWhoseHookCannotCloseIt)
{
    expect_not_armed_yet();
    serve();
    connect();
    const std::string config = vpn().config();
    expect_end();
    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    client().write_file("/etc/openvpn/nobody.conf", config, 0644);
    const Process program = client().start(openvpn_of_nobody());
    EXPECT_TRUE(program.wait().has_value()) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("NOT CLOSED"));

    // On a locked machine such a tunnel comes up, and waits for its announcement.
    ASSERT_EQ(
        failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp", "--uid", "65534"}).status,
        0);
    count_from_now();
    const Process again = client().start(openvpn_of_nobody());
    EXPECT_TRUE(again.wait_for("Initialization Sequence Completed")) << again.output();
    EXPECT_TRUE(again.wait_for("stays closed")) << again.output();
    EXPECT_FALSE(answers(client(), addr::site4));
    EXPECT_EQ(failclosed(client(), {"up", "--interface", "tun0"}).status, 0);
    wait_alive(lab_);
    expect_no_leak();
}

TEST_F(OpenMachine, IsClosedAndOpenvpnEndsIfUpGetsInvalidInput)
{
    expect_not_armed_yet();
    serve();
    client().write_file("/etc/openvpn/broken",
                        "#!/bin/sh\nifconfig_local=nonsense dev='../../x' exec "
                        "/etc/openvpn/failclosed \"$@\"\n",
                        0755);
    VpnClient::Options options;
    options.hooks = false;
    options.extra = {"script-security 2", "up /etc/openvpn/broken"};
    vpn_.emplace(lab_, options);
    EXPECT_TRUE(vpn().process().wait()) << vpn().log();
    count_from_now();
    EXPECT_TRUE(traffic_.wait_all_sent(5));
    expect_no_leak();
    expect_check();
    // The server is known: the mended configuration gets through.
    connect();
    expect_up();
}

} // namespace

} // namespace failclosed::lab
