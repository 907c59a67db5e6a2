// SPDX-License-Identifier: GPL-3.0-or-later
// The product under real NetworkManager, with an OpenVPN client of the user's own: networks go,
// come back and change, the client is told once, and nothing leaks.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/lab/signal_counter.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

using Milliseconds = std::chrono::duration<double, std::milli>;
using namespace std::chrono_literals;

constexpr char dispatcher[] = "/usr/lib/failclosed/nm-dispatcher";
/// After OpenVPN has reconnected: what its new device sets off, with more events all the time.
constexpr auto aftermath = 1500ms;

// ---- The machine ----

struct Setup {
    std::vector<std::string> dns = dhcp_and_ra();
    EthernetProfile profile = {};
    VpnServer::Options server = {};
    VpnClient::Options client = {};
    bool with_product = true;
    std::string config = {}; ///< of failclosed.conf
    std::chrono::milliseconds carrier_wait = 100ms;
    bool need_address6 = false; ///< before the tunnel
    /// OpenVPN notices after four seconds that nothing comes any more. Otherwise it does not while
    /// a test lasts: what reconnects it is the product, however slow NetworkManager is.
    bool notices_outage = false;
};

VpnClient::Options client_of(const Setup& setup)
{
    VpnClient::Options options = setup.client;
    options.hooks = setup.with_product;
    if (!setup.notices_outage) {
        options.extra.insert(options.extra.end(),
                             {"pull-filter ignore ping-restart", "ping-restart 120"});
    }
    return options;
}

/// A client that NetworkManager has connected, locked, with a tunnel; everything sends.
class Machine {
  public:
    explicit Machine(Setup setup = {})
        : lab(lab_options(setup)), server(lab, setup.server), sniffer(lab),
          second_sniffer(lab, {}, "lan1"), bus(box()), manager(prepare(setup))
    {
        manager.connect_ethernet(setup.profile);
        traffic.emplace(lab, Traffic::Options{.interval = 50ms});
        require(manager.wait_for_event_done("up", "eth0"), "eth0 is not announced");
        require(!setup.need_address6 || manager.wait_for_event_done("dhcp6-change", "eth0"),
                "no address of IPv6");
        client.emplace(lab, client_of(setup));
        require(client->wait_connected(), "OpenVPN does not connect:\n" + client->log());
        require(manager.wait_for_event_done("up", "tun0"), "tun0 is not announced");
        connections = client->connections();
        counter.emplace(box(), client->process());
    }

    const Box& box() const { return lab.client(); }

    /// What a failing test wants to see.
    std::string text()
    {
        std::string signals;
        for (const auto& delivery : counter ? counter->deliveries() : std::vector<Delivery>{}) {
            if (delivery.signal != SIGCHLD) {
                signals += std::to_string(delivery.time.count()) + " signal " +
                           std::to_string(delivery.signal) + "\n";
            }
        }
        return signals + manager.recorder().text() + bus.log() + client->log() +
               box().must({"ip", "route", "show", "table", "all"}) + sniffer.counts().text();
    }

    void cut(const std::string& wire = "lan0")
    {
        manager.recorder().forget();
        lab.cut_wire(wire);
        require(manager.wait_for_event_done("down", wire == "lan0" ? "eth0" : "eth1"), "no `down`");
    }

    void mend(const std::string& wire = "lan0")
    {
        lab.mend_wire(wire);
        require(manager.wait_for_event_done("up", wire == "lan0" ? "eth0" : "eth1"), "no `up`");
    }

    /// NetworkManager calls failclosed no more, and all that it has called have ended.
    void silence()
    {
        box().must(
            {"find", "/etc/NetworkManager/dispatcher.d", "-name", "90-failclosed", "-delete"});
        const auto count = [&](const std::string& text) { return bus.process().count(text); };
        require(eventually([&] {
                    return count("90-failclosed\": complete") ==
                           count("90-failclosed\": run script");
                }),
                "hooks do not end");
    }

    void require(bool met, const std::string& what)
    {
        if (!met) {
            throw LabError(what + "\n" + manager.recorder().text() + manager.log() + bus.log());
        }
    }

