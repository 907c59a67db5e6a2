// SPDX-License-Identifier: GPL-3.0-or-later
// Relief without opening: what a sign-in lets through, to which user and for how long; what doctor
// and status tell of a hostile network; devices that appear.
#include <csignal>
#include <map>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/flood.hpp"
#include "tests/support/daemons/http.hpp"
#include "tests/support/traffic/tag.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

using KindNames = std::set<std::string>;

constexpr char member[] = "member"; ///< the name of traffic_uid, who signs in
/// How long one waits for the end of a sign-in that lasts some seconds.
constexpr std::chrono::seconds its_time{60};

/// A locked client without a tunnel, in a network with web servers at the ISP and behind it.
class Hotel {
  public:
    explicit Hotel(Guard guard = Guard::All, Policy policy = {})
        : target_(guard, options(std::move(policy))), site_(target_.lab().internet()),
          portal_(target_.isp())
    {
        const std::string uid = std::to_string(traffic_uid);
        client().write_file("/etc/passwd", client().read_file("/etc/passwd") + member + ":x:" +
                                               uid + ":" + uid + "::/home/member:/bin/sh\n");
        client().write_file("/etc/group", client().read_file("/etc/group") + member + ":x:" + uid +
                                              ":\nfriends:x:5000:" + member + "\n");
        client().must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
        sniffer().settle();
        sniffer().reset();
    }

    const Box& client() { return target_.client(); }

    Lab& lab() { return target_.lab(); }

    Sniffer& sniffer() { return target_.sniffer(); }

    Target& target() { return target_; }

    Outcome portal(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(), "portal");
        return failclosed(client(), std::move(arguments));
    }

    /// The kinds that leave while every kind is tried this often.
    KindNames leaving(const Traffic& traffic, std::uint64_t times = 10)
    {
        sniffer().settle();
        sniffer().reset();
        EXPECT_TRUE(traffic.wait_all_sent(times));
        sniffer().settle();
        const Counts counts = sniffer().counts();
        EXPECT_EQ(counts.lost, 0U);
        KindNames names;
        for (const auto& [name, count] : counts.leaked_kinds) {
            names.insert(name);
        }
        return names;
    }

  private:
    static Target::Options options(Policy policy)
    {
        Target::Options options;
        options.policy = std::move(policy);
        options.begin = false;
        return options;
    }

    Target target_;
    HttpServer site_;
    HttpServer portal_;
};

/// The kinds whose packets a sign-in of traffic_uid's admits: web pages, and the lease's resolver.
KindNames admitted_kinds()
{
    KindNames names;
    for (const auto& kind : all_kinds()) {
        const bool is_web = kind.way == Way::TcpSyn && kind.port == 443;
        const bool is_dns = kind.to == addr::gateway4 && kind.port == 53;
        if (kind.uid == traffic_uid && (is_web || is_dns)) {
            names.insert(kind.name);
        }
    }
    return names;
}

/// Those of them that the routing rules lead past the tunnel, and that no other lock can mistake.
const KindNames certain_kinds = {"tcp4@user", "tcp6@user", "dns4-isp@user", "dns4-isp-tcp@user"};

/// Routing stops no socket that is bound to a device or an address.
bool is_bound(const Kind& kind)
{
    return kind.via != Via::Route || kind.way == Way::RawHeader || kind.way == Way::RawFragment;
}

KindNames without(KindNames names, const KindNames& others)
{
    for (const auto& name : others) {
        names.erase(name);
    }
    return names;
}

/// A shell's script in a sign-in of its own.
std::vector<std::string> as_member(const std::string& script, const std::string& time = "1m")
{
    return {"--for", time, "--user", member, "--", "bash", "-c", script};
}

/// In one write: the server answers the first one, and closes.
constexpr char fetch_site[] = "exec 3<>/dev/tcp/198.51.100.20/80; printf GET >&3; cat <&3";

/// What the command of a sign-in sends, allowed; all else has leaked.
Policy web_and_dns()
{
    Policy policy;
    policy.servers.push_back({addr::site4, "tcp", 80});
    policy.servers.push_back({addr::gateway4, "udp", 53});
    return policy;
}

std::string error_of(const Outcome& outcome)
{
    return std::to_string(outcome.status) + " " + outcome.err;
}

std::string status_of(const Box& client)
{
    return client.must({"failclosed", "status", "--json"});
}

} // namespace

// ---- For a user ----

