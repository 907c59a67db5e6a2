// SPDX-License-Identifier: GPL-3.0-or-later
// ./setup install and uninstall on a machine where no systemd runs.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/lab/box.hpp"
#include "tests/support/lab/lab.hpp"
#include "tests/support/lab/paths.hpp"
#include "tests/support/lab/process.hpp"

namespace failclosed::lab {
namespace {

constexpr const char* kProgram = "/usr/sbin/failclosed";
constexpr const char* kUnit = "/usr/lib/systemd/system/failclosed-lock.service";
constexpr const char* kConfig = "/etc/failclosed/failclosed.conf";
constexpr const char* kDhcpcdHook = "/usr/lib/dhcpcd/dhcpcd-hooks/90-failclosed";
constexpr const char* kManifest = "/usr/lib/failclosed/manifest";

/// A machine that sees the setup program and what it is to install: its /tmp is its own.
class SetupTest : public testing::Test {
  protected:
    SetupTest()
    {
        namespace fs = std::filesystem;
        fs::copy(test::source_root() / "setup", box.outside_path("/usr/src"));
        fs::copy(Lab::install_root(), box.outside_path("/usr/src/stage"),
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    }

    Outcome setup(const std::vector<std::string>& words)
    {
        Command command{{"/usr/src/setup"}};
        command.argv.insert(command.argv.end(), words.begin(), words.end());
        command.env.push_back("FAILCLOSED_INSTALL_ROOT=/usr/src/stage");
        return box.run(command);
    }

    const Box box{"machine"};
};

/// Names of all files below the folders that an installation may touch.
std::string files(const Box& box)
{
    return box.must({"find", "/etc", "/usr/sbin", "/usr/lib/failclosed", "/usr/lib/systemd",
                     "/usr/lib/dhcpcd", "/usr/lib/udev", "/usr/share/man/man5",
                     "/usr/share/man/man8", "/usr/share/doc/failclosed",
                     "/usr/share/bash-completion", "/var/lib/failclosed", "!", "-type", "d"});
}

/// `find` demands that its folders are there.
void make_folders(const Box& box)
{
    box.must({"mkdir", "-p", "/usr/lib/dhcpcd", "/usr/lib/failclosed", "/usr/share/doc/failclosed",
              "/usr/lib/udev", "/usr/share/bash-completion", "/usr/share/man/man5",
              "/usr/share/man/man8", "/var/lib/failclosed"});
}

TEST_F(SetupTest, InstallsAndRemovesExactlyItsFiles)
{
    make_folders(box);
    const std::string before = files(box);

    const Outcome installed = setup({"install"});

    ASSERT_EQ(installed.status, 0) << installed.err;
    EXPECT_TRUE(box.exists(kProgram));
    EXPECT_TRUE(box.exists(kUnit));
    EXPECT_TRUE(box.exists("/usr/lib/udev/rules.d/90-failclosed.rules"));
    EXPECT_TRUE(box.exists(kConfig));
    EXPECT_TRUE(box.exists("/etc/openvpn/failclosed"));
    EXPECT_TRUE(box.exists("/usr/lib/systemd/networkd.conf.d/90-failclosed.conf"));
    EXPECT_TRUE(box.exists("/usr/lib/systemd/system/nftables.service.d/failclosed.conf"));
    EXPECT_TRUE(box.exists("/usr/lib/systemd/system/dhcpcd.service.d/failclosed.conf"));
    EXPECT_EQ(box.must({"readlink", "-e",
                        "/usr/lib/systemd/system/systemd-networkd.service.wants/"
                        "failclosed-networkd.path"}),
              "/usr/lib/systemd/system/failclosed-networkd.path\n");
    EXPECT_EQ(box.must({"stat", "-c", "%F %a %u:%g", kDhcpcdHook}), "regular file 644 0:0\n");
    EXPECT_EQ(box.must({"nft", "list", "ruleset"}), "");

    ASSERT_EQ(setup({"uninstall", "--purge"}).status, 0);
    make_folders(box);
    EXPECT_EQ(files(box), before);
    EXPECT_FALSE(box.exists("/usr/lib/systemd/networkd.conf.d"));
    EXPECT_FALSE(box.exists("/usr/lib/systemd/system/nftables.service.d"));
}

// nm-dispatcher looks where a link in dispatcher.d itself leads in one step, and at the mode and
// owner of the file at the end.
TEST_F(SetupTest, NetworkManagerFindsItsHookInEachFolder)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    const std::string folder = "/etc/NetworkManager/dispatcher.d/";
    EXPECT_EQ(box.must({"readlink", folder + "90-failclosed"}), "no-wait.d/90-failclosed\n");
    for (const char* kind : {"", "no-wait.d/", "pre-up.d/", "pre-down.d/"}) {
        const std::string link = folder + kind + "90-failclosed";
        EXPECT_EQ(box.must({"readlink", "-f", link}), "/usr/lib/failclosed/nm-dispatcher\n");
        EXPECT_EQ(box.must({"stat", "-L", "-c", "%F %a %u:%g", link}), "regular file 755 0:0\n");
        EXPECT_EQ(box.run({link, "none", "hostname"}).status, 0);
        EXPECT_EQ(box.run({link}).status, 64);
    }

