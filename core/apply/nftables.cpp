// SPDX-License-Identifier: GPL-3.0-or-later
// Our tables in the kernel: replaced whole, read back, removed. No other table is touched.
#include "core/apply/nftables.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iterator>
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

#include "core/codec/netlink_message.hpp"
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

/// The one that closes the machine first.
const std::vector<TableName>& own_tables()
{
    static const std::vector<TableName> tables = {{TableFamily::Inet, kTableName},
                                                  {TableFamily::Arp, kTableName},
                                                  {TableFamily::Netdev, kTableName}};
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
    if (changed || number == ENOENT) { // what we ask for by name was there a moment ago
        return interrupted();
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

/// Keeps nothing of the caller's but the socket, until the caller has ended. Memory is the
/// caller's: system calls and the stack are all that this may use.
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
    if (Status status = want(ruleset); !status) {
        return status;
    }
    if (look() && exchange_elements()) {
        return {};
    }
    EncodeOptions options;
    if (look_at_all()) { // where nothing can be read, closing goes on without it
        options = {seen_->counters(), seen_->loaded()};
    }
    seen_.reset();
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

Status Nftables::load(const Ruleset& ruleset)
{
    seen_.reset();
    const Result<NftBatch> batch = encode(ruleset);
    return batch ? commit(*batch) : Failure(batch.error());
}

Status Nftables::want(const Ruleset& ruleset)
{
    if (wanted_ == ruleset) {
        return {};
    }
    Result<NftBatch> batch = encode(ruleset);
    if (!batch) {
        return Failure(batch.error());
    }
    wanted_ = ruleset;
    wanted_batch_ = std::move(batch->bytes);
    wanted_tables_ = table_names(ruleset);
    wanted_contents_.reset();
    return {};
}

const NftContents& Nftables::wanted_contents()
{
    if (!wanted_contents_ || wanted_without_rules_ != without_rules_) {
        wanted_contents_.emplace(wanted_tables_);
        without_rules_ ? wanted_contents_->add_all_but_rules(wanted_batch_)
                       : wanted_contents_->add_all(wanted_batch_);
        wanted_contents_->finish();
        wanted_without_rules_ = without_rules_;
    }
    return *wanted_contents_;
}

Status Nftables::look()
{
    const Result<std::uint32_t> generation = ask_generation();
    if (generation && seen_ && *generation == generation_ && seen_->tables() == wanted_tables_ &&
        (!without_rules_ || same_rules(remembered_->batch, wanted_batch_))) {
        return {};
    }
    return generation && recall(*generation) ? Status() : look_at_all();
}

Status Nftables::look_at_all()
{
    const Result<std::uint32_t> generation = ask_generation();
    if (generation && seen_ && !without_rules_ && *generation == generation_ &&
        seen_->tables() == wanted_tables_) {
        return {};
    }
    Result<NftContents> now = read(wanted_tables_, Depth::Elements);
    if (!now) {
        return Failure(now.error());
    }
    seen_ = std::move(*now);
    return {};
}

bool Nftables::recall(std::uint32_t generation)
{
    if (!memory_) {
        return false;
    }
    remembered_ = memory_->load();
    if (!remembered_ || remembered_->network != network() ||
        remembered_->generation != generation || !same_rules(remembered_->batch, wanted_batch_)) {
        return false;
    }
    NftContents contents(wanted_tables_);
    contents.add_all_but_rules(remembered_->batch);
    contents.finish();
    const Result<NftContents> chains = read(wanted_tables_, Depth::Chains);
    if (!chains || generation_ != generation || !chains->has_chains_of(contents)) {
        return false;
    }
    seen_ = std::move(contents);
    without_rules_ = true;
    return true;
}

void Nftables::remember()
{
    const auto here = network();
    if (!memory_ || !here) {
        return;
    }
    SeenRules seen{*here, generation_, wanted_batch_};
    if (remembered_ == seen) {
        return;
    }
    // The next run will have to read, where this fails.
    static_cast<void>(memory_->save(seen));
    remembered_ = std::move(seen);
}

std::optional<std::uint64_t> Nftables::network() const
{
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
        return std::nullopt;
    }
    return cookie;
}

bool Nftables::exchange_elements()
{
    const auto changes = seen_->changes_to(wanted_contents());
    // The kernel refuses it where anything has changed since the look.
    if (!changes || !commit(encode_changes(*changes, generation_))) {
        return false;
    }
    if (!changes->empty() && !look_again(*changes)) {
        seen_.reset();
    }
    return true;
}

bool Nftables::look_again(const std::vector<ElementChange>& changes)
{
    const Result<std::uint32_t> generation = ask_generation();
    if (!generation || *generation != generation_ + 1) {
        return false;
    }
    generation_ = *generation;
    changed_ = false;
    for (const ElementChange& change : changes) {
        const NftContents::SetName set{change.table, change.set};
        seen_->forget_elements(set);
        if (!dump(NFT_MSG_GETSETELEM, &set, *seen_)) {
            return false;
        }
    }
    seen_->finish();
    return true;
}

Status Nftables::remove(const std::vector<TableName>& tables)
{
    // A kernel without a family refuses even the removal of what it cannot have.
    const auto there = loaded(tables);
    seen_.reset();
    return commit(encode_removal(there ? *there : tables));
}

Result<bool> Nftables::holds(const Ruleset& ruleset)
{
    if (Status status = want(ruleset); !status) {
        return Failure(status.error());
    }
    if (Status status = look(); !status) {
        return Failure(status.error());
    }
    const bool holds = *seen_ == wanted_contents();
    if (holds) {
        remember();
    }
    return holds;
}

bool Nftables::has_egress_hook()
{
    BaseChain hook{Hook::Egress, 0, Verdict::Accept};
    hook.device = InterfaceName::parse("lo");
    const Ruleset probe{{{TableFamily::Netdev, "failclosed_probe", {}, {{"probe", hook, {}}}}}};
    auto batch = encode(probe);
    if (!batch) {
        return false;
    }
    constexpr std::size_t kEnd = sizeof(nlmsghdr) + sizeof(nfgenmsg);
    batch->bytes.resize(batch->bytes.size() - kEnd);
    return commit(*batch).has_value();
}

Result<bool> Nftables::exists()
{
    const auto closing = loaded({own_tables().front()});
    return closing ? Result<bool>(!closing->empty()) : Result<bool>(Failure(closing.error()));
}

Result<Counters> Nftables::counters(const std::vector<TableName>& tables)
{
    const Result<NftContents> now = read(tables, Depth::Rules);
    if (!now) {
        return Failure(now.error());
    }
    return now->counters();
}

Result<std::vector<std::string>> Nftables::devices(const TableName& table)
{
    const Result<NftContents> now = read({table}, Depth::Rules);
    if (!now) {
        return Failure(now.error());
    }
    std::vector<std::string> devices;
    for (const auto& loaded : now->loaded()) {
        for (const auto& chain : loaded.chains) {
            if (chain.base) {
                devices.insert(devices.end(), chain.base->devices.begin(),
                               chain.base->devices.end());
            }
        }
    }
    return devices;
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
    // Never unmapped: it is the child's for as long as it lives.
    void* stack = mmap(nullptr, kChildStack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    std::array<int, 2> ends = {-1, -1};
    if (stack == MAP_FAILED || pipe2(ends.data(), O_CLOEXEC) != 0) {
        return;
    }
    const UniqueFd reader(ends[0]);
    auto* kept = new (stack) KeptDescriptors{nftables.socket_.get(), ends[0]};
    // It shares our memory, which is not copied for it; the descriptors are. The writing end stays
    // open here until we end, and closes with us.
    clone(outlive_caller, static_cast<std::byte*>(stack) + kChildStack, CLONE_VM | SIGCHLD, kept);
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
    seen_.reset();
    without_rules_ = false;
    Result<NftContents> contents = interrupted();
    for (int i = 0; i < kMostReads && !contents && contents.error().number() == EINTR; ++i) {
        contents = read_once(tables, depth);
    }
    return contents;
}

Result<NftContents> Nftables::read_once(const std::vector<TableName>& tables, Depth depth)
{
    const Result<std::uint32_t> generation = ask_generation();
    if (!generation) {
        return Failure(generation.error());
    }
    generation_ = *generation;
    changed_ = false;
    if (memory_ && depth == Depth::Elements) {
        // Whoever comes later believes what is noted under this number.
        if (const Status settled = settle(); !settled) {
            if (settled.error().number() == ERESTART) {
                return interrupted();
            }
            memory_.reset();
        }
    }
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
    if (depth == Depth::Chains) {
        return contents;
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

Status Nftables::request(std::uint16_t type, std::uint16_t flags, const NftContents::SetName* of)
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
        // Attribute 1 is the table's name and 2 the set's, for each of these types.
        mnl_attr_put_strz(message, NFTA_SET_TABLE, of->table.name.c_str());
        if (!of->set.empty()) {
            mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, of->set.c_str());
        }
    }
    return send({bytes.data(), message->nlmsg_len});
}

Result<std::uint32_t> Nftables::ask_generation()
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
            if (message->nlmsg_seq == sequence_) { // not left from a look that was given up
                answer = read_generation(message);
            }
            return !answer;
        });
        if (answer) {
            return *answer;
        }
    }
}