TEST(PortalTest, AdmitsOneUserToWebPagesAndTheLeasesResolverForItsTimeOnly)
{
    Hotel hotel;
    const Traffic traffic(hotel.lab());
    EXPECT_EQ(hotel.leaving(traffic), KindNames{}); // before

    const Outcome outcome = hotel.portal({"--for", "15s", "--user", member});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("user 4242: DNS at 192.168.50.1, TCP 80 and 443"));
    EXPECT_THAT(status_of(hotel.client()), HasSubstr(R"("portal":{"uid":4242,)"));
    EXPECT_THAT(failclosed(hotel.client(), {"status"}).out, HasSubstr("sign-in for "));
    EXPECT_EQ(failclosed(hotel.client(), {"check"}).status, 0);
    const KindNames during = hotel.leaving(traffic);
    EXPECT_THAT(during, IsSupersetOf(certain_kinds));
    EXPECT_EQ(without(during, admitted_kinds()), KindNames{});

    // From here on no program of failclosed runs.
    EXPECT_TRUE(eventually([&] { return hotel.leaving(traffic).empty(); }, its_time));
    EXPECT_EQ(hotel.leaving(traffic), KindNames{});
    EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));
    EXPECT_EQ(failclosed(hotel.client(), {"check"}).status, 0);
}

TEST(PortalTest, EachLockAloneAdmitsOnlyTheSignIn)
{
    // Bound sockets sometimes cause ARP queries for remote addresses; only the belt refuses them.
    const KindNames questions = {""};
    KindNames bound = questions;
    for (const auto& kind : all_kinds()) {
        if (is_bound(kind)) {
            bound.insert(kind.name);
        }
    }
    const std::map<Guard, KindNames> tolerated = {
        {Guard::Firewall, questions}, {Guard::Belt, {}}, {Guard::Routing, bound}};
    for (const Guard guard : {Guard::Firewall, Guard::Belt, Guard::Routing}) {
        SCOPED_TRACE(to_string(guard));
        Hotel hotel(guard);
        const Traffic traffic(hotel.lab());
        ASSERT_EQ(hotel.portal({"--for", "1m", "--user", member}).status, 0);
        hotel.target().keep_guard();
        const KindNames leaving = hotel.leaving(traffic);
        EXPECT_THAT(leaving, IsSupersetOf(certain_kinds));
        EXPECT_EQ(without(without(leaving, admitted_kinds()), tolerated.at(guard)), KindNames{})
            << hotel.sniffer().counts().text();
    }
}

TEST(PortalTest, EndsConnectionsThatOutliveIt)
{
    Hotel hotel;
    // Echoes nothing, keeps everything.
    const Process server = Process::fork(hotel.lab().internet(), [] {
        const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_port = htons(443);
        if (bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 ||
            listen(listener, 1) != 0) {
            return 1;
        }
        std::puts("ready");
        std::fflush(stdout);
        const int flow = accept(listener, nullptr, nullptr);
        char bytes[256];
        while (read(flow, bytes, sizeof bytes) > 0) {
        }
        return 0;
    });
    ASSERT_TRUE(server.wait_for("ready"));
    ASSERT_EQ(hotel.portal({"--for", "1m", "--user", member}).status, 0);
    const Process sender = hotel.client().start(Command{
        "bash", "-c",
        "exec 3<>/dev/tcp/198.51.100.20/443; while :; do echo x >&3; echo sent; sleep 0.02; "
        "done"}
                                                    .as(traffic_uid));
    ASSERT_TRUE(sender.wait_for("sent", 5)) << sender.output();
    EXPECT_TRUE(hotel.sniffer().wait_until([](const Counts& counts) { return counts.leaked > 5; }));
    ASSERT_EQ(hotel.portal({"--end"}).status, 0);
    hotel.sniffer().settle();
    hotel.sniffer().reset();
    const std::size_t sent = sender.count("sent");
    ASSERT_TRUE(sender.wait_for("sent", sent + 20));
    hotel.sniffer().settle();
    EXPECT_EQ(hotel.sniffer().leaked(), 0U) << hotel.sniffer().counts().text();
}

// ---- For a program ----

TEST(PortalTest, AdmitsOneProgramAndNoOtherOfTheSameUser)
{
    Hotel hotel(Guard::All, web_and_dns());
    const Traffic traffic(hotel.lab()); // as root and as the same user
    hotel.lab().dns().forget_queries();
    hotel.client().must({"mkdir", "-m", "777", "/run/hotel"});
    const Process portal = hotel.client().start(
        {"failclosed", "portal", "--for", "1m", "--user", member, "--", "bash", "-c",
         std::string("getent ahostsv4 www.example.org; ") + fetch_site +
             "; echo x >/dev/udp/198.51.100.20/5000; (echo x >/dev/tcp/198.51.100.20/8080); "
             "(echo x >/dev/udp/198.51.100.53/53); (echo x >/dev/tcp/192.168.50.1/853); "
             "echo tried; mkfifo /run/hotel/end; cat /run/hotel/end; exit 42"});
    ASSERT_TRUE(portal.wait_for("tried")) << portal.output();
    EXPECT_THAT(portal.out(), HasSubstr("198.51.100.20")); // the name's address
    EXPECT_THAT(portal.out(), HasSubstr("NetworkManager is online"));
    EXPECT_THAT(hotel.lab().dns().names_asked(), Contains("www.example.org"));
    EXPECT_EQ(hotel.leaving(traffic), KindNames{});
    EXPECT_EQ(hotel.sniffer().counts().leaked, 0U) << hotel.sniffer().counts().text();

    hotel.client().must({"sh", "-c", "echo >/run/hotel/end"});
    EXPECT_EQ(portal.wait(), 42);
    EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));
    EXPECT_EQ(hotel.client().read_file("/etc/resolv.conf"), "nameserver 192.168.50.1\n");
}

