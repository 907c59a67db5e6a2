// SPDX-License-Identifier: GPL-3.0-or-later
// What each row of the table of refused services says is what becomes of packets.
#include <algorithm>
#include <tuple>

#include <gtest/gtest.h>

#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "core/plan/refused_services.hpp"
#include "core/plan/routing/route_decision.hpp"
#include "tests/support/refused_services.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::port;

class RefusedServicesTest : public testing::Test {
  protected:
    RefusedServicesTest()
    {
        snapshot_.links = {{.name = device("eth0"),
                            .index = 2,
                            .up = true,
                            .addresses = {{address("192.168.50.10"), 24}}}};
    }

    [[nodiscard]] Ruleset firewall() const { return plan_firewall({}, config_, snapshot_); }

    /// What `hook` does with a packet to a host of the local network, and by which rule.
    [[nodiscard]] Step last_step(Hook hook, const RefusedPort& to) const
    {
        Packet packet;
        packet.output = device("eth0");
        packet.source = address("192.168.50.10");
        packet.destination = address("192.168.50.20");
        packet.protocol = static_cast<std::uint8_t>(to.transport);
        packet.source_port = port(40000);
        packet.destination_port = port(to.number);
        packet.uid = 1000;
        return evaluate(firewall(), hook, packet).steps.back();
    }

    void expect_refused(const RefusedPort& to, const std::string& at_output,
                        const std::string& at_egress) const
    {
        const Step output = last_step(Hook::Output, to);
        EXPECT_EQ(output.verdict, Verdict::Reject) << to.number;
        EXPECT_EQ(output.comment, at_output) << to.number;
        const Step egress = last_step(Hook::Egress, to);
        EXPECT_EQ(egress.verdict, Verdict::Drop) << to.number;
        EXPECT_EQ(egress.comment, at_egress) << to.number;
    }

    [[nodiscard]] RouteDecision::Kind way_to(const RefusedPort& to) const
    {
        const RouteQuery query{.destination = address("192.168.50.20"),
                               .source = {},
                               .uid = 1000,
                               .transport = to.transport,
                               .destination_port = port(to.number)};
        return decide_route(plan_routing({}, config_, snapshot_), query).kind;
    }

    Config config_;
    Snapshot snapshot_;
};

template <typename Visit> void each_port(Visit visit)
{
    for (const RefusedService& service : kRefusedServices) {
        for (const RefusedPort& one : service.ports) {
            visit(service, one);
        }
    }
}

TEST(RefusedServices, EqualTheTestsTable)
{
    using Line = std::tuple<std::uint8_t, std::uint16_t, std::string_view, bool, bool, bool>;
    std::vector<Line> expected;
    for (const auto& one : oracle::refused_ports) {
        expected.emplace_back(one.protocol, one.port, one.rule, one.logged, one.by_lock_2,
                              one.admitted_by_lan_names);
    }
    std::vector<Line> found;
    each_port([&](const RefusedService& service, const RefusedPort& one) {
        found.emplace_back(static_cast<std::uint8_t>(one.transport), one.number, service.reason,
                           service.logged, service.refused_by == RefusedBy::FirewallAndRoutes,
                           service.lifted_by == &Config::lan_names);
    });
    std::ranges::sort(expected);
    std::ranges::sort(found);
    EXPECT_EQ(found, expected);
}

TEST_F(RefusedServicesTest, LocksOneAndThreeRefuseEachWithItsReasonForEveryLan)
{
    for (const auto kind : {LanPolicy::Kind::Private, LanPolicy::Kind::Deny}) {
        config_.lan.kind = kind;
        each_port([&](const RefusedService& service, const RefusedPort& one) {
            expect_refused(one, service.reason, service.reason);
        });
    }
}

TEST_F(RefusedServicesTest, LockTwoRefusesByTheTable)
{
    each_port([&](const RefusedService& service, const RefusedPort& one) {
        EXPECT_EQ(way_to(one), service.refused_by == RefusedBy::FirewallAndRoutes
                                   ? RouteDecision::Kind::Unreachable
                                   : RouteDecision::Kind::Main)
            << one.number;
    });
    config_.lan.kind = LanPolicy::Kind::Deny;
    each_port([&](const RefusedService&, const RefusedPort& one) {
        EXPECT_EQ(way_to(one), RouteDecision::Kind::Unreachable) << one.number;
    });
}

TEST_F(RefusedServicesTest, LiftedOnesAreTreatedAsLocalNetwork)
{
    for (const RefusedService& service : kRefusedServices) {
        if (service.lifted_by == nullptr) {
            continue;
        }
        config_ = {};
        config_.*service.lifted_by = true;
        for (const RefusedPort& one : service.ports) {
            EXPECT_EQ(last_step(Hook::Output, one).verdict, Verdict::Accept) << one.number;
            EXPECT_EQ(last_step(Hook::Egress, one).verdict, Verdict::Accept) << one.number;
            EXPECT_EQ(way_to(one), RouteDecision::Kind::Main) << one.number;
        }
        config_.lan.kind = LanPolicy::Kind::Deny;
        for (const RefusedPort& one : service.ports) {
            expect_refused(one, "sent outside the tunnel", "frame outside the tunnel");
        }
    }
}

TEST_F(RefusedServicesTest, AreLoggedIfTableAndConfigurationRequireIt)
{
    for (const bool log : {true, false}) {
        config_.log = log;
        for (const RefusedService& service : kRefusedServices) {
            const auto is_logged = [&](const Rule& rule) {
                return rule.comment == service.reason && !rule.actions.empty();
            };
            for (const Table& table : firewall().tables) {
                for (const Chain& chain : table.chains) {
                    const bool refuses =
                        std::ranges::count(chain.rules, service.reason, &Rule::comment) != 0;
                    EXPECT_EQ(std::ranges::any_of(chain.rules, is_logged),
                              refuses && log && service.logged)
                        << chain.name;
                }
            }
        }
    }
}

} // namespace
} // namespace failclosed
