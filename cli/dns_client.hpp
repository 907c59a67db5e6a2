// SPDX-License-Identifier: GPL-3.0-or-later
// Asks given resolvers for addresses, on sockets that a process with more rights has made.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "core/base/result.hpp"
#include "core/codec/lookup_records.hpp"
#include "core/model/names.hpp"

namespace failclosed::cli {

/// A socket that is not in use yet.
struct ReadySocket {
    /// AF_INET or AF_INET6.
    int family = 0;
    /// SOCK_DGRAM or SOCK_STREAM.
    int type = 0;
    /// Does not block.
    int descriptor = -1;
};

/// Opens no file and makes no socket after open().
class DnsClient {
  public:
    /// `timeout` is for one question; it is asked twice.
    static Result<DnsClient> open(const std::vector<IpAddress>& resolvers,
                                  std::vector<ReadySocket> sockets,
                                  std::chrono::milliseconds timeout);

    DnsClient(DnsClient&&) noexcept;
    DnsClient(const DnsClient&) = delete;
    DnsClient& operator=(const DnsClient&) = delete;
    DnsClient& operator=(DnsClient&&) = delete;
    ~DnsClient();

    /// Once. Returns when all names are answered or have timed out.
    LookupRecords ask(const std::vector<HostName>& names);

  private:
    struct Parts;
    explicit DnsClient(std::unique_ptr<Parts> parts);

    std::unique_ptr<Parts> parts_;
};

} // namespace failclosed::cli
