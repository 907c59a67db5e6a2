// SPDX-License-Identifier: GPL-3.0-or-later
// Who is asked for names while NetworkManager writes its configuration again and again, in each of
// its ways to do that.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/daemons/resolvers.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char resolv_conf[] = "/etc/resolv.conf";
constexpr char other_resolver4[] = "192.168.50.2"; ///< the ISP's as well: addr::other_gateway4
constexpr char hook[] = "/usr/lib/failclosed/nm-dispatcher";
constexpr char away[] = "/usr/lib/failclosed/away";
constexpr char from_inside[] = "192.0.2.1";
constexpr char from_isp[] = "192.0.2.2";
constexpr int most_look_ups = 2000;

/// How NetworkManager is told to handle names.
struct Mode {
    std::string title;
    std::string dns = "default";
    std::string rc_manager = "file";
    /// What resolv.conf links to before NetworkManager starts; empty: it is a file.
    std::string link = {};

    void PrintTo(const Mode& mode, std::ostream* out) { *out << mode.title; }

    /// The file of another program, if NetworkManager writes none.
    std::string foreign = {};
};

/// NetworkManager leaves a link to another's file alone, and not the file that stands there while
/// a tunnel is up.
bool writes_over_us(const Mode& mode)
{
    return !mode.link.empty() && mode.link == mode.foreign;
}

std::string probe(int number)
{
    return "name" + std::to_string(number) + ".example.com";
}

/// Names that only a look-up of look_up() asks for, all with this address.
Names probes(const std::string& address)
{
    Names names = default_names();
    for (int i = 0; i < most_look_ups; ++i) {
        names[probe(i)] = {address};
    }
    return names;
}

/// A lease that is renewed after three seconds, with one resolver of the ISP's or the other.
std::vector<std::string> network(const std::string& resolver)
{
    return dhcp_and_ra({.resolver = resolver, .t1 = 3, .t2 = 60});
}

/// A client whose network NetworkManager manages, and a server.
class ManagedNames : public ::testing::Test {
  protected:
    ManagedNames()
        : lab_(with_product({.static_addresses = false,
                             .names = probes(from_isp),
                             .dns_extra = network(addr::gateway4)})),
          server_(lab_, {.names = probes(from_inside)}), bus_(lab_.client())
    {
    }

    const Box& client() const { return lab_.client(); }

    void start(const Mode& mode)
    {
        mode_ = mode;
        if (mode.dns == "systemd-resolved") {
            resolved_.emplace(bus_);
        }
        if (mode.rc_manager == "resolvconf") {
            unpack(client(), "openresolv");
        }
        if (!mode.foreign.empty()) {
            client().write_file(mode.foreign, std::string("nameserver ") + addr::gateway4 + "\n");
        }
        if (!mode.link.empty()) {
            client().must({"ln", "-sf", mode.link, resolv_conf});
        }
        manager_.emplace(bus_,
                         NetworkManager::Options{.dns = mode.dns, .rc_manager = mode.rc_manager});
        manager_->connect_ethernet();
        ASSERT_TRUE(manager_->wait_for_event_done("up", "eth0")) << manager_->recorder().text();
        ASSERT_TRUE(manager_->wait_for_event_done("dhcp6-change", "eth0"))
            << manager_->recorder().text();
    }

