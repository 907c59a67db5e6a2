// SPDX-License-Identifier: GPL-3.0-or-later
// Kernel parameters set and put back.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "core/apply/kernel/sysctl.hpp"
#include "tests/kernel/network.hpp"

namespace failclosed {
namespace {

const std::vector<std::string> kName = {"net", "ipv4", "conf", "all", "src_valid_mark"};

class SysctlTest : public testing::Test {
  protected:
    SysctlTest() : namespace_(test::NetworkNamespace::make()) {}

    test::ReturnToNetwork return_;
    test::NetworkNamespace namespace_;
};

TEST_F(SysctlTest, SetsAndRestores)
{
    ASSERT_TRUE(write_sysctl(kName, "0"));
    const auto wanted = plan_sysctls(State{});
    ASSERT_EQ(wanted, (std::vector<Sysctl>{{kName, "1"}}));
    const auto outcome = set_sysctls(wanted);
    EXPECT_EQ(outcome.changes, (std::vector<SysctlRecord>{{kName, "1", "0"}}));
    EXPECT_TRUE(outcome.refused.empty());
    EXPECT_EQ(read_sysctl(kName).value(), "1");
    EXPECT_TRUE(set_sysctls(wanted).changes.empty());
    EXPECT_TRUE(restore_sysctls(outcome.changes));
    EXPECT_EQ(read_sysctl(kName).value(), "0");
}

TEST_F(SysctlTest, KeepsValuesThatWereSetBefore)
{
    ASSERT_TRUE(write_sysctl(kName, "1"));
    const auto outcome = set_sysctls(plan_sysctls(State{}));
    EXPECT_TRUE(outcome.changes.empty());
    EXPECT_TRUE(restore_sysctls(outcome.changes));
    EXPECT_EQ(read_sysctl(kName).value(), "1");
}

TEST_F(SysctlTest, KeepsLaterChangesOfOthers)
{
    const std::vector<std::string> name = {"net", "ipv4", "conf", "lo", "rp_filter"};
    ASSERT_TRUE(write_sysctl(name, "0"));
    const auto outcome = set_sysctls({{name, "1"}});
    ASSERT_TRUE(write_sysctl(name, "2"));
    EXPECT_TRUE(restore_sysctls(outcome.changes));
    EXPECT_EQ(read_sysctl(name).value(), "2");
}

TEST_F(SysctlTest, RestoresTheRestAfterAnError)
{
    ASSERT_TRUE(write_sysctl(kName, "1"));
    const auto restored = restore_sysctls({{kName, "1", "0"}, {{"net", ".."}, "1", "0"}});
    EXPECT_FALSE(restored);
    EXPECT_EQ(read_sysctl(kName).value(), "0");
}

TEST_F(SysctlTest, RestoringAMissingParameterIsNoError)
{
    EXPECT_TRUE(restore_sysctls({{{"net", "ipv4", "conf", "gone0", "rp_filter"}, "1", "0"}}));
}

TEST_F(SysctlTest, RefusesInvalidNames)
{
    for (const auto& name : std::vector<std::vector<std::string>>{
             {}, {""}, {"."}, {".."}, {"net", "..", "kernel", "panic"}, {"net/ipv4"}, {"net\n"}}) {
        EXPECT_EQ(read_sysctl(name).error().number(), EINVAL);
        EXPECT_EQ(write_sysctl(name, "1").error().number(), EINVAL);
    }
    EXPECT_EQ(read_sysctl({"net", "no-such"}).error().number(), ENOENT);
}

TEST_F(SysctlTest, ReportsAReadOnlyTree)
{
    ASSERT_TRUE(write_sysctl(kName, "0"));
    ASSERT_EQ(mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
    const auto outcome = set_sysctls(plan_sysctls(State{}));
    umount2("/proc/sys", MNT_DETACH);
    EXPECT_TRUE(outcome.changes.empty());
    ASSERT_EQ(outcome.refused.size(), 1U);
    EXPECT_EQ(outcome.refused[0].number(), EROFS) << outcome.refused[0].message();
}

} // namespace
} // namespace failclosed
