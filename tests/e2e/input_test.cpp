// SPDX-License-Identifier: GPL-3.0-or-later
// Bad input at every entry point, many at once, and killed in between: closed, and nothing by half.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char canary[] = "/run/canary";
const std::string command = "$(touch /run/canary)";
const std::string huge(100'000, 'A');

constexpr char resolv_conf_of_tunnel[] =
    "# failclosed\n# Made while a tunnel is up; changes are lost. See failclosed(8).\n"
    "nameserver 10.8.0.1\n";

std::vector<std::string> entries(const Variables& variables)
{
    std::vector<std::string> result;
    for (const auto& [name, value] : variables) {
        result.push_back(name + "=" + value);
    }
    return result;
}

std::size_t lines(const std::string& text)
{
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

/// One client for all cases: closed, with a tunnel up, under traffic, and watched.
class Input : public ::testing::Test {
  protected:
    Input() : lab_(with_product())
    {
        client().must({"ip", "tuntap", "add", "dev", "tun0", "mode", "tun"});
        client().ip("addr add 10.8.0.2/24 dev tun0\nlink set tun0 up\n");
        const Outcome up = hook(openvpn_up("tun0"));
        EXPECT_EQ(up.status, 0) << up.err;
        EXPECT_EQ(up.err, "");
        good_ = protection(client());
        sniffer_.emplace(lab_);
        traffic_.emplace(lab_, Traffic::Options{.kinds = all_kinds(), .interval = 20ms});
    }

    const Box& client() const { return lab_.client(); }

    Outcome hook(const Variables& variables, std::vector<std::string> arguments = {}) const
    {
        arguments.insert(arguments.begin(), hook_path);
        Command run(arguments);
        run.env = entries(variables);
        return client().run(run);
    }

    /// Still closed, and no text was executed.
    void expect_intact(const std::string& what) const
    {
        EXPECT_FALSE(client().exists(canary)) << what;
        EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_of_tunnel) << what;
        EXPECT_EQ(failclosed(client(), {"check"}).status, 0) << what;
    }

    void expect_nothing_leaked()
    {
        ASSERT_TRUE(traffic_->wait_all_sent(3));
        sniffer_->settle();
        EXPECT_EQ(sniffer_->leaked(), 0U) << sniffer_->counts().text();
    }

    Lab lab_;
    std::string good_;
    std::optional<Sniffer> sniffer_;
    std::optional<Traffic> traffic_;
};

// ---- OpenVPN's hook ----

struct HookCase {
    std::string name;
    std::string value;
    int status; ///< 1: nothing was changed; 0: all but this value counts
    bool says = true;
};

TEST_F(Input, OfTheHookReportsABadValueInOneLine)
{
    const std::vector<std::string> bad = {"",         huge,       command, "../../etc/passwd",
                                          "a\nb",     "\x1b[2J",  " ",     "%s%n",
                                          "70000000", "fd00::g/1"};
    std::vector<HookCase> cases;
    for (const auto& value : bad) {
        cases.push_back({"dev", value, 1}); // no name, or no such device
        cases.push_back({"remote_1", value, 0});
        cases.push_back({"remote_port_1", value, 0});
        cases.push_back({"trusted_ip", value, 0, !value.empty()});
        cases.push_back({"trusted_port", value, 0});
        cases.push_back({"ifconfig_netmask", value, value.empty() ? 0 : 1, !value.empty()});
        cases.push_back({"ifconfig_local", value, 1});
        cases.push_back({"proto_1", value, 0, !value.empty()});
        cases.push_back({"foreign_option_2", "dhcp-option DNS " + value, 0});
        cases.push_back({"foreign_option_2", "dhcp-option DOMAIN " + value, 0});
        cases.push_back({"route_network_1", value, 0, true});
        cases.push_back({"route_ipv6_network_1", value, 0, true});
        cases.push_back({"ifconfig_ipv6_local", value, value.empty() ? 0 : 1, !value.empty()});
        cases.push_back({"daemon_pid", value, 0, false});
    }
    for (const char* port : {"0", "65536", "70000", "-1", "1194x", "0x10"}) {
        cases.push_back({"remote_port_1", port, 0});
        cases.push_back({"trusted_port", port, 0});
    }
    cases.push_back({"ifconfig_local", "fd00:8::2", 1});
    cases.push_back({"ifconfig_local", "127.0.0.1", 1});
    cases.push_back({"ifconfig_netmask", "255.0.255.0", 1});
    cases.push_back({"ifconfig_netmask", "ffff::", 1});
    cases.push_back({"foreign_option_2", "dhcp-option DNS6 10.8.0.9", 0});
    cases.push_back({"foreign_option_2", "dhcp-option DNS 10.8.0.9\nnameserver 192.168.50.1", 0});
    cases.push_back(
        {"foreign_option_2", "dhcp-option DOMAIN a.example\nnameserver 192.168.50.1", 0});
    cases.push_back({"route_network_1", "fd00:99::", 0});
    cases.push_back({"route_ipv6_network_1", "10.0.0.0/8", 0});
    for (const auto& [name, value, status, says] : cases) {
        Variables environment = openvpn_up("tun0");
        environment[name] = value;
        if (name == "dev" && value.empty()) {
            environment.erase(name);
        }
        const std::string what = name + "=" + value.substr(0, 60);
        const Outcome outcome = hook(environment);
        EXPECT_EQ(outcome.status, status) << what << "\n" << outcome.err;
        EXPECT_EQ(lines(outcome.err), says ? 1U : 0U) << what << "\n" << outcome.err;
        EXPECT_LT(outcome.err.size(), 1000U) << what;
        if (status != 0) {
            EXPECT_EQ(protection(client()), good_) << what;
        } else {
            EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
        }
        EXPECT_FALSE(client().exists(canary)) << what;
        EXPECT_EQ(client().read_file("/etc/resolv.conf"), resolv_conf_of_tunnel) << what;
    }
    expect_nothing_leaked();
    EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
    expect_intact("at the end");
}

TEST_F(Input, OfTheHookIsRefusedIfMissingOrTooLong)
{
    const Outcome nothing = hook({});
    EXPECT_EQ(nothing.status, 64);
    EXPECT_EQ(lines(nothing.err), 1U) << nothing.err;
    EXPECT_EQ(hook({{"script_type", "up"}}).status, 1);
    EXPECT_EQ(hook({{"script_type", "down"}}).status, 0) << "`down` must not end OpenVPN";
    EXPECT_EQ(hook({{"script_type", "tls-verify"}}).err, "");
    EXPECT_EQ(protection(client()), good_);

    Variables many = openvpn_up("tun0");
    for (int i = 1; i <= 1000; ++i) {
        const std::string n = std::to_string(i);
        many["remote_" + n] =
            "203.0." + std::to_string(113 + i / 250) + "." + std::to_string(i % 250 + 1);
        many["remote_port_" + n] = "1194";
        many["proto_" + n] = "udp";
    }
    for (int i = 1; i <= 2000; ++i) {
        const std::string n = std::to_string(i);
        many["route_network_" + n] =
            "100." + std::to_string(64 + i / 250) + "." + std::to_string(i % 250) + ".0";
        many["route_netmask_" + n] = "255.255.255.0";
        many["route_gateway_" + n] = "10.8.0.1";
    }
    Outcome outcome = hook(many);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(endpoints(client()).size(), 1000U);
    EXPECT_THAT(client().must({"ip", "route", "get", "100.64.7.7"}), HasSubstr("dev tun0"));
    expect_intact("a thousand remotes");

    many = openvpn_up("tun0");
    for (int i = 2; i <= 250; ++i) {
        many["foreign_option_" + std::to_string(i)] = "dhcp-option DNS 10.8.0." + std::to_string(i);
    }
    outcome = hook(many);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(lines(outcome.err), 1U) << outcome.err;
    EXPECT_EQ(lines(client().read_file("/etc/resolv.conf")), 2U + 16U);
    EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
    expect_intact("250 resolvers");
    expect_nothing_leaked();
}

TEST_F(Input, OfTheHookWithClosedDescriptorsAndAHostileEnvironment)
{
    for (const char* tool : {"ip", "nft", "sh", "resolvconf", "resolvectl", "iptables", "touch"}) {
        client().write_file(std::string("/run/evil/") + tool, "#!/bin/sh\n: > /run/canary\n", 0755);
    }
    Variables environment = openvpn_up("tun0");
    environment["PATH"] = "/run/evil";
    environment["IFS"] = "/";
    environment["BASH_ENV"] = environment["ENV"] = "/run/evil/sh";
    environment["TMPDIR"] = environment["HOME"] = "/run/evil";
    environment["LC_ALL"] = environment["TZ"] = "../../../../run/evil";
    environment["LOCALDOMAIN"] = environment["RES_OPTIONS"] = command;
    environment["CARES_HOSTS"] = "/run/evil/hosts";
    environment["GIO_EXTRA_MODULES"] = "/run/evil";
    environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unixexec:path=/run/evil/sh";
    const Outcome outcome = hook(environment, {command, "-c", ";touch /run/canary"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(protection(client()), good_);

    Command closed{"/bin/sh", "-c", std::string("exec ") + hook_path + " <&- >&- 2>&-"};
    closed.env = entries(openvpn_up("tun0"));
    client().must({"ip", "link", "set", "tun0", "down"}); // so that there is something to write
    EXPECT_EQ(client().run(closed).status, 0);
    client().must({"ip", "link", "set", "tun0", "up"});
    EXPECT_EQ(client().run(closed).status, 0);
    EXPECT_EQ(protection(client()), good_);
    for (const char* verb : {"reapply", "status", "check", "plan"}) {
        const Command run{"/bin/sh", "-c",
                          std::string("exec failclosed ") + verb + " <&- >&- 2>&-"};
        client().run(run);
        EXPECT_EQ(protection(client()), good_) << verb;
    }
    expect_intact("closed descriptors");
    expect_nothing_leaked();
}

// ---- The command ----

TEST_F(Input, OfTheCommandIsRefusedInOneLineAndChangesNothing)
{
    const std::vector<std::string> bad = {"",     huge,        command, "../../etc/passwd", "a\nb",
                                          "\x1b", "70000/udp", "[::1",  "1.2.3.4.5/33",     ":"};
    std::vector<std::vector<std::string>> cases = {
        {"explode"},
        {"lock", "surplus"},
        {"lock", "--unknown"},
        {"lock", "--server"},
        {"unlock", "now"},
        {"check", "--json"},
        {"reapply", command},
        {"up"},
        {"down"},
        {"up", "--server", "203.0.113.2:1194/udp"},
        {"lock", "--server", "203.0.113.2:0/udp"},
        {"lock", "--server", "203.0.113.2:70000/udp"},
        {"lock", "--server", "203.0.113.2:1194/carrier-pigeon"},
        {"lock", "--server", "203.0.113.2:1194/esp"},
        {"lock", "--server", "203.0.113.2:1194/udp6"},
        {"lock", "--server", "127.1:1194/udp"},
        {"lock", "--server", "127.0.0.1:1194/udp"},
        {"lock", "--server", "0.0.0.0:1194/udp"},
        {"lock", "--server", "224.0.0.1:1194/udp"},
        {"lock", "--server", "255.255.255.255:1194/udp"},
        {"lock", "--server", "[::1]:1194/udp"},
        {"lock", "--server", "[ff02::1]:1194/udp"},
        {"lock", "--mark", "7"},
        {"lock", "--uid", "7"},
        {"up", "--interface", "tun0", "--pid", "0"},
        {"up", "--interface", "tun0", "--pid", "2000000000"},
        {"up", "--interface", "tun0", "--uid", "-1"},
        {"up", "--interface", "tun0", "--uid", "4294967295"},
        {"up", "--interface", "tun0", "--mark", "0x100000000"},
        {"up", "--interface", "tun0", "--mark", "0"},
        {"up", "--interface", "tun0", "--address", "10.8.0.2/33"},
        {"explain"},
        {"explain", "--to", "198.51.100.20", "--port", "0"},
        {"explain", "--to", "198.51.100.20", "--port", "70000"},
        {"explain", "--to", "198.51.100.20", "--proto", "carrier-pigeon"},
        {"explain", "--to", "198.51.100.20", "--uid", "root"},
    };
    for (const auto& value : bad) {
        cases.push_back({"lock", "--server", value});
        cases.push_back({"lock", "--server", "203.0.113.9:1194/udp", "--uid", value});
        cases.push_back({"up", "--interface", value});
        cases.push_back({"down", "--interface", value});
        for (const char* option : {"--address", "--dns", "--search", "--route", "--gateway",
                                   "--server", "--pid", "--mark"}) {
            cases.push_back({"up", "--interface", "tun0", option, value});
        }
        cases.push_back({"explain", "--to", value});
        cases.push_back({"explain", "--to", "198.51.100.20", "--oif", value + "/"});
    }
    for (const auto& arguments : cases) {
        std::string what;
        for (const auto& argument : arguments) {
            what += argument.substr(0, 40) + " ";
        }
        const Outcome outcome = failclosed(client(), arguments);
        EXPECT_EQ(outcome.status, 64) << what << "\n" << outcome.err.substr(0, 2000);
        EXPECT_EQ(lines(outcome.err), 1U) << what << "\n" << outcome.err.substr(0, 2000);
        EXPECT_EQ(outcome.out, "") << what;
        EXPECT_LT(outcome.err.size(), 1000U) << what;
    }
    EXPECT_EQ(protection(client()), good_);
    expect_intact("the command");
    expect_nothing_leaked();
}

TEST_F(Input, OfUnreadableFilesStillLocks)
{
    for (const char* path : {"/nonexistent", "/etc", "/dev/zero"}) {
        const Outcome outcome = failclosed(client(), {"lock", "--openvpn-config", path});
        EXPECT_EQ(outcome.status, 1) << path << outcome.err;
        EXPECT_EQ(lines(outcome.err), 1U) << path << outcome.err;
    }
    EXPECT_EQ(protection(client()), good_);
    expect_intact("unreadable files");
    expect_nothing_leaked();
}

TEST_F(Input, OfUsersWithoutPrivilegesChangesNothing)
{
    for (const char* verb : {"lock", "unlock", "reapply", "status", "check", "refresh"}) {
        const Outcome outcome = client().run(Command{"failclosed", verb}.as(traffic_uid));
        EXPECT_NE(outcome.status, 0) << verb;
        EXPECT_EQ(lines(outcome.err), 1U) << verb << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr("only root can"));
    }
    EXPECT_EQ(protection(client()), good_);
    expect_intact("without privileges");
    expect_nothing_leaked();
}

// ---- Files ----

// What is learnt from files comes before the run, and must not keep it away.
TEST(Lock, IsCompleteIfAFileNameIsInvalid)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    const std::string server = "203.0.113.2:1194/udp";
    const std::string removed = "mkdir /tmp/removed && cd /tmp/removed && rmdir /tmp/removed && "
                                "exec failclosed lock --server " +
                                server;
    const std::vector<std::pair<std::vector<std::string>, int>> commands = {
        {{"failclosed", "lock", "--server", server, "--openvpn-config", ""}, 1},
        {{"sh", "-c", removed + " --openvpn-config vpn.conf"}, 1},
        {{"sh", "-c", removed}, 0},
    };
    for (const auto& [argv, status] : commands) {
        client.must({"failclosed", "unlock"});
        const Outcome outcome = client.run(argv);
        EXPECT_EQ(outcome.status, status) << outcome.err;
        EXPECT_EQ(lines(outcome.err), status == 0 ? 0U : 1U) << outcome.err;
        EXPECT_THAT(outcome.err, Not(HasSubstr("filesystem error")));
        EXPECT_EQ(failclosed(client, {"check"}).status, 0);
    }
    client.must({"failclosed", "unlock"});
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nopenvpn-configs = /\n");
    for (const char* verb : {"lock", "reapply", "doctor"}) {
        EXPECT_THAT(failclosed(client, {verb}).err, Not(HasSubstr("filesystem error"))) << verb;
        EXPECT_EQ(failclosed(client, {"check"}).status, 0) << verb;
    }
}

TEST_F(Input, OfTheConfigurationFallsBackToTheStrictest)
{
    const std::string path = "/etc/failclosed/failclosed.conf";
    std::vector<std::string> texts = {
        "\n\xff\xfe\n",
        "lan = private\n", // no group
        "[failclosed]\nlan\n",
        "[failclosed]\nlan = " + command + "\n",
        "[failclosed]\nlan = " + huge + "\n",
        "[failclosed]\nserver = 203.0.113.2:0/udp\n",
        "[failclosed]\nserver = 203.0.113.2:70000/udp\n",
        "[failclosed]\nserver = " + command + ":1/udp\n",
        "[failclosed]\nserver = 0.0.0.0:1194/udp\n",
        "[failclosed]\nopenvpn-configs = ../../*.conf\n",
        "[failclosed]\ndns-servers = a\x07"
        "b\n",
        "[failclosed]\nserver-expiry-days = 0\n",
        "[failclosed]\nlog = maybe\n",
        "[failclosed]\nunlock = yes\n",
        "[other]\nlan = private\n",
        huge,
        std::string("[failclosed]\nlan = private\n\0lan = 0.0.0.0/0\n", 45),
    };
    const auto expect_strict = [&](const std::string& what) {
        const Outcome outcome = failclosed(client(), {"reapply"});
        EXPECT_EQ(outcome.status, 1) << what << outcome.err.substr(0, 500);
        EXPECT_EQ(lines(outcome.err), 1U) << what << outcome.err.substr(0, 500);
        EXPECT_LT(outcome.err.size(), 1000U) << what;
        EXPECT_FALSE(answers(client(), addr::neighbour4, {"-W0.2"})) << what;
        EXPECT_FALSE(client().exists(canary));
    };
    EXPECT_TRUE(gets_answers(client(), addr::neighbour4));
    for (const auto& text : texts) {
        client().write_file(path, text);
        expect_strict(text.substr(0, 60));
    }
    client().write_file(path, "[failclosed]\nlan = private\n", 0666);
    expect_strict("writable by all");
    client().must({"chmod", "644", path});
    client().must({"chown", "4242", path});
    expect_strict("another user's");
    client().must({"rm", path});
    client().must({"mkdir", path});
    expect_strict("a directory");
    client().must({"rmdir", path});
    client().must({"ln", "-s", "/dev/zero", path});
    expect_strict("endless");
    client().must({"rm", path});
    client().must({"mkfifo", path});
    expect_strict("a pipe without a writer");
    client().must({"rm", path});
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_EQ(protection(client()), good_);
    expect_nothing_leaked();
}

TEST_F(Input, OfDamagedStateStaysClosedAndIsRepaired)
{
    const std::vector<std::string> paths = {"/run/failclosed/state", "/var/lib/failclosed/servers",
                                            "/var/lib/failclosed/armed"};
    const std::vector<std::string> texts = {"",     huge,         command + "\n", "\xff\xfe\x00",
                                            "no\n", "armed=no\n", "[a]\nb=c\n"};
    for (const auto& path : paths) {
        for (const auto& text : texts) {
            const std::string what = path + ": " + text.substr(0, 20);
            client().write_file(path, text, 0600);
            const Outcome outcome = failclosed(client(), {"reapply"});
            EXPECT_EQ(outcome.status, 1) << what;
            EXPECT_EQ(lines(outcome.err), 1U) << what << "\n" << outcome.err.substr(0, 500);
            EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0) << what;
            EXPECT_EQ(failclosed(client(), {"check"}).status, 0) << what;
            EXPECT_FALSE(answers(client(), addr::site4, {"-W0.1"})) << what;
        }
        EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
        EXPECT_EQ(protection(client()), good_) << path;
    }
    // A file that is writable by all users.
    for (const auto& path : paths) {
        client().must({"chmod", "666", path});
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 1) << path;
        EXPECT_EQ(hook(openvpn_up("tun0")).status, 0) << path;
        EXPECT_EQ(protection(client()), good_) << path;
        client().must({"mv", path, path + ".real"});
        client().must({"ln", "-s", path + ".real", path});
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 1) << path;
        EXPECT_EQ(hook(openvpn_up("tun0")).status, 0) << path;
        EXPECT_EQ(protection(client()), good_) << path;
    }
    expect_intact("damaged state");
    expect_nothing_leaked();
}

