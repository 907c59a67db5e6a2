// SPDX-License-Identifier: GPL-3.0-or-later
// Times the hooks as whole processes, against `true` and against one process per rule.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/lab/lab.hpp"
#include "tests/support/refused_services.hpp"

namespace failclosed::lab {
namespace {

constexpr const char* kHook = "/etc/openvpn/failclosed";
constexpr const char* kDispatcher = "/usr/lib/failclosed/nm-dispatcher";
constexpr const char* kProgram = "/usr/sbin/failclosed";
constexpr const char* kTunnel = "tun0";
constexpr const char* kUnderlay = "under0";

/// What --check demands.
constexpr double kMostTimesTrue = 10;
constexpr double kMostMegabytes = 12;
constexpr double kMostIgnoring = 5;      // ms, of an event that is not ours
constexpr double kMostReconnecting = 20; // ms, from the dispatcher's start to its end

/// One column of the table.
struct Load {
    unsigned remotes;
    /// Each times the baseline once, and everything else kQuickRuns times.
    unsigned rounds;
    /// How many times faster than one process per rule `up` must be.
    double least_gain;
};

constexpr Load kLoads[] = {{1, 7, 20}, {64, 7, 90}};
constexpr unsigned kQuickRuns = 7;
/// How often what --check demands is measured before it counts as broken.
constexpr unsigned kAttempts = 3;

using Milliseconds = std::chrono::duration<double, std::milli>;

[[noreturn]] void die(const std::string& message)
{
    std::fprintf(stderr, "bench: %s\n", message.c_str());
    std::fflush(stdout);
    _exit(1);
}

/// Times of one kind of run, and the most memory that any of them held.
class Series {
  public:
    void add(double time, long kilobytes)
    {
        times_.push_back(time);
        kilobytes_ = std::max(kilobytes_, kilobytes);
    }

    double median() const
    {
        std::vector<double> sorted = times_;
        std::ranges::sort(sorted);
        return sorted.at(sorted.size() / 2);
    }

    double megabytes() const { return static_cast<double>(kilobytes_) / 1024; }

