// SPDX-License-Identifier: GPL-3.0-or-later
// What failclosed-nm.so offers. Loaded with dlopen(3), so that only a run that reads
// NetworkManager's profiles pays for libnm. Plain C at the border: nothing of the core is linked
// into the module.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

/// A VPN or WireGuard profile. Texts are never null, lists end with a null pointer; all of it is
/// gone when the visit returns. No secrets: they are not asked for.
struct FailclosedNmProfile {
    const char* id;
    const char* uuid;
    /// The VPN plugin's D-Bus name, or "wireguard".
    const char* service;
    /// Key, value, key, value, ...: of the VPN's data the items that were asked for.
    const char* const* data;
    /// Of WireGuard's peers.
    const char* const* endpoints;
    /// 0: none.
    uint32_t fwmark;
    /// SHA-256, in hexadecimal digits, of all settings that decide where packets go and by whom
    /// they are read: connection (without its name and times), vpn, wireguard, ipv4, ipv6, proxy,
    /// without secrets.
    const char* digest;
    /// Not 0: it has `connection.permissions`.
    int is_private;
    /// The file that NetworkManager keeps it in; empty where there is none or it is not known.
    const char* file;
};

/// Whose profiles are wanted and where they go.
struct FailclosedNmQuery {
    /// Items of VPN data that may be handed over; ends with a null pointer.
    const char* const* keys;
    /// Only the profile with this UUID; null: all.
    const char* uuid;
    /// Where a running NetworkManager has a WireGuard device of this name, the settings that it has
    /// applied to that count, and not those that it would apply the next time. May be null.
    const char* device;
    /// Called for each profile; must not throw.
    void (*visit)(const struct FailclosedNmProfile* profile, void* context);
    void* context;
};

enum FailclosedNmAnswer {
    /// NetworkManager does not run.
    FailclosedNmAbsent = 0,
    FailclosedNmDone = 1,
    FailclosedNmFailed = 2,
};

/// The profiles that a running NetworkManager has, over D-Bus. Waits no longer than
/// `limit_milliseconds`, whatever the bus or NetworkManager do. Starts nothing. Nothing is visited
/// unless all is known. On failure `*error` says why, to be freed with free(3).
enum FailclosedNmAnswer failclosed_nm_list(const struct FailclosedNmQuery* query,
                                           unsigned limit_milliseconds, char** error);

/// One profile out of the text of a key file (nm-settings-keyfile(5)) called `name`, which is its
/// id where it has none. FailclosedNmAbsent where it is no VPN or not asked for;
/// FailclosedNmFailed, without a reason, where it is no key file of NetworkManager: libnm's reasons
/// repeat what stands there, secrets as well.
enum FailclosedNmAnswer failclosed_nm_read(const struct FailclosedNmQuery* query, const char* text,
                                           size_t size, const char* name);
}
