// SPDX-License-Identifier: GPL-3.0-or-later
// A dnsmasq in a machine of the lab: answers what it is told to, and remembers who asked for what.
#include "tests/support/dns.hpp"

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
    process_.emplace(*box_, Command(argv));
    seen_ = 0;
    if (!process_->wait_for("read " + path("hosts"))) {
        throw LabError(box_->name() + ": dnsmasq: " + process_->output());
    }
}

void DnsServer::stop()
{
    process_->kill();
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

std::vector<Query> DnsServer::queries() const
{
    static const std::regex query(R"(query\[(\S+)\] (\S+) from (\S+))");
    std::vector<Query> result;
    std::istringstream log(process_->output().substr(seen_));
    for (std::string line; std::getline(log, line);) {
        std::smatch match;
        if (std::regex_search(line, match, query)) {
            result.push_back({match[1], match[2], match[3]});
        }
    }
    return result;
}

void DnsServer::forget_queries()
{
    seen_ = process_->output().size();
}

std::vector<std::string> dhcp_arguments()
{
    return {"--dhcp-range=192.168.50.100,192.168.50.200,255.255.255.0,120",
            "--dhcp-option=option:router,192.168.50.1",
            "--dhcp-option=option:dns-server,192.168.50.1",
            "--dhcp-option=option:T1,15",
            "--dhcp-option=option:T2,40",
            "--dhcp-authoritative"};
}

std::vector<std::string> ra_arguments()
{
    return {"--enable-ra", "--dhcp-range=2001:db8:50::100,2001:db8:50::200,64,120",
            "--dhcp-option=option6:dns-server,[2001:db8:50::1]", "--ra-param=*,4"};
}

} // namespace failclosed::lab
