// SPDX-License-Identifier: GPL-3.0-or-later
// Finds the process that holds a tunnel's device, and whether NetworkManager started it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "core/apply/programs/process.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// Time limit of the search. Processes of ordinary users are searched last, so that their number
/// does not delay the search among the others.
inline constexpr std::chrono::milliseconds kHolderTimeLimit{500};

/// The process of this network namespace that has the tun or tap device `interface` open: `iff` in
/// the fdinfo of its descriptor (proc_pid_fdinfo(5), drivers/net/tun.c). `nullopt` if there is
/// none, as for devices of the kernel, or if it was not found within `time_limit`.
std::optional<ProcessInfo>
find_tun_program(const InterfaceName& interface,
                 std::chrono::milliseconds time_limit = kHolderTimeLimit);

/// Whether the process is a VPN program of NetworkManager: in the control group of its unit, a
/// descendant of a process called NetworkManager, or run with the helper of its OpenVPN plugin.
bool is_of_network_manager(const ProcessInfo& process);

/// Whether `file` was written after the process was started. True also if the file cannot be
/// examined.
bool is_newer_than(const std::string& file, const ProcessInfo& process);

} // namespace failclosed
