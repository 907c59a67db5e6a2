// SPDX-License-Identifier: GPL-3.0-or-later
// WireGuard in user space (wireguard-go): the lab needs no kernel module.
#include "tests/support/daemons/wireguard.hpp"

namespace failclosed::lab {

namespace {

constexpr char client4[] = "10.66.0.2";
constexpr char client6[] = "fd00:66::2";
constexpr char mark[] = "51820";

Process start_device(const Box& box, const std::string& device)
{
    Process process(box, Command{"wireguard-go", "-f", device}.with_env({"LOG_LEVEL=verbose"}));
    if (!process.wait_for("UAPI listener started")) {
        throw LabError(box.name() + ": wireguard-go does not start:\n" + process.output());
    }
    return process;
}

// It opens its port when it notices by itself that the device is up.
void wait_up(const Box& box, const Process& process)
{
    if (!process.wait_for("requested Up, now Up")) {
        throw LabError(box.name() + ": wireguard-go does not come up:\n" + process.output());
    }
}

// `wg set` reads the key from a file only.
void set(const Box& box, const std::string& device, const std::string& secret,
         std::vector<std::string> more)
{
    std::vector<std::string> argv = {"wg", "set", device, "private-key", "/dev/stdin"};
    argv.insert(argv.end(), more.begin(), more.end());
    box.must(Command(argv).with_input(secret + "\n"));
}

std::string line_of(const std::string& text)
{
    return text.substr(0, text.find('\n'));
}

} // namespace

WireGuardKeys WireGuardKeys::make(const Box& box)
{
    const std::string secret = line_of(box.must({"wg", "genkey"}));
    return {secret, line_of(box.must(Command{"wg", "pubkey"}.with_input(secret + "\n")))};
}

WireGuardServer::WireGuardServer(const Lab& lab, Options options)
    : lab_(&lab), options_(std::move(options)), keys_(WireGuardKeys::make(lab.internet()))
{
    const Box& box = lab_->internet();
    const std::string& device = options_.device;
    process_.emplace(start_device(box, device));
    set(box, device, keys_.secret, {"listen-port", std::to_string(options_.port)});
    box.ip("addr add " + std::string(inside4) + "/24 dev " + device + "\naddr add " + inside6 +
           "/64 dev " + device + " nodad\nlink set " + device + " up\n");
    wait_up(box, *process_);
}

void WireGuardServer::add_peer(const WireGuardKeys& keys,
                               const std::vector<std::string>& addresses) const
{
    std::string allowed;
    for (const auto& address : addresses) {
        allowed += (allowed.empty() ? "" : ",") + address;
    }
    lab_->internet().must(
        {"wg", "set", options_.device, "peer", keys.shared, "allowed-ips", allowed});
}

std::string WireGuardServer::endpoint() const
{
    const bool v6 = options_.address.find(':') != std::string::npos;
    return (v6 ? "[" + options_.address + "]" : options_.address) + ":" +
           std::to_string(options_.port);
}

WireGuardClient::WireGuardClient(const Lab& lab, const WireGuardServer& server, Options options)
    : lab_(&lab), options_(std::move(options)), server_key_(server.keys().shared),
      endpoint_(server.endpoint()), keys_(WireGuardKeys::make(lab.client()))
{
    server.add_peer(keys_, {std::string(client4) + "/32", std::string(client6) + "/128"});
    start();
}

void WireGuardClient::start()
{
    const Box& box = lab_->client();
    const std::string& device = options_.device;
    process_.reset();
    process_.emplace(start_device(box, device));
    set(box, device, keys_.secret,
        {"fwmark", mark, "peer", server_key_, "endpoint", endpoint_, "allowed-ips",
         "0.0.0.0/0,::/0", "persistent-keepalive", "1"});
    box.ip("addr add " + std::string(client4) + "/32 dev " + device + "\naddr add " + client6 +
           "/128 dev " + device + " nodad\nlink set " + device + " up\nroute add " +
           WireGuardServer::inside4 + "/32 dev " + device + "\nroute add " +
           WireGuardServer::inside6 + "/128 dev " + device + "\n");
    wait_up(box, *process_);
    if (!options_.redirect) {
        return;
    }
    for (const std::string family : {"-4", "-6"}) {
        const std::string any = family == "-4" ? "0.0.0.0/0" : "::/0";
        box.must({"ip", family, "route", "add", any, "dev", device, "table", mark});
        if (box.must({"ip", family, "rule", "show"}).find("suppress_prefixlength") ==
            std::string::npos) {
            box.must({"ip", family, "rule", "add", "not", "fwmark", mark, "table", mark});
            box.must({"ip", family, "rule", "add", "table", "main", "suppress_prefixlength", "0"});
        }
    }
}

void WireGuardClient::stop()
{
    process_->signal(SIGTERM);
    if (!process_->wait()) {
        throw LabError("wireguard-go does not end:\n" + process_->output());
    }
}

void WireGuardClient::kill()
{
    process_->kill();
}

} // namespace failclosed::lab
