// SPDX-License-Identifier: GPL-3.0-or-later
// Sets DNS through systemd-resolved: each tunnel's link gets its resolvers, the first link all
// names.
#include <algorithm>

#include <net/if.h>

#include "core/apply/dns/backends.hpp"
#include "core/apply/dns/bus.hpp"
#include "core/base/file.hpp"

namespace failclosed {
namespace {

constexpr const char* kService = "org.freedesktop.resolve1";
constexpr const char* kName = "systemd-resolved";

/// The ifindex; 0 if there is no such link.
int link_index(const InterfaceName& name)
{
    return static_cast<int>(if_nametoindex(name.text().c_str()));
}

/// A TunnelDns as the module's struct, with the data that this points to.
class LinkDns {
  public:
    LinkDns(const DnsPlan& plan, const TunnelDns& dns)
    {
        for (const TunnelDns& tunnel : plan.tunnels) {
            if (const int index = link_index(tunnel.interface); index != 0) {
                tunnels_.push_back(index);
            }
        }
        tunnels_.push_back(0);
        for (const IpAddress& server : dns.resolvers) {
            texts_.push_back(server.to_string());
        }
        for (const HostName& domain : dns.search_domains) {
            texts_.push_back(domain.text());
        }
        for (std::size_t i = 0; i < texts_.size(); i++) {
            (i < dns.resolvers.size() ? servers_ : domains_).push_back(texts_[i].c_str());
        }
        servers_.push_back(nullptr);
        domains_.push_back(nullptr);
        value_ = {.index = link_index(dns.interface),
                  .servers = servers_.data(),
                  .search_domains = domains_.data(),
                  .takes_all_names = &dns == &plan.tunnels.front(),
                  .tunnels = tunnels_.data()};
    }

    LinkDns(const LinkDns&) = delete;
    LinkDns& operator=(const LinkDns&) = delete;

    [[nodiscard]] const FailclosedLinkDns* get() const { return &value_; }

    [[nodiscard]] bool exists() const { return value_.index != 0; }

  private:
    std::vector<std::string> texts_;
    std::vector<const char*> servers_;
    std::vector<const char*> domains_;
    std::vector<int> tunnels_;
    FailclosedLinkDns value_{};
};

/// The stub listens on 127.0.0.53, and on 127.0.0.54 without search domains. False for resolved's
/// resolv.conf that lists the servers themselves: programs then bypass the stub.
bool in_charge(const DnsRun& run, const ResolvConfView& view)
{
    const ResolvConf conf = parse_resolv_conf(view.contents);
    const bool stub =
        !conf.servers.empty() &&
        std::all_of(conf.servers.begin(), conf.servers.end(), [](const auto& it) {
            return it == IpAddress::parse("127.0.0.53") || it == IpAddress::parse("127.0.0.54");
        });
    if (!stub) {
        return false;
    }
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    return bus && service_runs(*bus, kService, kName).value_or(false);
}

Result<bool> link_holds(const BusModule& bus, const LinkDns& link)
{
    char* error = nullptr;
    const FailclosedAnswer answer = bus.resolved_holds(link.get(), &error);
    return bus_answer(kName, answer, error);
}

Status set_link(const BusModule& bus, const LinkDns& link)
{
    const Result<bool> held = link_holds(bus, link);
    if (held && *held) {
        return {};
    }
    char* error = nullptr;
    const FailclosedAnswer answer = bus.resolved_set(link.get(), &error);
    return bus_status(kName, answer, error);
}

/// If resolved does not run, removes its stored settings of the link, which it would load again. If
/// the link is gone, its settings are gone too.
Status revert_link(const DnsRun& run, const InterfaceName& name)
{
    const int index = link_index(name);
    if (index == 0) {
        return {};
    }
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    const Result<bool> runs = service_runs(*bus, kService, kName);
    if (!runs) {
        return Failure(runs.error());
    }
    if (!*runs) {
        return remove_file(run.paths.resolved_links + "/" + std::to_string(index),
                           Durability::Volatile);
    }
    char* error = nullptr;
    const FailclosedAnswer answer = bus->resolved_revert(index, &error);
    return bus_status(kName, answer, error);
}

/// Reverts our settings of links that are not in `kept`; afterwards the journal lists `kept`.
Status revert_all_but(DnsRun& run, const std::vector<InterfaceName>& kept)
{
    for (const InterfaceName& name : run.journal.resolved_links) {
        if (std::find(kept.begin(), kept.end(), name) != kept.end()) {
            continue;
        }
        if (Status reverted = revert_link(run, name); !reverted) {
            return reverted;
        }
    }
    run.journal.resolved_links = kept;
    return run.file.save(run.journal);
}

/// Passes over tunnels whose link is gone: they stay in the state, and the next `up` is a new
/// event.
Status set_links(const BusModule& bus, const DnsPlan& plan)
{
    for (const TunnelDns& tunnel : plan.tunnels) {
        const LinkDns link(plan, tunnel);
        if (!link.exists()) {
            continue;
        }
        if (Status done = set_link(bus, link); !done) {
            return done;
        }
    }
    return {};
}

Status apply(DnsRun& run, const DnsPlan& plan)
{
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    std::vector<InterfaceName> names;
    for (const TunnelDns& tunnel : plan.tunnels) {
        names.push_back(tunnel.interface);
    }
    if (Status reverted = revert_all_but(run, names); !reverted) {
        return reverted;
    }
    return set_links(*bus, plan);
}

Status restore(DnsRun& run)
{
    return run.journal.resolved_links.empty() ? Status() : revert_all_but(run, {});
}

Result<bool> holds(const DnsRun& run, const DnsPlan& plan)
{
    const Result<BusModule> bus = BusModule::load(run.paths.module_directory);
    if (!bus) {
        return Failure(bus.error());
    }
    for (const TunnelDns& tunnel : plan.tunnels) {
        const LinkDns link(plan, tunnel);
        const Result<bool> held = link.exists() ? link_holds(*bus, link) : Result<bool>(true);
        if (!held || !*held) {
            return held;
        }
    }
    return true;
}

} // namespace

const DnsBackend kResolvedBackend = {DnsSystem::Resolved, in_charge, apply, restore, holds};

} // namespace failclosed
