// SPDX-License-Identifier: GPL-3.0-or-later
// Programs in the client that send without pause by every way there is, each packet with a tag.
#include "tests/support/traffic/traffic.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <new>
#include <set>

#include <arpa/inet.h>
#include <linux/futex.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/lab/socket_address.hpp"
#include "tests/support/refused_services.hpp"
#include "tests/support/traffic/tag.hpp"

namespace failclosed::lab {

namespace {

constexpr char device[] = "eth0";
constexpr std::uint16_t some_port = 9000;
constexpr std::uint16_t echo_port = 7;
constexpr std::uint16_t quic_port = 443;

struct Targets {
    const char* suffix;
    const char* site;
    const char* isp_resolver;
    const char* public_resolver;
    const char* server;
    const char* neighbour;
};

constexpr Targets targets4 = {"4",           addr::site4,     addr::gateway4, addr::resolver4,
                              addr::server4, addr::neighbour4};
constexpr Targets targets6 = {"6",           addr::site6,       addr::gateway6, addr::resolver6,
                              addr::server6, addr::gateway_link};

void add_connected(std::vector<Kind>& kinds, const Targets& to, uid_t uid)
{
    const std::string end = std::string("-connected@") + (uid == 0 ? "root" : "user");
    kinds.push_back(
        {"udp" + (to.suffix + end), Way::UdpConnected, Via::Route, to.site, echo_port, uid});
    kinds.push_back(
        {"tcp" + (to.suffix + end), Way::TcpConnected, Via::Route, to.site, echo_port, uid});
}

void add_plain(std::vector<Kind>& kinds, const Targets& to, uid_t uid)
{
    const std::string user = uid == 0 ? "@root" : "@user";
    const auto add = [&](const std::string& what, const std::string& variant, Way way, Via via,
                         const char* address, std::uint16_t port) {
        kinds.push_back({what + to.suffix + variant + user, way, via, address, port, uid});
    };
    add("udp", "", Way::Udp, Via::Route, to.site, some_port);
    add("udp", "-large", Way::LargeUdp, Via::Route, to.site, some_port);
    add("quic", "", Way::Udp, Via::Route, to.site, quic_port);
    add("tcp", "", Way::TcpSyn, Via::Route, to.site, 443);
    add("ping", "", Way::Ping, Via::Route, to.site, 0);
    add("dns", "-isp", Way::Dns, Via::Route, to.isp_resolver, oracle::dns);
    add("dns", "-isp-large", Way::LargeUdp, Via::Route, to.isp_resolver, oracle::dns);
    add("dns", "-isp-tcp", Way::TcpSyn, Via::Route, to.isp_resolver, oracle::dns);
    add("dot", "-isp", Way::TcpSyn, Via::Route, to.isp_resolver, oracle::encrypted_dns);
    add("doq", "-isp", Way::Udp, Via::Route, to.isp_resolver, oracle::encrypted_dns);
    add("dns", "-public", Way::Dns, Via::Route, to.public_resolver, oracle::dns);
    add("dns", "-device", Way::Dns, Via::Device, to.public_resolver, oracle::dns);
    add("udp", "-lan", Way::Udp, Via::Route, to.neighbour, some_port);

    add("udp", "-device", Way::Udp, Via::Device, to.site, some_port);
    add("tcp", "-device", Way::TcpSyn, Via::Device, to.site, 443);
    add("ping", "-device", Way::Ping, Via::Device, to.site, 0);
    add("udp", "-source", Way::Udp, Via::Source, to.site, some_port);
    add("tcp", "-source", Way::TcpSyn, Via::Source, to.site, 443);
    add("udp", "-pktinfo", Way::Udp, Via::PacketInfo, to.site, some_port);
    add("udp", "-unicastif", Way::Udp, Via::UnicastInterface, to.site, some_port);
    add("dns", "-unicastif", Way::Dns, Via::UnicastInterface, to.public_resolver, oracle::dns);

    add("server-udp", "", Way::Udp, Via::Route, to.server, some_port);
    add("server-tcp", "", Way::TcpSyn, Via::Route, to.server, 443);
    add("server-ping", "", Way::Ping, Via::Route, to.server, 0);
    if (uid != 0) {
        add("server-port-udp", "", Way::Udp, Via::Route, to.server, 1194);
        add("server-port-tcp", "", Way::TcpSyn, Via::Route, to.server, 1194);
        add("server-port-udp", "-device", Way::Udp, Via::Device, to.server, 1194);
        add("server-port-udp", "-source", Way::Udp, Via::Source, to.server, 1194);
    } else {
        add("ping", "-raw", Way::RawPing, Via::Route, to.site, 0);
        add("ping", "-raw-device", Way::RawPing, Via::Device, to.site, 0);
        add("udp", "-raw", Way::RawHeader, Via::Route, to.site, some_port);
        add("udp", "-raw-device", Way::RawHeader, Via::Device, to.site, some_port);
        add("server-udp", "-raw", Way::RawHeader, Via::Route, to.server, some_port);
        add("fragment", "-raw", Way::RawFragment, Via::Route, to.site, 0);
    }
}

std::uint16_t checksum(const std::string& bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, bytes.data() + i, sizeof(word));
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~(sum + (sum >> 16)));
}