    std::uint64_t leaked() const
    {
        sniffer.settle();
        second_sniffer.settle();
        return sniffer.leaked() + second_sniffer.leaked();
    }

    Lab lab;
    VpnServer server;
    Sniffer sniffer;
    Sniffer second_sniffer;
    SystemBus bus;
    NetworkManager manager;
    std::optional<Traffic> traffic;
    std::optional<VpnClient> client;
    std::optional<SignalCounter> counter;
    std::size_t connections = 0; ///< before the signals that are counted now

  private:
    static Lab::Options lab_options(const Setup& setup)
    {
        Lab::Options options{.static_addresses = false, .dns_extra = setup.dns};
        return setup.with_product ? with_product(std::move(options)) : options;
    }

    /// Locked before there is any network.
    NetworkManager prepare(const Setup& setup)
    {
        for (const char* scope : {"all", "default", "eth0", "eth1"}) {
            if (scope != std::string("eth1") || box().exists("/proc/sys/net/ipv6/conf/eth1")) {
                // Else an address of IPv6 takes seconds.
                box().sysctl(std::string("net.ipv6.conf.") + scope + ".accept_dad", "0");
            }
        }
        if (setup.with_product) {
            box().write_file("/etc/failclosed/conf.d/test.conf",
                             "[failclosed]\n" + setup.config + "\n");
            box().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp", "--server",
                        "[2001:db8:113::2]:1194/udp"});
        }
        return NetworkManager(bus, {.carrier_wait = setup.carrier_wait});
    }
};

/// The lines of the log that hold the text.
std::vector<std::string> lines_with(const std::string& log, const std::string& text)
{
    std::vector<std::string> found;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(text) != std::string::npos) {
            found.push_back(line);
        }
    }
    return found;
}

/// An event as NetworkManager would announce it: for those that it has no reason for.
Command event(const std::string& device, const std::string& action)
{
    return Command{dispatcher, device, action}.with_env(
        {"NM_DISPATCHER_ACTION=" + action, "DEVICE_IFACE=" + device, "DEVICE_IP_IFACE=" + device,
         "CONNECTION_ID=" + device});
}

void wait_alive(Machine& machine)
{
    const EchoFlow flow(machine.lab, addr::site4, 10ms);
    EXPECT_TRUE(flow.wait_answers(3, 20s)) << machine.text();
}

/// The tunnel carries traffic, its resolver is in use, and no other was queried.
void expect_healthy(Machine& machine)
{
    wait_alive(machine);
    EXPECT_TRUE(eventually([&] {
        return machine.box().read_file("/etc/resolv.conf").find(addr::inside4) != std::string::npos;
    })) << machine.box().read_file("/etc/resolv.conf");
    machine.server.dns().forget_queries();
    EXPECT_TRUE(machine.box().run({"getent", "ahosts", "www.example.org"}).ok()) << machine.text();
    EXPECT_THAT(machine.server.dns().names_asked(), Contains("www.example.org"));
    EXPECT_THAT(machine.lab.dns().names_asked(), IsEmpty());
    EXPECT_EQ(machine.leaked(), 0U)
        << machine.sniffer.counts().text() << machine.second_sniffer.counts().text();
}

/// `times` signals since the last reset, of this kind and no other: OpenVPN has reconnected as
/// often, and it stays so with all that is announced at the same time and later.
void expect_signals(Machine& machine, std::size_t times, int signal = SIGHUP)
{
    ASSERT_TRUE(machine.counter->wait_for(signal, times)) << machine.text();
    ASSERT_TRUE(machine.client->wait_connected(machine.connections + times)) << machine.text();
    const auto end = std::chrono::steady_clock::now() + aftermath;
    while (std::chrono::steady_clock::now() < end) {
        for (const auto& [device, action] : {std::pair{"", "connectivity-change"},
                                             {"eth0", "up"},
                                             {"eth0", "dhcp4-change"},
                                             {"eth0", "dhcp6-change"},
                                             {"tun0", "pre-up"},
                                             {"tun0", "up"}}) {
            machine.box().must(event(device, action));
        }
        ASSERT_FALSE(machine.counter->wait_for(signal, times + 1, 200ms)) << machine.text();
    }
    EXPECT_EQ(machine.counter->count(signal), times) << machine.text();
    EXPECT_EQ(machine.counter->all(), times) << machine.text();
    EXPECT_EQ(machine.client->connections(), machine.connections + times) << machine.text();
    expect_healthy(machine);
    machine.counter->reset();
    machine.connections = machine.client->connections();
}

