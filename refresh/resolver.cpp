// SPDX-License-Identifier: GPL-3.0-or-later
// The parent of the process that reads DNS answers. It creates the sockets and validates the
// records.
#include "refresh/resolver.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refresh/dns_client.hpp"
#include "refresh/sandbox.hpp"

#include "core/base/owned.hpp"
#include "core/codec/files/lookup_records.hpp"

namespace failclosed::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// Per resolver and protocol. c-ares needs a new socket after an error.
constexpr int kSocketsPerResolver = 4;

/// Creates a socket. The firewall recognises its packets by its creator (root), mark and device.
Result<UniqueFd> make_socket(int family, int type, const ResolverPath& path)
{
    UniqueFd socket(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return fail_errno("making a socket");
    }
    if (path.mark != 0 &&
        setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &path.mark, sizeof path.mark) != 0) {
        return fail_errno("marking a socket");
    }
    if (path.device) {
        const auto& name = path.device->text();
        if (setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, name.c_str(),
                       static_cast<socklen_t>(name.size())) != 0) {
            return fail_errno("binding a socket to " + name);
        }
    }
    return socket;
}

struct Sockets {
    std::vector<UniqueFd> owned;
    std::vector<ReadySocket> ready;
};

Result<Sockets> make_sockets(const ResolverPath& path)
{
    Sockets sockets;
    for (const auto& resolver : path.resolvers) {
        const int family = resolver.family() == Family::V4 ? AF_INET : AF_INET6;
        for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
            for (int i = 0; i < kSocketsPerResolver; ++i) {
                auto socket = make_socket(family, type, path);
                if (!socket && socket.error().number() == EAFNOSUPPORT) {
                    break; // the kernel has no IPv6
                }
                if (!socket) {
                    return Failure(socket.error());
                }
                sockets.ready.push_back({family, type, socket->get()});
                sockets.owned.push_back(*std::move(socket));
            }
        }
    }
    return sockets;
}

/// The child process. Its memory is a copy; it holds no lock and closes the parent's descriptors.
[[noreturn]] void be_child(const std::vector<HostName>& names, const ResolverPath& path,
                           const std::vector<ReadySocket>& sockets, int output,
                           pid_t parent) noexcept
{
    constexpr int kFailed = 1;
    prctl(PR_SET_NAME, "refresh-lookup", 0, 0, 0);
    std::vector<int> kept = {output};
    std::ranges::transform(sockets, std::back_inserter(kept), &ReadySocket::descriptor);
    if (!drop_privileges(std::move(kept), parent)) {
        _exit(kFailed);
    }
    // c-ares reads the system's configuration here; it holds no secrets.
    auto client = DnsClient::open(path.resolvers, sockets, path.timeout);
    if (!client || !admit_few_system_calls()) {
        _exit(kFailed);
    }
    const std::string records = write_lookup(client->ask(names));
    for (std::size_t done = 0; done < records.size();) {
        const ssize_t size = write(output, records.data() + done, records.size() - done);
        if (size <= 0) {
            _exit(kFailed);
        }
        done += static_cast<std::size_t>(size);
    }
    _exit(0);
}

/// Reads the child's output to its end; `nullopt` if it takes longer than `deadline` or exceeds
/// `most` bytes.
std::optional<std::string> read_all(int input, std::size_t most, Clock::time_point deadline)
{
    std::string bytes;
    std::array<char, 4096> buffer;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0 || bytes.size() > most) {
            return std::nullopt;
        }
        pollfd waiting{input, POLLIN, 0};
        if (poll(&waiting, 1, static_cast<int>(left)) <= 0) {
            continue;
        }
        const ssize_t size = read(input, buffer.data(), buffer.size());
        if (size < 0) {
            return std::nullopt;
        }
        if (size == 0) {
            return bytes;
        }
        bytes.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

bool ended_well(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

Result<Lookup> look_up(const std::vector<HostName>& names, const ResolverPath& asked)
{
    ResolverPath path = asked;
    if (path.resolvers.size() > kMostResolversAsked) {
        path.resolvers.erase(path.resolvers.begin() + kMostResolversAsked, path.resolvers.end());
    }
    auto sockets = make_sockets(path);
    if (!sockets) {
        return Failure(sockets.error());
    }
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return fail_errno("making a pipe");
    }
    const UniqueFd input(ends[0]);
    UniqueFd output(ends[1]);
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
        be_child(names, path, sockets->ready, output.get(), self);
    }
    output.reset();
    sockets->owned.clear();
    if (child < 0) {
        return fail_errno("starting a look-up");
    }
    const auto longest = 4 * path.timeout * static_cast<int>(path.resolvers.size());
    const auto bytes = read_all(input.get(), longest_lookup(names.size()),
                                Clock::now() + longest + std::chrono::seconds(1));
    if (!bytes) {
        kill(child, SIGKILL); // not reaped yet, so the pid is still that of the child
    }
    const bool is_whole = ended_well(child);
    auto records =
        bytes && is_whole ? read_lookup(*bytes, names.size()) : std::optional<LookupRecords>{};
    if (!records) {
        return fail("the process that reads DNS answers failed; no answer was read");
    }
    Lookup lookup;
    lookup.reached = records->reached;
    for (std::size_t i = 0; i < names.size(); ++i) {
        // Drop addresses that no host on another network can have.
        std::erase_if(records->addresses[i], [](const IpAddress& address) {
            return !address.is_unicast_host() || address.is_link_local();
        });
        if (!records->addresses[i].empty()) {
            lookup.answers.push_back({names[i], std::move(records->addresses[i])});
        }
    }
    return lookup;
}

} // namespace failclosed::cli
