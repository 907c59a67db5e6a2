// SPDX-License-Identifier: GPL-3.0-or-later
// A record: the name's number (two bytes, big endian), a kind, an address of up to 16 bytes.
#include "core/codec/files/lookup_records.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace failclosed {

namespace {

constexpr std::size_t kAddressBytes = 16;
constexpr std::size_t kIpv4Bytes = 4;
constexpr std::size_t kHeadBytes = 3;
constexpr std::size_t kRecordBytes = kHeadBytes + kAddressBytes;
constexpr std::size_t kEndNumber = 0xffff;

enum class Kind : std::uint8_t { Silent = 0, Reached = 1, Ipv4 = 4, Ipv6 = 6 };

std::string record(std::size_t number, Kind kind, std::span<const std::uint8_t> address)
{
    std::string bytes(kRecordBytes, '\0');
    bytes[0] = static_cast<char>(number >> 8U);
    bytes[1] = static_cast<char>(number & 0xffU);
    bytes[2] = static_cast<char>(kind);
    std::ranges::copy(address, bytes.begin() + kHeadBytes);
    return bytes;
}

std::uint8_t byte_at(std::string_view bytes, std::size_t at)
{
    return static_cast<std::uint8_t>(bytes[at]);
}

std::optional<IpAddress> read_address(std::string_view record, std::size_t size)
{
    std::array<std::uint8_t, kAddressBytes> bytes{};
    for (std::size_t i = 0; i < kAddressBytes; ++i) {
        bytes[i] = byte_at(record, kHeadBytes + i);
        if (i >= size && bytes[i] != 0) {
            return std::nullopt;
        }
    }
    return IpAddress::from_bytes(std::span(bytes).first(size));
}

} // namespace

std::size_t longest_lookup(std::size_t names)
{
    return (names * kMostLookupAddresses + 1) * kRecordBytes;
}

std::string write_lookup(const LookupRecords& records)
{
    std::string bytes;
    for (std::size_t number = 0; number < records.addresses.size(); ++number) {
        const auto& addresses = records.addresses[number];
        for (std::size_t i = 0; i < std::min(addresses.size(), kMostLookupAddresses); ++i) {
            const auto& address = addresses[i];
            bytes += record(number, address.family() == Family::V4 ? Kind::Ipv4 : Kind::Ipv6,
                            address.bytes());
        }
    }
    return bytes + record(kEndNumber, records.reached ? Kind::Reached : Kind::Silent, {});
}

std::optional<LookupRecords> read_lookup(std::string_view bytes, std::size_t names)
{
    if (names >= kEndNumber || bytes.empty() || bytes.size() % kRecordBytes != 0 ||
        bytes.size() > longest_lookup(names)) {
        return std::nullopt;
    }
    LookupRecords records{std::vector<std::vector<IpAddress>>(names)};
    for (; !bytes.empty(); bytes.remove_prefix(kRecordBytes)) {
        const auto one = bytes.substr(0, kRecordBytes);
        const std::size_t number = byte_at(one, 0) * 256U + byte_at(one, 1);
        const auto kind = static_cast<Kind>(byte_at(one, 2));
        if (bytes.size() == kRecordBytes) {
            records.reached = kind == Kind::Reached;
            const bool is_end = number == kEndNumber && (records.reached || kind == Kind::Silent) &&
                                one.find_first_not_of('\0', kHeadBytes) == std::string_view::npos;
            return is_end ? std::optional(std::move(records)) : std::nullopt;
        }
        if (number >= names || (kind != Kind::Ipv4 && kind != Kind::Ipv6) ||
            records.addresses[number].size() >= kMostLookupAddresses) {
            return std::nullopt;
        }
        const auto address = read_address(one, kind == Kind::Ipv4 ? kIpv4Bytes : kAddressBytes);
        if (!address) {
            return std::nullopt;
        }
        records.addresses[number].push_back(*address);
    }
    return std::nullopt;
}

} // namespace failclosed
