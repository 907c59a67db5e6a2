// SPDX-License-Identifier: GPL-3.0-or-later
// The programs that own resolv.conf, run in a machine of the lab and never installed on the host.
#pragma once

#include <optional>
#include <string>

#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// Puts a package into the box, out of what tests/support/fetch_packages.sh unpacked below
/// FAILCLOSED_PACKAGES: systemd-resolved, openresolv or resolvconf. Throws where it is not there.
void unpack(const Box& box, const std::string& package);

/// systemd-resolved without systemd, with its stub at 127.0.0.53; resolv.conf becomes a link to the
/// stub's. It sends no query until a link gets a server (NetworkManager, or `resolvectl dns`).
class Resolved {
  public:
    /// Returns when it owns its name on the bus.
    explicit Resolved(SystemBus& bus);

    void start();
    void stop(); ///< SIGTERM, and gone when this returns

    void kill() { process_->kill(); }

    /// What `resolvectl dns`, `domain` and `default-route` say of the link.
    std::string settings(const std::string& link) const;

    std::string log() const { return process_->output(); }

    Process& process() { return *process_; }

  private:
    SystemBus* bus_;
    std::optional<Process> process_;
};

} // namespace failclosed::lab
