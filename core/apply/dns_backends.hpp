// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of the single DNS systems share; included by core/apply/dns*.cpp alone.
#pragma once

#include "core/apply/dns.hpp"
#include "core/apply/journal.hpp"
#include "core/codec/resolv_conf.hpp"

namespace failclosed {

/// One run: where things are, and the journal as it is on the disk.
struct DnsRun {
    const DnsPaths& paths;
    JournalFile file;
    Journal journal;
};

/// What resolv.conf would be without us.
struct ResolvConfView {
    /// Target, where it is a link.
    std::string link;
    /// Links followed; empty where there is no file.
    std::string contents;
};

/// A DNS system. All functions may be called at any time; apply and restore keep the journal on
/// the disk in step.
struct DnsBackend {
    DnsSystem system;
    /// Whether resolv.conf is this system's, and the system answers.
    bool (*in_charge)(const DnsRun&, const ResolvConfView&);
    /// The plan has at least one tunnel.
    Status (*apply)(DnsRun&, const DnsPlan&);
    Status (*restore)(DnsRun&);
    Result<bool> (*holds)(const DnsRun&, const DnsPlan&);
};

extern const DnsBackend kResolvedBackend;
extern const DnsBackend kNetworkManagerBackend;
extern const DnsBackend kOpenresolvBackend;
extern const DnsBackend kFileBackend;

inline constexpr std::size_t kResolvConfLimit = 1 << 20;

/// Whether NetworkManager has written these contents of a resolv.conf.
bool is_network_managers(const std::string& contents);

/// Whether a link with this target leads to the file that NetworkManager writes in any case.
bool leads_to_network_manager(const std::string& target);

/// resolv.conf as `plan` wants it.
ResolvConf wanted_resolv_conf(const DnsPlan& plan);

/// Looks at resolv.conf, or at what the journal says about it while our file, or NetworkManager's
/// in its place, stands there.
Result<ResolvConfView> view_resolv_conf(const DnsRun& run);

/// As kFileBackend.restore; but that a link was there stays in the journal. NetworkManager, which
/// tidies up after the tunnel at the same moment, may have looked before the link came back and
/// then rename its file over it: what it puts there within a minute gives way to the link.
Status leave_resolv_conf(DnsRun& run);

/// Whether leave_resolv_conf() would change nothing.
Result<bool> has_left_resolv_conf(const DnsRun& run);

/// The contents of resolv.conf, empty where there is none or it is a dangling link.
Result<std::string> read_resolv_conf(const std::string& path);

} // namespace failclosed
