// SPDX-License-Identifier: GPL-3.0-or-later
// Look-ups by c-ares, without the system's configuration, on given sockets.
#include "refresh/dns_client.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>

#include <ares.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/base/owned.hpp"

namespace failclosed::cli {

namespace {

std::string ares_text(const char* what, int status)
{
    return std::string(what) + ": " + ares_strerror(status);
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

/// Whether the status comes from a resolver's answer; false if no resolver could be asked.
bool is_of_resolver(int status)
{
    return status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_EFORMERR ||
           status == ARES_ESERVFAIL || status == ARES_ENOTFOUND || status == ARES_ENOTIMP ||
           status == ARES_EREFUSED;
}

/// The query for a name.
struct Question {
    std::vector<IpAddress> addresses;
    bool reached = false;
};

void take_answer(void* data, int status, int, ares_addrinfo* result)
{
    const Owned<ares_addrinfo, ares_freeaddrinfo> owned(result);
    auto& [addresses, reached] = *static_cast<Question*>(data);
    reached = is_of_resolver(status);
    if (status != ARES_SUCCESS || result == nullptr) {
        return;
    }
    for (const auto* node = result->nodes; node != nullptr; node = node->ai_next) {
        if (const auto address = address_of(*node)) {
            addresses.push_back(*address);
        }
    }
}

/// The sockets that c-ares waits for.
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

/// Runs the channel until all queries have ended.
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

// ---- The sockets, in the order in which c-ares asks for them ----

ares_socket_t take_socket(int domain, int type, int, void* data)
{
    auto& sockets = *static_cast<std::vector<ReadySocket>*>(data);
    const auto ready = std::ranges::find_if(sockets, [&](const ReadySocket& socket) {
        return socket.family == domain && socket.type == type;
    });
    if (ready == sockets.end()) {
        errno = EMFILE;
        return ARES_SOCKET_BAD;
    }
    const int descriptor = ready->descriptor;
    sockets.erase(ready);
    return descriptor;
}

int close_socket(ares_socket_t socket, void*)
{
    return close(socket);
}

ares_ssize_t receive(ares_socket_t socket, void* data, std::size_t size, int flags,
                     sockaddr* address, ares_socklen_t* length, void*)
{
    return recvfrom(socket, data, size, flags, address, length);
}

#if ARES_VERSION >= 0x012200 // 1.34 deprecates what earlier versions have

int connect_socket(ares_socket_t socket, const sockaddr* address, ares_socklen_t length, unsigned,
                   void*)
{
    return connect(socket, address, length);
}

ares_ssize_t send_data(ares_socket_t socket, const void* data, std::size_t size, int flags,
                       const sockaddr* address, ares_socklen_t length, void*)
{
    return sendto(socket, data, size, flags | MSG_NOSIGNAL, address, length);
}

int set_nothing(ares_socket_t, ares_socket_opt_t, const void*, ares_socklen_t, void*)
{
    errno = ENOSYS; // they are set up already
    return -1;
}

int use_sockets(ares_channel channel, std::vector<ReadySocket>& sockets)
{
    ares_socket_functions_ex functions{};
    functions.version = 1;
    functions.flags = ARES_SOCKFUNC_FLAG_NONBLOCKING;
    functions.asocket = take_socket;
    functions.aclose = close_socket;
    functions.asetsockopt = set_nothing;
    functions.aconnect = connect_socket;
    functions.arecvfrom = receive;
    functions.asendto = send_data;
    return ares_set_socket_functions_ex(channel, &functions, &sockets);
}

#else

int connect_socket(ares_socket_t socket, const sockaddr* address, ares_socklen_t length, void*)
{
    return connect(socket, address, length);
}

ares_ssize_t send_data(ares_socket_t socket, const iovec* parts, int count, void*)
{
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<std::size_t>(count);
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

int use_sockets(ares_channel channel, std::vector<ReadySocket>& sockets)
{
    static const ares_socket_functions functions{take_socket, close_socket, connect_socket, receive,
                                                 send_data};
    ares_set_socket_functions(channel, &functions, &sockets);
    return ARES_SUCCESS;
}

#endif

} // namespace

struct DnsClient::Parts {
    std::vector<ReadySocket> sockets;
    WaitedFor waited_for;
    std::vector<Question> questions;
    // The last member, because its destructor calls callbacks.
    Owned<ares_channeldata, ares_destroy> channel;
};

DnsClient::DnsClient(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

DnsClient::DnsClient(DnsClient&&) noexcept = default;
DnsClient::~DnsClient() = default;

Result<DnsClient> DnsClient::open(const std::vector<IpAddress>& resolvers,
                                  std::vector<ReadySocket> sockets,
                                  std::chrono::milliseconds timeout)
{
    auto parts = std::make_unique<Parts>();
    parts->sockets = std::move(sockets);
    ares_options options{};
    // NOCHECKRESP: a refusal is an answer too; c-ares otherwise discards it.
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP;
    options.timeout = static_cast<int>(timeout.count());
    options.tries = 2;
    options.sock_state_cb = WaitedFor::change;
    options.sock_state_cb_data = &parts->waited_for;
    std::string lookups = "b"; // DNS only: /etc/hosts holds our own, older answers
    options.lookups = lookups.data();
    ares_channel raw = nullptr;
    if (const int status = ares_init_options(&raw, &options,
                                             ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                                 ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
        status != ARES_SUCCESS) {
        return fail(ares_text("setting up the resolver", status));
    }
    parts->channel.reset(raw);
    std::string servers;
    for (const auto& resolver : resolvers) {
        const bool is_ipv6 = resolver.family() == Family::V6;
        servers += (servers.empty() ? "" : ",") +
                   // c-ares accepts brackets only if a port follows.
                   (is_ipv6 ? "[" + resolver.to_string() + "]:53" : resolver.to_string());
    }
    if (const int status = ares_set_servers_csv(raw, servers.c_str()); status != ARES_SUCCESS) {
        return fail(ares_text("setting resolvers", status));
    }
    if (const int status = use_sockets(raw, parts->sockets); status != ARES_SUCCESS) {
        return fail(ares_text("setting sockets", status));
    }
    return DnsClient(std::move(parts));
}

LookupRecords DnsClient::ask(const std::vector<HostName>& names)
{
    parts_->questions.resize(names.size());
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_socktype = SOCK_DGRAM;
    for (std::size_t i = 0; i < names.size(); ++i) {
        ares_getaddrinfo(parts_->channel.get(), names[i].text().c_str(), nullptr, &hints,
                         take_answer, &parts_->questions[i]);
    }
    wait_for_answers(parts_->channel.get(), parts_->waited_for);
    LookupRecords records;
    for (auto& question : parts_->questions) {
        records.reached = records.reached || question.reached;
        records.addresses.push_back(std::move(question.addresses));
    }
    return records;
}

} // namespace failclosed::cli
