// SPDX-License-Identifier: GPL-3.0-or-later
// Properties of every planned belt. Single decisions are rows of the security table.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "core/plan/constants.hpp"
#include "core/plan/firewall/belt.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::port;
using test::prefix;

std::vector<InterfaceName> devices(std::initializer_list<const char*> names)
{
    std::vector<InterfaceName> all;
    std::ranges::transform(names, std::back_inserter(all), test::device);
    return all;
}

class BeltTest : public testing::Test {
  protected:
    BeltTest()
    {
        Link& loopback = add("lo");
        loopback.loopback = true;
        loopback.addresses = {{address("127.0.0.1"), 8}};
        add("eth0").addresses = {{address("192.168.50.10"), 24}, {address("203.0.113.77"), 25}};
    }

    Link& add(const char* name)
    {
        const auto index = static_cast<unsigned>(snapshot_.links.size() + 1);
        return snapshot_.links.emplace_back(Link{.name = device(name), .index = index, .up = true});
    }

    /// With one guest; its index.
    unsigned add_bridge()
    {
        Link& bridge = add("br0");
        bridge.is_bridge = true;
        const unsigned index = bridge.index;
        Link& port = add("vnet0");
        port.is_guest_port = true;
        port.bridge = index;
        return index;
    }

    void add_tunnel(const char* name)
    {
        Tunnel tunnel{.interface = device(name)};
        tunnel.addresses = {{address("10.8.0.2"), 24}};
        state_.tunnels.push_back(tunnel);
    }

    [[nodiscard]] std::vector<InterfaceName> belts() const
    {
        return belt_devices(state_, config_, snapshot_);
    }

    [[nodiscard]] Ruleset plan() const { return plan_firewall(state_, config_, snapshot_); }

    [[nodiscard]] Table belt() const { return plan().tables.at(2); }

    [[nodiscard]] const Set* find(const Table& table, const char* name) const
    {
        const auto found = std::ranges::find(table.sets, name,
                                             [](const Set& set) { return set.handle.name.text(); });
        return found == table.sets.end() ? nullptr : &*found;
    }

    [[nodiscard]] bool passes(Packet packet, const char* output = "eth0") const
    {
        packet.output = device(output);
        return evaluate_path(plan(), Path::Frame, packet).verdict == Verdict::Accept;
    }

    [[nodiscard]] static Packet arp_for(const char* target)
    {
        Packet packet;
        packet.arp = ArpAddresses{address("192.168.50.10"), address(target)};
        return packet;
    }

    [[nodiscard]] static Packet datagram(const char* from, const char* to)
    {
        Packet packet;
        packet.source = address(from);
        packet.destination = address(to);
        packet.source_port = port(40000);
        packet.destination_port = port(9);
        return packet;
    }

    State state_;
    Config config_;
    Snapshot snapshot_;
};

// ---- Which devices ----

TEST_F(BeltTest, EveryUplinkHasAChain)
{
    add("wlan0");
    add("ppp0").point_to_point = true;
    add("eth0.5");
    add("down").up = false;
    EXPECT_EQ(belts(), devices({"down", "eth0", "eth0.5", "ppp0", "wlan0"}));
}

TEST_F(BeltTest, TunnelsHaveNoChain)
{
    add("tun0").can_be_tunnel = true;
    add("wg0").is_program_tunnel = true;
    EXPECT_EQ(belts(), devices({"eth0"})) << "whether anybody has said that it is one or not";
    add_tunnel("tun0");
    EXPECT_EQ(belts(), devices({"eth0"}));
}

TEST_F(BeltTest, ATunnelDeviceThatIsUplinkOrBridgePortHasAChain)
{
    Link& uplink = add("ppp0");
    uplink.can_be_tunnel = true;
    uplink.point_to_point = true;
    snapshot_.main_routes = {{.destination = prefix("0.0.0.0/0"), .device = uplink.index}};
    EXPECT_EQ(belts(), devices({"eth0", "ppp0"}));
    const unsigned bridge = add_bridge();
    add("eth1").bridge = bridge;
    Link& port = add("tun1");
    port.can_be_tunnel = true;
    port.bridge = bridge;
    EXPECT_EQ(belts(), devices({"br0", "eth0", "eth1", "ppp0", "tun1"}));
}

TEST_F(BeltTest, DevicesOfGuestsHaveNoChain)
{
    add_bridge();
    EXPECT_EQ(belts(), devices({"eth0"}));
    add("vnet1");
    EXPECT_EQ(belts(), devices({"eth0", "vnet1"})) << "a port without a guest";
    config_.forward = devices({"vnet1", "br1"});
    EXPECT_EQ(belts(), devices({"eth0"}));
}

TEST_F(BeltTest, ABridgeWithANetworkCardHasAChainAndItsGuestPortsHaveNone)
{
    const unsigned bridge = add_bridge();
    add("eth1").bridge = bridge;
    EXPECT_EQ(belts(), devices({"br0", "eth0", "eth1"}));
    snapshot_.main_routes = {
        {.destination = prefix("0.0.0.0/0"), .device = bridge, .gateway = address("172.20.0.2")}};
    EXPECT_EQ(belts(), devices({"br0", "eth0", "eth1"}));
}

