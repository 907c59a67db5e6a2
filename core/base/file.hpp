// SPDX-License-Identifier: GPL-3.0-or-later
// Reads and replaces whole files. A crash or a full disk leaves the old or the new contents.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/base/result.hpp"

namespace failclosed {

/// What of a change survives a power cut.
enum class Durability {
    Durable, ///< the change: on the disk when the call returns (fsync(2) of file and directory)
    Whole,   ///< the old contents or the new ones, never a part (fsync of the file)
    Volatile ///< not guaranteed: for files on a file system in memory, such as /run
};

struct ReplaceOptions {
    /// Permission bits of a new file; the umask does not change them.
    mode_t mode = 0644;
    Durability durability = Durability::Durable;
    /// Replaces a symbolic link by a regular file. False: a link is refused (ELOOP).
    bool replace_link = false;
    /// A file that is written in place and gets shorter takes two steps. A crash between them
    /// leaves the beginning of the old contents if true, else the new contents followed by the end
    /// of the old ones.
    bool shrink_first = false;
};

/// The contents of a regular file; links are followed. EFBIG if they exceed `size_limit` bytes,
/// EINVAL if the file is not regular (FIFO, device, directory; it does not wait for these), ENOENT
/// if there is no file.
Result<std::string> read_file(const std::string& path, std::size_t size_limit);

/// The contents of the open file `descriptor` from its beginning. EFBIG if they exceed `size_limit`
/// bytes. `path` is for messages.
Result<std::string> read_open_file(int descriptor, std::size_t size_limit, const std::string& path);

/// Writes `contents` to `path` and keeps mode, owner and extended attributes (ACLs and the SELinux
/// label too) of an existing file. Readers see the old or the new contents, never a mixture: a new
/// file in the same directory is renamed over the old one. A file that is itself a mount point
/// cannot be replaced by rename: it is written in place and read back. A file that holds `contents`
/// already is not written.
///
/// Refuses an immutable file (EPERM) and a file that is not regular (EINVAL). On failure, a full
/// disk included, the old file is unchanged. The caller holds a lock: there is one writer at a
/// time.
Status replace_file(const std::string& path, std::string_view contents,
                    const ReplaceOptions& options = {});

/// Makes `path` a symbolic link to `target`, in one step; replaces a regular file or a link. On
/// failure `path` is unchanged.
Status replace_by_link(const std::string& path, const std::string& target,
                       Durability durability = Durability::Durable);

/// The target of the symbolic link `path`, not resolved (readlink(2)). EINVAL if `path` is not a
/// link, ENOENT if it does not exist.
Result<std::string> read_link(const std::string& path);

/// Removes a file or link. Succeeds if it does not exist.
Status remove_file(const std::string& path, Durability durability = Durability::Durable);

} // namespace failclosed
