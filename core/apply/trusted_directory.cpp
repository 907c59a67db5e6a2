// SPDX-License-Identifier: GPL-3.0-or-later
// Reading below a directory by descriptors, with owner and mode checked.
#include "core/apply/trusted_directory.hpp"

#include <algorithm>
#include <array>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace failclosed {

namespace {

Status check_owner(int descriptor, const std::string& path, uid_t owner, mode_t type)
{
    struct stat status{};
    if (fstat(descriptor, &status) != 0) {
        return fail_errno("stat " + path);
    }
    if ((status.st_mode & S_IFMT) != type) {
        return fail(path + ": wrong kind of file", EINVAL);
    }
    if (status.st_uid != owner || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return fail(path + ": others than user " + std::to_string(owner) +
                        " can write to it; chown and chmod it, so that only that user can",
                    EPERM);
    }
    return {};
}

Result<std::string> read_all(int descriptor, const std::string& path, std::size_t size_limit)
{
    std::string text;
    std::array<char, 16384> chunk{};
    while (true) {
        const ssize_t size = read(descriptor, chunk.data(), chunk.size());
        if (size == 0) {
            return text;
        }
        if (size < 0 && errno != EINTR) {
            return fail_errno("read " + path);
        }
        text.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        if (text.size() > size_limit) {
            return fail_errno("read " + path, EFBIG);
        }
    }
}

} // namespace

Result<TrustedDirectory> TrustedDirectory::adopt(UniqueFd descriptor, std::string path, uid_t owner)
{
    if (!descriptor.valid()) {
        return fail_errno("open " + path);
    }
    if (const auto trusted = check_owner(descriptor.get(), path, owner, S_IFDIR); !trusted) {
        return Failure(trusted.error());
    }
    return TrustedDirectory(std::move(descriptor), std::move(path), owner);
}

Result<TrustedDirectory> TrustedDirectory::open(const std::string& path, uid_t owner)
{
    UniqueFd descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return adopt(std::move(descriptor), path, owner);
}

Result<TrustedDirectory> TrustedDirectory::open_inside(const std::string& name) const
{
    UniqueFd descriptor(
        openat(descriptor_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return adopt(std::move(descriptor), path_ + "/" + name, owner_);
}

Result<std::string> TrustedDirectory::read(const std::string& name, std::size_t size_limit) const
{
    const std::string path = path_ + "/" + name;
    const UniqueFd file(
        openat(descriptor_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) {
        return fail_errno("open " + path);
    }
    if (const auto trusted = check_owner(file.get(), path, owner_, S_IFREG); !trusted) {
        return Failure(trusted.error());
    }
    return read_all(file.get(), path, size_limit);
}

Result<std::vector<std::string>> TrustedDirectory::names() const
{
    // A descriptor of its own: closedir() closes it, and reading moves its position.
    const int copy = openat(descriptor_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const Owned<DIR, closedir> stream(copy < 0 ? nullptr : fdopendir(copy));
    if (!stream) {
        return fail_errno("list " + path_);
    }
    std::vector<std::string> names;
    while (true) {
        errno = 0;
        const dirent* entry = readdir(stream.get());
        if (entry == nullptr) {
            break;
        }
        const std::string name = entry->d_name;
        if (name != "." && name != "..") {
            names.push_back(name);
        }
    }
    if (errno != 0) {
        return fail_errno("list " + path_);
    }
    std::ranges::sort(names);
    return names;
}

} // namespace failclosed
