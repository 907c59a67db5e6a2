// SPDX-License-Identifier: GPL-3.0-or-later
// The fields that a lookup reads, and the order of elements.
#include "core/plan/firewall/set_handle.hpp"

#include <utility>

namespace failclosed {
namespace {

/// Pairs of fields with the same meaning in an outgoing and an incoming packet, in both orders.
constexpr std::array kMirrored = std::to_array<std::pair<Field, Field>>({
    {Field::InputInterface, Field::OutputInterface},
    {Field::Source4, Field::Destination4},
    {Field::Source6, Field::Destination6},
    {Field::SourcePort, Field::DestinationPort},
    {Field::ArpSource, Field::ArpTarget},
});

Field mirrored(Field field)
{
    for (const auto& [one, other] : kMirrored) {
        if (field == one || field == other) {
            return field == one ? other : one;
        }
    }
    return field;
}

Field inside_arp(Field field)
{
    switch (field) {
    case Field::Source4:
        return Field::ArpSource;
    case Field::Destination4:
        return Field::ArpTarget;
    default:
        return field;
    }
}

} // namespace

Set sorted(Set set)
{
    std::ranges::sort(set.elements);
    const auto rest = std::ranges::unique(set.elements);
    set.elements.erase(rest.begin(), rest.end());
    return set;
}

KeyFields fields_of(const SetHandle& set, Direction direction)
{
    const bool incoming = direction == Direction::Incoming || direction == Direction::IncomingArp;
    const bool arp = direction == Direction::OutgoingArp || direction == Direction::IncomingArp;
    const KeyFields fields = incoming ? set.key.map(mirrored) : set.key;
    return arp ? fields.map(inside_arp) : fields;
}

} // namespace failclosed