// ---- Flaps ----

/// Notes when the kernel gets a default route of IPv4.
class RouteWatch {
  public:
    explicit RouteWatch(const Box& box)
        : fd_(box.in([] {
              const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
              sockaddr_nl all{};
              all.nl_family = AF_NETLINK;
              all.nl_groups = RTMGRP_IPV4_ROUTE;
              if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&all), sizeof(all)) != 0) {
                  throw LabError("cannot watch routes");
              }
              return fd;
          }))
    {
        thread_ = std::thread([this] { watch(); });
    }

    RouteWatch(const RouteWatch&) = delete;
    RouteWatch& operator=(const RouteWatch&) = delete;

    ~RouteWatch()
    {
        stopping_ = true;
        thread_.join();
        close(fd_);
    }

    void forget()
    {
        const std::lock_guard lock(mutex_);
        first_.reset();
    }

    /// The first one in table main since the last forget().
    std::optional<std::chrono::steady_clock::time_point> first() const
    {
        const std::lock_guard lock(mutex_);
        return first_;
    }

  private:
    void watch()
    {
        while (!stopping_) {
            pollfd wait{fd_, POLLIN, 0};
            alignas(nlmsghdr) std::array<char, 16384> buffer;
            if (poll(&wait, 1, 50) != 1) {
                continue;
            }
            auto left = recv(fd_, buffer.data(), buffer.size(), 0);
            const auto now = std::chrono::steady_clock::now();
            for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
                 header = NLMSG_NEXT(header, left)) {
                const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(header));
                if (header->nlmsg_type == RTM_NEWROUTE && route->rtm_dst_len == 0 &&
                    route->rtm_table == RT_TABLE_MAIN && route->rtm_type == RTN_UNICAST) {
                    const std::lock_guard lock(mutex_);
                    first_ = first_.value_or(now);
                }
            }
        }
    }

    int fd_;
    std::atomic<bool> stopping_ = false;
    mutable std::mutex mutex_;
    std::optional<std::chrono::steady_clock::time_point> first_;
    std::thread thread_;
};

struct Figures {
    double median = 0;
    double least = 0;
    double most = 0;
};

Figures figures_of(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return {values.at(values.size() / 2), values.front(), values.back()};
}

/// Puts a shell script in the dispatcher's place that tells the recorder its process and then
/// becomes the dispatcher: the process that sends a signal can be told from others, and the time
/// from its start includes that the program is loaded.
void note_starts(const Box& box)
{
    const std::string real = std::string(dispatcher) + "-itself";
    box.must({"mv", dispatcher, real});
    box.write_file(dispatcher,
                   "#!/bin/sh\n" + Recorder::lines("start", "\"$2\"", "\"$$\"", {}) + "exec " +
                       real + " \"$@\"\n",
                   0755);
}

std::optional<double> ours(Machine& machine)
{
    auto hups = machine.counter->deliveries();
    std::erase_if(hups, [](const Delivery& delivery) { return delivery.signal != SIGHUP; });
    const Delivery& last = hups.back();
    for (const auto& start : machine.manager.recorder().events("start")) {
        if (start.interface == std::to_string(last.sender)) {
            return Milliseconds(last.time - start.time).count();
        }
    }
    return std::nullopt;
}

