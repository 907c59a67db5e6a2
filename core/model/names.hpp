// SPDX-License-Identifier: GPL-3.0-or-later
// Names and numbers that come from outside, made valid once at the edge.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace failclosed {

/// A whole decimal number from `low` to `high` inclusive, without sign, spaces or leading zeros.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t low,
                                          std::uint64_t high);

/// True where `text` holds a byte below 0x20 or 0x7f: such text never reaches a file or a log.
bool has_control_characters(std::string_view text);

/// The name of a network device: 1 to 15 bytes (IFNAMSIZ, linux/if.h), no '/', ':' or white
/// space, not "." or "..", as dev_valid_name() in the kernel; and no control characters.
class InterfaceName {
  public:
    static std::optional<InterfaceName> parse(std::string_view text);

    [[nodiscard]] const std::string& text() const { return text_; }

    friend auto operator<=>(const InterfaceName&, const InterfaceName&) = default;

  private:
    explicit InterfaceName(std::string_view text) : text_(text) {}

    std::string text_;
};

/// A DNS name: at most 253 bytes, labels of 1 to 63 letters, digits, '-' and '_' (RFC 1123, and
/// the underscore that is in use), no '-' at a label's ends. Kept in lower case without the last
/// dot. A name that is an address in numbers ("10.0.0.1", "0x7f.1", "1") is not a name.
class HostName {
  public:
    static std::optional<HostName> parse(std::string_view text);

    [[nodiscard]] const std::string& text() const { return text_; }

    friend auto operator<=>(const HostName&, const HostName&) = default;

  private:
    explicit HostName(std::string text) : text_(std::move(text)) {}

    std::string text_;
};

/// A TCP or UDP port, 1 to 65535.
class Port {
  public:
    static std::optional<Port> parse(std::string_view text);

    /// 0 gives nothing.
    static std::optional<Port> make(std::uint16_t number);

    [[nodiscard]] std::uint16_t number() const { return number_; }

    friend auto operator<=>(const Port&, const Port&) = default;

  private:
    explicit Port(std::uint16_t number) : number_(number) {}

    std::uint16_t number_;
};

} // namespace failclosed
