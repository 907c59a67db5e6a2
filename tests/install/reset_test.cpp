// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed-reset opens a locked machine without any help of failclosed's programs.
#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {
namespace {

constexpr const char* kReset = "/usr/sbin/failclosed-reset";
constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr const char* kHosts = "/etc/hosts";

Lab::Options installed()
{
    Lab::Options options;
    options.install_root = Lab::install_root();
    return options;
}

/// All that failclosed may change. Counters and times are left out.
std::string everything(const Box& box)
{
    const std::vector<std::vector<std::string>> commands = {
        {"nft", "-s", "list", "ruleset"},
        {"ip", "-4", "rule"},
        {"ip", "-6", "rule"},
        {"ip", "-4", "route", "show", "table", "all"},
        {"ip", "-6", "route", "show", "table", "all"},
        {"cat", "/etc/hosts", "/proc/sys/net/ipv4/conf/all/src_valid_mark"},
        {"stat", "-c", "%N %a %U", kResolvConf, "/etc/hosts"},
        {"cat", kResolvConf},
    };
    std::string text;
    for (const auto& command : commands) {
        const Outcome outcome = box.run(command);
        text += outcome.out + outcome.err;
    }
    return text;
}

/// What a machine has of its own, and must keep.
void furnish(const Box& box)
{
    box.nft("table inet failclosed_not_ours {\n"
            "    chain c {\n"
            "        type filter hook output priority 0; policy accept;\n"
            "    }\n"
            "}\n"
            "table ip nat {\n"
            "}\n");
    box.ip("rule add priority 6000 from 192.0.2.0/24 lookup 77\n"
           "route add 198.51.100.128/25 via 192.168.50.1 table 77 proto static\n"
           "tuntap add dev tun0 mode tun\n"
           "addr add 10.8.0.2/24 dev tun0\n"
           "link set tun0 up\n");
}

/// As OpenVPN does, when the server called vpn.example.net has answered.
void lock_with_tunnel(const Box& box)
{
    Command hook{
        {"/etc/openvpn/failclosed", "tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"}};
    hook.env = {"script_type=up",
                "script_context=init",
                "dev=tun0",
                "dev_type=tun",
                "ifconfig_local=10.8.0.2",
                "ifconfig_netmask=255.255.255.0",
                "foreign_option_1=dhcp-option DNS 10.8.0.1",
                "remote_1=vpn.example.net",
                "remote_port_1=1194",
                "proto_1=udp",
                "trusted_ip=203.0.113.2",
                "trusted_port=1194"};
    box.must(hook);
    ASSERT_NE(box.read_file("/etc/hosts").find("vpn.example.net"), std::string::npos);
    ASSERT_NE(box.read_file(kResolvConf).find("10.8.0.1"), std::string::npos);
}

void break_programs(const Box& box)
{
    box.must({"mkdir", "/tmp/programs"});
    box.must({"mv", "/usr/sbin/failclosed", "/tmp/programs/command"});
    box.must({"mv", "/usr/lib/failclosed", "/tmp/programs/lib"});
}

void repair_programs(const Box& box)
{
    box.must({"mv", "/tmp/programs/command", "/usr/sbin/failclosed"});
    box.must({"mv", "/tmp/programs/lib", "/usr/lib/failclosed"});
}

TEST(ResetTest, RestoresEverythingWithoutThePrograms)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    const std::string before = everything(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    break_programs(box);

    const Outcome outcome = box.run({kReset, "--open"});

    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    EXPECT_EQ(everything(box), before);
    EXPECT_FALSE(box.exists("/var/lib/failclosed"));
    EXPECT_FALSE(box.exists("/run/failclosed"));
}

TEST(ResetTest, RestoresALinkedResolvConf)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    box.write_file("/etc/resolv of isp.conf", "nameserver 192.168.50.1\n# no newline at the end");
    box.must({"ln", "-sf", "resolv of isp.conf", kResolvConf});
    furnish(box);
    const std::string before = everything(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    break_programs(box);

    EXPECT_EQ(box.run({kReset, "--open"}).status, 0);

    EXPECT_EQ(everything(box), before);
}

constexpr const char* kMemory = "/var/lib/failclosed";

TEST(ResetTest, OpensAndSetsADamagedJournalAside)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    const std::string journal = box.read_file("/var/lib/failclosed/journal");
    box.write_file("/var/lib/failclosed/journal", journal + "0=AAAA\n");

