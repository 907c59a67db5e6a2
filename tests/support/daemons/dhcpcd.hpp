// SPDX-License-Identifier: GPL-3.0-or-later
// Real dhcpcd in a machine of the lab.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/daemons/recorder.hpp"
#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// The daemon in one box; see NetworkManager about the lab's addresses. The box's own
/// /usr/lib/dhcpcd/dhcpcd-hooks are in force, and so is a product's that is installed there.
class Dhcpcd {
  public:
    struct Options {
        std::vector<std::string> interfaces = {"eth0"}; ///< empty: manager of all, without udev
        /// Without ARP probes and a random delay a lease is bound after 0.1 s instead of 6 s.
        bool quick = true;
        bool ipv6 = true;
        std::string extra = {}; ///< more lines for dhcpcd.conf
        /// Runs in a mount namespace of its own, before it becomes dhcpcd: lines of sh.
        std::string sandbox = {};
        /// Hooks around all others: sources "dhcpcd" (enter) and "dhcpcd-end" (exit).
        bool record = true;
        bool start = true;
    };

    explicit Dhcpcd(const Box& box) : Dhcpcd(box, Options{}) {}

    /// Starts it; does not wait for a lease.
    Dhcpcd(const Box& box, Options options);

    void start();
    void stop(); ///< SIGTERM, and gone when this returns; addresses stay (`persistent`)
    /// SIGKILL for the daemon and its helpers; addresses and resolv.conf stay.
    void kill();

    void rebind() const; ///< SIGHUP, as `dhcpcd -n`: reads its configuration again, and rebinds
    void renew() const;  ///< SIGUSR1, as `dhcpcd -N`
    /// SIGALRM, as `dhcpcd -k`: gives the lease back and ends; gone when this returns.
    void release();

    Recorder& recorder() { return *recorder_; } ///< only where `record` is set

    /// The exit hook's, so after all other hooks. In `env`: if_up, if_down, protocol, addresses.
    std::vector<Event> events() const { return recorder_->events("dhcpcd-end"); }

    /// Waits until a reason was announced, and all other hooks have run for it, `times` times.
    bool wait_for_event(const std::string& reason, const std::string& interface = {},
                        std::size_t times = 1, std::chrono::milliseconds timeout = patience) const
    {
        return recorder_->wait_for(reason, interface, times, timeout, "dhcpcd-end");
    }

    /// BOUND, REBOOT or RENEW: it has an IPv4 lease.
    bool wait_lease(const std::string& interface = "eth0",
                    std::chrono::milliseconds timeout = patience) const;

    std::string log() const { return process_ ? process_->output() : std::string(); }

    Process& process() { return *process_; }

  private:
    void wait_for_helpers() const;
    void wait_for_hooks() const;
    void tell(int signal, const std::string& answer) const;
    void wait_end() const;

    const Box* box_;
    Options options_;
    std::optional<Recorder> recorder_;
    std::optional<Process> process_;
};

} // namespace failclosed::lab
