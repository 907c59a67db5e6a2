// SPDX-License-Identifier: GPL-3.0-or-later
// What happens to tunnels in real life, one disturbance at a time; for the tests and the demo.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/daemons/openvpn.hpp"
#include "tests/support/lab/lab.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

/// A client with its server.
struct Patient {
    const Lab& lab;
    VpnServer& server;
    VpnClient& client;
};

struct Disturbance {
    std::string name;
    std::function<void(const Patient&)> strike;
    /// The repair by the network, a supervisor or the user; empty if OpenVPN recovers by itself.
    std::function<void(const Patient&)> mend = {};
    bool reconnects = true; ///< OpenVPN connects anew
};

/// Waits until both families get answers through the tunnel. Throws LabError where they do not.
inline void wait_alive(const Lab& lab, std::chrono::milliseconds time = std::chrono::seconds(30))
{
    for (const char* address : {addr::site4, addr::site6}) {
        const EchoFlow flow(lab, address, std::chrono::milliseconds(10));
        if (!flow.wait_answers(3, time)) {
            throw LabError(std::string("the tunnel carries nothing to ") + address);
        }
    }
}

inline void end_client(const Patient& patient)
{
    patient.client.term();
    if (!patient.client.process().wait()) {
        throw LabError("OpenVPN does not end:\n" + patient.client.log());
    }
}

/// OpenVPN's own routes and failclosed's; that the addresses are local stays.
inline void delete_tunnel_routes(const Patient& patient)
{
    for (const char* family : {"-4", "-6"}) {
        for (const char* table : {"main", "64600", "64601"}) {
            // Where a family has no such table there is nothing to flush.
            patient.lab.client().run(
                {"ip", family, "route", "flush", "table", table, "dev", "tun0"});
        }
    }
}

/// Each leaves the tunnel working again, once it is mended and OpenVPN had its time.
inline std::vector<Disturbance> disturbances()
{
    const auto start = [](const Patient& patient) { patient.client.start(); };
    const auto restart = [](const Patient& patient) { patient.client.usr1(); };
    const auto reapply = [](const Patient& patient) {
        patient.lab.client().must({"failclosed", "reapply"});
    };
    return {
        {"HUP", [](const Patient& patient) { patient.client.hup(); }},
        {"USR1", restart},
        {"kill -9", [](const Patient& patient) { patient.client.kill(); }, start},
        {"server outage", [](const Patient& patient) { patient.server.kill(); },
         [](const Patient& patient) { patient.server.start(); }},
        {"link flap", [](const Patient& patient) { patient.lab.cut_wire(); },
         [](const Patient& patient) { patient.lab.mend_wire(); }, false},
        // OpenVPN hears nothing of the next two: its own packets go on flowing.
        {"tunnel link down",
         [](const Patient& patient) { patient.lab.client().ip("link set tun0 down\n"); }, restart},
        {"tunnel routes deleted", delete_tunnel_routes, reapply, false},
        {"TERM", end_client, start},
        {"reapply in a loop",
         [reapply](const Patient& patient) {
             for (int i = 0; i < 20; ++i) {
                 reapply(patient);
             }
         },
         {},
         false},
    };
}

/// Strikes, lets every program send, mends, and waits until the tunnel carries traffic again.
/// `after_step` is called when it was struck, and when it works again. Throws LabError.
inline void ride_out(const Disturbance& disturbance, const Patient& patient, const Traffic& traffic,
                     const std::function<void()>& after_step = {})
{
    const std::size_t before = patient.client.connections();
    const auto let_send = [&] {
        if (after_step) {
            after_step();
        }
        if (!traffic.wait_all_sent(3)) {
            throw LabError("traffic stalls");
        }
    };
    disturbance.strike(patient);
    let_send();
    if (disturbance.mend) {
        disturbance.mend(patient);
    }
    if (disturbance.reconnects &&
        !patient.client.wait_connected(before + 1, std::chrono::seconds(30))) {
        throw LabError("no connection after " + disturbance.name + ":\n" + patient.client.log());
    }
    wait_alive(patient.lab);
    let_send();
}

} // namespace failclosed::lab
