// SPDX-License-Identifier: GPL-3.0-or-later
// Implements the engine's port with the appliers.
#include "core/engine/live_system.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/apply/dns/hosts.hpp"
#include "core/apply/kernel/links.hpp"
#include "core/apply/kernel/observe.hpp"
#include "core/apply/kernel/sockets.hpp"
#include "core/apply/kernel/sysctl.hpp"
#include "core/apply/programs/openvpn_configs.hpp"
#include "core/apply/programs/process.hpp"
#include "core/apply/storage/journal.hpp"
#include "core/plan/constants.hpp"
#include "core/plan/firewall/firewall.hpp"

namespace failclosed {

namespace {

constexpr const char* kRunDirectory = "/run/failclosed";
constexpr const char* kLockFile = "/run/failclosed/lock";
constexpr const char* kPersistentDirectory = "/var/lib/failclosed";

const std::vector<TableName>& our_tables()
{
    static const std::vector<TableName> tables = {{TableFamily::Inet, kTableName},
                                                  {TableFamily::Arp, kTableName},
                                                  {TableFamily::Netdev, kTableName}};
    return tables;
}

/// Longer than a run: a run waits at most 15 s for other programs.
constexpr Seconds kLongestWait{20};

/// Interrupts system calls after a time, then every second, so that a call that starts at the first
/// signal is interrupted too.
class Alarm {
  public:
    explicit Alarm(Seconds time) : end_(std::chrono::steady_clock::now() + time)
    {
        struct sigaction interrupt{};
        interrupt.sa_handler = [](int) {};
        sigaction(SIGALRM, &interrupt, &before_);
        const itimerval timer{{1, 0}, {time.count(), 0}};
        setitimer(ITIMER_REAL, &timer, nullptr);
    }

    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    ~Alarm()
    {
        const itimerval none{};
        setitimer(ITIMER_REAL, &none, nullptr);
        sigaction(SIGALRM, &before_, nullptr);
    }

    [[nodiscard]] bool is_over() const { return std::chrono::steady_clock::now() >= end_; }

  private:
    std::chrono::steady_clock::time_point end_;
    struct sigaction before_{};
};

Status make_directory(const char* path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail_errno(std::string("making ") + path);
    }
    return {};
}

} // namespace

LiveSystem::~LiveSystem()
{
    if (nftables_ && closing_ == Closing::AfterExit) {
        Nftables::close_in_background(std::move(*nftables_));
    }
}

const char* LiveSystem::persistent_directory()
{
    return kPersistentDirectory;
}

const char* LiveSystem::run_directory()
{
    return kRunDirectory;
}

std::string LiveSystem::refresh_stamp()
{
    return std::string(kRunDirectory) + "/refreshed";
}

Status LiveSystem::lock()
{
    return lock(kLongestWait);
}

Status LiveSystem::lock(Seconds wait)
{
    if (auto made = make_directory(kRunDirectory); !made) {
        return made;
    }
    const std::string path = kLockFile;
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return fail_errno("opening " + path);
    }
    // The kernel releases it at every end of the process.
    const Alarm limit(wait);
    while (flock(file.get(), LOCK_EX) != 0) {
        if (errno != EINTR) {
            return fail_errno("locking " + path);
        }
        if (limit.is_over()) {
            return fail("locking " + path + ": another run has held it for " +
                        std::to_string(wait.count()) + " s: end that one (fuser -v " + path +
                        " tells which)");
        }
    }
    lock_ = std::move(file);
    remember_rules();
    return {};
}

void LiveSystem::wait_for_another_run(std::chrono::milliseconds time)
{
    const UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    // A run opens the file for writing, and closes it when it ends (inotify(7)).
    const bool watched =
        events.valid() && inotify_add_watch(events.get(), kLockFile, IN_CLOSE_WRITE) >= 0;
    lock_.reset();
    alignas(inotify_event) std::array<char, 4096> buffer;
    while (watched && read(events.get(), buffer.data(), buffer.size()) > 0) {
        // This event was caused by our own close().
    }
    pollfd polled{events.get(), POLLIN, 0};
    poll(&polled, watched ? 1 : 0, static_cast<int>(time.count()));
}

void LiveSystem::release()
{
    lock_.reset();
}

