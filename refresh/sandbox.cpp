// SPDX-License-Identifier: GPL-3.0-or-later
// Credentials, limits and a filter of system calls (seccomp(2), by libseccomp).
#include "refresh/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/owned.hpp"

namespace failclosed::cli {

namespace {

// Above all ranges for accounts, systemd and user namespaces (systemd, UIDS-GIDS), so that no other
// process has this uid and can signal or trace the child.
constexpr uid_t kUnusedUser = 0x8000fc00;
// The overflow user ID (65534), for a container that does not map the other one.
constexpr uid_t kNobody = 65534;

constexpr rlim_t kMostMemory = rlim_t{256} << 20U;
constexpr rlim_t kMostProcessorSeconds = 10;
constexpr rlim_t kMostDescriptors = 256;

void close_all_but(std::vector<int> kept)
{
    std::ranges::sort(kept);
    unsigned first = 0;
    for (const int descriptor : kept) {
        const auto number = static_cast<unsigned>(descriptor);
        if (number > first) {
            close_range(first, number - 1, 0);
        }
        first = number + 1;
    }
    close_range(first, ~0U, 0);
}

Status limit_resources()
{
    // NOLINTNEXTLINE(bugprone-narrowing-conversions): resources are an enumeration in C++ alone.
    for (const auto& [resource, most] :
         {std::pair(RLIMIT_AS, kMostMemory), std::pair(RLIMIT_CPU, kMostProcessorSeconds),
          std::pair(RLIMIT_NOFILE, kMostDescriptors), std::pair(RLIMIT_NPROC, rlim_t{0}),
          std::pair(RLIMIT_FSIZE, rlim_t{0}), std::pair(RLIMIT_CORE, rlim_t{0})}) {
        const rlimit limit{most, most};
        if (setrlimit(resource, &limit) != 0) {
            return fail_errno("limiting resources");
        }
    }
    return {};
}

/// Removes all capabilities from the bounding set, so that they cannot be regained. This needs
/// CAP_SETPCAP, which a unit may have removed; then the other measures remain.
Status drop_bounding_capabilities()
{
    for (int capability = 0;; ++capability) {
        const int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (held < 0) {
            return {};
        }
        if (held > 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM) {
            return fail_errno("dropping capabilities");
        }
    }
}

Status become(uid_t user)
{
    if (setgroups(0, nullptr) != 0 || setresgid(user, user, user) != 0 ||
        setresuid(user, user, user) != 0) {
        return fail_errno("changing the user");
    }
    return {};
}

/// Clears the capability sets. setresuid(2) has done so already unless a secure bit prevents it.
Status drop_capabilities()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capset, &header, none.data()) != 0) {
        return fail_errno("dropping capabilities");
    }
    return {};
}

Status error_of(int number)
{
    return number == 0 ? Status{} : Status(fail_errno("filtering system calls", -number));
}

} // namespace

Status drop_privileges(std::vector<int> kept, pid_t parent)
{
    close_all_but(std::move(kept));
    if (auto limited = limit_resources(); !limited) {
        return limited;
    }
    if (auto dropped = drop_bounding_capabilities(); !dropped) {
        return dropped;
    }
    if (!become(kUnusedUser)) {
        if (auto became = become(kNobody); !became) {
            return became;
        }
    }
    if (auto dropped = drop_capabilities(); !dropped) {
        return dropped;
    }
    // After the change of user, which clears the parent-death signal (prctl(2)).
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return fail_errno("giving up privileges", errno != 0 ? errno : ESRCH);
    }
    return {};
}

Status admit_few_system_calls()
{
    const Owned<void, seccomp_release> filter(seccomp_init(SCMP_ACT_KILL_PROCESS));
    if (!filter) {
        return fail("filtering system calls: the filter cannot be created");
    }
    if (auto set = error_of(
            seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
        !set) {
        return set;
    }
    for (const int call : {SCMP_SYS(poll),
                           SCMP_SYS(ppoll),
                           SCMP_SYS(connect),
                           SCMP_SYS(sendto),
                           SCMP_SYS(sendmsg),
                           SCMP_SYS(recvfrom),
                           SCMP_SYS(recvmsg),
                           SCMP_SYS(read),
                           SCMP_SYS(write),
                           SCMP_SYS(close),
                           SCMP_SYS(getrandom),
                           SCMP_SYS(clock_gettime),
                           SCMP_SYS(gettimeofday),
                           SCMP_SYS(time),
                           SCMP_SYS(brk),
                           SCMP_SYS(munmap),
                           SCMP_SYS(mremap),
                           SCMP_SYS(madvise),
                           SCMP_SYS(futex),
                           SCMP_SYS(exit),
                           SCMP_SYS(exit_group),
                           SCMP_SYS(rt_sigreturn),
                           SCMP_SYS(restart_syscall),
                           SCMP_SYS(ppoll_time64),
                           SCMP_SYS(clock_gettime64),
                           SCMP_SYS(futex_time64)}) {
        // EDOM: the architecture does not have this call.
        const int added = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
        if (added != 0 && added != -EDOM) {
            return error_of(added);
        }
    }
    // Memory must not be executable.
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)}) {
        // The third argument. SCMP_A2() is a compound literal, which C++ does not have.
        const scmp_arg_cmp without_exec{2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};
        const int added =
            seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 1, &without_exec);
        if (added != 0 && added != -EDOM) {
            return error_of(added);
        }
    }
    return error_of(seccomp_load(filter.get()));
}

} // namespace failclosed::cli
