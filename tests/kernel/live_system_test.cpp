// SPDX-License-Identifier: GPL-3.0-or-later
// What the engine's port to this machine puts into the kernel for some time.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "core/apply/kernel/firewall_memory.hpp"
#include "core/codec/nftables/message.hpp"
#include "core/engine/live_system.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "tests/kernel/network.hpp"

namespace failclosed {
namespace {

using test::ip;
using test::must;
using test::NetworkNamespace;

/// A locked machine with a network card and an admitted sign-in.
class LiveSystemTest : public testing::Test {
  protected:
    /// A /run of its own; the mount namespace is the test program's.
    void SetUp() override { ASSERT_EQ(mount("test", "/run", "tmpfs", 0, "size=4m"), 0); }

    void TearDown() override { EXPECT_EQ(umount2("/run", MNT_DETACH), 0); }

    LiveSystemTest() : namespace_(NetworkNamespace::make())
    {
        ip("link add lan0 type veth peer name far0\nlink set lan0 up\n");
        state_.portal = portal(1000);
    }

    static Portal portal(uid_t uid)
    {
        return {uid,
                {},
                {IpAddress::parse("192.168.50.1").value(), IpAddress::parse("fd00::1").value()},
                {}};
    }

    void load(Expressions form = Expressions::All)
    {
        const auto snapshot = system_.observe();
        ASSERT_TRUE(snapshot);
        ruleset_ = plan_firewall(state_, {}, *snapshot, form);
        const auto loaded = system_.replace_firewall(ruleset_);
        ASSERT_TRUE(loaded) << loaded.error().message();
    }

    static std::string elements(const std::string& family, const std::string& set)
    {
        const auto text = must({"nft", "list", "set", family, "failclosed", set});
        const auto begin = text.find("elements");
        return begin == std::string::npos ? "" : text.substr(begin);
    }

    static bool holds(const std::string& text, const std::string& part)
    {
        return text.find(part) != std::string::npos;
    }

