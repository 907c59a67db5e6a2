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

/// How old answers become before the next tunnel that comes up is asked.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

/// The least time from one question of the helper to the next, however many events wake it.
inline constexpr Seconds kRefreshSpacing{1};

/// Notes in the file `stamp` that all names were looked up just now.
Status note_refresh(const std::string& stamp);

/// The network alone has answered since: the next tunnel is asked at once. No error if nothing was
/// noted.
Status forget_refresh(const std::string& stamp);

/// Wakes the refresh helper, or starts it if none runs. The helper outlives the caller. No name is
/// looked up in the caller.
Status start_refresh(const std::string& stamp);

/// Has the helper look names up at `outcome.lookup`, if is_lookup_due() says so. In a tunnel that
/// came up: only if a name has no verified address, or the last look-up of all names, which
/// note_refresh() has noted in `stamp`, is older than kRefreshInterval. Later: a helper that runs
/// is not woken. Nothing is started without a network.
Status refresh_after(const Outcome& outcome, const std::string& stamp);

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

    /// Sleeps for all of `time`, and forgets the look-ups that were wanted until then:
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
