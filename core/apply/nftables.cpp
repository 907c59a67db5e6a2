// SPDX-License-Identifier: GPL-3.0-or-later
// Our tables in the kernel: replaced whole, read back, removed. No other table is touched.
#include "core/apply/nftables.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/plan/constants.hpp"

namespace failclosed {
namespace {

/// Batches above this need more room in the socket than the usual default.
constexpr std::size_t kUsualSendRoom = 64 * 1024;
/// How often a look that a foreign change interrupts is taken again.
constexpr int kMostReads = 50;

const char* const kReading = "cannot read nftables";

Failure interrupted()
{
    return fail_errno(kReading, EINTR);
}

const std::vector<TableName>& own_tables()
{
    static const std::vector<TableName> tables = {{TableFamily::Inet, kTableName},
                                                  {TableFamily::Arp, kTableName}};
    return tables;
}

/// Our tables, and those of `ruleset` where they have other names.
std::vector<TableName> table_names(const Ruleset& ruleset)
{
    std::vector<TableName> names = own_tables();
    for (const Table& table : ruleset.tables) {
        const TableName name{table.family, table.name};
        if (std::ranges::count(names, name) == 0) {
            names.push_back(name);
        }
    }
    return names;
}

/// Calls `take(message)` for each message; its false ends the walk.
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

/// What the kernel answered to a batch.
struct Answers {
    bool acknowledged = false;
    int first_error = 0;
    std::uint32_t refused = 0;

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

std::uint16_t generation_of(const nlmsghdr* message)
{
    nfgenmsg header{};
    if (mnl_nlmsg_get_payload_len(message) >= sizeof header) {
        std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
    }
    return header.res_id;
}

Result<bool> end_of_dump(int number, bool changed)
{
    if (changed || number == ENOENT) { // what we ask for by name was there a moment ago
        return interrupted();
    }
    if (number != 0) {
        return fail_errno(kReading, number);
    }
    return true;
}

} // namespace

Result<Nftables> Nftables::open()
{
    UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!socket.valid()) {
        return fail_errno("cannot open a netlink socket to nftables");
    }
    return Nftables(std::move(socket));
}

Status Nftables::replace(const Ruleset& ruleset)
{
    const std::vector<TableName> names = table_names(ruleset);
    std::optional<NftContents> before = std::exchange(seen_, std::nullopt);
    if (!before || before->tables() != names) {
        before.reset();
        if (Result<NftContents> now = read(names, Depth::Rules)) {
            before = std::move(*now);
        }
    }
    EncodeOptions options;
    if (before) { // where nothing can be read, closing goes on without it
        options = {before->counters(), before->loaded()};
    }
    const Result<NftBatch> batch = encode(ruleset, options);
    if (!batch) {
        return Failure(batch.error());
    }
    if (Status status = commit(*batch); status || options.loaded.empty()) {
        return status;
    }
    // Somebody else may have changed the tables since we looked: this needs no knowledge of them.
    const Result<NftBatch> whole = encode(ruleset, {options.counters, {}});
    return whole ? commit(*whole) : Failure(whole.error());
}

Status Nftables::remove(const std::vector<TableName>& tables)
{
    seen_.reset();
    return commit(encode_removal(tables));
}

Result<bool> Nftables::holds(const Ruleset& ruleset)
{
    if (ruleset != wanted_ || wanted_contents_.tables().empty()) {
        const Result<NftBatch> batch = encode(ruleset);
        if (!batch) {
            return Failure(batch.error());
        }
        NftContents contents(table_names(ruleset));
        contents.add_all(batch->bytes);
        contents.finish();
        wanted_ = ruleset;
        wanted_contents_ = std::move(contents);
    }
    Result<NftContents> now = read(wanted_contents_.tables(), Depth::Elements);
    if (!now) {
        return Failure(now.error());
    }
    seen_ = std::move(*now);
    return *seen_ == wanted_contents_;
}

Result<bool> Nftables::exists()
{
    const Result<NftContents> now = read(own_tables(), Depth::Tables);
    if (!now) {
        return Failure(now.error());
    }
    return !now->loaded().empty();
}

Result<Counters> Nftables::counters(const std::vector<TableName>& tables)
{
    const Result<NftContents> now = read(tables, Depth::Rules);
    if (!now) {
        return Failure(now.error());
    }
    return now->counters();
}

Status Nftables::add_timed(const TableName& table, const Set& set,
                           const std::vector<SetElement>& elements,
                           std::chrono::milliseconds timeout)
{
    const Result<NftBatch> batch = encode_timed_elements(table, set, elements, timeout);
    return batch ? commit(*batch) : Failure(batch.error());
}

Status Nftables::send(std::span<const std::uint8_t> bytes)
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

Result<std::span<const std::uint8_t>> Nftables::receive(int flags)
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

void Nftables::close_in_background(Nftables nftables)
{
    if (!nftables.committed_) {
        return;
    }
    int ends[2] = {-1, -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    UniqueFd reader(ends[0]);
    const int writer = ends[1];
    if (fork() != 0) {
        // The writing end stays open until we end, and closes with us.
        return;
    }
    // Keeps nothing of the caller's but the socket, until the caller has ended.
    const int kept_low = std::min(nftables.socket_.get(), reader.get());
    const int kept_high = std::max(nftables.socket_.get(), reader.get());
    close(writer);
    close_range(0, static_cast<unsigned>(kept_low) - 1, 0);
    close_range(static_cast<unsigned>(kept_low) + 1, static_cast<unsigned>(kept_high) - 1, 0);
    close_range(static_cast<unsigned>(kept_high) + 1, ~0U, 0);
    char byte = 0;
    while (::read(reader.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    _exit(0);
}

Status Nftables::commit(const NftBatch& batch)
{
    if (batch.operations.size() < 2) {
        return {};
    }
    committed_ = true;
    if (Status status = send(batch.bytes); !status) {
        return status;
    }
    // The kernel has answered before sending returns: what is there is all there will be.
    Answers answers;
    Result<std::span<const std::uint8_t>> bytes = receive(MSG_DONTWAIT);
    for (; bytes; bytes = receive(MSG_DONTWAIT)) {
        for_each_message(*bytes, [&](const nlmsghdr* message) {
            answers.take(message, batch.last_sequence());
            return true;
        });
    }
    if (answers.first_error != 0) {
        return fail_errno("nftables refuses " + batch.describe(answers.refused),
                          answers.first_error);
    }
    if (!answers.acknowledged) {
        return fail_during("nftables did not confirm a change", bytes.error());
    }
    return {};
}

Result<NftContents> Nftables::read(const std::vector<TableName>& tables, Depth depth)
{
    Result<NftContents> contents = interrupted();
    for (int i = 0; i < kMostReads && !contents && contents.error().number() == EINTR; ++i) {
        contents = read_once(tables, depth);
    }
    return contents;
}

Result<NftContents> Nftables::read_once(const std::vector<TableName>& tables, Depth depth)
{
    generation_.reset();
    changed_ = false;
    NftContents contents(tables);
    if (Status status = dump(NFT_MSG_GETTABLE, nullptr, contents); !status) {
        return Failure(status.error());
    }
    if (contents.loaded().empty() || depth == Depth::Tables) {
        return contents;
    }
    if (Status status = dump(NFT_MSG_GETCHAIN, nullptr, contents); !status) {
        return Failure(status.error());
    }
    for (const TableName& table : tables) {
        const NftContents::SetName of{table, {}};
        if (std::ranges::count(contents.loaded(), table, &LoadedTable::name) == 0) {
            continue;
        }
        for (const int type : {NFT_MSG_GETSET, NFT_MSG_GETRULE}) {
            Status status = dump(static_cast<std::uint16_t>(type), &of, contents);
            if (!status) {
                return Failure(status.error());
            }
        }
    }
    if (depth == Depth::Elements) {
        for (const NftContents::SetName& set : contents.comparable_sets()) {
            if (Status status = dump(NFT_MSG_GETSETELEM, &set, contents); !status) {
                return Failure(status.error());
            }
        }
    }
    contents.finish();
    return contents;
}

Status Nftables::dump(std::uint16_t type, const NftContents::SetName* of, NftContents& contents)
{
    std::array<std::uint8_t, 512> request{};
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = ++sequence_;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    header->version = NFNETLINK_V0;
    if (of != nullptr) {
        header->nfgen_family = of->table.family == TableFamily::Inet ? NFPROTO_INET : NFPROTO_ARP;
        // Attribute 1 is the table's name and 2 the set's, for each of these types.
        mnl_attr_put_strz(message, NFTA_SET_TABLE, of->table.name.c_str());
        if (!of->set.empty()) {
            mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, of->set.c_str());
        }
    }
    if (Status status = send({request.data(), message->nlmsg_len}); !status) {
        return status;
    }
    while (true) {
        const Result<std::span<const std::uint8_t>> bytes = receive(0);
        if (!bytes) {
            return Failure(bytes.error());
        }
        const Result<bool> done = take_dump(*bytes, contents);
        if (!done) {
            return Failure(done.error());
        }
        if (*done) {
            return {};
        }
    }
}

Result<bool> Nftables::take_dump(std::span<const std::uint8_t> bytes, NftContents& contents)
{
    Result<bool> done = false;
    for_each_message(bytes, [&](const nlmsghdr* message) {
        if (message->nlmsg_seq != sequence_) {
            return true; // left from a look that was given up
        }
        changed_ = changed_ || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
            done = end_of_dump(error_number(message), changed_);
            return false;
        }
        const std::uint16_t generation = generation_of(message);
        changed_ = changed_ || generation_.value_or(generation) != generation;
        generation_ = generation;
        contents.add(message);
        return true;
    });
    return done;
}

} // namespace failclosed
