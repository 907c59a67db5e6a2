// SPDX-License-Identifier: GPL-3.0-or-later
// The environment that a program was started with. Its contents are untrusted.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace failclosed {

/// A process's environment by name. Made from the entries, never from a printed list, where a line
/// break in a value would add variables. Refers to `entries`, which must outlive it. If a name
/// occurs twice, the first entry is used, as in getenv(3).
class Environment {
  public:
    /// Name and value.
    using Variable = std::pair<std::string_view, std::string_view>;

    /// C strings "NAME=VALUE"; entries without '=' are ignored.
    explicit Environment(std::span<const char* const> entries);

    /// From environ(7), which ends with a null pointer.
    static Environment of_process(const char* const* entries);

    /// Empty if there is no such variable.
    [[nodiscard]] std::string_view get(std::string_view name) const;

    /// The variables "<prefix>N", by N. N is a number from `first` to 999,999,999 without leading
    /// zeros.
    [[nodiscard]] std::map<std::uint64_t, std::string_view> numbered(std::string_view prefix,
                                                                     std::uint64_t first = 1) const;

    /// The variables whose names begin with `prefix`; names without the prefix.
    [[nodiscard]] std::vector<Variable> with_prefix(std::string_view prefix) const;

  private:
    std::map<std::string_view, std::string_view> variables_;
};

/// Splits `text` at each space.
std::vector<std::string_view> split_words(std::string_view text);

} // namespace failclosed