// The guest is a router then, and may forward packets out of the machine.
TEST_F(BeltTest, ABridgeWithADefaultRouteHasAChain)
{
    const unsigned bridge = add_bridge();
    snapshot_.main_routes = {
        {.destination = prefix("0.0.0.0/0"), .device = bridge, .gateway = address("172.20.0.2")}};
    EXPECT_EQ(belts(), devices({"br0", "eth0", "vnet0"}));
}

TEST_F(BeltTest, AnUplinkNamedInForwardHasAChain)
{
    config_.forward = devices({"eth0"});
    EXPECT_EQ(belts(), devices({}));
    snapshot_.main_routes = {
        {.destination = prefix("0.0.0.0/0"), .device = 2, .gateway = address("192.168.50.1")}};
    EXPECT_EQ(belts(), devices({"eth0"}));
    Packet question = datagram("192.168.50.10", "192.168.50.1");
    question.destination_port = port(53);
    EXPECT_FALSE(passes(question));
    question.output = device("eth0");
    question.uid = 1000;
    EXPECT_EQ(evaluate_path(plan(), Path::Sent, question).verdict, Verdict::Reject);
}

// A tunnel's device that goes with its program is no reason to load anything.
TEST_F(BeltTest, IsTheSameWithAndWithoutTheTunnelsDevice)
{
    const Ruleset before = plan();
    Link& device = add("tun0");
    device.can_be_tunnel = true;
    device.is_program_tunnel = true;
    device.addresses = {{address("10.8.0.2"), 24}, {address("fe80::5"), 64}};
    EXPECT_EQ(plan().tables.at(2), before.tables.at(2));
    EXPECT_EQ(plan(), before);
}

// ---- Form ----

TEST_F(BeltTest, EachDeviceHasItsOwnChainWithPolicyDrop)
{
    add("wlan0");
    std::set<std::string> of;
    for (const Chain& chain : belt().chains) {
        if (chain.base) {
            EXPECT_EQ(chain.base->hook, Hook::Egress);
            EXPECT_EQ(chain.base->policy, Verdict::Drop);
            ASSERT_TRUE(chain.base->device);
            of.insert(chain.base->device->text());
        }
    }
    EXPECT_EQ(of, (std::set<std::string>{"eth0", "wlan0"}));
}

TEST_F(BeltTest, ChainsOfUnusualDeviceNamesAreValidForNft)
{
    for (const char* name : {"a-b", "a_b", "a_2db", "wl\"x", "en\xc3\xa9", "a;b", "*", "eth0.5"}) {
        add(name);
    }
    std::set<std::string> names;
    for (const Chain& chain : belt().chains) {
        if (chain.base) {
            EXPECT_TRUE(names.insert(chain.name).second) << chain.name;
            EXPECT_TRUE(std::ranges::all_of(chain.name, [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
            })) << chain.name;
        }
    }
    EXPECT_EQ(names.size(), 9U);
    EXPECT_TRUE(names.contains("device_eth0"));
    EXPECT_TRUE(names.contains("device_eth0.5"));
    EXPECT_TRUE(names.contains("device_a_2db"));
    EXPECT_TRUE(names.contains("device_a_5fb"));
}

TEST_F(BeltTest, DevicesChangeNoRule)
{
    const auto rules = [&] {
        Table table = belt();
        std::erase_if(table.chains, [](const Chain& chain) { return chain.base.has_value(); });
        return table.chains;
    };
    const auto before = rules();
    add("wlan0");
    add_tunnel("tun0");
    EXPECT_EQ(rules(), before);
}

TEST_F(BeltTest, HasNoMatchThatNetdevTablesLack)
{
    config_.forward = devices({"br0"});
    config_.inbound = {{Transport::Tcp, port(22), prefix("0.0.0.0/0")}};
    state_.portal = Portal{1001, {}, {address("192.168.50.1")}, Seconds{60}};
    for (const Chain& chain : belt().chains) {
        for (const Rule& rule : chain.rules) {
            for (const Match& match : rule.matches) {
                EXPECT_FALSE(std::holds_alternative<InConntrackState>(match) ||
                             std::holds_alternative<HasConntrackMark>(match) ||
                             std::holds_alternative<ToOthers>(match))
                    << rule.comment;
            }
            for (const Action& action : rule.actions) {
                EXPECT_TRUE(std::holds_alternative<Log>(action)) << rule.comment;
            }
            EXPECT_NE(rule.end, decltype(rule.end)(Verdict::Reject)) << rule.comment;
        }
    }
}

// ---- Who is asked for ----

TEST_F(BeltTest, ArpQueriesOnlyPossibleNeighbours)
{
    EXPECT_TRUE(passes(arp_for("192.168.50.1")));
    EXPECT_TRUE(passes(arp_for("10.1.2.3"))) << "any private address";
    EXPECT_TRUE(passes(arp_for("203.0.113.126"))) << "a public network that is connected";
    EXPECT_FALSE(passes(arp_for("203.0.113.129")));
    EXPECT_FALSE(passes(arp_for("198.51.100.1")));
    EXPECT_TRUE(passes(arp_for("0.0.0.0")));
    snapshot_.main_routes = {
        {.destination = prefix("0.0.0.0/0"), .device = 2, .gateway = address("198.51.100.1")}};
    EXPECT_TRUE(passes(arp_for("198.51.100.1"))) << "a gateway outside of the network";
    EXPECT_FALSE(passes(arp_for("198.51.100.2")));
}