template <typename Header> std::string bytes_of(const Header& header)
{
    return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

// One kind of traffic: its socket and its packet.
class Sender {
  public:
    Sender(const Kind& kind, int tag)
        : kind_(kind), tag_(tag), v6_(kind.to.find(':') != std::string::npos)
    {
        if (keeps_socket()) {
            open();
        }
    }

    // 0, or why the kernel refused.
    int send()
    {
        if (kind_.way == Way::TcpSyn || (fd_ < 0 && !keeps_socket())) {
            open();
        }
        if (fd_ < 0) {
            return error_;
        }
        if (kind_.way == Way::TcpSyn) {
            return connect_now() || errno == EINPROGRESS ? 0 : errno;
        }
        iovec part{packet_.data(), packet_.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (!keeps_socket()) {
            message.msg_name = &to_;
            message.msg_namelen = to_size();
        }
        if (kind_.via == Via::PacketInfo) {
            message.msg_control = control_.data();
            message.msg_controllen = control_.size();
        }
        if (sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            return 0;
        }
        const int error = errno;
        if (error == ENODEV || error == ENXIO) {
            close_socket(); // the device came anew under another index
        }
        return error;
    }

  private:
    bool keeps_socket() const
    {
        return kind_.way == Way::UdpConnected || kind_.way == Way::TcpConnected;
    }

    bool is_tcp() const { return kind_.way == Way::TcpSyn || kind_.way == Way::TcpConnected; }

    bool is_raw() const
    {
        return kind_.way == Way::RawPing || kind_.way == Way::RawHeader ||
               kind_.way == Way::RawFragment;
    }

    socklen_t to_size() const { return v6_ ? sizeof(to_.v6) : sizeof(to_.v4); }

    std::string own_address() const { return v6_ ? addr::client6 : addr::client4; }

    void close_socket()
    {
        if (fd_ >= 0) {
            close(fd_);
        }
        fd_ = -1;
    }

    int protocol() const
    {
        switch (kind_.way) {
        case Way::Ping:
        case Way::RawPing:
            return v6_ ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP);
        case Way::RawHeader:
        case Way::RawFragment:
            return IPPROTO_RAW;
        default:
            return 0;
        }
    }

    template <typename Value> bool set(int level, int option, const Value& value)
    {
        return setsockopt(fd_, level, option, &value, sizeof(value)) == 0;
    }

    bool bind_to(const std::string& address, std::uint16_t port)
    {
        const SocketAddress own = socket_address(address, port, device);
        return bind(fd_, &own.any, to_size()) == 0;
    }

    bool connect_now() { return connect(fd_, &to_.any, to_size()) == 0; }

    void open()
    {
        close_socket();
        const int type = is_tcp() ? SOCK_STREAM : is_raw() ? SOCK_RAW : SOCK_DGRAM;
        to_ = socket_address(kind_.to, is_raw() ? 0 : kind_.port, device);
        fd_ = socket(v6_ ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol());
        if (fd_ < 0 || !prepare()) {
            error_ = errno;
            close_socket();
            return;
        }
        packet_ = make_packet();
    }

    bool prepare()
    {
        const int small = 4096; // replies are not read
        set(SOL_SOCKET, SO_RCVBUF, small);
        set(SOL_SOCKET, SO_BROADCAST, 1);
        set(SOL_SOCKET, SO_REUSEADDR, 1);
        const unsigned index = if_nametoindex(device);
        if (index == 0) {
            return false; // no link yet: tried again each time
        }
        const bool free_address = kind_.via != Via::Source;
        if (is_tcp()) {
            // A reset at the end: no TIME_WAIT that would hold the port, which is the tag.
            set(SOL_SOCKET, SO_LINGER, linger{1, 0});
            const auto port = static_cast<std::uint16_t>(first_tag_port + tag_);
            const std::string any = v6_ ? "::" : "0.0.0.0";
            if (!bind_to(free_address ? any : own_address(), port)) {
                return false;
            }
        } else if (!free_address && !bind_to(own_address(), 0)) {
            return false;
        } else if (kind_.from_port != 0 && !bind_to(v6_ ? "::" : "0.0.0.0", kind_.from_port)) {
            return false;
        }
        if (kind_.via == Via::Device && !set(SOL_SOCKET, SO_BINDTODEVICE, device)) {
            return false;
        }
        if (kind_.via == Via::UnicastInterface &&
            !set(v6_ ? IPPROTO_IPV6 : IPPROTO_IP, v6_ ? IPV6_UNICAST_IF : IP_UNICAST_IF,
                 htonl(index))) {
            return false;
        }
        if (kind_.via == Via::PacketInfo) {
            make_control(index);
        }
        return !keeps_socket() || connect_and_wait();
    }

    // Has the connection before the first round, so that it is older than what the test does next.
    bool connect_and_wait()
    {
#ifdef TCP_RTO_MAX_MS
        set(IPPROTO_TCP, TCP_RTO_MAX_MS, 1000); // goes on trying each second
#else
        set(IPPROTO_TCP, 44, 1000); // TCP_RTO_MAX_MS of linux/tcp.h, since Linux 6.15
#endif
        if (connect_now()) {
            return true;
        }
        pollfd wait{fd_, POLLOUT, 0};
        if (errno != EINPROGRESS || poll(&wait, 1, 2000) != 1) {
            return false;
        }
        socklen_t size = sizeof(errno);
        return getsockopt(fd_, SOL_SOCKET, SO_ERROR, &errno, &size) == 0 && errno == 0;
    }

    void make_control(unsigned index)
    {
        const SocketAddress own = socket_address(own_address(), 0, device);
        const std::size_t size = v6_ ? sizeof(in6_pktinfo) : sizeof(in_pktinfo);
        control_.assign(CMSG_SPACE(size), '\0');
        msghdr message{};
        message.msg_control = control_.data();
        message.msg_controllen = control_.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_len = CMSG_LEN(size);
        header->cmsg_level = v6_ ? IPPROTO_IPV6 : IPPROTO_IP;
        header->cmsg_type = v6_ ? IPV6_PKTINFO : IP_PKTINFO;
        if (v6_) {
            const in6_pktinfo info{own.v6.sin6_addr, index};
            std::memcpy(CMSG_DATA(header), &info, sizeof(info));
        } else {
            const in_pktinfo info{static_cast<int>(index), own.v4.sin_addr, {}};
            std::memcpy(CMSG_DATA(header), &info, sizeof(info));
        }
    }

    std::string make_packet() const
    {
        const std::string tag = tag_text(tag_);
        switch (kind_.way) {
        case Way::Dns:
            return query(tag);
        case Way::Ping:
        case Way::RawPing:
            return echo_request(tag);
        case Way::LargeUdp:
            return repeated(tag, 4000);
        case Way::RawHeader:
            return with_ip_header(IPPROTO_UDP, udp_header(tag) + tag);
        case Way::RawFragment:
            return with_ip_header(IPPROTO_UDP, tag);
        default:
            return repeated(tag, kind_.port == quic_port ? 1200 : 48);
        }
    }

    static std::string repeated(const std::string& text, std::size_t size)
    {
        std::string result;
        while (result.size() < size) {
            result += text;
        }
        return result;
    }

    // RFC 1035: one question, recursion desired, A.
    static std::string query(const std::string& tag)
    {
        const std::string head("\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12);
        const std::string label = tag + "x";
        return head + static_cast<char>(label.size()) + label +
               std::string("\7example\0\0\1\0\1", 13);
    }

    std::string echo_request(const std::string& tag) const
    {
        icmphdr header{};
        header.type = v6_ ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
        header.un.echo.id = htons(static_cast<std::uint16_t>(tag_));
        header.checksum =
            checksum(bytes_of(header) + tag); // ping and ICMPv6 sockets make their own
        return bytes_of(header) + tag;
    }

    std::string udp_header(const std::string& payload) const
    {
        udphdr header{};
        header.source = htons(some_port);
        header.dest = htons(kind_.port);
        header.len = htons(static_cast<std::uint16_t>(sizeof(header) + payload.size()));
        return bytes_of(header);
    }

    std::string with_ip_header(std::uint8_t protocol, const std::string& payload) const
    {
        const bool fragment = kind_.way == Way::RawFragment;
        const SocketAddress own = socket_address(own_address(), 0, device);
        constexpr std::uint16_t offset = 1480;
        if (!v6_) {
            iphdr header{};
            header.version = 4;
            header.ihl = 5;
            header.ttl = 64;
            header.protocol = protocol;
            header.frag_off = fragment ? htons(offset / 8) : 0;
            header.saddr = own.v4.sin_addr.s_addr;
            header.daddr = to_.v4.sin_addr.s_addr;
            return bytes_of(header) + payload; // length, id and checksum are the kernel's
        }
        ip6_hdr header{};
        ip6_frag part{};
        part.ip6f_nxt = protocol;
        part.ip6f_offlg = htons(offset);
        part.ip6f_ident = htonl(static_cast<std::uint32_t>(tag_));
        const std::string body = (fragment ? bytes_of(part) : std::string()) + payload;
        header.ip6_flow = htonl(6U << 28);
        header.ip6_plen = htons(static_cast<std::uint16_t>(body.size()));
        header.ip6_nxt = fragment ? static_cast<std::uint8_t>(IPPROTO_FRAGMENT) : protocol;
        header.ip6_hlim = 64;
        header.ip6_src = own.v6.sin6_addr;
        header.ip6_dst = to_.v6.sin6_addr;
        return bytes_of(header) + body;
    }

    const Kind& kind_;
    int tag_;
    bool v6_;
    int fd_ = -1;
    int error_ = ENOTCONN;
    SocketAddress to_{};
    std::string packet_;
    std::string control_;
};

int futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
          const timespec* timeout)
{
    return static_cast<int>(syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0));
}

} // namespace

