// SPDX-License-Identifier: GPL-3.0-or-later
// Listing, comparing and changing our rules and routes.
#include "core/apply/kernel/routing.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <iterator>
#include <thread>
#include <variant>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "core/codec/netlink/route_message.hpp"

namespace failclosed {

namespace {

// One round is enough unless another program changes our entries at the same time.
constexpr int kRounds = 3;
// systemd-networkd deletes entries of others one by one while it configures a device. An `up` that
// fails ends OpenVPN, so it waits until that is over.
constexpr std::chrono::milliseconds kPause{10};
constexpr int kMostRounds = 100;

bool kernel_has_ipv6()
{
    // The socket family is not supported without the module, and with ipv6.disable=1.
    const UniqueFd probe(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return probe.valid() || errno != EAFNOSUPPORT;
}

template <typename T> void sort_by_value(std::vector<Held<T>>& entries)
{
    std::ranges::sort(entries, {}, &Held<T>::value);
}

template <typename T> bool equal(const std::vector<Held<T>>& held, const std::vector<T>& wanted)
{
    return std::ranges::equal(held, wanted, {}, &Held<T>::value);
}

/// The entries to add and to remove, both sorted. Entries with attributes that no plan uses have no
/// value, come first in `held`, and are always removed.
template <typename T> struct Difference {
    std::vector<T> missing;
    std::vector<Held<T>> excess;

    Difference(const std::vector<Held<T>>& held, const std::vector<T>& wanted)
    {
        auto entry = held.begin();
        auto want = wanted.begin();
        while (entry != held.end() || want != wanted.end()) {
            if (want == wanted.end() || (entry != held.end() && entry->value < *want)) {
                excess.push_back(*entry++);
            } else if (entry == held.end() || entry->value != *want) {
                missing.push_back(*want++);
            } else {
                ++entry;
                ++want;
            }
        }
    }
};

/// Requests in the order in which the kernel handles them, and a description of each.
class Changes {
  public:
    void add(const RoutingRule& rule) { append(rule); }

    void add(const Route& route) { append(route); }

    template <typename T> void remove(const Held<T>& held)
    {
        append_removal(requests_, held.message);
        entries_.emplace_back(std::monostate());
    }

    [[nodiscard]] std::size_t count() const { return entries_.size(); }

    [[nodiscard]] const Bytes& requests() const { return requests_; }

    [[nodiscard]] std::string describe(std::size_t position) const
    {
        const auto& entry = entries_.at(position);
        if (const auto* rule = std::get_if<RoutingRule>(&entry)) {
            return "adding rule " + to_string(*rule);
        }
        if (const auto* route = std::get_if<Route>(&entry)) {
            return "adding route " + to_string(*route);
        }
        return "removing a rule or route that no plan has";
    }

  private:
    template <typename T> void append(const T& entry)
    {
        append_addition(requests_, entry);
        entries_.emplace_back(entry);
    }

    Bytes requests_;
    std::vector<std::variant<std::monostate, RoutingRule, Route>> entries_;
};

/// The tables that belong to the plan: its rules lead there.
std::vector<std::uint32_t> tables_of(const RoutingPlan& plan)
{
    std::vector<std::uint32_t> tables;
    for (const auto& rule : plan.rules) {
        if (rule.action == RoutingRule::Action::Lookup && rule.target != RT_TABLE_MAIN &&
            std::ranges::find(tables, rule.target) == tables.end()) {
            tables.push_back(rule.target);
        }
    }
    return tables;
}

bool is_end_of_table(const Route& route)
{
    return route.type == Route::Type::Unreachable;
}

/// Whether a rule matches all packets.
bool is_catch_all(const RoutingRule& rule)
{
    return rule.priority == kTunnelPriority || rule.priority == kClosedPriority;
}

Changes order(const Difference<RoutingRule>& rules, const Difference<Route>& routes)
{
    Changes changes;
    // Closed first: after these no packet falls through to tables of other programs.
    for (const auto& route : routes.missing) {
        if (is_end_of_table(route)) {
            changes.add(route);
        }
    }
    for (const auto& rule : rules.missing) {
        if (is_catch_all(rule)) {
            changes.add(rule);
        }
    }
    // Old routes before new ones: the kernel refuses a second route with the same key. A packet
    // without a route in between reaches the end of its table.
    for (const auto& held : routes.excess) {
        changes.remove(held);
    }
    for (const auto& route : routes.missing) {
        if (!is_end_of_table(route)) {
            changes.add(route);
        }
    }
    // Highest priority number first: the target of a goto exists before the goto.
    for (auto rule = rules.missing.rbegin(); rule != rules.missing.rend(); ++rule) {
        if (!is_catch_all(*rule)) {
            changes.add(*rule);
        }
    }
    for (const auto& held : rules.excess) {
        changes.remove(held);
    }
    return changes;
}

} // namespace

/// Our entries, sorted. Their views point into `answers`, whose elements do not move.
struct Routing::Listing {
    std::deque<Bytes> answers;
    std::vector<Held<RoutingRule>> rules;
    std::vector<Held<Route>> routes;

