// SPDX-License-Identifier: GPL-3.0-or-later
// Attacks against a client, with each lock alone, with all of them, and without any.
#include "tests/e2e/attacks/attack.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>
#include <utility>

namespace failclosed::lab {

namespace {

Lab::Options lab_options(Guard guard, Lab::Options options)
{
    return guard == Guard::None ? options : with_product(std::move(options));
}

/// Returns the line that tells of it.
std::string strike(const Outcomes& outcomes, Target& target, const Attack& attack)
{
    const std::string name = to_string(target.guard());
    const Expected wanted = expected(outcomes, target.guard());
    target.set_has_to_leak(wanted == Leaks);
    const auto began = std::chrono::steady_clock::now();
    const std::uint64_t leaked = target.has_guard() ? attack(target) : 0;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!target.has_guard()) { // found out by the attack where it is what calls begin()
        return name + ": not there\n";
    }
    char line[64];
    std::snprintf(line, sizeof line, ": %llu leaked (%.1f s)\n",
                  static_cast<unsigned long long>(leaked), took.count());
    EXPECT_NE(wanted, Unstated) << name;
    if (wanted == Holds) {
        EXPECT_EQ(leaked, 0U) << name << ": " << target.sniffer().counts().text();
    } else if (wanted == Leaks) {
        EXPECT_GT(leaked, 0U) << name << ": " << target.sniffer().counts().text();
    }
    if (target.guard() == Guard::All && outcomes.alive) {
        // A hook may have told it to reconnect.
        EXPECT_TRUE(eventually([&] { return target.tunnel_works(); }, connection_patience))
            << target.vpn().log();
    }
    return name + line;
}

void print(const std::string& line)
{
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout); // else every child process inherits what is not written yet
}

} // namespace

std::string to_string(Guard guard)
{
    switch (guard) {
    case Guard::None:
        return "unprotected";
    case Guard::All:
        return "all locks";
    case Guard::Firewall:
        return "firewall alone";
    case Guard::Routing:
        return "routing alone";
    case Guard::Belt:
        return "belt alone";
    }
    throw LabError("no such guard");
}

Expected expected(const Outcomes& outcomes, Guard guard)
{
    switch (guard) {
    case Guard::None:
        return outcomes.none;
    case Guard::All:
        return outcomes.all;
    case Guard::Firewall:
        return outcomes.firewall;
    case Guard::Routing:
        return outcomes.routing;
    case Guard::Belt:
        return outcomes.belt;
    }
    throw LabError("no such guard");
}

Target::Target(Guard guard, Options options)
    : guard_(guard), options_(std::move(options)), lab_(lab_options(guard, options_.lab)),
      server_(lab_, options_.server), sniffer_(lab_, options_.policy)
{
    if (options_.prepare) {
        options_.prepare(lab_);
    }
    if (options_.dhcpcd) {
        // Else every address of IPv6 takes seconds to be usable.
        client().sysctl("net.ipv6.conf.eth0.accept_dad", "0");
        dhcpcd_.emplace(client(), *options_.dhcpcd);
        if (!dhcpcd_->wait_lease("eth0", connection_patience)) {
            throw LabError("no lease:\n" + dhcpcd_->log());
        }
    }
    if (options_.begin) {
        begin();
    }
}

void Target::begin()
{
    VpnClient::Options vpn = options_.client;
    vpn.hooks = vpn.hooks && guard_ != Guard::None;
    if (guard_ != Guard::None) {
        if (!options_.config.empty()) {
            client().write_file("/etc/failclosed/failclosed.conf", options_.config);
        }
        std::vector<std::string> lock = {"failclosed", "lock"};
        lock.insert(lock.end(), options_.lock.begin(), options_.lock.end());
        client().must(lock);
    }
    vpn_.emplace(lab_, vpn);
    if (!vpn_->wait_connected(1, connection_patience)) {
        throw LabError("the tunnel does not come up:\n" + vpn_->log());
    }
    has_guard_ = guard_ != Guard::Belt ||
                 client().run({"nft", "list", "table", "netdev", "failclosed"}).ok();
    keep_guard();
    sniffer_.settle();
    sniffer_.reset();
}

void Target::keep_guard() const
{
    if (guard_ == Guard::None || guard_ == Guard::All) {
        return;
    }
    // Those that are not there need no removal.
    if (guard_ != Guard::Firewall) {
        client().run({"nft", "delete", "table", "inet", "failclosed"});
        client().run({"nft", "delete", "table", "arp", "failclosed"});
    }
    if (guard_ != Guard::Belt) {
        client().run({"nft", "delete", "table", "netdev", "failclosed"});
    }
    if (guard_ != Guard::Routing) {
        for (const char* family : {"-4", "-6"}) {
            client().must({"ip", family, "rule", "flush", "protocol", "252"});
        }
    }
}

bool Target::tunnel_works(const std::string& address) const
{
    constexpr std::chrono::seconds shorter_than_ping_restart{3};
    return eventually([&] { return answers(client(), address, {"-W1"}); },
                      shorter_than_ping_restart);
}

void Target::wait_for_leak() const
{
    if (has_to_leak_) {
        sniffer_.wait_until([](const Counts& counts) { return counts.leaked > 0; });
    }
}

std::uint64_t Target::leaked()
{
    if (has_to_leak_) {
        // What was sent is on its way; but not everything that gets out is seen here.
        constexpr std::chrono::seconds longest_way{1};
        sniffer_.wait_until([](const Counts& counts) { return counts.leaked > 0; }, longest_way);
    }
    sniffer_.settle();
    return sniffer_.leaked();
}

void expect_outcomes(const Outcomes& outcomes, const Attack& attack, const Target::Options& options)
{
    for (const Guard guard : every_guard) {
        Target target(guard, options);
        print(strike(outcomes, target, attack));
    }
}

void expect_outcomes_at_once(const Outcomes& outcomes, const Attack& attack,
                             const Target::Options& options)
{
    Target::Options prepared = options;
    prepared.begin = false;
    // They install programs, and what any child process holds open for writing cannot be run.
    std::vector<std::unique_ptr<Target>> targets;
    for (const Guard guard : every_guard) {
        targets.push_back(std::make_unique<Target>(guard, prepared));
    }
    std::array<std::string, every_guard.size()> lines;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        threads.emplace_back([&, i] {
            try {
                if (options.begin) {
                    targets[i]->begin();
                }
                lines[i] = strike(outcomes, *targets[i], attack);
                targets[i].reset();
            } catch (const std::exception& error) {
                ADD_FAILURE() << to_string(every_guard[i]) << ": " << error.what();
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (const auto& line : lines) {
        print(line);
    }
}

Target& Targets::of(Guard guard)
{
    auto& target = made_[guard];
    if (!target) {
        target = std::make_unique<Target>(guard, options_);
    }
    target->keep_guard();
    target->sniffer().settle();
    target->sniffer().reset();
    return *target;
}

void expect_outcomes(const Outcomes& outcomes, Targets& targets, const Attack& attack)
{
    for (const Guard guard : every_guard) {
        print(strike(outcomes, targets.of(guard), attack));
    }
}

} // namespace failclosed::lab
