// SPDX-License-Identifier: GPL-3.0-or-later
// A web server in a machine of the lab, for NetworkManager's connectivity check.
#pragma once

#include <string>

#include "tests/support/lab/box.hpp"

namespace failclosed::lab {

/// Answers every request on port 80, all addresses, both families, with the same text.
class HttpServer {
  public:
    /// Returns when it serves.
    explicit HttpServer(const Box& box, std::string body = "NetworkManager is online\n");

    std::size_t requests() const { return process_.count("request\n"); }

    bool wait_for_requests(std::size_t times, std::chrono::milliseconds timeout = patience) const
    {
        return process_.wait_for("request\n", times, timeout);
    }

    void kill() const { process_.kill(); }

  private:
    Process process_;
};

} // namespace failclosed::lab
