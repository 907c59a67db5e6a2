// SPDX-License-Identifier: GPL-3.0-or-later
// Text and JSON of the status.
#include "cli/status.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include "cli/json_writer.hpp"
#include "core/plan/firewall/belt.hpp"

namespace failclosed::cli {

namespace {

std::string_view protection_name(Outcome::Protection protection)
{
    switch (protection) {
    case Outcome::Protection::Closed:
        return "closed";
    case Outcome::Protection::NotClosed:
        return "not-closed";
    case Outcome::Protection::Open:
        return "open";
    }
    return "not-closed";
}

std::string_view lan_name(LanPolicy::Kind kind)
{
    switch (kind) {
    case LanPolicy::Kind::Deny:
        return "deny";
    case LanPolicy::Kind::OnLink:
        return "on-link";
    case LanPolicy::Kind::Private:
        return "private";
    case LanPolicy::Kind::List:
        return "list";
    }
    return "deny";
}

/// The sums of the counters for which `holds` is true, by reason, over both families and all
/// chains.
template <typename Holds>
std::map<std::string, Counter> by_reason(const Counters& counters, Holds holds)
{
    std::map<std::string, Counter> sums;
    for (const auto& [key, counter] : counters) {
        if (holds(key)) {
            auto& sum = sums[key.comment];
            sum.packets += counter.packets;
            sum.bytes += counter.bytes;
        }
    }
    return sums;
}

std::string_view name_of(const InterfaceName& name)
{
    return name.text();
}

std::string name_of(const InboundService& service)
{
    return std::string(to_string(service.transport)) + "/" + std::to_string(service.port.number()) +
           " from " + service.from.to_string();
}

std::string name_of(const IpPrefix& prefix)
{
    return prefix.to_string();
}

std::string name_of(const BeltAllowance& allowance)
{
    return std::visit([](const auto& value) { return value.to_string(); }, allowance);
}

/// "TITLE: A, B\n"; empty if there are no items.
template <typename Range> std::string list_line(std::string_view title, const Range& items)
{
    std::string text;
    for (const auto& item : items) {
        text += text.empty() ? std::string(title) + ": " : ", ";
        text += name_of(item);
    }
    return text.empty() ? text : text + "\n";
}

/// Lines about the device guard, the configured exceptions and the sign-in.
std::string roles_text(const StatusReport& report)
{
    std::string text;
    if (report.protection == Outcome::Protection::Closed) {
        text += report.guard.form == DeviceGuard::Form::None
                    ? std::string(kNoBelt)
                    : "device guard (lock 3): " + to_string(report.guard);
        text += report.guard.form == DeviceGuard::Form::Drifted ? " (run `failclosed reapply`)\n"
                                                                : "\n";
    }
    text += list_line("led into the tunnel", report.config.forward);
    text += list_line("reached from outside", report.config.inbound);
    text += list_line("passes the device guard", report.config.belt_allow);
    if (report.state.portal) {
        text += "sign-in for " + std::to_string(report.portal_left.count()) +
                " s more: " + to_string(*report.state.portal) + "\n";
    }
    return text;
}

/// "refused: 3 packets: REASON\n" for each reason; empty if there were no packets.
std::string counters_text(const char* title, const StatusReport& report, bool passing)
{
    std::string text;
    for (const auto& [reason, counter] : by_reason(report.counters, [&](const CounterKey& key) {
             return report.passing.contains(key) == passing;
         })) {
        if (counter.packets != 0) {
            text += std::string(title) + ": " + std::to_string(counter.packets) +
                    (counter.packets == 1 ? " packet: " : " packets: ") + reason + "\n";
        }
    }
    return text;
}

std::string counters_text(const StatusReport& report)
{
    const std::string refused = counters_text("refused", report, false);
    return counters_text("passed", report, true) + refused +
           (refused.empty() || !report.config.log
                ? ""
                : "  senders of what was refused: " + std::string(kRefusalLog) + "\n");
}

std::string differences_text(const StatusReport& report)
{
    std::string text;
    for (const auto& difference : report.differences) {
        text += "warning: " + to_string(difference) + "\n";
    }
    return text;
}

std::vector<IpAddress> gateway_of(const UnderlayPath& path)
{
    return path.gateway ? std::vector{*path.gateway} : std::vector<IpAddress>{};
}

std::string headline(const StatusReport& report)
{
    switch (report.protection) {
    case Outcome::Protection::Open:
        return "open: not locked (run `failclosed lock` to close)";
    case Outcome::Protection::NotClosed:
        return "NOT CLOSED: locked, but no firewall of failclosed is loaded (run `failclosed "
               "reapply`)";
    case Outcome::Protection::Closed:
        break;
    }
    if (report.state.tunnels.size() > report.dead_tunnels.size()) {
        return "closed: everything goes through the tunnel";
    }
    return report.config.lan.kind == LanPolicy::Kind::Deny
               ? "closed: no tunnel is up; only VPN servers can be reached"
               : "closed: no tunnel is up; only VPN servers and the local network can be reached";
}

} // namespace

DeviceGuard look_at_device_guard(LiveSystem& system, const Inspection& found)
{
    if (const auto form = firewall_form(system, found)) {
        return {*form == Expressions::All ? DeviceGuard::Form::Whole : DeviceGuard::Form::None, {}};
    }
    DeviceGuard guard{DeviceGuard::Form::Drifted, {}};
    const auto guarded = system.guarded_devices();
    if (!guarded || guarded->empty()) {
        return guard; // the kernel may not support it
    }
    for (const auto& device : belt_devices(found.state, found.config.config, found.snapshot)) {
        if (std::ranges::find(*guarded, device.text()) == guarded->end()) {
            guard.unguarded.push_back(device);
        }
    }
    return guard;
}

std::string to_string(const DeviceGuard& guard)
{
    switch (guard.form) {
    case DeviceGuard::Form::None:
        break;
    case DeviceGuard::Form::Drifted: {
        std::string text;
        for (const auto& device : guard.unguarded) {
            text += (text.empty() ? "NOT on " : ", ") + std::string(device.text());
        }
        return text.empty() ? "differs from the plan" : text;
    }
    case DeviceGuard::Form::Whole:
        return "on all devices except tunnels and devices to guests";
    }
    return "on no device";
}

std::set<CounterKey> passing_counters(const Ruleset& ruleset)
{
    std::set<CounterKey> keys;
    for (const auto& table : ruleset.tables) {
        for (const auto& chain : table.chains) {
            for (const auto& rule : chain.rules) {
                const auto* verdict = std::get_if<Verdict>(&rule.end);
                if ((verdict != nullptr && *verdict == Verdict::Accept) ||
                    std::holds_alternative<Masquerade>(rule.end) ||
                    std::holds_alternative<RedirectTo>(rule.end)) {
                    keys.insert({{table.family, table.name}, chain.name, rule.comment});
                }
            }
        }
    }
    return keys;
}

std::optional<Portal> portal_in_force(const Inspection& found)
{
    const auto& portal = found.state.portal;
    return portal && portal->until > found.snapshot.uptime ? portal : std::nullopt;
}

std::string to_string(const Portal& portal)
{
    std::string text = "user " + std::to_string(portal.uid);
    if (portal.gid) {
        text += ", group " + std::to_string(*portal.gid);
    }
    text += ": DNS at";
    for (const auto& resolver : portal.resolvers) {
        text += " " + resolver.to_string();
    }
    return text + ", TCP 80 and 443";
}

std::string status_text(const StatusReport& report)
{
    std::string text = headline(report) + "\n" + differences_text(report);
    for (const auto& finding : report.findings) {
        text += (is_informational(finding.kind) ? "note: " : "warning: ") + finding.text + "\n";
    }
    for (const auto& tunnel : report.state.tunnels) {
        text += "tunnel " + tunnel.interface.text() + ":";
        for (const auto& own : tunnel.addresses) {
            text += " " + own.address.to_string();
        }
        text += report.dead_tunnels.contains(tunnel.interface)
                    ? " (no device of this name is up; its program has not announced its end)\n"
                    : "\n";
        for (const auto& resolver : tunnel.resolvers) {
            text += "  resolver " + resolver.to_string() + "\n";
        }
    }
    for (const auto& path : report.state.underlay.paths) {
        text += "underlay " + path.interface.text() +
                (path.gateway ? " via " + path.gateway->to_string() : "") + "\n";
    }
    for (const auto& server : report.state.servers) {
        text += "server " + to_string(server.remote);
        if (server.remote.name() != nullptr) {
            for (const auto& learnt : server.addresses) {
                text += " " + learnt.address.to_string();
            }
            text += server.addresses.empty() ? " (no address known: run `failclosed refresh`)" : "";
        }
        text += "\n";
    }
    if (report.protection != Outcome::Protection::Open) {
        if (report.state.servers.empty()) {
            text += std::string(kNoServer) + "\n";
        }
        const auto& lan = report.config.lan;
        text += lan.prefixes.empty() ? "local network: " + std::string(lan_name(lan.kind)) + "\n"
                                     : list_line("local network", lan.prefixes);
        text += roles_text(report);
    }
    text += report.boot_lock ? "at boot: locked before the network\n"
                             : "at boot: not locked before the network; run `failclosed lock "
                               "--boot`\n";
    return text + counters_text(report);
}

std::string status_json(const StatusReport& report)
{
    JsonWriter json;
    json.object([&] {
        json.key("protection").string(protection_name(report.protection));
        json.key("armed").boolean(report.state.armed == Armed::Yes);
        json.key("as_wanted").boolean(report.differences.empty());
        json.key("boot_lock").boolean(report.boot_lock);
        json.strings("differences", report.differences,
                     [](const Difference& each) { return to_string(each); });
        json.key("device_guard").boolean(report.guard.form == DeviceGuard::Form::Whole);
        json.key("findings").array([&] {
            for (const auto& finding : report.findings) {
                json.object([&] {
                    json.key("kind").string(to_string(finding.kind));
                    json.key("text").string(finding.text);
                });
            }
        });
        if (const auto& portal = report.state.portal) {
            json.key("portal").object([&] {
                json.key("uid").number(portal->uid);
                if (portal->gid) {
                    json.key("gid").number(*portal->gid);
                }
                json.strings("resolvers", portal->resolvers,
                             [](const IpAddress& address) { return address.to_string(); });
                json.key("seconds_left")
                    .number(static_cast<std::uint64_t>(report.portal_left.count()));
            });
        }
        const auto named = [](const auto& item) { return name_of(item); };
        json.strings("forward", report.config.forward, named);
        json.strings("inbound", report.config.inbound, named);
        json.strings("belt_allow", report.config.belt_allow, named);
        json.key("lan").string(lan_name(report.config.lan.kind));
        json.key("tunnels").array([&] {
            for (const auto& tunnel : report.state.tunnels) {
                json.object([&] {
                    json.key("interface").string(tunnel.interface.text());
                    json.strings("addresses", tunnel.addresses, [](const InterfaceAddress& own) {
                        return own.address.to_string() + "/" + std::to_string(own.prefix_length);
                    });
                    json.strings("networks", tunnel.networks,
                                 [](const IpPrefix& network) { return network.to_string(); });
                    json.strings("resolvers", tunnel.resolvers,
                                 [](const IpAddress& address) { return address.to_string(); });
                    json.key("up").boolean(!report.dead_tunnels.contains(tunnel.interface));
                });
            }
        });
        json.key("underlays").array([&] {
            for (const auto& path : report.state.underlay.paths) {
                json.object([&] {
                    json.key("interface").string(path.interface.text());
                    json.strings("gateways", gateway_of(path),
                                 [](const IpAddress& address) { return address.to_string(); });
                    json.strings("addresses", path.sources,
                                 [](const IpAddress& address) { return address.to_string(); });
                });
            }
        });
        json.key("servers").array([&] {
            for (const auto& server : report.state.servers) {
                json.object([&] {
                    json.key("remote").string(to_string(server.remote));
                    json.strings("endpoints", server.endpoints(),
                                 [](const Endpoint& endpoint) { return to_string(endpoint); });
                });
            }
        });
        json.key("counters").array([&] {
            for (const auto& [reason, counter] :
                 by_reason(report.counters, [](const CounterKey&) { return true; })) {
                json.object([&] {
                    json.key("reason").string(reason);
                    json.key("packets").number(counter.packets);
                    json.key("bytes").number(counter.bytes);
                });
            }
        });
    });
    return std::move(json).take() + "\n";
}

} // namespace failclosed::cli
