// SPDX-License-Identifier: GPL-3.0-or-later
// Looking up users in the passwd file.
#include "core/apply/programs/users.hpp"

#include <array>
#include <cstdio>

#include <pwd.h>

#include "core/base/owned.hpp"

namespace failclosed {

Result<std::optional<uid_t>> uid_of(std::string_view name, const std::string& passwd_file)
{
    const Owned<FILE, fclose> file(fopen(passwd_file.c_str(), "re"));
    if (!file) {
        return fail_errno("open " + passwd_file);
    }
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 16384> buffer{};
    int error = 0;
    while ((error = fgetpwent_r(file.get(), &entry, buffer.data(), buffer.size(), &found)) == 0) {
        if (name == entry.pw_name) {
            return std::optional(entry.pw_uid);
        }
    }
    if (error != ENOENT) {
        return fail_errno("read " + passwd_file, error);
    }
    return std::optional<uid_t>();
}

} // namespace failclosed
