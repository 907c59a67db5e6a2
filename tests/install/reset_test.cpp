// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed-reset opens a locked machine without any help of failclosed's programs.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/lab.hpp"

namespace failclosed::lab {
namespace {

constexpr const char* kReset = "/usr/sbin/failclosed-reset";
constexpr const char* kResolvConf = "/etc/resolv.conf";

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
    box.must({"rm", "-r", "/usr/sbin/failclosed", "/usr/lib/failclosed"});
}

TEST(ResetTest, PutsEverythingBackWithoutThePrograms)
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

TEST(ResetTest, PutsALinkedResolvConfBack)
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

TEST(ResetTest, SaysThatItIsNotOpenWhereItIsNot)
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

TEST(ResetTest, OpensNothingWithoutTheWord)
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

TEST(ResetTest, LeavesAMachineWithoutFailclosedAlone)
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
