// SPDX-License-Identifier: GPL-3.0-or-later
// portal: lets one user or program sign in to the network for some minutes.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <variant>

#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/apply/programs/sign_in.hpp"
#include "core/base/file.hpp"
#include "core/base/report.hpp"
#include "core/codec/files/resolv_conf.hpp"
#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"
#include "core/engine/underlay_resolvers.hpp"

namespace failclosed::cli {

namespace {

constexpr Seconds kUsualTime{10 * 60};
// Exit codes of a shell.
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kKilledBy = 128;

/// Parses "90s", "10m", or a number of minutes.
std::optional<Seconds> parse_time(const std::string& text)
{
    const bool is_seconds = text.ends_with('s');
    const bool has_unit = is_seconds || text.ends_with('m');
    const auto number = parse_number(text.substr(0, text.size() - (has_unit ? 1 : 0)), 1,
                                     static_cast<std::uint64_t>(kLongestPortal.count()));
    if (!number) {
        return std::nullopt;
    }
    const Seconds time(static_cast<Seconds::rep>(*number) * (is_seconds ? 1 : 60));
    return time <= kLongestPortal ? std::optional(time) : std::nullopt;
}

/// The parsed command line.
struct CommandLine {
    Seconds time = kUsualTime;
    std::optional<std::string> user;
    Arguments command;
};

Result<User> user_of(const CommandLine& command_line)
{
    const char* caller = getenv("SUDO_UID");
    if (!command_line.user && (command_line.command.empty() || caller == nullptr)) {
        return fail(std::string("--user is required") +
                    (command_line.command.empty() ? "" : " (or run it by sudo)"));
    }
    auto user = find_user(command_line.user ? *command_line.user : caller);
    if (!user && user.error().number() == ENOENT) {
        return fail("no such user: " + (command_line.user ? *command_line.user : caller));
    }
    if (user && user->uid == 0) {
        return fail("root must not sign in, because the network could then reach programs of root: "
                    "name another user with --user");
    }
    return user;
}

std::string time_of_day(Seconds from_now)
{
    const std::time_t time = std::time(nullptr) + from_now.count();
    std::tm local{};
    std::array<char, 32> text{};
    localtime_r(&time, &local);
    return {text.data(), std::strftime(text.data(), text.size(), "%H:%M:%S", &local)};
}

/// A resolver on this machine is not a program of the user, so the sign-in does not admit it.
void warn_of_local_resolver()
{
    const auto text = read_file("/etc/resolv.conf", 1 << 16);
    if (text && std::ranges::any_of(parse_resolv_conf(*text).servers, &IpAddress::is_loopback)) {
        report_warning("names are looked up by a resolver on this machine, which the sign-in does "
                       "not admit: use `failclosed portal -- COMMAND`, whose program asks the "
                       "network's resolvers directly");
    }
}

int end_portal()
{
    LiveSystem system;
    return run_event(system, PortalEnded{}).exit_code();
}

/// Ends the sign-in if it is that of `group`, and not one that was requested later.
void end_portal_of(std::optional<gid_t> group)
{
    std::optional<Portal> portal;
    {
        LiveSystem system;
        portal = system.load_state().state.portal;
    }
    if (portal && portal->gid == group) {
        end_portal();
    }
}

/// Opens the sign-in. The network's resolvers on success; else the exit code, after the error was
/// printed.
std::variant<std::vector<IpAddress>, int> open_portal(const User& user, std::optional<gid_t> group,
                                                      Seconds time)
{
    PortalRequested request{user.uid, group, {}, time};
    int code = 0;
    {
        LiveSystem system;
        request.resolvers = underlay_resolvers(inspect(system).state);
        const Outcome outcome = run_event(system, request);
        const auto& portal = outcome.state.portal;
        if (!portal || portal->uid != user.uid || portal->gid != group) {
            return std::max(outcome.exit_code(), 1);
        }
        code = outcome.exit_code();
        if (code == 0) {
            report_notice("sign-in until " + time_of_day(time) + " for " + to_string(*portal));
            return std::move(request.resolvers);
        }
    }
    end_portal_of(group);
    return code;
}

[[noreturn]] void run_command(const User& user, gid_t group, const CommandLine& command_line,
                              const std::vector<IpAddress>& resolvers)
{
    if (const auto done = become_signer(user, group, resolvers); !done) {
        report_error(done.error().during("portal").message());
        _exit(kNotExecutable);
    }
    std::vector<char*> argv;
    for (const auto& argument : command_line.command) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    const Error error = Error::from_errno("portal: " + command_line.command.front());
    report_error(error.message());
    _exit(error.number() == ENOENT ? kNotFound : kNotExecutable);
}

/// The signals that are passed to the program, and SIGCHLD.
sigset_t awaited_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) {
        sigaddset(&signals, number);
    }
    return signals;
}

