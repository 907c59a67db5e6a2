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
#include "core/plan/firewall/ruleset.hpp"

namespace failclosed {

/// The kernel's key of a table: family and name.
struct TableName {
    TableFamily family = TableFamily::Inet;
    std::string name;

    friend auto operator<=>(const TableName&, const TableName&) = default;
};

/// "inet failclosed".
std::string to_string(const TableName& table);

/// The kernel's number of a table's family (linux/netfilter.h).
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

/// The named contents of a loaded table.
struct LoadedTable {
    struct LoadedChain {
        /// Hook, priority and devices of a base chain, as the kernel reports them: these cannot
        /// change in place.
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
    /// Without anonymous sets, which are removed with their rules.
    std::vector<std::string> sets;
    /// How many sets there are, anonymous ones included.
    std::size_t set_count = 0;
    /// The kernel's count of named contents.
    std::size_t uses = 0;
    /// The table has other contents that must be removed: objects, flowtables, flags.
    bool foreign = false;
};

/// One batch: takes effect as a whole, or not at all.
struct NftBatch {
    /// From NFNL_MSG_BATCH_BEGIN to NFNL_MSG_BATCH_END. Only the last operation asks for an
    /// acknowledgement: the kernel reports errors of all others unasked.
    std::vector<std::uint8_t> bytes;
    /// What each message does, by sequence number from 0; BATCH_BEGIN is the first.
    std::vector<std::string> operations;

    /// The operation with number `sequence` in the kernel's answer.
    [[nodiscard]] std::string describe(std::uint32_t sequence) const;

    /// Sequence number of the operation that is acknowledged.
    [[nodiscard]] std::uint32_t last_sequence() const;
};

struct EncodeOptions {
    /// Start values of the counters of rules with these keys.
    Counters counters;
    /// Our tables that are loaded now. Unchanged base chains are kept while their rules are
    /// replaced, so that each packet passes either the old rules or the new ones. Without this a
    /// table is deleted and created again: for a moment both chains exist, one of them empty, and a
    /// new chain gets its policy some microseconds after its rules. Loaded tables that are not in
    /// the ruleset are removed.
    std::vector<LoadedTable> loaded;
};

/// A batch that replaces every table of `ruleset`, and changes no others except the loaded ones.
/// Fails, with the rule or set in the message, if a value is invalid in its place: a key part of
/// another type than its field, Reject in a verdict map, a comment of over 127 bytes, a match or a
/// chain that the table's family does not have.
Result<NftBatch> encode(const Ruleset& ruleset, const EncodeOptions& options = {});

/// Changes of a set: elements as nftables attributes (NFTA_LIST_ELEM), with headers and padding.
struct ElementChange {
    TableName table;
    std::string set;
    std::vector<std::string> removed;
    std::vector<std::string> added;
};

/// A batch that changes only elements of loaded sets. The kernel refuses it with ERESTART if its
/// ruleset is not that of `generation` (NFTA_GEN_ID).
NftBatch encode_changes(const std::vector<ElementChange>& changes, std::uint32_t generation);

/// A batch that removes `tables`, whether they exist or not.
NftBatch encode_removal(const std::vector<TableName>& tables);

/// A batch that adds the elements of `set`, which hold no decision, to the set of that name in
/// `table`, which has `timeouts`; the kernel removes each after `timeout`. Fails as encode() does.
Result<NftBatch> encode_timed_elements(const TableName& table, const Set& set,
                                       std::chrono::milliseconds timeout);

/// A batch that empties `sets` of `table`. The kernel refuses it with ENOENT if a table or set does
/// not exist.
NftBatch encode_flush(const TableName& table, const std::vector<SetHandle>& sets);

} // namespace failclosed
