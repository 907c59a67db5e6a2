// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets as the bytes of one nftables batch (linux/netfilter/nf_tables.h).
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.hpp"
#include "core/plan/ruleset.hpp"

namespace failclosed {

/// A table by what the kernel knows it by.
struct TableName {
    TableFamily family = TableFamily::Inet;
    std::string name;

    friend auto operator<=>(const TableName&, const TableName&) = default;
};

/// "inet failclosed".
std::string to_string(const TableName& table);

/// What the kernel calls the family of a table in its messages (linux/netfilter.h).
std::uint8_t protocol_family(TableFamily family);

/// The counted rules of one comment in one chain.
struct CounterKey {
    TableName table;
    std::string chain;
    std::string comment;

    friend auto operator<=>(const CounterKey&, const CounterKey&) = default;
};

struct Counter {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;

    friend bool operator==(const Counter&, const Counter&) = default;
};

using Counters = std::map<CounterKey, Counter>;

/// What a loaded table holds that has a name.
struct LoadedTable {
    struct LoadedChain {
        /// Where a base chain is called, as the kernel says it: what cannot change in place.
        struct Base {
            std::string type;
            std::uint32_t hook = 0;
            std::int32_t priority = 0;
            std::vector<std::string> devices = {};

            friend bool operator==(const Base&, const Base&) = default;
        };

        std::string name;
        std::optional<Base> base;

        friend bool operator==(const LoadedChain&, const LoadedChain&) = default;
    };

    explicit LoadedTable(TableName table) : name(std::move(table)) {}

    TableName name;
    std::vector<LoadedChain> chains;
    /// Without anonymous sets, which go with their rules.
    std::vector<std::string> sets;
    /// How many sets there are, anonymous ones included.
    std::size_t set_count = 0;
    /// How many things with names the kernel counts in it.
    std::size_t uses = 0;
    /// Holds something else that has to go too: objects, flowtables, flags.
    bool foreign = false;
};

/// One batch: all of it takes effect at once, or nothing.
struct NftBatch {
    /// From NFNL_MSG_BATCH_BEGIN to NFNL_MSG_BATCH_END. Only the last operation asks for an
    /// acknowledgement: the kernel reports errors of all others unasked.
    std::vector<std::uint8_t> bytes;
    /// What each message does, by sequence number from 0; BATCH_BEGIN is the first.
    std::vector<std::string> operations;

    /// The operation that the kernel answers with `sequence`.
    [[nodiscard]] std::string describe(std::uint32_t sequence) const;

    /// Sequence number of the operation that is acknowledged.
    [[nodiscard]] std::uint32_t last_sequence() const;
};

struct EncodeOptions {
    /// Values that the counters of rules with these keys begin with.
    Counters counters;
    /// Our tables that are loaded now. Base chains that stay the same keep standing while their
    /// rules are exchanged, so that a packet meets the old rules or the new ones. Without this a
    /// table is deleted and made anew: for a moment both chains are there, one of them empty, and
    /// a new chain has its policy only some microseconds after its rules. Loaded tables that the
    /// ruleset does not have are removed.
    std::vector<LoadedTable> loaded;
};

/// A batch that makes every table of `ruleset` exactly as it is there, and names no others than
/// these and the loaded ones.
/// Fails, with the rule or set in the message, where a value cannot stand where it is: a key part
/// of another type than its field, Reject in a verdict map, a comment of over 127 bytes, a match or
/// a chain that the table's family does not have.
Result<NftBatch> encode(const Ruleset& ruleset, const EncodeOptions& options = {});

/// What is to change in a set: elements as attributes of nftables (NFTA_LIST_ELEM), with their
/// headers and padding.
struct ElementChange {
    TableName table;
    std::string set;
    std::vector<std::string> removed;
    std::vector<std::string> added;
};

/// A batch that changes nothing but elements of loaded sets, and that the kernel refuses with
/// ERESTART where its rulesets are no longer those of `generation` (NFTA_GEN_ID).
NftBatch encode_changes(const std::vector<ElementChange>& changes, std::uint32_t generation);

/// A batch after which `tables` are gone, whether they were there or not.
NftBatch encode_removal(const std::vector<TableName>& tables);

/// A batch that adds the elements of `set`, which hold no decision, to the set of that name in
/// `table`, which has `timeouts`; the kernel removes each after `timeout`. Fails as encode() does.
Result<NftBatch> encode_timed_elements(const TableName& table, const Set& set,
                                       std::chrono::milliseconds timeout);

/// A batch after which `sets` of `table` hold no element. The kernel refuses it with ENOENT where
/// there is no such table or set.
NftBatch encode_flush(const TableName& table, const std::vector<SetHandle>& sets);

} // namespace failclosed
