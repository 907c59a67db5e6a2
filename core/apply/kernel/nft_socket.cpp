// SPDX-License-Identifier: GPL-3.0-or-later
// Sending to nftables and reading its answers.
#include "core/apply/kernel/nft_socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <new>

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/codec/netlink/message.hpp"

namespace failclosed {
namespace {

/// Larger batches need more room in the socket than the usual default.
constexpr std::size_t kUsualSendRoom = 64 * 1024;

const char* const kReading = "cannot read nftables";

/// Calls `take(message)` for each message until it returns false.
template <typename Take> void for_each_message(std::span<const std::uint8_t> bytes, Take take)
{
    int left = static_cast<int>(bytes.size());
    const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
    while (mnl_nlmsg_ok(message, left) && take(message)) {
        message = mnl_nlmsg_next(message, &left);
    }
}

/// The errno in an NLMSG_ERROR or NLMSG_DONE, 0 for success.
int error_number(const nlmsghdr* message)
{
    int number = 0;
    if (mnl_nlmsg_get_payload_len(message) >= sizeof number) {
        std::memcpy(&number, mnl_nlmsg_get_payload(message), sizeof number);
    }
    return -number;
}

std::uint16_t generation_of(const nlmsghdr* message)
{
    nfgenmsg header{};
    if (mnl_nlmsg_get_payload_len(message) >= sizeof header) {
        std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
    }
    return ntohs(header.res_id);
}

Result<std::uint32_t> read_generation(const nlmsghdr* message)
{
    if (message->nlmsg_type == NLMSG_ERROR) {
        return fail_errno(kReading, error_number(message));
    }
    const auto* bytes = static_cast<const std::uint8_t*>(mnl_nlmsg_get_payload(message));
    ByteView attributes(bytes, mnl_nlmsg_get_payload_len(message));
    attributes = attributes.subspan(std::min(attributes.size(), sizeof(nfgenmsg)));
    while (const auto attribute = take_attribute(attributes)) {
        const auto number = read_exactly<std::uint32_t>(attribute->value);
        if (attribute->type == NFTA_GEN_ID && number) {
            return ntohl(*number);
        }
    }
    return fail_errno(kReading, EBADMSG);
}

Result<bool> end_of_dump(int number, bool changed)
{
    if (changed || number == ENOENT) { // an object that is asked for by name existed before
        return fail_errno(kReading, EINTR);
    }
    if (number != 0) {
        return fail_errno(kReading, number);
    }
    return true;
}

constexpr std::size_t kChildStack = 64 * 1024;

struct KeptDescriptors {
    int socket = -1;
    int reader = -1;
};

/// Keeps only the socket open, until the caller has ended. Shares the caller's memory: it may use
/// only system calls and its stack.
int outlive_caller(void* argument)
{
    const KeptDescriptors kept = *static_cast<const KeptDescriptors*>(argument);
    const auto low = static_cast<unsigned>(std::min(kept.socket, kept.reader));
    const auto high = static_cast<unsigned>(std::max(kept.socket, kept.reader));
    if (low > 0) {
        close_range(0, low - 1, 0);
    }
    if (high > low + 1) {
        close_range(low + 1, high - 1, 0);
    }
    close_range(high + 1, ~0U, 0);
    char byte = 0;
    const ssize_t end = ::read(kept.reader, &byte, 1);
    _exit(end == 0 ? 0 : 1);
}

} // namespace

struct NftSocket::Answers {
    bool acknowledged = false;
    int first_error = 0;
    std::uint32_t refused = 0; ///< the sequence number to which first_error belongs
    Error end{{}};             ///< why receiving ended

    void take(const nlmsghdr* message, std::uint32_t last_sequence)
    {
        if (message->nlmsg_type != NLMSG_ERROR) {
            return;
        }
        const int number = error_number(message);
        if (number == 0) {
            acknowledged = acknowledged || message->nlmsg_seq == last_sequence;
        } else if (first_error == 0) {
            first_error = number;
            refused = message->nlmsg_seq;
        }
    }
};

Result<NftSocket> NftSocket::open()
{
    UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!socket.valid()) {
        return fail_errno("cannot open a netlink socket to nftables");
    }
    return NftSocket(std::move(socket));
}

std::optional<std::uint64_t> NftSocket::network() const
{
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
        return std::nullopt;
    }
    return cookie;
}

