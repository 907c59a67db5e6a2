// SPDX-License-Identifier: GPL-3.0-or-later
// Listens on the ISP's end of the client's wire and counts what leaves the client.
#include "tests/support/traffic/sniffer.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/traffic/tag.hpp"

namespace failclosed::lab {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch = 64;
constexpr std::size_t largest_frame = 70'000; // segmentation offload: one frame of 64 KiB
constexpr std::size_t most_examples = 40;

int listen_on(const std::string& interface)
{
    // Protocol 0: deaf until it is bound, so that no frame of another device comes in.
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    const int on = 1;
    const int buffer = 256 << 20;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (fd < 0 || address.sll_ifindex == 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0 ||
        bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        throw LabError("sniffer on " + interface + ": " + std::strerror(errno));
    }
    return fd;
}

/// A datagram to oneself, there and back. A full queue may lose it: then it is sent again.
bool pass_queue(int fd)
{
    constexpr int most_tries = 20;
    static std::atomic<int> number = 0;
    for (int tries = 0; tries < most_tries; ++tries) {
        const int sent = ++number;
        int received = 0;
        send(fd, &sent, sizeof(sent), 0);
        while (recv(fd, &received, sizeof(received), 0) == sizeof(received)) {
            if (received == sent) {
                return true;
            }
        }
    }
    return false;
}

/// What a processor sends over a wire waits in a queue of its own until it gets to it, which takes
/// long where the host takes the processor away. A datagram on each gets behind it.
void pass_queues_of_processors()
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const timeval limit{0, 500'000};
    sockaddr_in own{};
    socklen_t size = sizeof(own);
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cpu_set_t all;
    bool passed = bind(fd, reinterpret_cast<sockaddr*>(&own), size) == 0 &&
                  getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                  connect(fd, reinterpret_cast<sockaddr*>(&own), size) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
                  sched_getaffinity(0, sizeof(all), &all) == 0;
    for (std::size_t processor = 0; passed && processor < CPU_SETSIZE; ++processor) {
        if (CPU_ISSET(processor, &all)) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(processor, &one);
            passed = sched_setaffinity(0, sizeof(one), &one) == 0 && pass_queue(fd);
        }
    }
    close(fd);
    if (!passed) {
        throw LabError("sniffer: the processors' queues do not let anything pass");
    }
}

} // namespace

std::string Counts::text() const
{
    std::ostringstream text;
    text << frames << " frames from the client: " << allowed << " allowed, " << lan << " lan, "
         << leaked << " leaked, " << lost << " lost by the sniffer\n";
    for (const auto& [kind, count] : leaked_kinds) {
        text << "  leaked " << count << " x " << (kind.empty() ? "(no tag)" : kind) << "\n";
    }
    for (const auto& example : examples) {
        text << "    " << example << "\n";
    }
    return text.str();
}

struct Sniffer::Impl {
    const Box* isp = nullptr;
    int fd = -1;
    int wake = eventfd(0, EFD_CLOEXEC);

    // Held while frames are taken from the socket and counted: who holds it and finds the socket
    // empty knows that everything is counted.
    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    Judge judge;
    Counts counts;
    std::map<int, std::uint64_t> leaked_tags; // names are looked up on request
    std::map<int, std::uint64_t> lan_tags;
    Clock::time_point last_frame = Clock::now();
    std::uint64_t arrived = 0; // in the socket or lost there, as far as the kernel was asked
    std::uint64_t taken = 0;   // of these; neither is ever reset

    std::vector<std::uint8_t> buffer = std::vector<std::uint8_t>(batch * largest_frame);
    std::thread thread;

    explicit Impl(const Policy& policy) : judge(policy) {}

    void count(std::span<const std::uint8_t> frame)
    {
        const Judgement judgement = judge.judge(frame);
        ++counts.frames;
        switch (judgement.verdict) {
        case Verdict::Allowed:
            ++counts.allowed;
            break;
        case Verdict::Lan:
            ++counts.lan;
            ++lan_tags[judgement.tag];
            break;
        case Verdict::Leaked:
            ++counts.leaked;
            ++leaked_tags[judgement.tag];
            if (counts.examples.size() < most_examples) {
                counts.examples.push_back(judgement.reason + " " + tag_name(judgement.tag));
            }
            break;
        }
    }

