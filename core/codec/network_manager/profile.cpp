// SPDX-License-Identifier: GPL-3.0-or-later
// Settings of VPN plugins: the key that names the server, and the protocols that reach it.
#include "core/codec/network_manager/profile.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include "core/codec/openvpn/config.hpp"

namespace failclosed {

namespace {

constexpr std::string_view kServicePrefix = "org.freedesktop.NetworkManager.";
constexpr std::string_view kWireguard = "wireguard";
constexpr std::string_view kNameIt =
    "; name its server with server= in failclosed.conf to admit it";

/// A transport and, if it has ports, the server's port.
struct Way {
    Transport transport;
    std::string_view port;
};

constexpr Way kEsp = {Transport::Esp, {}};
constexpr std::array kIpsec = {Way{Transport::Udp, "500"}, Way{Transport::Udp, "4500"}, kEsp};
constexpr std::array kPptp = {Way{Transport::Tcp, "1723"}, Way{Transport::Gre, {}}};

struct Address {
    std::string_view host;
    /// Empty: not given.
    std::string_view port;
};

bool is_ipv6(std::string_view text)
{
    // IpAddress reads ::ffff:192.0.2.1 as IPv4.
    return text.find(':') != std::string_view::npos && IpAddress::parse(text);
}

std::string_view without_brackets(std::string_view text)
{
    if (text.starts_with('[') && text.ends_with(']') && is_ipv6(text.substr(1, text.size() - 2))) {
        return text.substr(1, text.size() - 2);
    }
    return text;
}

/// Removes ":WORD" from the end of `host`, unless it is part of an IPv6 address.
std::optional<std::string_view> take_word(std::string_view& host)
{
    const auto colon = host.rfind(':');
    if (colon == std::string_view::npos || is_ipv6(without_brackets(host))) {
        return std::nullopt;
    }
    const auto word = host.substr(colon + 1);
    host = host.substr(0, colon);
    return word;
}

/// "HOST", "HOST:PORT", "V6", "[V6]" or "[V6]:PORT".
Address split_address(std::string_view text)
{
    const auto port = take_word(text);
    return {without_brackets(text), port.value_or(std::string_view())};
}

/// The host and port of a URL, without scheme, user, password and path.
std::string_view authority(std::string_view url)
{
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos) {
        url.remove_prefix(scheme + 3);
    }
    url = url.substr(0, url.find_first_of("/?#"));
    return url.substr(url.rfind('@') + 1);
}

std::string_view or_default(std::string_view text, std::string_view otherwise)
{
    return text.empty() ? otherwise : text;
}

class Reader {
  public:
    explicit Reader(const VpnProfile& profile) : profile_(profile), plugin_(profile.service)
    {
        if (plugin_.starts_with(kServicePrefix)) {
            plugin_.remove_prefix(kServicePrefix.size());
        }
    }

    ProfileServers read() &&;

  private:
    void openvpn();
    void openvpn_remote(std::string_view item, const OpenvpnConnection& defaults);
    void openconnect();
    void vpnc();
    void l2tp();
    void strongswan();
    void tls_gateway();
    void other();
    void wireguard();

    [[nodiscard]] std::string_view value(std::string_view key) const;
    /// The value of the key that names the server; adds a warning if it is empty.
    std::string_view server(std::string_view key);
    /// The key "gateway": HOST[:PORT], or a URL.
    Address gateway();
    bool is_full();
    bool add(const OpenvpnConnection& connection, std::optional<Transport> portless = {});
    bool add(std::string_view host, const Way& way);
    void add(std::string_view host, std::span<const Way> ways);
    void add_warning(std::string_view what);