Status Nftables::settle()
{
    // An empty batch waits for its turn like any other (nf_tables_valid_genid), and counts nothing.
    if (Status sent = send(encode_changes({}, generation_).bytes); !sent) {
        return sent;
    }
    Answers answers;
    Result<std::span<const std::uint8_t>> bytes = receive(MSG_DONTWAIT);
    for (; bytes; bytes = receive(MSG_DONTWAIT)) {
        for_each_message(*bytes, [&](const nlmsghdr* message) {
            answers.take(message, 0);
            return true;
        });
    }
    if (answers.first_error != 0) {
        return fail_errno(kReading, answers.first_error);
    }
    // Not every kernel answers where there is nothing to complain of.
    return bytes.error().number() == EAGAIN ? Status() : Status(Failure(bytes.error()));
}

Status Nftables::dump(std::uint16_t type, const NftContents::SetName* of, NftContents& contents)
{
    if (Status status = request(type, NLM_F_DUMP, of); !status) {
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
        // A dump tells the lower half of the number.
        changed_ = changed_ || generation_of(message) != (generation_ & 0xffff);
        contents.add(message);
        return true;
    });
    return done;
}

Result<std::vector<TableName>> Nftables::loaded(const std::vector<TableName>& tables)
{
    const Result<NftContents> now = read(tables, Depth::Tables);
    if (!now) {
        return Failure(now.error());
    }
    std::vector<TableName> found;
    std::ranges::copy_if(tables, std::back_inserter(found), [&](const TableName& table) {
        return std::ranges::count(now->loaded(), table, &LoadedTable::name) != 0;
    });
    return found;
}

Status Nftables::flush(const TableName& table, const std::vector<std::string>& sets)
{
    return commit(encode_flush(table, sets));
}

} // namespace failclosed