  private:
    std::vector<double> times_;
    long kilobytes_ = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings)
{
    std::vector<char*> list;
    for (const std::string& string : strings) {
        list.push_back(const_cast<char*>(string.c_str()));
    }
    list.push_back(nullptr);
    return list;
}

/// Waits until the kernel has tidied up after earlier changes to its firewall: the next run shall
/// not pay for the one before. Closing a bound nfnetlink socket does that
/// (net/netfilter/nf_tables_api.c, nft_rcv_nl_event).
void settle()
{
    const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    sockaddr_nl any{};
    any.nl_family = AF_NETLINK;
    if (socket < 0 || bind(socket, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0) {
        die("no nfnetlink socket");
    }
    close(socket);
}

/// Runs a program to its end, which must be a success. The peak memory that the kernel tells is
/// never less than that of this process itself, whose memory the child shares until it executes.
void measure(Series& series, const std::vector<std::string>& argv,
             const std::vector<std::string>& environment,
             const posix_spawn_file_actions_t* actions = nullptr)
{
    const std::vector<char*> arguments = pointers(argv);
    const std::vector<char*> variables = pointers(environment);
    settle();
    const auto start = std::chrono::steady_clock::now();
    pid_t pid = 0;
    if (posix_spawn(&pid, argv[0].c_str(), actions, nullptr, arguments.data(), variables.data()) !=
        0) {
        die("cannot start " + argv[0]);
    }
    int status = 0;
    rusage usage{};
    if (wait4(pid, &status, 0, &usage) != pid || status != 0) {
        die(argv[0] + " " + argv.back() + " failed");
    }
    const Milliseconds time = std::chrono::steady_clock::now() - start;
    series.add(time.count(), usage.ru_maxrss);
}

/// Set-up that is not timed.
void run(const std::vector<std::string>& argv)
{
    Series unused;
    measure(unused, argv, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"});
}

std::string remote_address(unsigned number)
{
    return "203.0.113." + std::to_string(number);
}

/// What OpenVPN 2.6 passes to `up`, a subnet-topology server with resolvers and both families.
std::vector<std::string> hook_environment(const std::string& script, unsigned remotes)
{
    std::vector<std::string> environment = {
        "script_type=" + script,
        "script_context=init",
        "dev=tun0",
        "dev_type=tun",
        "tun_mtu=1500",
        "ifconfig_local=10.8.0.2",
        "ifconfig_netmask=255.255.255.0",
        "ifconfig_ipv6_local=fd00:8::2",
        "ifconfig_ipv6_netbits=64",
        "ifconfig_ipv6_remote=fd00:8::1",
        "route_vpn_gateway=10.8.0.1",
        "route_net_gateway=192.168.50.1",
        "route_network_1=10.20.0.0",
        "route_netmask_1=255.255.0.0",
        "route_gateway_1=10.8.0.1",
        "route_ipv6_network_1=fd00:20::/64",
        "route_ipv6_gateway_1=fd00:8::1",
        "foreign_option_1=dhcp-option DNS 10.8.0.1",
        "foreign_option_2=dhcp-option DNS6 fd00:8::1",
        "foreign_option_3=dhcp-option DOMAIN corp.example",
        "trusted_ip=203.0.113.1",
        "trusted_port=1194",
        "common_name=server",
        "config=/etc/openvpn/client.conf",
        "daemon=0",
        "daemon_pid=" + std::to_string(getpid()),
        "verb=3",
    };
    for (unsigned i = 1; i <= remotes; i++) {
        const std::string number = std::to_string(i);
        environment.push_back("remote_" + number + "=" + remote_address(i));
        environment.push_back("remote_port_" + number + "=1194");
        environment.push_back("proto_" + number + "=udp");
    }
    return environment;
}

void make_tunnel()
{
    run({"/sbin/ip", "tuntap", "add", "dev", kTunnel, "mode", "tun"});
    run({"/sbin/ip", "addr", "add", "10.8.0.2/24", "dev", kTunnel});
    run({"/sbin/ip", "addr", "add", "fd00:8::2/64", "dev", kTunnel, "nodad"});
    run({"/sbin/ip", "link", "set", kTunnel, "up"});
}

/// A second network, so that neither protection is in the way of the other.
class BaselineNetwork {
  public:
    explicit BaselineNetwork(std::string script) : script_(std::move(script))
    {
        if (home_ < 0 || unshare(CLONE_NEWNET) != 0) {
            die("no network namespace for the baseline");
        }
        away_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        run({"/sbin/ip", "link", "set", "lo", "up"});
        make_tunnel();
        run({"/sbin/ip", "link", "add", kUnderlay, "type", "veth", "peer", "name", "far0"});
        run({"/sbin/ip", "link", "set", kUnderlay, "up"});
        run({"/sbin/ip", "addr", "add", "192.168.50.10/24", "dev", kUnderlay});
        go(home_);
    }

    BaselineNetwork(const BaselineNetwork&) = delete;
    BaselineNetwork& operator=(const BaselineNetwork&) = delete;

    ~BaselineNetwork()
    {
        close(home_);
        close(away_);
    }

    void measure_up(Series& series, unsigned remotes) const
    {
        std::vector<std::string> argv = {"/bin/sh",   script_,
                                         "up",        kTunnel,
                                         "10.8.0.2",  "10.8.0.0/24 10.20.0.0/16",
                                         "fd00:8::2", "fd00:8::/64 fd00:20::/64",
                                         kUnderlay,   "192.168.50.1",
                                         "1194"};
        for (unsigned i = 1; i <= remotes; i++) {
            argv.push_back(remote_address(i));
        }
        go(away_);
        measure(series, argv, refused_ports());
        run({"/bin/sh", script_, "clear"});
        go(home_);
    }

  private:
    /// As the script takes them.
    static std::vector<std::string> refused_ports()
    {
        std::map<std::string, std::string> lists;
        for (const oracle::RefusedPort& refused : oracle::refused_ports) {
            std::string& list = lists[std::string(refused.by_lock_2 ? "DNS" : "NAMES") +
                                      (refused.protocol == IPPROTO_UDP ? "_UDP" : "_TCP")];
            list += (list.empty() ? "" : ",") + std::to_string(refused.port);
        }
        std::vector<std::string> environment;
        for (const auto& [name, list] : lists) {
            environment.push_back(name + "=" + list);
        }
        return environment;
    }

    static void go(int network)
    {
        if (setns(network, CLONE_NEWNET) != 0) {
            die("cannot change the network namespace");
        }
    }

    std::string script_;
    int home_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int away_ = -1;
};

/// All that is measured at one number of remotes.
struct Results {
    Series start;    ///< /bin/true
    Series up;       ///< a tunnel appears on a locked machine
    Series again;    ///< the same once more: nothing to change
    Series down;     ///< it goes away
    Series baseline; ///< one process per rule
};

Results measure_load(const Load& load, const BaselineNetwork& network)
{
    const std::vector<std::string> up = {kHook,      kTunnel,         "1500", "0",
                                         "10.8.0.2", "255.255.255.0", "init"};
    const std::vector<std::string> up_environment = hook_environment("up", load.remotes);
    const std::vector<std::string> down_environment = hook_environment("down", load.remotes);
    run({kProgram, "unlock"});
    run({"/bin/rm", "-rf", "/var/lib/failclosed", "/run/failclosed"});
    Series warm_up; // the first one also locks the machine
    measure(warm_up, up, up_environment);
    measure(warm_up, up, down_environment);
    Results results;
    for (unsigned round = 0; round < load.rounds; round++) {
        for (unsigned i = 0; i < kQuickRuns; i++) {
            measure(results.start, {"/bin/true"}, up_environment);
            measure(results.up, up, up_environment);
            measure(results.again, up, up_environment);
            measure(results.down, up, down_environment);
        }
        network.measure_up(results.baseline, load.remotes);
    }
    return results;
}

void print_row(const char* name, const Series& series, const Results& results)
{
    std::printf("  %-22s %9.2f ms %7.1f x true %7.1f x faster than baseline %6.1f MB\n", name,
                series.median(), series.median() / results.start.median(),
                results.baseline.median() / series.median(), series.megabytes());
}

void print(const Load& load, const Results& results)
{
    std::printf("%u remote%s, medians of %u runs, of the baseline %u:\n", load.remotes,
                load.remotes == 1 ? "" : "s", load.rounds * kQuickRuns, load.rounds);
    print_row("true", results.start, results);
    print_row("up", results.up, results);
    print_row("up, nothing to change", results.again, results);
    print_row("down", results.down, results);
    print_row("one process per rule", results.baseline, results);
}

bool demand(bool holds, const std::string& what)
{
    std::printf("  %s %s\n", holds ? "ok    " : "BROKEN", what.c_str());
    return holds;
}

bool check(const Load& load, const Results& results)
{
    char text[80];
    std::snprintf(text, sizeof(text), "up takes at most %.0f times as long as true",
                  kMostTimesTrue);
    bool good = demand(results.up.median() <= kMostTimesTrue * results.start.median(), text);
    std::snprintf(text, sizeof(text), "up is at least %.0f times faster than the baseline",
                  load.least_gain);
    good &= demand(results.up.median() * load.least_gain <= results.baseline.median(), text);
    std::snprintf(text, sizeof(text), "no run holds %.0f MB", kMostMegabytes);
    const double most =
        std::max({results.up.megabytes(), results.again.megabytes(), results.down.megabytes()});
    good &= demand(most < kMostMegabytes, text);
    return good;
}

/// What the dispatcher's events take.
struct DispatcherResults {
    Series start;     ///< /bin/true
    Series ignored;   ///< an event that is not ours
    Series unarmed;   ///< a machine that was never locked
    Series same;      ///< locked, and nothing has changed
    Series reconnect; ///< the network is back, and the tunnel program is told
};

volatile std::sig_atomic_t told = 0;

DispatcherResults measure_dispatcher()
{
    const auto event = [](const char* device, const char* action) {
        return std::vector<std::string>{kDispatcher, device, action};
    };
    const std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                                  "DEVICE_IFACE=eth0", "DEVICE_IP_IFACE=eth0",
                                                  "DHCP4_DHCP_SERVER_IDENTIFIER=192.168.50.1"};
    const std::vector<std::string> route = {"/sbin/ip", "route",        "replace", "default",
                                            "via",      addr::gateway4, "dev",     "eth0"};
    run({kProgram, "unlock"});
    run({"/bin/rm", "-rf", "/var/lib/failclosed", "/run/failclosed"});
    DispatcherResults results;
    for (unsigned i = 0; i < kLoads[0].rounds * kQuickRuns; i++) {
        measure(results.start, {"/bin/true"}, environment);
        measure(results.ignored, event("none", "hostname"), environment);
        measure(results.unarmed, event("eth0", "up"), environment);
    }
    // This process is the tunnel program.
    struct sigaction count{};
    count.sa_handler = [](int) { told = told + 1; };
    count.sa_flags = SA_RESTART;
    sigaction(SIGHUP, &count, nullptr);
    Series unused;
    measure(unused, {kHook, kTunnel, "1500", "0", "10.8.0.2", "255.255.255.0", "init"},
            hook_environment("up", 1));
    measure(unused, event("eth0", "up"), environment);
    told = 0;
    // It prints each time which programs it told.
    posix_spawn_file_actions_t silent;
    posix_spawn_file_actions_init(&silent);
    posix_spawn_file_actions_addopen(&silent, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const unsigned rounds = kLoads[0].rounds * kQuickRuns;
    for (unsigned i = 0; i < rounds; i++) {
        measure(results.same, event("eth0", "up"), environment);
        run({"/sbin/ip", "-4", "route", "flush", "default"});
        measure(unused, event("eth0", "down"), environment);
        run(route);
        measure(results.reconnect, event("eth0", "up"), environment, &silent);
    }
    posix_spawn_file_actions_destroy(&silent);
    if (static_cast<unsigned>(told) != rounds) {
        die("the network was back " + std::to_string(rounds) + " times, and was told " +
            std::to_string(told) + " times");
    }
    return results;
}

void print_event(const char* name, const Series& series, const DispatcherResults& results)
{
    std::printf("  %-22s %9.2f ms %7.1f x true %40.1f MB\n", name, series.median(),
                series.median() / results.start.median(), series.megabytes());
}

bool check_dispatcher(const DispatcherResults& results)
{
    char text[80];
    std::snprintf(text, sizeof(text), "what is not ours is over in %.0f ms", kMostIgnoring);
    bool good =
        demand(std::max(results.ignored.median(), results.unarmed.median()) <= kMostIgnoring, text);
    std::snprintf(text, sizeof(text), "a network that is back is told within %.0f ms",
                  kMostReconnecting);
    good &= demand(results.reconnect.median() <= kMostReconnecting, text);
    return good;
}

bool measure_events(bool checking)
{
    for (unsigned attempt = 1; attempt <= kAttempts; attempt++) {
        const DispatcherResults results = measure_dispatcher();
        std::printf("NetworkManager's dispatcher, medians of %u runs:\n",
                    kLoads[0].rounds * kQuickRuns);
        print_event("true", results.start, results);
        print_event("an event not ours", results.ignored, results);
        print_event("never locked", results.unarmed, results);
        print_event("nothing has changed", results.same, results);
        print_event("the network is back", results.reconnect, results);
        if (!checking || check_dispatcher(results)) {
            return true;
        }
    }
    return false;
}

/// A machine that is busy with something else for a while is no reason to fail.
bool measure_one(const Load& load, const BaselineNetwork& network, bool checking)
{
    for (unsigned attempt = 1; attempt <= kAttempts; attempt++) {
        const Results results = measure_load(load, network);
        print(load, results);
        if (!checking || check(load, results)) {
            return true;
        }
    }
    return false;
}

bool measure_all(const std::string& script, bool checking)
{
    // Before all else that this machine does, which is not what is measured; programs that are
    // started inherit it. A container may not be allowed to: then times are as they are.
    const sched_param first{.sched_priority = 1};
    static_cast<void>(sched_setscheduler(0, SCHED_RR, &first));
    make_tunnel();
    const BaselineNetwork network(script);
    bool good = true;
    for (const Load& load : kLoads) {
        good &= measure_one(load, network, checking);
    }
    return measure_events(checking) && good;
}

/// Inside the client's namespaces, and in a process of its own: a hook finds its parent there.
int measure_in_lab(const std::string& script, bool checking)
{
    Lab::Options options;
    options.install_root = Lab::install_root();
    const Lab lab(options);
    // The box's /tmp is its own; its /usr is the host's below an overlay.
    const std::string inside = "/usr/lib/baseline_iptables.sh";
    lab.client().write_file(inside, script, 0755);
    const pid_t pid = lab.client().spawn([&] {
        const bool good = measure_all(inside, checking);
        std::fflush(stdout);
        _exit(good ? 0 : 1);
    });
    int status = 0;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

std::optional<std::string> read_text(const char* path)
{
    std::FILE* file = std::fopen(path, "re");
    if (file == nullptr) {
        return std::nullopt;
    }
    std::string text(64 << 10, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

} // namespace
} // namespace failclosed::lab

int main(int argc, char** argv)
{
    const bool checking = argc == 2 && std::string_view(argv[1]) == "--check";
    if (argc > 1 && !checking) {
        std::fprintf(stderr, "usage: bench [--check]\n");
        return 64;
    }
    const auto script = failclosed::lab::read_text(BASELINE_SCRIPT);
    if (!script) {
        std::fprintf(stderr, "bench: cannot read %s\n", BASELINE_SCRIPT);
        return 1;
    }
    try {
        return failclosed::lab::measure_in_lab(*script, checking);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench: %s\n", error.what());
        return 1;
    }
}
