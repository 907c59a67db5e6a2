// SPDX-License-Identifier: GPL-3.0-or-later
// One rule as nftables expressions: the only place that knows registers.
#pragma once

#include "core/codec/nft_rules.hpp"

struct nlmsghdr;

namespace failclosed {

/// Appends the expressions of `rule` to `message`, inside its NFTA_RULE_EXPRESSIONS. A counter
/// begins with the given values.
void append_expressions(nlmsghdr* message, const KernelRule& rule, std::uint64_t packets,
                        std::uint64_t bytes);

/// Where the `hook` of a chain is called, as the kernel numbers it (linux/netfilter.h,
/// linux/netfilter_arp.h); nothing where the family has no such hook.
std::optional<std::uint32_t> hook_number(TableFamily family, Hook hook);

/// What the kernel calls a verdict (linux/netfilter.h, linux/netfilter/nf_tables.h). Not for
/// Reject, which is no verdict to it.
std::uint32_t verdict_code(const Decision& decision);

/// The chain that a decision goes to, or null.
const std::string* target_chain(const Decision& decision);

} // namespace failclosed
