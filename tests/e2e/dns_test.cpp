// SPDX-License-Identifier: GPL-3.0-or-later
// Each DNS system itself, in a machine of the lab: who is asked, and what comes back.
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/apply/dns/dns.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/resolvers.hpp"
#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char resolv_conf[] = "/etc/resolv.conf";
constexpr char manager_file[] = "/var/lib/NetworkManager/NetworkManager-intern.conf";
const Command unlock{"failclosed", "unlock"};
const Command reset{"failclosed-reset", "--open"};
constexpr char module_directory[] = "/usr/lib/failclosed";

DnsPlan plan_of(const char* resolver = addr::inside4)
{
    return {{{*InterfaceName::parse("tun0"),
              {*IpAddress::parse(resolver)},
              {*HostName::parse("corp.example")}}}};
}

// ---- OpenVPN, as in the example ----

/// The example's lines but those about the server and keys, which the lab's client has itself.
std::vector<std::string> example_lines(const Box& client)
{
    const std::string path = "/usr/share/doc/failclosed/examples/openvpn-client.conf";
    std::istringstream text(client.read_file(path));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) {
        static const std::regex others("|[#;].*|(client|dev|remote|ca|cert|key|tls-crypt)( .*)?");
        if (!std::regex_match(line, others)) {
            lines.push_back(line);
        }
    }
    return lines;
}

TEST(OpenVpnExample, KeepsTheMainTableCleanAndEverythingInTheTunnel)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const VpnServer server(lab, {.extra = {"push \"redirect-gateway def1 ipv6\"",
                                           "push \"route 192.0.2.0 255.255.255.0\""}});
    lab.internet().ip("addr add 192.0.2.1/32 dev lo\n");
    const std::string routes = client.must({"ip", "-4", "route"});
    const std::string resolv = client.read_file(resolv_conf);
    const Sniffer sniffer(lab);
    VpnClient vpn(lab, {.hooks = false, .redirect_gateway = false, .extra = example_lines(client)});
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();

    EXPECT_EQ(client.must({"sh", "-c", "ip -4 route | grep -v ' dev tun0 proto kernel '"}), routes);
    EXPECT_EQ(client.must({"sh", "-c", "ip -6 route | grep -c ' dev tun0 ' || true"}), "2\n")
        << "its own network and link-local addresses";
    EXPECT_THAT(client.read_file(resolv_conf), HasSubstr(addr::inside4));
    EXPECT_THAT(client.run({"getent", "ahostsv4", "www.example.org"}).out, HasSubstr(addr::site4));
    for (const char* address : {addr::site4, addr::site6, addr::inside4, "192.0.2.1"}) {
        EXPECT_TRUE(answers(client, address)) << address;
    }
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    vpn.hup();
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    EXPECT_TRUE(answers(client, addr::site4));

    vpn.term();
    ASSERT_TRUE(vpn.process().wait());
    EXPECT_EQ(client.must({"ip", "-4", "route"}), routes);
    EXPECT_EQ(client.read_file(resolv_conf), resolv);
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

/// A client with a tunnel to a machine that has a resolver of its own, and a system bus.
class DnsSystems : public testing::Test {
  protected:
    /// Both resolvers know that lan.example has no names: a refusal would end the C library's
    /// way through the search list.
    DnsSystems() : lab_({.dns_extra = {"--local=/lan.example/"}}), vpn_("vpn")
    {
        make_tunnel();
        vpn_.ip("addr add 10.8.0.1/24 dev tun0\nlink set tun0 up\n");
        inside_.emplace(vpn_, DnsServer::Options{.interface = "tun0",
                                                 .names = {{"one.example.org", {"192.0.2.1"}},
                                                           {"two.example.org", {"192.0.2.2"}},
                                                           {"in.corp.example", {"192.0.2.3"}}},
                                                 .extra = {"--local=/lan.example/"}});
        for (const char* name : {"one.example.org", "two.example.org"}) {
            lab_.dns().set(name, {"198.51.100.20"});
        }
        lab_.install(Lab::install_root());
        client().must({"mkdir", "-p", "/var/lib/failclosed"});
    }

    const Box& client() const { return lab_.client(); }

