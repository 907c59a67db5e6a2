// SPDX-License-Identifier: GPL-3.0-or-later
// IP addresses and prefixes of both families as comparable values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace failclosed {

enum class Family : std::uint8_t { V4, V6 };

inline constexpr std::array kFamilies = {Family::V4, Family::V6};

/// An IPv4 or IPv6 address, without a zone.
class IpAddress {
  public:
    /// Parses numeric text: RFC 4291, or a dotted quad without leading zeros; `nullopt` otherwise.
    /// An IPv4-mapped IPv6 address (::ffff:0:0/96) becomes the IPv4 address in it.
    static std::optional<IpAddress> parse(std::string_view text);

    /// 4 or 16 bytes in network order; `nullopt` if there are more or fewer.
    static std::optional<IpAddress> from_bytes(std::span<const std::uint8_t> bytes);

    /// 0.0.0.0 or ::
    static IpAddress unspecified(Family family);

    [[nodiscard]] Family family() const { return family_; }

    /// 4 or 16 bytes in network order.
    [[nodiscard]] std::span<const std::uint8_t> bytes() const;

    /// 32 or 128.
    [[nodiscard]] unsigned bits() const { return family_ == Family::V4 ? 32 : 128; }

    [[nodiscard]] bool is_unspecified() const;

    /// 127.0.0.0/8 or ::1.
    [[nodiscard]] bool is_loopback() const;

    /// 169.254.0.0/16 or fe80::/10.
    [[nodiscard]] bool is_link_local() const;

    /// 224.0.0.0/4 or ff00::/8.
    [[nodiscard]] bool is_multicast() const;

    /// An address that a single other host can have: not unspecified, loopback or multicast, and
    /// not in 0.0.0.0/8 or 240.0.0.0/4 (which includes the limited broadcast).
    [[nodiscard]] bool is_unicast_host() const;

    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

  private:
    IpAddress(Family family, std::span<const std::uint8_t> bytes);

    Family family_;
    std::array<std::uint8_t, 16> bytes_{};
};

/// A network: an address whose host bits are zero, and its length in bits.
class IpPrefix {
  public:
    /// Clears the host bits of `address`. `nullopt` if `length` exceeds 32 (IPv4) or 128 (IPv6).
    static std::optional<IpPrefix> make(const IpAddress& address, unsigned length);

    /// "10.0.0.0/8", or "10.1.2.3" for the prefix of a single address. Clears host bits.
    static std::optional<IpPrefix> parse(std::string_view text);

    /// From an address and a netmask such as 255.255.255.0; `nullopt` if the one bits of the mask
    /// are not contiguous.
    static std::optional<IpPrefix> from_netmask(const IpAddress& address, const IpAddress& mask);

    /// The prefix of this single address.
    static IpPrefix host(const IpAddress& address);

    /// 0.0.0.0/0 or ::/0.
    static IpPrefix any(Family family);

    [[nodiscard]] Family family() const { return address_.family(); }

    [[nodiscard]] const IpAddress& address() const { return address_; }

    [[nodiscard]] unsigned length() const { return length_; }

    /// The highest address in the prefix.
    [[nodiscard]] IpAddress last() const;

    [[nodiscard]] bool contains(const IpAddress& address) const;

    [[nodiscard]] bool contains(const IpPrefix& other) const;

    [[nodiscard]] bool overlaps(const IpPrefix& other) const;

    /// "10.0.0.0/8".
    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;

  private:
    IpPrefix(const IpAddress& address, unsigned length) : address_(address), length_(length) {}

    IpAddress address_;
    unsigned length_;
};

/// Sorted, without prefixes that another one contains.
std::vector<IpPrefix> without_contained(std::vector<IpPrefix> prefixes);

} // namespace failclosed
