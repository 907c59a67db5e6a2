// SPDX-License-Identifier: GPL-3.0-or-later
// A dnsmasq in a machine of the lab: answers what it is told to, and remembers who asked for what.
#include "tests/support/daemons/dns.hpp"

#include <regex>
#include <sstream>

namespace failclosed::lab {

DnsServer::DnsServer(const Box& box, Options options) : box_(&box), options_(std::move(options))
{
    start();
}

std::string DnsServer::path(const std::string& kind) const
{
    return "/run/dns-" + options_.interface + "." + kind;
}

void DnsServer::write_names() const
{
    std::string text;
    for (const auto& [name, addresses] : options_.names) {
        for (const auto& address : addresses) {
            text += address + " " + name + "\n";
        }
    }
    box_->write_file(path("hosts"), text);
}

void DnsServer::start()
{
    write_names();
    std::vector<std::string> argv = {"dnsmasq",
                                     "--keep-in-foreground",
                                     "--conf-file=/dev/null",
                                     "--log-facility=-",
                                     "--log-queries",
                                     "--user=root",
                                     "--group=root",
                                     "--pid-file",
                                     "--no-resolv",
                                     "--no-hosts",
                                     "--no-ping",
                                     "--bind-dynamic",
                                     "--except-interface=lo",
                                     "--interface=" + options_.interface,
                                     "--addn-hosts=" + path("hosts"),
                                     "--dhcp-leasefile=" + path("leases")};
    argv.insert(argv.end(), options_.extra.begin(), options_.extra.end());
    if (process_) {
        earlier_ += process_->output();
    }
    process_.emplace(*box_, Command(argv));
    if (!process_->wait_for("read " + path("hosts"))) {
        throw LabError(box_->name() + ": dnsmasq: " + process_->output());
    }
}

void DnsServer::stop()
{
    // It forks for each connection by TCP. These hold its sockets, and it tells them to end as it
    // ends itself.
    process_->signal(SIGTERM);
    if (!process_->wait_all_ended()) {
        throw LabError(box_->name() + ": dnsmasq does not end");
    }
}

void DnsServer::restart(std::vector<std::string> extra)
{
    stop();
    options_.extra = std::move(extra);
    start();
}

void DnsServer::set(const std::string& name, std::vector<std::string> addresses)
{
    options_.names[name] = std::move(addresses);
    write_names();
    const std::string read = "read " + path("hosts");
    const std::size_t before = process_->count(read);
    process_->signal(SIGHUP);
    if (!process_->wait_for(read, before + 1)) {
        throw LabError(box_->name() + ": dnsmasq did not read its names again");
    }
}

void DnsServer::catch_up() const
{
    constexpr char statistics[] = "cache size ";
    // Twice: what waits in its sockets at the first signal is read before it looks for the second.
    for (int round = 0; round < 2 && process_->running(); ++round) {
        const std::size_t before = process_->count(statistics);
        process_->signal(SIGUSR1);
        if (!process_->wait_for(statistics, before + 1) && process_->running()) {
            throw LabError(box_->name() + ": dnsmasq does not answer to SIGUSR1");
        }
    }
}

std::vector<Query> DnsServer::queries() const
{
    catch_up();
    static const std::regex query(R"(query\[(\S+)\] (\S+) from (\S+))");
    std::vector<Query> result;
    std::istringstream log((earlier_ + process_->output()).substr(seen_));
    for (std::string line; std::getline(log, line);) {
        std::smatch match;
        if (std::regex_search(line, match, query)) {
            result.push_back({match[1], match[2], match[3]});
        }
    }
    return result;
}

std::set<std::string> DnsServer::names_asked() const
{
    std::set<std::string> names;
    for (const auto& query : queries()) {
        names.insert(query.name);
    }
    return names;
}

void DnsServer::forget_queries()
{
    catch_up();
    seen_ = earlier_.size() + process_->output().size();
}

std::vector<std::string> dhcp_arguments(const Dhcp& dhcp)
{
    const std::string router = dhcp.network + ".1";
    std::vector<std::string> arguments = {
        "--dhcp-range=" + dhcp.network + ".100," + dhcp.network + ".200,255.255.255.0," +
            std::to_string(dhcp.lease),
        "--dhcp-option=option:router," + (dhcp.gateway.empty() ? router : dhcp.gateway),
        "--dhcp-option=option:dns-server," + (dhcp.resolver.empty() ? router : dhcp.resolver),
        "--dhcp-option=option:T1," + std::to_string(dhcp.t1),
        "--dhcp-option=option:T2," + std::to_string(dhcp.t2),
        "--dhcp-authoritative"};
    arguments.insert(arguments.end(), dhcp.extra.begin(), dhcp.extra.end());
    return arguments;
}

std::vector<std::string> ra_arguments(const RouterAdvertisement& advertisement)
{
    const std::string& prefix = advertisement.prefix;
    std::string range = "--dhcp-range=" + prefix;
    if (advertisement.dhcp6) {
        range += "100," + prefix + "200," + (advertisement.slaac ? "slaac," : "");
    } else {
        range += advertisement.slaac ? ",ra-only," : ",ra-stateless,";
    }
    const std::string resolver =
        advertisement.resolver.empty() ? prefix + "1" : advertisement.resolver;
    return {"--enable-ra", range + "64," + std::to_string(advertisement.lifetime),
            "--dhcp-option=option6:dns-server,[" + resolver + "]",
            "--ra-param=*," + std::to_string(advertisement.interval)};
}

std::vector<std::string> dhcp_and_ra(const Dhcp& dhcp, const RouterAdvertisement& advertisement)
{
    std::vector<std::string> arguments = dhcp_arguments(dhcp);
    for (auto& argument : ra_arguments(advertisement)) {
        arguments.push_back(std::move(argument));
    }
    return arguments;
}

} // namespace failclosed::lab