TEST(PortalTest, TheProgramRunsAsTheUserAndQueriesTheNetworksResolver)
{
    Hotel hotel;
    // As with systemd-resolved, who would ask in the user's place.
    hotel.client().write_file("/etc/resolv.conf", "nameserver 127.0.0.53\n");
    hotel.client().write_file("/run/systemd/resolve/resolv.conf", "nameserver 192.168.50.1\n");
    hotel.client().write_file(
        "/etc/nsswitch.conf",
        "passwd: files\nhosts: resolve [!UNAVAIL=return] files\ngroup: files\n");
    const std::string mounts = hotel.client().must({"cat", "/proc/self/mountinfo"});
    const Outcome outcome = hotel.portal(as_member(
        "id -u; id -g; id -G; grep Cap /proc/self/status; cat /etc/resolv.conf /etc/nsswitch.conf; "
        "echo $HOME; cat; touch /etc/resolv.conf"));
    EXPECT_NE(outcome.status, 0); // touch
    EXPECT_THAT(outcome.out, testing::ContainsRegex("^4242\n84[0-9][0-9][0-9]\n"));
    EXPECT_THAT(outcome.out, testing::ContainsRegex("\n84[0-9][0-9][0-9] 4242 5000\n"));
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
        EXPECT_THAT(outcome.out, HasSubstr(std::string(set) + ":\t0000000000000000\n"));
    }
    EXPECT_THAT(outcome.out,
                HasSubstr("nameserver 192.168.50.1\npasswd: files\ngroup: files\nhosts: files dns\n"
                          "/home/member\n"));
    EXPECT_THAT(outcome.err, HasSubstr("Permission denied"));
    EXPECT_EQ(hotel.client().must({"cat", "/proc/self/mountinfo"}), mounts);
    EXPECT_EQ(hotel.client().read_file("/etc/resolv.conf"), "nameserver 127.0.0.53\n");
    // Without a program the resolver of this machine stands between.
    EXPECT_THAT(hotel.portal({"--user", member}).err,
                HasSubstr("use `failclosed portal -- COMMAND`"));
}

TEST(PortalTest, ProcessesLeftByTheProgramAreRefused)
{
    Hotel hotel;
    hotel.client().must({"mkdir", "-m", "777", "/run/hotel"});
    const Outcome outcome =
        hotel.portal(as_member(": >/run/hotel/tries; (while echo x >>/run/hotel/tries; do (echo x "
                               ">/dev/udp/192.168.50.1/53); done) "
                               "</dev/null >/dev/null 2>&1 & " +
                               std::string(fetch_site)));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("NetworkManager is online"));
    const auto tries = [&] { return hotel.client().read_file("/run/hotel/tries").size(); };
    const auto goes_on = [&] {
        const auto before = tries();
        return eventually([&] { return tries() > before + 20; });
    };
    hotel.sniffer().settle();
    hotel.sniffer().reset();
    EXPECT_TRUE(goes_on());
    // The next program has another group.
    Process next =
        hotel.client().start({"failclosed", "portal", "--user", member, "--", "sleep", "100"});
    EXPECT_TRUE(eventually(
        [&] { return status_of(hotel.client()).find("\"portal\"") != std::string::npos; }));
    EXPECT_TRUE(goes_on());
    hotel.sniffer().settle();
    EXPECT_EQ(hotel.sniffer().leaked(), 0U) << hotel.sniffer().counts().text();
}

TEST(PortalTest, ReportsHowTheProgramEnded)
{
    Hotel hotel;
    EXPECT_EQ(hotel.portal(as_member("exit 7")).status, 7);
    EXPECT_EQ(hotel.portal(as_member("kill -9 $$")).status, 128 + 9);
    const Outcome missing = hotel.portal({"--user", member, "--", "no-such-program"});
    EXPECT_EQ(missing.status, 127);
    EXPECT_THAT(missing.err, HasSubstr("no-such-program"));
    const Outcome caller = hotel.client().run(
        Command{"failclosed", "portal", "--", "id", "-u"}.with_env({"SUDO_UID=4242"}));
    EXPECT_EQ(caller.out, "4242\n") << caller.err;
    EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));
}

