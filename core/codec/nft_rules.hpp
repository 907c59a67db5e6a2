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

/// What an Ethernet header has to be and to say.
enum class FrameHeader : std::uint8_t {
    Any,
    Ethernet, ///< there is one
    Plain,    ///< it says the frame's type
    Tagged,   ///< it has a VLAN tag, and says the frame's type behind it
    None,     ///< the device has other headers or none
};

/// What must hold of a packet before the bytes that a rule's matches read mean anything.
struct Guards {
    std::optional<Family> family;
    /// What the frame carries (IEEE 802 numbers); set in netdev tables only, and there also where
    /// `family` or `arp` is.
    std::optional<EtherType> ether_type;
    /// IP protocol of the packet itself.
    std::optional<std::uint8_t> protocol;
    /// An ARP packet for IPv4 over Ethernet.
    bool arp = false;
    FrameHeader header = FrameHeader::Any;
    /// The IP header is whole.
    bool valid = false;
};

/// One rule of nftables. `rule` is borrowed; its InFamily, OfTransport, OfEtherType and AsLabelled
/// are in `guards`.
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
/// ports of either transport); none where its matches contradict each other. `family` is that of
/// the rule's table. Borrows `rule`.
std::vector<KernelRule> kernel_rules(const Rule& rule, TableFamily family);

/// Why `rule` cannot stand in a table of this family; empty where it can.
std::string_view misfit_in(TableFamily family, const Rule& rule);

/// "inet", "arp" or "netdev".
std::string_view to_string(TableFamily family);

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