    /// A veth pair in the place of a tunnel: what matters here is which link is asked.
    void make_tunnel()
    {
        client().ip("link add tun0 type veth peer name tun0 netns /proc/self/fd/" +
                        std::to_string(vpn_.network()) + "\n",
                    vpn_.network());
        client().ip("addr add 10.8.0.2/24 dev tun0\nlink set tun0 up\n");
    }

    void start_service(const Command& command, const std::string& name)
    {
        service_.emplace(client(), command);
        ASSERT_TRUE(bus_->wait_for_name(name)) << service_->output() << bus_->log();
    }

    void wait_until(const std::function<bool()>& met) const
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (!met()) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline)
                << (service_ ? service_->output() : "") << bus_->log();
        }
    }

    /// Runs `work` in the client as a process of its own, as a hook would.
    Outcome in_client(const std::function<Result<std::string>(const Dns&)>& work) const
    {
        const Process process = Process::fork(client(), [&] {
            const auto start = std::chrono::steady_clock::now();
            const Result<std::string> done = work(Dns({.module_directory = module_directory}));
            const std::chrono::duration<double, std::milli> time =
                std::chrono::steady_clock::now() - start;
            std::fprintf(stderr, "%s in %.2f ms\n",
                         done ? done->c_str() : done.error().message().c_str(), time.count());
            std::fflush(stderr);
            return done ? 0 : 1;
        });
        const int status = process.wait().value_or(-1);
        return {status, process.out(), process.err()};
    }

    Outcome apply(const DnsPlan& plan = plan_of()) const
    {
        const Outcome outcome = in_client([&](const Dns& dns) -> Result<std::string> {
            const Result<DnsSystem> applied = dns.apply(plan);
            if (!applied) {
                return Failure(applied.error());
            }
            const Result<bool> held = dns.holds(plan);
            if (!held || !*held) {
                return fail(held ? "does not hold" : held.error().message());
            }
            return std::string(to_string(*applied));
        });
        RecordProperty("apply", outcome.err);
        std::printf("apply: %s", outcome.err.c_str());
        return outcome;
    }

    Outcome try_restore() const
    {
        return in_client([](const Dns& dns) -> Result<std::string> {
            const Status restored = dns.restore();
            return restored ? Result<std::string>("restored") : Failure(restored.error());
        });
    }

    void restore() const
    {
        const Outcome outcome = try_restore();
        std::printf("restore: %s", outcome.err.c_str());
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        EXPECT_FALSE(client().exists("/var/lib/failclosed/journal"));
    }

    /// A device that the product takes for a tunnel, and what OpenVPN tells when it is up.
    void lock_with_tunnel() const
    {
        client().ip("link del tun0\n"
                    "tuntap add dev tun0 mode tun\n"
                    "addr add 10.8.0.2/24 dev tun0\n"
                    "link set tun0 up\n");
        Command hook{
            {"/etc/openvpn/failclosed", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"}};
        hook.env = {"script_type=up",
                    "script_context=init",
                    "dev=tun0",
                    "dev_type=tun",
                    "ifconfig_local=10.8.0.2",
                    "ifconfig_netmask=255.255.255.0",
                    "foreign_option_1=dhcp-option DNS 10.8.0.1",
                    "remote_1=203.0.113.2",
                    "remote_port_1=1194",
                    "proto_1=udp",
                    "trusted_ip=203.0.113.2",
                    "trusted_port=1194"};
        client().must(hook);
        ASSERT_TRUE(client().exists("/var/lib/failclosed/journal"));
    }

    void open(const Command& command) const
    {
        const Outcome outcome = client().run(command);
        EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
        EXPECT_FALSE(client().exists("/var/lib/failclosed/journal"));
    }

    /// What the C library gets for the name.
    std::string look_up(const std::string& name) const
    {
        return client().run({"getent", "ahostsv4", name}).out;
    }

    static bool asked(const DnsServer& server, const std::string& name)
    {
        const std::vector<Query> queries = server.queries();
        return std::any_of(queries.begin(), queries.end(),
                           [&](const Query& query) { return query.name == name; });
    }

    std::string resolvers() const { return client().read_file(resolv_conf); }

    Lab lab_;
    Box vpn_;
    std::optional<DnsServer> inside_;
    std::optional<SystemBus> bus_;
    std::optional<Process> service_;
};

// ---- systemd-resolved ----

class SystemdResolved : public DnsSystems {
  protected:
    void SetUp() override
    {
        bus_.emplace(client());
        resolved_.emplace(*bus_);
        client().must({"resolvectl", "dns", "eth0", addr::gateway4});
        client().must({"resolvectl", "domain", "eth0", "lan.example"});
        client().must({"resolvectl", "llmnr", "eth0", "no"});
    }

    std::string settings(const std::string& link) const { return resolved_->settings(link); }

    std::optional<Resolved> resolved_;
};

TEST_F(SystemdResolved, QueriesOnlyTheTunnelsResolver)
{
    const std::string before = settings("eth0");
    EXPECT_THAT(look_up("one.example.org"), HasSubstr("198.51.100.20"));
    lab_.dns().forget_queries();

    EXPECT_THAT(apply().err, StartsWith("systemd-resolved"));
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));
    EXPECT_THAT(look_up("in"), HasSubstr("192.0.2.3"));
    EXPECT_FALSE(asked(lab_.dns(), "two.example.org"));
    EXPECT_EQ(settings("eth0"), before);
    EXPECT_THAT(settings("tun0"), HasSubstr("corp.example ~."));

    restore();
    EXPECT_EQ(settings("eth0"), before);
    EXPECT_THAT(settings("tun0"), Not(HasSubstr("10.8.0.1")));
    client().must({"resolvectl", "flush-caches"});
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("198.51.100.20"));
}