    ASSERT_EQ(setup({"uninstall"}).status, 0);
    EXPECT_EQ(box.must({"find", "/etc/NetworkManager", "-name", "*failclosed*"}), "");
}

TEST_F(SetupTest, DhcpcdsHookIsInstalledInDhcpcdsFolder)
{
    const std::string fedoras = "/usr/libexec/dhcpcd-hooks/90-failclosed";
    box.must({"rm", "-rf", "/usr/lib/dhcpcd"});
    box.must({"mkdir", "-p", "/usr/libexec/dhcpcd-hooks"});
    ASSERT_EQ(setup({"install"}).status, 0);
    EXPECT_TRUE(box.exists(fedoras));
    EXPECT_FALSE(box.exists(kDhcpcdHook));

    // Another dhcpcd: the hook moves with the next upgrade.
    box.must({"mkdir", "-p", "/usr/lib/dhcpcd/dhcpcd-hooks"});
    ASSERT_EQ(setup({"install"}).status, 0);
    EXPECT_FALSE(box.exists(fedoras));
    EXPECT_TRUE(box.exists(kDhcpcdHook));

    ASSERT_EQ(setup({"uninstall"}).status, 0);
    EXPECT_FALSE(box.exists(kDhcpcdHook));
}

// A fresh machine's hooks hear of its network, and leave it alone.
TEST_F(SetupTest, HooksDoNotLockAFreshMachine)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    for (const char* action : {"pre-up", "up", "dhcp4-change", "connectivity-change", "down",
                               "vpn-down", "device-add", "vpn-pre-down"}) {
        const Outcome outcome = box.run({"/usr/lib/failclosed/nm-dispatcher", "eth0", action});
        EXPECT_EQ(outcome.status, 0) << action << outcome.err;
        EXPECT_EQ(outcome.err, "") << action;
    }
    EXPECT_EQ(box.run({"/usr/lib/failclosed/dhcpcd-hook"}).status, 0);
    EXPECT_EQ(box.must({"nft", "list", "ruleset"}), "");
    EXPECT_EQ(box.must({"find", "/var/lib", "-path", "*/failclosed/*"}), "");
}

TEST_F(SetupTest, UpgradeReplacesByRenameAndKeepsTheConfiguration)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    box.write_file(kConfig, "[failclosed]\nlan=deny\n");
    const std::string old = "/usr/lib/failclosed/of-an-older-version";
    box.write_file(old, "");
    box.write_file(kManifest, box.read_file(kManifest) + old + "\n");
    const std::string inode = box.must({"stat", "-c", "%i", kProgram});

    ASSERT_EQ(setup({"install"}).status, 0);

    EXPECT_NE(box.must({"stat", "-c", "%i", kProgram}), inode);
    EXPECT_EQ(box.read_file(kConfig), "[failclosed]\nlan=deny\n");
    EXPECT_FALSE(box.exists(old));
    EXPECT_EQ(box.must({"find", "/usr/sbin", "/usr/lib/failclosed", "-name", ".new-*"}), "");
}

TEST_F(SetupTest, UpgradeDoesNotOpenTheMachine)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    box.must({kProgram, "lock", "--server", "203.0.113.2:1194/udp"});
    const std::string locked = box.must({"nft", "-s", "list", "ruleset"});
    ASSERT_NE(locked, "");

    ASSERT_EQ(setup({"install"}).status, 0);

    EXPECT_EQ(box.must({"nft", "-s", "list", "ruleset"}), locked);
    EXPECT_EQ(box.run({kProgram, "check"}).status, 0);
}