// CVE-2016-2779: it would put lines into the terminal's input, for a shell of root's to run.
TEST(PortalTest, TheProgramDoesNotHaveTheCallersTerminal)
{
    Hotel hotel;
    // In a file: what is on the terminal when its program ends, script(1) waits for no longer than
    // 10 ms.
    const std::string ask = "bash -c \"(: >/dev/tty) && echo has it\" >/run/answer 2>&1";
    const auto on_terminal = [&](const std::string& command) {
        hotel.client().run({"script", "-qec", command, "/dev/null"});
        return hotel.client().read_file("/run/answer");
    };
    EXPECT_THAT(on_terminal(ask), HasSubstr("has it"));
    const std::string answer = on_terminal("failclosed portal --user member -- " + ask);
    EXPECT_THAT(answer, HasSubstr("/dev/tty: No such device or address"));
    EXPECT_THAT(answer, Not(HasSubstr("has it")));
}

TEST(PortalTest, ForwardsSignalsToTheProgram)
{
    Hotel hotel;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        std::vector<std::string> command =
            as_member("trap 'exit 3' INT TERM HUP; echo begun; while :; do sleep 0.1; done");
        command.insert(command.begin(), {"failclosed", "portal"});
        const Process portal = hotel.client().start(command);
        ASSERT_TRUE(portal.wait_for("begun")) << portal.output();
        portal.signal(number);
        EXPECT_EQ(portal.wait(), 3) << number;
        EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));
    }
}

TEST(PortalTest, ExpiresInTimeIfItIsKilled)
{
    Hotel hotel;
    Process portal = hotel.client().start(
        {"failclosed", "portal", "--for", "6s", "--user", member, "--", "bash", "-c",
         "echo begun; while :; do (exec 3<>/dev/tcp/198.51.100.20/80) 2>/dev/null; done"});
    ASSERT_TRUE(portal.wait_for("begun")) << portal.output();
    portal.kill();
    EXPECT_TRUE(hotel.sniffer().wait_until([](const Counts& counts) { return counts.leaked > 0; }));
    EXPECT_TRUE(eventually(
        [&] {
            hotel.sniffer().settle();
            hotel.sniffer().reset();
            return !hotel.sniffer().wait_until(
                [](const Counts& counts) { return counts.leaked > 0; },
                std::chrono::milliseconds(500));
        },
        its_time));
    EXPECT_EQ(failclosed(hotel.client(), {"reapply"}).status, 0);
    EXPECT_EQ(failclosed(hotel.client(), {"check"}).status, 0);
}

// ---- When there is none ----

TEST(PortalTest, ATunnelEndsItAndRefusesIt)
{
    Hotel hotel;
    const Traffic traffic(hotel.lab(), {.interval = std::chrono::milliseconds(20)});
    ASSERT_EQ(hotel.portal({"--for", "10m", "--user", member}).status, 0);
    EXPECT_THAT(hotel.leaving(traffic), IsSupersetOf(certain_kinds));
    VpnClient vpn(hotel.lab(), impatient());
    ASSERT_TRUE(vpn.wait_connected(1, std::chrono::seconds(40))) << vpn.log();
    EXPECT_EQ(hotel.leaving(traffic), KindNames{});
    EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));
    // Where programs send without pause the tunnel's queue is full at times: asked until it
    // answers.
    EXPECT_TRUE(
        eventually([&] { return answers(hotel.client(), addr::inside4, {"-i0.2", "-w5"}); }));

    const Outcome refused = hotel.portal({"--for", "10m", "--user", member});
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.err, HasSubstr("a tunnel is up"));
    const Outcome program = hotel.portal(as_member("echo ran"));
    EXPECT_EQ(program.status, 1);
    EXPECT_EQ(program.out, "");
    EXPECT_EQ(hotel.leaving(traffic), KindNames{});
}

TEST(PortalTest, RefusesWhatItCannotDo)
{
    Hotel hotel;
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"--user", "root"},
             {"--user", "0"},
             {"--user", "no-such-user"},
             {},
             {"--"},
             {"--user", member, "--"},
             {"--user", member, "--for", "31m"},
             {"--user", member, "--for", "1801s"},
             {"--user", member, "--for", "0"},
             {"--user", member, "--for", "1h"},
             {"--user", member, "--for", ""},
             {"--user", member, "--end"},
             {"--", "id"},
         }) {
        const Outcome outcome = hotel.portal(arguments);
        EXPECT_EQ(outcome.status, 64) << testing::PrintToString(arguments) << outcome.err;
        EXPECT_EQ(outcome.out, "");
    }
    const Outcome other =
        hotel.client().run(Command{"failclosed", "portal", "--user", member}.as(traffic_uid));
    EXPECT_EQ(other.status, 2);
    EXPECT_THAT(hotel.portal({"--user", "no-such-user"}).err,
                HasSubstr("no such user: no-such-user"));
    EXPECT_THAT(hotel.portal({"--", "id"}).err,
                HasSubstr("--user is required (or run it by sudo)"));
    EXPECT_EQ(hotel.portal({"--end"}).status, 0);
    EXPECT_THAT(status_of(hotel.client()), Not(HasSubstr("\"portal\"")));

    hotel.client().write_file("/etc/resolv.conf", "");
    EXPECT_THAT(error_of(hotel.portal({"--user", member})), HasSubstr("no resolver"));
    hotel.client().write_file("/etc/resolv.conf", "nameserver 192.168.50.1\n");
    ASSERT_EQ(failclosed(hotel.client(), {"unlock"}).status, 0);
    const Outcome open = hotel.portal({"--user", member});
    EXPECT_EQ(open.status, 2);
    EXPECT_THAT(open.err, HasSubstr("not locked"));
    EXPECT_FALSE(hotel.client().run({"nft", "list", "table", "inet", "failclosed"}).ok());
}

