// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink messages and attributes as bounds-checked views of a buffer (linux/netlink.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace failclosed {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// Copies a T from the front of `bytes`, which need not be aligned; `nullopt` if they are too few.
template <typename T> std::optional<T> read_front(ByteView bytes)
{
    if (bytes.size() < sizeof(T)) {
        return std::nullopt;
    }
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

/// Copies a T from all of `bytes`; `nullopt` if their number differs from its size.
template <typename T> std::optional<T> read_exactly(ByteView bytes)
{
    return bytes.size() == sizeof(T) ? read_front<T>(bytes) : std::nullopt;
}

/// A message. The views point into the buffer that it was taken from.
struct NetlinkMessage {
    std::uint16_t type = 0;
    std::uint16_t flags = 0;
    std::uint32_t sequence = 0;
    ByteView payload;
    /// With its header, without the padding after it.
    ByteView whole;
};

/// Removes the first message and its padding from `bytes`. `nullopt`, with `bytes` unchanged, if no
/// complete message is left.
std::optional<NetlinkMessage> take_message(ByteView& bytes);

struct NetlinkAttribute {
    /// Without the flag bits NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    std::uint16_t type = 0;
    ByteView value;
};

/// Removes the first attribute from `bytes`, under the same conditions as take_message().
std::optional<NetlinkAttribute> take_attribute(ByteView& bytes);

} // namespace failclosed
