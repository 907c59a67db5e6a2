// SPDX-License-Identifier: GPL-3.0-or-later
// The environment that a program was started with: chosen by strangers.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace failclosed {

/// A process's environment by name. Made from the entries themselves and never from a printed
/// list, in which a line break inside of a value makes up variables. Looks into `entries`, which
/// have to outlive it. Of a name that occurs twice the first counts, as in getenv(3).
class Environment {
  public:
    /// Name and value.
    using Variable = std::pair<std::string_view, std::string_view>;

    /// "NAME=VALUE" C strings; entries without '=' are passed over.
    explicit Environment(std::span<const char* const> entries);

    /// From environ(7): ends with a null pointer.
    static Environment of_process(const char* const* entries);

    /// Empty where there is no such variable.
    [[nodiscard]] std::string_view get(std::string_view name) const;

    /// Variables "<prefix>N", by N: a whole number from `first` to 999,999,999 without leading
    /// zeros.
    [[nodiscard]] std::map<std::uint64_t, std::string_view> numbered(std::string_view prefix,
                                                                     std::uint64_t first = 1) const;

    /// Names that begin with `prefix`, without it, and their values.
    [[nodiscard]] std::vector<Variable> with_prefix(std::string_view prefix) const;

  private:
    std::map<std::string_view, std::string_view> variables_;
};

/// The words between single spaces.
std::vector<std::string_view> split_words(std::string_view text);

} // namespace failclosed
