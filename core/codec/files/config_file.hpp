// SPDX-License-Identifier: GPL-3.0-or-later
// Parses failclosed.conf(5).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/result.hpp"
#include "core/model/config.hpp"

namespace failclosed {

/// A key of the group [failclosed].
struct ConfigKey {
    std::string_view name;
    /// The allowed values, for messages. List items are separated by ';'; a list may be empty.
    std::string_view allowed;
};

/// All keys:
///
/// | Key                | Allowed                                            | Default         |
/// |--------------------|----------------------------------------------------|-----------------|
/// | lan                | private, on-link, deny, or a list of prefixes      | private         |
/// | lan-names          | yes or no: LLMNR, mDNS, NetBIOS names on the LAN   | no              |
/// | server             | list of HOST:PORT/PROTO                            |                 |
/// | openvpn-configs    | list of absolute file names, with * ? [ ]          | /etc/openvpn... |
/// | dns-servers        | list of addresses, used instead of pushed ones     |                 |
/// | bootstrap-dns      | yes or no                                          | yes             |
/// | server-expiry-days | 1 to 3650                                          | 30              |
/// | reconnect-signal   | auto, HUP, USR1 or none                            | auto            |
/// | forward            | list of at most 64 devices                         |                 |
/// | inbound            | list of tcp/PORT or udp/PORT, "from", and a prefix |                 |
/// | belt-allow         | list of hardware addresses, prefixes, EtherTypes   |                 |
/// | log                | yes or no                                          | yes             |
std::span<const ConfigKey> config_keys();

struct ConfigText {
    /// For messages.
    std::string file_name;
    std::string text;
};

/// Reads `files` in order: a key in a later file replaces the whole value (lists too) from earlier
/// files. A key that no file sets has its default. An unknown group, an unknown key and an invalid
/// value are errors that name the file, the text and the allowed values; the caller then uses
/// strictest_config().
Result<Config> read_config(std::span<const ConfigText> files);

} // namespace failclosed
