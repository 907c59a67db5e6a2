// SPDX-License-Identifier: GPL-3.0-or-later
// Real dhcpcd beneath a real OpenVPN: every lease that comes, goes or changes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/dhcpcd.hpp"
#include "tests/support/daemons/resolvers.hpp"
#include "tests/support/lab/signal_counter.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char hooks_directory[] = "/usr/lib/dhcpcd/dhcpcd-hooks/";
constexpr char hook_program[] = "/usr/lib/failclosed/dhcpcd-hook";
constexpr char hook_away[] = "/usr/lib/failclosed/away";
constexpr char resolv_conf[] = "/etc/resolv.conf";

Lab::Options leased(std::vector<std::string> dns_extra)
{
    return with_product({.static_addresses = false, .dns_extra = std::move(dns_extra)});
}

/// Reasons of a lease that is there, new or old.
bool is_lease(const std::string& reason)
{
    static const std::set<std::string> reasons = {"BOUND", "REBOOT", "RENEW", "REBIND"};
    return reasons.contains(reason);
}

std::set<std::string> resolvers(const Box& client)
{
    const std::string keyword = "nameserver ";
    std::set<std::string> found;
    std::istringstream text(client.read_file(resolv_conf));
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with(keyword)) {
            found.insert(line.substr(keyword.size()));
        }
    }
    return found;
}

double milliseconds(std::chrono::microseconds time)
{
    return static_cast<double>(time.count()) / 1000.0;
}

std::chrono::microseconds median(std::vector<std::chrono::microseconds> times)
{
    std::ranges::sort(times);
    return times.at(times.size() / 2);
}

std::string figures(const std::vector<std::chrono::microseconds>& times)
{
    char text[96];
    std::snprintf(text, sizeof text, "median %.1f ms (%.1f to %.1f)", milliseconds(median(times)),
                  milliseconds(std::ranges::min(times)), milliseconds(std::ranges::max(times)));
    return text;
}

/// A locked machine whose network dhcpcd manages, with a tunnel and programs that send by every
/// way. From the lock to the end of each test the sniffers must stay silent, and so must the ISP's
/// resolver.
class Leased : public ::testing::Test {
  protected:
    explicit Leased(std::vector<std::string> dns_extra = dhcp_and_ra())
        : lab_(leased(std::move(dns_extra))), server_(lab_), sniffer_(lab_)
    {
        // Else every address of IPv6 takes seconds to be usable.
        for (const char* scope : {"all", "default", "eth0"}) {
            client().sysctl(std::string("net.ipv6.conf.") + scope + ".accept_dad", "0");
        }
    }

    void TearDown() override
    {
        if (traffic_) {
            EXPECT_TRUE(traffic_->wait_all_sent(2));
        }
        expect_no_leak();
        // What was not seen would have been.
        counter_.reset();
        vpn_.reset();
        EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
        if (!traffic_) {
            traffic_.emplace(lab_);
        }
        EXPECT_TRUE(sniffer_.wait_until([](const Counts& seen) { return seen.leaked > 100; }));
    }

    const Box& client() const { return lab_.client(); }

    Dhcpcd& dhcpcd() { return *dhcpcd_; }

    std::string default_route() const
    {
        return client().must({"ip", "-4", "route", "show", "default"});
    }

    /// A lease in every family, and names that the ISP answers; open.
    void get_lease(Dhcpcd::Options options = {})
    {
        dhcpcd_.emplace(client(), options);
        ASSERT_TRUE(dhcpcd_->wait_lease("eth0", 20s)) << dhcpcd_->log();
        if (options.ipv6) {
            ASSERT_TRUE(dhcpcd_->wait_for_event("BOUND6", "eth0")) << dhcpcd_->recorder().text();
        }
        // Each further event makes dhcpcd write resolv.conf anew, and not in one step.
        ASSERT_TRUE(eventually([&] { return answers(client(), "www.example.org"); }));
        ASSERT_THAT(lab_.dns().names_asked(), Contains("www.example.org"));
    }

