// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager's own VPNs, and the tunnels of others that it announces: what is recorded, what is
// forgotten, and that nothing leaves past them.
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/http.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/wireguard.hpp"
#include "tests/support/lab/signal_counter.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;
using ::testing::Not;

using Strings = std::set<std::string>;

constexpr char resolv_conf[] = "/etc/resolv.conf";
constexpr char by_address[] = "203.0.113.2:1194/udp";
constexpr char wire_guard[] = "203.0.113.2:51820/udp";

Lab::Options managed(Lab::Options options = {})
{
    options.static_addresses = false;
    options.dns_extra = dhcp_and_ra();
    return with_product(std::move(options));
}

/// Whether `status` knows the device as a tunnel.
bool is_tunnel(const Box& client, const std::string& device)
{
    return client.must({"failclosed", "status", "--json"})
               .find("{\"interface\":\"" + device + "\",\"addresses\"") != std::string::npos;
}

bool is_armed(const Box& client)
{
    return client.must({"failclosed", "status", "--json"}).find("\"armed\":true") !=
           std::string::npos;
}

/// The first process with this name in the client, as the client sees it.
std::optional<pid_t> process_named(const Box& client, const std::string& name)
{
    const Outcome found = client.run({"pgrep", "-x", "-o", name});
    return found.ok() ? std::optional(static_cast<pid_t>(std::stol(found.out))) : std::nullopt;
}

void kill_named(const Box& client, const std::string& name, const std::string& signal)
{
    const auto pid = process_named(client, name);
    if (!pid) {
        throw LabError("there is no " + name);
    }
    client.must({"kill", "-" + signal, std::to_string(*pid)});
}

constexpr char openvpn[] = "openvpn";
/// As the kernel cuts it off.
constexpr char vpn_service[] = "nm-openvpn-serv";

/// A client whose network NetworkManager manages.
class ManagedVpn : public ::testing::Test {
  protected:
    explicit ManagedVpn(Lab::Options options = managed(),
                        NetworkManager::Options manager = {.carrier_wait = 100ms})
        : lab_(std::move(options)), bus_(lab_.client()), manager_(bus_, std::move(manager))
    {
    }

    const Box& client() const { return lab_.client(); }

    void connect_network()
    {
        manager_.connect_ethernet();
        ASSERT_TRUE(manager_.wait_for_event_done("up", "eth0")) << story();
        // Else it would write resolv.conf anew while the test looks at it.
        ASSERT_TRUE(manager_.wait_for_event_done("dhcp6-change", "eth0")) << story();
    }

    void add_office(const std::string& remote = "203.0.113.2:1194")
    {
        manager_.add_openvpn_profile({.remote = remote, .data = {"ping=1", "ping-restart=4"}});
    }

    /// A program that has just ended may be in the way for a second.
    bool bring_up(std::chrono::milliseconds time = 30s) const
    {
        return eventually([&] { return manager_.try_nmcli({"connection", "up", "office"}).ok(); },
                          time);
    }

    /// Traffic goes through the tunnel, which is recorded, and all is as it should be.
    void expect_working(const std::string& device = "vpn0")
    {
        EXPECT_TRUE(eventually([&] { return is_tunnel(client(), device); })) << story();
        EXPECT_TRUE(eventually([&] { return answers(client(), addr::site4, {"-W0.5"}); }))
            << story();
        EXPECT_TRUE(eventually([&] { return failclosed(client(), {"check"}).ok(); })) << story();
    }

    /// There is no tunnel any more, and the machine is closed.
    void expect_closed(const std::string& device = "vpn0")
    {
        EXPECT_TRUE(eventually([&] { return !is_tunnel(client(), device); })) << story();
        EXPECT_TRUE(is_armed(client()));
        EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));
        EXPECT_TRUE(eventually([&] { return failclosed(client(), {"check"}).ok(); })) << story();
    }

    void expect_no_leak(const Sniffer& sniffer)
    {
        sniffer.settle();
        EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text() << story();
    }

    std::string resolvers() const { return client().read_file(resolv_conf); }

    /// resolv.conf names the one and not the other, as soon as NetworkManager has written it: it
    /// says nothing of that.
    void expect_resolvers(const std::string& named, const std::string& not_named)
    {
        EXPECT_TRUE(eventually([&] {
            const std::string text = resolvers();
            return text.find(named) != std::string::npos &&
                   text.find(not_named) == std::string::npos;
        })) << story();
    }

    /// Whether `ip` with these arguments comes to say this.
    bool ip_tells(std::vector<std::string> arguments, const std::string& what) const
    {
        arguments.insert(arguments.begin(), "ip");
        return eventually([&] { return client().must(arguments).find(what) != std::string::npos; });
    }

    /// What happened, for a failing test.
    std::string story()
    {
        return "\n" + manager_.recorder().text() + failclosed(client(), {"status"}).out +
               resolvers() + client().must({"ip", "addr"}) + bus_.log();
    }

    Lab lab_;
    SystemBus bus_;
    NetworkManager manager_;
};

