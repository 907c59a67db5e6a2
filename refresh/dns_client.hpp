// SPDX-License-Identifier: GPL-3.0-or-later
// Asks resolvers for addresses, on sockets that a process with more privileges has created.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/files/lookup_records.hpp"
#include "core/model/names.hpp"

namespace failclosed::cli {

/// A socket that is not used yet.
struct ReadySocket {
    /// AF_INET or AF_INET6.
    int family = 0;
    /// SOCK_DGRAM or SOCK_STREAM.
    int type = 0;
    /// Non-blocking.
    int descriptor = -1;
};

/// After open() it opens no file and creates no socket.
class DnsClient {
  public:
    /// `timeout` is for one query; each query is sent twice.
    static Result<DnsClient> open(const std::vector<IpAddress>& resolvers,
                                  std::vector<ReadySocket> sockets,
                                  std::chrono::milliseconds timeout);

    DnsClient(DnsClient&&) noexcept;
    DnsClient(const DnsClient&) = delete;
    DnsClient& operator=(const DnsClient&) = delete;
    DnsClient& operator=(DnsClient&&) = delete;
    ~DnsClient();

    /// Looks up `names`; returns when all have been answered or have timed out. Called once only.
    LookupRecords ask(const std::vector<HostName>& names);

  private:
    struct Parts;
    explicit DnsClient(std::unique_ptr<Parts> parts);

    std::unique_ptr<Parts> parts_;
};

} // namespace failclosed::cli
