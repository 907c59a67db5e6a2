// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed.conf(5): key files to values.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/result.hpp"
#include "core/model/config.hpp"

namespace failclosed {

/// A key of the one group, [failclosed], for manuals and messages.
struct ConfigKey {
    std::string_view name;
    /// What may stand after '='. Lists are separated by ';' and may be empty.
    std::string_view allowed;
};

/// Every key there is:
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

/// Reads files in the order in which they count: a key in a later one replaces that key's value
/// from earlier ones, lists as a whole. Without any file, or key, the defaults hold. Whatever is
/// not understood (a group, a key, a value) is an error that names the file, what stands there
/// and what is allowed: the caller then goes on with strictest_config().
Result<Config> read_config(std::span<const ConfigText> files);

} // namespace failclosed