TEST_F(SetupTest, RemovesFromALockedMachineOnlyWithTheOption)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    box.must({kProgram, "lock", "--server", "203.0.113.2:1194/udp"});

    const Outcome refused = setup({"uninstall"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.err.find("--unlock"), std::string::npos) << refused.err;
    EXPECT_TRUE(box.exists(kProgram));
    EXPECT_EQ(box.run({kProgram, "check"}).status, 0);

    const Outcome removed = setup({"uninstall", "--unlock"});
    EXPECT_EQ(removed.status, 0) << removed.err;
    EXPECT_FALSE(box.exists(kProgram));
    EXPECT_TRUE(box.exists(kConfig));
    EXPECT_EQ(box.must({"nft", "list", "ruleset"}), "");
}

// The unit that would lock again goes with the rest.
TEST_F(SetupTest, WarnsOfTheBootLockOnlyInUnlockAlone)
{
    const std::string link = "/etc/systemd/system/sysinit.target.wants/failclosed-lock.service";
    ASSERT_EQ(setup({"install"}).status, 0);
    box.must({"mkdir", "-p", "/etc/systemd/system/sysinit.target.wants"});
    box.must({"ln", "-s", kUnit, link});
    box.must({kProgram, "lock", "--server", "203.0.113.2:1194/udp"});
    const char* warning = "the next boot locks again";
    EXPECT_NE(box.run({kProgram, "unlock"}).err.find(warning), std::string::npos);
    box.must({kProgram, "lock", "--server", "203.0.113.2:1194/udp"});

    const Outcome removed = setup({"uninstall", "--unlock"});

    EXPECT_EQ(removed.status, 0) << removed.err;
    EXPECT_EQ(removed.err, "");
    EXPECT_FALSE(box.exists(link));
}

// What `unlock` could not mend is no reason to keep a program that locks nothing any more.
TEST_F(SetupTest, RemovesIfUnlockFailedAndTheMachineIsOpen)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    box.write_file(kProgram, "#!/bin/sh\nexit 1\n", 0755);
    EXPECT_EQ(setup({"uninstall", "--unlock"}).status, 0);
    EXPECT_FALSE(box.exists(kProgram));
}

TEST_F(SetupTest, KeepsEverythingIfUnlockFailedAndTheMachineIsLocked)
{
    ASSERT_EQ(setup({"install"}).status, 0);
    box.must({kProgram, "lock", "--server", "203.0.113.2:1194/udp"});
    box.write_file(kProgram, "#!/bin/sh\nexit 1\n", 0755);
    EXPECT_EQ(setup({"uninstall", "--unlock"}).status, 1);
    EXPECT_TRUE(box.exists(kProgram));
}

TEST_F(SetupTest, RemovesTheLinksOfAnEnabledUnit)
{
    const std::string before = box.must({"find", "/etc/systemd/system"});
    ASSERT_EQ(setup({"install"}).status, 0);
    box.must({"systemctl", "--quiet", "enable", "failclosed-lock.service"});
    ASSERT_TRUE(box.exists("/etc/systemd/system/dhcpcd@.service.requires/failclosed-lock.service"));

    ASSERT_EQ(setup({"uninstall"}).status, 0);

    EXPECT_EQ(box.must({"find", "/etc/systemd/system"}), before);
    EXPECT_EQ(box.must({"find", "/usr/lib/systemd/system", "-name", "dhcpcd@.service.d"}), "");
}

// An older version's unit may have gated fewer units.
TEST_F(SetupTest, UpgradeGivesAnEnabledBootLockItsNewLinks)
{
    const std::string wants = "/etc/systemd/system/sysinit.target.wants";
    const std::string requires_link =
        "/etc/systemd/system/dhcpcd@.service.requires/failclosed-lock.service";
    ASSERT_EQ(setup({"install"}).status, 0);
    EXPECT_FALSE(box.exists(wants + "/failclosed-lock.service"));
    box.must({"mkdir", "-p", wants});
    box.must({"ln", "-s", kUnit, wants + "/failclosed-lock.service"});

    const Outcome upgraded = setup({"install"});

    ASSERT_EQ(upgraded.status, 0);
    EXPECT_EQ(upgraded.err, "");
    EXPECT_TRUE(box.exists(wants + "/failclosed-lock.service"));
    EXPECT_TRUE(box.exists(requires_link));
}

TEST_F(SetupTest, RefusesUnknownArguments)
{
    EXPECT_EQ(setup({"instal"}).status, 64);
    EXPECT_EQ(setup({"uninstall", "--now"}).status, 64);
    EXPECT_EQ(setup({"uninstall"}).status, 1);
}

