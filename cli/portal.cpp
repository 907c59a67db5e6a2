// SPDX-License-Identifier: GPL-3.0-or-later
// portal: lets one user, or one program, sign in to the network for some minutes.
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
#include "cli/underlay_resolvers.hpp"
#include "core/apply/sign_in.hpp"
#include "core/base/file.hpp"
#include "core/base/report.hpp"
#include "core/codec/resolv_conf.hpp"
#include "core/engine/inspect.hpp"
#include "core/engine/live_system.hpp"
#include "core/engine/run_event.hpp"

namespace failclosed::cli {

namespace {

constexpr Seconds kUsualTime{10 * 60};
// As a shell says it.
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kKilledBy = 128;

/// "90s", "10m", or a number of minutes.
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

/// What was asked for on the command line.
struct Wish {
    Seconds time = kUsualTime;
    std::optional<std::string> user;
    Arguments command;
};

Result<User> user_of(const Wish& wish)
{
    const char* caller = getenv("SUDO_UID");
    if (!wish.user && (wish.command.empty() || caller == nullptr)) {
        return fail(std::string("--user is needed") +
                    (wish.command.empty() ? "" : " (or call it by sudo)"));
    }
    auto user = find_user(wish.user ? *wish.user : caller);
    if (!user && user.error().number() == ENOENT) {
        return fail("no such user: " + (wish.user ? *wish.user : caller));
    }
    if (user && user->uid == 0) {
        return fail("not for root, whom the network must not reach: name a user with --user");
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

/// Where names are looked up by a program of this machine, that program is not the user's.
void warn_of_local_resolver()
{
    const auto text = read_file("/etc/resolv.conf", 1 << 16);
    if (text && std::ranges::any_of(parse_resolv_conf(*text).servers, &IpAddress::is_loopback)) {
        report_warning("names are looked up by a resolver of this machine, which is not admitted: "
                       "give a COMMAND, which asks the network's itself");
    }
}

int end_portal()
{
    LiveSystem system;
    return run_event(system, PortalEnded{}).exit_code();
}

/// Ends the sign-in of `group`, and no other that was asked for since.
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

/// The network's resolvers where the sign-in is in force; else the exit code, and why was told.
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

[[noreturn]] void run_command(const User& user, gid_t group, const Wish& wish,
                              const std::vector<IpAddress>& resolvers)
{
    if (const auto done = become_signer(user, group, resolvers); !done) {
        report_error(done.error().during("portal").message());
        _exit(kNotExecutable);
    }
    std::vector<char*> argv;
    for (const auto& argument : wish.command) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    const Error error = Error::from_errno("portal: " + wish.command.front());
    report_error(error.message());
    _exit(error.number() == ENOENT ? kNotFound : kNotExecutable);
}

/// What ends the program, and what tells that it has ended.
sigset_t awaited_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) {
        sigaddset(&signals, number);
    }
    return signals;
}

/// The program is in a session of its own, so that it cannot type into the caller's terminal
/// (TIOCSTI) what a shell of root's would then run; signals are handed on to it.
int run_and_wait(const User& user, gid_t group, const Wish& wish,
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
        setsid(); // and a process group
        sigprocmask(SIG_SETMASK, &before, nullptr);
        run_command(user, group, wish, resolvers);
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

int sign_in(const Wish& wish)
{
    const auto user = user_of(wish);
    if (!user) {
        return usage_error("portal", user.error());
    }
    if (wish.command.empty()) {
        const auto opened = open_portal(*user, {}, wish.time);
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
    const auto opened = open_portal(*user, *group, wish.time);
    if (const int* refused = std::get_if<int>(&opened)) {
        return *refused;
    }
    const int code = run_and_wait(*user, *group, wish, std::get<std::vector<IpAddress>>(opened));
    end_portal_of(*group);
    return code;
}

} // namespace

int portal(const Arguments& arguments)
{
    const auto separator = std::ranges::find(arguments, "--");
    const auto options = Options::parse(
        "portal",
        {{"for", "How long, such as 90s or 10m; 10m if not given, 30m at the most", "TIME"},
         {"user", "Who signs in, by name or number; who called sudo if not given", "NAME"},
         {"end", "End it now", ""}},
        Arguments(arguments.begin(), separator));
    if (!options) {
        return usage_error("portal", options.error());
    }
    const auto time = parse_value<Seconds>(*options, "for", "a time from 1s to 30m", parse_time);
    if (!time) {
        return usage_error("portal", time.error());
    }
    Wish wish{time->value_or(kUsualTime), options->last("user"), {}};
    if (separator != arguments.end()) {
        wish.command.assign(separator + 1, arguments.end());
        if (wish.command.empty()) {
            return usage_error("portal", Error("a command is needed after --"));
        }
    }
    const bool ends = options->has("end");
    if (ends && (*time || wish.user || !wish.command.empty())) {
        return usage_error("portal", Error("--end takes nothing else"));
    }
    if (!is_permitted("portal")) {
        return kNotPermitted;
    }
    return ends ? end_portal() : sign_in(wish);
}

} // namespace failclosed::cli
