// SPDX-License-Identifier: GPL-3.0-or-later
// Each lock alone: what it refuses after the other ones were removed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/e2e/storm.hpp"
#include "tests/support/traffic/sniffer.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

constexpr std::chrono::milliseconds interval{10};

/// The belt as well: it knows what the firewall knows.
void remove_firewall(const Box& client)
{
    for (const char* family : {"inet", "arp", "netdev"}) {
        client.run({"nft", "delete", "table", family, "failclosed"});
    }
}

void remove_routing(const Box& client)
{
    for (const char* family : {"-4", "-6"}) {
        // It lists them and then deletes one after the other, and stops where a hook that runs at
        // the same time was faster.
        ASSERT_TRUE(eventually(
            [&] { return client.run({"ip", family, "rule", "flush", "protocol", "252"}).ok(); }));
    }
}

/// Whether the kernel takes the device for the answer where no route is found.
bool names_device(const Kind& kind)
{
    return kind.via == Via::Device || kind.via == Via::PacketInfo ||
           kind.via == Via::UnicastInterface;
}

std::vector<Kind> kinds_where(bool (*fits)(const Kind&))
{
    std::vector<Kind> kinds;
    std::ranges::copy_if(all_kinds(), std::back_inserter(kinds), fits);
    return kinds;
}

bool is_held_by_routing(const Kind& kind)
{
    return !names_device(kind);
}

class OneLock {
  public:
    OneLock() : lab_(with_product()), server_(lab_), sniffer_(lab_) {}

    void lock()
    {
        ASSERT_EQ(failclosed(lab_.client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status,
                  0);
        sniffer_.settle();
        client_.emplace(lab_);
        ASSERT_TRUE(client_->wait_connected()) << client_->log();
        sniffer_.settle();
        sniffer_.reset();
    }

    void ride_out_storm(const Traffic& traffic, void (*remove)(const Box&))
    {
        const Patient patient{lab_, server_, *client_};
        for (const auto& disturbance : disturbances()) {
            remove(lab_.client());
            // Hooks that ran in between have put it back.
            ride_out(disturbance, patient, traffic, [&] { remove(lab_.client()); });
            const auto counts = sniffer_.counts();
            ASSERT_EQ(counts.leaked, 0U) << disturbance.name << ": " << counts.text();
            ASSERT_EQ(counts.lost, 0U);
        }
    }

    const Box& client() const { return lab_.client(); }

    const Lab& lab() const { return lab_; }

    const Sniffer& sniffer() const { return sniffer_; }

  private:
    Lab lab_;
    VpnServer server_;
    Sniffer sniffer_;
    std::optional<VpnClient> client_;
};

TEST(RoutingAlone, HoldsAllExceptBoundSockets)
{
    OneLock machine;
    ASSERT_NO_FATAL_FAILURE(machine.lock());
    const Traffic traffic(machine.lab(),
                          {.kinds = kinds_where(is_held_by_routing), .interval = interval});
    machine.ride_out_storm(traffic, remove_firewall);

    // The firewall is away, and these find out: the wire is asked for the site's address, as if
    // it were on the link.
    const Traffic bound(machine.lab(), {.kinds = kinds_where(names_device), .interval = interval});
    EXPECT_TRUE(machine.sniffer().wait_until([](const Counts& seen) { return seen.leaked > 0; }));
    // Nothing but these questions: not one payload.
    const auto counts = machine.sniffer().counts();
    for (const auto& [kind, count] : counts.leaked_kinds) {
        EXPECT_TRUE(kind.empty()) << kind;
    }
    std::printf("without the firewall: %s", counts.text().c_str());
}

TEST(FirewallAlone, HoldsAll)
{
    OneLock machine;
    ASSERT_NO_FATAL_FAILURE(machine.lock());
    const Traffic traffic(machine.lab(), {.interval = interval});
    machine.ride_out_storm(traffic, remove_routing);

    // The rules are away, and the firewall was what held.
    remove_firewall(machine.client());
    EXPECT_TRUE(
        machine.sniffer().wait_until([](const Counts& counts) { return counts.leaked > 1000; }));
    std::printf("without both: %s", machine.sniffer().counts().text().c_str());
}

} // namespace

} // namespace failclosed::lab