// ---- Telling ----

TEST(DoctorTest, ReportsNoProblemOnAHealthyMachine)
{
    Target target(Guard::All);
    const Outcome outcome = failclosed(target.client(), {"doctor"});
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    for (const char* line :
         {"ok    lock: locked\n", "ok    kernel: ", "ok    tunnel: tun0 is up",
          "ok    servers: ", "ok    openvpn-hook: ", "ok    networkmanager-hook: ",
          "ok    dhcpcd-hook: ", "ok    udev-rule: ", "ok    network: ", "note  boot: ",
          "ok    guests: ", "ok    mptcp: ", "ok    flowtables: "}) {
        EXPECT_THAT(outcome.out, HasSubstr(line));
    }
    if (target.client().run({"nft", "list", "table", "netdev", "failclosed"}).ok()) {
        EXPECT_THAT(outcome.out, HasSubstr("ok    locks: "));
        EXPECT_THAT(status_of(target.client()), HasSubstr(R"("device_guard":true)"));
    } else {
        EXPECT_THAT(outcome.out, HasSubstr("note  locks: no device guard"));
        EXPECT_THAT(failclosed(target.client(), {"status"}).out, HasSubstr("no device guard"));
    }
    const Outcome json = failclosed(target.client(), {"doctor", "--json"});
    EXPECT_EQ(json.status, 0);
    EXPECT_THAT(json.out, HasSubstr(R"({"healthy":true,"checks":[{"health":"ok","check":"lock")"));
    // Others see what is no secret.
    const Outcome other = target.client().run(Command{"failclosed", "doctor"}.as(traffic_uid));
    EXPECT_EQ(other.status, 0) << other.out << other.err;
    EXPECT_THAT(other.out, HasSubstr("note  lock: not checked"));
    EXPECT_THAT(other.out, HasSubstr("ok    openvpn-hook: "));
}

TEST(DoctorTest, ReportsEachProblem)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const auto bad = [&](const char* line) {
        const Outcome outcome = failclosed(client, {"doctor"});
        EXPECT_EQ(outcome.status, 1) << line;
        EXPECT_THAT(outcome.out, HasSubstr(std::string("bad   ") + line));
    };
    client.must({"ip", "rule", "del", "pref", "5010"});
    bad("kernel: rules and routes");
    client.must({"ip", "-6", "rule", "del", "pref", "32766"});
    bad("main-rule: IPv6: ");
    client.must({"ip", "rule", "flush"});
    bad("main-rule: IPv4: ");
    client.must({"ip", "rule", "add", "pref", "32766", "lookup", "main"});
    client.must({"ip", "-6", "rule", "add", "pref", "32766", "lookup", "main"});
    client.must({"nft", "flush", "ruleset"});
    bad("lock: NOT CLOSED");
    client.must({"failclosed", "reapply"});
    EXPECT_EQ(failclosed(client, {"doctor"}).status, 0);
    client.must({"chmod", "o+w", "/usr/lib/failclosed/openvpn-hook"});
    bad("openvpn-hook: /usr/lib/failclosed/openvpn-hook");
    client.must({"chmod", "o-w", "/usr/lib/failclosed/openvpn-hook"});
    client.must({"chown", "4242", "/etc/NetworkManager/dispatcher.d/pre-up.d"});
    bad("networkmanager-hook: /etc/NetworkManager/dispatcher.d/pre-up.d");
    client.must({"chown", "0", "/etc/NetworkManager/dispatcher.d/pre-up.d"});
    client.must({"rm", "/usr/lib/udev/rules.d/90-failclosed.rules"});
    bad("udev-rule: ");
    client.must({"sh", "-c", "echo nonsense >/var/lib/failclosed/servers"});
    bad("files: ");
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nforward=virbr0\n");
    bad("missing-device: ");
    bad("forwarding: ");
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nforward=eth0;tun0\n");
    bad("unfit-device: forward names eth0");
    bad("unfit-device: forward names tun0");
}

