// SPDX-License-Identifier: GPL-3.0-or-later
// Text and JSON of the status.
#include "cli/status.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <string_view>

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

/// The counters of both families and all chains, by reason.
std::map<std::string, Counter> by_reason(const Counters& counters)
{
    std::map<std::string, Counter> sums;
    for (const auto& [key, counter] : counters) {
        auto& sum = sums[key.comment];
        sum.packets += counter.packets;
        sum.bytes += counter.bytes;
    }
    return sums;
}

std::vector<IpAddress> gateway_of(const UnderlayPath& path)
{
    return path.gateway ? std::vector{*path.gateway} : std::vector<IpAddress>{};
}

std::string headline(const StatusReport& report)
{
    switch (report.protection) {
    case Outcome::Protection::Open:
        return "open: not locked (`failclosed lock` closes)";
    case Outcome::Protection::NotClosed:
        return "NOT CLOSED: locked, but no firewall of failclosed is loaded";
    case Outcome::Protection::Closed:
        break;
    }
    return report.state.tunnels.empty() ? "closed: no tunnel is up, only VPN servers can be reached"
                                        : "closed: everything goes through the tunnel";
}

class JsonWriter {
  public:
    JsonWriter& key(std::string_view name)
    {
        separate();
        append_string(name);
        text_ += ':';
        fresh_ = true;
        return *this;
    }

    void string(std::string_view value)
    {
        separate();
        append_string(value);
    }

    void number(std::uint64_t value)
    {
        separate();
        text_ += std::to_string(value);
    }

    void boolean(bool value)
    {
        separate();
        text_ += value ? "true" : "false";
    }

    template <typename Body> void object(Body body) { nested('{', '}', body); }

    template <typename Body> void array(Body body) { nested('[', ']', body); }

    template <typename Range, typename Text>
    void strings(std::string_view name, const Range& range, Text text)
    {
        key(name).array([&] {
            for (const auto& item : range) {
                string(text(item));
            }
        });
    }

    [[nodiscard]] std::string take() && { return std::move(text_); }

  private:
    template <typename Body> void nested(char open, char close, Body body)
    {
        separate();
        text_ += open;
        fresh_ = true;
        body();
        text_ += close;
        fresh_ = false;
    }

    void separate()
    {
        if (!fresh_) {
            text_ += ',';
        }
        fresh_ = false;
    }

    void append_string(std::string_view value)
    {
        text_ += '"';
        for (const char c : value) {
            const auto byte = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                text_ += '\\';
                text_ += c;
            } else if (byte < 0x20 || byte >= 0x7f) {
                // Names of devices may hold any byte; as Latin-1 each has a code point.
                std::array<char, 8> escaped{};
                std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
                text_ += escaped.data();
            } else {
                text_ += c;
            }
        }
        text_ += '"';
    }

    std::string text_;
    bool fresh_ = true;
};

} // namespace

std::string status_text(const StatusReport& report)
{
    std::string text = headline(report) + "\n";
    for (const auto& tunnel : report.state.tunnels) {
        text += "tunnel " + tunnel.interface.text() + ":";
        for (const auto& own : tunnel.addresses) {
            text += " " + own.address.to_string();
        }
        text += "\n";
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
            text += server.addresses.empty() ? " (no address known: failclosed refresh)" : "";
        }
        text += "\n";
    }
    if (report.protection != Outcome::Protection::Open) {
        if (report.state.servers.empty()) {
            text += std::string(kNoServer) + "\n";
        }
        text += "local network: " + std::string(lan_name(report.config.lan.kind)) + "\n";
    }
    text += report.boot_lock ? "at boot: locked before the network\n"
                             : "at boot: not locked before the network; `failclosed lock --boot`\n";
    for (const auto& [reason, counter] : by_reason(report.counters)) {
        if (counter.packets != 0) {
            text += std::to_string(counter.packets) + " packets: " + reason + "\n";
        }
    }
    for (const auto& line : report.differences) {
        const bool mends = line.ends_with(kDrifted);
        text += "differs: " + line + (mends ? " (`failclosed reapply` mends)\n" : "\n");
    }
    return text;
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
                     [](const std::string& line) { return line; });
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
            for (const auto& [reason, counter] : by_reason(report.counters)) {
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
