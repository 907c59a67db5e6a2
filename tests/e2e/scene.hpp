// SPDX-License-Identifier: GPL-3.0-or-later
// What the end-to-end tests share: the product's commands, and what they leave in the client.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/daemons/openvpn.hpp"
#include "tests/support/lab/lab.hpp"
#include "tests/support/traffic/sniffer.hpp"

namespace failclosed::lab {

inline constexpr char hook_path[] = "/etc/openvpn/failclosed";

inline Lab::Options with_product(Lab::Options options = {})
{
    options.install_root = Lab::install_root();
    return options;
}

/// How often a test repeats the same thing: `here` times, or as often as the soak says.
inline unsigned rounds(unsigned here)
{
    const char* text = std::getenv("FAILCLOSED_ROUNDS");
    return text == nullptr ? here : std::max(1U, static_cast<unsigned>(std::stoul(text)));
}

/// A process's environment.
using Variables = std::map<std::string, std::string>;

/// What OpenVPN tells `up` about a tunnel on `device`.
inline Variables openvpn_up(const std::string& device)
{
    return {{"script_type", "up"},
            {"script_context", "init"},
            {"dev", device},
            {"dev_type", "tun"},
            {"ifconfig_local", "10.8.0.2"},
            {"ifconfig_netmask", "255.255.255.0"},
            {"route_vpn_gateway", "10.8.0.1"},
            {"route_net_gateway", addr::gateway4},
            {"remote_1", addr::server4},
            {"remote_port_1", "1194"},
            {"proto_1", "udp"},
            {"trusted_ip", addr::server4},
            {"trusted_port", "1194"},
            {"foreign_option_1", "dhcp-option DNS 10.8.0.1"}};
}

/// Runs `failclosed` with these arguments to its end.
inline Outcome failclosed(const Box& client, std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin(), "failclosed");
    return client.run(arguments);
}

/// Whether it answers a ping. It is asked again and again, since a queue on the way may lose a
/// packet; only once where an option says how long to wait for the answer, as {"-W0.3"}.
inline bool answers(const Box& box, const std::string& address,
                    std::vector<std::string> options = {})
{
    std::vector<std::string> argv = {"ping", "-n", "-c1", address};
    argv.insert(argv.end(), options.begin(), options.end());
    if (std::ranges::none_of(options, [](const auto& word) { return word.starts_with("-W"); })) {
        argv.insert(argv.end(), {"-i0.2", "-w5"});
    }
    return box.run(argv).ok();
}

/// Looks again and again; for states of files and of the kernel that announce no change.
inline bool eventually(const std::function<bool()>& met, std::chrono::milliseconds time = patience)
{
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (!met()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

/// The programs of these names (a regular expression) and their children come before all others on
/// this computer, where the kernel allows it: what a test measures is then their time, and not that
/// of other tests.
inline void run_first(const Box& box, const std::string& names)
{
    box.run({"sh", "-c", "for pid in $(pgrep -x '" + names + "'); do chrt -a -f -p 1 $pid; done"});
}

/// Every endpoint that `status --json` says is admitted.
inline std::set<std::string> endpoints(const Box& client)
{
    static const std::regex list(R"re("endpoints":\[((?:"[^"]*",?)*)\])re");
    static const std::regex item(R"re("([^"]+)")re");
    const std::string json = client.must({"failclosed", "status", "--json"});
    std::set<std::string> found;
    for (std::sregex_iterator lists(json.begin(), json.end(), list), end; lists != end; ++lists) {
        const std::string items = (*lists)[1];
        for (std::sregex_iterator i(items.begin(), items.end(), item); i != end; ++i) {
            found.insert((*i)[1]);
        }
    }
    return found;
}

/// The names that stand in the client's hosts file on lines of ours, each with its address.
inline std::set<std::string> our_hosts(const Box& client)
{
    static const std::regex line(R"((\S+) (.*) # by failclosed)");
    const std::string text = client.read_file("/etc/hosts");
    std::set<std::string> found;
    for (std::sregex_iterator i(text.begin(), text.end(), line), end; i != end; ++i) {
        if ((*i)[1] != "#") {
            found.insert((*i)[1].str() + " " + (*i)[2].str());
        }
    }
    return found;
}

/// As answers(), with the patience for where programs send without pause: the tunnel's queue is
/// full nearly all the time then, and a tunnel may have to come back first.
inline bool gets_answers(const Box& box, const std::string& address,
                         std::vector<std::string> options = {})
{
    options.emplace_back("-W0.5");
    return eventually([&] { return answers(box, address, options); }, 3 * patience);
}

/// All that the kernel holds of firewall, rules and routes, without counters.
inline std::string kernel_state(const Box& client)
{
    std::string text = client.must({"nft", "--stateless", "list", "ruleset"});
    for (const char* family : {"-4", "-6"}) {
        text += client.must({"ip", family, "rule"});
        text += client.must({"ip", family, "route", "show", "table", "all"});
    }
    return text;
}

/// Blocks between blank lines, sorted: in what order the kernel keeps chains and sets means
/// nothing.
inline std::string sorted_blocks(std::string text, const std::string& separator)
{
    std::vector<std::string> blocks;
    for (std::size_t end = 0; end != std::string::npos; text.erase(0, end + separator.size())) {
        end = text.find(separator);
        blocks.push_back(text.substr(0, end));
        blocks.back().erase(blocks.back().find_last_not_of('\n') + 1);
        if (end == std::string::npos) {
            break;
        }
    }
    std::sort(blocks.begin(), blocks.end());
    std::string result;
    for (const auto& block : blocks) {
        result += block + separator;
    }
    return result;
}

/// What failclosed has set, in the kernel and in files, as text that is the same for the same.
inline std::string protection(const Box& client)
{
    std::string rules = client.must({"nft", "--stateless", "list", "table", "inet", "failclosed"});
    rules = std::regex_replace(rules, std::regex("^table[^\n]*\n|\n\\}\n$"), "\n");
    std::string text = sorted_blocks(rules, "\n\n");
    for (const char* family : {"-4", "-6"}) {
        text += sorted_blocks(client.must({"ip", family, "rule"}), "\n");
        text += sorted_blocks(client.must({"ip", family, "route", "show", "table", "all"}), "\n");
    }
    return text + client.read_file("/etc/resolv.conf") + "\n--\n" + client.read_file("/etc/hosts");
}

/// Listens where the system bus would, and never says a word.
inline int listen_silently()
{
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "/run/dbus/system_bus_socket");
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 8) != 0) {
        return 1;
    }
    std::puts("listening");
    std::fflush(stdout);
    pause();
    return 0;
}

inline VpnClient::Options client_to(std::vector<std::string> remotes, std::string proto = "udp")
{
    VpnClient::Options options;
    options.remotes = std::move(remotes);
    options.proto = std::move(proto);
    return options;
}

} // namespace failclosed::lab
