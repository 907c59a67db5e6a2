// SPDX-License-Identifier: GPL-3.0-or-later
// The interface of failclosed-nm.so, which is loaded by dlopen(3) so that only runs which read
// NetworkManager's profiles load libnm. Plain C: the module does not link the core.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

/// A VPN or WireGuard profile. Texts are never null, lists end with a null pointer; all of it is
/// freed after the visit. Without secrets, which are not requested.
struct FailclosedNmProfile {
    const char* id;
    const char* uuid;
    /// The VPN plugin's D-Bus name, or "wireguard".
    const char* service;
    /// Key, value, key, value, ...: the requested items of the VPN's data.
    const char* const* data;
    /// Those of WireGuard peers.
    const char* const* endpoints;
    /// 0: none.
    uint32_t fwmark;
    /// SHA-256, in hexadecimal digits, of all settings that decide where packets go and who can
    /// read them: connection (without its name and times), vpn, wireguard, ipv4, ipv6, proxy,
    /// without secrets.
    const char* digest;
    /// Not 0: it has `connection.permissions`.
    int is_private;
    /// The file in which NetworkManager stores it; empty if there is none or it is not known.
    const char* file;
};

/// Selects profiles and receives them.
struct FailclosedNmQuery {
    /// The requested items of VPN data; ends with a null pointer.
    const char* const* keys;
    /// Only the profile with this UUID; null: all.
    const char* uuid;
    /// If a running NetworkManager has a WireGuard device of this name: return the settings that
    /// are applied to the device, not the stored ones. May be null.
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

/// Lists the profiles of a running NetworkManager over D-Bus. Waits at most `limit_milliseconds`,
/// even if the bus or NetworkManager does not answer. Does not start a service. Calls `visit` only
/// after all profiles are known. On failure `*error` holds the reason; the caller frees it with
/// free(3).
enum FailclosedNmAnswer failclosed_nm_list(const struct FailclosedNmQuery* query,
                                           unsigned limit_milliseconds, char** error);

/// Reads a profile from the text of a key file (nm-settings-keyfile(5)). `name` is the file's name,
/// and the profile's id if it has none. FailclosedNmAbsent if the profile is not a VPN or does not
/// match the query; FailclosedNmFailed, without a reason, if the text is not a key file of
/// NetworkManager: libnm's error messages quote the text, including secrets.
enum FailclosedNmAnswer failclosed_nm_read(const struct FailclosedNmQuery* query, const char* text,
                                           size_t size, const char* name);
}