    void lock()
    {
        ASSERT_EQ(failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
        lab_.dns().forget_queries();
        sniffer_.settle();
        sniffer_.reset();
    }

    void connect(VpnClient::Options options = {})
    {
        // It does not notice by itself that nothing comes any more: what reconnects it is the
        // product, however slow dhcpcd is.
        options.extra.insert(options.extra.end(),
                             {"pull-filter ignore ping-restart", "ping-restart 120"});
        vpn_.emplace(lab_, std::move(options));
        ASSERT_TRUE(vpn_->wait_connected()) << vpn_->log();
        count_signals();
    }

    void count_signals()
    {
        counter_.emplace(client(), vpn_->process());
        dhcpcd_->recorder().forget();
    }

    void begin(Dhcpcd::Options options = {})
    {
        ASSERT_NO_FATAL_FAILURE(get_lease(std::move(options)));
        traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
        ASSERT_NO_FATAL_FAILURE(lock());
        ASSERT_NO_FATAL_FAILURE(connect());
    }

    std::size_t events(const std::string& reason)
    {
        return dhcpcd_->recorder().count(reason, {}, "dhcpcd-end");
    }

    /// The event itself may be under way already when this is called.
    void expect_event(const std::string& reason, std::size_t times = 1,
                      std::chrono::milliseconds time = patience)
    {
        ASSERT_TRUE(dhcpcd_->wait_for_event(reason, {}, times, time))
            << reason << "\n"
            << dhcpcd_->recorder().text() << dhcpcd_->log();
    }

    /// One that begins after this call.
    void expect_next_event(const std::string& reason)
    {
        const std::size_t begun = dhcpcd_->recorder().count(reason, {}, "dhcpcd");
        ASSERT_NO_FATAL_FAILURE(expect_event(reason, begun + 1));
    }

    /// A lease from this gateway, after all earlier announcements.
    void expect_gateway(const char* gateway)
    {
        ASSERT_TRUE(dhcpcd_->recorder().wait_until([&](const std::vector<Event>& all) {
            return std::ranges::any_of(all, [&](const Event& event) {
                const auto routers = event.env.find("new_routers");
                return event.source == "dhcpcd-end" && is_lease(event.action) &&
                       routers != event.env.end() && routers->second == gateway;
            });
        })) << dhcpcd_->recorder().text()
            << dhcpcd_->log();
        EXPECT_THAT(default_route(), HasSubstr(gateway));
    }

    /// The same of IPv6, which dhcpcd asks for by itself.
    void expect_lease6()
    {
        ASSERT_TRUE(dhcpcd_->recorder().wait_until([](const std::vector<Event>& all) {
            return std::ranges::any_of(all, [](const Event& event) {
                return event.source == "dhcpcd-end" && event.action.ends_with('6') &&
                       is_lease(event.action.substr(0, event.action.size() - 1));
            });
        })) << dhcpcd_->recorder().text()
            << dhcpcd_->log();
    }

    /// A carrier that returns brings REBOOT where it was away for a moment, else BOUND.
    void expect_lease(const std::string& interface = "eth0")
    {
        ASSERT_TRUE(dhcpcd_->wait_lease(interface)) << dhcpcd_->recorder().text() << dhcpcd_->log();
    }

    /// What dhcpcd does when the carrier is lost: its addresses and routes go with it.
    void pull_cable()
    {
        dhcpcd_->recorder().forget();
        lab_.cut_wire();
        ASSERT_NO_FATAL_FAILURE(expect_event("EXPIRE"));
        ASSERT_THAT(default_route(), IsEmpty());
        dhcpcd_->recorder().forget();
    }

    std::string look_up() const
    {
        return client()
            .run(Command{"getent", "ahostsv4", "www.example.org"}.with_env(
                {"RES_OPTIONS=timeout:1 attempts:1"}))
            .out;
    }

    void expect_alive() const
    {
        for (const char* address : {addr::site4, addr::site6}) {
            const EchoFlow flow(lab_, address, 10ms);
            EXPECT_TRUE(flow.wait_answers(3)) << address << "\n" << vpn_->log();
        }
        // Between dhcpcd's own hook and ours the network's resolvers stand in resolv.conf. IPv4 is
        // refused at once; the way to IPv6's leads into the tunnel, and no host answers there.
        EXPECT_TRUE(eventually([&] { return look_up().find(addr::site4) != std::string::npos; }))
            << client().read_file(resolv_conf);
    }

    /// Exactly so many since the tunnel came up, each a HUP; none is on its way.
    void expect_hups(std::size_t times)
    {
        EXPECT_TRUE(times == 0 || counter_->wait_for(SIGHUP, times)) << vpn_->log();
        const std::size_t asked = counter_->count(SIGUSR2);
        vpn_->process().signal(SIGUSR2); // its statistics: comes after all that was sent before
        ASSERT_TRUE(counter_->wait_for(SIGUSR2, asked + 1));
        EXPECT_EQ(counter_->count(SIGHUP), times) << dhcpcd_->recorder().text() << vpn_->log();
        EXPECT_EQ(counter_->all() - counter_->count(SIGUSR2), times);
    }

    void expect_no_leak()
    {
        sniffer_.settle();
        const auto counts = sniffer_.counts();
        EXPECT_EQ(counts.leaked, 0U) << counts.text();
        EXPECT_EQ(counts.lost, 0U);
        EXPECT_THAT(lab_.dns().queries(), IsEmpty());
    }

    Lab lab_;
    VpnServer server_;
    Sniffer sniffer_;
    std::optional<Dhcpcd> dhcpcd_;
    std::optional<Traffic> traffic_;
    std::optional<VpnClient> vpn_;
    std::optional<SignalCounter> counter_;
};

// ---- Coming back ----

TEST_F(Leased, EachFlapCausesOneReconnectionAndNoLeak)
{
    const std::size_t count = rounds(5);
    client().write_file(std::string(hooks_directory) + "89-before",
                        Recorder::lines("before", "\"${reason-}\"", "\"${interface-}\"", {}));
    client().write_file(std::string(hooks_directory) + "91-after",
                        Recorder::lines("after", "\"${reason-}\"", "\"${interface-}\"", {}));
    ASSERT_NO_FATAL_FAILURE(get_lease());
    // Few, so that they do not take the processors' time that is measured.
    traffic_.emplace(lab_, Traffic::Options{.interval = 200ms});
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(connect());
    run_first(client(), "dhcpcd|openvpn");
    run_first(lab_.internet(), "openvpn");
    const EchoFlow flow(lab_, addr::site4, 5ms);
    std::vector<std::chrono::microseconds> back;
    std::vector<std::chrono::microseconds> ours;
    for (std::size_t flap = 1; flap <= count; ++flap) {
        ASSERT_TRUE(flow.wait_answers(1)) << vpn_->log();
        ASSERT_NO_FATAL_FAILURE(pull_cable());
        lab_.mend_wire();
        ASSERT_NO_FATAL_FAILURE(expect_lease());
        ASSERT_TRUE(counter_->wait_for(SIGHUP, flap)) << dhcpcd().recorder().text();
        // Until the signal is heeded the old session answers again.
        ASSERT_TRUE(vpn_->wait_connected(flap + 1)) << vpn_->log();
        ASSERT_TRUE(flow.wait_answers(1)) << vpn_->log();
        const auto answered = std::chrono::steady_clock::now().time_since_epoch();
        std::chrono::microseconds began{};
        for (const auto& event : dhcpcd().recorder().events()) {
            if (!is_lease(event.action)) {
                continue;
            }
            if (event.source == "dhcpcd") {
                back.push_back(std::chrono::duration_cast<std::chrono::microseconds>(answered) -
                               event.time);
            } else if (event.source == "before") {
                began = event.time;
            } else if (event.source == "after") {
                ours.push_back(event.time - began);
            }
        }
        ASSERT_EQ(back.size(), flap);
        ASSERT_EQ(ours.size(), flap);
        EXPECT_EQ(counter_->all(), flap) << dhcpcd().recorder().text() << vpn_->log();
    }
    // That of IPv6 comes later than the tunnel.
    ASSERT_NO_FATAL_FAILURE(expect_lease6());
    expect_hups(count);
    // How fast that is, is for people, and for tests/bench: a busy machine takes longer. What does
    // not come by the signal does not come at all: OpenVPN would wait for two minutes.
    sniffer_.settle();
    std::printf("%zu flaps under dhcpcd: from the lease to the first answer through the tunnel %s; "
                "the whole hook %s; %zu HUP; %llu leaked\n",
                count, figures(back).c_str(), figures(ours).c_str(), counter_->count(SIGHUP),
                static_cast<unsigned long long>(sniffer_.leaked()));
}

class ShortRenewals : public Leased {
  protected:
    ShortRenewals() : Leased(dhcp_arguments({.t1 = 3, .t2 = 60})) {}
};

TEST_F(ShortRenewals, ThatChangeNothingSendNoSignal)
{
    ASSERT_NO_FATAL_FAILURE(begin({.ipv6 = false}));
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW")); // by itself
    const std::size_t before = events("RENEW");
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW", before + 1));
    // SIGHUP would be no renewal: dhcpcd 10 lets the lease expire, and may end itself.
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW", before + 2));
    expect_alive();
    expect_hups(0);
}

// The address stays, and what the server answers to the old path would not arrive any more.
TEST_F(Leased, ANewLeaseWithAnotherGatewaySendsOneSignal)
{
    ASSERT_NO_FATAL_FAILURE(begin());
    lab_.dns().restart(dhcp_and_ra({.gateway = addr::other_gateway4}));
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_gateway(addr::other_gateway4));
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    expect_alive();
    expect_hups(1);
    const std::size_t renewed = events("RENEW");
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW", renewed + 1));
    expect_hups(1);
}