TEST(DoctorTest, NotesConfigurationsThatCallNoHook)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const auto noted = [&](const std::string& text) {
        client.write_file("/etc/openvpn/other.conf", "client\nremote 203.0.113.9\n" + text);
        const Outcome outcome = failclosed(client, {"doctor"});
        EXPECT_EQ(outcome.status, 0) << outcome.out;
        EXPECT_THAT(outcome.out, Not(HasSubstr("openvpn-config: /etc/openvpn/tun0.conf")));
        return outcome.out.find("note  openvpn-config: /etc/openvpn/other.conf does not call "
                                "failclosed: no packet can use its tunnel") != std::string::npos;
    };
    const auto told = [&] { return failclosed(client, {"doctor"}).out; };
    const std::string up = "script-security 2\nup /etc/openvpn/failclosed\n";
    const std::string down = "down /etc/openvpn/failclosed\n";
    EXPECT_TRUE(noted(""));
    EXPECT_TRUE(noted(down));
    EXPECT_FALSE(noted(up));
    EXPECT_THAT(told(), HasSubstr("note  openvpn-config: /etc/openvpn/other.conf does not call "
                                  "failclosed when its tunnel ends: "));
    EXPECT_FALSE(noted(up + down));
    EXPECT_THAT(told(), Not(HasSubstr("openvpn-config: ")));
    EXPECT_FALSE(noted(up + down + "script-security 1\n"));
    EXPECT_THAT(told(), HasSubstr("note  openvpn-config: /etc/openvpn/other.conf has no "
                                  "`script-security 2`: "));
    EXPECT_TRUE(noted(up + down + "up /etc/openvpn/update-resolv-conf\n"));
    EXPECT_FALSE(noted("up /etc/openvpn/update-resolv-conf\n" + up + down));
    EXPECT_FALSE(noted("up \"/usr/lib/failclosed/openvpn-hook x\"\n" + down));
    // An OpenVPN server is not a tunnel for this machine's packets.
    client.write_file("/etc/openvpn/other.conf", "server 10.9.0.0 255.255.255.0\n");
    EXPECT_THAT(failclosed(client, {"doctor"}).out, Not(HasSubstr("openvpn-config: ")));
}

TEST(DoctorTest, NotesSettingsOfOtherPrograms)
{
    Target target(Guard::All);
    const Box& client = target.client();
    client.write_file("/usr/lib/NetworkManager/conf.d/20-connectivity.conf",
                      "[connectivity]\nuri=http://connectivity.example/\n");
    client.must({"ip", "mptcp", "endpoint", "add", "192.168.50.10", "signal"});
    client.ip("link add macvlan0 link eth0 type macvlan\n"
              "link add br0 type bridge\nlink add port0 link eth0 type macvlan\n"
              "link set port0 master br0\n");
    client.sysctl("net.ipv4.ip_forward", "1");
    client.must({"failclosed", "reapply"});
    Outcome outcome = failclosed(client, {"doctor"});
    EXPECT_EQ(outcome.status, 0) << outcome.out;
    for (const char* line :
         {"note  connectivity-check: NetworkManager asks http://connectivity.example/",
          "note  mptcp: announces 192.168.50.10", "note  guests: macvlan0 sends by eth0",
          "note  guests: br0 sends by port0", "note  forwarding: "}) {
        EXPECT_THAT(outcome.out, HasSubstr(line));
    }
    // The administrator's file has precedence over, or hides, the package's.
    client.write_file("/etc/NetworkManager/conf.d/10-mine.conf", "[connectivity]\nenabled=false\n");
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr("ok    connectivity-check"));
    client.must({"rm", "/etc/NetworkManager/conf.d/10-mine.conf"});
    client.write_file("/etc/NetworkManager/conf.d/20-connectivity.conf", "");
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr("ok    connectivity-check"));
}

TEST(StatusTest, NamesDevicesWithoutTheDeviceGuard)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const bool has_guard = client.run({"nft", "list", "table", "netdev", "failclosed"}).ok();
    const auto status = [&] { return failclosed(client, {"status"}).out; };
    const auto guard = [&](const std::string& text) {
        return HasSubstr(has_guard ? "\ndevice guard (lock 3): " + text + "\n" : "no device guard");
    };
    EXPECT_THAT(status(), guard("on all devices except tunnels and devices to guests"));
    EXPECT_THAT(status(), Not(HasSubstr("differs from the plan")));

    client.ip("link add hot0 type veth peer name cold0\n"); // without an event
    if (has_guard) {
        EXPECT_THAT(status(), guard("NOT on cold0, hot0 (run `failclosed reapply`)"));
        EXPECT_THAT(status(), testing::ContainsRegex("^closed: .*\nwarning: firewall differs "));
        EXPECT_THAT(status_of(client), HasSubstr(R"("device_guard":false)"));
        EXPECT_THAT(failclosed(client, {"doctor"}).out,
                    HasSubstr("bad   locks: device guard (lock 3): NOT on cold0, hot0"));
        ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
        client.must({"nft", "flush", "chain", "netdev", "failclosed", "onto_the_wire"});
        EXPECT_THAT(status(), guard("differs from the plan (run `failclosed reapply`)"));
        EXPECT_THAT(status_of(client), HasSubstr(R"("device_guard":false)"));
        ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
        client.must({"nft", "delete", "table", "netdev", "failclosed"});
        EXPECT_THAT(status(), guard("differs from the plan (run `failclosed reapply`)"));
        EXPECT_EQ(failclosed(client, {"check"}).status, 1);
    }
    ASSERT_EQ(failclosed(client, {"reapply"}).status, 0);
    EXPECT_THAT(status(), guard("on all devices except tunnels and devices to guests"));
}

