// SPDX-License-Identifier: GPL-3.0-or-later
// Records that the process which reads DNS answers sends to its parent: addresses only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/address.hpp"

namespace failclosed {

/// The outcome of one look-up of several names.
struct LookupRecords {
    /// The addresses of each name, in the order of the question; empty if a name has none.
    std::vector<std::vector<IpAddress>> addresses;
    /// A resolver answered. True also if the answer is that a name does not exist.
    bool reached = false;

    friend bool operator==(const LookupRecords&, const LookupRecords&) = default;
};

/// Limit for one name; further addresses are left out.
inline constexpr std::size_t kMostLookupAddresses = 64;

/// The longest result of write_lookup() for `names` names, in bytes.
std::size_t longest_lookup(std::size_t names);

/// Records of equal length, each an address of a name, and a final record that marks the end.
std::string write_lookup(const LookupRecords& records);

/// Parses the result of write_lookup() for `names` names; `nullopt` for any other bytes. An
/// attacker may control the writer.
std::optional<LookupRecords> read_lookup(std::string_view bytes, std::size_t names);

} // namespace failclosed
