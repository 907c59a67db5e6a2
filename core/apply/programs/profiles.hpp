// SPDX-License-Identifier: GPL-3.0-or-later
// Learns VPN servers from NetworkManager's profiles. NetworkManager need not run.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/apply/programs/learnt_servers.hpp"
#include "core/codec/network_manager/profile.hpp"
#include "core/codec/warnings.hpp"
#include "core/model/endpoint.hpp"
#include "core/model/names.hpp"

namespace failclosed {

/// NetworkManager answers within milliseconds if it works.
inline constexpr std::chrono::milliseconds kProfilesTimeLimit{2000};

struct VpnProfiles {
    std::vector<VpnProfile> profiles;
    /// One for each profile that could not be read, with the reason.
    Warnings warnings;
};

/// Paths of NetworkManager.
struct ProfilePlaces {
    /// A folder of key files, and whether files without ".nmconnection" are profiles too (older
    /// versions of NetworkManager wrote such names).
    struct Folder {
        std::string path;
        bool any_extension = false;
    };

    /// Holds failclosed-nm.so.
    std::string module_directory = FAILCLOSED_MODULE_DIR;
    /// If several profiles have the same UUID, the first is used.
    std::vector<Folder> folders = {{"/run/NetworkManager/system-connections"},
                                   {"/etc/NetworkManager/system-connections", true},
                                   {"/usr/lib/NetworkManager/system-connections"}};
    /// NetworkManager makes it when it starts.
    std::string run_directory = "/run/NetworkManager";
    std::string bus_socket = "/run/dbus/system_bus_socket";
};

/// The VPN and WireGuard profiles of a running NetworkManager. If it does not run, or does not
/// answer within `time_limit`, those in its key files that only root can write. With `uuid`, only
/// that profile. Empty without a warning, and without loading libnm, if there is no NetworkManager
/// or no profile. Warns if profiles cannot be read (no libnm, file writable by others, no answer).
/// Secrets are not requested.
VpnProfiles load_vpn_profiles(std::chrono::milliseconds time_limit,
                              const std::optional<std::string>& uuid = {},
                              const ProfilePlaces& places = {});

/// The profile with this UUID from a running NetworkManager: the settings applied to `device` if
/// that is a WireGuard device, else the stored ones. `nullopt` if NetworkManager does not run, does
/// not answer within `time_limit`, or has no such VPN profile; `warnings` gets the errors.
std::optional<VpnProfile> load_applied_profile(std::chrono::milliseconds time_limit,
                                               const std::string& uuid, const InterfaceName& device,
                                               Warnings& warnings,
                                               const ProfilePlaces& places = {});

/// The digests and servers of all profiles; private profiles are left out with a warning. Names of
/// users become uids of this machine; unknown users are left out. Servers that are given by name
/// have no addresses yet.
LearntServers servers_of_profiles(std::span<const VpnProfile> profiles,
                                  const std::string& passwd_file = "/etc/passwd");

} // namespace failclosed
