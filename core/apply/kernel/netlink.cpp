// SPDX-License-Identifier: GPL-3.0-or-later
// Sending requests and collecting answers.
#include "core/apply/kernel/netlink.hpp"

#include <cstring>

#include <linux/netlink.h>
#include <sys/socket.h>

namespace failclosed {

namespace {

// The most that the kernel writes per read (netlink_recvmsg in af_netlink.c).
constexpr std::size_t kReceiveSize = 32768;
// Below the default limit of a send (net.core.wmem_default), with room for the kernel's overhead.
constexpr std::size_t kSendSize = 65536;
// Room for the refusals of all requests of one send.
constexpr int kReceiveBuffer = 4 * 1024 * 1024;
constexpr int kDumpAttempts = 5;

void set_header(Bytes& requests, std::size_t offset, std::uint32_t sequence, unsigned flags)
{
    nlmsghdr header;
    std::memcpy(&header, requests.data() + offset, sizeof(header));
    header.nlmsg_seq = sequence;
    header.nlmsg_flags = static_cast<std::uint16_t>(header.nlmsg_flags | flags);
    std::memcpy(requests.data() + offset, &header, sizeof(header));
}

/// The errno in an NLMSG_ERROR or NLMSG_DONE; 0 if it is an acknowledgement.
Result<int> read_error(const NetlinkMessage& message)
{
    const auto number = read_front<std::int32_t>(message.payload);
    if (!number || *number > 0) {
        return fail("reading netlink: malformed answer", EBADMSG);
    }
    return -*number;
}

} // namespace

Result<Netlink> Netlink::open(int bus)
{
    Socket socket(mnl_socket_open2(bus, SOCK_CLOEXEC));
    if (!socket) {
        return fail_errno("opening netlink socket");
    }
    if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("binding netlink socket");
    }
    const int fd = mnl_socket_get_fd(socket.get());
    const int on = 1;
    // Optional: they filter and shorten answers, and enlarge the buffer. Results are correct
    // without.
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(kReceiveBuffer));
    return Netlink(std::move(socket));
}

Status Netlink::send(ByteView bytes)
{
    if (mnl_socket_sendto(socket_.get(), bytes.data(), bytes.size()) < 0) {
        return fail_errno("sending to netlink");
    }
    return {};
}

/// Appends the data of a single read to `buffer`.
Status Netlink::receive(Bytes& buffer)
{
    received_.resize(kReceiveSize);
    ssize_t size = -1;
    do {
        size = mnl_socket_recvfrom(socket_.get(), received_.data(), received_.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return fail_errno("reading netlink");
    }
    buffer.insert(buffer.end(), received_.begin(), received_.begin() + size);
    return {};
}

/// False if the kernel reports that the list changed while it was read.
Result<bool> Netlink::dump_once(Bytes& request, Bytes& answer)
{
    set_header(request, 0, ++sequence_, 0);
    if (const auto sent = send(request); !sent) {
        return Failure(sent.error());
    }
    bool whole = true;
    for (std::size_t offset = 0;;) {
        if (const auto received = receive(answer); !received) {
            return Failure(received.error());
        }
        auto rest = ByteView(answer).subspan(offset);
        while (const auto message = take_message(rest)) {
            if (message->sequence != sequence_) {
                continue;
            }
            whole = whole && (message->flags & NLM_F_DUMP_INTR) == 0;
            if (message->type != NLMSG_DONE && message->type != NLMSG_ERROR) {
                continue;
            }
            const auto error = read_error(*message);
            if (!error) {
                return Failure(error.error());
            }
            if (*error != 0) {
                return fail_errno("listing by netlink", *error);
            }
            return whole;
        }
        offset = answer.size();
    }
}

Result<Bytes> Netlink::dump(Bytes request)
{
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
        Bytes answer;
        const auto whole = dump_once(request, answer);
        if (!whole) {
            return Failure(whole.error());
        }
        if (*whole) {
            return answer;
        }
    }
    return fail("listing by netlink: the list changes faster than it can be read", EINTR);
}

/// Reads answers to the requests numbered `first` to `last`, until the answer to `last`.
Status Netlink::await_answers(std::uint32_t first, std::uint32_t last, std::size_t offset,
                              std::vector<Refusal>& refusals)
{
    for (;;) {
        Bytes answer;
        if (auto received = receive(answer); !received) {
            return received;
        }
        ByteView rest(answer);
        while (const auto message = take_message(rest)) {
            const std::uint32_t position = message->sequence - first;
            if (message->type != NLMSG_ERROR || position > last - first) {
                continue;
            }
            const auto error = read_error(*message);
            if (!error) {
                return Failure(error.error());
            }
            if (*error != 0) {
                refusals.push_back({offset + position, *error});
            }
            if (message->sequence == last) {
                return {};
            }
        }
    }
}

Result<std::vector<Refusal>> Netlink::change(Bytes requests)
{
    std::vector<Refusal> refusals;
    std::size_t sent_before = 0;
    ByteView rest(requests);
    while (!rest.empty()) {
        const auto start = requests.size() - rest.size();
        const auto first = sequence_ + 1;
        std::size_t last_offset = start;
        std::size_t end = start;
        // As many complete requests as fit into one send, at least one.
        for (auto ahead = rest; const auto message = take_message(ahead);) {
            const auto next = requests.size() - ahead.size();
            if (end != start && next - start > kSendSize) {
                break;
            }
            last_offset = end;
            end = next;
            set_header(requests, last_offset, ++sequence_, 0);
        }
        if (end == start) {
            return fail("sending to netlink: malformed request", EINVAL);
        }
        // Refusals are always sent; the acknowledgement of the last request marks the end.
        set_header(requests, last_offset, sequence_, NLM_F_ACK);
        if (const auto sent = send(rest.first(end - start)); !sent) {
            return Failure(sent.error());
        }
        if (const auto answered = await_answers(first, sequence_, sent_before, refusals);
            !answered) {
            return Failure(answered.error());
        }
        sent_before += sequence_ - first + 1;
        rest = rest.subspan(end - start);
    }
    return refusals;
}

} // namespace failclosed
