// SPDX-License-Identifier: GPL-3.0-or-later
// Our tables in the kernel: replaced whole, read back, removed. No other table is touched.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/apply/nft_socket.hpp"
#include "core/codec/nft_contents.hpp"
#include "core/codec/nft_message.hpp"

namespace failclosed {

/// Our tables in the network namespace of the thread that opened this. Needs CAP_NET_ADMIN there.
/// For one thread.
class Nftables {
  public:
    static Result<Nftables> open();

    /// NftSocket::close_in_background().
    static void close_in_background(Nftables nftables);

    /// Makes our tables in the kernel what `ruleset` says, in one transaction; tables called
    /// kTableName that it does not have are removed. Where only elements of sets differ, only
    /// these are exchanged. Otherwise counters of rules with the same chain and comment go on
    /// from what they were, and elements with timeouts are gone afterwards. On failure nothing
    /// has changed, and the error names the first operation that the kernel refused.
    Status replace(const Ruleset& ruleset);

    /// Makes the tables of `ruleset` anew, in one transaction and without a look at the kernel; all
    /// other tables stay as they are. On failure nothing has changed.
    Status load(const Ruleset& ruleset);

    /// Takes away `tables`, in one transaction; succeeds where they are not there.
    Status remove(const std::vector<TableName>& tables);

    /// Whether the kernel holds exactly `ruleset`: reads its tables, and any other called
    /// kTableName, and compares all that they contain, in both directions. Counter values, handles,
    /// and elements with timeouts do not count. What the kernel says not to have changed since an
    /// earlier look (NFTA_GEN_ID) is not read again. Fails only where the kernel cannot be read.
    Result<bool> holds(const Ruleset& ruleset);

    /// Whether the kernel takes chains at the egress of a device (Linux 5.16): asks with a batch
    /// that has no end, which the kernel checks and does not commit.
    bool has_egress_hook();

    /// Whether the table that closes the machine is loaded, whatever it contains.
    Result<bool> exists();

    /// What the rules of `tables` have counted.
    Result<Counters> counters(const std::vector<TableName>& tables);

    /// Adds the elements of `set` to the loaded set of that name, which has timeouts; the kernel
    /// removes each after `timeout`. Nothing is added on failure.
    Status add_timed(const TableName& table, const Set& set, std::chrono::milliseconds timeout);

    /// The devices that base chains of `table` are on, as the kernel says it; none where it is not
    /// loaded.
    Result<std::vector<std::string>> devices(const TableName& table);

    /// Which of `tables` are loaded, in the order given.
    Result<std::vector<TableName>> loaded(const std::vector<TableName>& tables);

    /// Takes all elements out of `sets` of a loaded table, those with timeouts too. Nothing changes
    /// on failure; ENOENT is the number where a set is not there.
    Status flush(const TableName& table, const std::vector<SetHandle>& sets);

  private:
    /// How much of the tables is read.
    enum class Depth : std::uint8_t { Tables, Rules, Elements };

    explicit Nftables(NftSocket socket) : socket_(std::move(socket)) {}

    /// Makes wanted_batch_ what loads `ruleset`.
    Status want(const Ruleset& ruleset);
    /// What wanted_batch_ makes of the tables.
    const NftContents& wanted_contents();
    /// Makes seen_ what the kernel holds in wanted_tables_.
    Status look();
    /// Whether what is wanted could be reached from seen_ by elements of sets alone.
    bool exchange_elements();
    /// Brings seen_ up to date after our own `changes`: reads the sets that these are about. False
    /// where anything else has changed as well.
    bool look_again(const std::vector<ElementChange>& changes);
    Result<NftContents> read_once(const std::vector<TableName>& tables, Depth depth);
    Result<NftContents> read(const std::vector<TableName>& tables, Depth depth);

    NftSocket socket_;
    /// The kernel numbers its rulesets: what one look has seen of them must be one.
    std::uint32_t generation_ = 0;
    /// What the last look saw, of generation_.
    std::optional<NftContents> seen_;
    /// What was asked for last: usually it is asked for before and after a change.
    std::optional<Ruleset> wanted_;
    std::vector<std::uint8_t> wanted_batch_;
    std::vector<TableName> wanted_tables_;
    std::optional<NftContents> wanted_contents_;
};

} // namespace failclosed
