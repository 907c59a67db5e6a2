// SPDX-License-Identifier: GPL-3.0-or-later
// Sets the system's DNS while a tunnel is up, and restores it afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/plan/names/dns.hpp"

namespace failclosed {

/// The system that gets the resolvers, in the order of preference.
enum class DnsSystem { None, Resolved, NetworkManager, Openresolv, File };

/// "none", "systemd-resolved", "NetworkManager", "openresolv" or "resolv.conf".
std::string_view to_string(DnsSystem system);

/// Paths; only tests change them.
struct DnsPaths {
    std::string resolv_conf = "/etc/resolv.conf";
    /// The directory of the journal; must exist.
    std::string journal_directory = "/var/lib/failclosed";
    /// The directory of failclosed-dbus.so. The module is loaded only if resolv.conf shows that a
    /// service on D-Bus is in charge: to link GIO would slow down each start of a hook.
    std::string module_directory = FAILCLOSED_MODULE_DIR;
    /// In this file NetworkManager keeps settings from D-Bus over its restarts.
    std::string network_manager_file = "/var/lib/NetworkManager/NetworkManager-intern.conf";
    /// Here systemd-resolved keeps settings of links over its restarts, in files named by ifindex.
    std::string resolved_links = "/run/systemd/resolve/netif";
    /// Paths of resolvconf(8), in the order in which they are tried.
    std::vector<std::string> resolvconf_programs = {"/sbin/resolvconf", "/usr/sbin/resolvconf",
                                                    "/usr/bin/resolvconf"};
};

/// Each call reads resolv.conf to find the system in charge, which may change while a tunnel is up.
/// The data to undo a change is durable before the change, so a call after a crash has the same
/// result as without the crash. Callers hold the lock of the run. Nothing is written if nothing
/// changes.
class Dns {
  public:
    explicit Dns(DnsPaths paths = {}) : paths_(std::move(paths)) {}

    /// Applies `plan` and returns the system that was used. If another program has written
    /// resolv.conf since the last call, its contents are what a later restore() puts back. A plan
    /// without tunnels restores the previous configuration. If resolv.conf was a link and
    /// NetworkManager has replaced it within a minute after it was restored, the link is restored
    /// again. Fails, with nothing changed, if the journal is damaged.
    [[nodiscard]] Result<DnsSystem> apply(const DnsPlan& plan) const;

    /// Restores the configuration from before the first apply(), and removes it from the journal. A
    /// resolv.conf that another program has written since is kept. If a service does not run, its
    /// stored settings are corrected in its files, so that a stopped or removed service does not
    /// prevent this. Waits for a NetworkManager that is starting, for at most five seconds.
    [[nodiscard]] Status restore() const;

    /// The system that apply() would use now.
    [[nodiscard]] Result<DnsSystem> in_charge() const;

    /// Whether resolv.conf is still the file of an apply() although the journal, which tells what
    /// was there before, has no record of it: restore() cannot restore it.
    [[nodiscard]] Result<bool> has_lost_resolv_conf() const;

    /// Whether apply(plan) would change nothing.
    [[nodiscard]] Result<bool> holds(const DnsPlan& plan) const;

  private:
    DnsPaths paths_;
};

} // namespace failclosed
