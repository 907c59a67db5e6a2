// SPDX-License-Identifier: GPL-3.0-or-later
// What failclosed-dbus.so offers. Loaded with dlopen(3), so that only a run that talks to D-Bus
// pays for GIO. Plain C at the border: nothing of the core is linked into the module.
#pragma once

extern "C" {

/// Strings in lists end with a null pointer.
struct FailclosedLinkDns {
    /// ifindex.
    int index;
    const char* const* servers;
    const char* const* search_domains;
    /// Whether names that belong to no link's domain are asked here.
    int takes_all_names;
    /// Of all tunnels, this one too; ends with 0. Their domains stay theirs.
    const int* tunnels;
};

enum FailclosedAnswer {
    FailclosedNo = 0,
    FailclosedYes = 1,
    /// `*error` says why, to be freed with free(3).
    FailclosedFailed = 2,
};

/// Whether the service has an owner on the system bus; where there is no bus, none has. Starts
/// nothing. A bus that does not answer is a failure.
enum FailclosedAnswer failclosed_dbus_answers(const char* service, char** error);

/// Whether systemd-resolved has exactly this for the link.
enum FailclosedAnswer failclosed_resolved_holds(const struct FailclosedLinkDns* dns, char** error);

/// Sets it; FailclosedYes when done.
enum FailclosedAnswer failclosed_resolved_set(const struct FailclosedLinkDns* dns, char** error);

/// Forgets all settings of the link (resolved.RevertLink).
enum FailclosedAnswer failclosed_resolved_revert(int index, char** error);

/// NetworkManager's GlobalDnsConfiguration as GVariant text in `*value`, to be freed with free(3).
/// FailclosedNo where none runs, or one that starts has its name on the bus, but nothing to answer
/// with yet.
enum FailclosedAnswer failclosed_nm_get(char** value, char** error);

/// Whether the two texts mean the same configuration, empty parts not counted.
enum FailclosedAnswer failclosed_nm_same(const char* one, const char* other);

/// FailclosedNo where NetworkManager itself refuses it; `*error` says why then, too.
enum FailclosedAnswer failclosed_nm_set(const char* value, char** error);
}