TEST(Flaps, TheTunnelIsBackAtOnceByOneSignal)
{
    Machine machine;
    note_starts(machine.box());
    run_first(machine.box(), "openvpn|NetworkManager|nm-dispatcher|dbus-daemon");
    run_first(machine.lab.internet(), "openvpn");
    RouteWatch routes(machine.box());
    const EchoFlow flow(machine.lab, addr::site4, 2ms);
    std::vector<double> back;
    std::vector<double> own;
    const std::size_t count = rounds(5);
    for (std::size_t i = 1; i <= count; ++i) {
        machine.cut();
        EXPECT_EQ(machine.counter->all(), i - 1) << machine.text();
        routes.forget();
        machine.lab.mend_wire();
        // The old session is dead from the signal on: an answer after the new one is made is of
        // the new one.
        ASSERT_TRUE(machine.client->wait_connected(i + 1)) << machine.text();
        ASSERT_TRUE(flow.wait_answers(1)) << machine.text();
        const auto now = std::chrono::steady_clock::now();
        ASSERT_TRUE(routes.first()) << machine.text();
        back.push_back(Milliseconds(now - *routes.first()).count());
        const auto share = ours(machine);
        ASSERT_TRUE(share) << machine.text();
        own.push_back(*share);
        // With everything that follows from it, before the next one.
        ASSERT_TRUE(machine.manager.wait_for_event_done("up", "eth0")) << machine.text();
        ASSERT_TRUE(machine.manager.wait_for_event_done("up", "tun0")) << machine.text();
        EXPECT_EQ(machine.counter->count(SIGHUP), i) << machine.text();
    }
    expect_signals(machine, count);

    const Figures whole = figures_of(back);
    const Figures share = figures_of(own);
    std::printf("NetworkManager, %zu flaps: underlay back to first packet through the tunnel "
                "%.0f ms (%.0f-%.0f), dispatcher's start to signal %.1f ms (%.1f-%.1f), "
                "one signal each, %llu leaked\n",
                back.size(), whole.median, whole.least, whole.most, share.median, share.least,
                share.most, static_cast<unsigned long long>(machine.leaked()));
    RecordProperty("underlay_back_to_first_packet_ms", std::to_string(whole.median));
    RecordProperty("dispatcher_to_signal_ms", std::to_string(share.median));
}

TEST(Flaps, LeakWithoutTheProduct)
{
    Machine machine({.with_product = false});
    machine.sniffer.settle();
    machine.sniffer.reset();
    machine.cut();
    machine.mend();
    machine.client->hup();
    ASSERT_TRUE(machine.client->wait_connected(2)) << machine.text();
    ASSERT_TRUE(machine.traffic->wait_all_sent(1));
    EXPECT_GT(machine.leaked(), 0U);
    EXPECT_THAT(machine.lab.dns().names_asked(), Not(IsEmpty()));
}

// ---- How many signals ----

TEST(Signals, OneForACableThatIsPulledAndPutBack)
{
    Machine machine;
    machine.cut();
    machine.mend();
    expect_signals(machine, 1);
}

TEST(Signals, AtMostOneForAnOutageThatHasEndedTheTunnel)
{
    Machine machine({.notices_outage = true});
    machine.cut();
    // OpenVPN takes its device away.
    ASSERT_TRUE(eventually([&] { return !machine.box().run({"ip", "link", "show", "tun0"}).ok(); }))
        << machine.text();
    EXPECT_EQ(machine.counter->all(), 0U) << "there is no program to reach";
    machine.mend();
    // Between two attempts it pauses and ignores signals; then it tries by itself.
    ASSERT_TRUE(machine.client->wait_connected(machine.connections + 1)) << machine.text();
    // Or it was told while its own attempt succeeded, and connects once more. Statistics come after
    // all that was sent before, but not beside a SIGHUP.
    machine.client->process().signal(SIGUSR2);
    ASSERT_TRUE(machine.client->process().wait_until([](const std::string& log) {
        const auto told = log.rfind("SIGHUP[hard,] received");
        const auto connected = log.rfind("Initialization Sequence Completed");
        return told == std::string::npos ? log.find("OpenVPN STATISTICS") != std::string::npos
                                         : connected > told;
    })) << machine.text();
    ASSERT_TRUE(machine.counter->wait_for(SIGUSR2)) << machine.text();
    EXPECT_LE(machine.counter->count(SIGHUP), 1U);
    EXPECT_EQ(machine.counter->all(), machine.counter->count(SIGHUP) + 1);
    machine.counter->reset();
    machine.connections = machine.client->connections();
    expect_signals(machine, 0);
}

