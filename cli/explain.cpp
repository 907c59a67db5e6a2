// SPDX-License-Identifier: GPL-3.0-or-later
// explain: shows which rule decides about a packet, and why.
#include <algorithm>
#include <cstdio>

#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/look.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/base/report.hpp"
#include "core/engine/inspect.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "core/plan/routing/route_decision.hpp"

namespace failclosed::cli {

namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::uint8_t kEchoRequest = 8;
constexpr std::uint8_t kEchoRequestV6 = 128;
// An ephemeral port as connect(2) chooses it; no rule matches it.
constexpr std::uint16_t kSourcePort = 40000;

/// The parsed command line.
struct Question {
    IpAddress to;
    std::optional<IpAddress> from;
    std::optional<Port> port;
    /// `nullopt`: an ICMP echo request.
    std::optional<Transport> transport;
    uid_t uid = 0;
    std::optional<gid_t> gid;
    std::uint32_t mark = 0;
    /// The device to which the socket is bound.
    std::optional<InterfaceName> device;
};

std::optional<std::optional<Transport>> parse_protocol(const std::string& text)
{
    if (text == "icmp") {
        return std::optional<Transport>();
    }
    for (const Transport transport :
         {Transport::Udp, Transport::Tcp, Transport::Gre, Transport::Esp}) {
        if (to_string(transport) == text) {
            return transport;
        }
    }
    return std::nullopt;
}

Result<Question> parse_question(const Options& options)
{
    const auto to = parse_value<IpAddress>(options, "to", "an address", IpAddress::parse);
    const auto from = parse_value<IpAddress>(options, "from", "an address", IpAddress::parse);
    const auto port = parse_value<Port>(options, "port", "a port", Port::parse);
    const auto protocol = parse_value<std::optional<Transport>>(
        options, "proto", "udp, tcp, gre, esp or icmp", parse_protocol);
    const auto uid = parse_value<uid_t>(options, "uid", "a user's number", parse_uid);
    const auto gid = parse_value<gid_t>(options, "gid", "a group's number", parse_uid);
    const auto mark = parse_value<std::uint32_t>(options, "mark", "a mark", parse_mark);
    const auto device =
        parse_value<InterfaceName>(options, "oif", "a device's name", InterfaceName::parse);
    for (const Error* error :
         {to ? nullptr : &to.error(), from ? nullptr : &from.error(),
          port ? nullptr : &port.error(), protocol ? nullptr : &protocol.error(),
          uid ? nullptr : &uid.error(), gid ? nullptr : &gid.error(),
          mark ? nullptr : &mark.error(), device ? nullptr : &device.error()}) {
        if (error != nullptr) {
            return Failure(*error);
        }
    }
    if (!*to) {
        return fail("--to is required");
    }
    if (*from && (*from)->family() != (*to)->family()) {
        return fail("--from must be the same IP version as --to");
    }
    Question question{**to};
    question.from = *from;
    question.port = *port;
    if (*protocol) {
        question.transport = **protocol;
    } else if (question.port) {
        question.transport = Transport::Udp;
    }
    question.uid = uid->value_or(0);
    question.gid = *gid;
    question.mark = mark->value_or(0);
    question.device = *device;
    const bool ported = question.transport && has_ports(*question.transport);
    if (ported != question.port.has_value()) {
        return fail(ported ? "--port is required" : "--port: this protocol has no ports");
    }
    return question;
}

bool is_own(const Snapshot& snapshot, const IpAddress& address)
{
    return address.is_loopback() || std::ranges::any_of(snapshot.links, [&](const Link& link) {
               return std::ranges::find(link.addresses, address, &InterfaceAddress::address) !=
                      link.addresses.end();
           });
}

/// Any device of the underlay: rules do not distinguish them. Null if there is none.
const Link* underlay(const Inspection& found)
{
    const auto link = std::ranges::find_if(found.snapshot.links, [&](const Link& one) {
        return !one.loopback && one.up &&
               std::ranges::find(found.state.tunnels, one.name, &Tunnel::interface) ==
                   found.state.tunnels.end();
    });
    return link == found.snapshot.links.end() ? nullptr : &*link;
}

std::optional<Port> source_port(const Question& question)
{
    return question.port ? Port::make(kSourcePort) : std::nullopt;
}

/// The device by which the packet leaves; null if there is no route. Prints the reason.
const Link* find_device(const Inspection& found, const Question& question)
{
    const Snapshot& snapshot = found.snapshot;
    if (question.device && snapshot.find(*question.device) == nullptr) {
        std::printf("route: no such device: %s\n", question.device->text().c_str());
        return nullptr;
    }
    if (question.device) {
        std::printf("route: the socket is bound to %s\n", question.device->text().c_str());
        return snapshot.find(*question.device);
    }
    if (is_own(snapshot, question.to)) {
        std::puts("route: an address of this machine");
        const auto loopback = std::ranges::find(snapshot.links, true, &Link::loopback);
        return loopback == snapshot.links.end() ? nullptr : &*loopback;
    }
    const RouteDecision decision = decide_route(
        found.wanted.routing, {question.to, question.from, question.uid, question.transport,
                               source_port(question), question.port, question.mark});
    const std::string rule = decision.rule ? to_string(*decision.rule) : "no rule of failclosed";
    switch (decision.kind) {
    case RouteDecision::Kind::Unreachable:
        std::printf("route: %s: unreachable\n", rule.c_str());
        return nullptr;
    case RouteDecision::Kind::Main:
        std::printf("route: %s: the underlay\n", rule.c_str());
        return underlay(found);
    case RouteDecision::Kind::Device:
        break;
    }
    const auto link = std::ranges::find(snapshot.links, decision.device, &Link::index);
    if (link == snapshot.links.end()) {
        return nullptr;
    }
    std::printf("route: %s: %s\n", rule.c_str(), link->name.text().c_str());
    return &*link;
}

IpAddress source_on(const Link& link, const Question& question)
{
    if (question.from) {
        return *question.from;
    }
    for (const auto& own : link.addresses) {
        if (own.address.family() == question.to.family()) {
            return own.address;
        }
    }
    return IpAddress::unspecified(question.to.family());
}

Packet packet_of(const Question& question, const Link& device)
{
    Packet packet;
    packet.output = device.name;
    packet.source = source_on(device, question);
    packet.destination = question.to;
    packet.uid = question.uid;
    packet.gid = question.gid;
    packet.mark = question.mark;
    if (question.transport) {
        packet.protocol = static_cast<std::uint8_t>(*question.transport);
        packet.destination_port = question.port;
        packet.source_port = source_port(question);
    } else {
        const bool is_ipv4 = question.to.family() == Family::V4;
        packet.protocol = is_ipv4 ? kIcmp : kIcmpv6;
        packet.icmp_type = is_ipv4 ? kEchoRequest : kEchoRequestV6;
    }
    return packet;
}

/// `ruleset` with the elements of the present sign-in, which are not part of the plan.
Ruleset with_sign_in(Ruleset ruleset, const Portal& portal)
{
    const auto added = portal_elements(portal);
    for (auto& table : ruleset.tables) {
        for (auto& set : table.sets) {
            for (const auto& more : added) {
                if (more.handle == set.handle) {
                    set.elements.insert(set.elements.end(), more.elements.begin(),
                                        more.elements.end());
                }
            }
        }
    }
    return ruleset;
}

Ruleset without_belt(Ruleset ruleset)
{
    std::erase_if(ruleset.tables,
                  [](const Table& table) { return table.family == TableFamily::Netdev; });
    return ruleset;
}

const char* verdict_text(Verdict verdict)
{
    switch (verdict) {
    case Verdict::Accept:
        return "accept";
    case Verdict::Drop:
        return "drop";
    case Verdict::Reject:
        return "reject";
    case Verdict::Return:
        break;
    }
    return "return";
}

void print_verdict(const Inspection& found, const Question& question)
{
    if (found.state.armed == Armed::No) {
        std::puts("not locked: failclosed refuses no packet");
        return;
    }
    const Link* device = find_device(found, question);
    if (device == nullptr) {
        std::puts("verdict: does not leave: there is no route to the destination");
        return;
    }
    const auto portal = portal_in_force(found);
    const Ruleset firewall =
        portal ? with_sign_in(found.wanted.firewall, *portal) : found.wanted.firewall;
    const Packet packet = packet_of(question, *device);
    const Trace trace = evaluate_path(firewall, Path::Sent, packet);
    // The device guard is evaluated last, and has chains of the same names.
    const std::size_t before_guard =
        evaluate_path(without_belt(firewall), Path::Sent, packet).steps.size();
    for (std::size_t i = 0; i < trace.steps.size(); ++i) {
        const Step& step = trace.steps[i];
        std::printf("%s%s: %s: %s\n", i < before_guard ? "" : "device guard: ", step.chain.c_str(),
                    verdict_text(step.verdict),
                    step.comment.empty() ? "the chain's policy" : step.comment.c_str());
    }
    std::printf("verdict: %s\n", verdict_text(trace.verdict));
}

} // namespace

int explain(const Arguments& arguments)
{
    const auto options = Options::parse(
        "explain",
        {{"to", "The destination", "ADDR"},
         {"from", "The source; default: an address of the device", "ADDR"},
         {"port", "The destination port", "N"},
         {"proto", "udp, tcp, gre, esp or icmp; udp if only a port is given, else icmp", "PROTO"},
         {"uid", "The user that created the socket; default: root", "UID"},
         {"gid", "The group that created the socket", "GID"},
         {"mark", "The packet's firewall mark", "MARK"},
         {"oif", "The device to which the socket is bound", "IF"}},
        arguments);
    if (!options) {
        return usage_error("explain", options.error());
    }
    const auto question = parse_question(*options);
    if (!question) {
        return usage_error("explain", question.error());
    }
    if (geteuid() != 0) {
        report_error("explain: only root can read the firewall: run it as root (sudo)");
        return 1;
    }
    const ProtectionView view = view_protection();
    for (const auto& line : view.found.errors) {
        report_warning(line);
    }
    print_verdict(view.found, *question);
    if (!view.differences.empty()) {
        report_warning(
            "the kernel differs from the plan that was explained: run `failclosed check` "
            "for the differences");
        return 1;
    }
    return 0;
}

} // namespace failclosed::cli