// ---- Many at once ----

Command hook_command(const Variables& variables)
{
    Command run{hook_path};
    run.env = entries(variables);
    return run;
}

/// Everything that may run at the same time, `down` of the tunnel among it.
std::vector<Command> mixed_commands()
{
    Variables down = openvpn_up("tun0");
    down["script_type"] = "down";
    return {{"failclosed", "reapply"},
            hook_command(openvpn_up("tun0")),
            {"failclosed", "lock", "--server", "203.0.113.2:1194/udp"},
            hook_command(down),
            {"failclosed", "up", "--interface", "tun0", "--dns", "10.8.0.7", "--server",
             "203.0.113.2:1194/udp"},
            {"failclosed", "check"},
            {"failclosed", "down", "--interface", "tun0"}};
}

TEST_F(Input, OfConcurrentRunsEndsLikeSequentialRuns)
{
    const auto commands = mixed_commands();
    for (int round = 0; round < 3; ++round) {
        std::vector<Process> running;
        for (std::size_t i = 0; i < 20; ++i) {
            running.push_back(client().start(commands[i % commands.size()]));
        }
        for (const auto& process : running) {
            const auto status = process.wait(30s);
            ASSERT_TRUE(status);
            EXPECT_LE(*status, 1) << process.output();
        }
        EXPECT_EQ(failclosed(client(), {"check"}).status, 0);
        EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
        EXPECT_EQ(protection(client()), good_);
    }
    std::vector<Process> running;
    for (int i = 0; i < 20; ++i) {
        running.push_back(client().start({"failclosed", "reapply"}));
    }
    for (const auto& process : running) {
        EXPECT_EQ(process.wait(30s), 0) << process.output();
    }
    EXPECT_EQ(protection(client()), good_);
    expect_intact("many at once");
    expect_nothing_leaked();
}

