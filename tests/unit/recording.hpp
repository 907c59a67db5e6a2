// SPDX-License-Identifier: GPL-3.0-or-later
// Script environments as a real OpenVPN gave them, and events as comparable text.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <variant>
#include <vector>

#include "core/codec/openvpn_environment.hpp"
#include "core/codec/state_file.hpp"

// Given by the build: the folder tests/fixtures of the sources.
#ifndef FAILCLOSED_FIXTURES
#error "FAILCLOSED_FIXTURES has to name the folder tests/fixtures"
#endif

namespace failclosed::test {

inline std::string read_text(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// One call of a script: "# argument ...", "# uid N", and "NAME=VALUE" lines.
struct Recording {
    std::vector<std::string> arguments;
    std::vector<std::string> entries;
    OpenvpnFacts facts;

    static Recording load(const std::filesystem::path& path)
    {
        Recording recording;
        recording.facts.ancestors = {{{1000, 4711}, 0}};
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) {
            if (line.starts_with("# argument ")) {
                recording.arguments.push_back(line.substr(11));
            } else if (line.starts_with("# uid ")) {
                recording.facts.ancestors[0].uid = static_cast<uid_t>(std::stoul(line.substr(6)));
            } else {
                recording.entries.push_back(line);
            }
        }
        return recording;
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

    [[nodiscard]] Result<OpenvpnEvent> parse() const
    {
        const auto to_pointers = [](const std::vector<std::string>& strings) {
            std::vector<const char*> pointers;
            for (const auto& string : strings) {
                pointers.push_back(string.c_str());
            }
            return pointers;
        };
        const auto entry_pointers = to_pointers(entries);
        const OpenvpnEnvironment environment(entry_pointers);
        return parse_openvpn_event(to_pointers(arguments), environment, facts);
    }
};

inline std::vector<std::filesystem::path> all_recordings()
{
    std::vector<std::filesystem::path> paths;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(FAILCLOSED_FIXTURES "/openvpn")) {
        if (entry.path().extension() == ".env") {
            paths.push_back(entry.path());
        }
    }
    std::ranges::sort(paths);
    return paths;
}

inline Recording recording(const std::string& name)
{
    return Recording::load(std::string(FAILCLOSED_FIXTURES "/openvpn/") + name + ".env");
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
        return "TunnelUp\n\n" + write_tunnels({event.tunnel}) + "\n" +
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

    std::string operator()(const ReapplyRequested&) const { return "ReapplyRequested\n"; }

    std::string operator()(const LockRequested&) const { return "LockRequested\n"; }

    std::string operator()(const UnlockRequested&) const { return "UnlockRequested\n"; }

    std::string operator()(const ServersResolved&) const { return "ServersResolved\n"; }
};

inline std::string to_text(const Result<OpenvpnEvent>& result)
{
    if (!result) {
        return "error: " + result.error().message() + "\n";
    }
    std::string text = result->event ? std::visit(EventText{}, *result->event) : "no event\n";
    for (const auto& line : result->warnings) {
        text += "warning: " + line + "\n";
    }
    return text;
}

} // namespace failclosed::test
