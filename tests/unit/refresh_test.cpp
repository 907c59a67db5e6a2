// SPDX-License-Identifier: GPL-3.0-or-later
// However many ask for the refresh helper: one runs, and hears each of them.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/file.hpp"
#include "core/engine/refresh.hpp"

namespace failclosed {
namespace {

class RefreshTurnTest : public testing::Test {
  protected:
    RefreshTurnTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }

    ~RefreshTurnTest() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string stamp() const { return folder_ + "/refreshed"; }

    [[nodiscard]] Result<Wakeups> watch() const
    {
        return Wakeups::open(stamp(), {folder_}, program());
    }

    [[nodiscard]] std::string program() const { return folder_ + "/program"; }

    std::string folder_ = "/tmp/failclosed-refresh.XXXXXX";
};

using Reason = Wakeups::Reason;

constexpr Seconds kLong = std::chrono::hours(1);

TEST_F(RefreshTurnTest, OneHelperRunsAndOthersWakeIt)
{
    auto first = take_refresh_turn(stamp());
    ASSERT_TRUE(first && first->valid());
    std::ofstream(program()) << "x";
    auto watched = watch();
    ASSERT_TRUE(watched);
    auto& wakeups = *watched;
    EXPECT_FALSE(wakeups.is_wanted());
    std::vector<std::future<Result<UniqueFd>>> others;
    for (int i = 0; i < 20; ++i) {
        others.push_back(
            std::async(std::launch::async, [&] { return take_refresh_turn(stamp()); }));
    }
    for (auto& other : others) {
        const auto turn = other.get();
        EXPECT_TRUE(turn && !turn->valid());
    }
    EXPECT_TRUE(wakeups.is_wanted());
    EXPECT_EQ(wakeups.sleep(kLong).value(), Reason::Wanted);
    wakeups.rest(Seconds{0});
    EXPECT_FALSE(wakeups.is_wanted());
    first->reset();
    const auto second = take_refresh_turn(stamp());
    EXPECT_TRUE(second && second->valid());
}

// A helper that ends may be woken at its last moment: it looks once more after it gave the turn
// back, and the next helper gets the turn.
TEST_F(RefreshTurnTest, NoRequestIsLostWhenAHelperEnds)
{
    std::ofstream(program()) << "x";
    for (int i = 0; i < 200; ++i) {
        auto turn = take_refresh_turn(stamp());
        ASSERT_TRUE(turn && turn->valid());
        auto watched = watch();
        ASSERT_TRUE(watched);
        auto& wakeups = *watched;
        auto other = std::async(std::launch::async, [&] { return take_refresh_turn(stamp()); });
        turn->reset();
        const auto taken = other.get();
        ASSERT_TRUE(taken);
        EXPECT_TRUE(taken->valid() || wakeups.is_wanted());
    }
}

TEST_F(RefreshTurnTest, TheSleeperWakesByTimeStateAndProgram)
{
    const auto turn = take_refresh_turn(stamp());
    ASSERT_TRUE(turn && turn->valid());
    std::ofstream(program()) << "x";
    auto watched = watch();
    ASSERT_TRUE(watched);
    auto& wakeups = *watched;
    EXPECT_EQ(wakeups.sleep(Seconds{0}).value(), Reason::Time);
    EXPECT_EQ(wakeups.sleep(Seconds{1}).value(), Reason::Time);
    for (const char* file : {"state", "armed"}) {
        ASSERT_TRUE(replace_file(folder_ + "/" + file, "x", {}));
        EXPECT_EQ(wakeups.sleep(kLong).value(), Reason::Change) << file;
    }
    ASSERT_TRUE(replace_file(folder_ + "/lock", "x", {}));
    EXPECT_EQ(wakeups.sleep(Seconds{0}).value(), Reason::Time) << "of no interest";
    std::filesystem::remove(program());
    EXPECT_EQ(wakeups.sleep(kLong).value(), Reason::Replaced);
    EXPECT_FALSE(Wakeups::open(stamp(), {folder_}, program())) << "there is none";
}

TEST_F(RefreshTurnTest, WithoutAFolderThereIsNoTurn)
{
    std::filesystem::remove_all(folder_);
    EXPECT_FALSE(take_refresh_turn(stamp()));
}

// The kernel is not asked for a network, nor a helper started, where nothing is armed.
TEST_F(RefreshTurnTest, NoHelperIsStartedOnAnUnarmedMachine)
{
    Outcome outcome;
    outcome.lookup = LookupTime::Now;
    EXPECT_TRUE(refresh_after(outcome, stamp())) << "no server has a name";
    outcome.state.armed = Armed::No;
    outcome.state.servers.push_back({Remote::parse("vpn.example:1194").value(), {}, {}});
    EXPECT_TRUE(refresh_after(outcome, stamp()));
    outcome.lookup = LookupTime::Later;
    EXPECT_TRUE(refresh_after(outcome, stamp()));
}

} // namespace
} // namespace failclosed
