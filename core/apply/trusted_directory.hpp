// SPDX-License-Identifier: GPL-3.0-or-later
// Files that decide what is let through: read only where nobody else could have written them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// An open directory that belongs to one user and that no group and no other may write to.
/// Checked on the descriptor, so that nothing can be exchanged between the look and the use.
class TrustedDirectory {
  public:
    /// ENOENT where there is none; EPERM where others could write to it.
    static Result<TrustedDirectory> open(const std::string& path, uid_t owner);

    /// A directory inside of this one, under the same conditions; links are not followed.
    [[nodiscard]] Result<TrustedDirectory> open_inside(const std::string& name) const;

    /// The contents of a regular file, under the same conditions; links are not followed
    /// (ELOOP), FIFOs and devices are refused without waiting (EINVAL), more than `size_limit`
    /// bytes too (EFBIG).
    [[nodiscard]] Result<std::string> read(const std::string& name, std::size_t size_limit) const;

    /// All names in it but "." and "..", sorted by bytes.
    [[nodiscard]] Result<std::vector<std::string>> names() const;

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    TrustedDirectory(UniqueFd descriptor, std::string path, uid_t owner)
        : descriptor_(std::move(descriptor)), path_(std::move(path)), owner_(owner)
    {
    }

    static Result<TrustedDirectory> adopt(UniqueFd descriptor, std::string path, uid_t owner);

    UniqueFd descriptor_;
    std::string path_;
    uid_t owner_;
};

} // namespace failclosed
