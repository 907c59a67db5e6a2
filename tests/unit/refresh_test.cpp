// SPDX-License-Identifier: GPL-3.0-or-later
// However many ask for the refresh helper: one runs, one waits, and the last word is heard.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/engine/refresh.hpp"

namespace failclosed {
namespace {

using namespace std::chrono_literals;

class RefreshTurnTest : public testing::Test {
  protected:
    RefreshTurnTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }

    ~RefreshTurnTest() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string stamp() const { return folder_ + "/refreshed"; }

    [[nodiscard]] std::future<Result<UniqueFd>> take() const
    {
        return std::async(std::launch::async,
                          [stamp = stamp()] { return take_refresh_turn(stamp); });
    }

    std::string folder_ = "/tmp/failclosed-refresh.XXXXXX";
};

/// How long it takes to get the turn, at the best: a machine that is busy is no reason to fail, and
/// who waits does so each time. `prepare` comes before each.
template <typename Prepare>
std::chrono::nanoseconds quickest_turn(const std::string& stamp, Prepare prepare)
{
    auto quickest = std::chrono::nanoseconds::max();
    for (int i = 0; i < 5 && quickest >= 500ms; ++i) {
        prepare();
        const auto start = std::chrono::steady_clock::now();
        const auto turn = take_refresh_turn(stamp);
        EXPECT_TRUE(turn && turn->valid());
        quickest =
            std::min<std::chrono::nanoseconds>(quickest, std::chrono::steady_clock::now() - start);
    }
    return quickest;
}

TEST_F(RefreshTurnTest, TheFirstDoesNotWait)
{
    EXPECT_LT(quickest_turn(stamp(), [&] { std::filesystem::remove(stamp() + ".turn"); }), 500ms);
}

TEST_F(RefreshTurnTest, OneRunsOneWaitsAndTheOthersGo)
{
    const auto start = std::chrono::steady_clock::now();
    auto first = take_refresh_turn(stamp());
    ASSERT_TRUE(first && first->valid());

    std::vector<std::future<Result<UniqueFd>>> others;
    for (int i = 0; i < 20; ++i) {
        others.push_back(take());
    }
    const auto is_over = [](const auto& other) {
        return other.wait_for(0s) == std::future_status::ready;
    };
    while (std::ranges::count_if(others, is_over) < 19) {
        std::this_thread::yield();
    }
    const auto waiting = std::ranges::find_if_not(others, is_over);
    ASSERT_NE(waiting, others.end());
    for (auto& other : others) {
        if (&other != &*waiting) {
            const auto turn = other.get();
            EXPECT_TRUE(turn && !turn->valid());
        }
    }
    first->reset();
    const auto second = waiting->get();
    EXPECT_TRUE(second && second->valid());
    EXPECT_GE(std::chrono::steady_clock::now() - start, kRefreshSpacing);
}

TEST_F(RefreshTurnTest, AWrongTimeKeepsNobodyWaiting)
{
    for (const std::string noted : {"", "x", "-1", "99999999999999999999", "9000000000000000000"}) {
        const auto note = [&] { std::ofstream(stamp() + ".turn") << noted; };
        EXPECT_LT(quickest_turn(stamp(), note), 500ms) << noted;
    }
}

TEST_F(RefreshTurnTest, WithoutAFolderThereIsNoTurn)
{
    std::filesystem::remove_all(folder_);
    EXPECT_FALSE(take_refresh_turn(stamp()));
}

// The kernel is not asked for a network, nor a helper started, where nothing is armed.
TEST_F(RefreshTurnTest, NothingIsStartedOnAMachineThatIsNotArmed)
{
    State state;
    state.armed = Armed::No;
    state.servers.push_back({Remote::parse("vpn.example:1194").value(), {}, {}});
    EXPECT_TRUE(refresh_after(UnderlayChanged{}, state, stamp()));
    EXPECT_TRUE(refresh_after(ReapplyRequested{}, State{}, stamp()));
    EXPECT_TRUE(refresh_after(TunnelDown{InterfaceName::parse("vpn0").value()}, State{}, stamp()));
}

} // namespace
} // namespace failclosed
