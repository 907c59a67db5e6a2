// SPDX-License-Identifier: GPL-3.0-or-later
// Loads profiles with failclosed-nm.so: over D-Bus, else from key files.
#include "core/apply/programs/profiles.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <map>

#include <dlfcn.h>
#include <unistd.h>

#include "core/apply/network_manager/module.hpp"
#include "core/apply/programs/users.hpp"
#include "core/apply/storage/trusted_directory.hpp"
#include "core/base/owned.hpp"

namespace failclosed {

namespace {

constexpr std::size_t kMaxFileSize = 1U << 20U;
constexpr uid_t kRoot = 0;

/// The functions of core/apply/network_manager/module.hpp.
struct NmModule {
    decltype(&failclosed_nm_list) list = nullptr;
    decltype(&failclosed_nm_read) read = nullptr;

    /// Loads the module. It is never unloaded, because GLib cannot be unloaded.
    static Result<NmModule> load(const std::string& directory);
};

Result<NmModule> NmModule::load(const std::string& directory)
{
    const std::string path = directory + "/failclosed-nm.so";
    void* module = path.starts_with('/') ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (module == nullptr) {
        const char* reason = dlerror();
        // The message begins with the path, or names the missing library.
        return fail(reason != nullptr ? reason : path + ": not an absolute path");
    }
    NmModule functions;
    functions.list =
        reinterpret_cast<decltype(functions.list)>(dlsym(module, "failclosed_nm_list"));
    functions.read =
        reinterpret_cast<decltype(functions.read)>(dlsym(module, "failclosed_nm_read"));
    if (functions.list == nullptr || functions.read == nullptr) {
        return fail(path + ": does not match this version of failclosed; install failclosed again");
    }
    return functions;
}

struct File {
    std::string name;
    std::string text;
};

/// Collects the profiles that the module passes to its callback.
class Loader {
  public:
    Loader(const ProfilePlaces& places, const std::optional<std::string>& uuid,
           const std::optional<std::string>& device);

    /// False if NetworkManager's files must be read instead.
    bool ask(std::chrono::milliseconds time_limit);
    void read_files();

    VpnProfiles finish() && { return std::move(found_); }

  private:
    static void visit(const FailclosedNmProfile* profile, void* self) noexcept;
    void add(const FailclosedNmProfile& profile);
    std::vector<File> vpn_files();
    void vpn_files_in(const ProfilePlaces::Folder& folder, std::vector<File>& files);
    void rethrow();

