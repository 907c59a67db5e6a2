// SPDX-License-Identifier: GPL-3.0-or-later
// Script environments as a real OpenVPN gave them, and events as comparable text.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/codec/files/state_file.hpp"
#include "core/codec/openvpn/environment.hpp"
#include "tests/support/lab/paths.hpp"

namespace failclosed::test {

inline std::string read_text(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<const char*> to_pointers(const std::vector<std::string>& strings)
{
    std::vector<const char*> pointers;
    for (const auto& string : strings) {
        pointers.push_back(string.c_str());
    }
    return pointers;
}

/// One call of a script: "# argument ...", other lines with "# ", and "NAME=VALUE" lines.
struct Call {
    std::vector<std::string> arguments;
    std::vector<std::string> entries;
    /// What the other lines say.
    std::vector<std::string> remarks;

    static Call load(const std::filesystem::path& path)
    {
        constexpr std::string_view kArgument = "# argument ";
        Call call;
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) {
            if (line.starts_with(kArgument)) {
                call.arguments.push_back(line.substr(kArgument.size()));
            } else if (line.starts_with("# ")) {
                call.remarks.push_back(line.substr(2));
            } else {
                call.entries.push_back(line);
            }
        }
        return call;
    }

    /// Replaces a variable or adds it.
    void set(const std::string& name, const std::string& value)
    {
        unset(name);
        entries.push_back(name + "=" + value);
    }

    void unset(const std::string& name)
    {
        std::erase_if(entries,
                      [&](const std::string& entry) { return entry.starts_with(name + "="); });
    }
};

/// A call of OpenVPN's; "uid N" is who runs it.
struct Recording : Call {
    OpenvpnFacts facts;

    static Recording load(const std::filesystem::path& path)
    {
        Recording recording{Call::load(path), {}};
        recording.facts.ancestors = {{{1000, 4711}, 0}};
        for (const auto& remark : recording.remarks) {
            recording.facts.ancestors[0].uid = static_cast<uid_t>(std::stoul(remark.substr(4)));
        }
        return recording;
    }

    [[nodiscard]] Result<OpenvpnEvent> parse() const
    {
        const auto entry_pointers = to_pointers(entries);
        const Environment environment(entry_pointers);
        return parse_openvpn_event(to_pointers(arguments), environment, facts);
    }
};

/// The recordings below a folder of tests/fixtures, sorted.
inline std::vector<std::filesystem::path> recordings_in(const std::string& folder)
{
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(fixtures() / folder)) {
        if (entry.path().extension() == ".env") {
            paths.push_back(entry.path());
        }
    }
    std::ranges::sort(paths);
    return paths;
}

inline std::vector<std::filesystem::path> all_recordings()
{
    return recordings_in("openvpn");
}

inline Recording recording(const std::string& name)
{
    return Recording::load(fixtures() / "openvpn" / (name + ".env"));
}

struct EventText {
    static std::string servers(const std::vector<Server>& servers,
                               const std::optional<Endpoint>& connected)
    {
        return write_servers(servers) + "\nconnected=" + (connected ? to_string(*connected) : "") +
               "\n";
    }

    std::string operator()(const TunnelUp& event) const
    {
        return "TunnelUp\n\n" + write_running({.tunnels = {event.tunnel}}) + "\n" +
               servers(event.servers, event.connected);
    }

    std::string operator()(const TunnelRestarted& event) const
    {
        return "TunnelRestarted\n\n" + servers(event.servers, event.connected);
    }

    std::string operator()(const TunnelDown& event) const
    {
        return "TunnelDown " + event.interface.text() + "\n";
    }

    std::string operator()(const TunnelFound& event) const
    {
        return "TunnelFound " + event.interface.text() + "\n";
    }

    std::string operator()(const UnderlayChanged& event) const
    {
        std::string text = "UnderlayChanged";
        if (event.leased_interface) {
            text += " lease of " + event.leased_interface->text() + " " +
                    (event.lease_server ? "by " + event.lease_server->to_string() : "is over");
        }
        return text + "\n";
    }

    std::string operator()(const ReapplyRequested&) const { return "ReapplyRequested\n"; }

    std::string operator()(const LockRequested&) const { return "LockRequested\n"; }

    std::string operator()(const UnlockRequested&) const { return "UnlockRequested\n"; }

    std::string operator()(const PortalRequested&) const { return "PortalRequested\n"; }

    std::string operator()(const PortalEnded&) const { return "PortalEnded\n"; }

    std::string operator()(const ServersResolved&) const { return "ServersResolved\n"; }
};

/// An event of any entry point.
inline std::string to_text(const std::optional<Event>& event, const Warnings& warnings)
{
    std::string text = event ? std::visit(EventText{}, *event) : "no event\n";
    for (const auto& line : warnings) {
        text += "warning: " + line + "\n";
    }
    return text;
}

inline std::string to_text(const Result<OpenvpnEvent>& result)
{
    return result ? to_text(result->event, result->warnings)
                  : "error: " + result.error().message() + "\n";
}

/// The name of a test of this recording.
inline std::string test_name(const std::filesystem::path& path)
{
    auto name = path.parent_path().filename().string() + "_" + path.stem().string();
    std::ranges::replace(name, '-', '_');
    return name;
}

} // namespace failclosed::test
