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

} // namespace failclosed