    const Outcome outcome = box.run({kReset, "--open"});

    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("damaged"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.out.find("journal.failed"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("OPEN"), std::string::npos) << outcome.out;
    EXPECT_EQ(box.must({"ls", "-A", kMemory}), "journal.failed\n");
    EXPECT_EQ(box.read_file("/var/lib/failclosed/journal.failed"), journal + "0=AAAA\n");
    EXPECT_FALSE(box.exists("/run/failclosed"));
    EXPECT_EQ(box.must({"nft", "list", "tables"}),
              "table inet failclosed_not_ours\ntable ip nat\n");
    EXPECT_EQ(box.must({"ip", "-6", "route", "show", "table", "all", "proto", "252"}), "");
}

TEST(ResetTest, AfterAStepThatFailedTheNextLockAndUnlockStartClean)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    box.write_file("/var/lib/failclosed/journal", "rubbish\n");
    EXPECT_EQ(box.run({kReset, "--open"}).status, 1);
    box.write_file(kResolvConf, "nameserver 192.168.50.1\n");
    const std::string before = everything(box);

    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    const Outcome unlocked = box.run({"failclosed", "unlock"});

    EXPECT_EQ(unlocked.status, 0) << unlocked.err;
    EXPECT_EQ(everything(box), before);

    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    EXPECT_EQ(box.run({kReset, "--open"}).status, 0);
    EXPECT_EQ(everything(box), before);
    EXPECT_EQ(box.must({"ls", "-A", kMemory}), "journal.failed\n");
}

TEST(ResetTest, ReportsThatTheMachineIsNotOpen)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    box.must({"sh", "-c", "mv $(command -v nft) /tmp/nft"});

    const Outcome outcome = box.run({kReset, "--open"});

    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ((outcome.out + outcome.err).find("OPEN"), std::string::npos);
    EXPECT_NE(outcome.err.find("NOT open"), std::string::npos) << outcome.err;
    EXPECT_FALSE(box.exists("/run/failclosed"));
    EXPECT_NE(box.must({"/tmp/nft", "list", "tables"}).find("inet failclosed\n"),
              std::string::npos);
}

/// Where /etc/hosts and /etc/resolv.conf are: ordinary files, or mount points, which cannot be
/// renamed over.
enum class Place { File, MountPoint };

/// A machine with files that are worth keeping, locked with a tunnel; failclosed's programs are
/// gone.
class ResetAndFilesTest : public testing::TestWithParam<Place> {
  protected:
    void SetUp() override
    {
        box.write_file(kResolvConf, "nameserver 192.168.50.1\n" + long_comment('r'));
        box.write_file(kHosts, "127.0.0.1 localhost\n" + long_comment('h'));
        for (const std::string path : {kResolvConf, kHosts}) {
            box.must({"chown", "1:2", path});
            box.must({"chmod", "640", path});
            ASSERT_EQ(setxattr(box.outside_path(path).c_str(), "trusted.note", "kept", 4, 0), 0);
            if (GetParam() == Place::MountPoint) {
                box.must({"mount", "--bind", path, path});
            }
        }
        furnish(box);
        before = everything(box);
        hosts_before = box.read_file(kHosts);
        resolv_conf_before = box.read_file(kResolvConf);
        ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
        break_programs(box);
        hosts_locked = box.read_file(kHosts);
        resolv_conf_locked = box.read_file(kResolvConf);
        ASSERT_NE(hosts_locked, hosts_before);
        ASSERT_NE(resolv_conf_locked, resolv_conf_before);
    }

    /// Several pages of a file system.
    static std::string long_comment(char letter)
    {
        std::string text;
        for (int i = 0; i < 200; i++) {
            text += "# " + std::string(97, letter) + "\n";
        }
        return text;
    }

