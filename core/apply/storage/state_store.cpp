// SPDX-License-Identifier: GPL-3.0-or-later
// Reading and writing state and configuration files, and the check of their owners.
#include "core/apply/storage/state_store.hpp"

#include <sys/stat.h>

#include "core/codec/files/config_file.hpp"
#include "core/codec/files/state_file.hpp"

namespace failclosed {

namespace {

constexpr std::size_t kLargestState = 16 << 20;
constexpr std::size_t kLargestConfig = 1 << 20;

constexpr const char* kRunningFile = "state";
constexpr const char* kConfigsFile = "configs";
constexpr const char* kInsideFile = "inside";
constexpr const char* kProfilesFile = "profiles";
constexpr const char* kServersFile = "servers";
constexpr const char* kArmedFile = "armed";
constexpr const char* kConfigFile = "failclosed.conf";
constexpr const char* kFragments = "conf.d";
constexpr std::string_view kFragmentSuffix = ".conf";

bool is_absent(const Error& error)
{
    return error.number() == ENOENT;
}

Status make_directory(const std::string& path)
{
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno("create " + path);
    }
    return {};
}

/// Stores the value of `parsed` in `value`, or adds its error to `damage`.
template <typename T>
void take(T& value, Result<T> parsed, const std::string& path, std::vector<std::string>& damage)
{
    if (parsed) {
        value = *std::move(parsed);
    } else {
        damage.push_back(parsed.error().during(path).message());
    }
}

/// Adds a file to `texts`; succeeds if it does not exist.
Status add_config(std::vector<ConfigText>& texts, const TrustedDirectory& directory,
                  const std::string& name)
{
    auto text = directory.read(name, kLargestConfig);
    if (text) {
        texts.push_back({directory.path() + "/" + name, *std::move(text)});
    } else if (!is_absent(text.error())) {
        return Failure(text.error());
    }
    return {};
}

Status add_fragments(std::vector<ConfigText>& texts, const TrustedDirectory& directory)
{
    const auto fragments = directory.open_inside(kFragments);
    if (!fragments) {
        return is_absent(fragments.error()) ? Status{} : Failure(fragments.error());
    }
    const auto names = fragments->names();
    if (!names) {
        return Failure(names.error());
    }
    for (const auto& name : *names) {
        if (!name.ends_with(kFragmentSuffix) || name.starts_with('.')) {
            continue;
        }
        if (const auto added = add_config(texts, *fragments, name); !added) {
            return added;
        }
    }
    return {};
}

Result<Config> try_load_config(const StorePaths& paths)
{
    const auto directory = TrustedDirectory::open(paths.config, paths.owner);
    if (!directory) {
        return is_absent(directory.error()) ? Result<Config>(Config{}) : Failure(directory.error());
    }
    std::vector<ConfigText> texts;
    if (const auto added = add_config(texts, *directory, kConfigFile); !added) {
        return Failure(added.error());
    }
    if (const auto added = add_fragments(texts, *directory); !added) {
        return Failure(added.error());
    }
    return read_config(texts);
}

} // namespace

std::string read_boot_id(const std::string& file)
{
    std::string id = read_file(file, 64).value_or("");
    id.erase(std::min(id.find('\n'), id.size()));
    return id;
}

std::optional<std::string> StateStore::load_file(const std::string& directory,
                                                 const std::string& name, StoredState& stored)
{
    const auto place = TrustedDirectory::open(directory, paths_.owner);
    const auto text =
        place ? place->read(name, kLargestState) : Result<std::string>(Failure(place.error()));
    if (text) {
        stored.absent = false;
        return *text;
    }
    if (!is_absent(text.error())) {
        stored.absent = false;
        stored.damage.push_back(text.error().message());
    }
    return std::nullopt;
}

void StateStore::load_running(StoredState& stored)
{
    running_ = load_file(paths_.run, kRunningFile, stored);
    // An unusable copy is not reported: it is needed only if the first file cannot be used.
    StoredState of_copy;
    running_copy_ = load_file(paths_.persistent, kRunningFile, of_copy);
    Running running;
    const auto read = running_ ? read_running(*running_) : Result<Running>(Running{});
    if (!read) {
        stored.damage.push_back(read.error().during(paths_.run + "/" + kRunningFile).message());
    }
    if (running_ && read) {
        running = *read;
    } else if (running_copy_) {
        const auto copy = read_running(*running_copy_);
        if (copy && !copy->boot.empty() && copy->boot == read_boot_id(paths_.boot_id)) {
            running = *copy;
        }
    }
    stored.state.tunnels = std::move(running.tunnels);
    stored.state.underlay = std::move(running.underlay);
    stored.state.programs = std::move(running.programs);
    stored.state.refused = std::move(running.refused);
    stored.state.vpn_programs = std::move(running.vpn_programs);
    if (running.portal && !running.boot.empty() && running.boot == read_boot_id(paths_.boot_id)) {
        stored.state.portal = std::move(running.portal);
    }
}

