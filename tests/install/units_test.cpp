// SPDX-License-Identifier: GPL-3.0-or-later
// What systemd itself makes of the installed units: its own loader, in a machine without a running
// systemd.
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kUnits = "/usr/lib/systemd/system/";
constexpr const char* kLock = "failclosed-lock.service";
constexpr const char* kStartOfTheLock = "Action: failclosed-lock.service -> start";

/// The units of all distributions that bring a network up, one instance for each template.
const std::vector<std::string> kBringers = {
    "NetworkManager.service",
    "cloud-init-local.service",
    "connman.service",
    "dhclient6@eth0.service",
    "dhclient@eth0.service",
    "dhcpcd.service",
    "dhcpcd@eth0.service",
    "ead.service",
    "ifplugd@eth0.service",
    "ifup@eth0.service",
    "iwd.service",
    "netctl-auto@wlan0.service",
    "netctl-ifplugd@eth0.service",
    "netctl.service",
    "netctl@home.service",
    "netplan-wpa-wlan0.service",
    "networking.service",
    "ppp@provider.service",
    "systemd-networkd.service",
    "wicked.service",
    "wickedd.service",
    "wpa_supplicant-nl80211@wlan0.service",
    "wpa_supplicant-wired@eth0.service",
    "wpa_supplicant.service",
    "wpa_supplicant@wlan0.service",
};

/// The name of the file that defines a unit: an instance's is its template.
std::string file_of(const std::string& unit)
{
    const auto at = unit.find('@');
    return at == std::string::npos ? unit : unit.substr(0, at + 1) + unit.substr(unit.rfind('.'));
}

/// Dependencies of one kind ("After", "Requires") of each unit.
using Dependencies = std::map<std::string, std::map<std::string, std::set<std::string>>>;

class UnitsTest : public testing::Test {
  protected:
    UnitsTest() : lab({.link_up = false, .install_root = Lab::install_root()})
    {
        // What `systemd --test` needs to begin.
        box.must({"mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"});
        box.must({"install", "-d", "-o", "65534", "/run/systemd"});
    }

    /// A unit that asks for no order at all.
    void write_unit(const std::string& unit, const std::string& lines) const
    {
        box.write_file(kUnits + file_of(unit),
                       "[Unit]\n" + lines + "[Service]\nExecStart=/bin/true\n");
    }

    /// Makes all bringers, and all.target, which starts them.
    void write_bringers(const std::string& lines) const
    {
        std::string wants;
        for (const auto& unit : kBringers) {
            write_unit(unit, lines);
            wants += "Wants=" + unit + "\n";
        }
        box.write_file(kUnits + std::string("all.target"), "[Unit]\n" + wants);
    }

    /// What `systemd --test` would start for `unit`; it does not run as root.
    Outcome transaction(const std::string& unit) const
    {
        return box.run(Command{
            {"/usr/lib/systemd/systemd", "--test", "--system", "--no-pager",
             "--unit=" +
                 unit}}.as(65534));
    }

    Dependencies load(const std::string& unit) const
    {
        const Outcome outcome = transaction(unit);
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        Dependencies loaded;
        std::string current;
        std::istringstream lines(outcome.out);
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words(line);
            std::string first;
            std::string second;
            std::string third;
            words >> first >> second >> third;
            if (first == "->" && second == "Unit") {
                current = third.substr(0, third.size() - 1);
            } else if (first.ends_with(":")) {
                loaded[current][first.substr(0, first.size() - 1)].insert(second);
            }
        }
        return loaded;
    }

    Outcome verify(std::vector<std::string> units) const
    {
        units.insert(units.begin(),
                     {"systemd-analyze", "verify", "--man=no", "--recursive-errors=no"});
        return box.run(units);
    }

    void enable() const { box.must({"systemctl", "--quiet", "enable", kLock}); }

    const Lab lab;
    const Box& box = lab.client();
};

// The order has to be the bringer's own: one that is started when the lock has failed starts the
// lock again, and must wait for it.
TEST_F(UnitsTest, EnabledLockIsRequiredByNetworkUnitsAndPrecedesThem)
{
    enable();
    write_bringers("DefaultDependencies=no\n");
    auto loaded = load("all.target");
    for (const auto& unit : kBringers) {
        EXPECT_THAT(loaded[unit]["Requires"], Contains(kLock)) << unit;
        EXPECT_THAT(loaded[unit]["After"], Contains(kLock)) << unit;
    }
}

