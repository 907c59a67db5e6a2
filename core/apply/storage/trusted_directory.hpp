// SPDX-License-Identifier: GPL-3.0-or-later
// Reads files that decide which packets pass: only if their owner alone can write to them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// An open directory that belongs to a given user and is not writable by group and others. The
/// check uses the descriptor, so that the directory cannot be exchanged between check and use.
class TrustedDirectory {
  public:
    /// ENOENT if it does not exist; EPERM if others can write to it.
    static Result<TrustedDirectory> open(const std::string& path, uid_t owner);

    /// Checks an open directory. An invalid descriptor is an error with the current errno. `path`
    /// is used in messages.
    static Result<TrustedDirectory> adopt(UniqueFd descriptor, std::string path, uid_t owner);

    /// Opens a directory in this one, under the same conditions; links are not followed.
    [[nodiscard]] Result<TrustedDirectory> open_inside(const std::string& name) const;

    /// The contents of a regular file, under the same conditions. ELOOP if it is a link; EINVAL if
    /// it is a FIFO or device (does not wait for these); EFBIG if it exceeds `size_limit` bytes.
    [[nodiscard]] Result<std::string> read(const std::string& name, std::size_t size_limit) const;

    /// All names in it except "." and "..", sorted by bytes.
    [[nodiscard]] Result<std::vector<std::string>> names() const;

    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    TrustedDirectory(UniqueFd descriptor, std::string path, uid_t owner)
        : descriptor_(std::move(descriptor)), path_(std::move(path)), owner_(owner)
    {
    }

    [[nodiscard]] bool is_link(const std::string& name) const;

    UniqueFd descriptor_;
    std::string path_;
    uid_t owner_;
};

/// Identifies a file independently of its path.
struct FileId {
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const FileId&, const FileId&) = default;
};

/// Opens paths below a root directory if each step belongs to a given user and is writable by that
/// user alone: the root, each folder, the folders of symbolic links on the path, and the file.
/// Steps are opened one by one by O_PATH, which has no effect on the file, and each is checked
/// before the next one is opened. So no path makes the caller open a device or a FIFO, wait for a
/// file system of another user, or leave the root.
///
/// EPERM if others can change a step; the error names it. ELOOP after 40 links.
class TrustedTree {
  public:
    /// `root` may be the root directory of another process, "/proc/PID/root".
    static Result<TrustedTree> open(const std::string& root, uid_t owner);

    /// The id of the regular file at `path`, which is absolute and may contain "." and "..".
    [[nodiscard]] Result<FileId> identify(const std::string& path) const;

    /// The contents of the file. EFBIG if they exceed `size_limit` bytes, EINVAL if it is not
    /// regular.
    [[nodiscard]] Result<std::string> read(const std::string& path, std::size_t size_limit) const;

    /// All names in the directory `path` except "." and "..", sorted by bytes.
    [[nodiscard]] Result<std::vector<std::string>> names(const std::string& path) const;

    /// Whether a file or directory exists at `path`. Checks its folders, but not its own owner and
    /// mode.
    [[nodiscard]] bool holds(const std::string& path) const;

  private:
    /// The file at a path, opened by O_PATH.
    struct Place {
        UniqueFd descriptor;
        /// With links and ".." resolved.
        std::string path;
        mode_t type = 0;
        FileId id;
        /// An error with the reason if others than the owner can change it.
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