Status StateStore::save_running(const State& state)
{
    Running running{read_boot_id(paths_.boot_id),
                    state.tunnels,
                    state.underlay,
                    state.programs,
                    state.refused,
                    {},
                    state.vpn_programs};
    // The copy has no portal, so a sign-in ends if the copy is used. A failure to write it is
    // ignored: the copy is needed only if the first file cannot be used.
    static_cast<void>(save_file(paths_.persistent, kRunningFile, write_running(running),
                                running_copy_, Durability::Volatile));
    running.portal = state.portal;
    return save_file(paths_.run, kRunningFile, write_running(running), running_,
                     Durability::Volatile);
}

StoredState StateStore::load()
{
    StoredState stored;
    stored.absent = true;
    load_running(stored);
    servers_ = load_file(paths_.persistent, kServersFile, stored);
    inside_ = load_file(paths_.persistent, kInsideFile, stored);
    configs_ = load_file(paths_.persistent, kConfigsFile, stored);
    profiles_ = load_file(paths_.persistent, kProfilesFile, stored);
    armed_ = load_file(paths_.persistent, kArmedFile, stored);
    if (servers_) {
        take(stored.state.servers, read_servers(*servers_), paths_.persistent + "/" + kServersFile,
             stored.damage);
    }
    if (inside_) {
        take(stored.state.inside, read_inside(*inside_), paths_.persistent + "/" + kInsideFile,
             stored.damage);
    }
    if (configs_) {
        take(stored.state.openvpn_configs, read_configs(*configs_),
             paths_.persistent + "/" + kConfigsFile, stored.damage);
    }
    if (profiles_) {
        take(stored.state.profiles, read_profiles(*profiles_),
             paths_.persistent + "/" + kProfilesFile, stored.damage);
    }
    if (armed_) {
        take(stored.state.armed, read_armed(*armed_), paths_.persistent + "/" + kArmedFile,
             stored.damage);
    }
    if (!stored.damage.empty()) {
        stored.state.armed = Armed::Yes;
    }
    return stored;
}

Status StateStore::save_file(const std::string& directory, const std::string& name,
                             std::string_view text, std::optional<std::string>& known,
                             Durability durability) const
{
    if (known == text) {
        return {};
    }
    if (auto made = make_directory(directory); !made) {
        return made;
    }
    const std::string path = directory + "/" + name;
    if (!known) {
        // To replace the file would keep the owner and mode that made it unusable.
        if (auto removed = remove_file(path, durability); !removed) {
            return removed;
        }
    }
    auto written =
        replace_file(path, text, {.mode = 0600, .durability = durability, .replace_link = true});
    if (written) {
        known = text;
    }
    return written;
}

Status StateStore::save(const State& state)
{
    Status result;
    const auto keep_first = [&](Status status) {
        if (result && !status) {
            result = std::move(status);
        }
    };
    const auto save_armed = [&] {
        keep_first(save_file(paths_.persistent, kArmedFile, write_armed(state.armed), armed_,
                             Durability::Durable));
    };
    if (state.armed == Armed::Yes) {
        save_armed();
    }
    keep_first(save_file(paths_.persistent, kServersFile, write_servers(state.servers), servers_,
                         Durability::Durable));
    keep_first(save_file(paths_.persistent, kInsideFile, write_inside(state.inside), inside_,
                         Durability::Durable));
    if (configs_ || !state.openvpn_configs.empty()) {
        keep_first(save_file(paths_.persistent, kConfigsFile, write_configs(state.openvpn_configs),
                             configs_, Durability::Durable));
    }
    if (profiles_ || !state.profiles.empty()) {
        keep_first(save_file(paths_.persistent, kProfilesFile, write_profiles(state.profiles),
                             profiles_, Durability::Durable));
    }
    keep_first(save_running(state));
    if (state.armed == Armed::No) {
        save_armed();
    }
    return result;
}

StoredConfig load_config(const StorePaths& paths)
{
    auto config = try_load_config(paths);
    return config ? StoredConfig{*std::move(config), {}}
                  : StoredConfig{strictest_config(),
                                 {config.error().message() +
                                  "; the strictest settings apply until this is corrected"}};
}

} // namespace failclosed
