// SPDX-License-Identifier: GPL-3.0-or-later
// `./setup demo`: a real tunnel that breaks and comes back, first without failclosed, then with it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include "tests/e2e/scene.hpp"
#include "tests/e2e/storm.hpp"
#include "tests/support/traffic/sniffer.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

constexpr char red[] = "31;1";
constexpr char green[] = "32;1";
constexpr char bold[] = "1";

/// Lines on a terminal, or in a file: colours and a counter that moves only on the former.
class Screen {
  public:
    void say(const std::string& text) const { std::printf("%s\n", text.c_str()); }

    void title(const std::string& text) const
    {
        std::printf("\n%s\n", in_colour(bold, text).c_str());
    }

    /// Runs `work` and shows how many packets leak while it runs. Returns how many did.
    std::uint64_t step(const std::string& what, const Sniffer& sniffer,
                       const std::function<void()>& work) const
    {
        const std::uint64_t before = sniffer.leaked();
        auto done = std::async(std::launch::async, work);
        while (done.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
            if (is_terminal_) {
                std::printf("\r%s", line(what, sniffer.leaked() - before).c_str());
                std::fflush(stdout);
            }
        }
        done.get();
        const std::uint64_t leaked = sniffer.leaked() - before;
        std::printf("%s%s\n", is_terminal_ ? "\r" : "", line(what, leaked).c_str());
        std::fflush(stdout);
        return leaked;
    }

    std::string in_colour(const char* colour, const std::string& text) const
    {
        return has_colours_ ? std::string("\033[") + colour + "m" + text + "\033[0m" : text;
    }

  private:
    std::string line(const std::string& what, std::uint64_t leaked) const
    {
        char text[160];
        std::snprintf(text, sizeof(text), "  %-58s", what.c_str());
        char count[40];
        std::snprintf(count, sizeof(count), "%7llu leaked",
                      static_cast<unsigned long long>(leaked));
        return text + in_colour(leaked == 0 ? green : red, count);
    }

    bool is_terminal_ = isatty(STDOUT_FILENO) == 1;
    bool has_colours_ = is_terminal_ && std::getenv("NO_COLOR") == nullptr;
};

const Disturbance& disturbance(const std::string& name)
{
    static const std::vector<Disturbance> all = disturbances();
    for (const auto& one : all) {
        if (one.name == name) {
            return one;
        }
    }
    throw LabError("no disturbance is called " + name);
}

/// One private internet with a VPN server, a client, and programs that send without pause.
class Show {
  public:
    Show(const Screen& screen, bool is_protected)
        : screen_(screen), lab_(is_protected ? with_product() : Lab::Options{}), server_(lab_),
          sniffer_(lab_), traffic_(lab_, {.interval = std::chrono::milliseconds(10)})
    {
        options_.hooks = is_protected;
        // Packets before the first step belong to no step.
        sniffer_.settle();
    }

    std::uint64_t step(const std::string& what, const std::function<void()>& work) const
    {
        return screen_.step(what, sniffer_, work);
    }

    std::uint64_t connect()
    {
        return step("OpenVPN connects", [&] {
            client_.emplace(lab_, options_);
            if (!client_->wait_connected()) {
                throw LabError("no connection:\n" + client_->log());
            }
            wait_alive(lab_);
        });
    }

    std::uint64_t ride(const std::string& name, const std::string& what)
    {
        return step(what, [&] { ride_out(disturbance(name), patient(), traffic_); });
    }

    std::uint64_t end()
    {
        return step("OpenVPN ends", [&] {
            end_client(patient());
            traffic_.wait_all_sent(50);
        });
    }

    /// Runs `failclosed` with this verb.
    void run(std::vector<std::string> words) const
    {
        words.insert(words.begin(), "failclosed");
        lab_.client().must(words);
    }

    const Lab& lab() const { return lab_; }

    const Sniffer& sniffer() const { return sniffer_; }

    const Traffic& traffic() const { return traffic_; }

  private:
    Patient patient() { return {lab_, server_, *client_}; }

    const Screen& screen_;
    Lab lab_;
    VpnServer server_;
    Sniffer sniffer_;
    Traffic traffic_;
    VpnClient::Options options_;
    std::optional<VpnClient> client_;
};

std::uint64_t show_without(const Screen& screen)
{
    screen.title("Without failclosed");
    Show show(screen, false);
    std::uint64_t leaked = show.connect();
    leaked += show.ride("HUP", "HUP: OpenVPN reads its configuration again");
    leaked += show.ride("kill -9", "kill -9, and a supervisor starts it again");
    leaked += show.end();
    return leaked;
}

struct Seen {
    std::uint64_t leaked = 0;       ///< from `lock` to `unlock`
    std::uint64_t after_unlock = 0; ///< the sniffer is awake
};

Seen show_with(const Screen& screen)
{
    screen.title("With failclosed: three lines in the OpenVPN configuration");
    Show show(screen, true);
    Seen seen;
    // Packets that were on their way when it closed are not its own.
    show.run({"lock", "--server", std::string(addr::server4) + ":1194/udp"});
    show.sniffer().settle();
    seen.leaked +=
        show.step("failclosed lock: no tunnel yet", [&] { show.traffic().wait_all_sent(50); });
    seen.leaked += show.connect();
    seen.leaked += show.ride("HUP", "HUP: OpenVPN reads its configuration again");
    seen.leaked += show.ride("kill -9", "kill -9, and a supervisor starts it again");
    seen.leaked += show.ride("server outage", "the server dies, and comes back seconds later");
    seen.leaked += show.ride("link flap", "the cable is pulled, and plugged in again");
    seen.leaked += show.ride("tunnel routes deleted", "the tunnel's routes are deleted; reapply");
    seen.leaked += show.end();
    seen.after_unlock = show.step("failclosed unlock: open again, and seen to be", [&] {
        show.run({"unlock"});
        show.traffic().wait_all_sent(20);
    });
    return seen;
}

int run()
{
    const auto start = std::chrono::steady_clock::now();
    const Screen screen;
    screen.say("A client, its ISP and the internet in namespaces of their own; nothing of this "
               "machine is touched.");
    screen.say("Programs in the client send without pause in " +
               std::to_string(all_kinds().size()) +
               " ways: IPv4 and IPv6, as root and not, bound to");
    screen.say("the device or not. What the ISP sees, but should not, is counted as leaked. A step "
               "ends when");
    screen.say("the tunnel carries traffic again.");
    const std::uint64_t without = show_without(screen);
    const Seen with = show_with(screen);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;

    const bool awake = without > 0 && with.after_unlock > 0;
    const bool passed = awake && with.leaked == 0;
    std::string verdict = "Leaked without failclosed: " + std::to_string(without) +
                          " packets; with it, from lock to unlock: " + std::to_string(with.leaked) +
                          " (" + std::to_string(static_cast<int>(time.count())) + " s)";
    if (!awake) {
        verdict = "Nothing is proven: the sniffer did not see what must be seen";
    }
    std::printf("\n%s\n", screen.in_colour(passed ? green : red, verdict).c_str());
    return passed ? 0 : 1;
}

} // namespace

} // namespace failclosed::lab

int main()
{
    try {
        return failclosed::lab::run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "\ndemo: %s\n", error.what());
        return 1;
    }
}
