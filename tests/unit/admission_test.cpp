// SPDX-License-Identifier: GPL-3.0-or-later
// Which announcements make a tunnel: one test for each refusal, and for what is admitted.
#include <gtest/gtest.h>

#include "core/plan/admission.hpp"
#include "core/plan/next_state.hpp"
#include "core/plan/routing/networks.hpp"

namespace failclosed {
namespace {

constexpr char kUuid[] = "b524f1cd-b799-4dab-830b-cfe0a6e46934";
constexpr ProcessId kVpn{700, 7};

std::string digest(char digit = 'a')
{
    return std::string(64, digit);
}

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

InterfaceName device(const char* text)
{
    return InterfaceName::parse(text).value();
}

std::vector<IpPrefix> prefixes(const std::vector<std::string>& texts)
{
    std::vector<IpPrefix> all;
    for (const auto& text : texts) {
        all.push_back(IpPrefix::parse(text).value());
    }
    return all;
}

/// vpn0 beside an uplink with an address, a router and a lease.
Snapshot network()
{
    Snapshot snapshot;
    Link uplink{.name = device("eth0"), .index = 2, .up = true};
    uplink.addresses = {{address("192.168.50.10"), 24}, {address("2001:db8:50::10"), 64}};
    Link vpn{.name = device("vpn0"), .index = 3, .up = true, .point_to_point = true};
    vpn.can_be_tunnel = true;
    vpn.is_program_tunnel = true;
    vpn.addresses = {{address("10.8.0.2"), 24}};
    snapshot.links = {uplink, vpn};
    snapshot.main_routes = {
        {IpPrefix::any(Family::V4), 2, address("192.168.50.1")},
        {IpPrefix::any(Family::V6), 2, address("2001:db8:50::1")},
        // A tunnel's own program sets routes by its gateway.
        {*IpPrefix::parse("10.99.0.0/16"), 3, address("10.8.0.1")},
    };
    return snapshot;
}

/// A locked machine that knows the profile, a server and a lease.
State locked()
{
    State state;
    state.profiles = {{kUuid, digest()}};
    state.servers = {
        {Remote::parse("203.0.113.2:1194/udp").value(),
         {},
         {LearntAddress{address("203.0.113.2")}}},
        {Remote::parse("vpn.example.net:1194/udp").value(), {}, {{address("203.0.113.3")}}}};
    state.underlay.leases = {{device("eth0"), address("192.168.50.67")}};
    return state;
}

State open_machine()
{
    State state;
    state.armed = Armed::No;
    return state;
}

using Settings = VpnProfileFacts::Settings;

/// Of a program that root runs.
TunnelUp program_up(const char* own = "10.8.0.2")
{
    TunnelUp event{.tunnel = {.interface = device("vpn0")}};
    event.tunnel.addresses = {{address(own), 24}};
    return event;
}

/// Of NetworkManager, as everything should be.
TunnelUp vpn_up(const char* own = "10.8.0.2")
{
    TunnelUp event = program_up(own);
    event.profile = VpnProfileFacts{kUuid, digest(), false, Settings::OfProfile, false, kVpn};
    return event;
}

TunnelFound found(TunnelFound::Maker maker, std::optional<ProcessId> program = {})
{
    return {device("vpn0"), maker, program};
}

std::optional<Refusal> judge(const TunnelUp& event)
{
    return refusal(locked(), event, network());
}

// ---- What is admitted ----

TEST(Admission, ALearntProfileIsAdmitted)
{
    EXPECT_EQ(judge(vpn_up()), std::nullopt);
    TunnelUp company = vpn_up();
    company.tunnel.networks =
        prefixes({"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "203.0.113.0/24",
                  "198.51.0.0/16", "fd00::/8", "2001:db8:c0::/48"});
    EXPECT_EQ(judge(company), std::nullopt);
}

TEST(Admission, AProgramThatRootRunsIsAdmittedWithoutAProfile)
{
    EXPECT_EQ(judge(program_up()), std::nullopt);
    TunnelUp without_address = program_up();
    without_address.tunnel.addresses.clear();
    EXPECT_EQ(judge(without_address), std::nullopt) << "failclosed up --interface";
}

TEST(Admission, TheFirstVpnLocksTheMachineAndIsLearnt)
{
    TunnelUp event = vpn_up();
    event.servers = {{Remote::parse("203.0.113.9:1194/udp").value(), {}, {}}};
    const State state = next_state(open_machine(), event, {}, network());
    EXPECT_EQ(state.armed, Armed::Yes);
    EXPECT_EQ(state.tunnels.size(), 1U);
    EXPECT_EQ(state.servers.size(), 1U);
    EXPECT_EQ(state.profiles, (std::vector<LearntProfile>{{kUuid, digest()}}));
    EXPECT_EQ(state.vpn_programs, (std::vector<VpnProgram>{{device("vpn0"), kVpn}}));
    EXPECT_TRUE(state.programs.empty()) << "NetworkManager looks after it";
}

TEST(Admission, ALockedMachineLearnsNothingFromAnAnnouncement)
{
    TunnelUp event = vpn_up();
    event.servers = {{Remote::parse("203.0.113.9:1194/udp").value(), {}, {}}};
    const State before = locked();
    const State state = next_state(before, event, {}, network());
    EXPECT_EQ(state.servers.size(), before.servers.size());
    EXPECT_EQ(state.profiles, before.profiles);
}

TEST(Admission, LockAndReapplyLearnProfiles)
{
    const std::vector<LearntProfile> old = {{kUuid, digest('a')}};
    const std::vector<LearntProfile> changed = {{kUuid, digest('b')}, {"c0", digest('c')}};
    State state = next_state(open_machine(), LockRequested{.profiles = old}, {}, network());
    EXPECT_EQ(state.profiles, old);
    state = next_state(state, ReapplyRequested{.profiles = changed}, {}, network());
    EXPECT_EQ(state.profiles, changed);
    EXPECT_EQ(next_state(open_machine(), ReapplyRequested{.profiles = old}, {}, network()),
              open_machine());
}

// ---- Each refusal ----

TEST(AdmissionRefuses, NoDevice)
{
    TunnelUp event = vpn_up();
    event.tunnel.interface = device("vpn1");
    EXPECT_EQ(judge(event), Refusal::NoDevice);
}

TEST(AdmissionRefuses, NoTunnelDevice)
{
    TunnelUp event = program_up();
    event.tunnel.interface = device("eth0");
    EXPECT_EQ(judge(event), Refusal::NoTunnelDevice);
}

TEST(AdmissionRefuses, UnusableAddress)
{
    TunnelUp unreadable = vpn_up();
    unreadable.has_unusable_address = true;
    EXPECT_EQ(judge(unreadable), Refusal::UnusableAddress);
    for (const char* own : {"240.0.0.2", "255.255.255.255", "224.0.0.2", "127.0.0.2", "0.0.0.1"}) {
        EXPECT_EQ(judge(program_up(own)), Refusal::UnusableAddress) << own;
    }
}

TEST(AdmissionRefuses, NoAddress)
{
    TunnelUp event = vpn_up();
    event.tunnel.addresses.clear();
    EXPECT_EQ(judge(event), Refusal::NoAddress);
}

TEST(AdmissionRefuses, AddressOfUnderlay)
{
    for (const char* own : {"192.168.50.10", "2001:db8:50::10"}) {
        EXPECT_EQ(judge(program_up(own)), Refusal::AddressOfUnderlay) << own;
        EXPECT_EQ(judge(vpn_up(own)), Refusal::AddressOfUnderlay) << own;
    }
    // Another tunnel of the same server's is no underlay.
    State state = locked();
    state.tunnels = {{.interface = device("tun0")}};
    Snapshot snapshot = network();
    snapshot.links.push_back({.name = device("tun0"), .index = 9, .can_be_tunnel = true});
    snapshot.links.back().addresses = {{address("10.8.0.2"), 24}};
    EXPECT_EQ(refusal(state, program_up(), snapshot), std::nullopt);
}

TEST(AdmissionRefuses, AddressOfGateway)
{
    EXPECT_EQ(judge(program_up("192.168.50.1")), Refusal::AddressOfGateway);
    EXPECT_EQ(judge(program_up("2001:db8:50::1")), Refusal::AddressOfGateway);
    EXPECT_EQ(judge(program_up("10.8.0.1")), std::nullopt) << "a gateway inside";
}

TEST(AdmissionRefuses, AddressOfServer)
{
    EXPECT_EQ(judge(program_up("203.0.113.2")), Refusal::AddressOfServer);
    EXPECT_EQ(judge(program_up("203.0.113.3")), Refusal::AddressOfServer);
    // Unless only the network's resolver says so.
    State lied_to = locked();
    lied_to.servers.back().addresses.push_back({address("10.8.0.2"), Seconds{1}, false, true});
    EXPECT_EQ(refusal(lied_to, program_up(), network()), std::nullopt);
    TunnelUp just_reached = program_up("203.0.113.4");
    just_reached.connected = Endpoint{address("203.0.113.4"), Transport::Udp, Port::make(1194)};
    EXPECT_EQ(judge(just_reached), Refusal::AddressOfServer);
    TunnelUp announced = program_up("203.0.113.5");
    announced.servers = {{Remote::parse("203.0.113.5:1194/udp").value(), {}, {}}};
    EXPECT_EQ(judge(announced), Refusal::AddressOfServer);
}

TEST(AdmissionRefuses, AddressOfDhcpServer)
{
    EXPECT_EQ(judge(program_up("192.168.50.67")), Refusal::AddressOfDhcpServer);
}

TEST(AdmissionRefuses, PiecesOfEverything)
{
    std::vector<std::string> eighths;
    for (int i = 1; i <= 17; ++i) {
        eighths.push_back(std::to_string(10 + i) + ".0.0.0/8");
    }
    for (const auto& networks : {prefixes(eighths), prefixes({"2000::/8"})}) {
        TunnelUp event = vpn_up();
        event.tunnel.networks = networks;
        EXPECT_EQ(judge(event), Refusal::PiecesOfEverything);
        // The server of root's own OpenVPN is believed. Afterwards only what is private stays.
        event.profile.reset();
        event.tunnel.networks.push_back(*IpPrefix::parse("10.99.0.0/16"));
        EXPECT_EQ(judge(event), std::nullopt);
        const State state = next_state(locked(), event, {}, network());
        EXPECT_EQ(state.tunnels.front().networks, event.tunnel.networks);
        ASSERT_EQ(state.inside.size(), 1U);
        EXPECT_EQ(state.inside.front().networks, prefixes({"10.8.0.0/24", "10.99.0.0/16"}));
    }
    eighths.resize(16);
    TunnelUp most = vpn_up();
    most.tunnel.networks = prefixes(eighths);
    EXPECT_EQ(judge(most), std::nullopt);
    // All but the private networks, as WireGuard's users write it.
    most.tunnel.networks =
        prefixes({"11.0.0.0/8", "172.0.0.0/12", "172.32.0.0/11", "172.64.0.0/10", "172.128.0.0/9",
                  "173.0.0.0/8", "192.0.0.0/9", "192.128.0.0/11", "192.192.0.0/10", "193.0.0.0/8"});
    EXPECT_EQ(judge(most), std::nullopt);
}

TEST(AdmissionRefuses, NoProfile)
{
    TunnelUp unnamed = vpn_up();
    unnamed.profile->uuid.clear();
    EXPECT_EQ(judge(unnamed), Refusal::NoProfile);
    TunnelUp unread = vpn_up();
    unread.profile->digest.clear();
    EXPECT_EQ(judge(unread), Refusal::NoProfile);
    EXPECT_EQ(refusal(open_machine(), unread, network()), Refusal::NoProfile);
}

TEST(AdmissionRefuses, PrivateProfile)
{
    TunnelUp event = vpn_up();
    event.profile->is_private = true;
    EXPECT_EQ(judge(event), Refusal::PrivateProfile);
    event.servers = {{Remote::parse("192.168.50.66:1194/udp").value(), {}, {}}};
    const State state = next_state(open_machine(), event, {}, network());
    EXPECT_EQ(state.armed, Armed::Yes) << "it would have locked the machine as well";
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_TRUE(state.servers.empty());
    EXPECT_TRUE(state.profiles.empty());
    EXPECT_TRUE(state.inside.empty());
}

TEST(AdmissionRefuses, UnlearntProfile)
{
    State state = locked();
    state.profiles.clear(); // of an earlier version, whose state has no digests
    EXPECT_EQ(refusal(state, vpn_up(), network()), Refusal::UnlearntProfile);
    EXPECT_NE(to_text(Refusal::UnlearntProfile, device("vpn0")).find("failclosed reapply"),
              std::string::npos);
}

TEST(AdmissionRefuses, ChangedProfile)
{
    TunnelUp event = vpn_up();
    event.profile->digest = digest('b');
    EXPECT_EQ(judge(event), Refusal::ChangedProfile);
}

TEST(AdmissionRefuses, OtherSettings)
{
    TunnelUp event = vpn_up();
    event.profile->settings = Settings::Other;
    EXPECT_EQ(judge(event), Refusal::OtherSettings);
    event.profile->settings = Settings::Unseen;
    EXPECT_EQ(judge(event), std::nullopt);
    for (const auto settings : {Settings::OfProfile, Settings::Unseen}) {
        event.profile->settings = settings;
        event.profile->is_newer_than_program = true;
        EXPECT_EQ(judge(event), Refusal::OtherSettings);
    }
}

TEST(AdmissionRefuses, UnknownMaker)
{
    EXPECT_EQ(refusal(locked(), found(TunnelFound::Maker::Unknown)), Refusal::UnknownMaker);
    EXPECT_EQ(refusal(locked(), found(TunnelFound::Maker::Program, kVpn)), std::nullopt);
}

TEST(AdmissionRefuses, OfNetworkManager)
{
    const auto event = found(TunnelFound::Maker::NetworkManager, kVpn);
    State state = locked();
    EXPECT_EQ(refusal(state, event), Refusal::OfNetworkManager);
    // Its OpenVPN has made its device anew, of which NetworkManager says nothing.
    state.vpn_programs = {{device("vpn0"), kVpn}};
    EXPECT_EQ(refusal(state, event), std::nullopt);
    state.vpn_programs = {{device("vpn0"), {kVpn.pid, kVpn.start_time + 1}}};
    EXPECT_EQ(refusal(state, event), Refusal::OfNetworkManager);
    state.vpn_programs = {{device("vpn1"), kVpn}};
    EXPECT_EQ(refusal(state, event), Refusal::OfNetworkManager);
}

TEST(AdmissionRefuses, RefusedBefore)
{
    State state = locked();
    const auto event = found(TunnelFound::Maker::Kernel);
    EXPECT_EQ(refusal(state, event), std::nullopt);
    state.refused = {device("vpn0")};
    EXPECT_EQ(refusal(state, event), Refusal::RefusedBefore);
}

TEST(AdmissionRefuses, WithOneLineThatNamesTheDevice)
{
    for (int i = 0; i <= static_cast<int>(Refusal::RefusedBefore); ++i) {
        const auto text = to_text(static_cast<Refusal>(i), device("vpn0"));
        EXPECT_NE(text.find("vpn0"), std::string::npos) << i;
        EXPECT_EQ(text.find('\n'), std::string::npos) << i;
        EXPECT_GE(text.size(), 20U) << i;
    }
}

// ---- What a refusal leaves behind ----

TEST(Admission, ARefusalOutlivesTheDevice)
{
    TunnelUp event = vpn_up();
    event.profile->is_private = true;
    State state = next_state(locked(), event, {}, network());
    EXPECT_EQ(state.refused, std::vector{device("vpn0")});
    Snapshot gone = network();
    gone.links.pop_back();
    state = next_state(state, UnderlayChanged{}, {}, gone);
    EXPECT_EQ(state.refused, std::vector{device("vpn0")});
    state = next_state(state, found(TunnelFound::Maker::Kernel), {}, network());
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_TRUE(state.inside.empty());
    const State admitted = next_state(state, vpn_up(), {}, network());
    EXPECT_EQ(admitted.tunnels.size(), 1U);
    EXPECT_TRUE(admitted.refused.empty());
    const State of_roots =
        next_state(state, found(TunnelFound::Maker::Program, kVpn), {}, network());
    EXPECT_EQ(of_roots.tunnels.size(), 1U);
    EXPECT_TRUE(of_roots.refused.empty());
    EXPECT_TRUE(next_state(state, UnlockRequested{}, {}, network()).refused.empty());
}

TEST(Admission, ARefusedVpnDoesNotInheritATunnelOfTheSameName)
{
    const State up = next_state(locked(), program_up(), {}, network());
    ASSERT_EQ(up.tunnels.size(), 1U);
    TunnelUp event = vpn_up();
    event.profile->is_private = true;
    EXPECT_TRUE(next_state(up, event, {}, network()).tunnels.empty());
    // Nor does one that is announced as a device first.
    const State vpn = next_state(locked(), vpn_up(), {}, network());
    const auto other = found(TunnelFound::Maker::NetworkManager, ProcessId{701, 8});
    EXPECT_TRUE(next_state(vpn, other, {}, network()).tunnels.empty());
    EXPECT_EQ(next_state(vpn, found(TunnelFound::Maker::NetworkManager, kVpn), {}, network()), vpn);
}

TEST(Admission, AFoundTunnelIsCheckedAgainstTheKernel)
{
    const auto event = found(TunnelFound::Maker::Program, kVpn);
    for (const char* own : {"240.0.0.2", "192.168.50.10", "192.168.50.1", "203.0.113.2"}) {
        Snapshot snapshot = network();
        snapshot.links.back().addresses = {{address(own), 32}};
        const State state = next_state(locked(), event, {}, snapshot);
        EXPECT_TRUE(state.tunnels.empty()) << own;
        EXPECT_TRUE(state.inside.empty()) << own;
    }
    Snapshot everything = network();
    for (int i = 11; i < 40; ++i) {
        everything.main_routes.push_back(
            {*IpPrefix::parse(std::to_string(i) + ".0.0.0/8"), 3, std::nullopt});
    }
    EXPECT_TRUE(next_state(locked(), event, {}, everything).tunnels.empty());
    // Also later.
    const State up = next_state(locked(), event, {}, network());
    ASSERT_EQ(up.tunnels.size(), 1U);
    const State withdrawn = next_state(up, UnderlayChanged{}, {}, everything);
    EXPECT_TRUE(withdrawn.tunnels.empty());
    EXPECT_TRUE(withdrawn.inside.empty());
}

// The tunnel's address is dropped on other devices: its own transport would be, too.
TEST(Admission, ATunnelIsWithdrawnIfAnUnderlayGetsItsAddress)
{
    const State up = next_state(locked(), program_up(), {}, network());
    ASSERT_EQ(up.tunnels.size(), 1U);
    Snapshot taken = network();
    taken.links.front().addresses.push_back({address("10.8.0.2"), 24});
    const State state = next_state(up, UnderlayChanged{}, {}, taken);
    EXPECT_TRUE(state.tunnels.empty());
    EXPECT_EQ(state.armed, Armed::Yes);
    EXPECT_EQ(tunnel_networks(Family::V4, state), prefixes({"10.8.0.0/24"}))
        << "what was inside stays reserved";
    EXPECT_EQ(next_state(up, UnderlayChanged{}, {}, network()), up);
}

} // namespace
} // namespace failclosed
