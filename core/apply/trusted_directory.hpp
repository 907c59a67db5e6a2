// SPDX-License-Identifier: GPL-3.0-or-later
// Files that decide what is let through: read only if their owner alone could have written them.
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

    /// The same for one that is open; an invalid descriptor is an error of errno's. `path` is what
    /// messages call it.
    static Result<TrustedDirectory> adopt(UniqueFd descriptor, std::string path, uid_t owner);

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

    UniqueFd descriptor_;
    std::string path_;
    uid_t owner_;
};

/// A file, whatever path it is found under.
struct FileId {
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const FileId&, const FileId&) = default;
};

/// The paths below one root directory of which every step belongs to one user and can be written
/// to by that user alone: the root, each folder, the folders that symbolic links lead through, and
/// the file. Steps are opened one after the other without an effect on what they name (O_PATH), and
/// a step is checked before anything below it is looked at: no path makes the caller open a device
/// or a FIFO, wait for a file system of another user, or leave the root.
///
/// EPERM for a step that others can change; the error names it. ELOOP after 40 links.
class TrustedTree {
  public:
    /// `root` may be the root directory of another process, "/proc/PID/root".
    static Result<TrustedTree> open(const std::string& root, uid_t owner);

    /// Which regular file `path` is. It is absolute; "." and ".." are understood.
    [[nodiscard]] Result<FileId> identify(const std::string& path) const;

    /// Its contents. More than `size_limit` bytes is EFBIG, another kind of file EINVAL.
    [[nodiscard]] Result<std::string> read(const std::string& path, std::size_t size_limit) const;

    /// All names in the directory `path` but "." and "..", sorted by bytes.
    [[nodiscard]] Result<std::vector<std::string>> names(const std::string& path) const;

    /// Whether there is a file or directory at `path`. Its folders are checked; its own owner and
    /// mode are not.
    [[nodiscard]] bool holds(const std::string& path) const;

  private:
    /// What a path leads to, opened by O_PATH.
    struct Place {
        UniqueFd descriptor;
        /// Without links and "..".
        std::string path;
        mode_t type = 0;
        FileId id;
        /// Why others than the owner can change it, if they can.
        Status trusted;
    };

    TrustedTree(UniqueFd root, uid_t owner) : root_(std::move(root)), owner_(owner) {}

    [[nodiscard]] Result<Place> look_up(const std::string& path) const;
    [[nodiscard]] Result<Place> open_step(int folder, const std::string& name,
                                          const std::string& path) const;
    [[nodiscard]] Result<Place> find_file(const std::string& path) const;

    UniqueFd root_;
    uid_t owner_;
};

} // namespace failclosed
