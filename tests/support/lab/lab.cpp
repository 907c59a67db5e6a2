// SPDX-License-Identifier: GPL-3.0-or-later
// A whole private internet for one test: a client, its ISP, and everything behind it.
#include "tests/support/lab/lab.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

namespace fs = std::filesystem;

// A cable between the ISP and the client. Its far end waits at the ISP until it is plugged in.
struct Wire {
    const char* isp;
    const char* parked;
    const char* client;
    std::vector<std::string> isp_addresses;
    std::vector<std::string> client_addresses;
    const char* gateway4;
    const char* gateway6;
    int metric;
};

const Wire first_wire = {"lan0",
                         "parked0",
                         "eth0",
                         {"192.168.50.1/24", "192.168.50.2/24", "192.168.50.9/24",
                          "192.168.70.1/24", "2001:db8:50::1/64", "2001:db8:70::1/64",
                          "fe80::1/64"},
                         {"192.168.50.10/24", "2001:db8:50::10/64"},
                         addr::gateway4,
                         addr::gateway6,
                         100};

const Wire second_wire = {"lan1",
                          "parked1",
                          "eth1",
                          {"192.168.60.1/24", "2001:db8:60::1/64", "fe80::1/64"},
                          {"192.168.60.10/24", "2001:db8:60::10/64"},
                          addr::second_gateway4,
                          addr::second_gateway6,
                          200};

std::string in_network(const Box& box)
{
    return " netns /proc/self/fd/" + std::to_string(box.network()) + "\n";
}

std::string addresses(const std::string& device, const std::vector<std::string>& list)
{
    std::string lines;
    for (const auto& address : list) {
        const bool v6 = address.find(':') != std::string::npos;
        lines += "addr add " + address + " dev " + device + (v6 ? " nodad\n" : "\n");
    }
    return lines + "link set " + device + " up\n";
}

std::string default_routes(const std::string& device, const std::string& gateway4,
                           const std::string& gateway6, int metric)
{
    const std::string tail = " dev " + device + " metric " + std::to_string(metric) + "\n";
    return "route add default via " + gateway4 + tail + "route add ::/0 via " + gateway6 + tail;
}

void make_router(const Box& box)
{
    box.sysctl("net.ipv4.ip_forward", "1");
    box.sysctl("net.ipv6.conf.all.forwarding", "1");
    // Addresses outlive a link that is set down, as a real router's do.
    box.sysctl("net.ipv6.conf.all.keep_addr_on_down", "1");
    box.sysctl("net.ipv6.conf.default.keep_addr_on_down", "1");
    for (const char* scope : {"all", "default"}) {
        box.sysctl(std::string("net.ipv4.conf.") + scope + ".rp_filter", "0");
    }
}

void make_wire(const Box& isp, const Box& client, const Wire& wire, bool plugged)
{
    const std::string name = wire.isp;
    const std::string far_end =
        plugged ? wire.client + in_network(client) : std::string(wire.parked) + "\n";
    // Without addresses of the kernel's making, fe80::1 is the router's only one.
    isp.ip("link add " + name + " type veth peer name " + far_end + "link set " + name +
               " addrgenmode none\n" + addresses(name, wire.isp_addresses),
           client.network());
}

void plug_in(const Box& isp, const Box& client, const Wire& wire)
{
    isp.ip("link set " + std::string(wire.parked) + " name " + wire.client + in_network(client),
           client.network());
}

void configure(const Box& client, const Wire& wire, bool with_addresses)
{
    const std::string name = wire.client;
    std::string lines = "link set lo up\n";
    if (with_addresses) {
        lines += addresses(name, wire.client_addresses) +
                 default_routes(name, wire.gateway4, wire.gateway6, wire.metric);
    } else {
        lines += "link set " + name + " up\n";
    }
    client.ip(lines);
}

// The kernel makes a device's link-local address, and the local routes of all its addresses, in its
// own time. Who compares what was before with what is after must not see them come.
void await_own_addresses(const Box& client, const Wire& wire, bool with_addresses)
{
    const int expected = with_addresses ? 2 : 1;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (int found = 0; found < expected;) {
        // Columns: destination and its length, source and its length, ..., device.
        std::istringstream routes(client.read_file("/proc/1/net/ipv6_route"));
        found = 0;
        for (std::string line; std::getline(routes, line);) {
            found += line.substr(32, 4) == " 80 " && line.ends_with(std::string(" ") + wire.client);
        }
        if (std::chrono::steady_clock::now() > deadline) {
            throw LabError(std::string(wire.client) + " gets no IPv6 addresses");
        }
    }
}

int dual_stack_socket(int type)
{
    const int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    const int buffer = 8 << 20; // what is lost must have been lost on the way
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(7);
    if (bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0 ||
        (type == SOCK_STREAM && listen(fd, 128) != 0)) {
        return -1;
    }
    return fd;
}

// Answers from the very address that was asked, which the packet info carries to and fro.
void echo_datagram(int fd)
{
    std::array<char, 65536> data;
    std::array<char, 256> control;
    sockaddr_in6 peer{};
    iovec part{data.data(), data.size()};
    msghdr message{&peer, sizeof(peer), &part, 1, control.data(), control.size(), 0};
    const ssize_t size = recvmsg(fd, &message, 0);
    if (size < 0) {
        return;
    }
    part.iov_len = static_cast<std::size_t>(size);
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            reinterpret_cast<in6_pktinfo*>(CMSG_DATA(c))->ipi6_ifindex = 0;
        }
    }
    sendmsg(fd, &message, MSG_DONTWAIT);
}