std::vector<Kind> all_kinds()
{
    std::vector<Kind> kinds = connected_kinds();
    for (const uid_t uid : {uid_t{0}, traffic_uid}) {
        for (const Targets* to : {&targets4, &targets6}) {
            add_plain(kinds, *to, uid);
        }
    }
    return kinds;
}

std::vector<Kind> connected_kinds()
{
    std::vector<Kind> kinds;
    for (const uid_t uid : {uid_t{0}, traffic_uid}) {
        for (const Targets* to : {&targets4, &targets6}) {
            add_connected(kinds, *to, uid);
        }
    }
    return kinds;
}

std::vector<Kind> local_kinds()
{
    std::vector<Kind> kinds;
    for (const uid_t uid : {uid_t{0}, traffic_uid}) {
        const std::string user = uid == 0 ? "@root" : "@user";
        const auto add = [&](const std::string& name, const char* to, std::uint16_t port) {
            kinds.push_back({name + user, Way::Udp, Via::Device, to, port, uid});
        };
        add("mdns4", "224.0.0.251", oracle::mdns);
        add("mdns6", "ff02::fb", oracle::mdns);
        add("llmnr4", "224.0.0.252", oracle::llmnr);
        add("llmnr6", "ff02::1:3", oracle::llmnr);
        add("netbios4", "192.168.50.255", oracle::netbios);
        add("ssdp4", "239.255.255.250", 1900);
        add("ssdp6", "ff02::c", 1900);
        add("group4", "233.1.2.3", some_port);
        add("group6", "ff0e::1234", some_port);
        add("broadcast4", "255.255.255.255", some_port);
        add("broadcast4-link", "192.168.50.255", some_port);
    }
    return kinds;
}

