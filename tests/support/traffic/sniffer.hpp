// SPDX-License-Identifier: GPL-3.0-or-later
// Listens on the ISP's end of the client's wire and counts what leaves the client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/lab/lab.hpp"
#include "tests/support/traffic/frame.hpp"

namespace failclosed::lab {

struct Counts {
    std::uint64_t frames = 0; ///< all that came from the client
    std::uint64_t allowed = 0;
    std::uint64_t lan = 0;
    std::uint64_t leaked = 0;
    std::uint64_t lost = 0; ///< not seen, the socket's buffer was full: no result is worth anything
    std::map<std::string, std::uint64_t> leaked_kinds; ///< by the tag's name; "" without a tag
    std::map<std::string, std::uint64_t> lan_kinds;
    std::vector<std::string> examples; ///< the first leaked frames, 40 at most

    std::string text() const; ///< for a failing test: the numbers and the examples
};

/// Every frame that arrives from the client counts, with any source MAC address. Counting starts in
/// the constructor and goes on in a thread of its own.
class Sniffer {
  public:
    explicit Sniffer(const Lab& lab, Policy policy = {}, const std::string& interface = "lan0");
    Sniffer(const Sniffer&) = delete;
    Sniffer& operator=(const Sniffer&) = delete;
    ~Sniffer();

    Counts counts() const;
    std::uint64_t leaked() const; ///< leaked plus lost: cheap, for a live display
    void reset();                 ///< all counters to 0
    void set_policy(const Policy& policy);

    /// Returns when all that was sent before is counted, and nothing has come for 30 ms or, where
    /// the traffic is unbroken, a second has passed.
    void settle() const;
    /// Waits until `met` holds for the counters.
    bool wait_until(const std::function<bool(const Counts&)>& met,
                    std::chrono::milliseconds timeout = patience) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace failclosed::lab
