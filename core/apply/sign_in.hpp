// SPDX-License-Identifier: GPL-3.0-or-later
// A program that signs in to the network: one user's, under a group that nobody else has.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/result.hpp"
#include "core/model/address.hpp"

namespace failclosed {

struct User {
    std::string name;
    std::string home;
    uid_t uid = 0;
    gid_t gid = 0;
};

/// By name or number, from the name services. ENOENT where there is none.
Result<User> find_user(const std::string& name_or_number);

/// A group from kFirstSignInGroup on that has no name and that no process has.
Result<gid_t> choose_group();

/// Above the groups of systems and systemd's own, below those that containers are given.
inline constexpr gid_t kFirstSignInGroup = 84000;
inline constexpr gid_t kSignInGroups = 1000;

/// Makes the caller, which is root and has one thread, this user with `group` in place of the
/// user's own one, which it keeps among the others, and without capabilities. It is then alone in a
/// mount namespace in which /etc/resolv.conf names `resolvers` and nothing but DNS and /etc/hosts
/// is asked for names. On failure the caller is something in between, and has to end.
Status become_signer(const User& user, gid_t group, const std::vector<IpAddress>& resolvers);

} // namespace failclosed