TEST_F(UnitsTest, NetworkStartsWithoutTheLockIfItIsNotEnabled)
{
    write_bringers("DefaultDependencies=no\n");
    auto loaded = load("all.target");
    for (const auto& unit : kBringers) {
        ASSERT_THAT(loaded["all.target"]["Wants"], Contains(unit));
        EXPECT_THAT(loaded[unit]["Requires"], Not(Contains(kLock))) << unit;
    }
    EXPECT_THAT(transaction("all.target").out, Not(HasSubstr(kStartOfTheLock)));
    enable();
    EXPECT_THAT(transaction("all.target").out, HasSubstr(kStartOfTheLock));
}

TEST_F(UnitsTest, EachUnitInLinksOfTheLockIsTested)
{
    enable();
    std::set<std::string> tested;
    for (const auto& unit : kBringers) {
        tested.insert(unit == "netplan-wpa-wlan0.service" ? "netplan-wpa-.service" : file_of(unit));
    }
    std::istringstream folders(box.must({"find", "/etc/systemd/system", "-path",
                                         "*.requires/failclosed-lock.service", "-printf", "%h\n"}));
    std::set<std::string> named;
    for (std::string folder; std::getline(folders, folder);) {
        named.insert(std::filesystem::path(folder).stem());
    }
    EXPECT_EQ(named, tested);
}

// Programs that failclosed has never heard of, started by units of the ordinary kind.
TEST_F(UnitsTest, UnitsWithDefaultDependenciesStartAfterTheLock)
{
    enable();
    write_unit("unheard-of@eth0.service", "");
    auto loaded = load("unheard-of@eth0.service");
    EXPECT_THAT(loaded["unheard-of@eth0.service"]["After"], Contains("sysinit.target"));
    EXPECT_THAT(loaded["sysinit.target"]["After"], Contains(kLock));
    EXPECT_THAT(loaded["sysinit.target"]["Wants"], Contains(kLock));
}

TEST_F(UnitsTest, LockIsInNoOrderingCycle)
{
    enable();
    // As ifupdown's and systemd-networkd's own units.
    write_bringers("DefaultDependencies=no\n"
                   "After=local-fs.target network-pre.target systemd-udevd.service\n"
                   "After=systemd-sysctl.service systemd-modules-load.service\n"
                   "After=systemd-sysusers.service systemd-tmpfiles-setup.service\n"
                   "Before=network.target shutdown.target\nWants=network.target\n");
    box.write_file("/etc/systemd/system/multi-user.target.d/all.conf",
                   "[Unit]\nWants=all.target\n");
    EXPECT_THAT(transaction("multi-user.target").err, Not(HasSubstr("cycle")));

    // What a cycle would look like.
    box.write_file("/etc/systemd/system/local-fs.target.d/late.conf",
                   "[Unit]\nAfter=sysinit.target\n");
    EXPECT_THAT(transaction("multi-user.target").err, HasSubstr("cycle"));
}

// Debian's nftables.service asks for no order, Fedora's is an ordinary unit.
TEST_F(UnitsTest, NftablesServiceStartsAfterTheLockWithoutACycle)
{
    enable();
    const std::string of_debian = box.read_file(std::string(kUnits) + "nftables.service");
    ASSERT_THAT(of_debian, HasSubstr("DefaultDependencies=no"));
    const std::string of_fedora =
        "[Unit]\nWants=network-pre.target\nBefore=network-pre.target\n[Service]\nType=oneshot\n"
        "RemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/true\n"
        "[Install]\nWantedBy=multi-user.target\n";
    for (const auto& unit : {of_debian, of_fedora}) {
        box.write_file(std::string(kUnits) + "nftables.service", unit);
        box.must({"systemctl", "--quiet", "reenable", "nftables.service"});
        EXPECT_THAT(transaction("multi-user.target").err, Not(HasSubstr("cycle"))) << unit;
        EXPECT_THAT(transaction("multi-user.target").out,
                    HasSubstr("Action: nftables.service -> start"));
        EXPECT_THAT(load("multi-user.target")["nftables.service"]["After"], Contains(kLock));
    }
}