Status NftSocket::send(std::span<const std::uint8_t> bytes)
{
    if (bytes.size() > kUsualSendRoom) {
        const int size = static_cast<int>(bytes.size() + kUsualSendRoom);
        setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    }
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const ssize_t sent = sendto(socket_.get(), bytes.data(), bytes.size(), 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
    return sent < 0 ? fail_errno("cannot send to nftables") : Status();
}

Result<std::span<const std::uint8_t>> NftSocket::receive(int flags)
{
    ssize_t size = -1;
    do {
        size = recv(socket_.get(), buffer_.data(), buffer_.size(), flags | MSG_TRUNC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return fail_errno(kReading);
    }
    if (static_cast<std::size_t>(size) > buffer_.size()) {
        return fail_errno(kReading, EMSGSIZE);
    }
    return std::span<const std::uint8_t>(buffer_).first(static_cast<std::size_t>(size));
}

NftSocket::Answers NftSocket::take_answers(std::uint32_t last_sequence)
{
    Answers answers;
    Result<std::span<const std::uint8_t>> bytes = receive(MSG_DONTWAIT);
    for (; bytes; bytes = receive(MSG_DONTWAIT)) {
        for_each_message(*bytes, [&](const nlmsghdr* message) {
            answers.take(message, last_sequence);
            return true;
        });
    }
    answers.end = bytes.error();
    return answers;
}

Status NftSocket::commit(const NftBatch& batch)
{
    if (batch.operations.size() < 2) {
        return {};
    }
    committed_ = true;
    if (Status status = send(batch.bytes); !status) {
        return status;
    }
    // The kernel answers before sending returns: no further answers will come.
    const Answers answers = take_answers(batch.last_sequence());
    if (answers.first_error != 0) {
        return fail_errno("nftables refuses " + batch.describe(answers.refused),
                          answers.first_error);
    }
    if (!answers.acknowledged) {
        return fail_during("nftables did not confirm a change", answers.end);
    }
    return {};
}

Status NftSocket::request(std::uint16_t type, std::uint16_t flags, const NftContents::SetName* of)
{
    std::array<std::uint8_t, 512> bytes{};
    nlmsghdr* message = mnl_nlmsg_put_header(bytes.data());
    message->nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++sequence_;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    header->version = NFNETLINK_V0;
    if (of != nullptr) {
        header->nfgen_family = protocol_family(of->table.family);
        // For each of these types, attribute 1 is the table's name and attribute 2 the set's.
        mnl_attr_put_strz(message, NFTA_SET_TABLE, of->table.name.c_str());
        if (!of->set.empty()) {
            mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, of->set.c_str());
        }
    }
    return send({bytes.data(), message->nlmsg_len});
}

Result<std::uint32_t> NftSocket::generation()
{
    if (Status status = request(NFT_MSG_GETGEN, 0, nullptr); !status) {
        return Failure(status.error());
    }
    while (true) {
        const Result<std::span<const std::uint8_t>> bytes = receive(0);
        if (!bytes) {
            return Failure(bytes.error());
        }
        std::optional<Result<std::uint32_t>> answer;
        for_each_message(*bytes, [&](const nlmsghdr* message) {
            if (message->nlmsg_seq == sequence_) { // not left from a request that was abandoned
                answer = read_generation(message);
            }
            return !answer;
        });
        if (answer) {
            return *answer;
        }
    }
}

Status NftSocket::settle(std::uint32_t generation)
{
    // An empty batch waits for its turn like any other (nf_tables_valid_genid), and counts nothing.
    if (Status sent = send(encode_changes({}, generation).bytes); !sent) {
        return sent;
    }
    const Answers answers = take_answers(0);
    if (answers.first_error != 0) {
        const bool others = answers.first_error == ERESTART;
        return fail_errno(kReading, others ? EINTR : answers.first_error);
    }
    // Not every kernel answers where there is nothing to complain of.
    return answers.end.number() == EAGAIN ? Status() : Status(Failure(answers.end));
}

Status NftSocket::dump(std::uint16_t type, const NftContents::SetName* of, std::uint32_t generation,
                       NftContents& contents)
{
    if (Status status = request(type, NLM_F_DUMP, of); !status) {
        return status;
    }
    bool changed = false;
    while (true) {
        const Result<std::span<const std::uint8_t>> bytes = receive(0);
        if (!bytes) {
            return Failure(bytes.error());
        }
        Result<bool> done = false;
        for_each_message(*bytes, [&](const nlmsghdr* message) {
            if (message->nlmsg_seq != sequence_) {
                return true; // left from a request that was abandoned
            }
            changed = changed || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
                done = end_of_dump(error_number(message), changed);
                return false;
            }
            // A dump gives the lower half of the number.
            changed = changed || generation_of(message) != (generation & 0xffff);
            contents.add(message);
            return true;
        });
        if (!done) {
            return Failure(done.error());
        }
        if (*done) {
            return {};
        }
    }
}

void NftSocket::close_in_background(NftSocket socket)
{
    if (!socket.committed_) {
        return;
    }
    // Never unmapped: the child uses it until it ends.
    void* stack = mmap(nullptr, kChildStack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    std::array<int, 2> ends = {-1, -1};
    if (stack == MAP_FAILED || pipe2(ends.data(), O_CLOEXEC) != 0) {
        return;
    }
    const UniqueFd reader(ends[0]);
    auto* kept = new (stack) KeptDescriptors{socket.socket_.get(), ends[0]};
    // The child shares our memory, but has copies of our descriptors. The writing end stays open
    // here and is closed when this process ends.
    clone(outlive_caller, static_cast<std::byte*>(stack) + kChildStack, CLONE_VM | SIGCHLD, kept);
}

} // namespace failclosed
