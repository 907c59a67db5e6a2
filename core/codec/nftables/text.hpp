// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets in the syntax of nft(8).
#pragma once

#include <string>

#include "core/plan/firewall/ruleset.hpp"

namespace failclosed {

/// Input of `nft -f` that replaces every table of `ruleset`, and changes no other. In a device name
/// a quotation mark, which nft(8) cannot write, is replaced by '?'.
std::string to_nft(const Ruleset& ruleset);

/// One element of a set as nft(8) writes it: `0 . 203.0.113.2 . udp . 1194`.
std::string to_nft(const SetElement& element);

} // namespace failclosed
