// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed(8): calls the verb.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include "cli/commands.hpp"
#include "core/base/report.hpp"
#include "core/engine/engine.hpp"
#include "core/engine/live_system.hpp"

using namespace failclosed;

namespace {

struct Verb {
    std::string_view name;
    int (*run)(const cli::Arguments&);
    const char* help;
};

constexpr std::array<Verb, 12> kVerbs = {{
    {"lock", cli::lock, "close: everything goes through a tunnel, or nowhere"},
    {"unlock", cli::unlock, "open, and restore the previous settings"},
    {"status", cli::status, "show what is in force, and what was refused"},
    {"check", cli::check, "exit 0 if the protection in force is exactly the planned one"},
    {"reapply", cli::reapply, "compare the system with the plan again, and repair differences"},
    {"up", cli::up, "announce that a tunnel is up"},
    {"down", cli::down, "announce that a tunnel has ended; the lock stays"},
    {"plan", cli::plan, "print the plan as nft and ip commands; change nothing"},
    {"explain", cli::explain, "show which rule decides about a packet, and why"},
    {"doctor", cli::doctor, "list what could prevent protection, and what to do"},
    {"portal", cli::portal, "let one user or program sign in to the network for some minutes"},
    {"refresh", cli::refresh, "look up the addresses of the servers again"},
}};

int usage(FILE* stream)
{
    std::fputs("Usage: failclosed VERB [OPTION]...\n\n", stream);
    for (const auto& verb : kVerbs) {
        std::fprintf(stream, "  %-8.*s  %s\n", static_cast<int>(verb.name.size()), verb.name.data(),
                     verb.help);
    }
    std::fputs("\n`failclosed VERB --help` lists a verb's options. See failclosed(8).\n", stream);
    return stream == stdout ? 0 : cli::kUsageError;
}

int run(int argc, char** argv)
{
    const std::string_view name = argc > 1 ? argv[1] : "";
    if (name == "--help" || name == "-h" || name == "help") {
        return usage(stdout);
    }
    if (name == "--version") {
        std::puts("failclosed " FAILCLOSED_VERSION);
        return 0;
    }
    const auto verb = std::ranges::find(kVerbs, name, &Verb::name);
    if (verb == kVerbs.end()) {
        if (argc > 1) {
            report_error("unknown verb: " + std::string(name) + " (see failclosed --help)");
            return cli::kUsageError;
        }
        return usage(stderr);
    }
    return verb->run(cli::Arguments(argv + 2, argv + argc));
}

/// The exit code after an exception (out of memory, for example). At boot, 1 lets the network
/// start, so the machine must be closed then. A second exception ends the program, which counts as
/// not closed.
int code_after_exception(const cli::Arguments& arguments)
{
    LiveSystem system;
    const std::string verb = arguments.empty() ? "" : arguments.front();
    if (verb == "lock" || verb == "up") {
        const bool at_boot = std::ranges::find(arguments, "--at-boot") != arguments.end();
        return close_after_exception(system, {{}, at_boot}) ? 1 : 2;
    }
    const auto exists = system.firewall_exists();
    return exists && *exists ? 1 : 2;
}

} // namespace

int main(int argc, char** argv)
{
    set_up_reports("cli", ReportTo::StandardError);
    umask(077);
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        report_error(error.what());
        return code_after_exception(cli::Arguments(argv + 1, argv + argc));
    }
}
