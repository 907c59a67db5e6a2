// SPDX-License-Identifier: GPL-3.0-or-later
// Our tables in the kernel: replaced whole, read back, removed. No other table is touched.
#include "core/apply/kernel/nftables.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "core/plan/constants.hpp"

namespace failclosed {
namespace {

/// How often the kernel is read again if another program changes it meanwhile.
constexpr int kMostReads = 50;

/// The table that closes the machine comes first.
const std::vector<TableName>& own_tables()
{
    static const std::vector<TableName> tables = {{TableFamily::Inet, kTableName},
                                                  {TableFamily::Arp, kTableName},
                                                  {TableFamily::Netdev, kTableName}};
    return tables;
}

/// Our tables, and those of `ruleset` if they have other names.
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

} // namespace

Result<Nftables> Nftables::open()
{
    Result<NftSocket> socket = NftSocket::open();
    if (!socket) {
        return Failure(socket.error());
    }
    return Nftables(std::move(*socket));
}

void Nftables::close_in_background(Nftables nftables)
{
    NftSocket::close_in_background(std::move(nftables.socket_));
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
    if (Status status = socket_.commit(*batch); status || options.loaded.empty()) {
        return status;
    }
    // Another program may have changed the tables since they were read: this batch does not depend
    // on their contents.
    const Result<NftBatch> whole = encode(ruleset, {options.counters, {}});
    return whole ? socket_.commit(*whole) : Failure(whole.error());
}

Status Nftables::load(const Ruleset& ruleset)
{
    seen_.reset();
    const Result<NftBatch> batch = encode(ruleset);
    return batch ? socket_.commit(*batch) : Failure(batch.error());
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
    const Result<std::uint32_t> generation = socket_.generation();
    if (generation && seen_ && *generation == generation_ && seen_->tables() == wanted_tables_ &&
        (!without_rules_ || same_rules(remembered_->batch, wanted_batch_))) {
        return {};
    }
    return generation && recall(*generation) ? Status() : look_at_all();
}

Status Nftables::look_at_all()
{
    const Result<std::uint32_t> generation = socket_.generation();
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
    if (!remembered_ || remembered_->network != socket_.network() ||
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
    const auto here = socket_.network();
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

bool Nftables::exchange_elements()
{
    const auto changes = seen_->changes_to(wanted_contents());
    // The kernel refuses the batch if a ruleset has changed since it was read.
    if (!changes || !socket_.commit(encode_changes(*changes, generation_))) {
        return false;
    }
    if (!changes->empty() && !look_again(*changes)) {
        seen_.reset();
    }
    return true;
}

bool Nftables::look_again(const std::vector<ElementChange>& changes)
{
    const Result<std::uint32_t> generation = socket_.generation();
    if (!generation || *generation != generation_ + 1) {
        return false;
    }
    generation_ = *generation;
    for (const ElementChange& change : changes) {
        const NftContents::SetName set{change.table, change.set};
        seen_->forget_elements(set);
        if (!socket_.dump(NFT_MSG_GETSETELEM, &set, generation_, *seen_)) {
            return false;
        }
    }
    seen_->finish();
    return true;
}

Status Nftables::remove(const std::vector<TableName>& tables)
{
    // A kernel without a table family refuses even to remove a table of that family.
    const auto there = loaded(tables);
    seen_.reset();
    return socket_.commit(encode_removal(there ? *there : tables));
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
    return socket_.commit(*batch).has_value();
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
                           std::chrono::milliseconds timeout)
{
    const Result<NftBatch> batch = encode_timed_elements(table, set, timeout);
    return batch ? socket_.commit(*batch) : Failure(batch.error());
}

Result<NftContents> Nftables::read(const std::vector<TableName>& tables, Depth depth)
{
    seen_.reset();
    without_rules_ = false;
    Result<NftContents> contents = read_once(tables, depth);
    for (int i = 1; i < kMostReads && !contents && contents.error().number() == EINTR; ++i) {
        contents = read_once(tables, depth);
    }
    return contents;
}

Result<NftContents> Nftables::read_once(const std::vector<TableName>& tables, Depth depth)
{
    const Result<std::uint32_t> generation = socket_.generation();
    if (!generation) {
        return Failure(generation.error());
    }
    generation_ = *generation;
    if (memory_ && depth == Depth::Elements) {
        // Later runs trust what is remembered for this generation.
        if (const Status settled = socket_.settle(generation_); !settled) {
            if (settled.error().number() == EINTR) {
                return Failure(settled.error());
            }
            memory_.reset();
        }
    }
    NftContents contents(tables);
    if (Status status = socket_.dump(NFT_MSG_GETTABLE, nullptr, generation_, contents); !status) {
        return Failure(status.error());
    }
    if (contents.loaded().empty() || depth == Depth::Tables) {
        return contents;
    }
    if (Status status = socket_.dump(NFT_MSG_GETCHAIN, nullptr, generation_, contents); !status) {
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
            Status status =
                socket_.dump(static_cast<std::uint16_t>(type), &of, generation_, contents);
            if (!status) {
                return Failure(status.error());
            }
        }
    }
    if (depth == Depth::Elements) {
        for (const NftContents::SetName& set : contents.comparable_sets()) {
            if (Status status = socket_.dump(NFT_MSG_GETSETELEM, &set, generation_, contents);
                !status) {
                return Failure(status.error());
            }
        }
    }
    contents.finish();
    return contents;
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

Status Nftables::flush(const TableName& table, const std::vector<SetHandle>& sets)
{
    return socket_.commit(encode_flush(table, sets));
}

} // namespace failclosed