Traffic::Options slow_traffic()
{
    return {.interval = 20ms};
}

// ---- OpenVPN by network-manager-openvpn ----

TEST_F(ManagedVpn, ServersAreLearntFromTheProfileBeforeItConnects)
{
    VpnServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office();
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    EXPECT_EQ(endpoints(client()), Strings{by_address});
    lab_.dns().forget_queries();
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));
    ASSERT_TRUE(bring_up()) << story();
    // Announced twice; the second time nothing is said of resolvers.
    ASSERT_TRUE(manager_.wait_for_event_done("vpn-up", "vpn0")) << story();
    ASSERT_TRUE(manager_.wait_for_event_done("up", "vpn0")) << story();
    expect_working();
    EXPECT_TRUE(answers(client(), addr::site6)) << story();
    EXPECT_TRUE(answers(client(), server.inside_address4()));
    expect_resolvers(addr::inside4, addr::gateway4);
    EXPECT_THAT(client().run({"getent", "ahostsv4", "www.example.org"}).out,
                HasSubstr(addr::site4));
    EXPECT_THAT(server.dns().names_asked(), ::testing::Contains("www.example.org"));
    ASSERT_TRUE(traffic.wait_all_sent(10));

    manager_.nmcli({"connection", "down", "office"});
    expect_closed();
    expect_resolvers(addr::gateway4, addr::inside4);
    ASSERT_TRUE(traffic.wait_all_sent(10));
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());
    expect_no_leak(sniffer);
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    expect_no_leak(sniffer);
}

TEST_F(ManagedVpn, AServersNameIsLookedUpUntilATunnelConfirmsItAndNotAfterwards)
{
    VpnServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office("vpn4.example.net:1194");
    lab_.dns().forget_queries();
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    EXPECT_TRUE(eventually([&] { return endpoints(client()) == Strings{by_address}; })) << story();
    EXPECT_EQ(lab_.dns().names_asked(), Strings{"vpn4.example.net"});
    // The tunnel's resolver confirms the address, and the helper ends.
    ASSERT_TRUE(bring_up()) << story();
    ASSERT_TRUE(eventually([&] { return !client().run({"pgrep", "-x", "refresh"}).ok(); }));
    manager_.nmcli({"connection", "down", "office"});
    expect_closed();
    lab_.dns().forget_queries();
    const Sniffer sniffer(lab_);
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(bring_up()) << story();
        expect_working();
        manager_.nmcli({"connection", "down", "office"});
        expect_closed();
    }
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());
    expect_no_leak(sniffer);
}

/// An accident of a NetworkManager VPN, and its repair.
struct Accident {
    std::string title;
    std::function<void(Lab&, VpnServer&, NetworkManager&)> strike;
    std::function<void(Lab&, NetworkManager&)> mend = {};

    void PrintTo(const Accident& accident, std::ostream* out) { *out << accident.title; }

    /// The tunnel is gone until it is brought up again.
    bool ends_it = true;
};

const std::vector<Accident>& accidents()
{
    const auto kill_openvpn = [](Lab& lab, VpnServer&, NetworkManager&) {
        kill_named(lab.client(), openvpn, "KILL");
    };
    const auto kill_service = [](Lab& lab, VpnServer&, NetworkManager&) {
        kill_named(lab.client(), vpn_service, "KILL");
    };
    const auto start = [](Lab&, NetworkManager& manager) {
        manager.start();
        if (!manager.wait_activated("eth0")) {
            throw LabError("eth0 does not come back:\n" + manager.log());
        }
    };
    static const std::vector<Accident> all = {
        {"OpenVpnKilled", kill_openvpn},
        // The program and its device stay behind, and are in the way of the next one.
        {"ServiceKilled", kill_service,
         [](Lab& lab, NetworkManager& manager) {
             if (!manager.wait_for_event_done("vpn-down", "vpn0")) {
                 throw LabError("NetworkManager does not miss it:\n" + manager.log());
             }
             kill_named(lab.client(), openvpn, "KILL");
         }},
        {"ManagerStopped", [](Lab&, VpnServer&, NetworkManager& manager) { manager.stop(); },
         start},
        {"ManagerKilled", [](Lab&, VpnServer&, NetworkManager& manager) { manager.kill(); }, start},
        // OpenVPN makes its device anew, and NetworkManager says nothing of the VPN.
        {"AnotherPush",
         [](Lab&, VpnServer& server, NetworkManager& manager) {
             server.restart({"keepalive 1 4", "push \"dhcp-option DNS 10.8.0.77\""});
             if (!manager.wait_for_event_done("up", "vpn0", 2, 20s)) {
                 throw LabError("the VPN does not come back:\n" + manager.recorder().text());
             }
         },
         {},
         false},
        {"Disconnected",
         [](Lab&, VpnServer&, NetworkManager& manager) {
             manager.nmcli({"device", "disconnect", "eth0"});
         },
         [](Lab&, NetworkManager& manager) { manager.nmcli({"device", "connect", "eth0"}); }},
        {"CarrierLost",
         [](Lab& lab, VpnServer&, NetworkManager& manager) {
             lab.cut_wire();
             if (!manager.wait_for_event_done("down", "eth0")) {
                 throw LabError("eth0 does not go down:\n" + manager.log());
             }
         },
         [](Lab& lab, NetworkManager& manager) {
             const std::size_t before = manager.activations("eth0");
             lab.mend_wire();
             if (!manager.wait_activated("eth0", before + 1)) {
                 throw LabError("eth0 does not come back:\n" + manager.log());
             }
         }},
    };
    return all;
}