/// Runs the program in its own session, so that it cannot insert input into the caller's terminal
/// (TIOCSTI), which a root shell would then run. Passes signals on to it.
int run_and_wait(const User& user, gid_t group, const CommandLine& command_line,
                 const std::vector<IpAddress>& resolvers)
{
    const sigset_t signals = awaited_signals();
    sigset_t before;
    std::signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &signals, &before);
    const pid_t child = fork();
    if (child < 0) {
        report_error(Error::from_errno("portal: fork").message());
        return kNotExecutable;
    }
    if (child == 0) {
        setsid(); // makes a process group too
        sigprocmask(SIG_SETMASK, &before, nullptr);
        run_command(user, group, command_line, resolvers);
    }
    int status = 0;
    for (int number = 0; sigwait(&signals, &number) == 0;) {
        if (number != SIGCHLD) {
            kill(-child, number);
        } else if (waitpid(child, &status, WNOHANG) == child) {
            break;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : kKilledBy + WTERMSIG(status);
}

int sign_in(const CommandLine& command_line)
{
    const auto user = user_of(command_line);
    if (!user) {
        return usage_error("portal", user.error());
    }
    if (command_line.command.empty()) {
        const auto opened = open_portal(*user, {}, command_line.time);
        if (const int* refused = std::get_if<int>(&opened)) {
            return *refused;
        }
        warn_of_local_resolver();
        return 0;
    }
    const auto group = choose_group();
    if (!group) {
        report_error(group.error().during("portal").message());
        return 1;
    }
    const auto opened = open_portal(*user, *group, command_line.time);
    if (const int* refused = std::get_if<int>(&opened)) {
        return *refused;
    }
    const int code =
        run_and_wait(*user, *group, command_line, std::get<std::vector<IpAddress>>(opened));
    end_portal_of(*group);
    return code;
}

} // namespace

int portal(const Arguments& arguments)
{
    const auto separator = std::ranges::find(arguments, "--");
    const auto options = Options::parse(
        "portal",
        {{"for", "Duration in seconds (90s) or minutes (10m, or 10); default 10m, at most 30m",
          "TIME"},
         {"user", "The user who signs in, name or number; with COMMAND, default: caller of sudo",
          "NAME"},
         {"end", "End the sign-in now", ""}},
        Arguments(arguments.begin(), separator));
    if (!options) {
        return usage_error("portal", options.error());
    }
    const auto time = parse_value<Seconds>(
        *options, "for", "a time from 1s to 30m (s: seconds; m or no unit: minutes)", parse_time);
    if (!time) {
        return usage_error("portal", time.error());
    }
    CommandLine command_line{time->value_or(kUsualTime), options->last("user"), {}};
    if (separator != arguments.end()) {
        command_line.command.assign(separator + 1, arguments.end());
        if (command_line.command.empty()) {
            return usage_error("portal", Error("a command is required after --"));
        }
    }
    const bool ends = options->has("end");
    if (ends && (*time || command_line.user || !command_line.command.empty())) {
        return usage_error("portal", Error("--end cannot be combined with other arguments"));
    }
    if (!is_permitted("portal")) {
        return kNotPermitted;
    }
    return ends ? end_portal() : sign_in(command_line);
}

} // namespace failclosed::cli