bool tells_names(const Kind& kind)
{
    const auto* refused = oracle::find_refused(IPPROTO_UDP, kind.port);
    return refused != nullptr && refused->admitted_by_lan_names;
}

std::vector<Kind> hole_kinds()
{
    constexpr std::uint16_t dhcp_server = 67;
    constexpr std::uint16_t dhcp_client = 68;
    constexpr std::uint16_t dhcpv6_server = 547;
    constexpr std::uint16_t dhcpv6_client = 546;
    std::vector<Kind> kinds;
    for (const Via via : {Via::Route, Via::Device}) {
        const std::string end = via == Via::Device ? "-device@root" : "@root";
        for (const char* to : {addr::site4, addr::server4}) {
            const std::string name = std::string("dhcp-hole-") + to + end;
            kinds.push_back({name, Way::Udp, via, to, dhcp_server, 0, dhcp_client});
        }
        for (const char* to : {addr::site6, addr::server6}) {
            const std::string name = std::string("dhcp-hole-") + to + end;
            kinds.push_back({name, Way::Udp, via, to, dhcpv6_server, 0, dhcpv6_client});
        }
    }
    kinds.push_back(
        {"dhcp-hole@user", Way::Udp, Via::Device, addr::site4, dhcp_server, traffic_uid});
    kinds.push_back({"dhcp-broadcast@user", Way::Udp, Via::Device, "255.255.255.255", dhcp_server,
                     traffic_uid});
    return kinds;
}

