// SPDX-License-Identifier: GPL-3.0-or-later
// The contents of nftables messages as comparable values: one reader for dumps of the kernel and
// for our own batches.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/codec/nftables/message.hpp"

struct nlmsghdr;

namespace failclosed {

/// The contents of some tables. Handles, counter values and the elements of sets with timeouts
/// are left out; everything else counts.
class NftContents {
  public:
    struct SetName {
        TableName table;
        std::string set;

        friend auto operator<=>(const SetName&, const SetName&) = default;
    };

    /// Ignores messages about other tables than `tables`.
    explicit NftContents(std::vector<TableName> tables) : tables_(std::move(tables)) {}

    /// Reads one message about a table, chain, set, set element or rule (NFT_MSG_NEW*); ignores
    /// others.
    void add(const nlmsghdr* message);

    /// Reads every message of a batch.
    void add_all(std::span<const std::uint8_t> messages);

    /// Reads every message of a batch except those about rules, which are the most.
    void add_all_but_rules(std::span<const std::uint8_t> messages);

    /// Sorts the contents; call after the last add().
    void finish();

    /// Removes the elements of a set, so that they can be added again.
    void forget_elements(const SetName& set);

    /// Comparable after finish().
    friend bool operator==(const NftContents& a, const NftContents& b)
    {
        return a.lines_ == b.lines_ &&
               std::ranges::equal(a.elements_, b.elements_, {}, &Element::line, &Element::line);
    }

    /// The changes from this to `wanted`; nullopt if they differ in more than elements of sets.
    /// Both are finished.
    [[nodiscard]] std::optional<std::vector<ElementChange>>
    changes_to(const NftContents& wanted) const;

    /// Whether `others` has the same tables with the same chains, base chains at the same hooks.
    [[nodiscard]] bool has_chains_of(const NftContents& others) const;

    /// The tables that are read.
    [[nodiscard]] const std::vector<TableName>& tables() const { return tables_; }

    /// Sums of the counters by chain and comment.
    [[nodiscard]] const Counters& counters() const { return counters_; }

    /// The tables that were read, with the names of their contents.
    [[nodiscard]] const std::vector<LoadedTable>& loaded() const { return loaded_; }

    /// The sets whose elements are compared.
    [[nodiscard]] const std::vector<SetName>& comparable_sets() const { return sets_; }

  private:
    struct Element {
        std::string line;
        /// As in ElementChange: two for an interval of a single field.
        std::string attributes;
        /// Index of its set in sets_.
        std::size_t set = 0;
        /// The end of an interval, which is not part of it.
        bool is_end = false;
        /// Start and end of an interval.
        bool is_whole = false;
    };

    /// Calls `take(element)` for each element that is not in `others`. Both are finished.
    template <typename Take> void for_each_missing(const NftContents& others, Take take) const;
    void fold_intervals();
    void add_table(const TableName& table, const nlmsghdr* message);
    void add_chain(const TableName& table, const nlmsghdr* message);
    void add_set(const TableName& table, const nlmsghdr* message);
    void add_elements(const TableName& table, const nlmsghdr* message);
    void add_rule(const TableName& table, const nlmsghdr* message);
    LoadedTable& loaded_table(const TableName& table);

    std::vector<TableName> tables_;
    std::vector<std::string> lines_;
    std::vector<Element> elements_;
    std::vector<LoadedTable> loaded_;
    std::vector<SetName> sets_;
    Counters counters_;
    /// Index in tables_ of the last rule's table, its chain, and its index there: rules come chain
    /// by chain, in order.
    std::ptrdiff_t rule_table_ = 0;
    std::string rule_chain_;
    unsigned rule_place_ = 0;
};

/// Whether two batches of encode() load the same rules in the same order; ignores other messages.
bool same_rules(std::span<const std::uint8_t> one, std::span<const std::uint8_t> other);

} // namespace failclosed