/// What the service manager makes of ProtectSystem= (systemd.exec(5)) with the ReadWritePaths= of
/// Debian 13's dhcpcd.service, in a machine of the lab.
std::string sandbox(const std::string& protect_system)
{
    if (protect_system == "yes") {
        return "mount -o remount,bind,ro /usr";
    }
    return "mkdir -p /run/dhcpcd /var/lib/dhcpcd\n"
           "for path in /run/dhcpcd /var/lib/dhcpcd /etc/dhcpcd.conf /etc/resolv.conf; do\n"
           "    mount --bind $path $path\n"
           "done\n"
           "for path in / /usr /etc /var /run /tmp; do\n"
           "    ! mountpoint -q $path || mount -o remount,bind,ro $path\n"
           "done";
}

/// Of dhcpcd.service on Debian 13, with what the product adds to it.
std::string protect_system_of_dhcpcd(const Box& client)
{
    constexpr char drop_in[] = "/usr/lib/systemd/system/dhcpcd.service.d/failclosed.conf";
    const std::string keyword = "\nProtectSystem=";
    const std::string text = client.exists(drop_in) ? client.read_file(drop_in) : "";
    const auto found = text.find(keyword);
    const auto value = found + keyword.size();
    return found == std::string::npos ? "strict"
                                      : text.substr(value, text.find('\n', value) - value);
}

TEST_F(Leased, UnderDebiansUnitTheHookKeepsItsStateAndTellsOpenVpn)
{
    ASSERT_NO_FATAL_FAILURE(begin({.sandbox = sandbox(protect_system_of_dhcpcd(client()))}));
    EXPECT_FALSE(client()
                     .run({"nsenter", "--mount", "--target",
                           std::to_string(dhcpcd().process().inner_pid()), "touch", "/usr/canary"})
                     .ok());
    lab_.dns().restart(dhcp_and_ra({.gateway = addr::other_gateway4}));
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_gateway(addr::other_gateway4));
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log() << dhcpcd().log();
    expect_alive();
    expect_hups(1);
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
}