    /// The extended attribute that the file had from the beginning.
    bool has_note(const std::string& path) const
    {
        return getxattr(box.outside_path(path).c_str(), "trusted.note", nullptr, 0) == 4;
    }

    Outcome reset() const { return box.run({kReset, "--open"}); }

    /// Fills the file system that /etc is on, which holds little more than these two files.
    void fill_etc() const
    {
        box.must({"mkdir", "/tmp/etc"});
        box.must({"mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", "/tmp/etc"});
        box.must({"cp", "-a", "/etc/passwd", "/etc/group", kHosts, kResolvConf, "/tmp/etc"});
        box.must({"mkdir", "/tmp/etc/openvpn"});
        box.must({"ln", "-s", "/usr/lib/failclosed/openvpn-hook", "/tmp/etc/openvpn/failclosed"});
        box.must({"mount", "--bind", "/tmp/etc", "/etc"});
        if (GetParam() == Place::MountPoint) {
            box.must({"mount", "--bind", kHosts, kHosts});
            box.must({"mount", "--bind", kResolvConf, kResolvConf});
        }
        EXPECT_FALSE(box.run({"dd", "if=/dev/zero", "of=/etc/fill", "bs=1k"}).ok());
    }

    const Lab lab{installed()};
    const Box& box = lab.client();
    std::string before;
    std::string hosts_before;
    std::string hosts_locked;
    std::string resolv_conf_before;
    std::string resolv_conf_locked;
};

TEST_P(ResetAndFilesTest, FullDiskLeavesFilesWholeAndTheNextCallFinishes)
{
    fill_etc();

    const Outcome failed = reset();

    EXPECT_EQ(failed.status, 1);
    EXPECT_NE(failed.err.find("/etc/resolv.conf"), std::string::npos) << failed.err;
    EXPECT_NE(failed.err.find("call this again"), std::string::npos) << failed.err;
    EXPECT_NE(failed.out.find("OPEN"), std::string::npos) << failed.out;
    EXPECT_TRUE(box.read_file(kResolvConf) == resolv_conf_locked);
    const std::string hosts = box.read_file(kHosts);
    EXPECT_TRUE(hosts == hosts_locked || hosts == hosts_before) << hosts.size();
    EXPECT_TRUE(box.exists("/var/lib/failclosed/journal.failed"));

    box.must({"rm", "/etc/fill"});
    const Outcome done = reset();

    EXPECT_EQ(done.status, 0) << done.out << done.err;
    EXPECT_TRUE(everything(box) == before);
    EXPECT_EQ(box.must({"find", "/etc", "-name", ".*failclosed*"}), "");
}

