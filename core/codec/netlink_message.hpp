// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink messages and attributes as bounds-checked pieces of a buffer (linux/netlink.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace failclosed {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// A T copied out of the front of `bytes`, whatever its alignment; nothing where they are fewer.
template <typename T> std::optional<T> read_front(ByteView bytes)
{
    if (bytes.size() < sizeof(T)) {
        return std::nullopt;
    }
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

/// A T that is all of `bytes`; nothing where their number differs.
template <typename T> std::optional<T> read_exactly(ByteView bytes)
{
    return bytes.size() == sizeof(T) ? read_front<T>(bytes) : std::nullopt;
}

/// One message; the views point into the buffer that it was taken from.
struct NetlinkMessage {
    std::uint16_t type = 0;
    std::uint16_t flags = 0;
    std::uint32_t sequence = 0;
    ByteView payload;
    /// With its header, without padding after it.
    ByteView whole;
};

/// Takes the first message off `bytes`, with the padding that follows it. Nothing, and `bytes`
/// unchanged, where no whole message is left.
std::optional<NetlinkMessage> take_message(ByteView& bytes);

struct NetlinkAttribute {
    /// Without the flag bits NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    std::uint16_t type = 0;
    ByteView value;
};

/// Takes the first attribute off `bytes`, as take_message does.
std::optional<NetlinkAttribute> take_attribute(ByteView& bytes);

} // namespace failclosed
