// SPDX-License-Identifier: GPL-3.0-or-later
// Rules in the form of nftables: explicit guards, one reject type each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan/firewall/ruleset.hpp"

namespace failclosed {

/// A uid that no socket has (setreuid(2)): another uid means that the packet has a socket.
inline constexpr std::uint32_t kNoUid = 0xffffffff;

/// What a rule requires of the Ethernet header.
enum class FrameHeader : std::uint8_t {
    Any,
    Ethernet, ///< there is one
    Plain,    ///< it has the frame's type
    Tagged,   ///< it has a VLAN tag, followed by the frame's type
    None,     ///< the device has other headers or none
};

/// Conditions under which a rule's matches read the intended bytes of a packet.
struct Guards {
    std::optional<Family> family;
    /// EtherType of the frame; set in netdev tables only, there also with `family` or `arp`.
    std::optional<EtherType> ether_type;
    /// IP protocol of the packet itself.
    std::optional<std::uint8_t> protocol;
    /// An ARP packet for IPv4 over Ethernet.
    bool arp = false;
    FrameHeader header = FrameHeader::Any;
    /// The IP header is complete.
    bool valid = false;
};

/// One rule of nftables. `rule` is borrowed; its InFamily, OfTransport, OfEtherType and AsLabelled
/// are in `guards`.
struct KernelRule {
    const Rule* rule = nullptr;
    Guards guards;
    bool counted = false;
    std::vector<Action> actions;
    /// Whether this rule has the end of the original rule.
    bool ends = false;
};

/// The nftables rules that together implement `rule`: several if one kernel rule is not enough (a
/// reject of each family; a log limit, which would otherwise apply to the end as well; ports of
/// either transport); empty if its matches contradict each other. `family` is that of the rule's
/// table. Borrows `rule`.
std::vector<KernelRule> kernel_rules(const Rule& rule, TableFamily family);

/// Why `rule` is invalid in a table of this family; empty if valid.
std::string_view misfit_in(TableFamily family, const Rule& rule);

/// "inet", "arp" or "netdev".
std::string_view to_string(TableFamily family);

/// The type of a field's value in nft(8) and the kernel.
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
