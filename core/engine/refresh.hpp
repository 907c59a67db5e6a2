// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper's process: when it is started, how it sleeps, what wakes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/engine/engine.hpp"
#include "core/plan/lookups.hpp"

namespace failclosed {

/// The helper's argument: its first question comes after kReturnTime, or when an event wakes it.
inline constexpr const char* kAskLater = "--later";

/// How old answers become before the next tunnel up asks again.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

/// The least time from one question of the helper to the next, however many events wake it.
inline constexpr Seconds kRefreshSpacing{1};

/// Whether there are names, and some have no verified address or the last refresh is older than
/// kRefreshInterval. `stamp` is the file that note_refresh touches.
bool needs_refresh(const State& state, const std::string& stamp);

/// Notes in `stamp` that all names were looked up just now.
Status note_refresh(const std::string& stamp);

/// The network alone has answered since: the next tunnel is asked at once. No error if nothing was
/// noted.
Status forget_refresh(const std::string& stamp);

/// Wakes the refresh helper, or starts it if none runs. The helper outlives the caller. No name is
/// looked up in the caller.
Status start_refresh(const std::string& stamp);

/// Has the helper look where `event`, which ended in `outcome`, gives it something to do. After a
/// TunnelUp: as needs_refresh() says. After any other event while no tunnel is up: if the network
/// may be asked and there is one; after a TunnelDown the helper gives the tunnel kReturnTime first.
/// While a tunnel is up: if a name has no address, or a program was told to reconnect. Never if the
/// machine is not armed or no server has a name. `stamp` as for needs_refresh().
Status refresh_after(const Event& event, const Outcome& outcome, const std::string& stamp);

/// The helper's turn, which lasts as long as the descriptor: one helper runs at a time. Invalid if
/// another one has it; that one was woken, and looks for this one as well.
Result<UniqueFd> take_refresh_turn(const std::string& stamp);

/// What the helper waits for between two questions.
class Wakeups {
  public:
    enum class Reason : std::uint8_t {
        Time,    ///< the time is over
        Wanted,  ///< a hook or a command wants a look-up
        Change,  ///< the remembered state has changed: a tunnel, or an opening
        Replaced ///< the helper's program was replaced or removed
    };

    /// Begins to watch: what happens from now on is seen by a later sleep(). `folders` hold the
    /// remembered state, and `program` is the helper's own file. Needs the file of the turn.
    static Result<Wakeups> open(const std::string& stamp, const std::vector<std::string>& folders,
                                const std::string& program);

    /// Until `time` has passed, with the time that the machine sleeps (CLOCK_BOOTTIME), or one of
    /// the other reasons. Several at once are told one after the other.
    Result<Reason> sleep(Seconds time);

    /// Sleeps for `time` whatever happens, and forgets the look-ups that were wanted until then:
    /// for bursts of events that one look-up serves.
    void rest(Seconds time);

    /// Whether a hook or a command wants a look-up since the last sleep().
    bool is_wanted();

  private:
    Wakeups() = default;
    void read_events();

    UniqueFd events_;
    UniqueFd timer_;
    int turn_ = -1;
    int program_ = -1;
    bool wanted_ = false;
    bool changed_ = false;
    bool replaced_ = false;
};

} // namespace failclosed
