// SPDX-License-Identifier: GPL-3.0-or-later
// Whole files: bounded reading, and replacing that no crash and no full disk can tear.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/base/result.hpp"

namespace failclosed {

/// What a power cut may do to a change.
enum class Durability {
    Durable, ///< nothing: it is on the disk when the call returns (fsync(2) of file and directory)
    Whole,   ///< undo it: the old contents or the new ones are there, whole (fsync of the file)
    Volatile ///< anything: for files that do not outlive the power anyway, as on /run
};

struct ReplaceOptions {
    /// Permission bits, whatever the umask, of a file that was not there before.
    mode_t mode = 0644;
    Durability durability = Durability::Durable;
    /// Puts a regular file in the place of a symbolic link; else a link is refused (ELOOP).
    bool replace_link = false;
    /// Where a file is written in place, and shrinks, two steps are needed. This is what a crash
    /// between them leaves: the beginning of the old contents where true; else the new contents
    /// with the end of the old ones after them.
    bool shrink_first = false;
};

/// The contents of a regular file, links followed. More than `size_limit` bytes is EFBIG; what
/// is not a regular file (FIFO, device, directory) is refused without waiting for it. A missing
/// file is ENOENT.
Result<std::string> read_file(const std::string& path, std::size_t size_limit);

/// Makes `contents` the contents of `path`, keeping mode, owner and extended attributes (so ACLs
/// and the SELinux label too) of the file that was there. Readers see the old or the new
/// contents, never a mixture: a new file in the same directory is renamed over the old one. Only
/// a file that is itself a mount point, which cannot be renamed over, is written in place, and
/// read back. Nothing is written where the file holds `contents` already.
///
/// An immutable file is refused (EPERM), and what is not a regular file (EINVAL). On failure, a
/// full disk included, the old file is whole. One writer at a time: callers hold a lock.
Status replace_file(const std::string& path, std::string_view contents,
                    const ReplaceOptions& options = {});

/// Puts a symbolic link to `target` at `path`, in one step, in the place of a regular file or
/// link there. On failure `path` is as it was.
Status replace_by_link(const std::string& path, const std::string& target,
                       Durability durability = Durability::Durable);

/// The target of the symbolic link `path` as it is written there (readlink(2)); EINVAL where
/// `path` is no link, ENOENT where there is nothing.
Result<std::string> read_link(const std::string& path);

/// Removes a file or link; one that is not there is no failure.
Status remove_file(const std::string& path, Durability durability = Durability::Durable);

} // namespace failclosed
