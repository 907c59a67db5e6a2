// SPDX-License-Identifier: GPL-3.0-or-later
// A machine that serves others: guests and networks behind it, its local network, and services
// that are reached from outside. What guests on its own wire may do is in guests_test.cpp.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/attacks/attack.hpp"
#include "tests/e2e/attacks/frames.hpp"
#include "tests/support/lab/guest.hpp"
#include "tests/support/refused_services.hpp"
#include "tests/support/traffic/senders.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::IsEmpty;

constexpr std::uint16_t some_port = 9000;
/// What packets are waited for that should not come.
constexpr std::chrono::milliseconds in_vain = 100ms;

bool is_v6(const std::string& address)
{
    return address.find(':') != std::string::npos;
}

// ---- Sockets ----

struct Address {
    sockaddr_storage any{};
    socklen_t size = 0;
};

Address address_of(const std::string& text, std::uint16_t port)
{
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(text.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
        throw LabError("no address: " + text);
    }
    Address result;
    std::memcpy(&result.any, found->ai_addr, found->ai_addrlen);
    result.size = found->ai_addrlen;
    freeaddrinfo(found);
    return result;
}

/// A socket that is bound in a box, and closed with its object.
class Socket {
  public:
    Socket(const Box& box, int type, const std::string& from, std::uint16_t port,
           const std::string& device = {})
        : fd_(box.in([&] {
              const Address own = address_of(from, port);
              const int fd = socket(own.any.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
              const int on = 1;
              setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
              setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.data(),
                         static_cast<socklen_t>(device.size()));
              // The next one may have the same port at once.
              const linger none{1, 0};
              setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
              if (bind(fd, reinterpret_cast<const sockaddr*>(&own.any), own.size) != 0) {
                  close(fd);
                  throw LabError(box.name() + ": no socket at " + from);
              }
              return fd;
          }))
    {
    }

    explicit Socket(int fd) : fd_(fd) {}

    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    ~Socket() { close(fd_); }

    int fd() const { return fd_; }

    bool wait(short what, std::chrono::milliseconds time) const
    {
        pollfd one{fd_, what, 0};
        return poll(&one, 1, static_cast<int>(time.count())) == 1 && (one.revents & what) != 0;
    }

    void say(const std::string& text) const
    {
        send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    /// What comes next; empty where nothing does.
    std::string hear(std::chrono::milliseconds time = patience) const
    {
        std::array<char, 256> data{};
        const ssize_t size = wait(POLLIN, time) ? recv(fd_, data.data(), data.size(), 0) : 0;
        return size > 0 ? std::string(data.data(), static_cast<std::size_t>(size)) : "";
    }

  private:
    int fd_;
};

struct Ends {
    std::string from;
    std::uint16_t from_port = 0; ///< 0: any
    std::string to;
    std::uint16_t to_port = 0;
    std::string device = {};
};

/// A client of an echo service.
class Talk {
  public:
    Talk(const Box& box, int type, const Ends& ends, std::chrono::milliseconds time = patience)
        : socket_(box, type, ends.from, ends.from_port, ends.device)
    {
        const Address peer = address_of(ends.to, ends.to_port);
        connect(socket_.fd(), reinterpret_cast<const sockaddr*>(&peer.any), peer.size);
        connected_ = socket_.wait(POLLOUT, time);
    }

    /// Whether what is said now comes back.
    bool goes_on(std::chrono::milliseconds time = patience) const
    {
        if (!connected_) {
            return false;
        }
        static std::atomic<int> number = 0;
        const std::string word = "word " + std::to_string(++number) + ".";
        socket_.say(word);
        std::string heard = "-";
        while (!heard.empty()) {
            heard = socket_.hear(time);
            if (heard.ends_with(word)) {
                return true;
            }
        }
        return false;
    }

    const Socket& socket() const { return socket_; }