// Away: eth0's route is gone, eth1's is left. Back: eth0's is the better one again.
TEST_F(Leased, TwoInterfacesThatSwapSendOneSignalEachTime)
{
    const DnsServer second = lab_.second_dns();
    Sniffer second_sniffer(lab_, {}, "lan1");
    lab_.second_uplink_up();
    client().sysctl("net.ipv6.conf.eth1.accept_dad", "0");
    dhcpcd_.emplace(client(), Dhcpcd::Options{.interfaces = {}, .ipv6 = false});
    ASSERT_TRUE(dhcpcd().wait_lease("eth0")) << dhcpcd().log();
    ASSERT_TRUE(dhcpcd().wait_lease("eth1")) << dhcpcd().log();
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    ASSERT_NO_FATAL_FAILURE(lock());
    second_sniffer.settle();
    second_sniffer.reset();
    ASSERT_NO_FATAL_FAILURE(connect());
    const auto way = [&] {
        return client().must({"ip", "-4", "route", "show", "to", "exact", "0.0.0.0/0"});
    };
    EXPECT_THAT(way(), AllOf(HasSubstr("dev eth0"), HasSubstr("dev eth1")));

    lab_.cut_wire();
    ASSERT_NO_FATAL_FAILURE(expect_event("EXPIRE"));
    dhcpcd().recorder().forget();
    EXPECT_THAT(way(), Not(HasSubstr("dev eth0")));
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    expect_hups(1);
    expect_alive();
    // Once it is known that eth1 carries the tunnel, it carries nothing else.
    EXPECT_GT(second_sniffer.counts().allowed, 0U);

    lab_.mend_wire();
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    ASSERT_TRUE(vpn_->wait_connected(3)) << vpn_->log();
    expect_alive();
    expect_hups(2);

    // The one that is not in use comes and goes without a word.
    lab_.cut_wire("lan1");
    ASSERT_NO_FATAL_FAILURE(expect_event("EXPIRE"));
    dhcpcd().recorder().forget();
    lab_.mend_wire("lan1");
    ASSERT_NO_FATAL_FAILURE(expect_lease("eth1"));
    expect_hups(2);
    second_sniffer.settle();
    EXPECT_EQ(second_sniffer.leaked(), 0U) << second_sniffer.counts().text();
}

TEST_F(Leased, RoamsToAnotherNetworkAndBackDuringAFlow)
{
    ASSERT_NO_FATAL_FAILURE(begin());
    const EchoFlow flow(lab_, addr::site4, 2ms);
    ASSERT_TRUE(flow.wait_answers(10));
    const auto roam = [&](const std::vector<std::string>& network, const char* gateway,
                          std::size_t times) {
        ASSERT_NO_FATAL_FAILURE(pull_cable());
        lab_.dns().restart(network);
        lab_.mend_wire();
        ASSERT_NO_FATAL_FAILURE(expect_lease());
        // The other network's server knows nothing of the old lease.
        EXPECT_EQ(events("NAK"), 1U) << dhcpcd().recorder().text();
        EXPECT_THAT(default_route(), HasSubstr(gateway));
        ASSERT_TRUE(vpn_->wait_connected(times + 1)) << vpn_->log();
        ASSERT_TRUE(flow.wait_answers(10));
        expect_alive();
        expect_hups(times);
    };
    ASSERT_NO_FATAL_FAILURE(
        roam(dhcp_and_ra({.network = "192.168.70"}, {.prefix = "2001:db8:70::"}),
             addr::roaming_gateway4, 1));
    ASSERT_NO_FATAL_FAILURE(roam(dhcp_and_ra(), addr::gateway4, 2));
}

// A locked machine gets into a network that is none of the local ones that it may talk to: nobody
// could tell of the gateway before dhcpcd sets the route through it.
TEST_F(Leased, ANetworkOfPublicAddressesIsEnteredWhileLocked)
{
    auto policy = Policy{};
    policy.link.emplace_back("198.18.7.0/24");
    sniffer_.set_policy(policy);
    lab_.isp().ip("addr add 198.18.7.1/24 dev lan0\n");
    lab_.internet().ip("route add 198.18.7.0/24 via 203.0.113.1\n");
    lab_.dns().restart(dhcp_arguments({.network = "198.18.7"}));
    ASSERT_NO_FATAL_FAILURE(lock());
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    dhcpcd_.emplace(client(), Dhcpcd::Options{.ipv6 = false});
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    EXPECT_THAT(default_route(), HasSubstr("via 198.18.7.1")) << dhcpcd().log();
    ASSERT_NO_FATAL_FAILURE(connect());
    expect_alive();
    ASSERT_NO_FATAL_FAILURE(pull_cable());
    lab_.mend_wire();
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    EXPECT_THAT(default_route(), HasSubstr("via 198.18.7.1")) << dhcpcd().log();
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    expect_alive();
    expect_hups(1);
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
}

// ---- Leases that end, and those that are none ----

TEST_F(ShortRenewals, WithoutAnAnswerRebindAndSendNoSignal)
{
    lab_.dns().restart(dhcp_arguments({.t1 = 3, .t2 = 4}));
    lab_.isp().nft("table inet quiet { chain in { type filter hook input priority 0;\n"
                   "ip daddr 192.168.50.1 udp dport 67 drop\n}\n}\n");
    ASSERT_NO_FATAL_FAILURE(begin({.ipv6 = false}));
    ASSERT_NO_FATAL_FAILURE(expect_event("REBIND", 1, 20s));
    expect_alive();
    expect_hups(0);
}