/// Kills runs at moments that are spread over all of the time that they take, on this machine and
/// as busy as it is: it learns from those that were over before.
class Killer {
  public:
    explicit Killer(unsigned seed) : random_(seed) {}

    void run_shortly(const Box& box, const Command& run)
    {
        std::uniform_int_distribution<long> moment(0, longest_.count());
        const Process victim = box.start(run);
        std::this_thread::sleep_for(std::chrono::microseconds(moment(random_)));
        victim.kill();
        const bool was_over = victim.wait() != 128 + SIGKILL;
        longest_ = was_over ? std::max(shortest, longest_ * 9 / 10) : longest_ * 11 / 10;
    }

  private:
    static constexpr std::chrono::microseconds shortest{1000};

    std::mt19937 random_;
    std::chrono::microseconds longest_{20'000};
};

TEST_F(Input, OfKilledRunsIsCompletedByTheNext)
{
    std::mt19937 random(20180405); // NOLINT: the same commands every time
    Killer killer(20180406);
    const auto commands = mixed_commands();
    std::uniform_int_distribution<std::size_t> choice(0, commands.size() - 1);
    for (int i = 0; i < 150; ++i) {
        killer.run_shortly(client(), commands[choice(random)]);
        ASSERT_TRUE(client().run({"nft", "list", "table", "inet", "failclosed"}).ok()) << i;
        if (i % 10 == 0) {
            EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0) << i;
            EXPECT_EQ(failclosed(client(), {"check"}).status, 0) << i;
        }
    }
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_EQ(hook(openvpn_up("tun0")).status, 0);
    EXPECT_EQ(protection(client()), good_);
    expect_intact("killed runs");
    expect_nothing_leaked();
}

