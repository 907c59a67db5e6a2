// SPDX-License-Identifier: GPL-3.0-or-later
// What is said to nftables, and what it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"
#include "core/codec/nft_contents.hpp"
#include "core/codec/nft_message.hpp"

namespace failclosed {

/// A netlink socket to nftables in the network namespace of the thread that opened it. Needs
/// CAP_NET_ADMIN there. For one thread.
class NftSocket {
  public:
    static Result<NftSocket> open();

    /// Lets a child close the socket after this process has ended, where something was changed:
    /// closing waits until the kernel has freed the old tables, and that takes milliseconds.
    static void close_in_background(NftSocket socket);

    /// Makes the changes of `batch`, in one transaction. On failure nothing has changed, and the
    /// error names the first operation that the kernel refused.
    Status commit(const NftBatch& batch);

    /// The number of the kernel's rulesets as they are now, or as they will be in a moment: it is
    /// told as soon as a change has begun to take effect.
    Result<std::uint32_t> generation();

    /// Adds to `contents` all that `type` (NFT_MSG_GET...) stands for, of one table or one set of
    /// it where these are given. EINTR where the rulesets are not, or do not stay, those of
    /// `generation`, and where what is asked for by name is not there: `contents` is worth nothing
    /// then.
    Status dump(std::uint16_t type, const NftContents::SetName* of, std::uint32_t generation,
                NftContents& contents);

  private:
    /// What the kernel answered to a batch.
    struct Answers;

    explicit NftSocket(UniqueFd socket) : socket_(std::move(socket)), buffer_(kBufferSize) {}

    Status send(std::span<const std::uint8_t> bytes);
    /// The next message or several; valid until the next call.
    Result<std::span<const std::uint8_t>> receive(int flags);
    Status request(std::uint16_t type, std::uint16_t flags, const NftContents::SetName* of);
    /// All that is there to be received.
    Answers take_answers(std::uint32_t last_sequence);

    static constexpr std::size_t kBufferSize = 64 * 1024;

    UniqueFd socket_;
    std::vector<std::uint8_t> buffer_;
    std::uint32_t sequence_ = 0;
    bool committed_ = false;
};

} // namespace failclosed