// The link beside our unit is enough: it is nowhere enabled.
TEST_F(UnitsTest, SystemdNetworkdBringsItsAnnouncements)
{
    enable();
    const std::string path = "failclosed-networkd.path";
    auto loaded = load("systemd-networkd.service");
    EXPECT_THAT(loaded["systemd-networkd.service"]["Wants"], Contains(path));
    EXPECT_THAT(loaded["systemd-networkd.service"]["After"], Contains(path));
    EXPECT_THAT(loaded[path]["Triggers"], Contains("failclosed-networkd.service"));
    EXPECT_THAT(loaded["failclosed-networkd.service"]["After"], Contains(kLock));
    EXPECT_THAT(loaded["failclosed-networkd.service"]["OnSuccess"],
                Contains("failclosed-networkd-settled.service"));
    EXPECT_THAT(transaction("systemd-networkd.service").err, Not(HasSubstr("cycle")));
    EXPECT_THAT(transaction("systemd-networkd.service").out,
                HasSubstr("Action: " + path + " -> start"));
    EXPECT_THAT(transaction("sysinit.target").out, Not(HasSubstr("Action: " + path)));
}

TEST_F(UnitsTest, SystemdReportsNoProblemWithOurFiles)
{
    std::set<std::string> units;
    namespace fs = std::filesystem;
    for (const auto& entry : fs::directory_iterator(Lab::install_root() + kUnits)) {
        std::string unit = entry.path().filename();
        if (unit.ends_with(".wants")) { // links to units of ours
            continue;
        }
        if (entry.is_directory()) { // UNIT.d, with a drop-in of ours
            unit.resize(unit.size() - 2);
            const auto mark = unit.find_last_of("@-");
            if (mark != std::string::npos && unit.substr(mark + 1).starts_with(".")) {
                unit.insert(mark + 1, "eth0");
            }
            if (!box.exists(kUnits + file_of(unit))) {
                write_unit(unit, "");
            }
        }
        units.insert(unit);
    }
    ASSERT_THAT(units, Contains(kLock));
    ASSERT_THAT(units, Contains("dhcpcd@eth0.service"));
    ASSERT_THAT(units, Contains("nftables.service"));
    ASSERT_THAT(units, Contains("failclosed-networkd.path"));

    const Outcome verified = verify({units.begin(), units.end()});
    EXPECT_EQ(verified.status, 0);
    EXPECT_EQ(verified.out + verified.err, "");

    // What it would say.
    box.write_file("/etc/systemd/system/dhcpcd@.service.d/typo.conf", "[Unit]\nAfer=x.service\n");
    EXPECT_THAT(verify({"dhcpcd@eth0.service"}).err, HasSubstr("Afer"));
}

/// With ip(8) or without it.
class LinksDownTest : public testing::TestWithParam<bool> {};

TEST_P(LinksDownTest, EachLinkButLoopbackIsDownAfterwards)
{
    const Lab lab({.second_uplink = true, .install_root = Lab::install_root()});
    const Box& box = lab.client();
    box.must({"mount", "-o", "remount,rw", "/sys"});
    const auto up = [&] { return box.must({"/tmp/ip", "-o", "link", "show", "up"}); };
    box.must({"sh", "-c", "cp $(command -v ip) /tmp/ip"});
    ASSERT_THAT(up(), HasSubstr("eth0"));
    ASSERT_THAT(up(), HasSubstr("eth1"));
    ASSERT_THAT(up(), HasSubstr("lo"));
    if (!GetParam()) {
        box.must({"sh", "-c", "for ip in $(which -a ip); do rm -f $ip; done"});
        ASSERT_EQ(box.run({"sh", "-c", "command -v ip"}).out, "");
    }

    const Outcome outcome = box.run({"/usr/lib/failclosed/links-down"});

    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("taking eth1 down"));
    EXPECT_THAT(up(), Not(HasSubstr("eth")));
    EXPECT_THAT(up(), HasSubstr("lo"));
}

INSTANTIATE_TEST_SUITE_P(Ip, LinksDownTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "Installed" : "Missing"; });

} // namespace
} // namespace failclosed::lab
