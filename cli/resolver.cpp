// SPDX-License-Identifier: GPL-3.0-or-later
// c-ares, told to use nothing of the system's configuration.
#include "cli/resolver.hpp"

#include <algorithm>
#include <memory>
#include <span>

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/base/owned.hpp"

namespace failclosed::cli {

namespace {

std::string ares_text(const char* what, int status)
{
    return std::string(what) + ": " + ares_strerror(status);
}

int set_mark(ares_socket_t socket, int, void* data)
{
    const auto mark = *static_cast<const std::uint32_t*>(data);
    return mark == 0 ? 0 : setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
}

std::optional<IpAddress> address_of(const ares_addrinfo_node& node)
{
    const auto bytes = [](const auto& address) {
        return std::span(reinterpret_cast<const std::uint8_t*>(&address), sizeof address);
    };
    if (node.ai_family == AF_INET) {
        return IpAddress::from_bytes(
            bytes(reinterpret_cast<const sockaddr_in*>(node.ai_addr)->sin_addr));
    }
    if (node.ai_family == AF_INET6) {
        return IpAddress::from_bytes(
            bytes(reinterpret_cast<const sockaddr_in6*>(node.ai_addr)->sin6_addr));
    }
    return std::nullopt;
}

/// Whether the status is what a resolver said, and not that none could be asked.
bool is_of_resolver(int status)
{
    return status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_EFORMERR ||
           status == ARES_ESERVFAIL || status == ARES_ENOTFOUND || status == ARES_ENOTIMP ||
           status == ARES_EREFUSED;
}

/// One name's question.
struct Question {
    ServersResolved::Answer answer;
    bool reached = false;
};

void take_answer(void* data, int status, int, ares_addrinfo* result)
{
    const Owned<ares_addrinfo, ares_freeaddrinfo> owned(result);
    auto& [answer, reached] = *static_cast<Question*>(data);
    reached = is_of_resolver(status);
    if (status != ARES_SUCCESS || result == nullptr) {
        return;
    }
    for (const auto* node = result->nodes; node != nullptr; node = node->ai_next) {
        const auto address = address_of(*node);
        // Nobody elsewhere has another: such an answer is none.
        if (address && address->is_unicast_host() && !address->is_link_local()) {
            answer.addresses.push_back(*address);
        }
    }
}

/// The sockets that c-ares waits for, as it tells them.
class WaitedFor {
  public:
    /// An ares_sock_state_cb; `data` is the object.
    static void change(void* data, ares_socket_t socket, int readable, int writable)
    {
        auto& entries = static_cast<WaitedFor*>(data)->entries_;
        std::erase_if(entries, [&](const pollfd& entry) { return entry.fd == socket; });
        const auto events = (readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0);
        if (events != 0) {
            entries.push_back({socket, static_cast<short>(events), 0});
        }
    }

    /// A copy: processing one socket can open and close others.
    [[nodiscard]] std::vector<pollfd> entries() const { return entries_; }

    [[nodiscard]] bool has(int socket) const
    {
        return std::ranges::find(entries_, socket, &pollfd::fd) != entries_.end();
    }

  private:
    std::vector<pollfd> entries_;
};

/// Runs the channel until every question has ended.
void wait_for_answers(ares_channel channel, const WaitedFor& waited_for)
{
    for (;;) {
        timeval longest{1, 0};
        timeval until{};
        const timeval* wait = ares_timeout(channel, &longest, &until);
        auto polled = waited_for.entries();
        if (polled.empty()) {
            return;
        }
        poll(polled.data(), polled.size(),
             static_cast<int>(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1));
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        for (const auto& entry : polled) {
            const auto ready = [&](int events) {
                return (entry.revents & events) != 0 ? entry.fd : ARES_SOCKET_BAD;
            };
            if (waited_for.has(entry.fd)) {
                ares_process_fd(channel, ready(POLLIN | POLLERR | POLLHUP), ready(POLLOUT));
            }
        }
    }
}

} // namespace

Result<Lookup> look_up(const std::vector<HostName>& names, const ResolverPath& path)
{
    ares_options options{};
    // NOCHECKRESP: a refusal is an answer too, and is told from silence.
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP;
    options.timeout = static_cast<int>(path.timeout.count());
    options.tries = 2;
    WaitedFor waited_for;
    options.sock_state_cb = WaitedFor::change;
    options.sock_state_cb_data = &waited_for;
    std::string lookups = "b"; // DNS alone: /etc/hosts holds our own, older answers
    options.lookups = lookups.data();
    ares_channel raw = nullptr;
    if (const int status = ares_init_options(&raw, &options,
                                             ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                                 ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
        status != ARES_SUCCESS) {
        return fail(ares_text("setting up the resolver", status));
    }
    const Owned<ares_channeldata, ares_destroy> channel(raw);
    std::string servers;
    for (const auto& resolver : path.resolvers) {
        const bool is_ipv6 = resolver.family() == Family::V6;
        servers += (servers.empty() ? "" : ",") +
                   // c-ares takes no brackets without a port behind them.
                   (is_ipv6 ? "[" + resolver.to_string() + "]:53" : resolver.to_string());
    }
    if (const int status = ares_set_servers_csv(channel.get(), servers.c_str());
        status != ARES_SUCCESS) {
        return fail(ares_text("setting resolvers", status));
    }
    if (path.device) {
        ares_set_local_dev(channel.get(), path.device->text().c_str());
    }
    std::uint32_t mark = path.mark;
    ares_set_socket_configure_callback(channel.get(), set_mark, &mark);
    std::vector<Question> questions;
    for (const auto& name : names) {
        questions.push_back({{name, {}}});
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_socktype = SOCK_DGRAM;
    for (auto& question : questions) {
        ares_getaddrinfo(channel.get(), question.answer.name.text().c_str(), nullptr, &hints,
                         take_answer, &question);
    }
    wait_for_answers(channel.get(), waited_for);
    Lookup lookup;
    for (auto& question : questions) {
        lookup.reached = lookup.reached || question.reached;
        if (!question.answer.addresses.empty()) {
            lookup.answers.push_back(std::move(question.answer));
        }
    }
    return lookup;
}

} // namespace failclosed::cli
