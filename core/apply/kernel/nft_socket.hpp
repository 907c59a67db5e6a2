// SPDX-License-Identifier: GPL-3.0-or-later
// The netlink socket to nftables: batches, dumps and their answers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/codec/nftables/contents.hpp"
#include "core/codec/nftables/message.hpp"

namespace failclosed {

/// A netlink socket to nftables in the network namespace of the thread that opened it. Needs
/// CAP_NET_ADMIN there. For one thread.
class NftSocket {
  public:
    static Result<NftSocket> open();

    /// If something was changed, a child process closes the socket after this process has ended:
    /// closing waits some milliseconds until the kernel has freed the old tables.
    static void close_in_background(NftSocket socket);

    /// Identifies this network namespace; nullopt before Linux 5.14.
    std::optional<std::uint64_t> network() const;

    /// Makes the changes of `batch` in one transaction. On failure nothing has changed, and the
    /// error names the first operation that the kernel refused.
    Status commit(const NftBatch& batch);

    /// The kernel's generation of rulesets. The kernel raises it when a change begins to take
    /// effect, so the number can be that of rulesets which are complete only a moment later.
    Result<std::uint32_t> generation();

    /// Waits until no change is taking effect. EINTR if the rulesets are not those of `generation`
    /// then; other errors if that cannot be found out.
    Status settle(std::uint32_t generation);

    /// Adds all objects of `type` (NFT_MSG_GET...) to `contents`; only those of a table or set if
    /// `of` is not null. EINTR, with `contents` incomplete, if the rulesets are not of `generation`
    /// or change meanwhile, or if the object that `of` names does not exist.
    Status dump(std::uint16_t type, const NftContents::SetName* of, std::uint32_t generation,
                NftContents& contents);

  private:
    /// The kernel's answers to a batch.
    struct Answers;

    explicit NftSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(kBufferSize) {}

    Status send(std::span<const std::uint8_t> bytes);
    /// One or more messages; valid until the next call.
    Result<std::span<const std::uint8_t>> receive(int flags);
    Status request(std::uint16_t type, std::uint16_t flags, const NftContents::SetName* of);
    /// All answers that can be received now.
    Answers take_answers(std::uint32_t last_sequence);

    static constexpr std::size_t kBufferSize = 64 * 1024;

    UniqueFd socket_;
    std::vector<std::uint8_t> buffer_;
    std::uint32_t sequence_ = 0;
    bool committed_ = false;
};

} // namespace failclosed
