// SPDX-License-Identifier: GPL-3.0-or-later
// Reads below a directory by descriptors, and checks owner and mode.
#include "core/apply/storage/trusted_directory.hpp"

#include <algorithm>
#include <array>
#include <climits>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/file.hpp"

namespace failclosed {

namespace {

bool is_of_owner_alone(const struct stat& status, uid_t owner)
{
    return status.st_uid == owner && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

Status check_owner(int descriptor, const std::string& path, uid_t owner, mode_t type)
{
    struct stat status{};
    if (fstat(descriptor, &status) != 0) {
        return fail_errno("stat " + path);
    }
    if ((status.st_mode & S_IFMT) != type) {
        return fail(path + ": wrong kind of file", EINVAL);
    }
    if (!is_of_owner_alone(status, owner)) {
        return fail(path + ": others than user " + std::to_string(owner) +
                        " can write to it; correct its owner (chown) and mode (chmod)",
                    EPERM);
    }
    return {};
}

Failure refuse_link(const std::string& path)
{
    return fail(path + ": is a symbolic link, which is not followed; put the file or folder itself "
                       "there",
                ELOOP);
}

/// As check_owner(), without its advice: the advice for a folder on the path depends on the file.
Status check_step(const struct stat& status, const std::string& path, uid_t owner)
{
    if (is_of_owner_alone(status, owner)) {
        return {};
    }
    const bool is_of_another = status.st_uid != owner;
    return fail(path + (is_of_another ? " belongs to user " + std::to_string(status.st_uid)
                                      : std::string(" is writable by group or others")),
                EPERM);
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

bool TrustedDirectory::is_link(const std::string& name) const
{
    struct stat status{};
    return fstatat(descriptor_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISLNK(status.st_mode);
}

Result<TrustedDirectory> TrustedDirectory::open_inside(const std::string& name) const
{
    const std::string path = path_ + "/" + name;
    UniqueFd descriptor(
        openat(descriptor_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!descriptor.valid() && errno == ENOTDIR && is_link(name)) {
        return refuse_link(path);
    }
    return adopt(std::move(descriptor), path, owner_);
}

Result<std::string> TrustedDirectory::read(const std::string& name, std::size_t size_limit) const
{
    const std::string path = path_ + "/" + name;
    const UniqueFd file(
        openat(descriptor_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) {
        return errno == ELOOP ? refuse_link(path) : fail_errno("open " + path);
    }
    if (const auto trusted = check_owner(file.get(), path, owner_, S_IFREG); !trusted) {
        return Failure(trusted.error());
    }
    return read_open_file(file.get(), size_limit, path);
}

Result<std::vector<std::string>> TrustedDirectory::names() const
{
    // A new descriptor: closedir() closes it, and reading moves its position.
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

namespace {

/// MAXSYMLINKS of the kernel.
constexpr unsigned kMostLinks = 40;
/// A path with more steps is longer than PATH_MAX.
constexpr std::size_t kMostSteps = PATH_MAX / 2;

/// Appends the steps of `path` to `steps` in reverse order.
void push_steps(std::vector<std::string>& steps, std::string_view path)
{
    while (!path.empty()) {
        const std::size_t slash = path.rfind('/');
        const auto step = slash == std::string_view::npos ? path : path.substr(slash + 1);
        if (!step.empty() && step != ".") {
            steps.emplace_back(step);
        }
        path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
    }
}

Result<std::string> target_of(int link, const std::string& path)
{
    std::array<char, PATH_MAX> target;
    const ssize_t size = readlinkat(link, "", target.data(), target.size());
    if (size < 0) {
        return fail_errno("read link " + path);
    }
    return std::string(target.data(), static_cast<std::size_t>(size));
}

/// Opens the file of an O_PATH descriptor.
UniqueFd open_again(int descriptor, int flags)
{
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    return UniqueFd(open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

} // namespace

Result<TrustedTree> TrustedTree::open(const std::string& root, uid_t owner)
{
    UniqueFd descriptor(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!descriptor.valid()) {
        return fail_errno("open " + root);
    }
    struct stat status{};
    if (fstat(descriptor.get(), &status) != 0) {
        return fail_errno("stat " + root);
    }
    if (const auto trusted = check_step(status, root, owner); !trusted) {
        return Failure(trusted.error());
    }
    return TrustedTree(std::move(descriptor), owner);
}

Result<TrustedTree::Place> TrustedTree::open_step(int folder, const std::string& name,
                                                  const std::string& path) const
{
    Place place{UniqueFd(openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)), path};
    struct stat status{};
    if (!place.descriptor.valid() || fstat(place.descriptor.get(), &status) != 0) {
        return fail_errno("open " + path);
    }
    place.type = status.st_mode & S_IFMT;
    place.id = {status.st_dev, status.st_ino};
    if (place.type != S_IFLNK) { // a link can be changed only by those who can change its folder
        place.trusted = check_step(status, path, owner_);
    }
    return place;
}

/// Keeps the folders on the path open, so that ".." is the folder that was checked even if folders
/// are moved meanwhile.
Result<TrustedTree::Place> TrustedTree::look_up(const std::string& path) const
{
    std::vector<Place> places;
    std::vector<std::string> steps;
    push_steps(steps, path);
    for (unsigned links = 0; !steps.empty();) {
        if (steps.size() + places.size() > kMostSteps) {
            return fail_errno("open " + path, ENAMETOOLONG);
        }
        const std::string name = std::move(steps.back());
        steps.pop_back();
        if (name == "..") {
            if (!places.empty()) {
                places.pop_back();
            }
            continue;
        }
        if (!places.empty() && (places.back().type != S_IFDIR || !places.back().trusted)) {
            const Status& trusted = places.back().trusted;
            return trusted ? Result<Place>(fail_errno("open " + path, ENOTDIR))
                           : Result<Place>(Failure(trusted.error()));
        }
        const int folder = places.empty() ? root_.get() : places.back().descriptor.get();
        auto place =
            open_step(folder, name, (places.empty() ? "" : places.back().path) + "/" + name);
        if (!place) {
            return place;
        }
        if (place->type != S_IFLNK) {
            places.push_back(*std::move(place));
            continue;
        }
        const auto target = target_of(place->descriptor.get(), place->path);
        if (!target || ++links > kMostLinks) {
            return target ? Result<Place>(fail_errno("open " + path, ELOOP))
                          : Result<Place>(Failure(target.error()));
        }
        if (target->starts_with('/')) {
            places.clear();
        }
        push_steps(steps, *target);
    }
    return places.empty() ? open_step(root_.get(), ".", "/")
                          : Result<Place>(std::move(places.back()));
}

Result<TrustedTree::Place> TrustedTree::find_file(const std::string& path) const
{
    auto place = look_up(path);
    if (place && !place->trusted) {
        return Failure(place->trusted.error());
    }
    if (place && place->type != S_IFREG) {
        return fail(path + ": is not a regular file", EINVAL);
    }
    return place;
}

Result<FileId> TrustedTree::identify(const std::string& path) const
{
    const auto place = find_file(path);
    return place ? Result<FileId>(place->id) : Result<FileId>(Failure(place.error()));
}

Result<std::string> TrustedTree::read(const std::string& path, std::size_t size_limit) const
{
    const auto place = find_file(path);
    if (!place) {
        return Failure(place.error());
    }
    const UniqueFd file = open_again(place->descriptor.get(), O_RDONLY);
    return file.valid() ? read_open_file(file.get(), size_limit, path)
                        : Result<std::string>(fail_errno("open " + path));
}

Result<std::vector<std::string>> TrustedTree::names(const std::string& path) const
{
    const auto place = look_up(path);
    if (!place) {
        return Failure(place.error());
    }
    if (!place->trusted) {
        return Failure(place->trusted.error());
    }
    const auto folder = TrustedDirectory::adopt(
        open_again(place->descriptor.get(), O_RDONLY | O_DIRECTORY), place->path, owner_);
    return folder ? folder->names() : Result<std::vector<std::string>>(Failure(folder.error()));
}

bool TrustedTree::holds(const std::string& path) const
{
    return look_up(path).has_value();
}

} // namespace failclosed
