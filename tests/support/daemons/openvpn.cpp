// SPDX-License-Identifier: GPL-3.0-or-later
// Real OpenVPN servers and clients in the lab, with a throw-away PKI that touches no disk.
#include "tests/support/daemons/openvpn.hpp"

#include <csignal>
#include <iterator>
#include <regex>
#include <thread>

namespace failclosed::lab {

namespace {

constexpr char connected[] = "Initialization Sequence Completed";

std::string block(const std::string& name, const std::string& text)
{
    return "<" + name + ">\n" + text + "</" + name + ">\n";
}

std::string lines(const std::vector<std::string>& list)
{
    std::string text;
    for (const auto& line : list) {
        text += line + "\n";
    }
    return text;
}

std::vector<std::string> self_signed(const std::string& name)
{
    return {"openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=" + name,
            "-keyout",
            "/tmp/" + name + ".key",
            "-out",
            "/tmp/" + name + ".crt"};
}

std::vector<std::string> signed_by_ca(const std::string& name, const std::string& usage)
{
    auto argv = self_signed(name);
    for (const auto& word :
         {std::string("-CA"), std::string("/tmp/ca.crt"), std::string("-CAkey"),
          std::string("/tmp/ca.key"), std::string("-addext"), "extendedKeyUsage=" + usage,
          std::string("-addext"), std::string("keyUsage=digitalSignature"), std::string("-addext"),
          std::string("basicConstraints=critical,CA:FALSE")}) {
        argv.push_back(word);
    }
    return argv;
}

Pki make_pki()
{
    const Box box("pki");
    box.must(self_signed("ca"));
    box.must(signed_by_ca("server", "serverAuth"));
    box.must(signed_by_ca("client", "clientAuth"));
    box.must({"openvpn", "--genkey", "tls-crypt", "/tmp/tls-crypt.key"});
    return {box.read_file("/tmp/ca.crt"),     box.read_file("/tmp/server.crt"),
            box.read_file("/tmp/server.key"), box.read_file("/tmp/client.crt"),
            box.read_file("/tmp/client.key"), box.read_file("/tmp/tls-crypt.key")};
}

} // namespace

const Pki& pki()
{
    static const Pki made = make_pki();
    return made;
}

VpnServer::VpnServer(const Lab& lab, Options options) : lab_(&lab), options_(std::move(options))
{
    start();
}

std::string VpnServer::inside_address4() const
{
    return "10." + std::to_string(7 + options_.number) + ".0.1";
}

std::string VpnServer::inside_address6() const
{
    return "fd00:" + std::to_string(7 + options_.number) + "::1";
}

std::string VpnServer::config() const
{
    const std::string number = std::to_string(7 + options_.number);
    std::string proto = options_.proto;
    if (proto == "udp" || proto == "tcp") {
        const bool v4 = options_.address.find('.') != std::string::npos;
        proto += v4 ? "4" : "6";
    }
    proto += proto.substr(0, 3) == "tcp" ? "-server" : "";
    std::string text = "dev vpn" + std::to_string(options_.number) + "\ndev-type " +
                       options_.device_type + "\nproto " + proto + "\nport " +
                       std::to_string(options_.port) + "\ntopology " + options_.topology + "\n";
    text += options_.address == "*" ? "multihome\n" : "local " + options_.address + "\n";
    if (options_.inside4) {
        text += "server 10." + number + ".0.0 255.255.255.0\n";
    }
    if (options_.inside6) {
        text += "server-ipv6 fd00:" + number + "::/64\n";
    }
    if (options_.resolver && options_.inside4) {
        text += "push \"dhcp-option DNS " + inside_address4() + "\"\n";
    }
    if (options_.resolver && options_.inside6) {
        text += "push \"dhcp-option DNS " + inside_address6() + "\"\n";
    }
    return text + "keepalive 1 4\ndh none\nverb 3\n" + lines(options_.extra) +
           block("ca", pki().ca) + block("cert", pki().server_certificate) +
           block("key", pki().server_key) + block("tls-crypt", pki().tls_crypt);
}

void VpnServer::start()
{
    const std::string device = "vpn" + std::to_string(options_.number);
    const std::string path = "/etc/openvpn/" + device + ".conf";
    lab_->internet().write_file(path, config(), 0600);
    process_.reset();
    process_.emplace(lab_->internet(), Command{"openvpn", "--config", path});
    if (!process_->wait_for(connected)) {
        throw LabError("the OpenVPN server does not start:\n" + process_->output());
    }
    if (options_.resolver && !dns_) {
        dns_.emplace(lab_->internet(),
                     DnsServer::Options{.interface = device, .names = options_.names});
    }
}

void VpnServer::kill()
{
    process_->kill();
}

void VpnServer::stop()
{
    process_->signal(SIGTERM);
    if (!process_->wait()) {
        throw LabError("the OpenVPN server does not end:\n" + process_->output());
    }
}

void VpnServer::restart(std::vector<std::string> extra)
{
    kill();
    options_.extra = std::move(extra);
    start();
}

VpnClient::VpnClient(const Lab& lab, Options options) : lab_(&lab), options_(std::move(options))
{
    lab_->client().write_file(config_path(), config(), 0600);
    start();
}

std::string VpnClient::config() const
{
    std::string text =
        "client\ndev " + options_.device + "\ndev-type tun\nproto " + options_.proto + "\nnobind\n";
    for (const auto& remote : options_.remotes) {
        text += "remote " + remote + "\n";
    }
    // Short times: a lost server is noticed and tried again within seconds.
    text += "remote-cert-tls server\nresolv-retry infinite\nconnect-retry 1 2\n"
            "server-poll-timeout 3\ntls-timeout 1\nverb 3\n";
    if (options_.redirect_gateway) {
        text += "redirect-gateway def1 ipv6\n";
    }
    if (options_.hooks) {
        text += "script-security 2\nup /etc/openvpn/failclosed\ndown /etc/openvpn/failclosed\n";
    }
    if (!options_.user.empty()) {
        text += "user " + options_.user + "\n";
    }
    return text + lines(options_.extra) + block("ca", pki().ca) +
           block("cert", pki().client_certificate) + block("key", pki().client_key) +
           block("tls-crypt", pki().tls_crypt);
}

void VpnClient::start()
{
    earlier_ = connections();
    earlier_signals_ = signals();
    process_.reset();
    process_.emplace(lab_->client(), options_.as_unit
                                         ? Command{"env", "-C", options_.directory, "openvpn",
                                                   "--suppress-timestamps", "--nobind", "--config",
                                                   options_.name + ".conf"}
                                         : Command{"openvpn", "--config", config_path()});
}

bool VpnClient::wait_connected(std::size_t times, std::chrono::milliseconds timeout) const
{
    return times <= earlier_ || process_->wait_for(connected, times - earlier_, timeout);
}

bool VpnClient::wait_trying(std::size_t times, std::chrono::milliseconds timeout) const
{
    static const std::regex trying("UDPv[46] link remote: |Attempting to establish TCP connection|"
                                   "RESOLVE: Cannot resolve");
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    bool by_udp = false;
    const bool tries = process_->wait_until(
        [&](const std::string& output) {
            const std::sregex_iterator first(output.begin(), output.end(), trying);
            const auto found = std::distance(first, {});
            if (static_cast<std::size_t>(found) < times) {
                return false;
            }
            by_udp = found > 0 && std::next(first, found - 1)->str().starts_with("UDP");
            return true;
        },
        timeout);
    // It says so a moment before it stops ignoring them, and says nothing of that.
    while (tries && by_udp && !process_->handles(SIGHUP)) {
        if (!process_->running() || std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return tries;
}

VpnClient::Signals VpnClient::signals() const
{
    Signals result = earlier_signals_;
    if (process_) {
        result.hup += process_->count("SIGHUP[hard,] received");
        result.usr1 += process_->count("SIGUSR1[hard,] received");
        result.soft += process_->count("SIGUSR1[soft,") + process_->count("SIGHUP[soft,");
    }
    return result;
}

std::size_t VpnClient::connections() const
{
    return earlier_ + (process_ ? process_->count(connected) : 0);
}

} // namespace failclosed::lab