class Accidents : public ManagedVpn, public ::testing::WithParamInterface<Accident> {};

TEST_P(Accidents, LeakNothingAndTheVpnComesUpAgain)
{
    const Accident& accident = GetParam();
    VpnServer server(lab_, {.extra = {"keepalive 1 4"}});
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office();
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    lab_.dns().forget_queries();
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    accident.strike(lab_, server, manager_);
    ASSERT_TRUE(traffic.wait_all_sent(10));
    if (accident.mend) {
        accident.mend(lab_, manager_);
    }
    if (accident.ends_it) {
        EXPECT_TRUE(eventually([&] { return !process_named(client(), openvpn); })) << story();
        expect_closed();
        EXPECT_TRUE(eventually([&] {
            return resolvers().find(addr::inside4) == std::string::npos;
        })) << story();
    } else {
        expect_working();
        EXPECT_THAT(client().run({"getent", "ahostsv4", "www.example.org"}).out,
                    HasSubstr(addr::site4))
            << story();
    }
    // Where the tunnel has outlived it, this begins anew.
    manager_.try_nmcli({"connection", "down", "office"});
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    ASSERT_TRUE(traffic.wait_all_sent(10));
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());
    expect_no_leak(sniffer);
}

INSTANTIATE_TEST_SUITE_P(Each, Accidents, ::testing::ValuesIn(accidents()),
                         [](const auto& row) { return row.param.title; });

TEST_F(ManagedVpn, WithoutFailclosedTheAccidentLeaks)
{
    const VpnServer server(lab_);
    // Nothing of ours is called.
    client().must({"sh", "-c", "rm /etc/NetworkManager/dispatcher.d/*/90-failclosed"});
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office();
    ASSERT_TRUE(bring_up()) << story();
    EXPECT_TRUE(eventually([&] { return answers(client(), addr::site4, {"-W0.5"}); })) << story();
    EXPECT_FALSE(is_armed(client()));
    const Sniffer sniffer(lab_);
    // What goes through the tunnel while there is one. The tunnel's own flows end with its address.
    std::vector<Kind> kinds = all_kinds();
    std::erase_if(kinds, [](const Kind& kind) {
        return kind.to != addr::site4 || kind.via != Via::Route ||
               kind.name.find("-connected") != std::string::npos;
    });
    const Traffic traffic(lab_, {.kinds = kinds, .interval = 20ms});
    const auto leaks = [](const Counts& counts) {
        return counts.leaked_kinds.contains("udp4@root");
    };
    ASSERT_TRUE(traffic.wait_all_sent(10));
    sniffer.settle();
    EXPECT_FALSE(leaks(sniffer.counts())) << sniffer.counts().text();
    kill_named(client(), openvpn, "KILL");
    EXPECT_TRUE(sniffer.wait_until(leaks)) << sniffer.counts().text();
}

