// SPDX-License-Identifier: GPL-3.0-or-later
// A program in the client that wants its answers: tells whether the tunnel works, and what it lost.
#include "tests/support/traffic/echo_flow.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

using Clock = std::chrono::steady_clock;

// One kind of socket for both families.
sockaddr_in6 echo_service(const std::string& address)
{
    sockaddr_in6 result{};
    result.sin6_family = AF_INET6;
    result.sin6_port = htons(7);
    const std::string text = address.find(':') == std::string::npos ? "::ffff:" + address : address;
    if (inet_pton(AF_INET6, text.c_str(), &result.sin6_addr) != 1) {
        throw LabError("not an address: " + address);
    }
    return result;
}

} // namespace

struct EchoFlow::Impl {
    int fd = -1;
    sockaddr_in6 to{};
    std::chrono::microseconds interval{};

    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    std::uint64_t refused = 0;
    std::uint64_t answered = 0;
    std::uint64_t sent = 0;
    std::set<std::uint64_t> open; // numbers that wait for an answer
    bool stopping = false;
    bool in_a_hurry = false; // later answers are not needed

    std::thread thread;

    void send_one(std::uint64_t number)
    {
        const std::lock_guard lock(mutex);
        if (sendto(fd, &number, sizeof(number), MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&to), sizeof(to)) < 0) {
            ++refused;
            return;
        }
        ++sent;
        open.insert(number);
    }

    // False where nothing came before `until`.
    bool receive(Clock::time_point until)
    {
        pollfd wait{fd, POLLIN, 0};
        const auto left =
            std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now());
        if (left.count() <= 0) {
            return false;
        }
        const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        if (ppoll(&wait, 1, &timeout, nullptr) <= 0) {
            return false;
        }
        std::uint64_t number = 0;
        if (recv(fd, &number, sizeof(number), MSG_DONTWAIT) == sizeof(number)) {
            const std::lock_guard lock(mutex);
            answered += open.erase(number);
            changed.notify_all();
        }
        return true;
    }

    bool waits() const
    {
        const std::lock_guard lock(mutex);
        return !open.empty() && !in_a_hurry;
    }

    bool goes_on() const
    {
        const std::lock_guard lock(mutex);
        return !stopping;
    }

    void run()
    {
        auto next = Clock::now();
        for (std::uint64_t number = 0; goes_on(); ++number) {
            send_one(number);
            next = std::max(next + interval, Clock::now());
            while (receive(next)) {
            }
        }
        while (waits() && receive(Clock::now() + std::chrono::seconds(3))) {
        }
    }
};

EchoFlow::EchoFlow(const Lab& lab, const std::string& address, std::chrono::microseconds interval)
    : impl_(std::make_unique<Impl>())
{
    impl_->to = echo_service(address);
    impl_->interval = interval;
    impl_->fd = lab.client().in([] { return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
    if (impl_->fd < 0) {
        throw LabError(std::string("echo flow: ") + std::strerror(errno));
    }
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

EchoFlow::~EchoFlow()
{
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->in_a_hurry = true;
    }
    stop();
    close(impl_->fd);
}

void EchoFlow::stop()
{
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    if (impl_->thread.joinable()) {
        impl_->thread.join();
    }
}

bool EchoFlow::wait_answers(std::uint64_t times, std::chrono::milliseconds timeout) const
{
    std::unique_lock lock(impl_->mutex);
    const std::uint64_t target = impl_->answered + times;
    return impl_->changed.wait_for(lock, timeout, [&] { return impl_->answered >= target; });
}

std::uint64_t EchoFlow::sent() const
{
    const std::lock_guard lock(impl_->mutex);
    return impl_->sent;
}

std::uint64_t EchoFlow::refused() const
{
    const std::lock_guard lock(impl_->mutex);
    return impl_->refused;
}

std::uint64_t EchoFlow::answered() const
{
    const std::lock_guard lock(impl_->mutex);
    return impl_->answered;
}

} // namespace failclosed::lab
