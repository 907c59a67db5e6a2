// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper's process: when it is started, how it sleeps, what wakes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/engine/engine.hpp"
#include "core/plan/names/lookups.hpp"

namespace failclosed {

/// The helper's argument: its first query comes after kReturnTime, or when an event wakes it.
inline constexpr const char* kAskLater = "--later";

/// The age of answers at which the next tunnel that comes up is queried.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

/// The minimum time between two queries of the helper, independent of the number of events.
inline constexpr Seconds kRefreshSpacing{1};

/// Records in the file `stamp` that all names were looked up now.
Status note_refresh(const std::string& stamp);

/// Removes the record, because only the network has answered since: the next tunnel is queried at
/// once. No error if there is no record.
Status forget_refresh(const std::string& stamp);

/// Wakes the refresh helper, or starts it if none runs. The helper outlives the caller. No name is
/// looked up in the caller.
Status start_refresh(const std::string& stamp);

/// Makes the helper look up names at `outcome.lookup`, if is_lookup_due(). In a tunnel that came
/// up: only if a name has no verified address, or the last look-up of all names, recorded in
/// `stamp` by note_refresh(), is older than kRefreshInterval. Later: a running helper is not woken.
/// Without a network no helper is started.
Status refresh_after(const Outcome& outcome, const std::string& stamp);

/// The helper's turn, held as long as the descriptor: one helper runs at a time. An invalid
/// descriptor if another helper has the turn; that helper was woken, and does this one's look-ups
/// as well.
Result<UniqueFd> take_refresh_turn(const std::string& stamp);

/// The helper's sleep between two queries.
class Wakeups {
  public:
    enum class Reason : std::uint8_t {
        Time,    ///< the time is over
        Wanted,  ///< a hook or a command wants a look-up
        Change,  ///< the saved state has changed: a tunnel, or an unlock
        Replaced ///< the helper's program was replaced or removed
    };

    /// Starts to watch: a later sleep() returns events from now on. `folders` hold the saved state,
    /// and `program` is the helper's own file. Needs the turn file.
    static Result<Wakeups> open(const std::string& stamp, const std::vector<std::string>& folders,
                                const std::string& program);

    /// Sleeps until `time` has passed, including suspend (CLOCK_BOOTTIME), or for one of the other
    /// reasons. Several reasons at once are returned one after the other.
    Result<Reason> sleep(Seconds time);

    /// Sleeps for all of `time`, and discards look-ups that were requested until then: one look-up
    /// serves a burst of events.
    void rest(Seconds time);

    /// Whether a hook or a command has requested a look-up since the last sleep().
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