LoadedConfig LiveSystem::load_config()
{
    auto stored = failclosed::load_config();
    return {std::move(stored.config), std::move(stored.damage)};
}

LoadedState LiveSystem::load_state()
{
    auto stored = store_.load();
    return {std::move(stored.state), stored.absent, std::move(stored.damage)};
}

Status LiveSystem::save_state(const State& state)
{
    return store_.save(state);
}

Result<Snapshot> LiveSystem::observe()
{
    return failclosed::observe();
}

void LiveSystem::remember_rules()
{
    // Without the lock another run may be writing the file.
    if (reading_ == Reading::Changes && lock_.valid() && nftables_) {
        nftables_->remember_in(FirewallMemory(kRunDirectory));
    }
}

Result<Nftables*> LiveSystem::nftables()
{
    if (!nftables_) {
        auto opened = Nftables::open();
        if (!opened) {
            return Failure(opened.error());
        }
        nftables_ = *std::move(opened);
        remember_rules();
    }
    return &*nftables_;
}

Result<Routing*> LiveSystem::routing()
{
    if (!routing_) {
        auto opened = Routing::open();
        if (!opened) {
            return Failure(opened.error());
        }
        routing_.emplace(*std::move(opened));
    }
    return &*routing_;
}

Result<bool> LiveSystem::firewall_exists()
{
    const auto firewall = nftables();
    return firewall ? (*firewall)->exists() : Result<bool>(Failure(firewall.error()));
}

Result<bool> LiveSystem::firewall_holds(const Ruleset& ruleset)
{
    const auto firewall = nftables();
    if (!firewall) {
        return Failure(firewall.error());
    }
    return (*firewall)->holds(ruleset);
}

bool LiveSystem::has_egress_hook()
{
    const auto firewall = nftables();
    return firewall && (*firewall)->has_egress_hook();
}

Status LiveSystem::replace_firewall(const Ruleset& ruleset)
{
    const auto firewall = nftables();
    return firewall ? (*firewall)->replace(ruleset) : Status(Failure(firewall.error()));
}

Status LiveSystem::load_beside(const Ruleset& ruleset)
{
    static_cast<void>(FirewallMemory(kRunDirectory).forget());
    const auto firewall = nftables();
    return firewall ? (*firewall)->load(ruleset) : Status(Failure(firewall.error()));
}

Status LiveSystem::remove_firewall()
{
    static_cast<void>(FirewallMemory(kRunDirectory).forget());
    const auto firewall = nftables();
    return firewall ? (*firewall)->remove(our_tables()) : Status(Failure(firewall.error()));
}

Result<bool> LiveSystem::routing_holds(const RoutingPlan& plan)
{
    const auto table = routing();
    return table ? (*table)->holds(plan) : Result<bool>(Failure(table.error()));
}

Status LiveSystem::sync_routing(const RoutingPlan& plan)
{
    const auto table = routing();
    if (!table) {
        return Failure(table.error());
    }
    const auto synced = (*table)->sync(plan);
    return synced ? Status{} : Status(Failure(synced.error()));
}

Status LiveSystem::remove_routing()
{
    const auto table = routing();
    return table ? (*table)->remove() : Status(Failure(table.error()));
}

Result<unsigned> LiveSystem::destroy_foreign_flows(const State& state, const Config& config,
                                                   const Snapshot& snapshot)
{
    const auto sweep = failclosed::destroy_foreign_flows(FlowPolicy(state, config, snapshot));
    if (!sweep) {
        return Failure(sweep.error());
    }
    return sweep->destroyed;
}

Status LiveSystem::set_sysctls(const State& state)
{
    const auto wanted = plan_sysctls(state);
    std::vector<SysctlRecord> changes;
    for (const auto& parameter : wanted) {
        const auto value = read_sysctl(parameter.name);
        if (value && *value != parameter.value) {
            changes.push_back({parameter.name, parameter.value, *value});
        }
    }
    if (changes.empty()) {
        return {};
    }
    // The former values are durable before they change.
    if (auto noted = JournalFile(kPersistentDirectory).remember_sysctls(changes); !noted) {
        return noted;
    }
    const auto outcome = failclosed::set_sysctls(wanted);
    return outcome.refused.empty() ? Status{} : Status(Failure(outcome.refused.front()));
}

