// SPDX-License-Identifier: GPL-3.0-or-later
// Sets and verdict maps: the handle that planner, encoder and interpreter share, and the elements.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/model/endpoint.hpp"

namespace failclosed {

// ---- Keys ----

/// A field of a packet in a set's key.
enum class Field : std::uint8_t {
    InputInterface,
    OutputInterface,
    Source4,
    Source6,
    Destination4,
    Destination6,
    Protocol,
    SourcePort,
    DestinationPort,
    IcmpKind,   ///< type of an ICMP message; other packets never match
    Icmpv6Kind, ///< the same of ICMPv6
    SocketUid,  ///< uid that created the socket; packets without one never match
    SocketGid,  ///< gid of the process that created the socket; packets without one never match
    Mark,       ///< meta mark, whole
    SourceMac,  ///< of the Ethernet header; in netdev tables only
    ArpSource,  ///< protocol addresses inside an ARP packet for IPv4 over Ethernet
    ArpTarget,
};

/// Up to four fields, in the order of a key.
class KeyFields {
  public:
    static constexpr std::size_t kMost = 4;

    template <std::same_as<Field>... Fields>
        requires(sizeof...(Fields) <= kMost)
    constexpr KeyFields(Fields... fields) : fields_{fields...}, size_(sizeof...(Fields))
    {
    }

    [[nodiscard]] constexpr const Field* begin() const { return fields_.data(); }

    [[nodiscard]] constexpr const Field* end() const { return fields_.data() + size_; }

    [[nodiscard]] constexpr std::size_t size() const { return size_; }

    [[nodiscard]] constexpr bool empty() const { return size_ == 0; }

    [[nodiscard]] constexpr Field operator[](std::size_t place) const { return fields_[place]; }

    /// Each field replaced by `replace(field)`.
    template <typename Replace> [[nodiscard]] constexpr KeyFields map(Replace replace) const
    {
        KeyFields result = *this;
        std::ranges::transform(*this, result.fields_.begin(), replace);
        return result;
    }

    friend bool operator==(const KeyFields&, const KeyFields&) = default;

  private:
    std::array<Field, kMost> fields_{};
    std::size_t size_ = 0;
};

/// Which fields of a packet a lookup reads. Keys are written as an outgoing packet has them: its
/// destination is the remote address, its source the local one.
enum class Direction : std::uint8_t {
    Outgoing,    ///< the key's fields as they are written
    Incoming,    ///< input device for output device; source and destination exchanged
    OutgoingArp, ///< as Outgoing, with the addresses inside an ARP packet
    IncomingArp,
};

struct Uid {
    uid_t number = 0;

    friend auto operator<=>(const Uid&, const Uid&) = default;
};

struct Gid {
    gid_t number = 0;

    friend auto operator<=>(const Gid&, const Gid&) = default;
};

struct Mark {
    std::uint32_t value = 0;

    friend auto operator<=>(const Mark&, const Mark&) = default;
};

/// Type of an ICMP message (RFC 792 registry).
struct IcmpType {
    std::uint8_t type = 0;
    friend auto operator<=>(const IcmpType&, const IcmpType&) = default;
};

/// Type of an ICMPv6 message (RFC 4443 registry).
struct Icmpv6Type {
    std::uint8_t type = 0;
    friend auto operator<=>(const Icmpv6Type&, const Icmpv6Type&) = default;
};

/// One part of a key. Prefixes only in sets with `intervals`.
using KeyPart = std::variant<InterfaceName, IpAddress, IpPrefix, Transport, Port, IcmpType,
                             Icmpv6Type, Uid, Gid, Mark, MacAddress>;

// ---- Verdicts ----

enum class Verdict : std::uint8_t {
    Accept,
    Drop,   ///< silent
    Reject, ///< ICMP admin-prohibited; ICMPv6 no-route, so that programs fall back at once
    Return, ///< to the calling chain; in a base chain, the policy
};

struct Jump {
    std::string chain;

    friend auto operator<=>(const Jump&, const Jump&) = default;
};

struct Goto {
    std::string chain;

    friend auto operator<=>(const Goto&, const Goto&) = default;
};

/// The end of a rule, or of an element of a verdict map.
using Decision = std::variant<Verdict, Jump, Goto>;

// ---- Sets ----

/// The name of a set: a literal, kept by value.
class SetName {
  public:
    template <std::size_t size> constexpr SetName(const char (&text)[size])
    {
        static_assert(size < kRoom, "too long: no room for the family's number");
        std::ranges::copy(text, text_.begin());
    }

    /// With the family's number at the end: "lan4" of "lan".
    [[nodiscard]] constexpr SetName of(Family family) const
    {
        SetName name = *this;
        name.text_[text().size()] = family == Family::V4 ? '4' : '6';
        return name;
    }

    [[nodiscard]] constexpr std::string_view text() const { return text_.data(); }

    /// text() with a zero byte behind it.
    [[nodiscard]] constexpr const char* c_str() const { return text_.data(); }

    friend bool operator==(const SetName&, const SetName&) = default;

  private:
    static constexpr std::size_t kRoom = 32;

    std::array<char, kRoom> text_{};
};

/// Everything about a set or verdict map except its elements.
struct SetHandle {
    SetName name;
    KeyFields key;
    /// Address parts of keys are prefixes, which do not overlap.
    bool intervals = false;
    /// A verdict map: each element has a decision.
    bool verdicts = false;
    /// Elements are added at run time, each with a timeout after which the kernel removes it; plans
    /// do not contain them, and comparisons ignore them.
    bool timeouts = false;

    friend bool operator==(const SetHandle&, const SetHandle&) = default;
};

/// The fields that a lookup in `set` reads, in the order of its key.
KeyFields fields_of(const SetHandle& set, Direction direction);

struct SetElement {
    std::vector<KeyPart> key;
    /// Set exactly in verdict maps. Never Reject.
    std::optional<Decision> decision;

    friend auto operator<=>(const SetElement&, const SetElement&) = default;
};

struct Set {
    SetHandle handle;
    std::vector<SetElement> elements;

    friend bool operator==(const Set&, const Set&) = default;
};

/// The set with sorted elements, without duplicates.
Set sorted(Set set);

} // namespace failclosed