// ---- Its build folder ----

/// Runs ./setup build with programs in the places of meson and ninja that only note their calls.
class SetupBuildTest : public SetupTest {
  protected:
    SetupBuildTest()
    {
        box.write_file("/usr/src/tools/dpkg-query",
                       "#!/bin/sh\nprintf 'installed,%s\\n' g++ meson ninja-build pkg-config "
                       "libglib2.0-dev libc-ares-dev libseccomp-dev libnm-dev libnftnl-dev "
                       "libmnl-dev libgtest-dev libgmock-dev\n",
                       0755);
        box.write_file("/usr/src/tools/meson",
                       "#!/bin/sh\n[ \"$1\" = setup ] || exit 1\n"
                       "[ ! -e \"$2/meson-private/coredata.dat\" ] || exit 1\n"
                       "echo configured >>/usr/src/calls\nmkdir -p \"$2/meson-info\"\n"
                       "printf '{\"directories\": {\"source\": \"%s\"}}' \"$PWD\" "
                       ">\"$2/meson-info/meson-info.json\"\ntouch \"$2/build.ninja\"\n",
                       0755);
        box.write_file("/usr/src/tools/ninja",
                       "#!/bin/sh\n"
                       "[ \"$3\" != build.ninja ] || { echo compares >>/usr/src/calls; exit; }\n"
                       "echo begins >>/usr/src/calls\nsleep 0.5\n"
                       "echo ends >>/usr/src/calls\n",
                       0755);
    }

    static Command build()
    {
        return Command{"sh", "-c", "PATH=/usr/src/tools:$PATH exec /usr/src/setup build"};
    }

    std::string calls() const { return box.read_file("/usr/src/calls"); }
};

TEST_F(SetupBuildTest, IsConfiguredOnce)
{
    EXPECT_EQ(box.must(build()), "");
    EXPECT_EQ(box.must(build()), "");
    EXPECT_EQ(calls(), "configured\ncompares\nbegins\nends\ncompares\nbegins\nends\n")
        << "with changed sources the targets are others";
}

TEST_F(SetupBuildTest, OfACopiedCheckoutIsConfiguredForTheCopy)
{
    box.must(build());
    box.write_file("/usr/src/build/meson-info/meson-info.json",
                   R"({"directories": {"source": "/home/me/failclosed"}})");
    box.write_file("/usr/src/build/meson-private/coredata.dat", "of the other one");
    box.write_file("/usr/src/build/packages/kept.deb", "");
    EXPECT_EQ(box.must(build()), "setup: build/ was configured for other sources "
                                 "(/home/me/failclosed): configuring it anew\n");
    EXPECT_EQ(calls(), "configured\ncompares\nbegins\nends\n"
                       "configured\ncompares\nbegins\nends\n");
    EXPECT_TRUE(box.exists("/usr/src/build/packages/kept.deb"));
    box.must({"rm", "/usr/src/build/meson-info/meson-info.json"});
    EXPECT_NE(box.must(build()), "") << "it is unknown what it was configured for";
    EXPECT_EQ(box.must(build()), "");
}

TEST_F(SetupBuildTest, IsUsedByOneCallAtATime)
{
    box.must(build());
    const Process first = box.start(build());
    const Process second = box.start(build());
    EXPECT_EQ(first.wait(), 0) << first.output();
    EXPECT_EQ(second.wait(), 0) << second.output();
    EXPECT_EQ(calls(), "configured\ncompares\nbegins\nends\ncompares\nbegins\nends\n"
                       "compares\nbegins\nends\n");
    EXPECT_EQ(first.output() + second.output(),
              "setup: waiting for another call of setup, which uses /usr/src/build\n");
}

TEST_F(SetupTest, TwoInstallationsAtOnceFollowEachOther)
{
    const Command install = [] {
        Command command{"/usr/src/setup", "install"};
        command.env.push_back("FAILCLOSED_INSTALL_ROOT=/usr/src/stage");
        return command;
    }();
    const Process first = box.start(install);
    const Process second = box.start(install);
    const Process third = box.start(install);
    for (const Process* process : {&first, &second, &third}) {
        EXPECT_EQ(process->wait(), 0) << process->output();
    }
    EXPECT_TRUE(box.exists(kProgram));
    EXPECT_EQ(setup({"uninstall"}).status, 0);
}

} // namespace
} // namespace failclosed::lab
