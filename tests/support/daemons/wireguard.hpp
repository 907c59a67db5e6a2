// SPDX-License-Identifier: GPL-3.0-or-later
// WireGuard in user space (wireguard-go): the lab needs no kernel module.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

struct WireGuardKeys {
    std::string secret;
    std::string shared; ///< the public key

    static WireGuardKeys make(const Box& box); ///< needs wireguard-tools
};

/// A server in the internet box: 10.66.0.1/24 and fd00:66::1/64 inside. As with VpnServer, the
/// inside host is the whole internet box.
class WireGuardServer {
  public:
    struct Options {
        std::string address = addr::server4; ///< where clients find it; it listens on all
        int port = 51820;
        std::string device = "wg-srv";
    };

    explicit WireGuardServer(const Lab& lab) : WireGuardServer(lab, Options{}) {}

    /// Returns when it serves.
    WireGuardServer(const Lab& lab, Options options);

    void add_peer(const WireGuardKeys& keys, const std::vector<std::string>& addresses) const;

    std::string endpoint() const; ///< "203.0.113.2:51820", or with brackets

    const WireGuardKeys& keys() const { return keys_; }

    static constexpr char inside4[] = "10.66.0.1";
    static constexpr char inside6[] = "fd00:66::1";

    Process& process() { return *process_; }

  private:
    const Lab* lab_;
    Options options_;
    WireGuardKeys keys_;
    std::optional<Process> process_;
};

/// A device in the client box: 10.66.0.2/32 and fd00:66::2/128, and all traffic through it where
/// `redirect` is set, by a mark and a table of its own as wg-quick does it.
class WireGuardClient {
  public:
    struct Options {
        std::string device = "wg0";
        bool redirect = true;
    };

    WireGuardClient(const Lab& lab, const WireGuardServer& server)
        : WireGuardClient(lab, server, Options{})
    {
    }

    /// Returns when the device is up; the first packet makes the handshake.
    WireGuardClient(const Lab& lab, const WireGuardServer& server, Options options);

    void start(); ///< again, after its end
    void stop();  ///< SIGTERM; the device is gone when this returns
    void kill();  ///< SIGKILL; so it is then

    Process& process() { return *process_; }

  private:
    const Lab* lab_;
    Options options_;
    std::string server_key_;
    std::string endpoint_;
    WireGuardKeys keys_;
    std::optional<Process> process_;
};

} // namespace failclosed::lab
