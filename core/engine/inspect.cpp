// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the machine, and compares it with the plan.
#include "core/engine/inspect.hpp"

#include <utility>

#include "core/plan/decide.hpp"

namespace failclosed {

Inspection inspect(System& system)
{
    Inspection found;
    found.config = system.load_config();
    found.loaded = system.load_state();
    const auto add = [&](const std::vector<std::string>& damage) {
        found.errors.insert(found.errors.end(), damage.begin(), damage.end());
    };
    add(found.config.damage);
    add(found.loaded.damage);
    const auto exists = system.firewall_exists();
    if (exists) {
        found.loaded.state =
            believed(std::move(found.loaded.state), {!found.loaded.absent, *exists});
    }
    auto snapshot = system.observe();
    if (snapshot) {
        found.snapshot = *std::move(snapshot);
        found.state = current_state(found.loaded.state, found.config.config, found.snapshot);
    } else {
        found.errors.push_back(snapshot.error().during("reading links").message());
        found.state = found.loaded.state;
    }
    found.wanted = plan_protection(found.state, found.config.config, found.snapshot);
    return found;
}

std::optional<Expressions> firewall_form(System& system, const Inspection& inspection)
{
    for (const auto form : {Expressions::All, Expressions::WithoutBelt, Expressions::Essential}) {
        const auto holds = system.firewall_holds(
            form == Expressions::All ? inspection.wanted.firewall
                                     : plan_firewall(inspection.state, inspection.config.config,
                                                     inspection.snapshot, form));
        // If this kernel supports the belt, another program has removed it.
        const bool is_taken = form == Expressions::WithoutBelt && system.has_egress_hook();
        if (holds && *holds && !is_taken) {
            return form;
        }
    }
    return std::nullopt;
}

std::string to_string(const Difference& difference)
{
    return difference.text + (difference.reapply_mends ? "; run `failclosed reapply`" : "");
}

std::vector<Difference> differences(System& system, const Inspection& inspection)
{
    using Part = Difference::Part;
    std::vector<Difference> found;
    for (const auto& line : inspection.errors) {
        found.push_back({Part::Files, line});
    }
    const auto compare = [&](Part part, const std::string& what, const char* reason,
                             const Result<bool>& holds) {
        if (!holds) {
            found.push_back({part, holds.error().during(what).message()});
        } else if (!*holds) {
            found.push_back({part, what + reason, true});
        }
    };
    if (!firewall_form(system, inspection)) {
        compare(Part::Firewall, "firewall",
                " differs from the plan (its rules or the network devices have changed since the "
                "last run)",
                system.firewall_holds(inspection.wanted.firewall));
    }
    compare(Part::Routing, "rules and routes",
            " differ from the plan (they or the network have changed since the last run)",
            system.routing_holds(inspection.wanted.routing));
    compare(Part::Dns, "DNS",
            " differs from the plan (resolv.conf, or what the resolver was told, was changed by "
            "another program)",
            system.dns_holds(inspection.wanted.dns));
    compare(Part::Hosts, "/etc/hosts",
            " differs from the plan (the lines marked as failclosed's were changed by another "
            "program)",
            system.hosts_hold(inspection.wanted.hosts));
    return found;
}

} // namespace failclosed
