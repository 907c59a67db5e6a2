// SPDX-License-Identifier: GPL-3.0-or-later
// Real dhcpcd in a machine of the lab.
#include "tests/support/daemons/dhcpcd.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

namespace failclosed::lab {

namespace {

const std::vector<std::string>& recorded_variables()
{
    static const std::vector<std::string> names = {"if_up",
                                                   "if_down",
                                                   "if_configured",
                                                   "ifcarrier",
                                                   "protocol",
                                                   "new_ip_address",
                                                   "new_routers",
                                                   "new_domain_name_servers",
                                                   "old_ip_address",
                                                   "old_routers",
                                                   "new_dhcp6_ia_na1_ia_addr1",
                                                   "new_dhcp6_name_servers",
                                                   "nd1_from",
                                                   "nd1_lifetime",
                                                   "nd1_prefix_information1_prefix",
                                                   "nd1_rdnss1_servers"};
    return names;
}

std::string hook(const std::string& source)
{
    return Recorder::lines(source, "\"${reason-}\"", "\"${interface-}\"", recorded_variables());
}

} // namespace

Dhcpcd::Dhcpcd(const Box& box, Options options) : box_(&box), options_(std::move(options))
{
    box.must({"rm", "-rf", "/var/lib/dhcpcd"});
    box.must({"mkdir", "-p", "/var/lib/dhcpcd"});
    std::string text = "duid\npersistent\nslaac hwaddr\nrequire dhcp_server_identifier\n"
                       "option domain_name_servers, domain_name, domain_search\n"
                       "option classless_static_routes, interface_mtu\n";
    text += options_.interfaces.empty() ? "nodev\n" : "";
    text += options_.quick ? "noarp\nnodelay\n" : "";
    text += options_.ipv6 ? "" : "ipv4only\n";
    box.write_file("/etc/dhcpcd.conf", text + options_.extra);
    if (options_.record) {
        recorder_.emplace(box);
        box.write_file("/etc/dhcpcd.enter-hook", hook("dhcpcd"));
        box.write_file("/etc/dhcpcd.exit-hook", hook("dhcpcd-end"));
    }
    if (options_.start) {
        start();
    }
}

void Dhcpcd::start()
{
    std::vector<std::string> argv = {"dhcpcd", "--nobackground", "--debug"};
    argv.insert(argv.end(), options_.interfaces.begin(), options_.interfaces.end());
    if (!options_.sandbox.empty()) {
        const std::vector<std::string> before = {
            "unshare", "--mount", "sh", "-ec", options_.sandbox + "\nexec \"$@\"", "sandbox"};
        argv.insert(argv.begin(), before.begin(), before.end());
    }
    process_.reset();
    process_.emplace(*box_, Command(argv));
}

void Dhcpcd::wait_for_hooks() const
{
    if (!recorder_) {
        return;
    }
    // In vain if a hook was killed: then the signal is sent all the same.
    static_cast<void>(recorder_->wait_until(
        [](const std::vector<Event>& events) {
            return std::ranges::count(events, "dhcpcd", &Event::source) <=
                   std::ranges::count(events, "dhcpcd-end", &Event::source);
        },
        std::chrono::seconds(3)));
}

void Dhcpcd::wait_for_helpers() const
{
    if (!log().starts_with("dhcpcd-10")) {
        return;
    }
    // In vain if the lease was renewed, for which no helper is started.
    for (const auto& [lease, helper] :
         {std::pair(": leased ", "spawned BOOTP proxy "),
          std::pair("REPLY6 received", "spawned DHCP6 proxy 2001:")}) {
        static_cast<void>(
            process_->wait_for(helper, process_->count(lease), std::chrono::seconds(3)));
    }
}

void Dhcpcd::tell(int signal, const std::string& answer) const
{
    const std::size_t before = process_->count(answer);
    // One that has just been started would die of it.
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!process_->handles(signal) && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // dhcpcd 9 loses a signal that comes while one of its hooks runs. One that is slow to answer
    // must not get it twice. The pause grows: with a fixed one the signals can keep pace with
    // hooks that run every three seconds, and all of them are lost.
    std::chrono::milliseconds pause(3000);
    for (int tries = 0; tries < 20; ++tries) {
        wait_for_hooks();
        process_->signal(signal);
        if (process_->wait_for(answer, before + 1, pause)) {
            return;
        }
        pause += std::chrono::milliseconds(370);
    }
    throw LabError("dhcpcd does not hear signal " + std::to_string(signal) + ":\n" + log());
}

void Dhcpcd::wait_end() const
{
    // Its helpers and its last hook may outlive it.
    if (!process_->wait_all_ended()) {
        throw LabError("dhcpcd does not end:\n" + log());
    }
}

void Dhcpcd::stop()
{
    tell(SIGTERM, "received SIGTERM");
    wait_end();
}

void Dhcpcd::kill()
{
    process_->kill();
    // Its helpers, until there are none: the box's process namespace holds no others.
    while (box_->run({"pkill", "-KILL", "-x", "dhcpcd"}).ok()) {
    }
}

void Dhcpcd::rebind() const
{
    // dhcpcd 10 loses all its helpers if SIGHUP comes while it starts one.
    wait_for_helpers();
    tell(SIGHUP, "received SIGHUP");
}

void Dhcpcd::renew() const
{
    tell(SIGUSR1, "received SIGUSR1");
}

void Dhcpcd::release()
{
    tell(SIGALRM, "received SIGALRM");
    wait_end();
}

bool Dhcpcd::wait_lease(const std::string& interface, std::chrono::milliseconds timeout) const
{
    return recorder_->wait_until(
        [&](const std::vector<Event>& events) {
            return std::any_of(events.begin(), events.end(), [&](const Event& event) {
                static constexpr std::array<const char*, 4> reasons = {"BOUND", "REBOOT", "RENEW",
                                                                       "REBIND"};
                return event.source == "dhcpcd-end" && event.interface == interface &&
                       std::find(reasons.begin(), reasons.end(), event.action) != reasons.end();
            });
        },
        timeout);
}

} // namespace failclosed::lab