TEST(StatusTest, SeparatesPassedFromRefusedPackets)
{
    Target target(Guard::All);
    const Box& client = target.client();
    ASSERT_TRUE(target.tunnel_works());
    const auto status = [&] { return failclosed(client, {"status"}).out; };
    EXPECT_THAT(status(), testing::ContainsRegex(
                              "\npassed: [0-9]+ packets: VPN server, by its tunnel program\n"));
    EXPECT_THAT(status(), Not(HasSubstr("refused: ")));
    client.run({"ping", "-c", "1", "-W", "1", "-I", "eth0", addr::site4});
    EXPECT_THAT(status(), testing::ContainsRegex(
                              "\nrefused: 1 packet: [^\n]+\n  senders of what was refused: "));
    client.write_file("/etc/failclosed/failclosed.conf",
                      "[failclosed]\nlog=no\nlan=192.168.50.0/24;10.77.0.0/16\n");
    EXPECT_THAT(status(), Not(HasSubstr("senders of")));
    EXPECT_THAT(status(), HasSubstr("\nlocal network: 192.168.50.0/24, 10.77.0.0/16\n"));
    EXPECT_EQ(failclosed(client, {"plan"}).status, 0);
    client.write_file("/etc/failclosed/failclosed.conf", "[failclosed]\nlan=nonsense\n");
    EXPECT_EQ(failclosed(client, {"plan"}).status, 1);
}

TEST(DetectorTest, ReportsRoutesThatANetworkInjects)
{
    Target target(Guard::All);
    const Box& client = target.client();
    EXPECT_THAT(status_of(client), HasSubstr(R"("findings":[])"));
    EXPECT_THAT(failclosed(client, {"status"}).out, Not(HasSubstr("warning: ")));
    client.ip("route add 198.51.100.20/32 via 192.168.50.9 proto dhcp\n"
              "route add 0.0.0.0/1 via 192.168.50.9 dev eth0 proto dhcp metric 7\n"
              "route add 2001:db8:99::/48 via fe80::66 dev eth0 proto ra\n");
    const Outcome status = failclosed(client, {"status"});
    for (const char* line :
         {"warning: a route leads 198.51.100.20/32 (public) past the tunnel: via 192.168.50.9 dev "
          "eth0, set by DHCP\n",
          "warning: a route leads 0.0.0.0/1 (a piece of the default route) past the tunnel: via "
          "192.168.50.9 dev eth0, set by DHCP\n",
          "warning: a route leads 2001:db8:99::/48 (public) past the tunnel: via fe80::66 dev "
          "eth0, "
          "set by a router advertisement\n"}) {
        EXPECT_THAT(status.out, HasSubstr(line));
    }
    EXPECT_THAT(failclosed(client, {"doctor"}).out, HasSubstr("note  injected-route: "));
    EXPECT_THAT(status_of(client), HasSubstr(R"("kind":"injected-route")"));
    EXPECT_TRUE(target.tunnel_works());
}

TEST(ExplainTest, CoversAllThreeTablesAndSignIns)
{
    Hotel hotel;
    hotel.client().write_file("/etc/failclosed/failclosed.conf",
                              "[failclosed]\nforward=eth0\ninbound=tcp/22 from 198.51.100.0/24\n"
                              "belt-allow=52:54:00:12:34:56;192.168.50.77;0x88e5\n");
    const std::string status = failclosed(hotel.client(), {"status"}).out;
    for (const char* line :
         {"led into the tunnel: eth0\n", "reached from outside: tcp/22 from 198.51.100.0/24\n",
          "passes the device guard: 52:54:00:12:34:56, 192.168.50.77/32, 0x88e5\n"}) {
        EXPECT_THAT(status, HasSubstr(line));
    }
    hotel.client().must({"rm", "/etc/failclosed/failclosed.conf"});
    const std::string plan = hotel.client().must({"failclosed", "plan"});
    for (const char* table : {"inet", "arp", "netdev"}) {
        EXPECT_THAT(plan, HasSubstr(std::string("table ") + table + " failclosed {"));
    }
    const auto explain = [&](std::vector<std::string> arguments) {
        const std::vector<std::string> common = {"explain", "--to",   addr::site4, "--proto",
                                                 "tcp",     "--port", "443"};
        arguments.insert(arguments.begin(), common.begin(), common.end());
        return failclosed(hotel.client(), std::move(arguments)).out;
    };
    ASSERT_EQ(hotel.portal({"--for", "1m", "--user", member}).status, 0);
    const std::string user = explain({"--uid", "4242"});
    EXPECT_THAT(user, HasSubstr("\nportal: accept: sign-in to the network: web pages\n"));
    EXPECT_THAT(user, testing::EndsWith("verdict: accept\n"));
    EXPECT_THAT(user,
                HasSubstr("\ndevice guard: portal: accept: sign-in to the network: web pages\n"));
    EXPECT_THAT(explain({"--uid", "4243", "--oif", "eth0"}),
                testing::EndsWith("verdict: reject\n"));
}

