// SPDX-License-Identifier: GPL-3.0-or-later
// Rules in the form that nftables can hold: guards made explicit, one reject type each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan/ruleset.hpp"

namespace failclosed {

/// The user of no socket (setreuid(2)): that a socket's is another one says that there is a socket.
inline constexpr std::uint32_t kNoUid = 0xffffffff;

/// What must hold of a packet before the bytes that a rule's matches read mean anything.
struct Guards {
    std::optional<Family> family;
    /// IP protocol of the packet itself.
    std::optional<std::uint8_t> protocol;
    /// An ARP packet for IPv4 over Ethernet.
    bool arp = false;
};

/// One rule of nftables. `rule` is borrowed; its InFamily and OfTransport are in `guards`.
struct KernelRule {
    const Rule* rule = nullptr;
    Guards guards;
    bool counted = false;
    std::vector<Action> actions;
    /// Whether the rule's end belongs to this one.
    bool ends = false;
};

/// The rules of nftables that together do what `rule` says: several where one kernel rule cannot
/// hold it (a reject of each family; a log limit, which would otherwise stop the end as well;
/// ports of either transport); none where its matches contradict each other. Borrows `rule`.
std::vector<KernelRule> kernel_rules(const Rule& rule);

/// How nft(8) and the kernel know the type of a field's value.
struct FieldType {
    std::string_view name;
    /// Number in NFTA_SET_KEY_TYPE; the parts of a concatenation take 6 bits each.
    std::uint32_t number = 0;
    /// In bytes.
    std::uint32_t length = 0;
    /// Kept in host byte order by the kernel.
    bool host_order = false;
};

const FieldType& field_type(Field field);

} // namespace failclosed