TEST_F(SystemdResolved, NamesOfTheLansOwnDomainAreAnsweredByTheTunnel)
{
    client().must({"resolvectl", "domain", "eth0", "org"});
    client().nft("table inet lock { chain out { type filter hook output priority 0;\n"
                 "oifname \"eth0\" meta l4proto { tcp, udp } th dport 53 reject\n}\n}\n");
    EXPECT_EQ(apply().status, 0);
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));
    EXPECT_FALSE(asked(lab_.dns(), "two.example.org"));
}

TEST_F(SystemdResolved, ANewTunnelDeviceIsConfiguredAgain)
{
    EXPECT_EQ(apply().status, 0);
    client().ip("link del tun0\n");
    restore();
    make_tunnel();
    vpn_.ip("addr add 10.8.0.1/24 dev tun0\nlink set tun0 up\n");
    EXPECT_EQ(apply().status, 0);
    EXPECT_THAT(settings("tun0"), HasSubstr(": 10.8.0.1"));
    EXPECT_EQ(apply(plan_of("10.8.0.9")).status, 0);
    EXPECT_THAT(settings("tun0"), HasSubstr(": 10.8.0.9"));
    restore();
}

TEST_F(SystemdResolved, TheFileIsWrittenUntilItRuns)
{
    resolved_->kill();
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    EXPECT_THAT(resolvers(), HasSubstr("nameserver 10.8.0.1"));
    resolved_->start();
    EXPECT_THAT(apply().err, StartsWith("systemd-resolved"));
    EXPECT_THAT(client().must({"readlink", resolv_conf}), HasSubstr("stub-resolv.conf"));
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));
    restore();
}

TEST_F(SystemdResolved, StoppedWhileLockedItReturnsWithoutOurSettings)
{
    for (const Command& command : {unlock, reset}) {
        ASSERT_NO_FATAL_FAILURE(lock_with_tunnel());
        ASSERT_THAT(settings("tun0"), HasSubstr("10.8.0.1"));
        resolved_->kill();
        open(command);
        resolved_->start();
        EXPECT_THAT(settings("tun0"), Not(HasSubstr("10.8.0.1")));
        EXPECT_THAT(settings("eth0"), HasSubstr(addr::gateway4));
    }
}

TEST_F(SystemdResolved, OfTwoTunnelsTheFirstGetsAllNamesAndTheOtherItsOwn)
{
    client().ip("link add tun1 type veth peer name tun1 netns /proc/self/fd/" +
                    std::to_string(vpn_.network()) + "\n",
                vpn_.network());
    client().ip("addr add 10.9.0.2/24 dev tun1\nlink set tun1 up\n");
    DnsPlan both = plan_of();
    both.tunnels.push_back({*InterfaceName::parse("tun1"),
                            {*IpAddress::parse("10.9.0.1")},
                            {*HostName::parse("other.example")}});
    EXPECT_EQ(apply(both).status, 0);
    EXPECT_THAT(settings("tun0"), HasSubstr("~."));
    EXPECT_THAT(settings("tun1"), HasSubstr(": other.example\n"));
    EXPECT_THAT(settings("tun1"), HasSubstr("): no\n"));

    EXPECT_EQ(apply().status, 0);
    EXPECT_THAT(settings("tun0"), HasSubstr("~."));
    EXPECT_THAT(settings("tun1"), Not(HasSubstr("10.9.0.1")));
    restore();
}