    void lock() const
    {
        ASSERT_EQ(failclosed(client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
    }

    /// The resolver that answers the C library for an uncached name; empty: none.
    std::string look_up()
    {
        if (look_ups_ == most_look_ups) {
            throw LabError("too many look-ups\n" + configuration());
        }
        const std::string answer =
            client()
                .run(Command{"getent", "ahostsv4", probe(look_ups_++)}.with_env(
                    {"RES_OPTIONS=timeout:1 attempts:1"}))
                .out;
        return answer.substr(0, answer.find(' '));
    }

    bool looks_up(const std::string& whose, std::chrono::milliseconds time = patience)
    {
        return eventually([&] { return look_up() == whose; }, time);
    }

    /// Whether NetworkManager calls its dispatcher for a renewed lease. 1.42 calls no script.
    bool announces_renewals() const
    {
        return !manager_->nmcli({"-g", "VERSION", "general"}).starts_with("1.42.");
    }

    /// The addresses of resolvers that NetworkManager has from eth0's lease.
    std::string leased() const
    {
        return manager_->nmcli({"-g", "IP4.DNS", "device", "show", "eth0"});
    }

    /// The ISP gives another resolver from the next renewal on, and that has taken place.
    void push(const std::string& resolver)
    {
        lab_.dns().restart(network(resolver));
        ASSERT_TRUE(eventually([&] { return leased().find(resolver) != std::string::npos; }, 20s))
            << leased() << lab_.dns().log();
    }

    std::string resolvers() const { return client().read_file(resolv_conf); }

    /// Everything by which the client's programs could find a resolver of the ISP's, for a failing
    /// test.
    std::string configuration()
    {
        std::string text = "resolv.conf:\n" + client().must({"ls", "-l", resolv_conf}) +
                           resolvers() + failclosed(client(), {"status"}).out;
        if (resolved_) {
            text += client().must({"resolvectl", "--no-pager", "dns"});
        }
        return text + manager_->recorder().text() + bus_.log();
    }

    /// Puts the hook away, as if nothing were announced any more, and waits for those that still
    /// run: no caller waits for them when they are started.
    void silence_hook()
    {
        client().must({"mv", hook, away});
        const auto count = [&](const std::string& text) { return bus_.process().count(text); };
        ASSERT_TRUE(eventually([&] {
            return count("90-failclosed\": complete") == count("90-failclosed\": run script");
        })) << bus_.log();
    }

    /// All ways in which NetworkManager writes its configuration anew; `after` is called after
    /// each.
    void provoke(const std::function<void(const std::string& what)>& after)
    {
        ASSERT_TRUE(manager_->wait_for_event_done("up", "tun0")) << configuration();
        manager_->recorder().forget();
        ASSERT_NO_FATAL_FAILURE(push(other_resolver4));
        if (!mode_.foreign.empty()) {
            client().write_file(mode_.foreign, std::string("nameserver ") + other_resolver4 + "\n");
        }
        if (mode_.foreign.empty() || writes_over_us(mode_)) {
            after("another lease");
        }
        manager_->nmcli({"device", "reapply", "eth0"});
        after("reapply");
        manager_->nmcli({"general", "reload", "dns-full"});
        after("reload");
        manager_->nmcli({"device", "modify", "eth0", "+ipv4.dns", addr::neighbour4});
        after("modify");
        manager_->recorder().forget();
        manager_->restart();
        ASSERT_TRUE(manager_->wait_activated("eth0")) << manager_->log();
        ASSERT_TRUE(manager_->wait_for_event_done("up", "eth0")) << manager_->recorder().text();
        after("restart");
    }

    Lab lab_;
    VpnServer server_;
    SystemBus bus_;
    std::optional<Resolved> resolved_;
    std::optional<NetworkManager> manager_;
    Mode mode_;

  private:
    int look_ups_ = 0;
};

/// Programs that ask the resolvers of this world directly, as fast as they can.
Traffic::Options askers()
{
    std::vector<Kind> kinds;
    for (const char* to : {addr::gateway4, other_resolver4, addr::resolver4, addr::gateway6}) {
        for (const uid_t uid : {uid_t{0}, traffic_uid}) {
            const std::string name = std::string("dns@") + (uid == 0 ? "root " : "user ") + to;
            kinds.push_back({name, Way::Dns, Via::Route, to, 53, uid});
        }
    }
    return {.kinds = std::move(kinds), .interval = 10ms};
}

class EachMode : public ManagedNames, public ::testing::WithParamInterface<Mode> {};

TEST_P(EachMode, OnlyTheTunnelsResolverIsQueriedThenTheCurrentOneIsRestored)
{
    const Mode& mode = GetParam();
    Sniffer sniffer(lab_);
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(start(mode));
    sniffer.settle();
    sniffer.reset();
    lab_.dns().forget_queries();
    const Traffic traffic(lab_, askers());
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_TRUE(looks_up(from_inside)) << configuration();

    ASSERT_NO_FATAL_FAILURE(provoke([&](const std::string& what) {
        if (writes_over_us(mode) && what == "another lease") {
            if (!announces_renewals()) {
                ASSERT_TRUE(eventually([&] {
                    return resolvers().find(other_resolver4) != std::string::npos;
                })) << configuration();
                EXPECT_EQ(look_up(), "") << configuration();
                return; // the next event puts the file right
            }
            // The file may be written before the event or after it.
            ASSERT_TRUE(manager_->wait_for_event_done("dhcp4-change", "eth0")) << configuration();
            EXPECT_NE(look_up(), from_isp) << configuration();
        }
        if (writes_over_us(mode) && what == "reload") {
            EXPECT_NE(look_up(), from_isp) << configuration();
            return;
        }
        if (writes_over_us(mode) && !looks_up(from_inside, 5s)) {
            // It wrote after the last event that it told of; known-limits.md says what helps.
            EXPECT_THAT(resolvers(), HasSubstr("# Generated by NetworkManager")) << what;
            EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
        }
        EXPECT_TRUE(looks_up(from_inside)) << what << "\n" << configuration();
        EXPECT_TRUE(traffic.wait_all_sent(3));
    }));
    vpn.term();
    ASSERT_TRUE(vpn.process().wait());
    EXPECT_NE(look_up(), from_isp);
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();

    // The former resolver has gone since.
    lab_.isp().nft("table inet gone { chain in { type filter hook input priority 0;\n"
                   "ip daddr 192.168.50.1 udp dport 53 reject\n"
                   "ip6 daddr 2001:db8:50::1 udp dport 53 reject\n}\n}\n");
    EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
    EXPECT_TRUE(looks_up(from_isp)) << configuration();
    EXPECT_THAT(lab_.dns().names_asked(), Not(IsEmpty()));
    if (!mode.link.empty()) {
        EXPECT_EQ(client().must({"readlink", resolv_conf}), mode.link + "\n");
    }
    if (!resolved_ && mode.dns != "dnsmasq") {
        EXPECT_THAT(resolvers(), HasSubstr(other_resolver4));
        EXPECT_THAT(resolvers(), Not(HasSubstr(std::string(addr::gateway4) + "\n")));
    }
}

INSTANTIATE_TEST_SUITE_P(
    NetworkManager, EachMode,
    ::testing::Values(
        Mode{.title = "File"}, Mode{.title = "Symlink", .rc_manager = "symlink"},
        Mode{.title = "SymlinkToItsOwn",
             .rc_manager = "symlink",
             .link = "/run/NetworkManager/resolv.conf"},
        Mode{.title = "Resolvconf", .rc_manager = "resolvconf"},
        Mode{.title = "UnmanagedLinkToItsOwn",
             .rc_manager = "unmanaged",
             .link = "/run/NetworkManager/resolv.conf"},
        Mode{.title = "Resolved", .dns = "systemd-resolved"},
        Mode{.title = "ResolvedAuto", .dns = "systemd-resolved", .rc_manager = "auto"},
        Mode{.title = "Dnsmasq", .dns = "dnsmasq"},
        Mode{.title = "SymlinkToAnothersFile",
             .rc_manager = "symlink",
             .link = "/etc/mine.conf",
             .foreign = "/etc/mine.conf"},
        Mode{.title = "UnmanagedFile", .rc_manager = "unmanaged", .foreign = resolv_conf},
        Mode{.title = "None", .dns = "none", .foreign = resolv_conf}),
    [](const auto& row) { return row.param.title; });

/// Counts the files that take the place of the client's resolv.conf.
class Arrivals {
  public:
    explicit Arrivals(const Box& box) : events_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
    {
        if (inotify_add_watch(events_.get(), box.outside_path("/etc").c_str(),
                              IN_CREATE | IN_MOVED_TO) < 0) {
            throw LabError("no watch on /etc");
        }
    }

    /// Since the last call.
    int count()
    {
        int found = 0;
        alignas(inotify_event) std::array<char, 4096> bytes{};
        for (;;) {
            const ssize_t size = read(events_.get(), bytes.data(), bytes.size());
            if (size <= 0) {
                return found;
            }
            for (const char* next = bytes.data(); next < bytes.data() + size;) {
                const auto* event = reinterpret_cast<const inotify_event*>(next);
                found += std::string_view(event->name) == "resolv.conf" ? 1 : 0;
                next += sizeof *event + event->len;
            }
        }
    }

  private:
    UniqueFd events_;
};

// NetworkManager would write over a link that stands there only for a moment: it looks first, and
// renames its file later.
TEST_F(ManagedNames, AFileWrittenOverOursIsReplacedInOneStep)
{
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(
        start({.rc_manager = "symlink", .link = "/etc/mine.conf", .foreign = "/etc/mine.conf"}));
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_TRUE(manager_->wait_for_event_done("up", "tun0")) << configuration();
    // No hook puts anything right before it is asked to.
    ASSERT_NO_FATAL_FAILURE(silence_hook());
    ASSERT_THAT(resolvers(), HasSubstr(addr::inside4)) << configuration();
    Arrivals arrivals(client());
    manager_->nmcli({"general", "reload", "dns-full"});
    ASSERT_TRUE(eventually([&] { return resolvers().find(addr::gateway4) != std::string::npos; }))
        << configuration();
    EXPECT_EQ(arrivals.count(), 1);
    EXPECT_EQ(failclosed(client(), {"reapply"}).status, 0);
    EXPECT_EQ(arrivals.count(), 1);
    EXPECT_EQ(look_up(), from_inside) << configuration();
    EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
    EXPECT_EQ(client().must({"readlink", resolv_conf}), "/etc/mine.conf\n");
}

// A NetworkManager that starts reads its file, and answers on D-Bus a moment later. What is taken
// out of the file in between, it has: so it is waited for.
class Starting : public ManagedNames {
  protected:
    /// Connects, and starts NetworkManager anew as far as that moment.
    void SetUp() override
    {
        ASSERT_NO_FATAL_FAILURE(lock());
        ASSERT_NO_FATAL_FAILURE(start({}));
        vpn_.emplace(lab_);
        ASSERT_TRUE(vpn_->wait_connected()) << vpn_->log();
        ASSERT_TRUE(manager_->wait_for_event_done("up", "tun0")) << configuration();
        ASSERT_NO_FATAL_FAILURE(silence_hook());
        manager_->stop();
        ASSERT_TRUE(file_has_ours());
        configure();
        // It comes no further than to a bus that says nothing.
        bus_.process().signal(SIGSTOP);
        const UniqueFd events(inotify_init1(IN_CLOEXEC));
        ASSERT_GE(
            inotify_add_watch(events.get(), client().outside_path(file).c_str(), IN_CLOSE_NOWRITE),
            0);
        start_ = std::async(std::launch::async, [this] { manager_->start(); });
        pollfd read_by_it{events.get(), POLLIN, 0};
        ASSERT_EQ(poll(&read_by_it, 1, static_cast<int>(patience.count())), 1);
        client().must({"pkill", "-STOP", "-x", "NetworkManager"});
        bus_.process().signal(SIGCONT);
        client().must({"mv", away, hook});
    }

    /// What the administrator does before it starts again.
    virtual void configure() const {}

    bool file_has_ours() const
    {
        return client().read_file(file).find("10.8.0.1") != std::string::npos;
    }

    /// Lets it go on when our settings are out of its file.
    void go_on_after_the_file()
    {
        ASSERT_TRUE(eventually([&] { return !file_has_ours(); }));
        go_on();
    }

    void go_on()
    {
        client().must({"pkill", "-CONT", "-x", "NetworkManager"});
        start_.get();
    }

    bool has_the_lease()
    {
        return eventually([&] {
            return resolvers().find(addr::gateway4) != std::string::npos && !file_has_ours();
        });
    }

    std::optional<VpnClient> vpn_;

  private:
    static constexpr char file[] = "/var/lib/NetworkManager/NetworkManager-intern.conf";

    std::future<void> start_;
};

TEST_F(Starting, KeepsNoTunnelDnsAfterUnlock)
{
    const Process unlock = client().start({"failclosed", "unlock"});
    ASSERT_NO_FATAL_FAILURE(go_on_after_the_file());
    EXPECT_EQ(unlock.wait(), 0) << unlock.output();
    EXPECT_TRUE(has_the_lease()) << configuration();
    EXPECT_TRUE(looks_up(from_isp)) << configuration();
}

TEST_F(Starting, KeepsNoDnsOfATunnelThatEndsDuringTheStart)
{
    vpn_->term();
    ASSERT_NO_FATAL_FAILURE(go_on_after_the_file());
    ASSERT_TRUE(vpn_->process().wait()) << vpn_->log();
    EXPECT_TRUE(has_the_lease()) << configuration();
    EXPECT_TRUE(eventually([&] { return failclosed(client(), {"check"}).status == 0; }));
}

TEST_F(Starting, HasTheFormerDnsAfterTheTunnelsEnd)
{
    const Process reapply = client().start({"failclosed", "reapply"});
    ASSERT_NO_FATAL_FAILURE(go_on_after_the_file());
    EXPECT_EQ(reapply.wait(), 0) << reapply.output();
    EXPECT_TRUE(looks_up(from_inside)) << configuration();
    vpn_->term();
    ASSERT_TRUE(vpn_->process().wait()) << vpn_->log();
    EXPECT_TRUE(has_the_lease()) << configuration();
}

TEST_F(Starting, IsWaitedForALimitedTime)
{
    EXPECT_EQ(failclosed(client(), {"unlock"}).status, 0);
    EXPECT_FALSE(file_has_ours());
    go_on();
}

class StartingWithItsOwn : public Starting {
  protected:
    void configure() const override
    {
        client().write_file("/etc/NetworkManager/conf.d/dns.conf",
                            std::string("[global-dns-domain-*]\nservers=") + other_resolver4 +
                                "\n");
    }
};

TEST_F(StartingWithItsOwn, KeepsItsSettingsAndDelaysNoRun)
{
    const Process reapply = client().start({"failclosed", "reapply"});
    ASSERT_NO_FATAL_FAILURE(go_on_after_the_file());
    ASSERT_TRUE(reapply.wait().has_value()) << reapply.output();
    const Outcome unlocked = failclosed(client(), {"unlock"});
    EXPECT_EQ(unlocked.status, 0) << unlocked.err;
    EXPECT_TRUE(looks_up(from_isp)) << configuration();
    EXPECT_THAT(resolvers(), HasSubstr(other_resolver4));
}

TEST_F(StartingWithItsOwn, KeepsItsSettingsWithoutALaterRestore)
{
    // No hook puts anything back before unlock does.
    client().must({"mv", hook, away});
    go_on();
    ASSERT_TRUE(manager_->wait_activated("eth0")) << manager_->log();
    const Outcome unlocked = failclosed(client(), {"unlock"});
    EXPECT_EQ(unlocked.status, 0) << unlocked.err;
    EXPECT_FALSE(file_has_ours());
    EXPECT_TRUE(looks_up(from_isp)) << configuration();
}

// What has its name has its objects a moment later.
TEST_F(ManagedNames, AnUnresponsiveManagerCountsAsNotRunning)
{
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(start({}));
    const VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_TRUE(manager_->wait_for_event_done("up", "tun0")) << configuration();
    manager_->stop();
    const Process nobody = client().start(
        {"python3", "-c",
         "import dbus.mainloop.glib, dbus.service\n"
         "from gi.repository import GLib\n"
         "dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)\n"
         "name = dbus.service.BusName('org.freedesktop.NetworkManager', dbus.SystemBus())\n"
         "print('has the name', flush=True)\n"
         "GLib.MainLoop().run()\n"});
    ASSERT_TRUE(nobody.wait_for("has the name")) << nobody.output();
    const Outcome unlocked = failclosed(client(), {"unlock"});
    EXPECT_EQ(unlocked.status, 0) << unlocked.err;
}

// What the tests above would see.
TEST_F(ManagedNames, WithoutFailclosedTheIspIsQueried)
{
    Sniffer sniffer(lab_);
    ASSERT_NO_FATAL_FAILURE(start({}));
    sniffer.settle();
    sniffer.reset();
    lab_.dns().forget_queries();
    const Traffic traffic(lab_, askers());
    VpnClient vpn(lab_, {.hooks = false});
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_NO_FATAL_FAILURE(provoke([&](const std::string& what) {
        EXPECT_TRUE(looks_up(from_isp)) << what << "\n" << configuration();
    }));
    EXPECT_THAT(lab_.dns().names_asked(), Not(IsEmpty()));
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) { return counts.leaked > 0; }))
        << sniffer.counts().text();
}

