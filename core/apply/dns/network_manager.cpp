// SPDX-License-Identifier: GPL-3.0-or-later
// Sets DNS through NetworkManager, if it writes resolv.conf (or configures its own dnsmasq).
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "core/apply/dns/backends.hpp"
#include "core/apply/dns/bus.hpp"
#include "core/apply/programs/process.hpp"
#include "core/base/file.hpp"
#include "core/base/owned.hpp"
#include "core/codec/network_manager/file.hpp"

namespace failclosed {
namespace {

constexpr const char* kName = "NetworkManager";
constexpr std::size_t kFileLimit = 1 << 20;
/// Time from when NetworkManager reads its files until it answers on the bus, on a busy machine.
constexpr std::chrono::seconds kLongestStart{5};
constexpr std::chrono::milliseconds kLookAgain{20};

/// `nullopt` if no NetworkManager runs that can answer.
Result<std::optional<std::string>> get(const BusModule& bus)
{
    char* value = nullptr;
    char* error = nullptr;
    const FailclosedAnswer answer = bus.nm_get(&value, &error);
    const Result<bool> runs = bus_answer(kName, answer, error);
    const Owned<char, std::free> text(value);
    if (!runs) {
        return Failure(runs.error());
    }
    return *runs ? std::optional<std::string>(text.get()) : std::nullopt;
}

Result<std::optional<std::string>> get(const DnsRun& run)
{
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    return bus ? get(*bus) : Failure(bus.error());
}

bool in_charge(const DnsRun& run, const ResolvConfView& view)
{
    if (!leads_to_network_manager(view.link) && !is_network_managers(view.contents)) {
        return false;
    }
    const auto now = get(run);
    return now && *now;
}

std::string keyfile_string(const std::string& text)
{
    return "'" + text + "'";
}

/// Addresses and names hold no characters that need an escape.
template <typename T, typename ToText>
std::string render_list(const std::vector<T>& items, ToText to_text)
{
    std::string text;
    for (const T& item : items) {
        text += (text.empty() ? "" : ", ") + keyfile_string(to_text(item));
    }
    return "<@as [" + text + "]>";
}

std::string render(const DnsPlan& plan)
{
    const std::string servers =
        render_list(plan.resolvers(), [](const IpAddress& it) { return it.to_string(); });
    const std::string searches =
        render_list(plan.search_domains(), [](const HostName& it) { return it.text(); });
    return "{'searches': " + searches + ", 'domains': <{'*': <{'servers': " + servers + "}>}>}";
}

Status set(const BusModule& bus, const std::string& value)
{
    char* error = nullptr;
    const FailclosedAnswer answer = bus.nm_set(value.c_str(), &error);
    return bus_status(kName, answer, error);
}

Status apply(DnsRun& run, const DnsPlan& plan)
{
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    Result<std::optional<std::string>> now = get(*bus);
    if (!now || !*now) {
        return now ? fail(std::string(kName) + ": is no longer running") : Failure(now.error());
    }
    const std::string wanted = render(plan);
    const bool same = bus->nm_same((*now)->c_str(), wanted.c_str()) == FailclosedYes;
    if (!run.journal.network_manager) {
        run.journal.network_manager = std::move(*now);
        if (Status saved = run.file.save(run.journal); !saved) {
            return saved;
        }
    }
    return same ? Status() : set(*bus, wanted);
}

/// Restores the file of a NetworkManager that does not run, which would load our settings again.
Status put_back_in_file(const std::string& path, const std::string& before)
{
    const Result<std::string> contents = read_file(path, kFileLimit);
    if (!contents) {
        return contents.error().number() == ENOENT ? Status() : Failure(contents.error());
    }
    const Result<std::string> wanted = replace_global_dns(*contents, before);
    return wanted ? replace_file(path, *wanted) : Failure(wanted.error().during(kName));
}

/// As get(), but waits until a NetworkManager that is starting can answer; it has then read its
/// file. `nullopt` if none is starting.
Result<std::optional<std::string>> get_from_starting(const BusModule& bus)
{
    const auto deadline = std::chrono::steady_clock::now() + kLongestStart;
    for (;;) {
        auto now = get(bus);
        if (!now || *now || !any_is_called(kName) || std::chrono::steady_clock::now() > deadline) {
            return now;
        }
        // D-Bus announces that it has its name, not that it has its objects.
        std::this_thread::sleep_for(kLookAgain);
    }
}

/// False if NetworkManager refuses: with DNS settings in NetworkManager.conf it accepts no others,
/// and then it does not hold ours.
Result<bool> put_back_over_bus(const BusModule& bus, const std::string& now,
                               const std::string& before)
{
    if (bus.nm_same(now.c_str(), before.c_str()) == FailclosedYes) {
        return true;
    }
    char* error = nullptr;
    const FailclosedAnswer answer = bus.nm_set(before.c_str(), &error);
    return bus_answer(kName, answer, error);
}

Status restore(DnsRun& run)
{
    if (!run.journal.network_manager) {
        return {};
    }
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    const std::string& before = *run.journal.network_manager;
    const std::string& path = run.paths.network_manager_file;
    auto now = get(*bus);
    if (now && !*now) {
        // The file first: a NetworkManager that has read our settings from it is already starting.
        if (Status back = put_back_in_file(path, before); !back) {
            return back;
        }
        now = get_from_starting(*bus);
    }
    if (!now) {
        return Failure(now.error());
    }
    const Result<bool> taken = *now ? put_back_over_bus(*bus, **now, before) : true;
    if (!taken) {
        return Failure(taken.error());
    }
    if (!*taken) {
        if (Status back = put_back_in_file(path, before); !back) {
            return back;
        }
    }
    run.journal.network_manager.reset();
    return run.file.save(run.journal);
}

Result<bool> holds(const DnsRun& run, const DnsPlan& plan)
{
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    const auto now = get(*bus);
    if (!now) {
        return Failure(now.error());
    }
    return *now && run.journal.network_manager &&
           bus->nm_same((*now)->c_str(), render(plan).c_str()) == FailclosedYes;
}

} // namespace

bool is_network_managers(const std::string& contents)
{
    return contents.starts_with("# Generated by NetworkManager\n");
}

bool leads_to_network_manager(const std::string& target)
{
    return target.find("/run/NetworkManager/") != std::string::npos;
}

const DnsBackend kNetworkManagerBackend = {DnsSystem::NetworkManager, in_charge, apply, restore,
                                           holds};

} // namespace failclosed