TEST(Signals, NoneForACarrierThatIsBackBeforeNetworkManagerActs)
{
    // Its addresses and routes stay: the tunnel goes on as it was.
    Machine machine({.carrier_wait = 6s});
    machine.lab.cut_wire();
    machine.lab.mend_wire();
    expect_signals(machine, 0);
}

/// The default routes of IPv4.
std::string default_routes(const Machine& machine)
{
    return machine.box().must({"ip", "-4", "route", "show", "default"});
}

TEST(Signals, OneForANewLeaseWithAnotherGateway)
{
    Machine machine;
    machine.cut();
    machine.lab.dns().restart(dhcp_and_ra({.gateway = addr::other_gateway4}));
    machine.mend();
    EXPECT_THAT(default_routes(machine), HasSubstr(addr::other_gateway4));
    expect_signals(machine, 1);
}

TEST(Signals, OneForARenewedLeaseWithAnotherGateway)
{
    Machine machine({.dns = dhcp_and_ra({.t1 = 3})});
    machine.lab.dns().restart(dhcp_and_ra({.gateway = addr::other_gateway4, .t1 = 3}));
    // NetworkManager 1.42 changes the route without calling a script; later ones announce it. It
    // adds the new one behind the old one, which is in force until it is taken away.
    ASSERT_TRUE(eventually([&] {
        const std::string routes = default_routes(machine);
        return routes.starts_with(std::string("default via ") + addr::other_gateway4 + " ");
    })) << machine.text();
    machine.box().must(event("eth0", "dhcp4-change"));
    expect_signals(machine, 1);
}

TEST(Signals, NoneForARenewedLeaseThatIsTheSame)
{
    Machine machine({.dns = dhcp_and_ra({.t1 = 3})});
    ASSERT_TRUE(machine.lab.dns().wait_lease(2)) << machine.lab.dns().log();
    machine.box().must(event("eth0", "dhcp4-change"));
    expect_signals(machine, 0);
}

TEST(Signals, OneForEachWayBetweenTwoUplinks)
{
    // "Wi-Fi" at metric 600, then a cable at metric 100 beside it, then without it again.
    Machine machine({.profile = {.metric = 600}});
    const DnsServer second = machine.lab.second_dns();
    machine.lab.second_uplink_up();
    machine.box().sysctl("net.ipv6.conf.eth1.accept_dad", "0");
    machine.manager.connect_ethernet({.device = "eth1", .metric = 100});
    ASSERT_TRUE(machine.manager.wait_for_event_done("up", "eth1")) << machine.text();
    expect_signals(machine, 1);
    EXPECT_GT(machine.second_sniffer.counts().allowed, 0U);

    machine.cut("lan1");
    expect_signals(machine, 1);

    // And the other way round: the first one is left while the second one is in use.
    machine.mend("lan1");
    expect_signals(machine, 1);
    machine.cut("lan0");
    expect_signals(machine, 0);
    EXPECT_THAT(second.names_asked(), IsEmpty());
}

TEST(Signals, OneIfTheOtherFamilyFollowsDuringReconnection)
{
    Machine machine;
    // It reconnects for as long as this test takes to announce the other family.
    machine.lab.isp().nft(
        "table inet silence { chain forward { type filter hook forward priority 0;\n"
        "udp dport 1194 drop\n}\n}\n");
    machine.box().must({"ip", "route", "replace", "default", "via", addr::other_gateway4, "dev",
                        "eth0", "metric", "1"});
    machine.box().must(event("eth0", "dhcp4-change"));
    ASSERT_TRUE(machine.counter->wait_for(SIGHUP)) << machine.text();
    ASSERT_TRUE(
        eventually([&] { return !machine.box().run({"ip", "link", "show", "tun0"}).ok(); }));
    machine.box().must({"ip", "-6", "route", "add", "default", "via", addr::gateway_link, "dev",
                        "eth0", "metric", "1"});
    machine.box().must(event("eth0", "dhcp6-change"));
    EXPECT_EQ(machine.client->connections(), 1U);
    machine.lab.isp().nft("delete table inet silence\n");
    expect_signals(machine, 1);
}

/// What the kernel has told of addresses and default routes of IPv4 that went.
std::vector<std::string> lost(const Process& monitor)
{
    auto lines = lines_with(monitor.out(), "Deleted ");
    std::erase_if(lines, [](const std::string& line) {
        return line.find("inet ") == std::string::npos && line.find("default") == std::string::npos;
    });
    return lines;
}

