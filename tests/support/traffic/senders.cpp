// SPDX-License-Identifier: GPL-3.0-or-later
// Single packets by hand, and users who hold single capabilities to send them with.
#include "tests/support/traffic/senders.hpp"

#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/lab/socket_address.hpp"

namespace failclosed::lab {

namespace {

bool set_mark(int fd, std::uint32_t mark)
{
    return mark == 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

} // namespace

int write_frame(std::span<const std::uint8_t> frame, const PacketSocket& how)
{
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    const int bypass = how.bypass ? 1 : 0;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(how.said_type);
    address.sll_ifindex = static_cast<int>(if_nametoindex(how.device.c_str()));
    const bool sent =
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)) == 0 &&
        set_mark(fd, how.mark) &&
        sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&address),
               sizeof(address)) >= 0;
    const int error = sent ? 0 : errno;
    close(fd);
    return error;
}

int send_datagram(const DatagramSocket& how, const std::string& to, std::uint16_t to_port,
                  const std::string& payload)
{
    const SocketAddress own = socket_address(how.from, how.from_port);
    const SocketAddress peer = socket_address(to, to_port);
    const int fd = socket(own.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    const auto size =
        static_cast<socklen_t>(own.any.sa_family == AF_INET6 ? sizeof(own.v6) : sizeof(own.v4));
    const int on = 1;
    const bool sent =
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (how.mark == 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &how.mark, sizeof(how.mark)) == 0) &&
        (how.device.empty() || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, how.device.data(),
                                          static_cast<socklen_t>(how.device.size())) == 0) &&
        bind(fd, &own.any, size) == 0 &&
        sendto(fd, payload.data(), payload.size(), 0, &peer.any, size) >= 0;
    const int error = sent ? 0 : errno;
    close(fd);
    return error;
}

int become(uid_t uid, const std::vector<int>& capabilities)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    for (const int capability : capabilities) {
        const auto number = static_cast<unsigned>(capability);
        sets[number / 32].permitted |= 1U << number % 32;
        sets[number / 32].effective |= 1U << number % 32;
    }
    const bool done = setgroups(0, nullptr) == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
                      setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 &&
                      syscall(SYS_capset, &header, sets.data()) == 0;
    return done ? 0 : errno;
}

int run_as(const Box& box, uid_t uid, const std::vector<int>& capabilities,
           const std::function<int()>& work)
{
    constexpr int could_not = 99;
    const Process child =
        Process::fork(box, [&] { return become(uid, capabilities) == 0 ? work() : could_not; });
    const auto status = child.wait();
    if (!status || *status == could_not) {
        throw LabError(box.name() + ": no child with these capabilities");
    }
    return *status;
}

} // namespace failclosed::lab
