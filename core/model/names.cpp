// SPDX-License-Identifier: GPL-3.0-or-later
// Validation of names and numbers.
#include "core/model/names.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <net/if.h>

namespace failclosed {

namespace {

bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_label(std::string_view label)
{
    const auto allowed = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; };
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, allowed);
}

/// Parses up to four hexadecimal digits; `nullopt` if another character is among them.
std::optional<std::uint16_t> parse_hexadecimal(std::string_view digits)
{
    std::uint16_t number = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number, 16);
    return error == std::errc{} && stop == end ? std::optional(number) : std::nullopt;
}

void append_hexadecimal(std::string& text, std::uint8_t byte)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
}

} // namespace

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t low,
                                          std::uint64_t high)
{
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    const bool leading_zero = text.size() > 1 && text.front() == '0';
    if (text.empty() || error != std::errc{} || stop != end || leading_zero || number < low ||
        number > high) {
        return std::nullopt;
    }
    return number;
}

bool has_control_characters(std::string_view text)
{
    return std::ranges::any_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::optional<InterfaceName> InterfaceName::parse(std::string_view text)
{
    const bool forbidden = text.find_first_of("/: ") != std::string_view::npos;
    if (text.empty() || text.size() >= IFNAMSIZ || forbidden || text == "." || text == ".." ||
        has_control_characters(text)) {
        return std::nullopt;
    }
    return InterfaceName(text);
}

std::optional<HostName> HostName::parse(std::string_view text)
{
    if (text.ends_with('.')) {
        text.remove_suffix(1);
    }
    if (text.empty() || text.size() > 253) {
        return std::nullopt;
    }
    std::string_view rest = text;
    std::string_view label;
    for (bool more = true; more;) {
        const auto dot = rest.find('.');
        label = rest.substr(0, dot);
        if (!is_label(label)) {
            return std::nullopt;
        }
        more = dot != std::string_view::npos;
        rest.remove_prefix(more ? dot + 1 : rest.size());
    }
    // Resolvers read a last label of digits, or 0x and hexadecimal digits, as an IPv4 address.
    if (label.front() >= '0' && label.front() <= '9' &&
        (label.find_first_not_of("0123456789") == std::string_view::npos ||
         label.starts_with("0x") || label.starts_with("0X"))) {
        return std::nullopt;
    }
    std::string lower(text);
    for (char& c : lower) {
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return HostName(std::move(lower));
}

std::optional<Port> Port::parse(std::string_view text)
{
    const auto number = parse_number(text, 1, 65535);
    return number ? make(static_cast<std::uint16_t>(*number)) : std::nullopt;
}

std::optional<Port> Port::make(std::uint16_t number)
{
    return number == 0 ? std::nullopt : std::optional(Port(number));
}

std::optional<MacAddress> MacAddress::parse(std::string_view text)
{
    constexpr std::size_t kLength = 17;
    std::array<std::uint8_t, 6> bytes{};
    if (text.size() != kLength) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto byte = parse_hexadecimal(text.substr(3 * i, 2));
        if (!byte || (i != 0 && text[3 * i - 1] != ':')) {
            return std::nullopt;
        }
        bytes[i] = static_cast<std::uint8_t>(*byte);
    }
    return MacAddress(bytes);
}

bool MacAddress::is_unicast() const
{
    return (bytes_[0] & 1U) == 0 &&
           std::ranges::any_of(bytes_, [](auto byte) { return byte != 0; });
}

std::string MacAddress::to_string() const
{
    std::string text;
    for (const std::uint8_t byte : bytes_) {
        text += text.empty() ? "" : ":";
        append_hexadecimal(text, byte);
    }
    return text;
}

std::optional<EtherType> EtherType::parse(std::string_view text)
{
    constexpr std::size_t kLength = 6;
    constexpr std::uint16_t kLowest = 0x0600; // a lower number is the length of an 802.3 frame
    const auto number = text.size() == kLength && text.starts_with("0x")
                            ? parse_hexadecimal(text.substr(2))
                            : std::nullopt;
    return number && *number >= kLowest ? std::optional(EtherType{*number}) : std::nullopt;
}

std::string EtherType::to_string() const
{
    std::string text = "0x";
    append_hexadecimal(text, static_cast<std::uint8_t>(number >> 8));
    append_hexadecimal(text, static_cast<std::uint8_t>(number & 0xff));
    return text;
}

} // namespace failclosed
