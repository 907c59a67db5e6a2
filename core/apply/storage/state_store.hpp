// SPDX-License-Identifier: GPL-3.0-or-later
// The state files: tunnels are kept until the next boot, servers and `armed` permanently.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/apply/storage/trusted_directory.hpp"
#include "core/base/file.hpp"
#include "core/model/state.hpp"

namespace failclosed {

/// Holds an id of the current boot (proc_sys_kernel(5)).
inline constexpr const char* kBootIdFile = "/proc/sys/kernel/random/boot_id";

/// The id in `file`; empty if it cannot be read.
std::string read_boot_id(const std::string& file);

struct StorePaths {
    /// Holds "state": state that is valid until the next boot.
    std::string run = "/run/failclosed";
    /// Holds "servers", "inside", "configs", "armed", and a copy of "state".
    std::string persistent = "/var/lib/failclosed";
    /// Holds "failclosed.conf" and "conf.d".
    std::string config = "/etc/failclosed";
    /// The only user whose files are trusted.
    uid_t owner = 0;
    /// For read_boot_id().
    std::string boot_id = kBootIdFile;
};

/// The stored state of an earlier run. If there is damage, `state` is armed and holds the parts
/// that could be read.
struct StoredState {
    State state;
    /// No state file exists, as after a fresh installation.
    bool absent = false;
    /// A message for each file that exists and cannot be used.
    std::vector<std::string> damage;
};

struct StoredConfig {
    Config config;
    /// The reason why `config` is strictest_config(); empty if it is the stored configuration.
    std::vector<std::string> damage;
};

/// Loads and saves state. Callers hold the run's lock.
class StateStore {
  public:
    explicit StateStore(StorePaths paths = {}) : paths_(std::move(paths)) {}

    /// Loads the files. A file is used only if its owner alone can write to it and its directory.
    /// If "state" is missing or unusable, its copy is used, provided that it is of the present
    /// boot.
    StoredState load();

    /// Writes the files whose contents differ from those that `load` found (without a `load`
    /// before: all files). Makes missing directories. Persistent state is durable on return. Arming
    /// is written first and disarming last, so that an interrupted run leaves the machine closed.
    /// Tries all files; returns the first error.
    Status save(const State& state);

  private:
    std::optional<std::string> load_file(const std::string& directory, const std::string& name,
                                         StoredState& stored);
    Status save_file(const std::string& directory, const std::string& name, std::string_view text,
                     std::optional<std::string>& known, Durability durability) const;

    void load_running(StoredState& stored);
    Status save_running(const State& state);

    StorePaths paths_;
    /// The contents of the files; `nullopt` if unknown.
    std::optional<std::string> running_;
    std::optional<std::string> running_copy_;
    std::optional<std::string> configs_;
    std::optional<std::string> profiles_;
    std::optional<std::string> servers_;
    std::optional<std::string> inside_;
    std::optional<std::string> armed_;
};

/// Reads failclosed.conf, then conf.d/*.conf in the order of their names. Files and directories
/// need not exist. If one cannot be read, is not trusted or is invalid, the result is
/// strictest_config().
StoredConfig load_config(const StorePaths& paths = {});

} // namespace failclosed
