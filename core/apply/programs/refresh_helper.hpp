// SPDX-License-Identifier: GPL-3.0-or-later
// The refresh helper's process: how it is started and woken, and how it sleeps.
#pragma once

#include <string>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// The age of answers at which the next tunnel that comes up is queried.
inline constexpr Seconds kRefreshInterval = std::chrono::hours(1);

/// Records in the file `stamp` that all names were looked up now.
Status note_refresh(const std::string& stamp);

/// Removes the record, because only the network has answered since: the next tunnel is queried at
/// once. No error if there is no record.
Status forget_refresh(const std::string& stamp);

/// Whether note_refresh() was called less than kRefreshInterval ago.
bool is_refreshed(const std::string& stamp);

/// Whether a helper has the turn.
bool is_refresh_running(const std::string& stamp);

/// Wakes the helper that has the turn; false if none has it.
bool wake_refresh(const std::string& stamp);

/// Starts a helper, which outlives the caller, with these arguments. It ends at once if another
/// one has the turn.
Status spawn_refresh(const std::vector<std::string>& arguments = {});

/// wake_refresh(), or spawn_refresh() if none runs. No name is looked up in the caller.
Status start_refresh(const std::string& stamp);

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