// STOP takes the address away: that it returns is one signal. STOPPED alone leaves it.
TEST_F(Leased, AReleaseStaysClosedAndANewLeaseSendsOneSignal)
{
    ASSERT_NO_FATAL_FAILURE(begin({.ipv6 = false}));
    dhcpcd().stop();
    // Its last hook outlives it.
    ASSERT_NO_FATAL_FAILURE(expect_event("STOPPED"));
    EXPECT_EQ(events("STOPPED"), 1U) << dhcpcd().recorder().text();
    EXPECT_THAT(default_route(), HasSubstr(addr::gateway4));
    dhcpcd().recorder().forget();
    dhcpcd().start();
    ASSERT_TRUE(dhcpcd().wait_lease()) << dhcpcd().log();
    expect_alive();
    expect_hups(0);

    dhcpcd().recorder().forget();
    dhcpcd().release();
    ASSERT_NO_FATAL_FAILURE(expect_event("STOPPED"));
    EXPECT_GE(events("STOP") + events("RELEASE"), 1U) << dhcpcd().recorder().text();
    EXPECT_THAT(default_route(), IsEmpty());
    EXPECT_TRUE(client().run({"nft", "list", "table", "inet", "failclosed"}).ok());
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
    ASSERT_TRUE(traffic_->wait_all_sent(10));
    expect_hups(0);
    dhcpcd().recorder().forget();
    dhcpcd().start();
    ASSERT_TRUE(dhcpcd().wait_lease()) << dhcpcd().log();
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    expect_alive();
    expect_hups(1);
}

// An address that dhcpcd gave itself reaches no server: the tunnel program hears nothing of it, and
// of the real lease once.
TEST_F(Leased, AnAutoconfiguredAddressIsNotAnUnderlay)
{
    auto policy = Policy{};
    policy.link.emplace_back("169.254.0.0/16");
    // dhcpcd says that the whole world is on the wire then, and OpenVPN asks there for its server,
    // whose address is no secret.
    policy.link.emplace_back(addr::server4);
    sniffer_.set_policy(policy);
    lab_.dns().stop();
    ASSERT_NO_FATAL_FAILURE(lock());
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    dhcpcd_.emplace(client(),
                    Dhcpcd::Options{.quick = false, .ipv6 = false, .extra = "nodelay\nreboot 1\n"});
    VpnClient::Options patient;
    patient.extra = {"server-poll-timeout 120"};
    vpn_.emplace(lab_, patient);
    ASSERT_TRUE(vpn_->wait_trying()) << vpn_->log();
    counter_.emplace(client(), vpn_->process());
    ASSERT_NO_FATAL_FAILURE(expect_event("IPV4LL", 1, 25s));
    EXPECT_THAT(client().must({"ip", "-4", "address", "show", "dev", "eth0"}),
                HasSubstr("169.254."));
    ASSERT_TRUE(traffic_->wait_all_sent(20));
    expect_hups(0);
    EXPECT_EQ(vpn_->connections(), 0U);
    // Without any route it paused, and in a pause it hears nothing and needs not be told.
    ASSERT_TRUE(eventually([&] {
        const std::string log = vpn_->log();
        return log.rfind("UDPv4 link remote") > log.rfind("Restart pause") &&
               vpn_->process().handles(SIGHUP);
    })) << vpn_->log();

    lab_.dns().start();
    dhcpcd().rebind();
    ASSERT_NO_FATAL_FAILURE(expect_event("BOUND", 1, 25s));
    ASSERT_TRUE(vpn_->wait_connected()) << vpn_->log();
    expect_alive();
    expect_hups(1);
}

// ---- IPv6 that comes later ----

class OnlyIpv4 : public Leased {
  protected:
    OnlyIpv4() : Leased(dhcp_arguments()) {}
};

TEST_F(OnlyIpv4, Ipv6ThatAppearsWhileTheTunnelIsUpLeaksNothingAndSendsNoSignal)
{
    dhcpcd_.emplace(client());
    ASSERT_TRUE(dhcpcd().wait_lease()) << dhcpcd().log();
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(connect());
    const auto addresses = [&] {
        return client().must({"ip", "-6", "address", "show", "dev", "eth0"});
    };
    ASSERT_THAT(addresses(), Not(HasSubstr("2001:db8")));

    lab_.dns().restart(dhcp_and_ra({}, {.slaac = true}));
    ASSERT_NO_FATAL_FAILURE(expect_event("ROUTERADVERT"));
    ASSERT_NO_FATAL_FAILURE(expect_event("BOUND6"));
    EXPECT_THAT(addresses(), HasSubstr("2001:db8:50::"));
    EXPECT_THAT(client().must({"ip", "-6", "route", "show", "default"}), HasSubstr("dev eth0"));
    ASSERT_TRUE(traffic_->wait_all_sent(20));
    expect_alive();

    lab_.dns().restart(dhcp_and_ra({}, {.prefix = "2001:db8:70::", .slaac = true}));
    ASSERT_TRUE(eventually([&] { return addresses().find("2001:db8:70:") != std::string::npos; }))
        << dhcpcd().recorder().text();
    ASSERT_TRUE(traffic_->wait_all_sent(20));
    expect_alive();
    expect_hups(0);
}

