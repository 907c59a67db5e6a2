// SPDX-License-Identifier: GPL-3.0-or-later
// The main promise: from lock to unlock no packet leaves outside the tunnel, in every state of the
// tunnel.
#include <algorithm>
#include <chrono>
#include <cstdio>
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

/// Kinds that a sniffer has neither seen leak nor seen in the local network.
std::vector<std::string> unseen(const Counts& counts)
{
    std::vector<std::string> names;
    for (const auto& kind : all_kinds()) {
        if (!counts.leaked_kinds.contains(kind.name) && !counts.lan_kinds.contains(kind.name)) {
            names.push_back(kind.name);
        }
    }
    return names;
}

void expect_every_kind_to_be_seen(const Sniffer& sniffer)
{
    EXPECT_TRUE(sniffer.wait_until([](const Counts& counts) { return unseen(counts).empty(); }))
        << ::testing::PrintToString(unseen(sniffer.counts()));
}

void expect_no_leak(const Sniffer& sniffer, const std::string& when)
{
    const auto counts = sniffer.counts();
    EXPECT_EQ(counts.leaked, 0U) << when << ": " << counts.text();
    EXPECT_EQ(counts.lost, 0U) << when;
}

/// What a working tunnel carries without failclosed too: neither bound nor local.
std::vector<Kind> ordinary_kinds()
{
    std::vector<Kind> kinds;
    for (const auto& kind : all_kinds()) {
        const bool far = kind.to == addr::site4 || kind.to == addr::site6 ||
                         kind.to == addr::resolver4 || kind.to == addr::resolver6;
        const bool raw = kind.way == Way::RawHeader || kind.way == Way::RawFragment;
        if (kind.via == Via::Route && far && !raw) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

// The control: of what the tunnel carried, thousands of packets get out when it breaks.
void expect_leaks_without_failclosed()
{
    const Lab lab;
    VpnServer server(lab);
    VpnClient::Options options;
    options.hooks = false;
    VpnClient client(lab, options);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    const Patient patient{lab, server, client};
    Sniffer sniffer(lab);
    const Traffic traffic(lab, {.kinds = ordinary_kinds(), .interval = interval});
    const auto while_up = sniffer.counts();
    EXPECT_EQ(while_up.leaked, 0U) << while_up.text();
    for (const auto& disturbance : disturbances()) {
        const bool is_ours = disturbance.name.find("reapply") != std::string::npos ||
                             disturbance.name == "tunnel routes deleted";
        if (!is_ours && disturbance.name != "server outage") {
            ride_out(disturbance, patient, traffic);
        }
    }
    // Routes that are away while the tunnel is up, for all flows that it carries.
    const Traffic live(lab, {.kinds = connected_kinds(), .interval = interval});
    delete_tunnel_routes(patient);
    ASSERT_TRUE(live.wait_all_sent(50));
    sniffer.settle();
    const auto counts = sniffer.counts();
    std::printf("without failclosed: %llu leaked\n",
                static_cast<unsigned long long>(counts.leaked));
    EXPECT_GT(counts.leaked, 2000U);
    for (const auto& kind : ordinary_kinds()) {
        EXPECT_TRUE(counts.leaked_kinds.contains(kind.name)) << kind.name;
    }
}

TEST(Storm, LeaksNothingFromLockToUnlockAndThousandsWithoutFailclosed)
{
    const Lab lab(with_product());
    VpnServer server(lab);
    Sniffer sniffer(lab);
    const Traffic traffic(lab, {.interval = interval});
    expect_every_kind_to_be_seen(sniffer);

    ASSERT_EQ(failclosed(lab.client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status, 0);
    sniffer.settle();
    sniffer.reset();
    VpnClient client(lab);
    ASSERT_TRUE(client.wait_connected()) << client.log();
    const Patient patient{lab, server, client};
    wait_alive(lab);
    const unsigned storms = rounds(3);
    for (unsigned round = 1; round <= storms; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (const auto& disturbance : disturbances()) {
            // Flows that began in this tunnel, besides those that are older.
            const Traffic live(lab, {.kinds = connected_kinds(), .interval = interval});
            ride_out(disturbance, patient, traffic);
            expect_no_leak(sniffer, disturbance.name + " in round " + std::to_string(round));
            const auto check = failclosed(lab.client(), {"check"});
            EXPECT_EQ(check.status, 0) << disturbance.name << ": " << check.out << check.err;
            ASSERT_FALSE(::testing::Test::HasFailure());
        }
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        std::printf("round %u: %.1f s, %llu frames to the ISP, 0 leaked\n", round, time.count(),
                    static_cast<unsigned long long>(sniffer.counts().frames));
        std::fflush(stdout);
    }
    end_client(patient);
    ASSERT_TRUE(traffic.wait_all_sent(20));
    sniffer.settle();
    expect_no_leak(sniffer, "after the tunnel");
    const auto counts = sniffer.counts();
    EXPECT_GT(counts.lan, 100U);
    EXPECT_GT(counts.allowed, 100U);

    ASSERT_EQ(failclosed(lab.client(), {"unlock"}).status, 0);
    const Traffic fresh(lab, {.kinds = connected_kinds(), .interval = interval});
    expect_every_kind_to_be_seen(sniffer);

    expect_leaks_without_failclosed();
}

} // namespace

} // namespace failclosed::lab