std::vector<Kind> guest_kinds()
{
    std::vector<Kind> kinds = all_kinds();
    std::erase_if(kinds, [](const Kind& kind) {
        const bool own = kind.via != Via::Route && kind.via != Via::Device;
        const bool raw = kind.way == Way::RawHeader || kind.way == Way::RawFragment;
        const bool connected = kind.way == Way::UdpConnected || kind.way == Way::TcpConnected;
        return own || raw || connected || kind.uid == 0;
    });
    for (auto& kind : kinds) {
        kind.uid = 0;
        kind.name.replace(kind.name.find('@'), std::string::npos, "@guest");
    }
    return kinds;
}

// Lies in memory that the senders share with the test.
struct Traffic::Shared {
    struct Line {
        std::atomic<std::uint64_t> tries;
        std::atomic<std::uint64_t> failures;
        std::atomic<int> last_errno;
    };

    static constexpr std::size_t most_senders = 4;

    std::array<std::atomic<std::uint32_t>, most_senders> rounds; // woken by futex
    std::array<Line, tag_limit> lines;

    // The whole life of a sender process: it ends by a signal.
    [[noreturn]] void run(const std::vector<Kind>& kinds, const std::vector<int>& tags, uid_t uid,
                          std::size_t sender, std::chrono::microseconds interval)
    {
        std::vector<std::pair<std::size_t, Sender>> senders;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            if (kinds[i].uid == uid) {
                senders.emplace_back(i, Sender(kinds[i], tags[i]));
            }
        }
        timespec next{};
        clock_gettime(CLOCK_MONOTONIC, &next);
        while (true) {
            for (auto& [i, one] : senders) {
                const int error = one.send();
                if (error != 0) {
                    ++lines[i].failures;
                    lines[i].last_errno = error;
                }
                ++lines[i].tries;
            }
            ++rounds[sender];
            futex(rounds[sender], FUTEX_WAKE, INT_MAX, nullptr);
            pause_until(next, interval);
        }
    }

    static void pause_until(timespec& next, std::chrono::microseconds interval)
    {
        constexpr long second = 1'000'000'000;
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        next.tv_nsec += interval.count() * 1000;
        next.tv_sec += next.tv_nsec / second;
        next.tv_nsec %= second;
        if (next.tv_sec < now.tv_sec || (next.tv_sec == now.tv_sec && next.tv_nsec < now.tv_nsec)) {
            next = now; // too slow for that interval: no burst to catch up
            return;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    }
};