// ---- Names ----

class NamesUnder : public Leased, public ::testing::WithParamInterface<const char*> {
  protected:
    /// The resolvers in force when our hook has run for the last event with this reason. Other
    /// events may be under way, each beginning with dhcpcd's own writing.
    std::string resolvers_after(const std::string& reason)
    {
        std::string found;
        for (const auto& event : dhcpcd().recorder().events("names")) {
            if (event.action == reason) {
                const auto resolvers = event.env.find("lab_resolvers");
                found = resolvers == event.env.end() ? "none" : resolvers->second;
            }
        }
        return found;
    }

    void expect_resolvers(const std::set<std::string>& expected)
    {
        EXPECT_TRUE(eventually([&] { return resolvers(client()) == expected; }))
            << client().read_file(resolv_conf) << dhcpcd().recorder().text();
    }
};

TEST_P(NamesUnder, ResolveInTheTunnelUntilItEndsThenInThePresentNetwork)
{
    const bool by_openresolv = std::string(GetParam()) == "Openresolv";
    if (by_openresolv) {
        unpack(client(), "openresolv");
    }
    client().write_file(
        std::string(hooks_directory) + "91-names",
        "lab_resolvers=$(sed -n 's/^nameserver //p' /etc/resolv.conf)\n" +
            Recorder::lines("names", "\"${reason-}\"", "\"${interface-}\"", {"lab_resolvers"}));
    ASSERT_NO_FATAL_FAILURE(begin());
    const std::set<std::string> of_tunnel = {addr::inside4, addr::inside6};
    const std::string of_tunnel_in_order = addr::inside4 + std::string(" ") + addr::inside6;
    expect_resolvers(of_tunnel);
    EXPECT_EQ(client().read_file(resolv_conf).find("by resolvconf") != std::string::npos,
              by_openresolv);

    // The router says at its start that it is there, and then not for many seconds.
    const std::size_t advertised = dhcpcd().recorder().count("ROUTERADVERT", {}, "dhcpcd");
    lab_.dns().restart(dhcp_and_ra({.resolver = addr::other_gateway4}));
    const std::size_t renewed = events("RENEW");
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW", renewed + 1));
    EXPECT_EQ(resolvers_after("RENEW"), of_tunnel_in_order);
    // Every advertisement makes dhcpcd write resolv.conf, too.
    ASSERT_NO_FATAL_FAILURE(expect_event("ROUTERADVERT", advertised + 1));
    EXPECT_EQ(resolvers_after("ROUTERADVERT"), of_tunnel_in_order);
    expect_resolvers(of_tunnel);
    expect_alive();
    ASSERT_NO_FATAL_FAILURE(pull_cable());
    expect_resolvers(of_tunnel);
    lab_.mend_wire();
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    ASSERT_NO_FATAL_FAILURE(expect_lease6());
    expect_resolvers(of_tunnel);
    expect_alive();
    expect_hups(1);
    EXPECT_THAT(server_.dns().names_asked(), Contains("www.example.org"));

    counter_.reset();
    vpn_->term();
    ASSERT_TRUE(vpn_->process().wait());
    EXPECT_THAT(resolvers(client()),
                AllOf(Contains(addr::other_gateway4), Not(Contains(addr::gateway4)),
                      Not(Contains(addr::inside4)), Not(Contains(addr::inside6))));
    EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
    EXPECT_THAT(look_up(), IsEmpty()) << "no resolver but a tunnel's is asked";
}

INSTANTIATE_TEST_SUITE_P(ResolvConf, NamesUnder, ::testing::Values("PlainFile", "Openresolv"),
                         [](const auto& test) { return std::string(test.param); });

// ---- Looking while dhcpcd is between its hooks ----

/// Whether the process waits for changes of files.
bool watches_files(const Process& process)
{
    std::error_code error;
    const auto folder = "/proc/" + std::to_string(process.pid()) + "/fd";
    return std::ranges::any_of(
        std::filesystem::directory_iterator(folder, error), [](const auto& entry) {
            std::error_code gone;
            return std::filesystem::read_symlink(entry.path(), gone) == "anon_inode:inotify";
        });
}