// ---- NetworkManager ----

class NetworkManagersDns : public DnsSystems {
  protected:
    void SetUp() override
    {
        client().must({"sh", "-c",
                       "rm -rf /etc/NetworkManager && mkdir -p "
                       "/etc/NetworkManager/system-connections "
                       "/var/lib/NetworkManager /run/NetworkManager && "
                       "rm -f /var/lib/NetworkManager/*"});
        client().write_file("/etc/NetworkManager/NetworkManager.conf",
                            "[main]\nplugins=keyfile\nno-auto-default=*\nrc-manager=file\n"
                            "auth-polkit=root-only\n"
                            "[keyfile]\nunmanaged-devices=except:interface-name:eth0\n");
        client().write_file("/etc/NetworkManager/system-connections/eth0.nmconnection",
                            "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n"
                            "[ipv4]\nmethod=manual\naddress1=192.168.50.10/24\n"
                            "dns=192.168.50.1;\ndns-search=lan.example;\n[ipv6]\nmethod=disabled\n",
                            0600);
        bus_.emplace(client());
        start_manager();
        client().must({"nmcli", "connection", "up", "eth0"});
        wait_for_resolver(addr::gateway4);
    }

    void wait_for_resolver(const std::string& resolver) const
    {
        wait_until([&] { return resolvers().find(resolver) != std::string::npos; });
    }

    void start_manager()
    {
        start_service({"NetworkManager", "--debug"}, "org.freedesktop.NetworkManager");
    }

    void set_global_configuration(const std::string& value) const
    {
        client().must({"gdbus", "call", "--system", "--dest", "org.freedesktop.NetworkManager",
                       "--object-path", "/org/freedesktop/NetworkManager", "--method",
                       "org.freedesktop.DBus.Properties.Set", "org.freedesktop.NetworkManager",
                       "GlobalDnsConfiguration", "<" + value + ">"});
    }

    /// NetworkManager 1.52 loses its own comments when it writes the file anew.
    static std::string without_comments(const std::string& file)
    {
        std::string rest;
        std::istringstream lines(file);
        for (std::string line; std::getline(lines, line);) {
            rest += line.empty() || line.starts_with('#') ? "" : line + "\n";
        }
        return rest;
    }

    /// Locks, loses NetworkManager, opens, and starts it again: all as before.
    void expect_back_from_a_stop(const Command& command)
    {
        const std::string before = resolvers();
        const std::string global = global_configuration();
        const std::string file = client().read_file(manager_file);
        ASSERT_NO_FATAL_FAILURE(lock_with_tunnel());
        wait_for_resolver(addr::inside4);
        ASSERT_THAT(client().read_file(manager_file), HasSubstr(addr::inside4));
        service_->kill();

        open(command);

        EXPECT_EQ(without_comments(client().read_file(manager_file)), without_comments(file));
        start_manager();
        wait_until([&] { return resolvers() == before; });
        EXPECT_EQ(global_configuration(), global);
    }

    std::string global_configuration() const
    {
        return client().must({"busctl", "--system", "get-property",
                              "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager",
                              "org.freedesktop.NetworkManager", "GlobalDnsConfiguration"});
    }
};

TEST_F(NetworkManagersDns, WritesOnlyTheTunnelsResolvers)
{
    const std::string before = resolvers();
    const std::string global = global_configuration();
    EXPECT_THAT(apply().err, StartsWith("NetworkManager"));
    wait_for_resolver(addr::inside4);
    EXPECT_THAT(resolvers(), Not(HasSubstr(addr::gateway4)));
    EXPECT_THAT(resolvers(), HasSubstr("corp.example"));
    EXPECT_THAT(apply().err, StartsWith("NetworkManager"));

    client().must({"nmcli", "connection", "modify", "eth0", "ipv4.dns", "192.168.50.77"});
    client().must({"nmcli", "connection", "up", "eth0"});
    EXPECT_THAT(resolvers(), Not(HasSubstr("192.168.50.77")));
    client().must({"nmcli", "connection", "modify", "eth0", "ipv4.dns", addr::gateway4});
    client().must({"nmcli", "connection", "up", "eth0"});

    restore();
    wait_until([&] { return resolvers() == before; });
    EXPECT_EQ(global_configuration(), global);
}