TEST_F(BeltTest, ADeviceWithoutAnAddressCanComeUp)
{
    add("eth1");
    EXPECT_TRUE(passes(arp_for("198.51.100.1"), "eth1"));
    snapshot_.links.back().addresses = {{address("fe80::1"), 64}};
    EXPECT_TRUE(passes(arp_for("198.51.100.1"), "eth1"));
    snapshot_.links.back().addresses.push_back({address("192.168.60.10"), 24});
    EXPECT_FALSE(passes(arp_for("198.51.100.1"), "eth1"));
}

// ---- Allowances ----

TEST_F(BeltTest, WithoutAllowancesNoFrameIsTrusted)
{
    for (const char* name : {"allowed_mac", "allowed_source4", "allowed_source6"}) {
        EXPECT_EQ(find(belt(), name), nullptr) << name;
    }
    Packet guest = datagram("192.168.50.66", "198.51.100.20");
    guest.source_mac = MacAddress::parse("52:54:00:12:34:56");
    EXPECT_FALSE(passes(guest));
}

TEST_F(BeltTest, AllowancesAreOfAddressesAndTypes)
{
    const auto mac = MacAddress::parse("52:54:00:12:34:56").value();
    config_.belt_allow = {mac, prefix("192.168.50.66/32"), prefix("192.168.50.64/28"),
                          EtherType{0x88e5}};
    EXPECT_EQ(find(belt(), "allowed_mac")->elements.size(), 1U);
    EXPECT_EQ(find(belt(), "allowed_source4")->elements.size(), 1U) << "one holds the other";
    EXPECT_EQ(find(belt(), "allowed_source6"), nullptr);
    EXPECT_TRUE(passes(datagram("192.168.50.66", "198.51.100.20")));
    EXPECT_TRUE(passes(datagram("192.168.50.79", "198.51.100.20")));
    EXPECT_FALSE(passes(datagram("192.168.50.80", "198.51.100.20")));
    Packet guest = datagram("192.168.50.99", "198.51.100.20");
    guest.source_mac = mac;
    EXPECT_TRUE(passes(guest));
    Packet frame;
    frame.ether_type = EtherType{0x88e5};
    EXPECT_TRUE(passes(frame));
    frame.mislabelled = true;
    EXPECT_FALSE(passes(frame));
    frame.mislabelled = false;
    frame.ether_type = EtherType{0x88e6};
    EXPECT_FALSE(passes(frame));
}

TEST_F(BeltTest, AllowancesAdmitNoLocalProgram)
{
    config_.belt_allow = {prefix("192.168.50.10/32")};
    Packet packet = datagram("192.168.50.10", "198.51.100.20");
    packet.output = device("eth0");
    packet.uid = 1000;
    EXPECT_EQ(evaluate_path(plan(), Path::Sent, packet).verdict, Verdict::Reject);
}

// ---- Fragments and flows ----

TEST_F(BeltTest, AdmitsLaterFragmentsOfTunnelProgramsOnly)
{
    state_.servers = {{Remote::parse("203.0.114.2:1194/udp").value(), {{65534}, {}}, {}}};
    Packet fragment = datagram("192.168.50.10", "203.0.114.2");
    fragment.later_fragment = true;
    EXPECT_FALSE(passes(fragment));
    fragment.uid = 1000;
    EXPECT_FALSE(passes(fragment));
    fragment.uid = 65534;
    EXPECT_TRUE(passes(fragment));
    fragment.protocol = IPPROTO_TCP;
    EXPECT_FALSE(passes(fragment));
    fragment.protocol = IPPROTO_UDP;
    fragment.later_fragment = false;
    EXPECT_FALSE(passes(fragment)) << "another port";
}

TEST_F(BeltTest, AdmitsOnlyInboundAnswersMarkedByTheOutputHook)
{
    config_.inbound = {{Transport::Udp, port(51820), prefix("0.0.0.0/0")}};
    Packet answer = datagram("192.168.50.10", "198.51.100.20");
    answer.source_port = port(51820);
    answer.output = device("eth0");
    answer.uid = 1000;
    const auto sent = [&] { return evaluate_path(plan(), Path::Sent, answer).verdict; };
    EXPECT_EQ(sent(), Verdict::Reject);
    answer.flow = TrackedFlow{TrackedFlow::State::New, kInboundMark};
    EXPECT_EQ(sent(), Verdict::Reject);
    answer.flow->state = TrackedFlow::State::Established;
    EXPECT_EQ(sent(), Verdict::Accept);
    answer.flow->mark = kUnderlayMark;
    EXPECT_EQ(sent(), Verdict::Reject) << "of a flow of another kind";
    EXPECT_FALSE(passes(answer)) << "a frame by itself";
}

} // namespace
} // namespace failclosed
