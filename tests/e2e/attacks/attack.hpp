// SPDX-License-Identifier: GPL-3.0-or-later
// Attacks against a client, with each lock alone, with all of them, and without any.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/dhcpcd.hpp"
#include "tests/support/daemons/openvpn.hpp"
#include "tests/support/traffic/sniffer.hpp"

namespace failclosed::lab {

/// What protects the client: nothing (an ordinary OpenVPN client that takes all traffic), the
/// whole product, or one of its locks after the others were taken away.
enum class Guard { None, All, Firewall, Routing, Belt };

inline constexpr std::array every_guard = {Guard::None, Guard::All, Guard::Firewall, Guard::Routing,
                                           Guard::Belt};

std::string to_string(Guard guard);

/// For a connection of OpenVPN's, or a lease, however many attempts get stuck on a busy machine.
inline constexpr std::chrono::seconds connection_patience{40};

/// A client that is under attack, with its VPN server, its ISP, and what the ISP sees.
class Target {
  public:
    struct Options {
        Lab::Options lab = {}; ///< the product is installed unless there is no guard
        VpnServer::Options server = {};
        VpnClient::Options client = {}; ///< without hooks where there is no guard
        Policy policy = {};             ///< the sniffer's
        std::vector<std::string> lock = {"--server", "203.0.113.2:1194/udp"};
        std::string config = {}; ///< the whole failclosed.conf; empty: none
        /// dhcpcd manages the client's devices: Lab::Options::static_addresses has to be false and
        /// the ISP has to serve it, say by dhcp_and_ra().
        std::optional<Dhcpcd::Options> dhcpcd = {};
        /// Makes the network what it is before the client meets it.
        std::function<void(Lab&)> prepare = {};
        bool begin = true; ///< false: the attack calls begin() when it has prepared the network
    };

    /// Throws LabError where the lab cannot be made or the tunnel does not come up.
    explicit Target(Guard guard) : Target(guard, Options{}) {}

    Target(Guard guard, Options options);

    /// Locks, connects, leaves only the guard in place; what the sniffer saw before is forgotten.
    void begin();

    Guard guard() const { return guard_; }

    Lab& lab() { return lab_; }

    const Box& client() const { return lab_.client(); }

    const Box& isp() const { return lab_.isp(); }

    VpnServer& server() { return server_; }

    VpnClient& vpn() { return *vpn_; }

    Sniffer& sniffer() { return sniffer_; }

    Dhcpcd& dhcpcd() { return *dhcpcd_; }

    /// Takes the other locks away; again, where a hook has put them back in the meantime.
    void keep_guard() const;

    /// Whether there is something to test: false for Guard::Belt where the product has no such
    /// table, or the kernel refuses it.
    bool has_guard() const { return has_guard_; }

    /// Whether the host inside the tunnel answers (ICMP echo). One answer may be lost or late; but
    /// a tunnel that OpenVPN has to give up (ping-restart) and to make anew takes longer than this.
    bool tunnel_works(const std::string& address = addr::inside4) const;
    /// How many frames have leaked since the last reset of the sniffer, all that was sent before
    /// this call included.
    std::uint64_t leaked();

    /// Whether the test says that something leaks from here; see expect_outcomes().
    void set_has_to_leak(bool has_to_leak) { has_to_leak_ = has_to_leak; }

    bool has_to_leak() const { return has_to_leak_; }

    /// For what still sends: returns when something has leaked, where something has to. A question
    /// for a neighbour is asked once a second, and the first may have been before the reset.
    void wait_for_leak() const;

  private:
    Guard guard_;
    Options options_;
    Lab lab_;
    VpnServer server_;
    Sniffer sniffer_;
    std::optional<Dhcpcd> dhcpcd_;
    std::optional<VpnClient> vpn_;
    bool has_guard_ = true;
    bool has_to_leak_ = false;
};

/// Does its worst and returns how much of it succeeded: packets that leaked (Target::leaked()), or
/// that got in.
using Attack = std::function<std::uint64_t(Target&)>;

enum class Expected {
    Unstated, ///< a mistake of the test's
    Holds,
    Leaks,
    Either ///< nature varies; the reason stands in a comment
};

using enum Expected;

struct Outcomes {
    Expected none = Leaks;
    Expected all = Holds;
    Expected firewall;
    Expected routing;
    Expected belt;
    /// With all locks the tunnel works afterwards: false where the attack leaves no way for it.
    bool alive = true;
};

Expected expected(const Outcomes& outcomes, Guard guard);

/// Runs the attack against a fresh target for each guard. Prints one line per guard, and expects
/// what is stated.
void expect_outcomes(const Outcomes& outcomes, const Attack& attack,
                     const Target::Options& options = {});

/// The same with all guards at once, which takes a third of the time: for attacks that share
/// nothing and write no program into a box (one that is being written cannot be run by any box).
void expect_outcomes_at_once(const Outcomes& outcomes, const Attack& attack,
                             const Target::Options& options = {});

/// One target for each guard, made when it is first asked for: for attacks that leave nothing
/// behind, which is much quicker.
class Targets {
  public:
    explicit Targets(Target::Options options = {}) : options_(std::move(options)) {}

    /// With its guard alone in place, and nothing counted yet.
    Target& of(Guard guard);

  private:
    Target::Options options_;
    std::map<Guard, std::unique_ptr<Target>> made_;
};

void expect_outcomes(const Outcomes& outcomes, Targets& targets, const Attack& attack);

} // namespace failclosed::lab
