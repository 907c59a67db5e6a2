// SPDX-License-Identifier: GPL-3.0-or-later
// A machine as docs/security.md has it, in a network namespace, and what its kernel does with one
// packet.
#pragma once

#include <chrono>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/apply/kernel/nftables.hpp"
#include "core/codec/nftables/rules.hpp"
#include "core/codec/nftables/text.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/sets.hpp"
#include "tests/kernel/network.hpp"
#include "tests/security_table/packets.hpp"
#include "tests/security_table/wire.hpp"

namespace failclosed::test {

// ---- The ruleset as it is loaded ----

inline std::vector<Hook> hooks_of(Path path)
{
    switch (path) {
    case Path::Sent:
        return {Hook::Output, Hook::Postrouting, Hook::Egress};
    case Path::Received:
        return {Hook::Prerouting, Hook::Input};
    case Path::Forwarded:
        return {Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress};
    case Path::Frame:
        break;
    }
    return {Hook::Egress};
}

/// The same decisions, so that counters tell who made them: every rule counts and has a number of
/// its own in its comment, and policies are rules of their own at the end of their chains.
inline Ruleset numbered(Ruleset ruleset)
{
    unsigned number = 0;
    for (Table& table : ruleset.tables) {
        for (Chain& chain : table.chains) {
            if (chain.base) {
                chain.rules.push_back({"policy", {}, true, {}, chain.base->policy});
            }
            for (Rule& rule : chain.rules) {
                rule.counted = true;
                rule.comment += " #" + std::to_string(++number);
            }
        }
    }
    return ruleset;
}

inline std::string without_number(const std::string& comment)
{
    return comment.substr(0, comment.rfind(" #"));
}

/// What is added to sets for a time, in each table that judges what leaves.
inline std::vector<Set> timed_elements(bool bootstrap, bool portal)
{
    const auto question = [](Transport transport) {
        return SetElement{{address(kResolver), transport, port(53)}, {}};
    };
    std::vector<Set> elements;
    if (bootstrap) {
        elements.push_back({sets::kBootstrap(Family::V4), {question(Transport::Udp)}});
    }
    if (portal) {
        elements.push_back({sets::kPortalUid, {{{Uid{kGuestOfTheHotel}}, {}}}});
        elements.push_back({sets::kPortalGid, {{{Gid{kSignInProgram}}, {}}}});
        elements.push_back({sets::kPortalResolver(Family::V4),
                            {question(Transport::Udp), question(Transport::Tcp)}});
    }
    return elements;
}

inline constexpr std::array kLeavingTables = {TableFamily::Inet, TableFamily::Netdev};

// ---- Outcomes ----

/// What became of a packet, and the numbered comments of the rules that decided, chain by chain.
struct Fate {
    Verdict verdict = Verdict::Drop;
    std::set<std::string> rules;

