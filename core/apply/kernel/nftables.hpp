// SPDX-License-Identifier: GPL-3.0-or-later
// Our tables in the kernel: replaced whole, read back, removed. No other table is touched.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/apply/kernel/firewall_memory.hpp"
#include "core/apply/kernel/nft_socket.hpp"
#include "core/codec/nftables/contents.hpp"
#include "core/codec/nftables/message.hpp"

namespace failclosed {

/// Our tables in the network namespace of the thread that opened this. Needs CAP_NET_ADMIN there.
/// For one thread.
class Nftables {
  public:
    static Result<Nftables> open();

    /// Contents that an earlier run has noted in `memory` are not read again where the kernel says
    /// that no ruleset has changed since, but for tables and chains: chains on a device go with
    /// it, and nothing is counted. What holds() finds from now on is noted. Callers hold the run's
    /// lock.
    void remember_in(FirewallMemory memory)
    {
        memory_ = std::move(memory);
        seen_.reset(); // what is noted has to be read with more care
    }

    /// NftSocket::close_in_background().
    static void close_in_background(Nftables nftables);

    /// Makes our tables in the kernel equal to `ruleset`, in one transaction. Tables called
    /// kTableName that are not in `ruleset` are removed. If only elements of sets differ, only
    /// these are exchanged. Otherwise counters of rules with the same chain and comment keep their
    /// values, and elements with timeouts are removed. On failure nothing has changed, and the
    /// error names the first operation that the kernel refused.
    Status replace(const Ruleset& ruleset);

    /// Replaces the tables of `ruleset` in one transaction, without reading the kernel; all other
    /// tables stay. On failure nothing has changed.
    Status load(const Ruleset& ruleset);

    /// Removes `tables` in one transaction; succeeds if they do not exist.
    Status remove(const std::vector<TableName>& tables);

    /// Whether our tables in the kernel are equal to `ruleset`: reads its tables and all others
    /// called kTableName, and compares their contents in both directions, except counter values,
    /// handles and elements with timeouts. Does not read again if the kernel's generation
    /// (NFTA_GEN_ID) is the same as at the last look of this object. Fails only if the kernel
    /// cannot be read.
    Result<bool> holds(const Ruleset& ruleset);

    /// Whether the kernel supports chains at a device's egress (Linux 5.16). Sends a batch without
    /// an end, which the kernel checks but does not commit.
    bool has_egress_hook();

    /// Whether the table that closes the machine is loaded. Its contents are not checked.
    Result<bool> exists();

    /// The counters of the rules of `tables`.
    Result<Counters> counters(const std::vector<TableName>& tables);

    /// Adds the elements of `set` to the loaded set of that name, which has timeouts; the kernel
    /// removes each after `timeout`. On failure nothing has changed.
    Status add_timed(const TableName& table, const Set& set, std::chrono::milliseconds timeout);

    /// The kernel's list of devices on which `table` has base chains; empty if it is not loaded.
    Result<std::vector<std::string>> devices(const TableName& table);

    /// Which of `tables` are loaded, in the order given.
    Result<std::vector<TableName>> loaded(const std::vector<TableName>& tables);

    /// Removes all elements of `sets` of a loaded table, also those with timeouts. On failure
    /// nothing has changed; ENOENT if a set does not exist.
    Status flush(const TableName& table, const std::vector<SetHandle>& sets);

  private:
    /// How much of the tables is read.
    enum class Depth : std::uint8_t { Tables, Chains, Rules, Elements };

    explicit Nftables(NftSocket socket) : socket_(std::move(socket)) {}

    /// Makes wanted_batch_ what loads `ruleset`.
    Status want(const Ruleset& ruleset);
    /// What wanted_batch_ makes of the tables; without the rules, where seen_ is.
    const NftContents& wanted_contents();
    /// Makes seen_ what the kernel holds in wanted_tables_: without the rules, where these are
    /// known to be the wanted ones.
    Status look();
    /// The same with the rules in any case.
    Status look_at_all();
    /// Makes seen_ what was remembered of the rulesets of `generation`. False where that is
    /// nothing, or not enough.
    bool recall(std::uint32_t generation);
    /// Notes that the kernel holds what is wanted.
    void remember();
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
    /// seen_ is without the rules: the kernel holds those of remembered_.
    bool without_rules_ = false;
    /// What was asked for last: usually it is asked for before and after a change.
    std::optional<Ruleset> wanted_;
    std::vector<std::uint8_t> wanted_batch_;
    std::vector<TableName> wanted_tables_;
    std::optional<NftContents> wanted_contents_;
    bool wanted_without_rules_ = false;
    std::optional<FirewallMemory> memory_;
    /// What memory_ is known to have held, or was to hold, last.
    std::optional<SeenRules> remembered_;
};

} // namespace failclosed