TEST_F(NetworkManagersDns, TakesBothFamiliesAndNoSearchDomains)
{
    DnsPlan plan = plan_of();
    plan.tunnels[0].resolvers.push_back(*IpAddress::parse(addr::inside6));
    plan.tunnels[0].search_domains.clear();
    EXPECT_THAT(apply(plan).err, StartsWith("NetworkManager"));
    wait_for_resolver(addr::inside6);
    EXPECT_THAT(resolvers(), Not(HasSubstr("search")));
    restore();
}

TEST_F(NetworkManagersDns, KilledWhileATunnelIsUpItsConfigurationIsRestored)
{
    const std::string before = resolvers();
    EXPECT_EQ(apply().status, 0);
    wait_for_resolver(addr::inside4);
    service_->kill();
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    start_service({"NetworkManager", "--debug"}, "org.freedesktop.NetworkManager");
    wait_until([&] { return apply().status == 0; });
    restore();
    wait_until([&] { return resolvers() == before; });
}

TEST_F(NetworkManagersDns, StoppedWhileLockedItReturnsWithItsFormerSettings)
{
    expect_back_from_a_stop(unlock);
    expect_back_from_a_stop(reset);
}

TEST_F(NetworkManagersDns, StoppedWhileLockedItReturnsWithItsGlobalSettings)
{
    set_global_configuration("{'searches': <['a.example', 'b.example']>, 'options': <['rotate']>, "
                             "'domains': <{'*': <{'servers': <['192.168.50.3']>}>}>}");
    wait_for_resolver("192.168.50.3");
    expect_back_from_a_stop(unlock);
}

TEST_F(NetworkManagersDns, RemovedWhileLockedItDoesNotPreventUnlock)
{
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel());
    wait_for_resolver(addr::inside4);
    service_->kill();
    client().must({"rm", "-r", "/var/lib/NetworkManager"});
    open(unlock);
    EXPECT_FALSE(client().exists("/var/lib/NetworkManager"));
}

TEST_F(NetworkManagersDns, IsRestoredWithoutABusButNotIfTheBusHangs)
{
    EXPECT_EQ(apply().status, 0);
    wait_for_resolver(addr::inside4);
    service_->kill();
    bus_->kill();
    {
        client().must({"rm", "/run/dbus/system_bus_socket"});
        const Process hanging = Process::fork(client(), listen_silently);
        ASSERT_TRUE(hanging.wait_for("listening"));
        EXPECT_EQ(try_restore().status, 1);
        EXPECT_THAT(client().read_file(manager_file), HasSubstr(addr::inside4));
    }
    restore();
    EXPECT_THAT(client().read_file(manager_file), Not(HasSubstr(addr::inside4)));
}

TEST_F(NetworkManagersDns, SettingsInItsFilesNeedNoRestore)
{
    service_->kill();
    client().write_file("/etc/NetworkManager/NetworkManager.conf",
                        client().read_file("/etc/NetworkManager/NetworkManager.conf") +
                            "[global-dns-domain-*]\nservers=192.168.50.3\n");
    start_manager();
    wait_for_resolver("192.168.50.3");
    EXPECT_THAT(apply().err, HasSubstr("already set via configuration file"));
    restore();
    EXPECT_THAT(resolvers(), HasSubstr("192.168.50.3"));
}

// ---- openresolv, and Debian's resolvconf ----

class Openresolv : public DnsSystems {
  protected:
    void SetUp() override
    {
        unpack(client(), "openresolv");
        add("eth0.dhcp", addr::gateway4);
        ASSERT_THAT(resolvers(), StartsWith("# Generated by resolvconf\n"));
    }

    void add(const std::string& record, const std::string& resolver) const
    {
        client().must(
            Command{"resolvconf", "-a", record}.with_input("nameserver " + resolver + "\n"));
    }
};