    [[nodiscard]] bool equals(const RoutingPlan& plan) const
    {
        return equal(rules, plan.rules) && equal(routes, plan.routes);
    }
};

Result<Routing> Routing::open()
{
    auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink) {
        return fail_during("routing", netlink.error());
    }
    return Routing(std::move(*netlink), kernel_has_ipv6());
}

RoutingPlan Routing::possible_part(const RoutingPlan& plan) const
{
    if (has_ipv6_) {
        return plan;
    }
    RoutingPlan part;
    std::ranges::copy_if(plan.rules, std::back_inserter(part.rules),
                         [](const RoutingRule& rule) { return rule.family == Family::V4; });
    std::ranges::copy_if(plan.routes, std::back_inserter(part.routes), [](const Route& route) {
        return route.destination.family() == Family::V4;
    });
    return part;
}

Status Routing::list_family(Family family, Listing& listing)
{
    auto rules = netlink_.dump(dump_rules_request(family));
    if (!rules) {
        return fail_during("listing routing rules", rules.error());
    }
    auto routes = netlink_.dump(dump_routes_request(family));
    if (!routes) {
        return fail_during("listing routes", routes.error());
    }
    ByteView rest = listing.answers.emplace_back(std::move(*rules));
    while (const auto message = take_message(rest)) {
        if (auto held = decode_rule(*message)) {
            listing.rules.push_back(std::move(*held));
        }
    }
    rest = listing.answers.emplace_back(std::move(*routes));
    while (const auto message = take_message(rest)) {
        if (auto held = decode_route(*message)) {
            listing.routes.push_back(std::move(*held));
        }
    }
    return {};
}

Status Routing::list_foreign_routes(Family family, std::uint32_t table, Listing& listing)
{
    auto routes = netlink_.dump(dump_table_request(family, table));
    if (!routes && routes.error().number() == ENOENT) {
        return {}; // no route was ever put there
    }
    if (!routes) {
        return fail_during("listing routes", routes.error());
    }
    ByteView rest = listing.answers.emplace_back(std::move(*routes));
    while (const auto message = take_message(rest)) {
        if (auto held = decode_foreign_route(*message, table)) {
            listing.routes.push_back(std::move(*held));
        }
    }
    return {};
}

std::vector<Family> Routing::families() const
{
    return has_ipv6_ ? std::vector(kFamilies.begin(), kFamilies.end()) : std::vector{Family::V4};
}

Result<Routing::Listing> Routing::list(const RoutingPlan& plan)
{
    Listing listing;
    const auto tables = tables_of(plan);
    for (const auto family : families()) {
        auto listed = list_family(family, listing);
        for (const auto table : tables) {
            listed = listed ? list_foreign_routes(family, table, listing) : listed;
        }
        if (!listed) {
            return Failure(listed.error());
        }
    }
    sort_by_value(listing.rules);
    sort_by_value(listing.routes);
    return listing;
}

Result<bool> Routing::holds(const RoutingPlan& plan)
{
    const auto listing = list(plan);
    if (!listing) {
        return Failure(listing.error());
    }
    return listing->equals(possible_part(plan));
}

Result<std::size_t> Routing::sync(const RoutingPlan& plan)
{
    const auto wanted = possible_part(plan);
    std::size_t count = 0;
    bool was_refused = false;
    Error last("routing: another program keeps changing rules or routes of failclosed", EBUSY);
    for (int round = 0;; ++round) {
        if (round > kRounds) {
            std::this_thread::sleep_for(kPause);
        }
        const auto listing = list(wanted);
        if (!listing) {
            return Failure(listing.error());
        }
        if (listing->equals(wanted)) {
            return count;
        }
        if (round == kMostRounds || (round >= kRounds && was_refused)) {
            return Failure(last);
        }
        const auto changes = order(Difference(listing->rules, wanted.rules),
                                   Difference(listing->routes, wanted.routes));
        const auto refusals = netlink_.change(changes.requests());
        if (!refusals) {
            return fail_during("changing rules and routes", refusals.error());
        }
        count += changes.count() - refusals->size();
        was_refused = !refusals->empty();
        if (was_refused) {
            const auto& [position, number] = refusals->front();
            last = Error::from_errno(changes.describe(position), number);
        }
    }
}

Result<std::vector<ForeignRule>> Routing::foreign_rules()
{
    std::vector<ForeignRule> found;
    for (const auto family : families()) {
        const auto rules = netlink_.dump(dump_rules_request(family));
        if (!rules) {
            return fail_during("listing routing rules", rules.error());
        }
        ByteView rest = *rules;
        while (const auto message = take_message(rest)) {
            if (const auto rule = decode_foreign_rule(*message)) {
                found.push_back(*rule);
            }
        }
    }
    return found;
}

Status Routing::remove()
{
    if (const auto removed = sync({}); !removed) {
        return fail_during("removing rules and routes", removed.error());
    }
    return {};
}

} // namespace failclosed