// The second lock knows only the file of the first one.
TEST_P(ResetAndFilesTest, RecordOfAnEarlierCallSurvivesAnotherLock)
{
    fill_etc();
    ASSERT_EQ(reset().status, 1);
    repair_programs(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    ASSERT_EQ(reset().status, 1);
    box.must({"rm", "/etc/fill"});

    static_cast<void>(reset());

    ASSERT_TRUE(box.exists(kResolvConf));
    EXPECT_TRUE(box.read_file(kResolvConf) == resolv_conf_before);
    EXPECT_TRUE(box.read_file(kHosts) == hosts_before);
}

// Each program that reads or writes a file for it kills it instead, one after the other.
TEST_P(ResetAndFilesTest, KilledAnywhereLosesNothingAndTheNextCallFinishes)
{
    box.must({"mkdir", "-p", "/tmp/saved", "/tmp/bin"});
    box.must({"cp", "-a", kHosts, kResolvConf, "/var/lib/failclosed", "/tmp/saved"});
    for (const std::string name :
         {"base64", "cat", "cp", "dd", "find", "mkdir", "mv", "rm", "rmdir", "sync"}) {
        const std::string real = box.must({"sh", "-c", "command -v " + name});
        box.write_file(
            "/tmp/bin/" + name,
            "#!/bin/sh\nset -C\nread -r kill </tmp/kill\nstep=1\n"
            "until { true >/tmp/steps/$step; } 2>/dev/null; do step=$((step + 1)); done\n"
            "[ $step -ne $kill ] || kill -9 0\n"
            "exec " +
                real.substr(0, real.size() - 1) + " \"$@\"\n",
            0755);
    }
    const std::string script = box.read_file(kReset);
    const std::string path = "PATH=/usr/sbin:";
    ASSERT_NE(script.find(path), std::string::npos);
    std::string stepped = script;
    stepped.replace(stepped.find(path), path.size(), "PATH=/tmp/bin:/usr/sbin:");
    int killed = 0;
    for (int step = 1;; step++) {
        SCOPED_TRACE("step " + std::to_string(step));
        box.must({"sh", "-c",
                  "rm -rf /var/lib/failclosed /tmp/steps && mkdir /tmp/steps &&"
                  "cp -a /tmp/saved/failclosed /var/lib && cat /tmp/saved/hosts >/etc/hosts &&"
                  "cat /tmp/saved/resolv.conf >/etc/resolv.conf"});
        box.write_file("/tmp/kill", std::to_string(step) + "\n");
        box.write_file(kReset, stepped, 0755);

        const Outcome first = reset();

        const std::string hosts = box.read_file(kHosts);
        const std::string resolv_conf = box.read_file(kResolvConf);
        if (GetParam() == Place::File) {
            EXPECT_TRUE(hosts == hosts_locked || hosts == hosts_before) << hosts.size();
            EXPECT_TRUE(resolv_conf == resolv_conf_locked || resolv_conf == resolv_conf_before)
                << resolv_conf.size();
        } else {
            const std::string copies = "/var/lib/failclosed/unfinished/etc/";
            EXPECT_TRUE(hosts == hosts_locked || hosts == hosts_before ||
                        box.read_file(copies + "hosts.new") == hosts_before);
            EXPECT_TRUE(resolv_conf == resolv_conf_locked || resolv_conf == resolv_conf_before ||
                        box.read_file(copies + "resolv.conf.new") == resolv_conf_before);
        }
        EXPECT_TRUE(resolv_conf == resolv_conf_before || box.exists("/var/lib/failclosed/journal"));
        box.write_file(kReset, script, 0755);
        const Outcome second = reset();
        EXPECT_EQ(second.status, 0) << second.out << second.err;
        ASSERT_TRUE(box.read_file(kHosts) == hosts_before);
        ASSERT_TRUE(box.read_file(kResolvConf) == resolv_conf_before);
        ASSERT_FALSE(box.exists("/var/lib/failclosed"));
        EXPECT_TRUE(has_note(kHosts));
        EXPECT_TRUE(has_note(kResolvConf));
        if (first.status == 0) {
            break;
        }
        EXPECT_EQ(first.status, 128 + SIGKILL);
        killed++;
    }
    EXPECT_GT(killed, 20);
    EXPECT_TRUE(everything(box) == before);
}

INSTANTIATE_TEST_SUITE_P(Etc, ResetAndFilesTest, testing::Values(Place::File, Place::MountPoint),
                         [](const auto& test) {
                             return test.param == Place::File ? "File" : "MountPoint";
                         });

TEST(ResetTest, OpensNothingWithoutTheOption)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    ASSERT_NO_FATAL_FAILURE(lock_with_tunnel(box));
    const std::string before = everything(box);

    for (const std::vector<std::string>& words :
         {std::vector<std::string>{kReset}, {kReset, "open"}, {kReset, "--open", "--now"}}) {
        EXPECT_EQ(box.run(words).status, 64);
    }

    EXPECT_EQ(everything(box), before);
}

TEST(ResetTest, DoesNotChangeAMachineWithoutFailclosed)
{
    const Lab lab(installed());
    const Box& box = lab.client();
    furnish(box);
    const std::string before = everything(box);

    const Outcome outcome = box.run({kReset, "--open"});

    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    EXPECT_EQ(everything(box), before);
}

} // namespace
} // namespace failclosed::lab
