// SPDX-License-Identifier: GPL-3.0-or-later
// Real OpenVPN servers and clients in the lab, with a throw-away PKI that touches no disk.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

/// Keys and certificates, PEM. Made once per test process.
struct Pki {
    std::string ca;
    std::string server_certificate;
    std::string server_key;
    std::string client_certificate;
    std::string client_key;
    std::string tls_crypt;
};

const Pki& pki();

/// A server in the internet box. Number N has the device vpnN, the networks 10.(7+N).0.0/24 and
/// fd00:(7+N)::/64, and a resolver at .1 and ::1 inside. The inside host is the whole internet
/// box: addr::site4 and the rest answer through the tunnel as well.
class VpnServer {
  public:
    struct Options {
        int number = 1;
        std::string address = addr::server4; ///< "*": all addresses of both families (multihome)
        std::string proto = "udp";           ///< udp, tcp (by the address's family), udp4, ...
        int port = 1194;
        std::string topology = "subnet"; ///< subnet, net30 or p2p
        std::string device_type = "tun"; ///< tun or tap
        bool inside4 = true;             ///< networks inside the tunnel; at least one of the two
        bool inside6 = true;
        bool resolver = true; ///< a resolver inside, and its addresses pushed
        Names names = default_names();
        std::vector<std::string> extra = {}; ///< more config lines, e.g. push "..."
    };

    explicit VpnServer(const Lab& lab) : VpnServer(lab, Options{}) {}

    VpnServer(const Lab& lab, Options options);

    void kill();  ///< SIGKILL: clients notice by their keepalive
    void stop();  ///< SIGTERM: with explicit-exit-notify in `extra` clients are told
    void start(); ///< returns when it serves
    /// Starts it anew with other extra lines (another push).
    void restart(std::vector<std::string> extra);

    std::string inside_address4() const;
    std::string inside_address6() const;

    Process& process() { return *process_; }

    DnsServer& dns() { return *dns_; } ///< the resolver inside; only where `resolver` is set

  private:
    std::string config() const;

    const Lab* lab_;
    Options options_;
    std::optional<Process> process_;
    std::optional<DnsServer> dns_;
};

/// A client in the client box.
class VpnClient {
  public:
    struct Options {
        std::string name = "lab";
        std::string device = "tun0";
        std::string proto = "udp";
        std::vector<std::string> remotes = {"203.0.113.2 1194"}; ///< or "NAME PORT PROTO"
        bool hooks = true;            ///< up and down lines that call /etc/openvpn/failclosed
        bool redirect_gateway = true; ///< def1, both families
        std::string user = {};        ///< drop privileges to this user
        std::vector<std::string> extra = {}; ///< more config lines
        /// Where the config NAME.conf stands; distributions use /etc/openvpn/client as well.
        std::string directory = "/etc/openvpn";
        /// As systemd's openvpn-client@NAME starts it: in `directory`, with a relative path.
        bool as_unit = false;
    };

    explicit VpnClient(const Lab& lab) : VpnClient(lab, Options{}) {}

    /// Writes the config and starts the program; does not wait for the connection.
    VpnClient(const Lab& lab, Options options);

    /// Waits until "Initialization Sequence Completed" was logged `times` times in all.
    bool wait_connected(std::size_t times = 1, std::chrono::milliseconds timeout = patience) const;
    std::size_t connections() const; ///< how often it was logged, over all start()s
    /// Waits until it tries to reach a server (whether there is one or not), `times` times since
    /// the last start: not up yet, and waiting for no script. By UDP it then hears signals; while
    /// it looks for an address or connects by TCP it hears none.
    bool wait_trying(std::size_t times = 1, std::chrono::milliseconds timeout = patience) const;

    /// Signals as its log tells them, over all start()s. It merges what comes while it is busy:
    /// for each single one see SignalCounter.
    struct Signals {
        std::size_t hup = 0;  ///< from outside
        std::size_t usr1 = 0; ///< from outside
        std::size_t soft = 0; ///< its own restarts: ping-restart, the server's goodbye, ...
    };

    Signals signals() const;

    void hup() const { process_->signal(SIGHUP); }

    void usr1() const { process_->signal(SIGUSR1); }

    void term() const { process_->signal(SIGTERM); }

    void kill() const { process_->kill(); }

    /// Starts it again after any kind of end.
    void start();

    std::string log() const { return process_->output(); } ///< since the last start

    Process& process() { return *process_; }

    const Process& process() const { return *process_; }

    std::string config_path() const { return options_.directory + "/" + options_.name + ".conf"; }

    std::string config() const; ///< its text, as written

  private:
    const Lab* lab_;
    Options options_;
    std::optional<Process> process_;
    std::size_t earlier_ = 0;
    Signals earlier_signals_;
};

} // namespace failclosed::lab
