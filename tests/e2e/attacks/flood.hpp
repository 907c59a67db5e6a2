// SPDX-License-Identifier: GPL-3.0-or-later
// Programs that send all the time while something happens to the client.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

using Kinds = std::vector<Kind>;

inline Kinds operator+(Kinds kinds, const Kinds& more)
{
    kinds.insert(kinds.end(), more.begin(), more.end());
    return kinds;
}

inline bool is_v6(const Kind& kind)
{
    return kind.to.find(':') != std::string::npos;
}

/// A user's sockets that name neither a device nor an address: a tunnel carries them, and without
/// a tunnel and without protection they are in the clear.
inline Kinds ordinary_kinds()
{
    Kinds kinds;
    for (const auto& kind : all_kinds()) {
        const bool far = kind.to == addr::site4 || kind.to == addr::site6 ||
                         kind.to == addr::resolver4 || kind.to == addr::resolver6;
        const bool lasting = kind.way == Way::UdpConnected || kind.way == Way::TcpConnected;
        if (far && kind.via == Via::Route && kind.uid != 0 && !lasting) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

/// Sockets that name the wire's device or address: without protection no tunnel has them.
inline Kinds bound_kinds()
{
    Kinds kinds;
    for (const auto& kind : all_kinds()) {
        const bool site = kind.to == addr::site4 || kind.to == addr::site6;
        const bool raw = kind.way == Way::RawHeader || kind.way == Way::RawPing;
        if (site && kind.via != Via::Route && (kind.uid != 0 || raw)) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

inline Kinds v6_kinds(const Kinds& kinds)
{
    Kinds found;
    for (const auto& kind : kinds) {
        if (is_v6(kind)) {
            found.push_back(kind);
        }
    }
    return found;
}

/// Every kind sends `times` times. Its leaks, and all other leaks since the sniffer's reset.
inline std::uint64_t flood(Target& target, const Kinds& kinds, std::uint64_t times = 20)
{
    const Traffic traffic(target.lab(), {.kinds = kinds});
    if (!traffic.wait_all_sent(times)) {
        throw LabError("traffic stalls");
    }
    return target.leaked();
}

/// The same programs before, during and after `strike`; `strike` is called when all of them send.
template <typename Strike>
std::uint64_t flood_during(Target& target, const Kinds& kinds, Strike&& strike,
                           std::uint64_t times = 20)
{
    const Traffic traffic(target.lab(), {.kinds = kinds});
    strike();
    // A hook that ran in between has put the other locks back.
    target.keep_guard();
    if (!traffic.wait_all_sent(times)) {
        throw LabError("traffic stalls");
    }
    target.wait_for_leak();
    return target.leaked();
}

/// A handshake that got stuck, which happens on a busy machine, is begun anew after 4 s.
inline VpnClient::Options impatient()
{
    VpnClient::Options options;
    options.extra.emplace_back("hand-window 4");
    return options;
}

/// OpenVPN anew, on a machine without what may be left of its device; waits until it is connected.
inline void connect_again(Target& target)
{
    VpnClient& vpn = target.vpn();
    vpn.kill();
    target.client().run({"ip", "link", "del", "tun0"});
    const std::size_t before = vpn.connections();
    vpn.start();
    if (!vpn.wait_connected(before + 1, connection_patience)) {
        throw LabError("the tunnel does not come back:\n" + vpn.log());
    }
    target.keep_guard();
}

/// Strikes each target under a flood, has `mend` undo it, and starts OpenVPN anew: all targets at
/// once, because most of the time is spent waiting.
inline void expect_under_flood(const Outcomes& outcomes, Targets& targets, const Kinds& kinds,
                               const std::function<void(Target&)>& strike,
                               const std::function<void(Target&)>& mend = {})
{
    const auto attack = [&](Target& target) {
        const auto leaked = flood_during(target, kinds, [&] { strike(target); });
        if (leaked > 0 && expected(outcomes, target.guard()) == Holds) {
            std::printf("%s", target.sniffer().counts().text().c_str());
        }
        if (mend) {
            mend(target);
        }
        connect_again(target);
        return leaked;
    };
    // All of them first: they install programs, and what any child process holds open for writing
    // cannot be run.
    std::vector<Target*> all;
    for (const Guard guard : every_guard) {
        all.push_back(&targets.of(guard));
    }
    std::map<Guard, std::future<std::uint64_t>> running;
    for (Target* target : all) {
        if (target->has_guard()) {
            target->set_has_to_leak(expected(outcomes, target->guard()) == Leaks);
            running[target->guard()] =
                std::async(std::launch::async, [&attack, target] { return attack(*target); });
        }
    }
    std::map<Guard, std::uint64_t> leaked;
    for (auto& [guard, result] : running) {
        leaked[guard] = result.get();
    }
    expect_outcomes(outcomes, targets, [&](Target& target) { return leaked[target.guard()]; });
}

} // namespace failclosed::lab
