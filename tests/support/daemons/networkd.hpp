// SPDX-License-Identifier: GPL-3.0-or-later
// Real systemd-networkd in a machine of the lab, and the path unit that watches it.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/daemons/network_manager.hpp"

namespace failclosed::lab {

/// The daemon in one box, usually the client's. It takes over the devices that its files name with
/// the addresses that they have. The host's own networkd.conf and .network files do not exist for
/// it; what the product has installed does.
class Networkd {
  public:
    /// `network` is the text of eth0's .network file, after [Match]. Returns when eth0 is
    /// configured; throws LabError where that does not happen.
    Networkd(SystemBus& bus, std::string network);

    void start(); ///< as the constructor does
    void stop();  ///< SIGTERM, and gone when this returns
    void restart();

    /// Replaces eth0's file, under a name that sorts before all others.
    void write_network(const std::string& network) const;

    /// Runs networkctl and throws LabError where it fails.
    void networkctl(std::vector<std::string> arguments) const;

    /// How often eth0 has been configured by the running daemon, and a wait for that.
    std::size_t configured() const { return process_->count(kConfigured); }

    bool wait_configured(std::size_t times, std::chrono::milliseconds timeout = patience) const
    {
        return process_->wait_for(kConfigured, times, timeout);
    }

    std::string log() const { return process_ ? process_->output() : std::string(); }

  private:
    static constexpr const char* kConfigured = "eth0: State changed: configuring -> configured";

    SystemBus* bus_;
    const Box* box_;
    std::optional<Process> process_;
};

/// The first value of each line KEY=VALUE in a unit file of the box, in order.
std::vector<std::string> unit_values(const Box& box, const std::string& unit,
                                     const std::string& key);

/// Runs a unit's command as systemd does, without its sandbox: special prefixes are taken off, and
/// a failure counts unless '-' is one of them.
Outcome run_unit_command(const Box& box, const std::string& command);

/// What pid 1 does with failclosed-networkd.path, read from the installed units: it watches the
/// paths of PathChanged=, and upon a change looks away, runs the service's commands and those after
/// its end, looks again, and runs those of the unit that OnSuccess= names.
class PathUnit {
  public:
    explicit PathUnit(const Box& box);
    PathUnit(const PathUnit&) = delete;
    PathUnit& operator=(const PathUnit&) = delete;
    ~PathUnit();

    /// How often it has started the service.
    std::size_t runs() const { return runs_; }

    /// Whether the service or its successor runs now.
    bool busy() const { return busy_; }

  private:
    void watch();

    const Box* box_;
    std::vector<std::string> paths_;
    std::vector<std::string> service_;
    std::vector<std::string> pause_;
    std::vector<std::string> settled_;
    std::atomic<std::size_t> runs_ = 0;
    std::atomic<bool> busy_ = false;
    int stop_[2] = {-1, -1};
    std::thread thread_;
};

} // namespace failclosed::lab