// The two commands that open or close: wherever they are cut short, the next run finishes it.
TEST_F(Input, OfKilledLockAndUnlockIsNeverHalfOpen)
{
    Killer killer(20180407);
    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    const std::string open = kernel_state(client());
    const std::string files =
        client().read_file("/etc/resolv.conf") + client().read_file("/etc/hosts");
    ASSERT_EQ(failclosed(client(), {"lock"}).status, 0);
    const auto run_shortly = [&](const char* verb) {
        killer.run_shortly(client(), {"failclosed", verb});
    };
    int cut_short = 0;
    for (int i = 0; i < 40; ++i) {
        run_shortly("unlock");
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0) << i;
        // Either it was not done, and all is closed again, or it was.
        if (failclosed(client(), {"check"}).status != 0) {
            EXPECT_EQ(kernel_state(client()), open) << i;
        } else {
            ++cut_short;
            // What it let out while it was open for a moment was sent before.
            sniffer_->settle();
            sniffer_->reset();
            ASSERT_TRUE(traffic_->wait_all_sent(2));
            sniffer_->settle();
            EXPECT_EQ(sniffer_->leaked(), 0U) << i << sniffer_->counts().text();
        }
        ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0) << i;
        EXPECT_EQ(kernel_state(client()), open) << i;
        run_shortly("lock");
        EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0) << i;
        if (failclosed(client(), {"check"}).status != 0) {
            EXPECT_EQ(kernel_state(client()), open) << i;
        }
        ASSERT_EQ(failclosed(client(), {"lock"}).status, 0) << i;
        EXPECT_EQ(failclosed(client(), {"check"}).status, 0) << i;
    }
    EXPECT_GT(cut_short, 0);
    ASSERT_EQ(failclosed(client(), {"unlock"}).status, 0);
    EXPECT_EQ(client().read_file("/etc/resolv.conf") + client().read_file("/etc/hosts"), files);
}

