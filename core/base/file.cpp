// SPDX-License-Identifier: GPL-3.0-or-later
// Whole files: reading, and replacing by rename.
#include "core/base/file.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "core/base/owned.hpp"

namespace failclosed {
namespace {

/// Where a file is. The directory is a descriptor: it stays the same if its path is renamed.
struct Place {
    UniqueFd directory;
    std::string name;
    /// The path as the caller gave it, for messages.
    std::string path;

    /// Name of the new file before it is renamed. Always the same, so that crashes leave one file
    /// at most.
    [[nodiscard]] std::string temporary() const { return "." + name + ".failclosed"; }
};

Result<Place> find_place(const std::string& path)
{
    const std::size_t slash = path.rfind('/');
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name.empty()) {
        return fail_errno(path, EISDIR);
    }
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    UniqueFd directory(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid()) {
        return fail_errno("open " + parent);
    }
    return Place{std::move(directory), name, path};
}

Status sync_contents(int descriptor, const Place& place, Durability durability)
{
    if (durability != Durability::Volatile && fsync(descriptor) != 0) {
        return fail_errno("fsync " + place.path);
    }
    return {};
}

Status sync_directory(const Place& place, Durability durability)
{
    if (durability == Durability::Durable && fsync(place.directory.get()) != 0) {
        return fail_errno("fsync directory of " + place.path);
    }
    return {};
}

Status rename_into_place(const Place& place, Durability durability)
{
    const int directory = place.directory.get();
    if (renameat(directory, place.temporary().c_str(), directory, place.name.c_str()) != 0) {
        Status failed = fail_errno("replace " + place.path);
        unlinkat(directory, place.temporary().c_str(), 0);
        return failed;
    }
    return sync_directory(place, durability);
}

Status write_all(int descriptor, std::string_view contents, const std::string& path)
{
    off_t offset = 0;
    while (!contents.empty()) {
        const ssize_t written = pwrite(descriptor, contents.data(), contents.size(), offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return fail_errno("write " + path);
        }
        offset += written;
        contents.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

/// IMA's and EVM's attributes are hashes of the old file; the kernel computes those of the new one.
bool describes_contents(std::string_view attribute)
{
    return attribute == "security.ima" || attribute == "security.evm";
}

Status copy_attribute(int from, int to, const char* name, const std::string& path)
{
    std::vector<char> value(XATTR_SIZE_MAX);
    const ssize_t size = fgetxattr(from, name, value.data(), value.size());
    if (size < 0 || fsetxattr(to, name, value.data(), static_cast<std::size_t>(size), 0) != 0) {
        return fail_errno("keep attribute " + std::string(name) + " of " + path);
    }
    return {};
}

Status copy_attributes(int from, int to, const std::string& path)
{
    if (flistxattr(from, nullptr, 0) == 0) {
        return {}; // of most files, without the room for the longest list
    }
    std::vector<char> names(XATTR_LIST_MAX);
    const ssize_t size = flistxattr(from, names.data(), names.size());
    if (size < 0) {
        return errno == EOPNOTSUPP ? Status() : fail_errno("list attributes of " + path);
    }
    const std::string_view list(names.data(), static_cast<std::size_t>(size));
    for (std::size_t start = 0; start < list.size();) {
        const char* name = list.data() + start;
        const std::string_view attribute(name);
        start += attribute.size() + 1;
        if (describes_contents(attribute)) {
            continue;
        }
        if (Status copied = copy_attribute(from, to, name, path); !copied) {
            return copied;
        }
    }
    return {};
}

/// Sets the owner before the mode, because chown(2) clears set-id bits, and the mode before the
/// attributes, because chmod(2) changes the ACL.
Status keep_attributes(int from, int to, const std::string& path)
{
    struct stat old{};
    if (fstat(from, &old) != 0 || fchown(to, old.st_uid, old.st_gid) != 0 ||
        fchmod(to, old.st_mode & 07777) != 0) {
        return fail_errno("keep mode and owner of " + path);
    }
    return copy_attributes(from, to, path);
}

Status fill_new_file(int descriptor, int old, const Place& place, std::string_view contents,
                     const ReplaceOptions& options)
{
    if (Status written = write_all(descriptor, contents, place.path); !written) {
        return written;
    }
    if (old >= 0) {
        if (Status kept = keep_attributes(old, descriptor, place.path); !kept) {
            return kept;
        }
    } else if (fchmod(descriptor, options.mode) != 0) {
        return fail_errno("chmod " + place.path);
    }
    return sync_contents(descriptor, place, options.durability);
}

/// `old` is -1 if there was no file.
Status replace_by_rename(const Place& place, int old, std::string_view contents,
                         const ReplaceOptions& options)
{
    const int directory = place.directory.get();
    const std::string temporary = place.temporary();
    unlinkat(directory, temporary.c_str(), 0);
    UniqueFd fresh(openat(directory, temporary.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fresh.valid()) {
        return fail_errno("create a file beside " + place.path);
    }
    if (Status filled = fill_new_file(fresh.get(), old, place, contents, options); !filled) {
        unlinkat(directory, temporary.c_str(), 0);
        return filled;
    }
    return rename_into_place(place, options.durability);
}

Status set_size(int descriptor, std::size_t size, const std::string& path)
{
    const bool done = ftruncate(descriptor, static_cast<off_t>(size)) == 0;
    return done ? Status() : fail_errno("truncate " + path);
}

Status overwrite(int descriptor, const Place& place, std::string_view contents, bool shrink_first)
{
    if (shrink_first) {
        if (Status shrunk = set_size(descriptor, contents.size(), place.path); !shrunk) {
            return shrunk;
        }
    }
    if (Status written = write_all(descriptor, contents, place.path); !written) {
        return written;
    }
    if (Status cut = set_size(descriptor, contents.size(), place.path); !cut) {
        return cut;
    }
    const Result<std::string> now = read_open_file(descriptor, contents.size(), place.path);
    if (!now) {
        return Failure(now.error());
    }
    return *now == contents ? Status() : fail(place.path + ": reads back different contents");
}

/// Allocates space first, so that a full disk is detected before the old contents are changed.
Status replace_in_place(const Place& place, std::string_view old, std::string_view contents,
                        const ReplaceOptions& options)
{
    const UniqueFd target(openat(place.directory.get(), place.name.c_str(),
                                 O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!target.valid()) {
        return fail_errno("open " + place.path);
    }
    const auto size = static_cast<off_t>(contents.size());
    if (size > 0 && fallocate(target.get(), FALLOC_FL_KEEP_SIZE, 0, size) != 0 &&
        errno != EOPNOTSUPP) {
        return fail_errno("write " + place.path);
    }
    const bool shrink_first = options.shrink_first && contents.size() < old.size();
    if (Status written = overwrite(target.get(), place, contents, shrink_first); !written) {
        (void)overwrite(target.get(), place, old, false);
        return written;
    }
    return sync_contents(target.get(), place, options.durability);
}

/// The file that is at a place now.
struct Occupant {
    bool exists = false;
    bool link = false;
    bool regular = false;
    bool immutable = false;
    bool mount_point = false;
    std::size_t size = 0;
};

Result<Occupant> look_at(const Place& place)
{
    struct statx info{};
    if (statx(place.directory.get(), place.name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_TYPE | STATX_SIZE, &info) != 0) {
        return errno == ENOENT ? Result<Occupant>(Occupant()) : fail_errno("stat " + place.path);
    }
    return Occupant{.exists = true,
                    .link = S_ISLNK(info.stx_mode),
                    .regular = S_ISREG(info.stx_mode),
                    .immutable =
                        (info.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0,
                    .mount_point = (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0,
                    .size = static_cast<std::size_t>(info.stx_size)};
}

/// An error if `occupant` must not be replaced.
Status check_replaceable(const Occupant& occupant, const std::string& path)
{
    if (occupant.immutable) {
        return fail(path + ": is immutable; allow changes with: chattr -ia " + path, EPERM);
    }
    if (occupant.exists && !occupant.link && !occupant.regular) {
        return fail(path + ": is not a regular file", EINVAL);
    }
    return {};
}

Status replace_regular_file(const Place& place, const Occupant& occupant, std::string_view contents,
                            const ReplaceOptions& options)
{
    const UniqueFd old(openat(place.directory.get(), place.name.c_str(),
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!old.valid()) {
        return fail_errno("open " + place.path);
    }
    const Result<std::string> held = read_open_file(old.get(), occupant.size, place.path);
    if (!held) {
        return Failure(held.error());
    }
    if (*held == contents) {
        return {};
    }
    return occupant.mount_point ? replace_in_place(place, *held, contents, options)
                                : replace_by_rename(place, old.get(), contents, options);
}

} // namespace

Result<std::string> read_file(const std::string& path, std::size_t size_limit)
{
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file.valid()) {
        return fail_errno("open " + path);
    }
    struct stat info{};
    if (fstat(file.get(), &info) != 0) {
        return fail_errno("stat " + path);
    }
    if (!S_ISREG(info.st_mode)) {
        return fail(path + ": is not a regular file", EINVAL);
    }
    return read_open_file(file.get(), size_limit, path);
}

Result<std::string> read_open_file(int descriptor, std::size_t size_limit, const std::string& path)
{
    std::string contents;
    struct stat file{};
    if (fstat(descriptor, &file) == 0 && file.st_size > 0) {
        contents.reserve(std::min(static_cast<std::size_t>(file.st_size), size_limit) + 1);
    }
    std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t got =
            pread(descriptor, buffer.data(), buffer.size(), static_cast<off_t>(contents.size()));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("read " + path);
        }
        if (got == 0) {
            return contents;
        }
        contents.append(buffer.data(), static_cast<std::size_t>(got));
        if (contents.size() > size_limit) {
            return fail_errno("read " + path, EFBIG);
        }
    }
}

Status replace_file(const std::string& path, std::string_view contents,
                    const ReplaceOptions& options)
{
    const Result<Place> place = find_place(path);
    if (!place) {
        return Failure(place.error());
    }
    const Result<Occupant> occupant = look_at(*place);
    if (!occupant) {
        return Failure(occupant.error());
    }
    if (Status replaceable = check_replaceable(*occupant, path); !replaceable) {
        return replaceable;
    }
    if (occupant->link && !options.replace_link) {
        return fail(path + ": is a symbolic link", ELOOP);
    }
    return occupant->regular ? replace_regular_file(*place, *occupant, contents, options)
                             : replace_by_rename(*place, -1, contents, options);
}

Status replace_by_link(const std::string& path, const std::string& target, Durability durability)
{
    const Result<Place> place = find_place(path);
    if (!place) {
        return Failure(place.error());
    }
    const Result<Occupant> occupant = look_at(*place);
    if (!occupant) {
        return Failure(occupant.error());
    }
    if (Status replaceable = check_replaceable(*occupant, path); !replaceable) {
        return replaceable;
    }
    const int directory = place->directory.get();
    unlinkat(directory, place->temporary().c_str(), 0);
    if (symlinkat(target.c_str(), directory, place->temporary().c_str()) != 0) {
        return fail_errno("create a link beside " + path);
    }
    return rename_into_place(*place, durability);
}

Result<std::string> read_link(const std::string& path)
{
    std::array<char, PATH_MAX> target;
    const ssize_t size = readlink(path.c_str(), target.data(), target.size());
    if (size < 0) {
        return fail_errno("read link " + path);
    }
    return std::string(target.data(), static_cast<std::size_t>(size));
}

Status remove_file(const std::string& path, Durability durability)
{
    const Result<Place> place = find_place(path);
    if (!place) {
        return place.error().number() == ENOENT ? Status() : Failure(place.error());
    }
    if (unlinkat(place->directory.get(), place->name.c_str(), 0) != 0) {
        return errno == ENOENT ? Status() : fail_errno("remove " + path);
    }
    return sync_directory(*place, durability);
}

} // namespace failclosed