    friend bool operator==(const Fate&, const Fate&) = default;
};

/// The comments of rules that a packet has come to.
using Moved = std::set<std::string>;

/// The chains that a rule may go on to.
inline std::vector<std::string> targets(const Table& table, const Rule& rule)
{
    std::vector<std::string> names;
    if (const auto* jump = std::get_if<Jump>(&rule.end)) {
        names.push_back(jump->chain);
    } else if (const auto* to = std::get_if<Goto>(&rule.end)) {
        names.push_back(to->chain);
    } else if (const auto* dispatch = std::get_if<Dispatch>(&rule.end)) {
        const auto map = std::ranges::find(table.sets, dispatch->map, &Set::handle);
        for (const SetElement& element : map->elements) {
            if (const auto* next = std::get_if<Goto>(&*element.decision)) {
                names.push_back(next->chain);
            }
        }
    }
    return names;
}

/// The last rule that was met in `chain`, and in the chains that it went on to.
inline const Rule* last_met(const Table& table, const Chain& chain, const Moved& moved)
{
    const auto met = std::ranges::find_if(chain.rules.rbegin(), chain.rules.rend(),
                                          [&](auto& rule) { return moved.contains(rule.comment); });
    if (met == chain.rules.rend()) {
        return nullptr;
    }
    for (const std::string& name : targets(table, *met)) {
        const auto target = std::ranges::find(table.chains, name, &Chain::name);
        if (const Rule* further = last_met(table, *target, moved)) {
            return further;
        }
    }
    return &*met;
}

inline std::set<std::string> deciders(const Ruleset& ruleset, Path path, const Packet& packet,
                                      const Moved& moved)
{
    const auto hooks = hooks_of(path);
    const TableFamily family = packet.arp ? TableFamily::Arp : TableFamily::Inet;
    std::set<std::string> rules;
    for (const Table& table : ruleset.tables) {
        for (const Chain& chain : table.chains) {
            const bool is_met = chain.base &&
                                std::ranges::find(hooks, chain.base->hook) != hooks.end() &&
                                (table.family == family || chain.base->hook == Hook::Egress) &&
                                (!chain.base->device ||
                                 chain.base->device == packet.rerouted.value_or(*packet.output));
            const Rule* rule = is_met ? last_met(table, chain, moved) : nullptr;
            if (rule != nullptr) {
                rules.insert(rule->comment);
            }
        }
    }
    return rules;
}

/// Whether the kernel can answer a refused packet with an ICMP error (RFC 1122, RFC 4443).
inline bool is_answerable(const IpAddress& destination)
{
    const auto bytes = destination.bytes();
    return !destination.is_multicast() &&
           (destination.family() == Family::V6 || bytes.back() != 255);
}

// ---- The machine ----

enum class Loader : std::uint8_t { Netlink, Nft };

/// Lets through only packets with kSignature, so that nothing else moves counters; counts what came
/// through everything and what was answered by a refusal: what leaves, where it leaves. And the
/// user's own address translation.
inline constexpr const char* kWitness = R"(
table inet witness {
    chain first_in {
        type filter hook prerouting priority -500;
        ip dscp != 0x0a drop
        ip6 dscp != 0x0a drop
    }
    chain first_out {
        type filter hook output priority -350;
        icmp type destination-unreachable icmp code admin-prohibited counter drop comment "refused"
        icmpv6 type destination-unreachable icmpv6 code no-route counter drop comment "refused"
        ip dscp != 0x0a drop
        ip6 dscp != 0x0a drop
    }
    chain input {
        type filter hook input priority 400;
        counter comment "passed"
    }
}
table inet others {
    chain reroute {
        type route hook output priority mangle;
        meta mark 0x7700 meta mark set 0x7800
    }
}
table arp witness {
    chain input {
        type filter hook input priority 400;
        counter comment "passed"
    }
}
table netdev witness {
    chain signature {
        ip dscp != 0x0a drop
        ip6 dscp != 0x0a drop
    }
    chain passed {
        counter comment "passed"
    }
    chain first_lo { type filter hook egress device lo priority -500; jump signature; }
    chain first_eth0 { type filter hook egress device eth0 priority -500; jump signature; }
    chain first_eth1 { type filter hook egress device eth1 priority -500; jump signature; }
    chain first_br0 { type filter hook egress device br0 priority -500; jump signature; }
    chain first_br1 { type filter hook egress device br1 priority -500; jump signature; }
    chain first_tun0 { type filter hook egress device tun0 priority -500; jump signature; }
    chain last_lo { type filter hook egress device lo priority 400; jump passed; }
    chain last_eth0 { type filter hook egress device eth0 priority 400; jump passed; }
    chain last_eth1 { type filter hook egress device eth1 priority 400; jump passed; }
    chain last_br0 { type filter hook egress device br0 priority 400; jump passed; }
    chain last_br1 { type filter hook egress device br1 priority 400; jump passed; }
    chain last_tun0 { type filter hook egress device tun0 priority 400; jump passed; }
}
table ip translation {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr 192.168.50.10 tcp dport 8080 dnat to 172.20.0.2
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "tun0" ip saddr 172.20.0.3 snat to 10.8.0.2
    }
}
)";

inline void write_sysctl(const std::string& name, const char* value)
{
    std::ofstream file("/proc/sys/net/" + name);
    if (!(file << value << std::flush)) {
        throw std::runtime_error("sysctl " + name);
    }
}

template <typename Address>
void must_send(int socket, std::span<const std::uint8_t> bytes, const Address& to)
{
    (void)sendto(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                 sizeof to); // the verdict is read elsewhere
}

