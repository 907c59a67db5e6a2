// SPDX-License-Identifier: GPL-3.0-or-later
// Which rules a run has seen in the kernel, for the next run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/apply/storage/state_store.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// Rules that were read back from the kernel, and when.
struct SeenRules {
    /// Of the network namespace (SO_NETNS_COOKIE, socket(7)): no other one has had it, or will,
    /// until the machine is started again.
    std::uint64_t network = 0;
    /// NFTA_GEN_ID: the kernel counts the batches that change rulesets of a network namespace. It
    /// does not count elements that time out and chains that go with their device, and it begins
    /// anew where the module nf_tables is loaded again, which cannot be while our tables are there.
    std::uint32_t generation = 0;
    /// The batch that loads what was seen, as encode() makes it without options.
    std::vector<std::uint8_t> batch;

    friend bool operator==(const SeenRules&, const SeenRules&) = default;
};

/// The file "rules" in a directory. Callers hold the run's lock.
class FirewallMemory {
  public:
    /// `boot_id` is the file for read_boot_id().
    explicit FirewallMemory(std::string directory, std::string boot_id = kBootIdFile)
        : directory_(std::move(directory)), boot_id_(std::move(boot_id))
    {
    }

    /// The rules that were remembered since the machine was started. `nullopt` if the file cannot
    /// be read, is malformed, is of an earlier boot, or could be written by another user.
    std::optional<SeenRules> load() const;

    /// Remembers `seen`, in the place of what was remembered before. On failure nothing is
    /// remembered, or still that: it says of itself when it was true.
    Status save(const SeenRules& seen) const;

    /// Removes the file. Callers that remove the tables, or find them missing, call this.
    Status forget() const;

  private:
    std::string directory_;
    std::string boot_id_;
};

} // namespace failclosed
