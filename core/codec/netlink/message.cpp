// SPDX-License-Identifier: GPL-3.0-or-later
// Splitting netlink buffers into messages and attributes.
#include "core/codec/netlink/message.hpp"

#include <algorithm>

#include <linux/netlink.h>

namespace failclosed {

namespace {

/// The bytes after an item of `length`. Items are padded to multiples of four, except at the end.
ByteView after(ByteView bytes, std::size_t length)
{
    return bytes.subspan(std::min(bytes.size(), NLMSG_ALIGN(length)));
}

} // namespace

std::optional<NetlinkMessage> take_message(ByteView& bytes)
{
    const auto header = read_front<nlmsghdr>(bytes);
    if (!header || header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > bytes.size()) {
        return std::nullopt;
    }
    const auto whole = bytes.first(header->nlmsg_len);
    bytes = after(bytes, whole.size());
    return NetlinkMessage{header->nlmsg_type, header->nlmsg_flags, header->nlmsg_seq,
                          whole.subspan(sizeof(nlmsghdr)), whole};
}

std::optional<NetlinkAttribute> take_attribute(ByteView& bytes)
{
    const auto header = read_front<nlattr>(bytes);
    if (!header || header->nla_len < sizeof(nlattr) || header->nla_len > bytes.size()) {
        return std::nullopt;
    }
    const auto value = bytes.first(header->nla_len).subspan(sizeof(nlattr));
    bytes = after(bytes, header->nla_len);
    return NetlinkAttribute{static_cast<std::uint16_t>(header->nla_type & NLA_TYPE_MASK), value};
}

} // namespace failclosed