    const VpnProfile& profile_;
    std::string_view plugin_;
    std::size_t looked_at_ = 0;
    std::set<Remote> seen_;
    std::vector<std::string> users_ = {"root"};
    std::optional<std::uint32_t> mark_;
    ProfileServers result_;
};

void Reader::add_warning(std::string_view what)
{
    warn(result_.warnings, "NetworkManager profile " + in_quotes(profile_.id) + " (" +
                               in_quotes(plugin_) + "): " + std::string(what));
}

std::string_view Reader::value(std::string_view key) const
{
    const auto item = std::ranges::find(
        profile_.data, key, [](const auto& pair) { return std::string_view(pair.first); });
    return item == profile_.data.end() ? std::string_view() : std::string_view(item->second);
}

std::string_view Reader::server(std::string_view key)
{
    const auto text = value(key);
    if (text.empty()) {
        add_warning("no " + in_quotes(key) + " in it" + std::string(kNameIt));
    }
    return text;
}

Address Reader::gateway()
{
    const auto text = server("gateway");
    const auto address = split_address(authority(text));
    if (address.host.empty() && !text.empty()) {
        add_warning("no host in 'gateway'");
    }
    return address;
}

bool Reader::is_full()
{
    if (looked_at_++ < kMaxRemotes) {
        return false;
    }
    add_warning("only the first " + std::to_string(kMaxRemotes) + " servers are used");
    return true;
}

bool Reader::add(const OpenvpnConnection& connection, std::optional<Transport> portless)
{
    auto remote = connection.remote();
    if (!remote) {
        add_warning(remote.error().message());
        return false;
    }
    if (portless) {
        remote->transport = *portless;
        remote->port.reset();
    }
    if (seen_.insert(*remote).second) {
        result_.servers.push_back({*std::move(remote), users_, mark_});
    }
    return true;
}

bool Reader::add(std::string_view host, const Way& way)
{
    if (has_ports(way.transport)) {
        return add(OpenvpnConnection{host, way.port, {way.transport}, {}, {}});
    }
    const std::string_view any_port = "1";
    return add(OpenvpnConnection{host, any_port, {}, {}, {}}, way.transport);
}

void Reader::add(std::string_view host, std::span<const Way> ways)
{
    if (host.empty()) {
        return; // server() or gateway() has added a warning
    }
    for (const auto& way : ways) {
        if (!add(host, way)) {
            return; // the other ways would add the same warning
        }
    }
}

/// Parses an item of `remote`: HOST[:PORT[:PROTO]]. PORT and PROTO may be empty, so the item can
/// end in colons (nmovpn_remote_parse).
void Reader::openvpn_remote(std::string_view item, const OpenvpnConnection& defaults)
{
    OpenvpnConnection connection = defaults;
    auto port = take_word(item);
    std::optional<std::string_view> protocol;
    if (port) {
        if (const auto before = take_word(item)) {
            protocol = port;
            port = before;
        }
    }
    connection.host = without_brackets(item);
    connection.port = or_default(port.value_or(""), defaults.port);
    if (protocol && !protocol->empty()) {
        const auto known = OpenvpnProtocol::parse(*protocol);
        if (!known) {
            add_warning("remote " + in_quotes(item) +
                        ": unknown protocol: " + in_quotes(*protocol));
            return;
        }
        connection.protocol = *known;
    }
    add(connection);
}

void Reader::openvpn()
{
    users_ = {"root", "nm-openvpn"};
    if (value("remote-random-hostname") == "yes") {
        add_warning(
            "remote-random-hostname is not supported: the server's addresses cannot be learnt, "
            "because each connection uses another name");
    }
    OpenvpnConnection defaults;
    defaults.port = or_default(value("port"), "1194");
    defaults.protocol.transport = value("proto-tcp") == "yes" ? Transport::Tcp : Transport::Udp;
    const auto proxy_type = value("proxy-type");
    if (const auto host = value("proxy-server"); !host.empty() && !proxy_type.empty()) {
        if (proxy_type == "http") {
            defaults.http_proxy = {host, or_default(value("proxy-port"), "8080")};
        } else if (proxy_type == "socks") {
            defaults.socks_proxy = {host, or_default(value("proxy-port"), "1080")};
        } else {
            add_warning("unknown proxy type: " + in_quotes(proxy_type));
            return;
        }
    }
    auto list = server("remote");
    while (!list.empty()) {
        const auto end = list.find_first_of(" \t,");
        const auto item = list.substr(0, end);
        list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
        if (item.empty()) {
            continue;
        }
        if (is_full()) {
            return;
        }
        openvpn_remote(item, defaults);
    }
}

/// With a proxy, all traffic is TCP. Without one, the port for datagrams depends on the protocol;
/// if a server announces another port, only TCP works.
void Reader::openconnect()
{
    users_ = {"root", "nm-openconnect"};
    if (const auto proxy = value("proxy"); !proxy.empty()) {
        const auto address = split_address(authority(proxy));
        const auto port = or_default(address.port, proxy.starts_with("socks") ? "1080" : "80");
        add(address.host, Way{Transport::Tcp, port});
        return;
    }
    const auto address = gateway();
    const auto protocol = value("protocol");
    const auto port = or_default(address.port, "443");
    auto datagrams = port;
    if (protocol == "gp") {
        datagrams = "4501";
    } else if (protocol == "nc" || protocol == "juniper" || protocol == "pulse") {
        datagrams = "4500";
    } else if (protocol == "f5") {
        datagrams = "4433";
    }
    add(address.host, std::array{Way{Transport::Tcp, port}, Way{Transport::Udp, datagrams}});
}

/// "Cisco UDP Encapsulation Port" is the port of this machine; the server announces its own.
void Reader::vpnc()
{
    const auto host = server("IPSec gateway");
    add(host, kIpsec);
    if (value("NAT Traversal Mode") == "cisco-udp" && !result_.servers.empty()) {
        add(host, Way{Transport::Udp, "10000"});
        add_warning(
            "cisco-udp: the server chooses the port; if that is not 10000, add the server with "
            "its port to server= in failclosed.conf");
    }
}

void Reader::l2tp()
{
    const auto host = server("gateway");
    add(host, std::array{Way{Transport::Udp, "1701"}});
    if (value("ipsec-enabled") == "yes" && !result_.servers.empty()) {
        add(host, kIpsec);
    }
}

/// A port that the user sets is the only one: charon switches to 4500 only from 500.
void Reader::strongswan()
{
    const auto host = server("address");
    const auto port = value("server-port");
    if (port.empty() || port == "500" || port == "4500") {
        add(host, kIpsec);
    } else {
        add(host, std::array{Way{Transport::Udp, port}, kEsp});
    }
}

/// For fortisslvpn and sstp.
void Reader::tls_gateway()
{
    const auto proxy = value("proxy-server");
    const auto proxy_port = value("proxy-port");
    if (plugin_ == "sstp" && !proxy.empty() && !proxy_port.empty()) {
        add(proxy, Way{Transport::Tcp, proxy_port});
        return;
    }
    const auto address = gateway();
    add(address.host, std::array{Way{Transport::Tcp, or_default(address.port, "443")}});
}

void Reader::other()
{
    for (const auto* const key : {"gateway", "remote", "server"}) {
        const auto address = split_address(value(key));
        const auto port = or_default(address.port, value("port"));
        if (!address.host.empty() && !port.empty()) {
            add(address.host, std::array{Way{Transport::Udp, port}, Way{Transport::Tcp, port}});
            return;
        }
    }
    add_warning("the server of this plugin's VPN is not known" + std::string(kNameIt));
}

void Reader::wireguard()
{
    mark_ = profile_.fwmark;
    bool told = mark_.has_value();
    for (const auto& endpoint : profile_.endpoints) {
        if (endpoint.empty()) {
            continue;
        }
        if (!std::exchange(told, true)) {
            add_warning(
                "WireGuard in the kernel is admitted by its mark only: set a number that no "
                "other program uses (nmcli connection modify NAME wireguard.fwmark NUMBER)");
        }
        if (!mark_ || is_full()) {
            return;
        }
        const auto address = split_address(endpoint);
        add(address.host, Way{Transport::Udp, address.port});
    }
}

ProfileServers Reader::read() &&
{
    if (profile_.service == kWireguard) {
        wireguard();
    } else if (plugin_ == "openvpn") {
        openvpn();
    } else if (plugin_ == "openconnect") {
        openconnect();
    } else if (plugin_ == "vpnc") {
        vpnc();
    } else if (plugin_ == "pptp") {
        add(server("gateway"), kPptp);
    } else if (plugin_ == "l2tp") {
        l2tp();
    } else if (plugin_ == "strongswan") {
        strongswan();
    } else if (plugin_ == "libreswan" || plugin_ == "openswan") {
        add(server("right"), kIpsec);
    } else if (plugin_ == "fortisslvpn" || plugin_ == "sstp") {
        if (plugin_ == "sstp") {
            users_ = {"root", "sstpc"};
        }
        tls_gateway();
    } else if (plugin_ == "iodine") {
        add_warning("tunnels over DNS are not supported: DNS outside a tunnel is refused");
    } else {
        other();
    }
    return std::move(result_);
}

} // namespace

ProfileServers servers_of(const VpnProfile& profile)
{
    return Reader(profile).read();
}

bool runs_openvpn_profile(const VpnProfile& profile, std::span<const std::string> arguments)
{
    std::set<Remote> wanted;
    for (const auto& server : servers_of(profile).servers) {
        wanted.insert(server.remote);
    }
    const auto running = parse_openvpn_arguments(arguments);
    const std::set<Remote> found(running.remotes.begin(), running.remotes.end());
    const auto value_of = [&](std::string_view key) {
        const auto item = std::ranges::find(
            profile.data, key, [](const auto& pair) { return std::string_view(pair.first); });
        return item == profile.data.end() ? std::string_view{} : std::string_view(item->second);
    };
    const auto is_told = [&](const std::string& option, std::string_view value) {
        const auto place = std::ranges::find(arguments, option);
        return value.empty() || place == arguments.end() ||
               (std::next(place) != arguments.end() && *std::next(place) == value);
    };
    // A PKCS #12 file holds all of them and is given by another option.
    return !wanted.empty() && wanted == found && is_told("--ca", value_of("ca")) &&
           is_told("--cert", value_of("cert"));
}

} // namespace failclosed
