// SPDX-License-Identifier: GPL-3.0-or-later
// Real NetworkManager in a machine of the lab, with a system bus and a dispatcher of its own.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/daemons/openvpn.hpp"
#include "tests/support/daemons/recorder.hpp"
#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// A private system bus at its usual place. It starts nm-dispatcher when NetworkManager calls it,
/// as root and without systemd; everyone may own and call everything.
class SystemBus {
  public:
    /// Returns when it serves; throws LabError where it does not.
    explicit SystemBus(const Box& box);

    const Box& box() const { return *box_; }

    /// Waits until the bus name has an owner.
    bool wait_for_name(const std::string& name, std::chrono::milliseconds timeout = patience) const;

    /// SIGKILL; the socket stays behind, dead. start() serves again.
    void kill() const { process_->kill(); }

    void start();

    /// What it and the programs that it started have said: nm-dispatcher and its scripts.
    std::string log() const { return process_->output(); }

    Process& process() { return *process_; }

  private:
    const Box* box_;
    std::optional<Process> process_;
};

/// A connection profile for a wire.
struct EthernetProfile {
    std::string device = "eth0"; ///< also the profile's name
    std::string method4 = "auto";
    std::string method6 = "auto";
    int metric = -1; ///< -1: NetworkManager's own choice
    bool autoconnect = true;
    /// Not activated before it has an IPv4 address (ipv4.may-fail=no); else the first family does.
    bool need_ipv4 = true;
    /// More of the keyfile as SECTION.KEY=VALUE, e.g. "ipv4.dns=192.168.50.1;".
    std::vector<std::string> extra = {};
};

/// A profile for network-manager-openvpn and the lab's PKI.
struct OpenVpnProfile {
    std::string name = "office";
    std::string device = "vpn0";
    std::string remote = "203.0.113.2:1194"; ///< or "NAME:PORT:PROTO", several with ", "
    bool autoconnect = false;
    bool default_route = true;
    int timeout = 20;                    ///< seconds until NetworkManager gives up
    std::vector<std::string> data = {};  ///< more vpn.data, e.g. "ping-restart=4"
    std::vector<std::string> extra = {}; ///< as in EthernetProfile
};

/// The daemon in one box, usually the client's, whose devices should have no addresses of the
/// lab's (Lab::Options::static_addresses = false) and whose ISP should serve dhcp_arguments().
/// The host's own configuration and dispatcher scripts do not exist for it; those of the product
/// (files with `failclosed` in their names), installed before or after, do.
class NetworkManager {
  public:
    struct Options {
        std::string dns = "default";     ///< default, systemd-resolved, dnsmasq, none
        std::string rc_manager = "file"; ///< file, symlink, resolvconf, auto, unmanaged
        std::string dhcp = "internal";
        /// Empty: no connectivity checks. See HttpServer.
        std::string connectivity_uri = {};
        int connectivity_interval = 5; ///< seconds
        /// How long a carrier may be lost before the device goes down; NetworkManager's own
        /// default is 6 s.
        std::chrono::milliseconds carrier_wait{6000};
        std::string log_level = "INFO";
        std::string extra = {};                     ///< more text for NetworkManager.conf
        std::vector<EthernetProfile> profiles = {}; ///< there before it starts, as at a boot
        /// Scripts before (source "dispatcher") and after (source "dispatcher-end") all others in
        /// dispatcher.d, pre-up.d and pre-down.d.
        bool record = true;
        bool start = true; ///< false: only configured; start() it later
    };

    explicit NetworkManager(SystemBus& bus) : NetworkManager(bus, Options{}) {}

    /// Returns when it owns its name on the bus; throws LabError where it does not start.
    NetworkManager(SystemBus& bus, Options options);

    void start(); ///< as the constructor does
    void stop();  ///< SIGTERM, and gone when this returns
    void kill();  ///< SIGKILL, and gone when this returns
    /// stop() and start(), with the same files.
    void restart();

    /// Runs nmcli and throws LabError where it fails; returns its output.
    std::string nmcli(std::vector<std::string> arguments) const;
    Outcome try_nmcli(std::vector<std::string> arguments) const;

    /// Adds the profile and waits until its device is activated. Throws LabError after `patience`.
    void connect_ethernet(const EthernetProfile& profile = {});
    /// How often `device` was activated since the last start, and a wait for that.
    std::size_t activations(const std::string& device) const;
    bool wait_activated(const std::string& device, std::size_t times = 1,
                        std::chrono::milliseconds timeout = patience) const;

    /// Adds a profile as the text of a keyfile: any type, other VPN plugins' too.
    void add_profile(const std::string& name, const std::string& keyfile) const;
    /// Needs network-manager-openvpn. Bring it up with nmcli({"connection", "up", name}).
    void add_openvpn_profile(const OpenVpnProfile& profile = {}) const;
    /// Its device cannot be made without the kernel's module, but its servers can be learnt.
    void add_wireguard_profile(const std::string& name, const std::string& endpoint,
                               const std::string& device = "wg0") const;

    Recorder& recorder() { return *recorder_; } ///< only where `record` is set

    std::vector<Event> events() const { return recorder_->events("dispatcher"); }

    /// Waits until the dispatcher has announced it `times` times since recorder().forget().
    bool wait_for_event(const std::string& action, const std::string& interface = {},
                        std::size_t times = 1, std::chrono::milliseconds timeout = patience) const
    {
        return recorder_->wait_for(action, interface, times, timeout, "dispatcher");
    }

    /// The same for the end of all ordered scripts.
    bool wait_for_event_done(const std::string& action, const std::string& interface = {},
                             std::size_t times = 1,
                             std::chrono::milliseconds timeout = patience) const
    {
        return recorder_->wait_for(action, interface, times, timeout, "dispatcher-end");
    }

    std::string log() const { return process_ ? process_->output() : std::string(); }

    Process& process() { return *process_; }

  private:
    void configure() const;
    void install_recorders() const;

    SystemBus* bus_;
    const Box* box_;
    Options options_;
    std::optional<Recorder> recorder_;
    std::optional<Process> process_;
};

} // namespace failclosed::lab
