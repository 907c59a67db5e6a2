// SPDX-License-Identifier: GPL-3.0-or-later
// IP addresses and prefixes: parsing, printing, containment.
#include "core/model/address.hpp"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

namespace failclosed {

namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

} // namespace

IpAddress::IpAddress(Family family, std::span<const std::uint8_t> bytes) : family_(family)
{
    std::ranges::copy(bytes, bytes_.begin());
}

std::optional<IpAddress> IpAddress::from_bytes(std::span<const std::uint8_t> bytes)
{
    if (bytes.size() == 4) {
        return IpAddress(Family::V4, bytes);
    }
    if (bytes.size() == 16) {
        return IpAddress(Family::V6, bytes);
    }
    return std::nullopt;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text)
{
    // inet_pton reads a C string: an embedded NUL would hide what follows it.
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    const std::string terminated(text);
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) {
        return IpAddress(Family::V4, std::span(bytes).first(4));
    }
    if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) != 1) {
        return std::nullopt;
    }
    if (std::ranges::equal(std::span(bytes).first(12), kMappedPrefix)) {
        return IpAddress(Family::V4, std::span(bytes).subspan(12));
    }
    return IpAddress(Family::V6, bytes);
}

IpAddress IpAddress::unspecified(Family family)
{
    constexpr std::array<std::uint8_t, 16> zero{};
    return IpAddress(family, std::span(zero).first(family == Family::V4 ? 4 : 16));
}

std::span<const std::uint8_t> IpAddress::bytes() const
{
    return std::span(bytes_).first(family_ == Family::V4 ? 4 : 16);
}

bool IpAddress::is_unspecified() const
{
    return *this == unspecified(family_);
}

bool IpAddress::is_loopback() const
{
    if (family_ == Family::V4) {
        return bytes_[0] == 127;
    }
    std::array<std::uint8_t, 16> one{};
    one[15] = 1;
    return bytes_ == one;
}

bool IpAddress::is_link_local() const
{
    return family_ == Family::V4 ? bytes_[0] == 169 && bytes_[1] == 254
                                 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_multicast() const
{
    return family_ == Family::V4 ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}

bool IpAddress::is_unicast_host() const
{
    if (is_unspecified() || is_loopback() || is_multicast()) {
        return false;
    }
    return family_ == Family::V6 || (bytes_[0] != 0 && bytes_[0] < 240);
}

std::string IpAddress::to_string() const
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family_ == Family::V4 ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
    return text.data();
}

namespace {

/// `address` with every bit from `length` on cleared or set.
IpAddress with_host_bits(const IpAddress& address, unsigned length, bool set)
{
    std::vector<std::uint8_t> bytes(address.bytes().begin(), address.bytes().end());
    for (unsigned i = 0; i < bytes.size(); ++i) {
        const unsigned kept = std::clamp(length, i * 8, i * 8 + 8) - i * 8;
        const auto host = static_cast<std::uint8_t>(0xffU >> kept);
        bytes[i] = static_cast<std::uint8_t>(set ? bytes[i] | host : bytes[i] & ~host);
    }
    return IpAddress::from_bytes(bytes).value();
}

} // namespace

std::optional<IpPrefix> IpPrefix::make(const IpAddress& address, unsigned length)
{
    if (length > address.bits()) {
        return std::nullopt;
    }
    return IpPrefix(with_host_bits(address, length, false), length);
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text)
{
    const auto slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) {
        return std::nullopt;
    }
    if (slash == std::string_view::npos) {
        return host(*address);
    }
    const auto digits = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
        return std::nullopt;
    }
    return make(*address, length);
}

std::optional<IpPrefix> IpPrefix::from_netmask(const IpAddress& address, const IpAddress& mask)
{
    if (address.family() != mask.family()) {
        return std::nullopt;
    }
    unsigned length = 0;
    while (length < mask.bits() && (mask.bytes()[length / 8] & (0x80U >> length % 8)) != 0) {
        ++length;
    }
    if (with_host_bits(mask, length, false) != mask) {
        return std::nullopt;
    }
    return make(address, length);
}

IpPrefix IpPrefix::host(const IpAddress& address)
{
    return IpPrefix(address, address.bits());
}

IpPrefix IpPrefix::any(Family family)
{
    return IpPrefix(IpAddress::unspecified(family), 0);
}

IpAddress IpPrefix::last() const
{
    return with_host_bits(address_, length_, true);
}

bool IpPrefix::contains(const IpAddress& address) const
{
    return address.family() == family() && with_host_bits(address, length_, false) == address_;
}

bool IpPrefix::contains(const IpPrefix& other) const
{
    return other.length_ >= length_ && contains(other.address_);
}

bool IpPrefix::overlaps(const IpPrefix& other) const
{
    return contains(other) || other.contains(*this);
}

std::string IpPrefix::to_string() const
{
    return address_.to_string() + "/" + std::to_string(length_);
}

std::vector<IpPrefix> without_contained(std::vector<IpPrefix> prefixes)
{
    std::ranges::sort(prefixes);
    std::vector<IpPrefix> kept;
    for (const auto& prefix : prefixes) {
        // Sorted by address, then length: a prefix that contains this one comes before it.
        if (kept.empty() || !kept.back().contains(prefix)) {
            kept.push_back(prefix);
        }
    }
    return kept;
}

} // namespace failclosed