  private:
    Socket socket_;
    bool connected_ = false;
};

bool talks(const Box& box, int type, const Ends& ends, std::chrono::milliseconds time = patience)
{
    return Talk(box, type, ends, time).goes_on(time);
}

int open_service(int type, std::uint16_t port)
{
    const int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    const bool made = bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 &&
                      (type == SOCK_DGRAM || listen(fd, 16) == 0);
    return made ? fd : -1;
}

/// By TCP and UDP at all addresses, and without a thought of which one was asked: as most do.
int serve(std::uint16_t port)
{
    std::vector<pollfd> fds = {{open_service(SOCK_STREAM, port), POLLIN, 0},
                               {open_service(SOCK_DGRAM, port), POLLIN, 0}};
    if (fds[0].fd < 0 || fds[1].fd < 0 || write(1, "ready\n", 6) != 6) {
        return 1;
    }
    std::array<char, 256> data;
    while (poll(fds.data(), fds.size(), -1) > 0) {
        for (std::size_t i = fds.size(); i-- > 2;) {
            if (fds[i].revents == 0) {
                continue;
            }
            const ssize_t size = recv(fds[i].fd, data.data(), data.size(), 0);
            if (size > 0) {
                send(fds[i].fd, data.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
            } else {
                close(fds[i].fd);
                fds.erase(fds.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
        if (fds[1].revents != 0) {
            Address peer{{}, sizeof(sockaddr_storage)};
            const ssize_t size = recvfrom(fds[1].fd, data.data(), data.size(), 0,
                                          reinterpret_cast<sockaddr*>(&peer.any), &peer.size);
            if (size > 0) {
                sendto(fds[1].fd, data.data(), static_cast<std::size_t>(size), 0,
                       reinterpret_cast<sockaddr*>(&peer.any), peer.size);
            }
        }
        if (fds[0].revents != 0) {
            fds.push_back({accept4(fds[0].fd, nullptr, nullptr, SOCK_CLOEXEC), POLLIN, 0});
        }
    }
    return 1;
}

class Service {
  public:
    Service(const Box& box, std::uint16_t port)
        : box_(&box), port_(port), process_(Process::fork(box, [port] { return serve(port); }))
    {
        if (!process_.wait_for("ready")) {
            throw LabError(box.name() + ": no service at " + std::to_string(port));
        }
    }

    /// Returns when it has answered all datagrams that have arrived before: it takes them in turn.
    void catch_up() const
    {
        if (!talks(*box_, SOCK_DGRAM, {"127.0.0.1", 0, "127.0.0.1", port_})) {
            throw LabError(box_->name() + ": no answer from port " + std::to_string(port_));
        }
    }

  private:
    const Box* box_;
    std::uint16_t port_;
    Process process_;
};

/// From which address a datagram of `sender` arrives at `to`, the internet's; "" where none does.
std::string seen_as(const Lab& lab, const Box& sender, const std::string& to,
                    std::uint16_t port = some_port, std::uint16_t from_port = 0,
                    std::chrono::milliseconds time = patience)
{
    const Socket site(lab.internet(), SOCK_DGRAM, to, port);
    sender.in([&] {
        send_datagram({.from = is_v6(to) ? "::" : "0.0.0.0", .from_port = from_port}, to, port,
                      "who am I");
    });
    if (!site.wait(POLLIN, time)) {
        return "";
    }
    Address peer{{}, sizeof(sockaddr_storage)};
    std::array<char, 16> data;
    recvfrom(site.fd(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&peer.any),
             &peer.size);
    std::array<char, NI_MAXHOST> text;
    getnameinfo(reinterpret_cast<sockaddr*>(&peer.any), peer.size, text.data(), text.size(),
                nullptr, 0, NI_NUMERICHOST);
    return text.data();
}

bool is_unseen(const Lab& lab, const Box& sender, const std::string& to,
               std::uint16_t port = some_port, std::uint16_t from_port = 0)
{
    return seen_as(lab, sender, to, port, from_port, in_vain).empty();
}

/// Whether an echo is answered, or not, as expected.
bool pings(const Box& box, const std::string& to, bool expected, const std::string& from = {})
{
    std::vector<std::string> options = {expected ? "-W2" : "-W0.2"};
    if (!from.empty()) {
        options.insert(options.end(), {"-I", from});
    }
    return answers(box, to, options) == expected;
}

/// The address of this family in the tunnel.
std::string inside_address(const Box& client, const char* family)
{
    const std::string line = client.must({"ip", "-br", family, "addr", "show", "dev", "tun0"});
    const std::size_t begin = line.find(is_v6(addr::site6) && family[1] == '6' ? "fd00:" : "10.8.");
    return line.substr(begin, line.find('/', begin) - begin);
}

/// Whether a name is found, or not, as expected.
bool resolves(const Box& box, const std::string& name, bool expected = true)
{
    const std::string options = expected ? "timeout:3 attempts:3" : "timeout:1 attempts:1";
    return box.run(Command{"getent", "ahostsv4", name}.with_env({"RES_OPTIONS=" + options})).ok() ==
           expected;
}

// ---- Behind this machine ----

enum class Kind { Libvirt, Docker, Segment };

struct Role {
    Kind kind;
    std::string device;
    std::string network4; ///< of 24 bits, without its last part
    std::string network6; ///< of 64 bits
};

const Role libvirt = {Kind::Libvirt, "virbr0", "192.168.122.", "fd22::"};
const Role docker = {Kind::Docker, "docker0", "172.17.0.", "fd17::"};
const Role segment = {Kind::Segment, "eth1", "192.168.80.", "fd80::"};

std::string name_of(const Role& role)
{
    switch (role.kind) {
    case Kind::Libvirt:
        return "Libvirt";
    case Kind::Docker:
        return "Docker";
    case Kind::Segment:
        return "Segment";
    }
    throw LabError("no such role");
}

void PrintTo(const Role& role, std::ostream* out)
{
    *out << name_of(role);
}

/// What libvirt loads for a network with NAT.
std::string libvirt_rules(const std::string& network, const std::string& device)
{
    std::string nat = "*nat\n:LIBVIRT_PRT - [0:0]\n-A POSTROUTING -j LIBVIRT_PRT\n";
    for (const char* transport : {" -p tcp", " -p udp", ""}) {
        nat += "-A LIBVIRT_PRT -s " + network + " ! -d " + network + transport + " -j MASQUERADE" +
               (*transport == 0 ? "\n" : " --to-ports 1024-65535\n");
    }
    return nat +
           "COMMIT\n*filter\n:LIBVIRT_INP - [0:0]\n:LIBVIRT_OUT - [0:0]\n:LIBVIRT_FWI - [0:0]\n"
           ":LIBVIRT_FWO - [0:0]\n:LIBVIRT_FWX - [0:0]\n-A INPUT -j LIBVIRT_INP\n"
           "-A OUTPUT -j LIBVIRT_OUT\n-A FORWARD -j LIBVIRT_FWX\n-A FORWARD -j LIBVIRT_FWI\n"
           "-A FORWARD -j LIBVIRT_FWO\n-A LIBVIRT_INP -i " +
           device + " -p udp --dport 53 -j ACCEPT\n-A LIBVIRT_OUT -o " + device +
           " -p udp --dport 68 -j ACCEPT\n-A LIBVIRT_FWX -i " + device + " -o " + device +
           " -j ACCEPT\n-A LIBVIRT_FWI -d " + network + " -o " + device +
           " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A LIBVIRT_FWI -o " + device +
           " -j REJECT\n-A LIBVIRT_FWO -s " + network + " -i " + device +
           " -j ACCEPT\n-A LIBVIRT_FWO -i " + device + " -j REJECT\nCOMMIT\n";
}

constexpr std::uint16_t published = 8080;

/// What dockerd loads for its bridge and for a container that publishes a port.
std::string docker_rules(const std::string& network, const std::string& container, bool v6)
{
    const std::string port = std::to_string(published);
    return "*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
           "-A OUTPUT ! -d " +
           std::string(v6 ? "::1" : "127.0.0.0/8") +
           " -m addrtype --dst-type LOCAL -j DOCKER\n-A POSTROUTING -s " + network +
           " ! -o docker0 -j MASQUERADE\n-A DOCKER ! -i docker0 -p udp --dport " + port +
           " -j DNAT --to-destination " + (v6 ? "[" + container + "]" : container) + ":" + port +
           "\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n"
           "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
           "-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n"
           "-A FORWARD -i docker0 -o docker0 -j ACCEPT\n-A DOCKER -d " +
           container + " ! -i docker0 -o docker0 -p udp --dport " + port + " -j ACCEPT\nCOMMIT\n";
}

/// The device, what its software has loaded for it, and one machine behind it: the network's
/// second host.
class Behind {
  public:
    Behind(const Lab& lab, const Role& role) : client_(&lab.client()), role_(role), box_("behind")
    {
        for (const Box* box : {client_, static_cast<const Box*>(&box_)}) {
            // Else every address of IPv6 takes seconds to be usable.
            box->sysctl("net.ipv6.conf.default.accept_dad", "0");
        }
        client_->sysctl("net.ipv4.ip_forward", "1");
        client_->sysctl("net.ipv6.conf.all.forwarding", "1");
        const bool bridged = role.kind != Kind::Segment;
        const std::string near = bridged ? "port0" : role.device;
        client_->ip(
            (bridged ? "link add " + role.device + " type bridge\n" : std::string()) + "link add " +
                near + " type veth peer name eth0 netns /proc/self/fd/" +
                std::to_string(box_.network()) + "\n" +
                (bridged ? "link set port0 master " + role.device + " up\n" : std::string()) +
                "addr add " + role.network4 + "1/24 dev " + role.device + "\naddr add " +
                role.network6 + "1/64 dev " + role.device + " nodad\nlink set " + role.device +
                " up\n",
            box_.network());
        box_.ip("link set lo up\nlink set eth0 up\n");
        box_.sysctl("net.ipv4.ping_group_range", "0 2147483647");
        load_rules();
        // A home's router knows its other networks.
        lab.isp().ip("route add " + role.network4 + "0/24 via " + addr::client4 + "\nroute add " +
                     role.network6 + "/64 via " + addr::client6 + "\n");
    }

    /// Addresses and routes by hand, as containers get them.
    void configure() const
    {
        box_.ip("addr add " + address4() + "/24 dev eth0\naddr add " + address6() +
                "/64 dev eth0 nodad\nroute add default via " + role_.network4 +
                "1\nroute add ::/0 via " + role_.network6 + "1 dev eth0\n");
    }

    /// The same from this machine's own dnsmasq, which asks the resolvers of this machine.
    void lease()
    {
        std::vector<std::string> argv = {"dnsmasq",
                                         "--keep-in-foreground",
                                         "--conf-file=/dev/null",
                                         "--log-facility=-",
                                         "--log-dhcp",
                                         "--user=root",
                                         "--group=root",
                                         "--pid-file",
                                         "--no-hosts",
                                         "--no-ping",
                                         "--strict-order",
                                         "--bind-dynamic",
                                         "--except-interface=lo",
                                         "--interface=" + role_.device,
                                         "--dhcp-leasefile=/run/leases"};
        std::string network = role_.network4;
        network.pop_back();
        const bool dhcp6 = role_.kind == Kind::Segment;
        for (const auto& argument :
             dhcp_and_ra({.network = network},
                         {.prefix = role_.network6, .dhcp6 = dhcp6, .slaac = !dhcp6})) {
            argv.push_back(argument);
        }
        dnsmasq_.emplace(*client_, Command(argv));
        if (!dnsmasq_->wait_for("using nameserver")) {
            throw LabError("dnsmasq: " + dnsmasq_->output());
        }
        if (role_.kind == Kind::Segment) {
            dhcpcd_.emplace(box_);
            if (!dhcpcd_->wait_lease() || !dhcpcd_->wait_for_event("BOUND6")) {
                throw LabError("no lease: " + dhcpcd_->log() + dnsmasq_->output());
            }
            return;
        }
        box_.write_file("/etc/udhcpc.script",
                        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n"
                        "ip addr add $ip/$mask dev $interface\n"
                        "ip route add default via $router dev $interface\n"
                        "echo \"nameserver $dns\" > /etc/resolv.conf\necho leased $ip\n",
                        0755);
        udhcpc_.emplace(box_, Command{"busybox", "udhcpc", "-f", "-i", "eth0", "-T", "1", "-A", "1",
                                      "-s", "/etc/udhcpc.script"});
        if (!udhcpc_->wait_for("leased ") || !eventually([&] {
                return !box_.must({"ip", "-6", "route", "show", "default"}).empty();
            })) {
            throw LabError("no lease: " + udhcpc_->output() + dnsmasq_->output());
        }
    }

    /// As a client of DHCP does it in between, by unicast.
    bool renew() const
    {
        if (dhcpcd_) {
            dhcpcd_->renew();
            return dhcpcd_->wait_for_event("RENEW");
        }
        const std::size_t before = udhcpc_->count("obtained");
        udhcpc_->signal(SIGUSR1);
        return udhcpc_->wait_for("obtained", before + 1);
    }

    void ask(const std::string& resolver) const
    {
        box_.write_file("/etc/resolv.conf", "nameserver " + resolver + "\n");
    }

    const Box& box() const { return box_; }

    std::string address4() const { return role_.network4 + "2"; }

    std::string address6() const { return role_.network6 + "2"; }

    std::string gateway4() const { return role_.network4 + "1"; }

    std::string gateway6() const { return role_.network6 + "1"; }

    /// What it sends to has to have this machine's hardware address.
    Ethernet to_gateway() const { return {mac_of(box_, "eth0"), mac_of(*client_, role_.device)}; }

  private:
    void load_rules() const
    {
        const auto load = [&](const char* family, const std::string& rules) {
            client_->must(
                Command{std::string(family) + "tables-nft-restore", "--noflush"}.with_input(rules));
        };
        const std::string network4 = role_.network4 + "0/24";
        const std::string network6 = role_.network6 + "/64";
        if (role_.kind == Kind::Libvirt) {
            load("ip", libvirt_rules(network4, role_.device));
            load("ip6", libvirt_rules(network6, role_.device));
        } else if (role_.kind == Kind::Docker) {
            load("ip", docker_rules(network4, address4(), false));
            load("ip6", docker_rules(network6, address6(), true));
        }
    }

    const Box* client_;
    Role role_;
    Box box_;
    std::optional<Process> dnsmasq_;
    std::optional<Process> udhcpc_;
    std::optional<Dhcpcd> dhcpcd_;
};

Target::Options serving(const Role& role, const std::string& lan = "private")
{
    Target::Options options;
    options.begin = false;
    options.config = "[failclosed]\nforward=" + role.device + "\nlan=" + lan + "\n";
    // They may talk to the local network, from where they are.
    options.policy.link.insert(options.policy.link.end(),
                               {role.network4 + "0/24", role.network6 + "/64"});
    return options;
}

using BehindCase = std::tuple<Role, std::string>; ///< and the policy for the local network

class BehindThisMachine : public ::testing::TestWithParam<BehindCase> {};

void expect_served(Target& target, const Behind& behind, const std::string& lan)
{
    const Box& guest = behind.box();
    for (const std::string& gateway : {behind.gateway4(), behind.gateway6()}) {
        EXPECT_TRUE(answers(guest, gateway)) << gateway;
    }
    EXPECT_TRUE(pings(guest, addr::neighbour4, lan == "private"));
    target.lab().dns().forget_queries();
    target.server().dns().forget_queries();
}

void expect_tunnel(Target& target, const Behind& behind)
{
    const Box& guest = behind.box();
    EXPECT_EQ(seen_as(target.lab(), guest, addr::site4), inside_address(target.client(), "-4"));
    EXPECT_EQ(seen_as(target.lab(), guest, addr::site6), inside_address(target.client(), "-6"));
    for (const std::string site : {addr::site4, addr::site6}) {
        EXPECT_TRUE(talks(guest, SOCK_STREAM, {is_v6(site) ? "::" : "0.0.0.0", 0, site, 7}))
            << site;
    }
    EXPECT_TRUE(resolves(guest, "www.example.org")) << guest.read_file("/etc/resolv.conf");
    EXPECT_THAT(target.server().dns().names_asked(), Contains("www.example.org"));
    EXPECT_THAT(target.lab().dns().names_asked(), IsEmpty());
}

TEST_P(BehindThisMachine, TrafficUsesOnlyTheTunnel)
{
    const auto& [role, lan] = GetParam();
    Target target(Guard::All, serving(role, lan));
    target.client().sysctl("net.ipv4.conf.all.rp_filter", lan == "deny" ? "1" : "0");
    Behind behind(target.lab(), role);
    target.begin();
    if (role.kind == Kind::Docker) {
        behind.configure();
        behind.ask(addr::gateway4);
    } else {
        behind.lease();
    }
    const Box& guest = behind.box();
    expect_served(target, behind, lan);
    expect_tunnel(target, behind);
    target.vpn().kill();
    expect_served(target, behind, lan);
    EXPECT_TRUE(role.kind == Kind::Docker || behind.renew());
    EXPECT_TRUE(is_unseen(target.lab(), guest, addr::site4));
    EXPECT_TRUE(is_unseen(target.lab(), guest, addr::site6));
    EXPECT_TRUE(resolves(guest, "lost.example.org", false));
    EXPECT_THAT(target.lab().dns().names_asked(), IsEmpty());
    const auto before = target.vpn().connections();
    target.vpn().start();
    ASSERT_TRUE(target.vpn().wait_connected(before + 1)) << target.vpn().log();
    expect_served(target, behind, lan);
    expect_tunnel(target, behind);
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

INSTANTIATE_TEST_SUITE_P(As, BehindThisMachine,
                         ::testing::Combine(::testing::Values(libvirt, docker, segment),
                                            ::testing::Values("private", "deny")),
                         [](const auto& test) {
                             return name_of(std::get<0>(test.param)) + "_" +
                                    std::get<1>(test.param);
                         });

// What makes a network of guests later calls `failclosed reapply`, as udev's rule does for devices.
TEST_P(BehindThisMachine, NetworksMayAppearWhileTheTunnelIsUp)
{
    const auto& [role, lan] = GetParam();
    Target target(Guard::All, serving(role, lan));
    target.begin();
    const Behind behind(target.lab(), role);
    behind.configure();
    behind.ask(addr::resolver4);
    target.client().must({"failclosed", "reapply"});
    expect_served(target, behind, lan);
    expect_tunnel(target, behind);
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

class Roles : public ::testing::TestWithParam<Role> {};

INSTANTIATE_TEST_SUITE_P(Of, Roles, ::testing::Values(libvirt, docker, segment),
                         [](const auto& test) { return name_of(test.param); });

TEST_P(Roles, AFlowOlderThanTheTunnelMovesIntoIt)
{
    constexpr std::uint16_t port = 9001;
    Target target(Guard::All, serving(GetParam()));
    const Behind behind(target.lab(), GetParam());
    behind.configure();
    const auto seen = [&](const char* to) {
        return seen_as(target.lab(), behind.box(), to, some_port, port);
    };
    const auto unseen = [&](const char* to) {
        return is_unseen(target.lab(), behind.box(), to, some_port, port);
    };
    EXPECT_NE(seen(addr::site4), "");
    EXPECT_NE(seen(addr::site6), "");
    target.begin();
    // The kernel drops the packet for which the way out has changed, and forgets the translation.
    unseen(addr::site4);
    unseen(addr::site6);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(seen(addr::site4), inside_address(target.client(), "-4"));
        EXPECT_EQ(seen(addr::site6), inside_address(target.client(), "-6"));
        target.vpn().kill();
        EXPECT_TRUE(unseen(addr::site4));
        EXPECT_TRUE(unseen(addr::site6));
        const auto before = target.vpn().connections();
        target.vpn().start();
        ASSERT_TRUE(target.vpn().wait_connected(before + 1)) << target.vpn().log();
    }
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

/// With sources of others, to the site and to the server's own port.
void pretend(const Behind& behind, const std::vector<std::string>& sources, const std::string& tag)
{
    for (const auto& from : sources) {
        const bool v6 = is_v6(from);
        const std::string server = v6 ? addr::server6 : addr::server4;
        for (const std::string& to : {std::string(v6 ? addr::site6 : addr::site4), server}) {
            const std::uint16_t port = to == server ? 1194 : some_port;
            send_frame(behind.box(), "eth0",
                       ethernet(behind.to_gateway(),
                                udp({.from = from, .to = to}, some_port, port, bytes_of(tag))));
        }
    }
}

void send_everything(const Behind& behind, const std::string& tag)
{
    behind.box().in([&] {
        for (const std::uint16_t port : {some_port, std::uint16_t{1194}, std::uint16_t{22}}) {
            for (const char* to : {addr::site4, addr::server4, addr::resolver4}) {
                send_datagram({.from = behind.address4(), .from_port = 22}, to, port, tag);
            }
            for (const char* to : {addr::site6, addr::server6, addr::resolver6}) {
                send_datagram({.from = behind.address6(), .from_port = 22}, to, port, tag);
            }
        }
    });
    pretend(behind,
            {addr::client4, addr::neighbour4, addr::gateway4, "10.8.0.2", "10.8.0.9",
             "203.0.113.77", "127.0.0.1", "172.20.0.9", addr::client6, "2001:db8:50::77",
             "fd00:8::9", "2001:db8:113::77", "fe80::77"},
            tag);
}

std::uint64_t send_up_and_lost(Target& target, const Role& role,
                               const std::function<void(const Behind&)>& send)
{
    const Behind behind(target.lab(), role);
    target.begin();
    behind.configure();
    send(behind);
    EXPECT_TRUE(target.tunnel_works());
    target.vpn().kill();
    target.keep_guard();
    send(behind);
    const auto leaked = target.leaked();
    if (target.guard() == Guard::All) {
        target.vpn().start();
        EXPECT_TRUE(target.vpn().wait_connected(2)) << target.vpn().log();
    }
    return leaked;
}

TEST_P(Roles, PacketsFromBehindThisMachineDoNotLeak)
{
    const HeldTag tag("from behind");
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Holds, .belt = Holds},
        [&](Target& target) {
            return send_up_and_lost(target, GetParam(), [&](const Behind& behind) {
                send_everything(behind, tag.text());
            });
        },
        serving(GetParam()));
}

// The kernel's own "unreachable" finds the gateway, as all that root sends there.
TEST(AGuestInTheGatewaysName, GetsNoAnswerOut)
{
    const HeldTag tag("in the gateway's name");
    expect_outcomes_at_once(
        {.firewall = Holds, .routing = Leaks, .belt = Holds},
        [&](Target& target) {
            return send_up_and_lost(target, libvirt, [&](const Behind& behind) {
                pretend(behind, {addr::gateway6}, tag.text());
            });
        },
        serving(libvirt));
}

// With every resolver: the ISP's, or a public one.
TEST_P(Roles, QueriesFromBehindThisMachineGoToTheTunnelsResolver)
{
    const HeldTag tag("a question from behind");
    const auto attack = [&](Target& target) {
        const Behind behind(target.lab(), GetParam());
        target.begin();
        behind.configure();
        behind.box().in([&] {
            send_datagram({.from = behind.address4()}, addr::gateway4, 53, tag.text());
            send_datagram({.from = behind.address6()}, addr::gateway6, 53, tag.text());
        });
        const auto leaked = target.leaked();
        if (target.guard() == Guard::All || target.guard() == Guard::Firewall) {
            for (const char* resolver :
                 {addr::gateway4, addr::gateway6, addr::resolver4, addr::resolver6}) {
                behind.ask(resolver);
                EXPECT_TRUE(resolves(behind.box(), "www.example.org")) << resolver;
            }
            EXPECT_THAT(target.server().dns().names_asked(), Contains("www.example.org"));
            EXPECT_THAT(target.lab().dns().names_asked(), IsEmpty());
        }
        return leaked + target.leaked();
    };
    // The routes to the local network ask for no port where packets are forwarded.
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds}, attack,
                            serving(GetParam()));
}

/// Frames with the tag that were sent to a host behind this machine.
std::uint64_t caught(Wiretap& wire, const std::string& tag)
{
    std::uint64_t count = 0;
    for (const auto& frame : wire.seen()) {
        count += frame.outgoing || !frame.holds(bytes_of(tag)) ? 0 : 1;
    }
    return count;
}

// CVE-2020-13401: a guest that says it is a router.
TEST_P(Roles, ARouterBehindThisMachineIsIgnored)
{
    const HeldTag tag("to a router behind");
    const auto attack = [&](Target& target) {
        const Behind behind(target.lab(), GetParam());
        const std::string settings = "net.ipv6.conf." + GetParam().device + ".";
        target.client().sysctl(settings + "accept_ra", "2");
        target.client().sysctl(settings + "accept_ra_rt_info_max_plen", "128");
        target.begin();
        behind.configure();
        const Mac mac = mac_of(behind.box(), "eth0");
        send_frame(
            behind.box(), "eth0",
            ethernet({.from = mac, .to = group_mac("ff02::1")},
                     router_advertisement({.from = link_local(mac), .route = "2001:db8:99::/64"})));
        Wiretap wire(behind.box(), "eth0");
        target.vpn().kill();
        target.keep_guard();
        const std::string routes =
            target.client().must({"ip", "-6", "route", "show", "dev", GetParam().device});
        EXPECT_EQ(routes.find("proto ra") == std::string::npos,
                  target.guard() == Guard::All || target.guard() == Guard::Firewall)
            << routes;
        target.client().in(
            [&] { send_datagram({.from = "::"}, addr::site6, some_port, tag.text()); });
        target.sniffer().settle();
        const auto leaked = caught(wire, tag.text()) + target.leaked();
        if (target.guard() == Guard::All) {
            target.vpn().start();
            EXPECT_TRUE(target.vpn().wait_connected(2)) << target.vpn().log();
        }
        return leaked;
    };
    // The belt has no chain on what is served.
    expect_outcomes_at_once({.firewall = Holds, .routing = Holds, .belt = Leaks}, attack,
                            serving(GetParam()));
}

// A DHCP client that asks on every device takes the lease of a guest, who says he is a router.
TEST_P(Roles, ALeaseFromBehindThisMachineIsNotAnUplink)
{
    const HeldTag tag("by a lease from behind");
    Target::Options options = serving(GetParam());
    options.config += "reconnect-signal=none\n"; // whose hooks would put all locks back
    const auto attack = [&](Target& target) {
        const Behind behind(target.lab(), GetParam());
        target.begin();
        behind.configure();
        behind.box().ip("addr add 198.51.100.20/32 dev eth0\n"); // answers for it by ARP as well
        Wiretap wire(behind.box(), "eth0");
        target.client().ip("route add default via " + behind.address4() + " dev " +
                           GetParam().device + " metric 1\n");
        if (target.guard() != Guard::None) {
            target.client().must({"failclosed", "reapply"});
            target.keep_guard();
        }
        const auto send = [&] {
            target.client().in([&] {
                for (const char* device : {"", GetParam().device.c_str()}) {
                    send_datagram({.from = "0.0.0.0", .device = device}, addr::site4, some_port,
                                  tag.text());
                }
            });
        };
        send();
        target.vpn().kill();
        target.keep_guard();
        send();
        target.sniffer().settle();
        const auto leaked = caught(wire, tag.text()) + target.leaked();
        if (target.guard() == Guard::All) {
            target.client().ip("route del default via " + behind.address4() + "\n");
            target.client().must({"failclosed", "reapply"});
            target.vpn().start();
            EXPECT_TRUE(target.vpn().wait_connected(2)) << target.vpn().log();
        }
        return leaked;
    };
    // What a default route leads over is served no more. Routes ask no socket that names a device.
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds}, attack, options);
}

class Published : public ::testing::TestWithParam<std::string> {};

TEST_P(Published, PortsAreReachedOnlyFromAnAllowedLocalNetwork)
{
    Target target(Guard::All, serving(docker, GetParam()));
    const Behind behind(target.lab(), docker);
    const Service service(behind.box(), published);
    const Lab& lab = target.lab();
    const auto expect = [&](bool reached, const Box& box, const std::string& from,
                            const std::string& to) {
        EXPECT_EQ(talks(box, SOCK_DGRAM, {from, 0, to, published}, reached ? patience : in_vain),
                  reached)
            << from << " to " << to;
    };
    behind.configure();
    // Without a lock.
    expect(true, lab.internet(), addr::site4, addr::client4);
    expect(true, lab.internet(), addr::site6, addr::client6);
    target.begin();
    for (int round = 0; round < 2; ++round) {
        expect(false, lab.internet(), addr::site4, addr::client4);
        expect(false, lab.internet(), addr::site6, addr::client6);
        expect(false, lab.internet(), addr::site4, behind.address4());
        expect(GetParam() == "private", lab.isp(), addr::neighbour4, addr::client4);
        target.vpn().kill();
    }
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

INSTANTIATE_TEST_SUITE_P(With, Published, ::testing::Values("private", "deny"),
                         [](const auto& test) { return test.param; });

// ---- The local network ----

struct LanCase {
    std::string settings;
    bool neighbour;
    bool routed;
    bool public_neighbour;
    bool multicast;
    bool names;
};

TEST(LocalNetwork, IsReachedAsFarAsTheConfigurationSays)
{
    constexpr char routed4[] = "10.77.0.1"; // private, behind the gateway
    const std::string listed = "lan=192.168.50.9/32;2001:db8:50::1/128";
    const std::vector<LanCase> cases = {
        {"lan=private", true, true, false, true, false},
        {"lan=private\nlan-names=yes", true, true, false, true, true},
        {"lan=on-link", true, false, false, true, false},
        {"lan=on-link\nlan-names=yes", true, false, false, true, true},
        {"lan=deny", false, false, false, false, false},
        {"lan=deny\nlan-names=yes", false, false, false, false, false},
        {listed, true, false, true, false, false},
        {listed + ";224.0.0.0/24\nlan-names=yes", true, false, true, true, true}};
    Target target(Guard::All);
    target.isp().ip("addr add 10.77.0.1/32 dev lo\n");
    // OpenVPN's halves of a default route would lead there else.
    target.client().ip("route add 10.77.0.0/24 via 192.168.50.1 dev eth0\n");
    const std::vector<std::pair<std::string, std::uint16_t>> probes = {
        {addr::neighbour4, some_port}, {routed4, some_port},
        {addr::gateway6, some_port},   {"224.0.0.106", some_port},
        {"224.0.0.251", oracle::mdns}, {addr::neighbour4, oracle::netbios},
        {addr::gateway4, oracle::dns}, {addr::site4, some_port}};
    const auto word = [](std::size_t i) { return "knock " + std::to_string(i) + "."; };
    const auto reached = [&] {
        Wiretap wire(target.isp(), "lan0");
        target.client().in([&] {
            for (std::size_t i = 0; i < probes.size(); ++i) {
                const auto& [to, port] = probes[i];
                const std::string from = is_v6(to) ? addr::client6 : addr::client4;
                send_datagram({.from = from, .device = "eth0"}, to, port, word(i));
            }
        });
        target.sniffer().settle();
        std::vector<bool> found(probes.size());
        for (const auto& frame : wire.seen()) {
            for (std::size_t i = 0; i < probes.size(); ++i) {
                found[i] = found[i] || frame.holds(bytes_of(word(i)));
            }
        }
        return found;
    };
    for (const auto& one : cases) {
        SCOPED_TRACE(one.settings);
        target.client().write_file("/etc/failclosed/failclosed.conf",
                                   "[failclosed]\n" + one.settings + "\n");
        target.client().must({"failclosed", "reapply"});
        const std::vector<bool> expected = {one.neighbour, one.routed, one.public_neighbour,
                                            one.multicast, one.names,  one.names && one.neighbour,
                                            false, // DNS is no part of it
                                            false};
        EXPECT_EQ(reached(), expected);
        EXPECT_TRUE(pings(target.client(), addr::neighbour4, one.neighbour));
        EXPECT_TRUE(pings(target.client(), routed4, one.routed));
        EXPECT_TRUE(pings(target.client(), addr::gateway6, one.public_neighbour, addr::client6));
    }
    EXPECT_TRUE(target.tunnel_works());
}

// ---- Reached from outside ----

constexpr std::uint16_t peer_port = 40022;
constexpr std::array<std::uint16_t, 2> inbound_ports = {22, 51820};
constexpr char stranger4[] = "203.0.113.3";
constexpr char stranger6[] = "2001:db8:113::3";
constexpr char inbound_config[] = "[failclosed]\nserver=203.0.113.2:1194/udp\n"
                                  "inbound=tcp/22 from 198.51.100.0/24;"
                                  "tcp/22 from 2001:db8:99::/64;udp/51820 from any\n";

/// Answers to those who may ask are no leak.
Policy with_peers()
{
    Policy policy;
    for (const char* peer : {addr::site4, addr::site6}) {
        policy.servers.push_back({peer, "tcp", peer_port});
        policy.servers.push_back({peer, "tcp", peer_port + 1});
    }
    for (const char* peer : {addr::site4, addr::site6, stranger4, stranger6}) {
        policy.servers.push_back({peer, "udp", peer_port});
    }
    return policy;
}

struct InboundCase {
    std::string name;
    std::string own;
    std::string peer;
    std::string stranger;
    const char* rp_filter = "0";
    bool bridged = false; ///< the uplink is a bridge, as on a host of virtual machines
};

void PrintTo(const InboundCase& value, std::ostream* out)
{
    *out << value.name;
}

class Inbound : public ::testing::TestWithParam<InboundCase> {};

void expect_reached(const Box& internet, const InboundCase& way)
{
    const auto new_talk = [&](int type, const std::string& from, std::uint16_t to,
                              std::chrono::milliseconds time) {
        const auto from_port =
            static_cast<std::uint16_t>(peer_port + (type == SOCK_STREAM ? 1 : 0));
        return talks(internet, type, {from, from_port, way.own, to}, time);
    };
    EXPECT_TRUE(new_talk(SOCK_STREAM, way.peer, 22, patience));
    EXPECT_TRUE(new_talk(SOCK_DGRAM, way.peer, 51820, patience));
    EXPECT_TRUE(new_talk(SOCK_DGRAM, way.stranger, 51820, patience));
    EXPECT_FALSE(new_talk(SOCK_STREAM, way.stranger, 22, in_vain));
    EXPECT_FALSE(new_talk(SOCK_STREAM, way.peer, 2222, in_vain));
    EXPECT_FALSE(new_talk(SOCK_DGRAM, way.peer, 22, in_vain));
}

TEST_P(Inbound, KeepsItsConnectionThroughAllChanges)
{
    const auto& way = GetParam();
    const Lab lab(with_product());
    const Box& client = lab.client();
    const VpnServer server(lab);
    Sniffer sniffer(lab, with_peers());
    for (const char* device : {"all", "eth0"}) {
        client.sysctl(std::string("net.ipv4.conf.") + device + ".rp_filter", way.rp_filter);
    }
    if (way.bridged) {
        bridge_uplink(client, UplinkPort::Wire);
    }
    client.write_file("/etc/failclosed/failclosed.conf", inbound_config);
    const Service shell(client, 22);
    const Service other(client, 2222);
    const Service open(client, 51820);
    const Talk talk(lab.internet(), SOCK_STREAM, {way.peer, peer_port, way.own, 22});
    ASSERT_TRUE(talk.goes_on());
    EXPECT_TRUE(talks(lab.internet(), SOCK_STREAM, {way.stranger, 0, way.own, 2222}));
    sniffer.settle();
    sniffer.reset();
    client.must({"failclosed", "lock"});
    EXPECT_TRUE(talk.goes_on()) << "locked";
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(talk.goes_on()) << "connected";
    EXPECT_TRUE(answers(client, addr::site4));
    expect_reached(lab.internet(), way);
    vpn.kill();
    EXPECT_TRUE(talk.goes_on()) << "lost";
    expect_reached(lab.internet(), way);
    client.must({"failclosed", "reapply"});
    EXPECT_TRUE(talk.goes_on()) << "reapplied";
    vpn.start();
    ASSERT_TRUE(vpn.wait_connected(2)) << vpn.log();
    EXPECT_TRUE(talk.goes_on()) << "connected again";
    EXPECT_TRUE(answers(client, addr::site4));
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

INSTANTIATE_TEST_SUITE_P(
    By, Inbound,
    ::testing::Values(InboundCase{"Ipv4", addr::client4, addr::site4, stranger4},
                      InboundCase{"Ipv4OnABridge", addr::client4, addr::site4, stranger4, "0",
                                  true},
                      InboundCase{"Ipv4Strict", addr::client4, addr::site4, stranger4, "1"},
                      InboundCase{"Ipv6", addr::client6, addr::site6, stranger6}),
    [](const auto& test) { return test.param.name; });

// Who began a flow that is older than the lock is known from the first packet of the other end.
TEST(InboundSession, ContinuesWhenTheOtherEndSends)
{
    const Lab lab(with_product());
    const Box& client = lab.client();
    client.write_file("/etc/failclosed/failclosed.conf", inbound_config);
    const Socket listener(client, SOCK_STREAM, addr::client4, 22);
    ASSERT_EQ(listen(listener.fd(), 1), 0);
    const Talk talk(lab.internet(), SOCK_STREAM, {addr::site4, peer_port, addr::client4, 22});
    ASSERT_TRUE(listener.wait(POLLIN, patience));
    const Socket shell(accept(listener.fd(), nullptr, nullptr));
    const Sniffer sniffer(lab, with_peers());
    client.must({"failclosed", "lock"});
    shell.say("what lock printed");
    EXPECT_EQ(talk.socket().hear(in_vain), "");
    talk.socket().say("\n");
    EXPECT_EQ(talk.socket().hear(), "what lock printed");
    EXPECT_EQ(shell.hear(), "\n");
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

// A listening service holds its port, so no other program can use it.
TEST(InboundService, AdmitsNoOtherProgramOnItsPort)
{
    const HeldTag tag("from a service's port");
    Target::Options options;
    options.config = inbound_config;
    const auto attack = [&](Target& target) {
        const auto send = [&] {
            for (const std::string site : {addr::site4, addr::site6}) {
                const std::string own = is_v6(site) ? addr::client6 : addr::client4;
                for (const char* device : {"", "eth0"}) {
                    Talk(target.client(), SOCK_STREAM, {own, 22, site, 7, device}, 50ms);
                    target.client().in([&] {
                        send_datagram({.from = own, .from_port = 51820, .device = device}, site,
                                      some_port, tag.text());
                    });
                }
            }
        };
        send();
        EXPECT_TRUE(target.tunnel_works());
        target.vpn().kill();
        target.keep_guard();
        send();
        const auto leaked = target.leaked();
        if (target.guard() == Guard::All) {
            target.vpn().start();
            EXPECT_TRUE(target.vpn().wait_connected(2)) << target.vpn().log();
        }
        return leaked;
    };
    // Routing leads by the port alone.
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds}, attack, options);
}

// The mark that leads packets outside the tunnel is only for this machine's own services.
TEST(InboundService, OfARemoteHostIsReachedByGuestsThroughTheTunnel)
{
    Target::Options options = serving(docker);
    options.config = std::string(inbound_config) + "forward=docker0\n";
    Target target(Guard::All, options);
    const Behind behind(target.lab(), docker);
    target.begin();
    behind.configure();
    const std::string inside4 = inside_address(target.client(), "-4");
    const std::string inside6 = inside_address(target.client(), "-6");
    for (const auto port : inbound_ports) {
        EXPECT_EQ(seen_as(target.lab(), behind.box(), addr::site4, port), inside4);
        EXPECT_EQ(seen_as(target.lab(), behind.box(), addr::site6, port), inside6);
    }
    const Service shell(target.lab().internet(), 22);
    EXPECT_TRUE(talks(behind.box(), SOCK_STREAM, {"0.0.0.0", 22, addr::site4, 22}));
    EXPECT_TRUE(talks(behind.box(), SOCK_STREAM, {"::", 22, addr::site6, 22}));
    target.vpn().kill();
    for (const auto port : inbound_ports) {
        EXPECT_TRUE(is_unseen(target.lab(), behind.box(), addr::site4, port));
        EXPECT_TRUE(is_unseen(target.lab(), behind.box(), addr::site6, port));
    }
    EXPECT_EQ(target.leaked(), 0U) << target.sniffer().counts().text();
}

// A guest could forge the source address of a remote host, so that this machine sends answers
// there.
class InboundByGuests : public ::testing::TestWithParam<std::string> {};

TEST_P(InboundByGuests, SendsNoAnswerOutside)
{
    const HeldTag tag("an answer that a guest asked for");
    Target::Options options = serving(docker);
    options.config = inbound_config + GetParam();
    const auto attack = [&](Target& target) {
        const Service open(target.client(), 51820);
        return send_up_and_lost(target, docker, [&](const Behind& behind) {
            for (const auto& [from, to] : {std::pair{stranger4, addr::client4},
                                           {addr::resolver4, "172.17.0.1"},
                                           {stranger6, addr::client6},
                                           {addr::resolver6, "fd17::1"}}) {
                const Frame packet =
                    udp({.from = from, .to = to}, some_port, 51820, bytes_of(tag.text()));
                send_frame(behind.box(), "eth0", ethernet(behind.to_gateway(), packet));
            }
            open.catch_up();
        });
    };
    expect_outcomes_at_once({.firewall = Holds, .routing = Leaks, .belt = Holds}, attack, options);
}

INSTANTIATE_TEST_SUITE_P(That, InboundByGuests, ::testing::Values("forward=docker0\n", ""),
                         [](const auto& test) {
                             return test.param.empty() ? "NobodyNamed" : "AreServed";
                         });

// Locked before there is an address, which no event announces: a public one, set by hand.
class InboundFromBoot : public ::testing::TestWithParam<bool> {};

TEST_P(InboundFromBoot, IsReachedAndTheTunnelComesUp)
{
    const bool device_is_there = GetParam();
    Lab::Options options = {.link_up = device_is_there, .static_addresses = false};
    const Lab lab(with_product(options));
    const Box& client = lab.client();
    const VpnServer server(lab);
    Policy policy = with_peers();
    policy.link.emplace_back("192.0.2.0/24");
    const Sniffer sniffer(lab, policy);
    client.write_file("/etc/failclosed/failclosed.conf", inbound_config);
    client.must({"failclosed", "lock", "--boot"});
    const Service shell(client, 22);
    const Service open(client, 51820);
    lab.isp().ip("addr add 192.0.2.1/24 dev lan0\n");
    if (!device_is_there) {
        lab.link_up();
    }
    client.ip("addr add 192.0.2.10/24 dev eth0\naddr add 2001:db8:50::10/64 dev eth0 nodad\n"
              "route add default via 192.0.2.1\nroute add ::/0 via 2001:db8:50::1 dev eth0\n");
    const InboundCase way4 = {"", "192.0.2.10", addr::site4, stranger4};
    const InboundCase way6 = {"", addr::client6, addr::site6, stranger6};
    // The kernel may take a second until a new device carries anything.
    EXPECT_TRUE(eventually([&] {
        return talks(lab.internet(), SOCK_DGRAM, {addr::site4, peer_port, "192.0.2.10", 51820},
                     500ms);
    }));
    expect_reached(lab.internet(), way4);
    expect_reached(lab.internet(), way6);
    EXPECT_TRUE(is_unseen(lab, client, addr::site4));
    VpnClient vpn(lab);
    ASSERT_TRUE(vpn.wait_connected()) << vpn.log();
    EXPECT_TRUE(answers(client, addr::site4));
    expect_reached(lab.internet(), way4);
    expect_reached(lab.internet(), way6);
    sniffer.settle();
    EXPECT_EQ(sniffer.leaked(), 0U) << sniffer.counts().text();
}

INSTANTIATE_TEST_SUITE_P(Where, InboundFromBoot, ::testing::Bool(), [](const auto& test) {
    return test.param ? "TheDeviceHasNoAddress" : "ThereIsNoDevice";
});

} // namespace

} // namespace failclosed::lab
