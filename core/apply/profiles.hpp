// SPDX-License-Identifier: GPL-3.0-or-later
// Learning VPN servers from NetworkManager's profiles, also before it runs.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/apply/learnt_servers.hpp"
#include "core/codec/network_manager_profile.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/endpoint.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// NetworkManager answers within milliseconds, or is stuck.
inline constexpr std::chrono::milliseconds kProfilesTimeLimit{2000};

struct VpnProfiles {
    std::vector<VpnProfile> profiles;
    /// What could not be read, and why.
    Warnings warnings;
};

/// Where NetworkManager is found.
struct ProfilePlaces {
    /// A folder of key files, and whether files without ".nmconnection" are profiles there, too,
    /// as older versions wrote them.
    struct Folder {
        std::string path;
        bool any_extension = false;
    };

    /// Holds failclosed-nm.so.
    std::string module_directory = FAILCLOSED_MODULE_DIR;
    /// Of profiles with the same UUID the first counts.
    std::vector<Folder> folders = {{"/run/NetworkManager/system-connections"},
                                   {"/etc/NetworkManager/system-connections", true},
                                   {"/usr/lib/NetworkManager/system-connections"}};
    /// NetworkManager makes it when it starts.
    std::string run_directory = "/run/NetworkManager";
    std::string bus_socket = "/run/dbus/system_bus_socket";
};

/// The VPN and WireGuard profiles that a running NetworkManager knows, or, where it does not run or
/// does not answer within `time_limit`, those in its key files that only root can have written.
/// With `uuid` only that one. No NetworkManager, or none of its profiles, is no error, and is seen
/// without libnm being loaded; where profiles cannot be read (no libnm, a foreign file, no answer)
/// a warning says so. Secrets are neither asked for nor handed on.
VpnProfiles load_vpn_profiles(std::chrono::milliseconds time_limit,
                              const std::optional<std::string>& uuid = {},
                              const ProfilePlaces& places = {});

/// The profile of this UUID as a running NetworkManager has it: for a WireGuard device what it has
/// applied to that device, else what it has stored. nullopt where it does not run, does not answer
/// within `time_limit` or has no such VPN profile; `warnings` then says what went wrong.
std::optional<VpnProfile> load_applied_profile(std::chrono::milliseconds time_limit,
                                               const std::string& uuid, const InterfaceName& device,
                                               Warnings& warnings,
                                               const ProfilePlaces& places = {});

/// The digests and servers of all profiles; private ones are left out with a warning. Users of this
/// machine are numbers, and users that it does not have are left out. Servers given by name have no
/// addresses yet.
LearntServers servers_of_profiles(std::span<const VpnProfile> profiles,
                                  const std::string& passwd_file = "/etc/passwd");

} // namespace failclosed
