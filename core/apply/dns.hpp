// SPDX-License-Identifier: GPL-3.0-or-later
// The system's name resolution: ours while a tunnel is up, exactly as before afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/plan/dns.hpp"

namespace failclosed {

/// Who is told about resolvers, from the one that knows most to the plain file.
enum class DnsSystem { None, Resolved, NetworkManager, Openresolv, File };

/// "none", "systemd-resolved", "NetworkManager", "openresolv" or "resolv.conf".
std::string_view to_string(DnsSystem system);

/// Where things are; only tests have a reason to change it.
struct DnsPaths {
    std::string resolv_conf = "/etc/resolv.conf";
    /// Of the journal; must exist.
    std::string journal_directory = "/var/lib/failclosed";
    /// Of failclosed-dbus.so, loaded only where resolv.conf says that a service on D-Bus is in
    /// charge: linking GIO would cost every start of a hook.
    std::string module_directory = FAILCLOSED_MODULE_DIR;
    /// Where NetworkManager keeps what it was told on D-Bus over its restarts.
    std::string network_manager_file = "/var/lib/NetworkManager/NetworkManager-intern.conf";
    /// Where systemd-resolved keeps links' settings over its restarts, in files called as ifindex.
    std::string resolved_links = "/run/systemd/resolve/netif";
    /// Where resolvconf(8) is looked for, in this order.
    std::vector<std::string> resolvconf_programs = {"/sbin/resolvconf", "/usr/sbin/resolvconf",
                                                    "/usr/bin/resolvconf"};
};

/// The system in charge is found anew in each call, by looking at resolv.conf, because it may
/// change while a tunnel is up. Everything that is needed to undo a change is on the disk before
/// the change, so a call after a crash ends as if there had been none. Callers hold the lock of
/// the run. Nothing is written where nothing changes.
class Dns {
  public:
    explicit Dns(DnsPaths paths = {}) : paths_(std::move(paths)) {}

    /// Makes `plan` the system's configuration, and says where. What another program has written
    /// into resolv.conf meanwhile becomes what is put back later. A plan without tunnels puts back
    /// what was there before. A link of resolv.conf comes back once more where NetworkManager has
    /// written over it within a minute. Refused, with nothing changed, while the journal
    /// is damaged.
    [[nodiscard]] Result<DnsSystem> apply(const DnsPlan& plan) const;

    /// Puts back what was there before the first apply(), and forgets it. A resolv.conf that
    /// another program has written meanwhile is left alone. For a service that does not run, what
    /// it has stored is put right, so that none that was stopped or removed stands in the way. A
    /// NetworkManager that is starting meanwhile is waited for, five seconds at most.
    [[nodiscard]] Status restore() const;

    /// The system that apply() would use now.
    [[nodiscard]] Result<DnsSystem> in_charge() const;

    /// Whether the system would change nothing if apply(plan) were called.
    [[nodiscard]] Result<bool> holds(const DnsPlan& plan) const;

  private:
    DnsPaths paths_;
};

} // namespace failclosed