// NetworkManager is not there when the tunnel comes up, so that the file is written, and takes the
// file back when it is. What stands in it does not matter until the next event, and after that it
// is right again.
TEST_F(ManagedNames, AFileOfAnotherProgramLeaksNothingUntilTheNextEvent)
{
    ASSERT_NO_FATAL_FAILURE(lock());
    ASSERT_NO_FATAL_FAILURE(start({}));
    manager_->kill();
    Sniffer sniffer(lab_);
    lab_.dns().forget_queries();
    VpnClient vpn(lab_);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    ASSERT_EQ(look_up(), from_inside) << resolvers();
    // The hook cannot be reached, as if nothing had been announced.
    ASSERT_NO_FATAL_FAILURE(silence_hook());
    manager_->start();
    ASSERT_TRUE(eventually([&] { return resolvers().find(addr::gateway4) != std::string::npos; }))
        << configuration();
    ASSERT_TRUE(manager_->wait_for_event_done("up", "eth0")) << manager_->recorder().text();
    EXPECT_EQ(look_up(), "") << configuration();
    EXPECT_NE(failclosed(client(), {"check"}).status, 0);
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());

    client().must({"mv", away, hook});
    manager_->nmcli({"device", "reapply", "eth0"});
    EXPECT_TRUE(looks_up(from_inside)) << configuration();
    EXPECT_THAT(resolvers(), Not(HasSubstr(addr::gateway4)));
    EXPECT_THAT(lab_.dns().names_asked(), IsEmpty());
    vpn.term();
    ASSERT_TRUE(vpn.process().wait());
    EXPECT_TRUE(eventually([&] { return resolvers().find(addr::gateway4) != std::string::npos; }))
        << configuration();
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

} // namespace

} // namespace failclosed::lab