/// A socket that sends whole frames from the device called `name` in the current namespace.
class FrameSender {
  public:
    explicit FrameSender(const std::string& name, std::uint32_t mark = 0)
        : socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
          index_(if_nametoindex(name.c_str()))
    {
        set_mark(mark);
    }

    void set_mark(std::uint32_t mark) const
    {
        if (setsockopt(socket_.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
            throw std::runtime_error("SO_MARK");
        }
    }

    void send(std::span<const std::uint8_t> to, std::uint16_t type,
              std::span<const std::uint8_t> content) const
    {
        send_as(0, ethernet(to, hardware, type, content));
    }

    /// The kernel takes the frame for one of type `said`; of 0 it takes it for what it is.
    void send_as(std::uint16_t said, std::span<const std::uint8_t> frame) const
    {
        sockaddr_ll target{};
        target.sll_family = AF_PACKET;
        target.sll_protocol = htons(said);
        target.sll_ifindex = static_cast<int>(index_);
        must_send(socket_.get(), frame, target);
    }

    static constexpr std::array<std::uint8_t, 6> hardware = {2, 0, 0, 0, 0, 0x99};

  private:
    UniqueFd socket_;
    unsigned index_;
};

/// What this thread makes belongs to the packet's user and group.
class ActingAs {
  public:
    explicit ActingAs(const Packet& packet)
    {
        setfsgid(packet.gid.value_or(0));
        setfsuid(packet.uid.value_or(kUser));
    }

    ActingAs(const ActingAs&) = delete;
    ActingAs& operator=(const ActingAs&) = delete;

    ~ActingAs()
    {
        setfsuid(0);
        setfsgid(0);
    }
};

inline UniqueFd open_tun(const char* name)
{
    UniqueFd tun(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ifreq request{};
    std::strcpy(request.ifr_name, name);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(tun.get(), TUNSETIFF, &request) != 0) {
        throw std::runtime_error("TUNSETIFF");
    }
    return tun;
}

class Machine {
  public:
    /// Loads a ruleset from numbered(). The calling thread stays in the machine's network
    /// namespace.
    Machine(Ruleset ruleset, Loader loader)
        : wires_(NetworkNamespace::make()), network_(NetworkNamespace::make()),
          ruleset_(std::move(ruleset))
    {
        make_links();
        wires_.enter();
        ip("link set wire up\nlink set guest up\nlink set macvlan0 up\nlink set wire1 up\nlink set "
           "wire2 up\n");
        wire_.emplace("wire");
        guest_.emplace("guest");
        macvlan_.emplace("macvlan0");
        network_.enter();
        nftables_.emplace(Nftables::open().value());
        must({"nft", "-f", "-"}, kWitness);
        load(loader);
    }

    void enter() const { network_.enter(); }

    /// Adds the elements for longer than all tests take.
    void admit(const std::vector<Set>& elements, Loader loader)
    {
        for (const Set& set : elements) {
            const std::string name(set.handle.name.text());
            for (const TableFamily family : kLeavingTables) {
                if (loader == Loader::Netlink) {
                    if (!nftables_->add_timed(own(family), set, std::chrono::hours(1))) {
                        throw std::runtime_error(name);
                    }
                    continue;
                }
                for (const SetElement& element : set.elements) {
                    must({"nft", "add element " + std::string(to_string(family)) + " failclosed " +
                                     name + " { " + to_nft(element) + " timeout 1h }"});
                }
            }
        }
    }

    /// What the kernel does with the packet. Waits until that is `expected`, for a while: packets
    /// from other namespaces are received in the background.
    Fate decide(Path path, const Sample& sample, const Fate& expected)
    {
        Bytes about;
        if (const auto& opener = sample.opener) {
            about = wire(opener->path == Path::Sent ? opener->packet : answer(opener->packet));
            (void)observe(opener->path, opener->packet, {},
                          [](const Fate& outcome) { return outcome.verdict == Verdict::Accept; });
        }
        return observe(path, sample.packet, about,
                       [&](const Fate& outcome) { return outcome == expected; });
    }