    const ProfilePlaces& places_;
    std::vector<const char*> keys_;
    FailclosedNmQuery query_{};
    std::exception_ptr thrown_;
    VpnProfiles found_;
};

Loader::Loader(const ProfilePlaces& places, const std::optional<std::string>& uuid,
               const std::optional<std::string>& device)
    : places_(places), keys_(kProfileKeys.begin(), kProfileKeys.end())
{
    keys_.push_back(nullptr);
    query_ = {keys_.data(), uuid ? uuid->c_str() : nullptr, device ? device->c_str() : nullptr,
              visit, this};
}

void Loader::add(const FailclosedNmProfile& profile)
{
    const bool known = std::ranges::any_of(found_.profiles, [&](const VpnProfile& other) {
        return !other.uuid.empty() && other.uuid == profile.uuid;
    });
    if (known) {
        return;
    }
    VpnProfile result{profile.id, profile.uuid, profile.service, {}, {}, {}};
    for (const char* const* item = profile.data; *item != nullptr; item += 2) {
        result.data.emplace_back(item[0], item[1]);
    }
    for (const char* const* endpoint = profile.endpoints; *endpoint != nullptr; endpoint++) {
        result.endpoints.emplace_back(*endpoint);
    }
    if (profile.fwmark != 0) {
        result.fwmark = profile.fwmark;
    }
    result.digest = profile.digest;
    result.is_private = profile.is_private != 0;
    result.file = profile.file;
    found_.profiles.push_back(std::move(result));
}

void Loader::visit(const FailclosedNmProfile* profile, void* self) noexcept
{
    auto& loader = *static_cast<Loader*>(self);
    try {
        loader.add(*profile);
    } catch (...) {
        loader.thrown_ = std::current_exception();
    }
}

void Loader::rethrow()
{
    if (thrown_) {
        std::rethrow_exception(thrown_);
    }
}

bool Loader::ask(std::chrono::milliseconds time_limit)
{
    if (access(places_.run_directory.c_str(), F_OK) != 0 ||
        access(places_.bus_socket.c_str(), F_OK) != 0) {
        return false;
    }
    const auto module = NmModule::load(places_.module_directory);
    if (!module) {
        return false;
    }
    char* error = nullptr;
    const auto answer = module->list(
        &query_,
        static_cast<unsigned>(std::max<std::chrono::milliseconds::rep>(time_limit.count(), 0)),
        &error);
    const Owned<char, std::free> reason(error);
    rethrow();
    if (answer == FailclosedNmFailed) {
        warn(found_.warnings, "cannot get VPN profiles from NetworkManager: " +
                                  std::string(reason ? reason.get() : "refused") +
                                  "; its files are read instead");
    }
    return answer == FailclosedNmDone;
}

bool is_profile(const std::string& name, bool any_extension)
{
    return !name.starts_with('.') && !name.ends_with('~') &&
           (name.ends_with(".nmconnection") || (any_extension && !name.ends_with(".nmmeta")));
}

/// Whether libnm is needed to read the file. The groups of a key file have one spelling only.
bool may_be_vpn(const std::string& text)
{
    return text.find("[vpn]") != std::string::npos || text.find("[wireguard") != std::string::npos;
}

void Loader::vpn_files_in(const ProfilePlaces::Folder& folder, std::vector<File>& files)
{
    const auto complain = [&](const Error& error) {
        if (error.number() != ENOENT) {
            warn(found_.warnings, "NetworkManager's profiles: " + error.message());
        }
    };
    const auto directory = TrustedDirectory::open(folder.path, kRoot);
    if (!directory) {
        complain(directory.error());
        return;
    }
    const auto names = directory->names();
    if (!names) {
        complain(names.error());
        return;
    }
    for (const auto& name : *names) {
        if (!is_profile(name, folder.any_extension)) {
            continue;
        }
        auto text = directory->read(name, kMaxFileSize);
        if (!text) {
            complain(text.error());
        } else if (may_be_vpn(*text)) {
            files.push_back({name, *std::move(text)});
        }
    }
}

std::vector<File> Loader::vpn_files()
{
    std::vector<File> files;
    for (const auto& folder : places_.folders) {
        vpn_files_in(folder, files);
    }
    return files;
}

void Loader::read_files()
{
    const auto files = vpn_files();
    if (files.empty()) {
        return;
    }
    const auto module = NmModule::load(places_.module_directory);
    if (!module) {
        warn(found_.warnings,
             "cannot learn servers of NetworkManager's VPN profiles, install libnm "
             "(package libnm0, NetworkManager-libnm or libnm): " +
                 module.error().message());
        return;
    }
    for (const auto& file : files) {
        const auto answer =
            module->read(&query_, file.text.data(), file.text.size(), file.name.c_str());
        rethrow();
        if (answer == FailclosedNmFailed) {
            warn(found_.warnings,
                 "NetworkManager profile " + in_quotes(file.name) +
                     ": not a valid key file; run `nmcli connection load FILE` for "
                     "the reason");
        }
    }
}

} // namespace

VpnProfiles load_vpn_profiles(std::chrono::milliseconds time_limit,
                              const std::optional<std::string>& uuid, const ProfilePlaces& places)
{
    Loader loader(places, uuid, std::nullopt);
    if (!loader.ask(time_limit)) {
        loader.read_files();
    }
    return std::move(loader).finish();
}

std::optional<VpnProfile> load_applied_profile(std::chrono::milliseconds time_limit,
                                               const std::string& uuid, const InterfaceName& device,
                                               Warnings& warnings, const ProfilePlaces& places)
{
    // The loader keeps pointers to these texts.
    const std::optional<std::string> wanted = uuid;
    const std::optional<std::string> applied_to = device.text();
    Loader loader(places, wanted, applied_to);
    const bool was_told = loader.ask(time_limit);
    auto found = std::move(loader).finish();
    for (const auto& line : found.warnings) {
        warn(warnings, line);
    }
    // Its files hold the stored settings, not the applied ones.
    return was_told && !found.profiles.empty() ? std::optional(found.profiles.front())
                                               : std::nullopt;
}

LearntServers servers_of_profiles(std::span<const VpnProfile> profiles,
                                  const std::string& passwd_file)
{
    LearntServers result;
    std::map<std::string, std::optional<uid_t>> users = {{"root", kRoot}};
    const auto number = [&](const std::string& name) {
        const auto [user, is_new] = users.try_emplace(name);
        if (is_new) {
            if (const auto uid = uid_of(name, passwd_file)) {
                user->second = *uid;
            } else {
                warn(result.warnings,
                     "look up user " + in_quotes(name) + ": " + uid.error().message());
            }
        }
        return user->second;
    };
    for (const auto& profile : profiles) {
        if (profile.is_private) {
            warn(result.warnings,
                 "NetworkManager profile " + in_quotes(profile.id) +
                     " belongs to some users, who may change it, and is not learnt; make it a "
                     "system "
                     "profile: nmcli connection modify NAME connection.permissions ''");
            continue;
        }
        if (!profile.uuid.empty() && !profile.digest.empty()) {
            result.profiles.push_back({profile.uuid, profile.digest});
        }
        const auto [servers, warnings] = servers_of(profile);
        for (const auto& line : warnings) {
            warn(result.warnings, line);
        }
        for (const auto& server : servers) {
            Identity identity{{}, server.mark};
            for (const auto& user : server.users) {
                if (const auto uid = number(user)) {
                    identity.uids.push_back(*uid);
                }
            }
            result.servers.push_back({server.remote, std::move(identity), {}});
        }
    }
    return result;
}

} // namespace failclosed
