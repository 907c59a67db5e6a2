// SPDX-License-Identifier: GPL-3.0-or-later
// Listens on the ISP's end of the client's wire and counts what leaves the client.
#include "tests/support/sniffer.hpp"

#include <algorithm>
#include <array>
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
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/tag.hpp"

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
    int fd = -1;
    int wake = eventfd(0, EFD_CLOEXEC);

    // Held while frames are taken from the socket and counted: who holds it and finds the socket
    // empty knows that everything is counted.
    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    Judge judge;
    Counts counts;
    std::map<int, std::uint64_t> leaked_tags; // names are looked up when somebody asks
    std::map<int, std::uint64_t> lan_tags;
    Clock::time_point last_frame = Clock::now();

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
        tpacket_stats statistics{};
        socklen_t size = sizeof(statistics);
        if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0) {
            counts.lost += statistics.tp_drops;
        }
        if (received > 0) {
            last_frame = Clock::now();
            changed.notify_all();
        }
        return received > 0;
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
    const auto start = Clock::now();
    std::unique_lock lock(impl_->mutex);
    while (Clock::now() - start < std::chrono::seconds(1)) {
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
    while (!met(counts())) {
        std::unique_lock lock(impl_->mutex);
        if (Clock::now() > deadline) {
            return false;
        }
        const auto seen = impl_->counts.frames;
        impl_->changed.wait_until(lock, deadline, [&] { return impl_->counts.frames != seen; });
    }
    return true;
}

} // namespace failclosed::lab
