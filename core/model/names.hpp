// SPDX-License-Identifier: GPL-3.0-or-later
// Names and numbers from outside, validated once at the edge.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace failclosed {

/// Parses a decimal number from `low` to `high` inclusive, without sign, spaces or leading zeros.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t low,
                                          std::uint64_t high);

/// True if `text` holds a byte below 0x20, or 0x7f. Such text must not reach a file or a log.
bool has_control_characters(std::string_view text);

/// The name of a network device, as dev_valid_name() in the kernel accepts it: 1 to 15 bytes
/// (IFNAMSIZ, linux/if.h), without '/', ':' and white space, not "." or "..". Without control
/// characters too.
class InterfaceName {
  public:
    static std::optional<InterfaceName> parse(std::string_view text);

    [[nodiscard]] const std::string& text() const { return text_; }

    friend auto operator<=>(const InterfaceName&, const InterfaceName&) = default;

  private:
    explicit InterfaceName(std::string_view text) : text_(text) {}

    std::string text_;
};

/// A DNS name: at most 253 bytes; labels of 1 to 63 letters, digits, '-' and '_' (RFC 1123, and the
/// underscore that is in use) that neither begin nor end with '-'. Stored in lower case without the
/// last dot. A numeric address ("10.0.0.1", "0x7f.1", "1") is not a name.
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

    /// `nullopt` if `number` is 0.
    static std::optional<Port> make(std::uint16_t number);

    [[nodiscard]] std::uint16_t number() const { return number_; }

    friend auto operator<=>(const Port&, const Port&) = default;

  private:
    explicit Port(std::uint16_t number) : number_(number) {}

    std::uint16_t number_;
};

/// A hardware address of Ethernet, 48 bits (IEEE 802).
class MacAddress {
  public:
    /// "52:54:00:12:34:56": six pairs of hexadecimal digits of either case, separated by colons.
    static std::optional<MacAddress> parse(std::string_view text);

    [[nodiscard]] const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }

    /// The address of a single device: neither a group address nor all zeros.
    [[nodiscard]] bool is_unicast() const;

    /// In lower case.
    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const MacAddress&, const MacAddress&) = default;

  private:
    explicit MacAddress(const std::array<std::uint8_t, 6>& bytes) : bytes_(bytes) {}

    std::array<std::uint8_t, 6> bytes_;
};

/// What a frame carries (linux/if_ether.h): 0x0800 is IPv4.
struct EtherType {
    std::uint16_t number = 0;

    /// "0x88e5": "0x" and four hexadecimal digits of either case, at least 0x0600.
    static std::optional<EtherType> parse(std::string_view text);

    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const EtherType&, const EtherType&) = default;
};

} // namespace failclosed
