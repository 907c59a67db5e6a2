// SPDX-License-Identifier: GPL-3.0-or-later
// The files in which state survives: tunnels until the next boot, servers and `armed` for good.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/apply/boot.hpp"
#include "core/apply/trusted_directory.hpp"
#include "core/base/file.hpp"
#include "core/model/state.hpp"

namespace failclosed {

struct StorePaths {
    /// Holds "state": what is true until the machine is started again.
    std::string run = "/run/failclosed";
    /// Holds "servers", "inside", "configs", "armed", and a copy of "state".
    std::string persistent = "/var/lib/failclosed";
    /// Holds "failclosed.conf" and "conf.d".
    std::string config = "/etc/failclosed";
    /// The only user whose files count.
    uid_t owner = 0;
    /// For read_boot_id().
    std::string boot_id = kBootIdFile;
};

/// What was found of an earlier run. Where there is damage, `state` is armed, and holds what could
/// be read.
struct StoredState {
    State state;
    /// None of our files is there: a fresh install, as far as files tell.
    bool absent = false;
    /// One line for each file that is there and cannot be used.
    std::vector<std::string> damage;
};

struct StoredConfig {
    Config config;
    /// Why strictest_config() stands in for what is written; empty where it does not.
    std::vector<std::string> damage;
};

/// Loads and saves state. Callers hold the run's lock.
class StateStore {
  public:
    explicit StateStore(StorePaths paths = {}) : paths_(std::move(paths)) {}

    /// Files count only where nobody but the owner can write to them and their directory. The copy
    /// of "state" stands for one that was removed while the machine runs.
    StoredState load();

    /// Writes the files whose contents differ from what `load` found, all of them without a
    /// `load` before; directories are made where they are missing. On return what is persistent
    /// is on the disk. Arming is written first and disarming last, so that a run that is cut
    /// short leaves the machine closed. All files are tried; the first error is returned.
    Status save(const State& state);

  private:
    std::optional<std::string> load_file(const std::string& directory, const std::string& name,
                                         StoredState& stored);
    Status save_file(const std::string& directory, const std::string& name, std::string_view text,
                     std::optional<std::string>& known, Durability durability) const;

    void load_running(StoredState& stored);
    Status save_running(const State& state);

    StorePaths paths_;
    /// What stands in the files, where that is known.
    std::optional<std::string> running_;
    std::optional<std::string> running_copy_;
    std::optional<std::string> configs_;
    std::optional<std::string> profiles_;
    std::optional<std::string> servers_;
    std::optional<std::string> inside_;
    std::optional<std::string> armed_;
};

/// Reads failclosed.conf, then conf.d/*.conf in the order of their names; files and directories
/// that are not there are passed over. Anything that cannot be used makes it the strictest
/// configuration.
StoredConfig load_config(const StorePaths& paths = {});

} // namespace failclosed