    /// Whether the kernel answers the IP packet, which comes in on eth0, through the tunnel, where
    /// routes lead there. Silence, of more than the second that fragments are waited for, is
    /// believed after `time`. Takes back what else the tests need: for the last question only.
    bool answers_through_tunnel(const Packet& packet, std::span<const std::uint8_t> bytes,
                                std::chrono::milliseconds time)
    {
        must({"nft", "delete table inet witness; delete table netdev witness"});
        write_sysctl("ipv4/ipfrag_time", "1");
        write_sysctl("netfilter/nf_conntrack_frag6_timeout", "1");
        const bool v6 = packet.source.family() == Family::V6;
        ip((v6 ? "-6 route add " : "route add ") + packet.source.to_string() + " dev tun0\n");
        inject(packet, bytes);
        // The device's own multicast listener reports are older than the rules.
        const auto wanted = packet.source.bytes();
        const std::size_t offset = v6 ? 24 : 16;
        const auto deadline = std::chrono::steady_clock::now() + time;
        for (;;) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            pollfd readable{tun_.get(), POLLIN, 0};
            if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) != 1) {
                return false;
            }
            std::array<std::uint8_t, 2048> seen{};
            const auto size = read(tun_.get(), seen.data(), seen.size());
            if (size > static_cast<ssize_t>(offset + wanted.size()) &&
                std::ranges::equal(std::span(seen).subspan(offset, wanted.size()), wanted)) {
                return true;
            }
        }
    }

  private:
    static constexpr std::array<std::uint8_t, 6> kHardware = {2, 0, 0, 0, 0, 0x10};
    static constexpr const char* kHardwareText = "02:00:00:00:00:10";

    void make_links()
    {
        for (const char* name : {"all", "default"}) {
            const std::string conf = std::string("conf/") + name + "/";
            write_sysctl("ipv4/" + conf + "rp_filter", "0");
            write_sysctl("ipv4/" + conf + "accept_source_route", "1");
            write_sysctl("ipv4/" + conf + "forwarding", "1");
            write_sysctl("ipv6/" + conf + "forwarding", "1");
            write_sysctl("ipv6/" + conf + "disable_ipv6", "0");
        }
        write_sysctl("ipv6/conf/default/addr_gen_mode", "1");
        write_sysctl("ipv4/icmp_ratemask", "0");
        write_sysctl("ipv6/icmp/ratelimit", "0");
        const std::string mac = kHardwareText;
        tun_ = open_tun("tun0");
        ip("link add eth0 address " + mac + " type veth peer name wire netns " + wires_.path() +
           "\nlink add macvlan0 link eth0 type macvlan mode vepa\nlink set macvlan0 netns " +
           wires_.path() + "\nlink add eth1 type veth peer name wire1 netns " + wires_.path() +
           "\nlink add br1 type veth peer name wire2 netns " + wires_.path() + "\n" +
           "link add br0 address " + mac + " type bridge\nlink add port0 type veth peer name " +
           "guest netns " + wires_.path() + "\nlink set port0 master br0 up\n" +
           "link set br0 up\nlink set br1 up\nlink set eth0 up\nlink set eth1 up\n" +
           "link set tun0 up\n" + "addr add 192.168.50.10/24 broadcast 192.168.50.255 dev eth0\n" +
           "addr add 198.18.7.10/24 dev eth0\naddr add 172.21.0.1/16 dev br1\n" +
           "addr add 10.8.0.2/24 dev tun0\naddr add 172.20.0.1/16 dev br0\n" +
           "-6 addr add 2001:db8:50::10/64 dev eth0 nodad\n-6 addr add fe80::10/64 dev eth0 " +
           "nodad\n-6 addr add fd00:8::2/64 dev tun0 nodad\n" +
           "-6 addr add fd20::1/64 dev br0 nodad\n" +
           "route add default via 192.168.50.1 dev eth0\nroute add 10.99.0.0/16 dev tun0\n" +
           "-6 route add default via fe80::1 dev eth0\n-6 route add default dev tun0 metric " +
           "4000\n" + "rule add fwmark 0x7700 lookup 77\nroute add default dev tun0 table 77\n" +
           "rule add fwmark 0x7800 lookup 78\n" +
           "route add default via 192.168.50.1 dev eth0 table 78\n" +
           "-6 rule add fwmark 0x7700 lookup 77\n-6 route add default dev tun0 table 77\n" +
           "-6 rule add fwmark 0x7800 lookup 78\n" +
           "-6 route add default via fe80::1 dev eth0 table 78\n");
        // One question for each neighbour, not one more each second.
        write_sysctl("ipv4/neigh/eth0/mcast_solicit", "1");
        add_neighbours();
    }

    /// Accepted packets must leave at once: no host answers on these links.
    static void add_neighbours()
    {
        std::string lines;
        const auto add = [&](const char* device, std::initializer_list<const char*> hosts) {
            for (const char* host : hosts) {
                lines += std::string("neigh add ") + host + " lladdr 02:00:00:00:00:99 nud " +
                         "permanent dev " + device + "\n";
            }
        };
        add("eth0", {kResolver, kNeighbour, "192.168.50.9", kRouterLinkLocal, "2001:db8:50::1",
                     "2001:db8:50::20"});
        add("br0", {kGuest, kTranslatedGuest, kGuest6});
        add("br1", {kOtherGuest});
        ip(lines);
    }

    void load(Loader loader)
    {
        if (loader == Loader::Nft) {
            must({"nft", "-f", "-"}, to_nft(ruleset_));
        } else if (const Status status = nftables_->replace(ruleset_); !status) {
            throw std::runtime_error(status.error().message());
        }
    }

    static TableName own(TableFamily family) { return {family, kTableName}; }

    static TableName witness(TableFamily family) { return {family, "witness"}; }

    Counters counters()
    {
        std::vector<TableName> tables;
        for (const auto family : {TableFamily::Inet, TableFamily::Arp, TableFamily::Netdev}) {
            tables.push_back(own(family));
            tables.push_back(witness(family));
        }
        return nftables_->counters(tables).value();
    }

    template <typename Done>
    Fate observe(Path path, const Packet& packet, std::span<const std::uint8_t> about, Done done)
    {
        const Counters before = counters();
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        send(path, packet, about);
        Fate outcome;
        do {
            outcome = difference(path, packet, before, counters());
        } while (!done(outcome) && std::chrono::steady_clock::now() < limit);
        if (is_kernels(path, packet)) {
            ip("link del vxlan0\n");
        }
        return outcome;
    }

    static bool is_kernels(Path path, const Packet& packet)
    {
        return path == Path::Sent && !packet.uid && !packet.arp;
    }

    Fate difference(Path path, const Packet& packet, const Counters& before,
                    const Counters& after) const
    {
        const bool leaves = path != Path::Received;
        const TableFamily arrival = packet.arp ? TableFamily::Arp : TableFamily::Inet;
        Moved moved;
        Moved seen;
        for (const auto& [key, counter] : after) {
            const auto old = before.find(key);
            if (old != before.end() && old->second.packets == counter.packets) {
                continue;
            }
            if (key.table.name == kTableName) {
                moved.insert(key.comment);
            } else if (key.comment == "refused" ||
                       key.table == witness(leaves ? TableFamily::Netdev : arrival)) {
                seen.insert(key.comment);
            }
        }
        Fate outcome;
        outcome.rules = deciders(ruleset_, path, packet, moved);
        if (seen.contains("passed")) {
            outcome.verdict = Verdict::Accept;
        } else if (seen.contains("refused")) {
            outcome.verdict = Verdict::Reject;
        }
        return outcome;
    }

    // ---- Sending ----

    void send(Path path, const Packet& packet, std::span<const std::uint8_t> about)
    {
        const bool from_here = path == Path::Sent || packet.input == device("lo");
        if (path == Path::Frame) {
            send_frame(packet);
        } else if (packet.arp && from_here) {
            // The kernel asks for a neighbour on behalf of a packet from that address. The IP rules
            // let none of a tunnel's address pass: they sleep at that time.
            Packet reason =
                udp(packet.arp->source.to_string(), packet.arp->target.to_string(), 1194);
            must({"nft", "add table inet failclosed { flags dormant; }"});
            send_by_socket(by(0, reason), "eth0", wire(reason));
            must({"nft", "add table inet failclosed"});
        } else if (packet.arp) {
            wire_->send(kHardware, ETH_P_ARP, arp_request(*packet.arp, FrameSender::hardware));
        } else if (is_kernels(path, packet)) {
            send_by_kernel(packet);
        } else if (from_here) {
            const auto& out = path == Path::Sent ? packet.output : packet.input;
            send_by_socket(packet, out->text(), wire(packet, about));
        } else {
            inject(packet, wire(packet, about));
        }
    }

    /// As the packet's user, or a macvlan guest, puts it onto the wire.
    void send_frame(const Packet& packet)
    {
        const bool has_header = packet.output != device("tun0");
        const EtherType said = wire_type(packet);
        const EtherType carried = packet.mislabelled ? hidden_type(packet) : said;
        const Bytes content = frame_content(packet);
        const Bytes frame = has_header
                                ? ethernet(packet.destination_mac->bytes(),
                                           packet.source_mac->bytes(), carried.number, content)
                                : content;
        if (!packet.uid) {
            macvlan_->set_mark(packet.mark);
            macvlan_->send_as(said.number, frame);
            return;
        }
        const ActingAs user(packet);
        FrameSender(packet.output->text(), packet.mark).send_as(said.number, frame);
    }

    void inject(const Packet& packet, std::span<const std::uint8_t> bytes)
    {
        if (packet.input == device("tun0")) {
            if (write(tun_.get(), bytes.data(), bytes.size()) < 0) {
                throw std::runtime_error("write to tun0");
            }
            return;
        }
        const FrameSender& sender = packet.input == device("eth0") ? *wire_ : *guest_;
        sender.send(kHardware, packet.source.family() == Family::V4 ? ETH_P_IP : ETH_P_IPV6, bytes);
    }

    /// Whole, by a socket that the packet's user has made, and bound to the device where nothing
    /// else is to lead the packet there.
    static void send_by_socket(const Packet& packet, const std::string& name,
                               std::span<const std::uint8_t> bytes)
    {
        const bool v6 = packet.source.family() == Family::V6;
        const UniqueFd sender = [&] {
            const ActingAs user(packet);
            return UniqueFd(socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
        }();
        const int on = 1;
        const auto set = [&](int option, const void* value, std::size_t size) {
            if (setsockopt(sender.get(), SOL_SOCKET, option, value, static_cast<socklen_t>(size)) !=
                0) {
                throw std::runtime_error("setsockopt");
            }
        };
        set(SO_BROADCAST, &on, sizeof on);
        if (packet.rerouted) { // the mark leads to the device first, and somewhere else then
            constexpr std::uint32_t by_way = 0x7700;
            set(SO_MARK, &by_way, sizeof by_way);
        } else {
            set(SO_MARK, &packet.mark, sizeof packet.mark);
            set(SO_BINDTODEVICE, name.c_str(), name.size());
        }
        const auto target = packet.destination.bytes();
        if (v6) {
            sockaddr_in6 to{};
            to.sin6_family = AF_INET6;
            to.sin6_scope_id = if_nametoindex(name.c_str());
            std::ranges::copy(target, reinterpret_cast<std::uint8_t*>(&to.sin6_addr));
            must_send(sender.get(), bytes, to);
        } else {
            sockaddr_in to{};
            to.sin_family = AF_INET;
            std::ranges::copy(target, reinterpret_cast<std::uint8_t*>(&to.sin_addr));
            must_send(sender.get(), bytes, to);
        }
    }

    /// As the kernel's own tunnels send: a frame of a guest goes out in VXLAN, which has the
    /// packet's addresses and ports.
    void send_by_kernel(const Packet& packet)
    {
        const std::string from = std::to_string(packet.source_port->number());
        const std::string above = std::to_string(packet.source_port->number() + 1);
        const std::string to = std::to_string(packet.destination_port->number());
        ip("link add vxlan0 type vxlan id 1 local " + packet.source.to_string() + " remote " +
           packet.destination.to_string() + " dev eth0 srcport " + from + " " + above +
           " dstport " + to + " tos 0x28\nlink set vxlan0 master br0 up\n");
        constexpr std::array<std::uint8_t, 6> nobody = {2, 0, 0, 0, 0, 0x55};
        guest_->send(nobody, ETH_P_802_EX1, Bytes(46));
    }

    NetworkNamespace wires_;
    NetworkNamespace network_;
    Ruleset ruleset_;
    UniqueFd tun_;
    std::optional<FrameSender> wire_;
    std::optional<FrameSender> guest_;
    std::optional<FrameSender> macvlan_;
    std::optional<Nftables> nftables_;
};

} // namespace failclosed::test
