// SPDX-License-Identifier: GPL-3.0-or-later
// What the process that reads DNS answers may tell its parent: addresses, and nothing else.
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
    /// Of each name, in the order of the question; empty if a name has none.
    std::vector<std::vector<IpAddress>> addresses;
    /// A resolver answered, be it that it knows no such name.
    bool reached = false;

    friend bool operator==(const LookupRecords&, const LookupRecords&) = default;
};

/// Of one name; what is more is left out.
inline constexpr std::size_t kMostLookupAddresses = 64;

/// The most bytes that write_lookup() makes of `names` names.
std::size_t longest_lookup(std::size_t names);

/// Records of equal length, each an address of a name; the last one tells that it is the last.
std::string write_lookup(const LookupRecords& records);

/// `nullopt` if `bytes` are not exactly what write_lookup() makes of an answer to `names` names.
/// The writer may be in an attacker's hands.
std::optional<LookupRecords> read_lookup(std::string_view bytes, std::size_t names);

} // namespace failclosed
