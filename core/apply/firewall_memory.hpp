// SPDX-License-Identifier: GPL-3.0-or-later
// Which rules a run has seen in the kernel, for the next run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace failclosed {

/// Rules that were read back from the kernel, and when.
struct SeenRules {
    /// Of the network namespace (SO_NETNS_COOKIE, socket(7)): no other one has had it, or will,
    /// until the machine is started again.
    std::uint64_t network = 0;
    /// NFTA_GEN_ID: the kernel counts each change of the rulesets of a network namespace.
    std::uint32_t generation = 0;
    /// The batch that loads what was seen, as encode() makes it without options.
    std::vector<std::uint8_t> batch;

    friend bool operator==(const SeenRules&, const SeenRules&) = default;
};

/// A file that does not outlive the machine's start. Callers hold the run's lock.
class FirewallMemory {
  public:
    /// `boot_id` tells one start of the machine from another (proc_sys_kernel(5)).
    explicit FirewallMemory(std::string path,
                            std::string boot_id = "/proc/sys/kernel/random/boot_id")
        : path_(std::move(path)), boot_id_(std::move(boot_id))
    {
    }

    /// What was remembered since the machine was started; nothing where that cannot be told.
    std::optional<SeenRules> load() const;

    /// Remembers `seen`, in the place of what was remembered before. On failure that may be there
    /// still: it says of itself when it was true.
    Status save(const SeenRules& seen) const;

  private:
    std::string path_;
    std::string boot_id_;
};

} // namespace failclosed