TEST(Signals, NoneForAReapplyBecauseAddressesAndRoutesStay)
{
    Machine machine;
    const Process monitor = machine.box().start({"ip", "-4", "monitor", "address", "route"});
    for (std::size_t times = 1; times <= 3; ++times) {
        machine.manager.nmcli({"device", "reapply", "eth0"});
        ASSERT_TRUE(machine.manager.wait_for_event_done("reapply", "eth0", times))
            << machine.text();
    }
    // It takes away OpenVPN's own route to its server, which shows that the kernel is watched.
    EXPECT_TRUE(monitor.wait_for("Deleted 203.0.113.2 ")) << monitor.out();
    expect_signals(machine, 0);
    EXPECT_THAT(lost(monitor), IsEmpty());
}

TEST(Signals, NoneForARestartOfNetworkManagerBecauseAddressesAndRoutesStay)
{
    Machine machine;
    const Process monitor = machine.box().start({"ip", "-4", "monitor", "address", "route"});
    machine.manager.recorder().forget();
    machine.manager.restart();
    ASSERT_TRUE(machine.manager.wait_for_event_done("up", "eth0")) << machine.text();
    expect_signals(machine, 0);
    machine.manager.kill();
    machine.manager.start();
    ASSERT_TRUE(machine.manager.wait_for_event_done("up", "eth0", 2)) << machine.text();
    expect_signals(machine, 0);
    EXPECT_THAT(lost(monitor), IsEmpty());
}