// dhcpcd has written resolv.conf, and has not called our hook yet: no run holds the lock that
// `doctor` could wait for.
TEST_F(Leased, DoctorWaitsForOurHookAfterDhcpcdHasWrittenResolvConf)
{
    client().write_file(std::string(hooks_directory) + "50-held",
                        "if [ -p /run/lab-hold ]; then\n"
                        "    : >/run/lab-held\n"
                        "    read -r lab_line </run/lab-hold || :\n"
                        "fi\n");
    ASSERT_NO_FATAL_FAILURE(begin());
    for (const char* verb : {"doctor", "check", "status"}) {
        SCOPED_TRACE(verb);
        ASSERT_TRUE(eventually([&] { return failclosed(client(), {"check"}).status == 0; }));
        client().must({"rm", "-f", "/run/lab-held"});
        client().must({"mkfifo", "/run/lab-hold"});
        // Any event will do. A signal that comes while a hook runs may be lost.
        ASSERT_TRUE(eventually([&] {
            dhcpcd().process().signal(SIGUSR1);
            return eventually([&] { return client().exists("/run/lab-held"); }, 3s);
        })) << dhcpcd().recorder().text();
        ASSERT_THAT(resolvers(client()), Contains(addr::gateway4));
        const Process looking = client().start({"failclosed", verb});
        EXPECT_TRUE(eventually([&] { return !looking.running() || watches_files(looking); }));
        client().must({"sh", "-c", "exec 3>/run/lab-hold; rm /run/lab-hold"});
        EXPECT_EQ(looking.wait(), 0) << looking.output();
        EXPECT_THAT(looking.output(), Not(HasSubstr("DNS differs")));
    }
    // No hook follows this one, also none of a signal that was sent twice.
    dhcpcd().kill();
    ASSERT_TRUE(
        eventually([&] { return !client().run({"pgrep", "-f", "dhcpcd-run-hooks"}).ok(); }));
    client().write_file(resolv_conf, "nameserver 192.168.50.1\n");
    const std::string drift = "DNS differs from the plan (resolv.conf, or what the resolver was "
                              "told, was changed by another program)";
    const Outcome doctor = failclosed(client(), {"doctor"});
    EXPECT_EQ(doctor.status, 1);
    EXPECT_THAT(doctor.out, HasSubstr("bad   kernel: " + drift + " (failclosed reapply)\n"));
    EXPECT_THAT(failclosed(client(), {"check"}).err,
                HasSubstr(drift + "; run `failclosed reapply`\n"));
    ASSERT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_EQ(failclosed(client(), {"doctor"}).status, 0);
}

// ---- The fragment among other hooks ----

TEST_F(Leased, HooksAfterOursRunAndSeeTheirVariablesUnderStrictShells)
{
    // Debian's own do not bear `set -u`.
    client().must({"sh", "-c", "cd /usr/lib/dhcpcd/dhcpcd-hooks && rm [0-8]* 9[1-9]* || :"});
    ASSERT_THAT(client().must({"ls", hooks_directory}), "90-failclosed\n");
    dhcpcd_.emplace(client(), Dhcpcd::Options{.ipv6 = false, .start = false});
    client().write_file("/etc/dhcpcd.enter-hook", client().read_file("/etc/dhcpcd.enter-hook") +
                                                      "set -eu\nskip_hooks=\nlab_variable=kept\n");
    client().write_file(
        std::string(hooks_directory) + "95-after",
        "lab_left=$(set | grep -i '^failclosed' || :)\nlab_options=$-\n" +
            Recorder::lines("after", "\"$reason\"", "\"$interface\"",
                            {"lab_variable", "lab_left", "lab_options", "new_ip_address"}));
    ASSERT_NO_FATAL_FAILURE(lock());
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    dhcpcd().start();
    ASSERT_TRUE(dhcpcd().wait_lease()) << dhcpcd().log();
    ASSERT_NO_FATAL_FAILURE(connect());
    ASSERT_NO_FATAL_FAILURE(pull_cable());
    lab_.mend_wire();
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    ASSERT_TRUE(vpn_->wait_connected(2)) << vpn_->log();
    expect_hups(1);
    const auto of = [](const std::vector<Event>& all, const char* source) {
        return std::ranges::count(all, source, &Event::source);
    };
    // One that has just begun is not at its end yet.
    EXPECT_TRUE(dhcpcd().recorder().wait_until([&](const std::vector<Event>& all) {
        return of(all, "after") == of(all, "dhcpcd-end");
    })) << dhcpcd().recorder().text();
    const auto seen = dhcpcd().recorder().events("after");
    EXPECT_THAT(seen, Contains(Field(&Event::action, ::testing::Truly(is_lease))));
    for (const auto& event : seen) {
        EXPECT_EQ(event.env.at("lab_variable"), "kept") << event.text();
        EXPECT_EQ(event.env.count("lab_left"), 0U) << event.text();
        EXPECT_THAT(event.env.at("lab_options"), AllOf(HasSubstr("e"), HasSubstr("u")));
        EXPECT_EQ(event.env.count("new_ip_address"), is_lease(event.action) ? 1U : 0U)
            << event.text();
    }
}

// ---- From power-on ----

class PoweredOn : public ::testing::TestWithParam<bool> {};