// As a service that resolvconf restarts, and that starts on a locked machine alone. The run that
// calls resolvconf waits for it.
TEST_F(Openresolv, ASubscriberMayRunCheck)
{
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel());
    client().write_file("/lib/resolvconf/libc.d/zz-asks",
                        "#!/bin/sh\nfailclosed check\necho $? >>/run/asked\n", 0755);
    open(unlock);
    EXPECT_THAT(client().read_file("/run/asked"), Not(StartsWith("0"))) << "in the middle of a run";
    EXPECT_THAT(resolvers(), HasSubstr(addr::gateway4));
}

TEST_F(Openresolv, WritesOnlyTheTunnelsResolvers)
{
    const std::string before = resolvers();
    EXPECT_THAT(apply().err, StartsWith("openresolv"));
    EXPECT_THAT(resolvers(), HasSubstr("nameserver 10.8.0.1\n"));
    EXPECT_THAT(resolvers(), HasSubstr("search corp.example\n"));
    EXPECT_THAT(resolvers(), Not(HasSubstr(addr::gateway4)));
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));

    add("eth1.dhcp", "192.168.60.1");
    EXPECT_THAT(resolvers(), Not(HasSubstr("192.168.60.1")));
    EXPECT_EQ(apply(plan_of("10.8.0.9")).status, 0);
    EXPECT_THAT(resolvers(), HasSubstr("nameserver 10.8.0.9\n"));
    EXPECT_THAT(resolvers(), Not(HasSubstr("10.8.0.1\n")));
    client().must({"resolvconf", "-d", "eth1.dhcp"});

    restore();
    EXPECT_EQ(resolvers(), before);
}

TEST_F(Openresolv, RestoresTheFileAfterAnotherProgramsChange)
{
    EXPECT_EQ(apply().status, 0);
    client().write_file(resolv_conf, "nameserver 192.168.50.1\n");
    EXPECT_THAT(apply().err, StartsWith("openresolv"));
    EXPECT_THAT(resolvers(), HasSubstr("nameserver 10.8.0.1\n"));
    restore();
    EXPECT_THAT(resolvers(), HasSubstr(addr::gateway4));
}

TEST_F(DnsSystems, DebiansResolvconfKeepsItsLink)
{
    unpack(client(), "resolvconf");
    client().must({"mkdir", "-p", "/run/resolvconf/interface"});
    client().must({"ln", "-sf", "../run/resolvconf/resolv.conf", resolv_conf});
    client().must({"resolvconf", "--enable-updates"});
    client().must(Command{"resolvconf", "-a", "eth0.dhcp"}.with_input("nameserver 192.168.50.1\n"));
    ASSERT_THAT(resolvers(), HasSubstr(addr::gateway4));

    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));
    client().must(Command{"resolvconf", "-a", "eth0.dhcp"}.with_input("nameserver 192.168.50.7\n"));
    EXPECT_THAT(resolvers(), Not(HasSubstr("192.168.50.7")));
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));

    restore();
    EXPECT_EQ(client().must({"readlink", resolv_conf}), "../run/resolvconf/resolv.conf\n");
    EXPECT_THAT(resolvers(), HasSubstr("192.168.50.7"));
}

TEST_F(DnsSystems, ABusThatHangsDelaysForSecondsOnly)
{
    client().must({"mkdir", "-p", "/run/dbus"});
    const Process bus = Process::fork(client(), listen_silently);
    ASSERT_TRUE(bus.wait_for("listening"));
    client().write_file(resolv_conf, "nameserver 127.0.0.53\n");
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    // Once to apply and once to look whether it holds, each up to the limit of 2 s. By itself the
    // library waits for 25 s each time.
    EXPECT_LT(std::chrono::steady_clock::now() - start, 2 * 25s);
    restore();
    EXPECT_EQ(resolvers(), "nameserver 127.0.0.53\n");
}

TEST_F(DnsSystems, APlainFileIsWrittenAndRestored)
{
    const std::string before = resolvers();
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    EXPECT_THAT(look_up("two.example.org"), HasSubstr("192.0.2.2"));
    EXPECT_THAT(apply().err, StartsWith("resolv.conf"));
    restore();
    EXPECT_EQ(resolvers(), before);
}

} // namespace

} // namespace failclosed::lab