// ---- Services reached from outside ----

// A remote session must survive the lock of its machine. The service closes when it has handed all
// to the kernel: what is sent then belongs to no program.
TEST(InboundTest, AServiceAnswersBeforeAndAfterTheLockAndWhileTheTunnelIsUp)
{
    Target::Options options;
    options.begin = false;
    options.config = "[failclosed]\ninbound=tcp/80 from any\n";
    Target target(Guard::All, options);
    const HttpServer service(target.client(), std::string(2'000'000, 'x') + "the end");
    const Box& visitor = target.lab().internet();
    visitor.must({"mkfifo", "/run/locked"});
    const std::string ask = "exec 3<>/dev/tcp/192.168.50.10/80; printf GET >&3; ";
    const Process before = visitor.start(
        {"bash", "-c",
         ask + "head -c 1000 <&3 >/dev/null; echo begun; cat /run/locked; tail -c 7 <&3"});
    ASSERT_TRUE(before.wait_for("begun")) << before.output();
    target.begin();
    visitor.must({"sh", "-c", "echo >/run/locked"});
    EXPECT_TRUE(before.wait_for("the end")) << before.output();
    EXPECT_EQ(visitor.run({"bash", "-c", ask + "tail -c 7 <&3"}).out, "the end");
    EXPECT_TRUE(target.tunnel_works());
    target.vpn().kill();
    EXPECT_EQ(visitor.run({"bash", "-c", ask + "tail -c 7 <&3"}).out, "the end");
}

// ---- Devices that appear ----

/// The real systemd-udevd, with the kernel's events of the client's network.
class Udev {
  public:
    explicit Udev(const Box& box) : process_(box.start({"/lib/systemd/systemd-udevd", "--debug"}))
    {
        if (!eventually([&] { return box.run({"udevadm", "control", "--ping"}).ok(); })) {
            throw LabError("udev does not start: " + process_.output());
        }
    }

    std::string log() const { return process_.output(); }

  private:
    Process process_;
};

TEST(UdevTest, ADeviceThatAppearsIsCoveredAtOnce)
{
    Target target(Guard::All);
    const Box& client = target.client();
    const Udev udev(client);
    const auto belt = [&] { return client.must({"nft", "list", "table", "netdev", "failclosed"}); };
    EXPECT_THAT(belt(), Not(HasSubstr("device \"hot0\"")));
    client.ip("link add hot0 type veth peer name cold0\n");
    EXPECT_TRUE(eventually([&] { return belt().find("device \"hot0\"") != std::string::npos; }))
        << udev.log();
    client.ip("link set hot0 name hot1\n");
    EXPECT_TRUE(eventually([&] { return belt().find("device \"hot1\"") != std::string::npos; }))
        << udev.log();
    EXPECT_EQ(failclosed(client, {"check"}).status, 0);
}

// Without the boot lock a reboot opens the machine, also after an administrator has locked himself
// out.
TEST(UdevTest, AMachineThatWasLockedBeforeItsRestartIsNotLockedByItsDevices)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    client.must({"failclosed", "lock", "--server", "203.0.113.2:1194/udp"});
    client.must({"nft", "flush", "ruleset"});
    client.must({"rm", "-r", "/run/failclosed"});
    const Udev udev(client);
    client.ip("link add hot0 type veth peer name cold0\n");
    EXPECT_TRUE(eventually([&] {
        return client.run({"udevadm", "info", "/sys/class/net/hot0"}).out.find("INITIALIZED") !=
               std::string::npos;
    })) << udev.log();
    client.must({"udevadm", "settle"});
    EXPECT_EQ(client.must({"nft", "list", "ruleset"}), "");
}

TEST(UdevTest, DoesNothingOnAMachineThatWasNeverLocked)
{
    Lab lab(with_product());
    const Box& client = lab.client();
    const Outcome outcome = failclosed(client, {"reapply", "--quiet"});
    EXPECT_EQ(error_of(outcome) + outcome.out, "0 ");
    EXPECT_EQ(client.must({"nft", "list", "ruleset"}), "");
    EXPECT_FALSE(client.exists("/var/lib/failclosed/armed"));
    // What udev runs is there.
    const std::string rule = client.read_file("/usr/lib/udev/rules.d/90-failclosed.rules");
    EXPECT_THAT(rule, HasSubstr("RUN+=\"/usr/sbin/failclosed reapply --quiet\""));
}

} // namespace failclosed::lab
