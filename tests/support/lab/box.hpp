// SPDX-License-Identifier: GPL-3.0-or-later
// One machine of the lab: its own network, processes, mounts, host name; gone without a trace.
#pragma once

#include <exception>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "tests/support/lab/process.hpp"

namespace failclosed::lab {

/// A fresh machine. /etc, /usr and /var are the host's under an overlay on tmpfs; /run and /tmp
/// are empty; /proc and /sys show the box alone, /sys is read-only; resolv.conf and hosts are
/// plain files. It holds no network device but a `lo` that is down.
///
/// Its process 1 ends with the descriptor that this object holds, however the test ends, and the
/// kernel then ends every process and mount of the box.
class Box {
  public:
    /// Throws LabError where a namespace or mount could not be made (it takes root).
    explicit Box(const std::string& name);
    Box(const Box&) = delete;
    Box& operator=(const Box&) = delete;
    ~Box();

    const std::string& name() const { return name_; }

    pid_t init_pid() const { return init_; } ///< its process 1, as the test sees it

    /// Runs `work` in a thread that is in the box's network, mounts and host name (not in its pid
    /// namespace), and returns its result. Sockets and descriptors made there can be handed out.
    template <typename Work> auto in(Work&& work) const
    {
        using Value = std::invoke_result_t<Work>;
        if constexpr (std::is_void_v<Value>) {
            enter([&] { work(); });
        } else {
            std::optional<Value> value;
            enter([&] { value.emplace(work()); });
            return std::move(*value);
        }
    }

    Process start(const Command& command) const { return Process(*this, command); }

    /// Runs to the end. Throws LabError (with the output so far) where that takes longer.
    Outcome run(const Command& command, std::chrono::milliseconds timeout = patience) const;
    /// As run(), and throws LabError where the status is not 0. Returns what went to stdout.
    std::string must(const Command& command) const;
    /// `ip -batch` with these lines; throws LabError on the first that fails. A device can be made
    /// in (or moved to) another box as `netns /proc/self/fd/N`, N being `other`.
    void ip(const std::string& lines, std::optional<int> other = std::nullopt) const;
    /// Loads nft syntax; throws LabError where nft refuses it.
    void nft(const std::string& ruleset) const;

    std::string read_file(const std::string& path) const; ///< throws where it cannot be read
    /// Replaces the file (a symbolic link too), makes missing folders; mode as given.
    void write_file(const std::string& path, const std::string& content, mode_t mode = 0644) const;
    bool exists(const std::string& path) const; ///< a dangling symbolic link exists as well
    /// Writes /proc/sys, e.g. sysctl("net.ipv4.ip_forward", "1"); dots separate.
    void sysctl(const std::string& key, const std::string& value) const;

    /// The same file seen from the test, /proc/PID/root/...; beware of absolute links on the way.
    std::string outside_path(const std::string& path) const;

    /// Forks a child that is in all namespaces of the box and runs `body`, which must not return.
    pid_t spawn(const std::function<void()>& body) const;

    /// A descriptor of its network namespace, close-on-exec, owned by the box.
    int network() const { return network_; }

  private:
    void enter(const std::function<void()>& work) const;

    std::string name_;
    pid_t init_ = -1;
    int leash_ = -1;
    int init_fd_ = -1;
    int network_ = -1;
};

} // namespace failclosed::lab