Status LiveSystem::restore_sysctls()
{
    const JournalFile file(kPersistentDirectory);
    const auto journal = file.load();
    if (!journal) {
        return Failure(journal.error());
    }
    if (journal->sysctls.empty()) {
        return {};
    }
    if (auto restored = failclosed::restore_sysctls(journal->sysctls); !restored) {
        return restored;
    }
    return file.forget_sysctls();
}

Result<bool> LiveSystem::dns_holds(const DnsPlan& plan)
{
    return dns_.holds(plan);
}

Status LiveSystem::apply_dns(const DnsPlan& plan)
{
    const auto applied = dns_.apply(plan);
    return applied ? Status{} : Status(Failure(applied.error()));
}

Status LiveSystem::restore_dns()
{
    return dns_.restore();
}

Result<bool> LiveSystem::hosts_hold(const HostsPlan& plan)
{
    return failclosed::hosts_hold(plan);
}

Status LiveSystem::apply_hosts(const HostsPlan& plan)
{
    return failclosed::apply_hosts(plan);
}

Status LiveSystem::remove_hosts()
{
    return failclosed::remove_hosts();
}

std::vector<ProcessId> LiveSystem::running(const std::vector<ProcessId>& known)
{
    std::vector<ProcessId> running;
    for (const auto& id : known) {
        const auto process = read_process(id.pid);
        if (process && process->id == id) {
            running.push_back(id);
        }
    }
    return running;
}

std::vector<TunnelProgram> LiveSystem::tunnel_programs(const std::vector<ProcessId>& known,
                                                       bool waiting,
                                                       const std::vector<std::string>& patterns,
                                                       const std::vector<std::string>& files)
{
    return find_tunnel_programs(known, waiting, patterns, files);
}

Status LiveSystem::signal(const ProcessId& process, int number)
{
    return send_signal(process, number);
}

Status LiveSystem::set_links_down()
{
    return failclosed::set_links_down();
}

Result<Counters> LiveSystem::counters()
{
    const auto firewall = nftables();
    return firewall ? (*firewall)->counters(our_tables())
                    : Result<Counters>(Failure(firewall.error()));
}

Result<std::vector<ForeignRule>> LiveSystem::foreign_rules()
{
    const auto table = routing();
    return table ? (*table)->foreign_rules()
                 : Result<std::vector<ForeignRule>>(Failure(table.error()));
}

Result<std::vector<std::string>> LiveSystem::guarded_devices()
{
    const auto firewall = nftables();
    return firewall ? (*firewall)->devices({TableFamily::Netdev, kTableName})
                    : Result<std::vector<std::string>>(Failure(firewall.error()));
}

Status LiveSystem::admit_bootstrap(const IpAddress& resolver, Seconds time)
{
    return admit(bootstrap_elements(resolver), time);
}

Result<LiveSystem::LeavingTables> LiveSystem::leaving_tables()
{
    const auto firewall = nftables();
    if (!firewall) {
        return Failure(firewall.error());
    }
    auto names = (*firewall)->loaded({{TableFamily::Netdev, kTableName}});
    if (!names) {
        return Failure(names.error());
    }
    names->push_back(our_tables().front());
    return LeavingTables{*firewall, *std::move(names)};
}

Status LiveSystem::admit(const Set& set, Seconds time)
{
    const auto leaving = leaving_tables();
    if (!leaving) {
        return Failure(leaving.error());
    }
    for (const auto& table : leaving->names) {
        if (auto added = leaving->firewall->add_timed(table, set, time); !added) {
            return added;
        }
    }
    return {};
}

Status LiveSystem::admit_portal(const Portal& portal, Seconds remaining)
{
    for (const Set& set : portal_elements(portal)) {
        if (auto admitted = admit(set, remaining); !admitted) {
            return admitted;
        }
    }
    return {};
}

Status LiveSystem::end_portal()
{
    const auto leaving = leaving_tables();
    if (!leaving) {
        return Failure(leaving.error());
    }
    Status ended;
    for (const auto& table : leaving->names) {
        const auto flushed = leaving->firewall->flush(table, portal_sets());
        // Rules without a sign-in do not have these sets.
        if (!flushed && flushed.error().number() != ENOENT) {
            ended = flushed;
        }
    }
    return ended;
}

} // namespace failclosed
