// SPDX-License-Identifier: GPL-3.0-or-later
// main() of the kernel tests: everything they change is in namespaces of their own.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/base/owned.hpp"

namespace {

bool report(const char* what)
{
    std::fprintf(stderr, "cannot make a namespace for the tests: %s: %s\n", what,
                 std::strerror(errno));
    return false;
}

bool raise_loopback()
{
    const failclosed::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    return ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0 || report("lo");
}

bool mount_fresh(const char* path)
{
    return mount("tmpfs", path, "tmpfs", 0, "mode=755") == 0 || report(path);
}

/// A private copy of /etc: changes are not visible outside.
bool mount_private_etc()
{
    return (mkdir("/run/etc-changes", 0755) == 0 && mkdir("/run/etc-work", 0755) == 0 &&
            mount("overlay", "/etc", "overlay", 0,
                  "lowerdir=/etc,upperdir=/run/etc-changes,workdir=/run/etc-work") == 0) ||
           report("/etc");
}

bool enter_namespaces()
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
        return report("unshare (root is needed)");
    }
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return report("/");
    }
    return mount_fresh("/run") && mount_fresh("/var/lib") &&
           (mkdir("/var/lib/failclosed", 0700) == 0 || report("/var/lib/failclosed")) &&
           mount_private_etc() && raise_loopback();
}

} // namespace

int main(int argc, char** argv)
{
    testing::InitGoogleTest(&argc, argv);
    if (!enter_namespaces()) {
        return 1;
    }
    return RUN_ALL_TESTS();
}
