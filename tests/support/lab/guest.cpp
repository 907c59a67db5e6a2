// SPDX-License-Identifier: GPL-3.0-or-later
// Guests of the client: containers and virtual machines, as far as the network can tell.
#include "tests/support/lab/guest.hpp"

#include <cstdio>
#include <sstream>

namespace failclosed::lab {

namespace {

constexpr char bridge[] = "br0";

std::string two_digits(int number)
{
    char text[4] = {};
    std::snprintf(text, sizeof(text), "%02d", number % 100);
    return text;
}

/// Routes over eth0 made by an administrator or a program, as lines for br0.
std::string routes_of_uplink(const Box& client, const std::string& family)
{
    std::istringstream lines(client.must({"ip", family, "route", "show", "dev", "eth0"}));
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        if (line.find("proto kernel") == std::string::npos) {
            const std::string prefix =
                family == "-6" && line.starts_with("default") ? "::/0" + line.substr(7) : line;
            result += "route replace " + prefix.substr(0, prefix.find(" pref ")) + " dev br0\n";
        }
    }
    return result;
}

std::string macvlan_mode(Attachment attachment)
{
    switch (attachment) {
    case Attachment::MacvlanPrivate:
        return "private";
    case Attachment::MacvlanVepa:
        return "vepa";
    default:
        return "bridge";
    }
}

} // namespace

void bridge_uplink(const Box& client, UplinkPort port)
{
    const std::string routes = routes_of_uplink(client, "-4") + routes_of_uplink(client, "-6");
    const std::string mac = client.must({"cat", "/sys/class/net/eth0/address"});
    // Nothing in a namespace looks like a network card; this is the next best.
    const std::string attach =
        port == UplinkPort::Wire
            ? "link set eth0 master br0\n"
            : "link add link eth0 name up0 type macvlan mode passthru\nlink set up0 up\n"
              "link set up0 master br0\n";
    client.ip("link add br0 address " + mac.substr(0, mac.find('\n')) +
              " type bridge\nlink set br0 up\naddr flush dev eth0\n" + attach +
              "addr add 192.168.50.10/24 dev br0\naddr add 2001:db8:50::10/64 dev br0 nodad\n" +
              routes);
}

Guest::Guest(const Lab& lab, Attachment attachment, int number)
    : box_("guest" + two_digits(number)), mac_("52:54:00:aa:00:" + two_digits(number)),
      port_("guest" + std::to_string(number))
{
    const Box& client = lab.client();
    const std::string far_end =
        "eth0 address " + mac_ + " netns /proc/self/fd/" + std::to_string(box_.network());
    const bool routed = attachment == Attachment::Routed;
    address4_ =
        (routed ? "172.20.0." : "192.168.50.") + std::to_string(number + (routed ? 1 : 100));
    address6_ = (routed ? "fd20::" : "2001:db8:50::") + std::to_string(number + (routed ? 1 : 100));
    if (routed || attachment == Attachment::Bridged) {
        if (routed) {
            attach_routed(client);
        }
        client.ip("link add " + port_ + " type veth peer name " + far_end + "\nlink set " + port_ +
                      " master " + (routed ? guests_device : bridge) + " up\n",
                  box_.network());
    } else {
        client.ip("link add link eth0 name " + far_end + " type macvlan mode " +
                      macvlan_mode(attachment) + "\n",
                  box_.network());
    }
    box_.ip("link set lo up\naddr add " + address4_ + (routed ? "/16" : "/24") +
            " dev eth0\naddr add " + address6_ + "/64 dev eth0 nodad\nlink set eth0 up\n" +
            "route add default via " + (routed ? "172.20.0.1" : addr::gateway4) +
            "\nroute add ::/0 via " + (routed ? "fd20::1" : addr::gateway6) + " dev eth0\n");
    box_.sysctl("net.ipv4.ping_group_range", "0 2147483647");
}

void Guest::attach_routed(const Box& client)
{
    if (client.run({"ip", "link", "show", guests_device}).ok()) {
        return;
    }
    client.sysctl("net.ipv4.ip_forward", "1");
    client.sysctl("net.ipv6.conf.all.forwarding", "1");
    const std::string device = guests_device;
    client.ip("link add " + device + " type bridge\naddr add 172.20.0.1/16 dev " + device +
              "\naddr add fd20::1/64 dev " + device + " nodad\nlink set " + device + " up\n");
}

} // namespace failclosed::lab