TEST_P(PoweredOn, TheTunnelComesUpByNameAndNoOtherNameIsQueriedOutside)
{
    const bool is_protected = GetParam();
    Lab lab(
        with_product({.link_up = false, .static_addresses = false, .dns_extra = dhcp_and_ra()}));
    const Box& client = lab.client();
    const VpnServer server(lab);
    for (const char* scope : {"all", "default"}) {
        client.sysctl(std::string("net.ipv6.conf.") + scope + ".accept_dad", "0");
    }
    VpnClient::Options options = client_to({"vpn4.example.net 1194"});
    options.directory = "/etc/openvpn/client";
    options.hooks = is_protected;
    // As the package leaves it, with the lock that systemd sets before there is any network.
    client.write_file("/etc/openvpn/client/lab.conf", "client\nremote vpn4.example.net 1194\n");
    if (is_protected) {
        ASSERT_EQ(failclosed(client, {"lock", "--boot"}).status, 0);
    }
    const Sniffer sniffer(lab);
    const Traffic traffic(lab, {.interval = 20ms});
    VpnClient vpn(lab, options); // before there is a network, as its unit does
    ASSERT_TRUE(vpn.wait_trying()) << vpn.log();
    lab.link_up();
    Dhcpcd dhcpcd(client);
    ASSERT_TRUE(dhcpcd.wait_lease()) << dhcpcd.log();
    ASSERT_TRUE(dhcpcd.wait_for_event("ROUTERADVERT", "eth0")) << dhcpcd.recorder().text();
    ASSERT_TRUE(dhcpcd.wait_for_event("BOUND6", "eth0")) << dhcpcd.recorder().text();
    ASSERT_TRUE(vpn.wait_connected(1, 30s)) << vpn.log();
    for (const char* address : {addr::site4, addr::site6}) {
        EXPECT_TRUE(answers(client, address)) << address;
    }
    ASSERT_TRUE(traffic.wait_all_sent(20));
    sniffer.settle();
    const auto counts = sniffer.counts();
    EXPECT_EQ(counts.lost, 0U);
    if (!is_protected) {
        EXPECT_GT(counts.leaked, 100U);
        EXPECT_THAT(counts.leaked_kinds, Contains(::testing::Key(HasSubstr("dns"))));
        return;
    }
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    // The helper's own questions: both families, to no more than the network's resolvers, at each
    // event and with growing delays until the tunnel is up.
    const auto asked = lab.dns().queries();
    EXPECT_THAT(asked, Not(IsEmpty()));
    EXPECT_LE(asked.size(), 40U);
    EXPECT_THAT(asked, Each(Field(&Query::name, "vpn4.example.net")));
    EXPECT_LE(counts.leaked, 40U) << counts.text();
    EXPECT_THAT(counts.examples, Each(AllOf(HasSubstr("udp"), HasSubstr(" port 53,"))));
    for (const auto& [kind, count] : counts.leaked_kinds) {
        EXPECT_EQ(kind, "") << count << " of a program";
    }
    EXPECT_EQ(endpoints(client), std::set<std::string>{"203.0.113.2:1194/udp"});
}

INSTANTIATE_TEST_SUITE_P(Lock, PoweredOn, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Holds" : "LeaksWithout"; });

// ---- Renewals ----

// Sees only what every chain before it has accepted.
constexpr char counting_table[] =
    "table inet counting {\n"
    "  chain output {\n"
    "    type filter hook output priority 100;\n"
    "    oifname eth0 ip daddr 192.168.50.1 udp sport 68 udp dport 67 counter\n"
    "  }\n"
    "}\n";

std::size_t unicast_requests(const Box& client)
{
    const std::string chain = client.must({"nft", "list", "chain", "inet", "counting", "output"});
    const std::string keyword = "counter packets ";
    const auto counter = chain.find(keyword);
    if (counter == std::string::npos) {
        throw LabError("no counter in\n" + chain);
    }
    return std::stoul(chain.substr(counter + keyword.size()));
}

TEST_F(ShortRenewals, ReachTheServerByUnicastWithoutAnyLocalNetwork)
{
    client().nft(counting_table);
    client().write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nlan=deny\n");
    ASSERT_NO_FATAL_FAILURE(lock());
    dhcpcd_.emplace(client(), Dhcpcd::Options{.ipv6 = false});
    ASSERT_NO_FATAL_FAILURE(expect_lease());
    traffic_.emplace(lab_, Traffic::Options{.interval = 20ms});
    ASSERT_NO_FATAL_FAILURE(connect());
    EXPECT_FALSE(answers(client(), addr::neighbour4, {"-W0.3"})) << "lan=deny";
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW")); // by itself
    const auto before = unicast_requests(client());
    EXPECT_GT(before, 0U);
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_next_event("RENEW"));
    EXPECT_TRUE(eventually([&] { return unicast_requests(client()) > before; }));
    EXPECT_EQ(events("REBIND"), 0U);

    // Without its element the server is not reached: it is that rule which lets them through. Our
    // hook would put it back for a renewal that is under way.
    client().must({"mv", hook_program, hook_away});
    ASSERT_TRUE(eventually([&] { return !client().run({"pgrep", "-x", "dhcpcd-hook"}).ok(); }));
    client().must({"nft", "flush", "set", "inet", "failclosed", "lease_server"});
    const auto refused = unicast_requests(client());
    std::size_t renewed = 0;
    ASSERT_TRUE(dhcpcd().recorder().wait_until([&](const std::vector<Event>& all) {
        const auto of = [&](const char* source) {
            return std::ranges::count_if(all, [&](const Event& event) {
                return event.action == "RENEW" && event.source == source;
            });
        };
        renewed = static_cast<std::size_t>(of("dhcpcd-end"));
        return of("dhcpcd") <= of("dhcpcd-end");
    })) << dhcpcd().recorder().text();
    const std::size_t requests = dhcpcd().process().count("sending REQUEST");
    dhcpcd().renew();
    ASSERT_TRUE(dhcpcd().process().wait_for("sending REQUEST", requests + 1)) << dhcpcd().log();
    EXPECT_FALSE(dhcpcd().wait_for_event("RENEW", "eth0", renewed + 1, 1s));
    EXPECT_EQ(unicast_requests(client()), refused);
    client().must({"mv", hook_away, hook_program});
    ASSERT_EQ(failclosed(client(), {"reapply"}).status, 0);
    dhcpcd().renew();
    ASSERT_NO_FATAL_FAILURE(expect_event("RENEW", renewed + 1, 20s));
    expect_alive();
    expect_hups(0);
}

} // namespace

} // namespace failclosed::lab
