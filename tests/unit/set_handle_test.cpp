// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include "core/plan/firewall/sets.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::device;
using test::prefix;

TEST(SetHandle, EachFamilyHasItsOwnNameAndKey)
{
    EXPECT_EQ(sets::kLan(Family::V4).name.text(), "lan4");
    EXPECT_EQ(sets::kLan(Family::V6).name.text(), "lan6");
    EXPECT_EQ(sets::kLan(Family::V4).key, KeyFields(Field::Destination4));
    EXPECT_EQ(sets::kTunnelAddress(Family::V6).key,
              KeyFields(Field::OutputInterface, Field::Source6));
}

TEST(SetHandle, KindFollowsFromElementTypes)
{
    EXPECT_TRUE(sets::kLan(Family::V4).intervals);
    EXPECT_FALSE(sets::kOwn(Family::V4).intervals);
    EXPECT_TRUE(sets::kInputDevice.verdicts);
    EXPECT_FALSE(sets::kTunnelDevice.verdicts);
    EXPECT_TRUE(sets::kPortalUid.timeouts);
    EXPECT_FALSE(sets::kServer(Family::V4).timeouts);
}

TEST(SetHandle, DirectionSelectsTheFields)
{
    const SetHandle& inbound = sets::kInbound(Family::V6);
    EXPECT_EQ(fields_of(inbound, Direction::Outgoing),
              KeyFields(Field::Destination6, Field::Protocol, Field::SourcePort));
    EXPECT_EQ(fields_of(inbound, Direction::Incoming),
              KeyFields(Field::Source6, Field::Protocol, Field::DestinationPort));
    const SetHandle& own = sets::kTunnelAddress(Family::V4);
    EXPECT_EQ(fields_of(own, Direction::Incoming),
              KeyFields(Field::InputInterface, Field::Destination4));
    EXPECT_EQ(fields_of(own, Direction::OutgoingArp),
              KeyFields(Field::OutputInterface, Field::ArpSource));
    EXPECT_EQ(fields_of(own, Direction::IncomingArp),
              KeyFields(Field::InputInterface, Field::ArpTarget));
    EXPECT_EQ(fields_of(sets::kPortalUid, Direction::Incoming), KeyFields(Field::SocketUid));
}

TEST(SetBuilder, SortsElementsAndRemovesDuplicates)
{
    SetBuilder networks(sets::kDownstream(Family::V4));
    networks.add(device("br1"), prefix("10.0.0.0/8"));
    networks.add(device("br0"), prefix("10.0.0.0/8"));
    networks.add(device("br1"), prefix("10.0.0.0/8"));
    EXPECT_EQ(networks.take(), (Set{sets::kDownstream(Family::V4),
                                    {{{device("br0"), prefix("10.0.0.0/8")}, {}},
                                     {{device("br1"), prefix("10.0.0.0/8")}, {}}}}));
}

TEST(SetBuilder, DecisionIsNotPartOfTheKey)
{
    SetBuilder devices(sets::kInnerDevice);
    devices.add(device("tun0"), Goto{"tunnel"});
    EXPECT_EQ(devices.take(),
              (Set{sets::kInnerDevice, {{{device("tun0")}, Decision(Goto{"tunnel"})}}}));
}

} // namespace
} // namespace failclosed