    test::ReturnToNetwork return_;
    NetworkNamespace namespace_;
    LiveSystem system_;
    State state_;
    Ruleset ruleset_;
};

TEST_F(LiveSystemTest, ASignInIsInAllTablesThatFilterLeavingPackets)
{
    load();
    const auto admitted = system_.admit_portal(*state_.portal, Seconds{600});
    ASSERT_TRUE(admitted) << admitted.error().message();
    for (const char* family : {"inet", "netdev"}) {
        EXPECT_TRUE(holds(elements(family, "portal_uid"), "1000 timeout 10m")) << family;
        EXPECT_EQ(elements(family, "portal_gid"), "") << family;
        EXPECT_TRUE(holds(elements(family, "portal_resolver4"), "192.168.50.1 . udp . 53"))
            << family;
        EXPECT_TRUE(holds(elements(family, "portal_resolver6"), "fd00::1 . tcp . 53")) << family;
    }
    EXPECT_TRUE(system_.firewall_holds(ruleset_).value()) << "what has a time does not count";
    // Again, for what is left of it.
    EXPECT_TRUE(system_.admit_portal(*state_.portal, Seconds{60}));
    ASSERT_TRUE(system_.end_portal());
    for (const char* family : {"inet", "netdev"}) {
        for (const char* set : {"portal_uid", "portal_resolver4", "portal_resolver6"}) {
            EXPECT_EQ(elements(family, set), "") << family << " " << set;
        }
    }
    EXPECT_TRUE(system_.end_portal()) << "there is nothing to end";
}

TEST_F(LiveSystemTest, AGroupReplacesTheUser)
{
    load();
    state_.portal->gid = 998;
    ASSERT_TRUE(system_.admit_portal(*state_.portal, Seconds{600}));
    for (const char* family : {"inet", "netdev"}) {
        EXPECT_TRUE(holds(elements(family, "portal_gid"), "998")) << family;
        EXPECT_EQ(elements(family, "portal_uid"), "") << family;
    }
}

TEST_F(LiveSystemTest, WithoutABeltTheInetTableIsEnough)
{
    load(Expressions::WithoutBelt);
    ASSERT_TRUE(system_.admit_portal(*state_.portal, Seconds{600}));
    EXPECT_TRUE(holds(elements("inet", "portal_uid"), "1000"));
    const auto resolver = IpAddress::parse("192.168.50.1").value();
    ASSERT_TRUE(system_.admit_bootstrap(resolver, Seconds{10}));
    EXPECT_TRUE(holds(elements("inet", "bootstrap4"), "192.168.50.1"));
    EXPECT_TRUE(system_.end_portal());
}

TEST_F(LiveSystemTest, ABootstrapQueryPassesTheBeltToo)
{
    load();
    ASSERT_TRUE(system_.admit_bootstrap(IpAddress::parse("fd00::1").value(), Seconds{10}));
    for (const char* family : {"inet", "netdev"}) {
        EXPECT_TRUE(holds(elements(family, "bootstrap6"), "fd00::1 . udp . 53")) << family;
    }
}

TEST_F(LiveSystemTest, EndingWithoutASignInSucceeds)
{
    state_.portal.reset();
    load();
    EXPECT_FALSE(system_.admit_portal(portal(1000), Seconds{600}));
    EXPECT_TRUE(system_.end_portal());
}

/// What a run of this kind finds.
bool run_holds(const Ruleset& ruleset, LiveSystem::Reading reading, bool locked = true)
{
    LiveSystem system(reading);
    EXPECT_TRUE(!locked || system.lock());
    return system.firewall_holds(ruleset).value();
}

TEST_F(LiveSystemTest, HooksUseTheNotesOfEarlierHooksAndCommandsDoNot)
{
    constexpr auto changes = LiveSystem::Reading::Changes;
    constexpr auto everything = LiveSystem::Reading::Everything;
    const FirewallMemory memory("/run/failclosed");
    load();
    EXPECT_TRUE(run_holds(ruleset_, everything));
    EXPECT_EQ(memory.load(), std::nullopt);
    EXPECT_TRUE(run_holds(ruleset_, changes));
    auto note = memory.load();
    ASSERT_TRUE(note);
    Ruleset other = ruleset_;
    other.tables[0].chains[0].rules.pop_back();
    note->batch = encode(other)->bytes;
    ASSERT_TRUE(memory.save(*note));
    EXPECT_TRUE(run_holds(other, changes));
    EXPECT_FALSE(run_holds(other, changes, false)) << "another run may be writing";
    EXPECT_FALSE(run_holds(other, everything));
    {
        LiveSystem asked_before(changes);
        EXPECT_TRUE(asked_before.firewall_exists().value());
        EXPECT_TRUE(asked_before.lock());
        EXPECT_TRUE(asked_before.firewall_holds(other).value());
    }
}

TEST_F(LiveSystemTest, WithoutTablesThereAreNoNotes)
{
    const FirewallMemory memory("/run/failclosed");
    load();
    ASSERT_TRUE(run_holds(ruleset_, LiveSystem::Reading::Changes));
    ASSERT_NE(memory.load(), std::nullopt);
    ASSERT_TRUE(system_.load_beside(base_ruleset()));
    EXPECT_EQ(memory.load(), std::nullopt);
    load();
    ASSERT_TRUE(run_holds(ruleset_, LiveSystem::Reading::Changes));
    ASSERT_NE(memory.load(), std::nullopt);
    ASSERT_TRUE(system_.remove_firewall());
    EXPECT_EQ(memory.load(), std::nullopt);
}

TEST_F(LiveSystemTest, OpeningRemovesAllTables)
{
    load();
    EXPECT_TRUE(holds(must({"nft", "list", "tables"}), "table netdev failclosed"));
    const auto removed = system_.remove_firewall();
    ASSERT_TRUE(removed) << removed.error().message();
    EXPECT_EQ(must({"nft", "list", "tables"}), "");
    EXPECT_TRUE(system_.remove_firewall()) << "nothing is there";
}

} // namespace
} // namespace failclosed
