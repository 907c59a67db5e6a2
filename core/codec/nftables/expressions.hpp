// SPDX-License-Identifier: GPL-3.0-or-later
// One rule as nftables expressions: the only place that knows registers.
#pragma once

#include "core/codec/nftables/rules.hpp"

struct nlmsghdr;

namespace failclosed {

/// Appends the expressions of `rule` to `message`, inside its NFTA_RULE_EXPRESSIONS. A counter
/// starts with the given values.
void append_expressions(nlmsghdr* message, const KernelRule& rule, std::uint64_t packets,
                        std::uint64_t bytes);

/// The kernel's number of `hook` (linux/netfilter.h, linux/netfilter_arp.h); nullopt if the family
/// has no such hook.
std::optional<std::uint32_t> hook_number(TableFamily family, Hook hook);

/// The kernel's number of a verdict (linux/netfilter.h, linux/netfilter/nf_tables.h). Not for
/// Reject, which is an expression in the kernel.
std::uint32_t verdict_code(const Decision& decision);

/// The target chain of a decision, or null.
const std::string* target_chain(const Decision& decision);

} // namespace failclosed