/// Holds back those who wait for a shared lock of the file, until it is let go.
class Gate {
  public:
    explicit Gate(const Box& box)
        : file_(box.in([] {
              UniqueFd file(open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
              if (!file.valid() || flock(file.get(), LOCK_EX) != 0) {
                  throw LabError("no gate");
              }
              return file;
          }))
    {
    }

    void open_up() const { flock(file_.get(), LOCK_UN); }

    /// The command, run when the gate is open.
    static Command behind(Command command)
    {
        command.argv.insert(command.argv.begin(), {"flock", "--shared", path});
        return command;
    }

  private:
    static constexpr char path[] = "/run/lab-gate";
    UniqueFd file_;
};

TEST(Signals, OneForAHundredEventsInASecond)
{
    Machine machine;
    machine.silence();
    // Before NetworkManager's own route, which it puts back if it is taken away.
    machine.box().must({"ip", "route", "add", "default", "via", addr::other_gateway4, "dev", "eth0",
                        "metric", "50"});
    const Gate gate(machine.box());
    std::vector<Process> runs;
    for (int i = 0; i < 20; ++i) {
        for (const char* action : {"pre-up", "up", "dhcp4-change", "dhcp6-change", "reapply"}) {
            runs.push_back(machine.box().start(Gate::behind(event("eth0", action))));
        }
    }
    EXPECT_EQ(machine.counter->all(), 0U);
    gate.open_up();
    for (const auto& run : runs) {
        EXPECT_EQ(run.wait(), 0) << run.output();
    }
    expect_signals(machine, 1);
}

TEST(Signals, NoneForConnectivityAlone)
{
    Machine machine;
    for (const char* state : {"LIMITED", "PORTAL", "FULL"}) {
        machine.box().must(event("", "connectivity-change")
                               .with_env({std::string("CONNECTIVITY_STATE=") + state}));
    }
    expect_signals(machine, 0);
}

TEST(Signals, NoneForTheTunnelsOwnDevice)
{
    Machine machine;
    for (int i = 0; i < 10; ++i) {
        for (const char* action : {"pre-up", "up", "reapply"}) {
            machine.box().must(event("tun0", action).with_env({"CONNECTION_EXTERNAL=1"}));
        }
    }
    expect_signals(machine, 0);
    machine.client->hup();
    ASSERT_TRUE(machine.client->wait_connected(2)) << machine.text();
    ASSERT_TRUE(machine.manager.wait_for_event_done("up", "tun0", 2)) << machine.text();
    // The test's own.
    expect_signals(machine, 1);
}

// ---- Roaming ----

/// Another network on the same wire, and the first one again; names are asked for all the time.
void roam_there_and_back(Machine& machine, const std::function<void()>& after_each)
{
    const Process asking = machine.box().start(
        {"sh", "-c", "while :; do timeout 0.5 getent ahosts www.example.org; sleep 0.02; done"});
    for (const auto& network :
         {dhcp_and_ra({.network = "192.168.70"}, {.prefix = "2001:db8:70::"}), dhcp_and_ra()}) {
        machine.cut();
        machine.lab.dns().restart(network);
        machine.mend();
        after_each();
    }
}

TEST(Roaming, ContinuesADownloadAndQueriesOnlyInside)
{
    Machine machine;
    const EchoFlow download(machine.lab, addr::site4);
    std::size_t moves = 0;
    std::set<std::string> gateways;
    roam_there_and_back(machine, [&] {
        ++moves;
        ASSERT_TRUE(machine.counter->wait_for(SIGHUP, moves)) << machine.text();
        ASSERT_TRUE(machine.client->wait_connected(moves + 1)) << machine.text();
        EXPECT_TRUE(download.wait_answers(100)) << machine.text();
        gateways.insert(machine.box().must({"ip", "-4", "route", "show", "default"}));
        machine.server.dns().forget_queries();
        EXPECT_TRUE(eventually([&] {
            return machine.server.dns().names_asked().contains("www.example.org");
        })) << machine.text();
    });
    EXPECT_EQ(gateways.size(), 2U);
    expect_signals(machine, 2);
    EXPECT_THAT(machine.lab.dns().names_asked(), IsEmpty());
}

TEST(Roaming, LeaksWithoutTheProduct)
{
    Machine machine({.with_product = false});
    machine.sniffer.settle();
    machine.sniffer.reset();
    machine.lab.dns().forget_queries();
    roam_there_and_back(machine, [&] {
        ASSERT_TRUE(machine.traffic->wait_all_sent(2));
        EXPECT_TRUE(eventually(
            [&] { return machine.lab.dns().names_asked().contains("www.example.org"); }));
    });
    EXPECT_GT(machine.leaked(), 0U);
}

// ---- IPv6 ----

std::string addresses6(const Machine& machine)
{
    return machine.box().must({"ip", "-6", "addr", "show", "dev", "eth0", "scope", "global"});
}

bool wait_address6(const Machine& machine, const std::string& prefix)
{
    return eventually([&] { return addresses6(machine).find(prefix) != std::string::npos; }, 20s);
}

TEST(Ipv6, ALateRouterAdvertisementChangesNothing)
{
    Machine machine({.dns = dhcp_arguments()});
    EXPECT_THAT(addresses6(machine), IsEmpty());
    // Advertisements, addresses made from the prefix.
    const auto add = [&](const std::vector<std::string>& more) {
        auto all = dhcp_arguments();
        all.insert(all.end(), more.begin(), more.end());
        machine.lab.dns().restart(all);
    };
    add(ra_arguments({.dhcp6 = false, .slaac = true}));
    ASSERT_TRUE(wait_address6(machine, "2001:db8:50:")) << machine.text();
    expect_signals(machine, 0);
    // Another prefix, and a lease in it.
    machine.manager.recorder().forget();
    add(ra_arguments({.prefix = "2001:db8:70::", .slaac = true}));
    ASSERT_TRUE(wait_address6(machine, "2001:db8:70:")) << machine.text();
    ASSERT_TRUE(machine.manager.wait_for_event("dhcp6-change", "eth0")) << machine.text();
    expect_signals(machine, 0);
}

TEST(Ipv6, LeaksWithoutTheProduct)
{
    VpnServer::Options server;
    server.inside6 = false; // as with most VPNs
    Machine machine({.dns = dhcp_arguments(), .server = server, .with_product = false});
    machine.sniffer.settle();
    machine.sniffer.reset();
    machine.lab.dns().restart(dhcp_and_ra({}, {.slaac = true}));
    ASSERT_TRUE(wait_address6(machine, "2001:db8:50:")) << machine.text();
    ASSERT_TRUE(machine.traffic->wait_all_sent(3));
    EXPECT_GT(machine.leaked(), 0U);
}

TEST(Ipv6, ATunnelOverItReconnectsWhenThePrefixChanges)
{
    VpnServer::Options server;
    server.address = addr::server6;
    Machine machine({.server = server,
                     .client = client_to({std::string(addr::server6) + " 1194"}, "udp6"),
                     .need_address6 = true});
    machine.cut();
    machine.lab.dns().restart(dhcp_and_ra({}, {.prefix = "2001:db8:70::"}));
    machine.mend();
    ASSERT_TRUE(wait_address6(machine, "2001:db8:70:")) << machine.text();
    expect_signals(machine, 1);
    EXPECT_THAT(addresses6(machine), Not(HasSubstr("2001:db8:50:")));
}

// ---- Which signal ----

TEST(Which, AProgramWithoutPrivilegesGetsUsr1AndContinues)
{
    VpnClient::Options client;
    client.user = "nobody";
    client.extra = {"persist-key", "persist-tun"};
    Machine machine({.client = client});
    machine.cut();
    machine.mend();
    ASSERT_TRUE(machine.client->wait_connected(2)) << machine.text();
    expect_signals(machine, 1, SIGUSR1);
    EXPECT_TRUE(machine.client->process().running());
    EXPECT_EQ(machine.client->signals().soft, 0U);
}

class WhichSignal : public ::testing::TestWithParam<std::pair<std::string, int>> {};

TEST_P(WhichSignal, IsAsConfigured)
{
    const auto& [name, signal] = GetParam();
    Machine machine({.config = "reconnect-signal=" + name});
    machine.cut();
    machine.mend();
    expect_signals(machine, signal == 0 ? 0 : 1, signal);
}

INSTANTIATE_TEST_SUITE_P(Configured, WhichSignal,
                         ::testing::Values(std::pair{"none", 0}, std::pair{"HUP", SIGHUP},
                                           std::pair{"USR1", SIGUSR1}),
                         [](const auto& row) { return row.param.first; });

// ---- The dispatcher ----

TEST(Dispatcher, IsRunAsInstalledAndReportsOnlyWhichProgramItHasTold)
{
    Machine machine;
    machine.cut();
    machine.mend();
    expect_signals(machine, 1);
    const auto count = [&](const std::string& text) { return machine.bus.process().count(text); };
    for (const char* folder : {"", "pre-up.d/"}) {
        EXPECT_GT(count("/etc/NetworkManager/dispatcher.d/" + std::string(folder) +
                        "90-failclosed\": run script"),
                  0U)
            << machine.bus.log();
    }
    // A status other than 0 would stand on the line, which NetworkManager 1.52 ends otherwise.
    EXPECT_TRUE(eventually([&] {
        return count("90-failclosed\": complete\n") +
                   count("90-failclosed\": complete: process succeeded\n") ==
               count("90-failclosed\": run script");
    })) << machine.bus.log();
    const auto said = lines_with(machine.bus.log(), "failclosed: ");
    ASSERT_EQ(said.size(), 1U) << machine.bus.log();
    EXPECT_THAT(said.front(),
                MatchesRegex("failclosed: the underlying network has changed: .*process " +
                             std::to_string(machine.client->process().inner_pid()) +
                             " .*reconnect.*SIGHUP.*"));
    EXPECT_THAT(lines_with(machine.bus.log(), "WARNING"), IsEmpty());
    EXPECT_THAT(lines_with(machine.manager.log(), "dispatcher: ("), IsEmpty());

    // What the last two would have shown.
    machine.box().must({"chown", "4242", dispatcher});
    machine.manager.nmcli({"device", "reapply", "eth0"});
    EXPECT_TRUE(machine.bus.process().wait_for("find-scripts")) << machine.bus.log();
    machine.box().must({"chown", "0", dispatcher});
    machine.box().write_file("/etc/failclosed/conf.d/test.conf", "nonsense\n");
    machine.manager.nmcli({"device", "reapply", "eth0"});
    EXPECT_TRUE(machine.manager.process().wait_for("dispatcher: (")) << machine.manager.log();
}

} // namespace

} // namespace failclosed::lab