// NetworkManager starts this program, and it alone restarts it.
TEST_F(ManagedVpn, ItsOpenVpnIsNeverSignalled)
{
    const VpnServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office();
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    const auto pid = process_named(client(), openvpn);
    ASSERT_TRUE(pid);
    const SignalCounter counter(client(), *pid);
    const auto expect_none = [&](const char* what) {
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
        EXPECT_EQ(counter.count(SIGHUP) + counter.count(SIGUSR1), 0U) << what << story();
    };
    lab_.dns().restart(dhcp_and_ra({.gateway = addr::other_gateway4}));
    manager_.nmcli({"device", "modify", "eth0", "ipv4.route-metric", "50"});
    ASSERT_TRUE(eventually([&] {
        return client().must({"ip", "-4", "route", "show", "default"}).find("metric 50") !=
               std::string::npos;
    })) << story();
    expect_none("metric");
    client().ip("route replace default via 192.168.50.2 dev eth0 metric 5\n");
    expect_none("gateway");
    expect_working();
    EXPECT_EQ(process_named(client(), openvpn), pid);

    // The same event makes failclosed tell a program that no manager supervises.
    manager_.nmcli({"connection", "down", "office"});
    ASSERT_TRUE(eventually([&] { return !process_named(client(), openvpn); }));
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    const SignalCounter own(client(), vpn.process());
    client().ip("route replace default via 192.168.50.1 dev eth0 metric 5\n");
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_TRUE(own.wait_for(SIGHUP)) << story();
}

// ---- A machine that was never locked ----

TEST_F(ManagedVpn, TheFirstOneLocksTheMachine)
{
    const VpnServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    add_office();
    EXPECT_FALSE(is_armed(client()));
    EXPECT_TRUE(answers(client(), addr::site4));
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    EXPECT_TRUE(is_armed(client()));
    EXPECT_EQ(endpoints(client()), Strings{by_address});
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    ASSERT_TRUE(traffic.wait_all_sent(10));
    kill_named(client(), openvpn, "KILL");
    ASSERT_TRUE(manager_.wait_for_event_done("vpn-down", "eth0")) << story();
    expect_closed();
    ASSERT_TRUE(traffic.wait_all_sent(10));
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    expect_no_leak(sniffer);
}

// Users who are not root can make profiles too. Its server is in the local network, so that the
// lock does not keep it from connecting.
TEST_F(ManagedVpn, AProfileNewerThanTheLockIsNoTunnelUntilItIsLearnt)
{
    const VpnServer server(lab_);
    lab_.isp().nft("table ip relay {\nchain in {\ntype nat hook prerouting priority -100\n"
                   "ip daddr 192.168.50.1 udp dport 1194 dnat to 203.0.113.2\n}\n}\n");
    ASSERT_NO_FATAL_FAILURE(connect_network());
    client().must({"failclosed", "lock", "--server", wire_guard});
    add_office(std::string(addr::gateway4) + ":1194");
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    ASSERT_TRUE(bring_up()) << story();
    ASSERT_TRUE(manager_.wait_for_event_done("vpn-up", "vpn0")) << story();
    EXPECT_TRUE(eventually([&] {
        return bus_.log().find("vpn0 is not used as a tunnel") != std::string::npos;
    })) << story();
    ASSERT_TRUE(traffic.wait_all_sent(5));
    expect_closed();
    expect_no_leak(sniffer);
    manager_.nmcli({"connection", "down", "office"});
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
}

// ---- A VPN of a user's own ----