// ---- A real server ----

// NetworkManager waits for its dispatcher, and dhcpcd for its hooks.
TEST_F(Input, OfAStoppedRunDelaysOthersForSecondsOnly)
{
    const Process stopped = Process::fork(client(), [] {
        const int lock = open("/run/failclosed/lock", O_RDWR | O_CLOEXEC);
        if (lock < 0 || flock(lock, LOCK_EX) != 0) {
            return 1;
        }
        dprintf(STDOUT_FILENO, "locked\n");
        pause();
        return 0;
    });
    ASSERT_TRUE(stopped.wait_for("locked"));
    const Process waiting = client().start({"/usr/lib/failclosed/nm-dispatcher", "eth0", "pre-up"});
    EXPECT_EQ(waiting.wait(60s), 1);
    EXPECT_THAT(waiting.err(), HasSubstr("another run has held it"));
    stopped.kill();
    expect_intact("a run without the lock");
    expect_nothing_leaked();
}

TEST(Pushed, ThousandsOfRoutesAndHundredsOfOptionsAreTaken)
{
    const Lab lab(with_product());
    VpnServer::Options options;
    options.resolver = false;
    for (int i = 0; i < 2000; ++i) {
        options.extra.push_back("push \"route 100." + std::to_string(64 + i / 250) + "." +
                                std::to_string(i % 250) + ".0 255.255.255.0\"");
    }
    for (int i = 1; i <= 250; ++i) {
        options.extra.push_back("push \"dhcp-option DNS 10.8.0." + std::to_string(i) + "\"");
    }
    const VpnServer server(lab, options);
    VpnClient::Options client_options;
    client_options.extra = {"verb 1"};
    VpnClient client(lab, client_options);
    ASSERT_TRUE(client.wait_connected(1, 20s)) << client.log();
    EXPECT_EQ(failclosed(lab.client(), {"check"}).status, 0);
    EXPECT_THAT(lab.client().must({"ip", "route", "get", "100.71.249.9"}), HasSubstr("dev tun0"));
    EXPECT_THAT(lab.client().must({"ip", "route", "show", "table", "64598"}),
                HasSubstr("100.71.249.0/24 dev tun0"));
    EXPECT_THAT(lab.client().read_file("/etc/resolv.conf"), HasSubstr("nameserver 10.8.0.1\n"));
    EXPECT_TRUE(answers(lab.client(), addr::inside4));
    const Sniffer sniffer(lab);
    const Traffic traffic(lab);
    ASSERT_TRUE(traffic.wait_all_sent(30));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

} // namespace

} // namespace failclosed::lab
