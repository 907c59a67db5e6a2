// SPDX-License-Identifier: GPL-3.0-or-later
// The interface of failclosed-dbus.so, which is loaded by dlopen(3) so that only runs which use
// D-Bus load GIO. Plain C: the module does not link the core.
#pragma once

extern "C" {

/// Lists of strings end with a null pointer.
struct FailclosedLinkDns {
    /// ifindex.
    int index;
    const char* const* servers;
    const char* const* search_domains;
    /// Not 0: queries for names outside all links' domains go to this link.
    int takes_all_names;
    /// ifindexes of all tunnels including this one; ends with 0. Their domains are not copied.
    const int* tunnels;
};

enum FailclosedAnswer {
    FailclosedNo = 0,
    FailclosedYes = 1,
    /// `*error` holds the reason; the caller frees it with free(3).
    FailclosedFailed = 2,
};

/// Whether the service has an owner on the system bus; FailclosedNo if there is no bus. Does not
/// start a service. FailclosedFailed if the bus does not answer.
enum FailclosedAnswer failclosed_dbus_answers(const char* service, char** error);

/// Whether systemd-resolved's settings of the link are those in `dns`.
enum FailclosedAnswer failclosed_resolved_holds(const struct FailclosedLinkDns* dns, char** error);

/// Sets them; FailclosedYes on success.
enum FailclosedAnswer failclosed_resolved_set(const struct FailclosedLinkDns* dns, char** error);

/// Removes all settings of the link (RevertLink).
enum FailclosedAnswer failclosed_resolved_revert(int index, char** error);

/// Stores NetworkManager's GlobalDnsConfiguration as GVariant text in `*value`; the caller frees it
/// with free(3). FailclosedNo if NetworkManager does not run, or is starting and has its name but
/// not its objects on the bus.
enum FailclosedAnswer failclosed_nm_get(char** value, char** error);

/// Whether the two texts are the same configuration; empty entries are ignored.
enum FailclosedAnswer failclosed_nm_same(const char* one, const char* other);

/// FailclosedNo if NetworkManager refuses the value; `*error` then holds the reason too.
enum FailclosedAnswer failclosed_nm_set(const char* value, char** error);
}