bool echo_stream(int fd)
{
    std::array<char, 65536> data;
    const ssize_t size = recv(fd, data.data(), data.size(), MSG_DONTWAIT);
    if (size > 0) {
        send(fd, data.data(), static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return size > 0;
}

// The echo service of RFC 862, for both protocols.
int serve_echo()
{
    std::vector<pollfd> fds = {{dual_stack_socket(SOCK_STREAM), POLLIN, 0},
                               {dual_stack_socket(SOCK_DGRAM), POLLIN, 0}};
    if (fds[0].fd < 0 || fds[1].fd < 0 || write(1, "ready\n", 6) != 6) {
        return 1;
    }
    while (poll(fds.data(), fds.size(), -1) > 0) {
        for (std::size_t i = fds.size(); i-- > 2;) {
            if (fds[i].revents != 0 && !echo_stream(fds[i].fd)) {
                close(fds[i].fd);
                fds.erase(fds.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
        if (fds[1].revents != 0) {
            echo_datagram(fds[1].fd);
        }
        if (fds[0].revents != 0) {
            const int fd = accept4(fds[0].fd, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd >= 0) {
                fds.push_back({fd, POLLIN, 0});
            }
        }
    }
    return 1;
}

} // namespace

Names default_names()
{
    return {{"vpn.example.net", {addr::server4, addr::server6}},
            {"vpn4.example.net", {addr::server4}},
            {"vpn6.example.net", {addr::server6}},
            {"www.example.org", {addr::site4, addr::site6}}};
}

Lab::Lab(Options options)
    : options_(std::move(options)), client_("client"), isp_("isp"), internet_("internet")
{
    make_router(isp_);
    make_router(internet_);
    client_.write_file("/etc/resolv.conf", std::string("nameserver ") + addr::gateway4 + "\n");
    client_.sysctl("net.ipv4.ping_group_range", "0 2147483647");
    isp_.ip("link set lo up\nlink add wan0 type veth peer name eth0" + in_network(internet_) +
                addresses("wan0", {"203.0.113.1/24", "198.51.100.1/24", "2001:db8:113::1/64",
                                   "2001:db8:99::1/64"}),
            internet_.network());
    internet_.ip("link set lo up\n" +
                 addresses("eth0", {"203.0.113.2/24", "203.0.113.3/24", "198.51.100.20/24",
                                    "198.51.100.53/24", "2001:db8:113::2/64", "2001:db8:113::3/64",
                                    "2001:db8:99::20/64", "2001:db8:99::53/64"}) +
                 default_routes("eth0", "203.0.113.1", "2001:db8:113::1", 100));
    echo_.emplace(Process::fork(internet_, serve_echo));
    if (!echo_->wait_for("ready")) {
        throw LabError("the echo service does not start");
    }
    // Born in its place: a device that moves to another namespace takes some 30 ms to do so.
    make_wire(isp_, client_, first_wire, options_.link_up);
    make_wire(isp_, client_, second_wire, options_.link_up && options_.second_uplink);
    if (options_.link_up) {
        configure(client_, first_wire, options_.static_addresses);
    }
    if (options_.link_up && options_.second_uplink) {
        configure(client_, second_wire, options_.static_addresses);
    }
    dns_.emplace(isp_, DnsServer::Options{.interface = "lan0",
                                          .names = options_.names,
                                          .extra = options_.dns_extra});
    if (!options_.install_root.empty()) {
        install(options_.install_root);
    }
    if (options_.link_up) {
        await_own_addresses(client_, first_wire, options_.static_addresses);
    }
    if (options_.link_up && options_.second_uplink) {
        await_own_addresses(client_, second_wire, options_.static_addresses);
    }
}

void Lab::link_up() const
{
    plug_in(isp_, client_, first_wire);
    configure(client_, first_wire, options_.static_addresses);
    if (options_.second_uplink) {
        second_uplink_up();
    }
}

void Lab::second_uplink_up() const
{
    plug_in(isp_, client_, second_wire);
    configure(client_, second_wire, options_.static_addresses);
}

void Lab::cut_wire(const std::string& isp_end) const
{
    isp_.ip("link set " + isp_end + " down\n");
}

void Lab::mend_wire(const std::string& isp_end) const
{
    // keep_addr_on_down does not keep the link-local address, and without one a router is silent.
    isp_.ip("link set " + isp_end + " up\naddr replace fe80::1/64 dev " + isp_end + " nodad\n");
}

std::vector<std::string> Lab::second_wire_arguments()
{
    return dhcp_and_ra({.network = "192.168.60"}, {.prefix = "2001:db8:60::"});
}

DnsServer Lab::second_dns(std::vector<std::string> extra) const
{
    return DnsServer(isp_,
                     {.interface = "lan1", .names = options_.names, .extra = std::move(extra)});
}

void Lab::install(const std::string& root) const
{
    if (!fs::exists(root + "/usr/sbin/failclosed")) {
        throw LabError("no product in the install tree " + root);
    }
    fs::copy(root, client_.outside_path("/"),
             fs::copy_options::recursive | fs::copy_options::copy_symlinks |
                 fs::copy_options::overwrite_existing);
    client_.in([] {
        fs::remove("/etc/openvpn/failclosed");
        fs::create_symlink("/usr/lib/failclosed/openvpn-hook", "/etc/openvpn/failclosed");
    });
}

std::string Lab::install_root()
{
    const char* root = std::getenv("FAILCLOSED_INSTALL_ROOT");
    if (root == nullptr || *root == '\0') {
        throw LabError("FAILCLOSED_INSTALL_ROOT is not set: it names a tree made by "
                       "`meson install --destdir`");
    }
    return root;
}

} // namespace failclosed::lab