/// Its server is reached through a port of the local network's router, so that the lock does not
/// keep it from connecting.
/// Returns 0, for the exit status of a process.
int send_datagrams(const char* address, std::uint16_t port)
{
    const int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    inet_pton(AF_INET, address, &to.sin_addr);
    for (int i = 0; i < 20; ++i) {
        sendto(descriptor, "seen", 4, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
    close(descriptor);
    return 0;
}

class UsersVpn : public ManagedVpn {
  protected:
    static constexpr char remote[] = "192.168.50.1:1194";

    void SetUp() override
    {
        ASSERT_NO_FATAL_FAILURE(connect_network());
        client().must({"failclosed", "lock", "--server", wire_guard});
    }

    void relay() const
    {
        lab_.isp().nft("table ip relay {\nchain in {\ntype nat hook prerouting priority -100\n"
                       "ip daddr 192.168.50.1 udp dport 1194 dnat to 203.0.113.2\n}\n}\n");
    }

    /// A profile that one user alone may use, and change.
    void add_private_office()
    {
        manager_.add_openvpn_profile({.remote = remote,
                                      .data = {"ping=1", "ping-restart=4"},
                                      .extra = {"connection.permissions=user:nobody:;"}});
    }

    /// There is a device, and nothing goes into it; the local network is there as before.
    void expect_refused(const std::string& reason)
    {
        ASSERT_TRUE(manager_.wait_for_event_done("vpn-up", "vpn0")) << story();
        ASSERT_TRUE(manager_.wait_for_event_done("up", "vpn0")) << story();
        EXPECT_TRUE(eventually([&] { return bus_.log().find(reason) != std::string::npos; }))
            << story();
        EXPECT_EQ(failclosed(client(), {"reapply", "--quiet"}).status, 0);
        EXPECT_THAT(client().must({"failclosed", "status", "--json"}), HasSubstr("\"tunnels\":[]"));
        EXPECT_THAT(client().run({"failclosed", "doctor"}).out,
                    HasSubstr("vpn0 was refused as a tunnel"));
        for (const char* table : {"64598", "64600", "64601"}) {
            EXPECT_THAT(client().run({"ip", "route", "show", "table", table}).out,
                        Not(HasSubstr("vpn0")));
        }
        EXPECT_TRUE(answers(client(), addr::gateway4)) << story();
        EXPECT_THAT(client().read_file("/var/lib/failclosed/inside"), HasSubstr("inside=0"));
        expect_closed();
    }
};

TEST_F(UsersVpn, IsNoTunnelWithAnyPushedAddressAndRoutes)
{
    VpnServer server(lab_);
    relay();
    add_private_office();
    // A device of the same name in another network, which any user can have.
    const Process decoy = client().start({"unshare", "-n", "openvpn", "--dev", "vpn0", "--dev-type",
                                          "tun", "--ifconfig", "10.77.0.1", "10.77.0.2", "--remote",
                                          "127.0.0.1", "--cipher", "none", "--auth", "none",
                                          "--data-ciphers-fallback", "none", "--disable-dco"});
    ASSERT_TRUE(decoy.wait_for("TUN/TAP device vpn0 opened")) << decoy.output();
    // The second is an address that the kernel takes and no host can have.
    for (const std::string address : {"10.8.0.99", "240.0.0.2"}) {
        SCOPED_TRACE(address);
        lab_.internet().write_file("/run/clients/DEFAULT",
                                   "ifconfig-push " + address + " 255.255.255.0\n");
        server.restart({"client-config-dir /run/clients", "push \"route 198.0.0.0 255.0.0.0\"",
                        "push \"route 192.0.0.0 255.0.0.0\""});
        manager_.recorder().forget();
        const Sniffer sniffer(lab_);
        const Traffic traffic(lab_, slow_traffic());
        ASSERT_TRUE(bring_up()) << story();
        ASSERT_TRUE(traffic.wait_all_sent(5));
        expect_refused("vpn0 is not used as a tunnel");
        expect_no_leak(sniffer);
        // The device is made anew, and is no more a tunnel than before.
        manager_.nmcli({"connection", "down", "office"});
    }
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_THAT(failclosed(client(), {"reapply"}).err,
                HasSubstr("belongs to some users, who may change it"));
    ASSERT_TRUE(bring_up()) << story();
    EXPECT_TRUE(eventually([&] { return client().run({"ip", "link", "show", "vpn0"}).ok(); }))
        << story();
    expect_closed();
    // Only root makes it available to all users.
    manager_.nmcli({"connection", "down", "office"});
    manager_.nmcli({"connection", "modify", "office", "connection.permissions", ""});
    server.restart({});
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
}

// Its server is in a private network, and so are the networks that it pushes: the local network is
// admitted by its addresses.
TEST_F(UsersVpn, CarriesNoPacketsOfOtherUsersToTheLocalNetwork)
{
    const VpnServer server(lab_, {.extra = {"push \"route 10.50.0.0 255.255.0.0\""}});
    relay();
    lab_.internet().nft("table inet seen {\nchain in {\ntype filter hook prerouting priority -500\n"
                        "iifname vpn1 ip daddr 10.50.0.5 counter name others\n}\n"
                        "counter others { }\n}\n");
    const auto is_seen = [&] {
        return lab_.internet()
                   .must({"nft", "list", "counter", "inet", "seen", "others"})
                   .find("packets 0 ") == std::string::npos;
    };
    const auto send = [&] {
        const Process other =
            Process::fork(client(), [] { return send_datagrams("10.50.0.5", 2049); }, 4242);
        EXPECT_EQ(other.wait(), 0);
    };
    add_private_office();
    ASSERT_TRUE(bring_up()) << story();
    expect_refused("vpn0 is not used as a tunnel");
    send();
    // What did not arrive before this ping's answer does not arrive any more.
    EXPECT_TRUE(answers(client(), addr::gateway4));
    EXPECT_FALSE(is_seen());
    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    send();
    EXPECT_TRUE(eventually(is_seen)) << "what the attack is without failclosed";
}

// What NetworkManager runs with is what the profile was when it was brought up.
TEST_F(UsersVpn, IsNoTunnelIfItsProfileIsChangedWhileItConnects)
{
    const VpnServer server(lab_);
    add_office();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    manager_.nmcli(
        {"connection", "modify", "office", "+vpn.data", std::string("remote=") + remote});
    const Sniffer sniffer(lab_);
    manager_.nmcli({"--wait", "0", "connection", "up", "office"});
    ASSERT_TRUE(eventually([&] { return process_named(client(), openvpn).has_value(); }))
        << story();
    manager_.nmcli({"connection", "modify", "office", "+vpn.data", "remote=203.0.113.2:1194"});
    relay();
    expect_refused("runs with other settings than its NetworkManager profile has");
    expect_no_leak(sniffer);
    manager_.nmcli({"connection", "down", "office"});
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
}

TEST_F(UsersVpn, IsNoTunnelWithOtherSettingsForAKnownServer)
{
    const VpnServer server(lab_);
    add_office();
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    manager_.nmcli({"connection", "modify", "office", "ipv4.dns", "192.168.50.66",
                    "ipv4.ignore-auto-dns", "yes"});
    ASSERT_TRUE(bring_up()) << story();
    expect_refused("was changed since it was learnt");
    EXPECT_THAT(endpoints(client()), ::testing::Contains(by_address)) << "its server is known";
    manager_.nmcli({"connection", "down", "office"});
    manager_.nmcli(
        {"connection", "modify", "office", "ipv4.dns", "", "ipv4.ignore-auto-dns", "no"});
    ASSERT_TRUE(bring_up()) << story();
    expect_working();
}

TEST_F(ManagedVpn, APrivateProfileIsNotLearntAtBoot)
{
    ASSERT_NO_FATAL_FAILURE(connect_network());
    manager_.stop();
    const auto add = [&](const std::string& name, const std::string& permissions,
                         const std::string& endpoint) {
        client().write_file("/etc/NetworkManager/system-connections/" + name + ".nmconnection",
                            "[connection]\nid=" + name +
                                "\nuuid=11111111-2222-4333-8444-55555555555" +
                                std::to_string(permissions.empty()) +
                                "\ntype=wireguard\ninterface-name=" + name + "\n" + permissions +
                                "[wireguard]\nfwmark=4660\n"
                                "[wireguard-peer.uGz9FnYoLEt/YsPGPfVLD/zGtQt5Ww5KT7QfQRhj5G8=]\n"
                                "endpoint=" +
                                endpoint + "\nallowed-ips=0.0.0.0/0;\n",
                            0600);
    };
    add("wg1", "permissions=user:nobody:;\n", "192.168.50.66:51820");
    add("wg2", "", "203.0.113.2:51820");
    const Outcome boot = failclosed(client(), {"lock", "--boot"});
    EXPECT_EQ(boot.status, 0) << boot.err;
    EXPECT_THAT(boot.err, HasSubstr("'wg1' belongs to some users, who may change it"));
    EXPECT_EQ(endpoints(client()), Strings{wire_guard});
    EXPECT_THAT(client().read_file("/var/lib/failclosed/profiles"),
                AllOf(Not(HasSubstr("555555555550")), HasSubstr("555555555551 ")));
}

TEST_F(ManagedVpn, AnotherProgramsTunnelDoesNotLockTheMachine)
{
    const WireGuardServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    const WireGuardClient tunnel(lab_, server, {.redirect = false});
    ASSERT_TRUE(manager_.wait_for_event_done("up", "wg0")) << story();
    EXPECT_TRUE(answers(client(), WireGuardServer::inside4));
    EXPECT_FALSE(is_armed(client()));
    EXPECT_FALSE(is_tunnel(client(), "wg0"));
    EXPECT_TRUE(answers(client(), addr::site4));
    EXPECT_FALSE(client().run({"nft", "list", "table", "inet", "failclosed"}).ok());
}

// ---- Tunnels of others ----

// NetworkManager announces it as well, and knows nothing of its resolvers and servers.
TEST_F(ManagedVpn, TheUsersOwnOpenVpnStaysAsItsHookHasRecordedIt)
{
    const VpnServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    ASSERT_EQ(failclosed(client(), {"lock", "--server", by_address}).status, 0);
    const Sniffer sniffer(lab_);
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    const SignalCounter counter(client(), vpn.process());
    ASSERT_TRUE(manager_.wait_for_event_done("up", "tun0")) << story();
    expect_working("tun0");
    EXPECT_THAT(client().must({"failclosed", "status", "--json"}),
                HasSubstr("\"resolvers\":[\"10.8.0.1\",\"fd00:8::1\"]"));
    EXPECT_THAT(resolvers(), HasSubstr(addr::inside4));
    // Once more, with everything that the device itself can tell.
    manager_.recorder().forget();
    client().ip("link set tun0 down\nlink set tun0 up\n");
    vpn.usr1();
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    ASSERT_TRUE(manager_.wait_for_event_done("up", "tun0")) << story();
    expect_working("tun0");
    EXPECT_THAT(client().must({"failclosed", "status", "--json"}),
                HasSubstr("\"resolvers\":[\"10.8.0.1\",\"fd00:8::1\"]"));
    EXPECT_EQ(counter.all(), 1U) << "the test's own" << story();
    EXPECT_EQ(vpn.connections(), 2U);
    expect_no_leak(sniffer);
}

/// Admitted to WireGuard's server: its program in user space, or packets with the mark.
class WireGuardGo : public ManagedVpn,
                    public ::testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(WireGuardGo, IsRecordedWhileItRuns)
{
    const WireGuardServer server(lab_);
    ASSERT_NO_FATAL_FAILURE(connect_network());
    std::vector<std::string> lock = {"lock", "--server", wire_guard};
    lock.insert(lock.end(), GetParam().begin(), GetParam().end());
    ASSERT_EQ(failclosed(client(), lock).status, 0);
    const Sniffer sniffer(lab_, {.servers = {{addr::server4, "udp", 51820}}});
    const Traffic traffic(lab_, slow_traffic());
    WireGuardClient tunnel(lab_, server);
    for (std::size_t round = 1; round <= 2; ++round) {
        ASSERT_TRUE(manager_.wait_for_event_done("up", "wg0", round)) << story();
        if (!eventually([&] { return failclosed(client(), {"check"}).ok(); }, 5s)) {
            // It was announced between two of its addresses: known-limits.md says what helps.
            EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
        }
        expect_working("wg0");
        EXPECT_TRUE(eventually([&] { return answers(client(), addr::site6, {"-W0.5"}); }));
        EXPECT_TRUE(answers(client(), WireGuardServer::inside4));
        ASSERT_TRUE(traffic.wait_all_sent(10));
        tunnel.kill();
        ASSERT_TRUE(manager_.wait_for_event_done("down", "wg0", round)) << story();
        expect_closed("wg0");
        ASSERT_TRUE(traffic.wait_all_sent(10));
        if (round == 1) {
            tunnel.start();
        }
    }
    expect_no_leak(sniffer);
}

INSTANTIATE_TEST_SUITE_P(Admitted, WireGuardGo,
                         ::testing::Values(std::vector<std::string>{"--uid", "0"},
                                           std::vector<std::string>{"--mark", "51820"}),
                         [](const auto& row) { return row.param[0].substr(2); });

// Virtual machines, containers and bridges have such devices.
TEST_F(ManagedVpn, DevicesThatAreNotTunnelsAreNotAdmitted)
{
    ASSERT_NO_FATAL_FAILURE(connect_network());
    ASSERT_EQ(failclosed(client(), {"lock", "--server", by_address}).status, 0);
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    const Process tap =
        client().start({"openvpn", "--dev", "tap7", "--dev-type", "tap", "--ifconfig", "10.77.0.1",
                        "255.255.255.0", "--remote", "127.0.0.1", "--cipher", "none", "--auth",
                        "none", "--data-ciphers-fallback", "none", "--disable-dco"});
    client().ip("tuntap add dev tunu mode tun user 1000\n"
                "tuntap add dev tunp mode tun\n"
                "link add br0 type bridge\n"
                "link add port0 type veth peer name port1\n"
                "link set port0 master br0\n"
                "addr add 10.78.0.1/24 dev tunu\naddr add 10.79.0.1/24 dev tunp\n"
                "addr add 10.80.0.1/24 dev br0\n"
                "link set tunu up\nlink set tunp up\nlink set br0 up\n"
                "link set port0 up\nlink set port1 up\n");
    for (const char* device : {"tunu", "tunp", "br0", "port0", "tap7"}) {
        ASSERT_TRUE(manager_.wait_for_event_done("up", device)) << device << story();
        EXPECT_FALSE(is_tunnel(client(), device));
    }
    EXPECT_TRUE(eventually([&] { return failclosed(client(), {"check"}).ok(); }))
        << story() << tap.output();
    EXPECT_THAT(client().must({"failclosed", "status", "--json"}), HasSubstr("\"tunnels\":[]"));
    ASSERT_TRUE(traffic.wait_all_sent(10));
    expect_no_leak(sniffer);
}

// ---- WireGuard profiles: the kernel here has none, but they tell their servers ----

TEST_F(ManagedVpn, AWireGuardProfileNamesItsServersAndNeedsAMark)
{
    ASSERT_NO_FATAL_FAILURE(connect_network());
    manager_.add_wireguard_profile("wg", "203.0.113.2:51820");
    const Outcome without = failclosed(client(), {"lock"});
    EXPECT_THAT(without.err, AllOf(HasSubstr("'wg'"), HasSubstr("wireguard.fwmark")));
    EXPECT_THAT(endpoints(client()), IsEmpty());
    manager_.nmcli({"connection", "modify", "wg", "wireguard.fwmark", "0x1234"});
    const Outcome with = failclosed(client(), {"lock"});
    EXPECT_EQ(with.status, 0) << with.err;
    EXPECT_THAT(with.err, Not(HasSubstr("fwmark")));
    EXPECT_EQ(endpoints(client()), Strings{wire_guard});
    const auto explain = [&](const std::string& mark) {
        return failclosed(client(), {"explain", "--to", addr::server4, "--port", "51820", "--proto",
                                     "udp", "--mark", mark})
            .out;
    };
    EXPECT_THAT(explain(std::to_string(0x1234)), HasSubstr("by its tunnel program"));
    EXPECT_THAT(explain("0"), HasSubstr("does not leave"));
}

// ---- A boot without a VPN yet ----

class BootWithoutVpn : public ManagedVpn {
  protected:
    BootWithoutVpn()
        : ManagedVpn(managed({.link_up = false}),
                     {.connectivity_uri = "http://www.example.org/", .connectivity_interval = 1})
    {
    }

    static bool says(const std::vector<Event>& events, const std::string& connectivity)
    {
        return std::ranges::any_of(events, [&](const Event& event) {
            const auto said = event.env.find("CONNECTIVITY_STATE");
            return said != event.env.end() && said->second == connectivity;
        });
    }

    bool wait_for_connectivity(const std::string& connectivity)
    {
        return manager_.recorder().wait_until(
            [&](const auto& events) { return says(events, connectivity); }, 20s);
    }
};

TEST_F(BootWithoutVpn, GetsALeaseLeaksNothingAndTheVpnComesUpByName)
{
    const VpnServer server(lab_);
    const HttpServer web(lab_.internet());
    add_office("vpn4.example.net:1194");
    client().write_file("/etc/NetworkManager/system-connections/eth0.nmconnection",
                        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n"
                        "[ipv4]\nmethod=auto\nmay-fail=false\n[ipv6]\nmethod=auto\n",
                        0600);
    manager_.stop();
    ASSERT_EQ(failclosed(client(), {"lock", "--boot"}).status, 0);
    const Sniffer sniffer(lab_);
    const Traffic traffic(lab_, slow_traffic());
    manager_.start();
    lab_.link_up();
    ASSERT_TRUE(manager_.wait_activated("eth0")) << manager_.log();
    ASSERT_TRUE(manager_.wait_for_event_done("dhcp6-change", "eth0")) << story();
    // It sets them after it has announced them.
    EXPECT_TRUE(ip_tells({"-4", "addr", "show", "dev", "eth0"}, "192.168.50.")) << story();
    EXPECT_TRUE(ip_tells({"-6", "addr", "show", "dev", "eth0"}, "2001:db8:50::")) << story();
    EXPECT_TRUE(ip_tells({"-6", "route", "show", "default"}, addr::gateway_link)) << story();
    EXPECT_TRUE(manager_.recorder().wait_until([](const auto& events) {
        return says(events, "LIMITED") || says(events, "NONE");
    })) << story();

    ASSERT_TRUE(eventually([&] { return endpoints(client()) == Strings{by_address}; }, 20s))
        << story();
    ASSERT_TRUE(traffic.wait_all_sent(10));
    EXPECT_FALSE(says(manager_.events(), "FULL")) << story();
    EXPECT_EQ(web.requests(), 0U);
    EXPECT_THAT(lab_.dns().names_asked(), IsSubsetOf(Strings{"vpn4.example.net"}));
    EXPECT_FALSE(answers(client(), addr::site4, {"-W0.3"}));

    ASSERT_TRUE(bring_up()) << story();
    expect_working();
    // Inside it may find out that all is well.
    EXPECT_TRUE(wait_for_connectivity("FULL")) << story();
    EXPECT_GE(web.requests(), 1U);
    EXPECT_THAT(lab_.dns().names_asked(), IsSubsetOf(Strings{"vpn4.example.net"}));
    sniffer.settle();
    for (const auto& [kind, count] : sniffer.counts().leaked_kinds) {
        EXPECT_EQ(kind, "") << "only the helper's own questions: " << count << story();
    }
    EXPECT_THAT(sniffer.counts().examples, ::testing::Each(HasSubstr(" port 53,")));
}

TEST_F(BootWithoutVpn, WithoutTheLockConnectivityChecksLeak)
{
    const HttpServer web(lab_.internet());
    const Sniffer sniffer(lab_);
    lab_.link_up();
    ASSERT_NO_FATAL_FAILURE(connect_network());
    EXPECT_TRUE(wait_for_connectivity("FULL")) << story();
    EXPECT_GE(web.requests(), 1U);
    sniffer.settle();
    EXPECT_GT(sniffer.leaked(), 0U);
}

} // namespace

} // namespace failclosed::lab
