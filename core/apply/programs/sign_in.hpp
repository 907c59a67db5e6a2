// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a program that signs in to the network: as a user, with a group that no other process has.
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

/// Finds a user by name or uid in the name services. ENOENT if there is none.
Result<User> find_user(const std::string& name_or_number);

/// A gid from kFirstSignInGroup on that has no name and that no process has.
Result<gid_t> choose_group();

/// Above the gids of systems and of systemd, below those of containers.
inline constexpr gid_t kFirstSignInGroup = 84000;
inline constexpr gid_t kSignInGroups = 1000;

/// Turns the caller, which is root and has one thread, into `user` without capabilities, with
/// `group` as its primary group and the user's primary group among the others. The caller gets its
/// own mount namespace in which /etc/resolv.conf names `resolvers`, and names are looked up in DNS
/// and /etc/hosts only. On failure the changes are incomplete and the caller must exit.
Status become_signer(const User& user, gid_t group, const std::vector<IpAddress>& resolvers);

} // namespace failclosed
