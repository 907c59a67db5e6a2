// SPDX-License-Identifier: GPL-3.0-or-later
// Declarations that the files of the DNS systems share; included by core/apply/dns/dns*.cpp only.
#pragma once

#include "core/apply/dns/dns.hpp"
#include "core/apply/storage/journal.hpp"
#include "core/codec/files/resolv_conf.hpp"

namespace failclosed {

/// A run: the paths, and the journal as it is on disk.
struct DnsRun {
    const DnsPaths& paths;
    JournalFile file;
    Journal journal;
};

/// resolv.conf as it would be without our changes.
struct ResolvConfView {
    /// The target; empty if it is not a link.
    std::string link;
    /// The contents, links followed; empty if there is no file.
    std::string contents;
};

/// A DNS system. All functions may be called at any time; apply and restore update the journal on
/// disk.
struct DnsBackend {
    DnsSystem system;
    /// Whether this system writes resolv.conf and answers.
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

/// Whether NetworkManager has written these contents.
bool is_network_managers(const std::string& contents);

/// Whether `target` is the file that NetworkManager always writes.
bool leads_to_network_manager(const std::string& target);

/// The resolv.conf of `plan`.
ResolvConf wanted_resolv_conf(const DnsPlan& plan);

/// Reads resolv.conf; reads its record in the journal instead while it is our file, or
/// NetworkManager's in place of ours.
Result<ResolvConfView> view_resolv_conf(const DnsRun& run);

/// Restores as kFileBackend.restore does, but keeps the record of a link in the journal. When the
/// tunnel ends, NetworkManager writes resolv.conf too, and can replace the link after it was
/// restored: a file that NetworkManager puts there within a minute is replaced by the link again.
Status leave_resolv_conf(DnsRun& run);

/// Whether leave_resolv_conf() would change nothing.
Result<bool> has_left_resolv_conf(const DnsRun& run);

/// Whether resolv.conf is our file and the journal has no record of the one before it.
Result<bool> has_lost_resolv_conf(const DnsRun& run);

/// The contents of resolv.conf; empty if it does not exist or is a dangling link.
Result<std::string> read_resolv_conf(const std::string& path);

} // namespace failclosed