    // False where the socket is empty.
    bool take()
    {
        std::array<mmsghdr, batch> messages{};
        std::array<iovec, batch> parts{};
        for (std::size_t i = 0; i < batch; ++i) {
            parts[i] = {buffer.data() + i * largest_frame, largest_frame};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        const std::lock_guard lock(mutex);
        const int received = recvmmsg(fd, messages.data(), batch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < received; ++i) {
            const auto at = static_cast<std::size_t>(i);
            count({buffer.data() + at * largest_frame, messages[at].msg_len});
        }
        ask_for_losses();
        if (received > 0) {
            taken += static_cast<std::uint64_t>(received);
            last_frame = Clock::now();
            changed.notify_all();
        }
        return received > 0;
    }

    // The kernel tells of each frame once.
    void ask_for_losses()
    {
        tpacket_stats statistics{};
        socklen_t size = sizeof(statistics);
        if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0) {
            counts.lost += statistics.tp_drops;
            taken += statistics.tp_drops;
            arrived += statistics.tp_packets;
        }
    }

    void listen()
    {
        std::array<pollfd, 2> fds{pollfd{fd, POLLIN, 0}, pollfd{wake, POLLIN, 0}};
        while (fds[1].revents == 0) {
            if (poll(fds.data(), fds.size(), -1) > 0) {
                while (take()) {
                }
            }
        }
    }

    bool empty() const
    {
        pollfd look{fd, POLLIN, 0};
        return poll(&look, 1, 0) == 0;
    }
};

Sniffer::Sniffer(const Lab& lab, Policy policy, const std::string& interface)
    : impl_(std::make_unique<Impl>(policy))
{
    impl_->isp = &lab.isp();
    impl_->fd = lab.isp().in([&] { return listen_on(interface); });
    impl_->thread = std::thread([impl = impl_.get()] { impl->listen(); });
}

Sniffer::~Sniffer()
{
    eventfd_write(impl_->wake, 1);
    impl_->thread.join();
    close(impl_->fd);
    close(impl_->wake);
}

Counts Sniffer::counts() const
{
    const std::lock_guard lock(impl_->mutex);
    Counts result = impl_->counts;
    for (const auto& [tag, count] : impl_->leaked_tags) {
        result.leaked_kinds[tag_name(tag)] += count;
    }
    for (const auto& [tag, count] : impl_->lan_tags) {
        result.lan_kinds[tag_name(tag)] += count;
    }
    return result;
}

std::uint64_t Sniffer::leaked() const
{
    const std::lock_guard lock(impl_->mutex);
    return impl_->counts.leaked + impl_->counts.lost;
}

void Sniffer::reset()
{
    const std::lock_guard lock(impl_->mutex);
    impl_->counts = {};
    impl_->leaked_tags.clear();
    impl_->lan_tags.clear();
}

void Sniffer::set_policy(const Policy& policy)
{
    const std::lock_guard lock(impl_->mutex);
    impl_->judge = Judge(policy);
}

void Sniffer::settle() const
{
    constexpr std::chrono::milliseconds quiet{30};
    impl_->isp->in(pass_queues_of_processors);
    const auto start = Clock::now();
    std::unique_lock lock(impl_->mutex);
    impl_->ask_for_losses();
    const std::uint64_t sent_before = impl_->arrived;
    while (impl_->taken < sent_before || Clock::now() - start < std::chrono::seconds(1)) {
        if (Clock::now() - start > patience) {
            throw LabError("the sniffer does not keep up");
        }
        const auto since = std::max(impl_->last_frame, start);
        if (impl_->empty() && Clock::now() - since >= quiet) {
            return;
        }
        impl_->changed.wait_until(lock, std::max(since, Clock::now()) + quiet);
    }
}

bool Sniffer::wait_until(const std::function<bool(const Counts&)>& met,
                         std::chrono::milliseconds timeout) const
{
    const auto deadline = Clock::now() + timeout;
    for (Counts seen = counts(); !met(seen); seen = counts()) {
        std::unique_lock lock(impl_->mutex);
        if (Clock::now() > deadline) {
            return false;
        }
        impl_->changed.wait_until(lock, deadline,
                                  [&] { return impl_->counts.frames != seen.frames; });
    }
    return true;
}

} // namespace failclosed::lab