Traffic::Traffic(const Lab& lab, Options options) : kinds_(std::move(options.kinds))
{
    void* memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw LabError(std::string("traffic: ") + std::strerror(errno));
    }
    shared_ = new (memory) Shared{};
    std::set<uid_t> users;
    for (const auto& kind : kinds_) {
        tags_.push_back(take_tag(kind.name));
        users.insert(kind.uid);
    }
    if (users.size() > Shared::most_senders) {
        throw LabError("traffic: too many users");
    }
    for (const uid_t uid : users) {
        const std::size_t sender = senders_.size();
        senders_.push_back(Process::fork(
            options.box != nullptr ? *options.box : lab.client(),
            [&, sender, uid]() -> int {
                shared_->run(kinds_, tags_, uid, sender, options.interval);
            },
            uid));
    }
    if (!wait_all_sent(0)) {
        throw LabError("traffic: the senders do not start");
    }
}

Traffic::~Traffic()
{
    stop();
    for (int tag : tags_) {
        release_tag(tag);
    }
    munmap(shared_, sizeof(Shared));
}

void Traffic::stop()
{
    for (const auto& sender : senders_) {
        sender.kill();
    }
}

bool Traffic::wait_all_sent(std::uint64_t times, std::chrono::milliseconds timeout) const
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::array<std::uint32_t, Shared::most_senders> target{};
    for (std::size_t i = 0; i < senders_.size(); ++i) {
        // One more: the round under way has some of its tries behind it.
        target[i] = shared_->rounds[i] + static_cast<std::uint32_t>(times) + 1;
    }
    for (std::size_t i = 0; i < senders_.size(); ++i) {
        for (std::uint32_t now = shared_->rounds[i]; now < target[i]; now = shared_->rounds[i]) {
            const auto left = deadline - std::chrono::steady_clock::now();
            if (left.count() <= 0 || !senders_[i].running()) {
                return false;
            }
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec wait{seconds.count(), (left - seconds).count()};
            futex(shared_->rounds[i], FUTEX_WAIT, now, &wait);
        }
    }
    return true;
}

std::map<std::string, Traffic::Sent> Traffic::sent() const
{
    std::map<std::string, Sent> result;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
        const auto& line = shared_->lines[i];
        result[kinds_[i].name] = {line.tries, line.failures, line.last_errno};
    }
    return result;
}

} // namespace failclosed::lab
