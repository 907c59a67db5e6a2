// SPDX-License-Identifier: GPL-3.0-or-later
// Real NetworkManager in a machine of the lab, with a system bus and a dispatcher of its own.
#include "tests/support/daemons/network_manager.hpp"

#include <filesystem>
#include <map>
#include <regex>

#include "tests/support/daemons/wireguard.hpp"

namespace failclosed::lab {

namespace {

namespace fs = std::filesystem;

constexpr char bus_config[] = "/run/lab-bus/bus.conf";
constexpr char services[] = "/run/lab-bus/services/";
constexpr char host_services[] = "/usr/share/dbus-1/system-services/";
constexpr char etc[] = "/etc/NetworkManager/";
constexpr char pki_directory[] = "/etc/lab-pki/";

const std::vector<std::string>& recorded_variables()
{
    static const std::vector<std::string> names = {"CONNECTION_ID",
                                                   "CONNECTION_UUID",
                                                   "CONNECTION_EXTERNAL",
                                                   "CONNECTIVITY_STATE",
                                                   "DEVICE_IFACE",
                                                   "DEVICE_IP_IFACE",
                                                   "VPN_IP_IFACE",
                                                   "IP4_ADDRESS_0",
                                                   "IP4_GATEWAY",
                                                   "IP4_NAMESERVERS",
                                                   "IP6_ADDRESS_0",
                                                   "IP6_GATEWAY",
                                                   "IP6_NAMESERVERS",
                                                   "DHCP4_IP_ADDRESS",
                                                   "DHCP4_ROUTERS",
                                                   "DHCP4_DOMAIN_NAME_SERVERS",
                                                   "DHCP6_DHCP6_NAME_SERVERS",
                                                   "VPN_IP4_ADDRESS_0",
                                                   "VPN_IP4_GATEWAY",
                                                   "VPN_IP4_NAMESERVERS"};
    return names;
}

/// What of the host's would count in the box, but for a product's that was installed there.
void remove_foreign_files()
{
    for (const char* folder :
         {"/etc/NetworkManager", "/usr/lib/NetworkManager/conf.d",
          "/usr/lib/NetworkManager/dispatcher.d", "/usr/lib/NetworkManager/system-connections",
          "/var/lib/NetworkManager"}) {
        std::vector<fs::path> found;
        if (fs::exists(folder)) {
            for (const auto& entry : fs::recursive_directory_iterator(folder)) {
                if ((!entry.is_directory() || entry.is_symlink()) &&
                    entry.path().filename().string().find("failclosed") == std::string::npos) {
                    found.push_back(entry.path());
                }
            }
        }
        for (const auto& path : found) {
            fs::remove(path);
        }
    }
    for (const char* folder :
         {"/etc/NetworkManager/system-connections", "/etc/NetworkManager/dnsmasq.d",
          "/etc/NetworkManager/dispatcher.d/pre-up.d",
          "/etc/NetworkManager/dispatcher.d/pre-down.d",
          "/etc/NetworkManager/dispatcher.d/no-wait.d", "/var/lib/NetworkManager",
          "/run/NetworkManager"}) {
        fs::create_directories(folder);
    }
}

/// Lines of a keyfile; `extra` is SECTION.KEY=VALUE.
class Keyfile {
  public:
    void add(const std::string& section, const std::string& line)
    {
        sections_[section] += line + "\n";
    }

    void add(const std::vector<std::string>& extra)
    {
        for (const auto& item : extra) {
            const auto dot = item.find('.');
            if (dot == std::string::npos) {
                throw LabError("not SECTION.KEY=VALUE: " + item);
            }
            add(item.substr(0, dot), item.substr(dot + 1));
        }
    }

    std::string text() const
    {
        std::string text;
        for (const auto& [section, lines] : sections_) {
            text += "[" + section + "]\n" + lines;
        }
        return text;
    }

  private:
    std::map<std::string, std::string> sections_;
};

std::string yes_or_no(bool value)
{
    return value ? "true" : "false";
}

std::string text_of(const EthernetProfile& profile)
{
    Keyfile file;
    file.add("connection", "id=" + profile.device);
    file.add("connection", "type=ethernet");
    file.add("connection", "interface-name=" + profile.device);
    file.add("connection", "autoconnect=" + yes_or_no(profile.autoconnect));
    file.add("ipv4", "method=" + profile.method4);
    if (profile.need_ipv4) {
        file.add("ipv4", "may-fail=false");
    }
    file.add("ipv6", "method=" + profile.method6);
    // Else its addresses are random, which takes nothing but readability.
    file.add("ipv6", "addr-gen-mode=eui64");
    if (profile.metric >= 0) {
        file.add("ipv4", "route-metric=" + std::to_string(profile.metric));
        file.add("ipv6", "route-metric=" + std::to_string(profile.metric));
    }
    file.add(profile.extra);
    return file.text();
}

std::string path_of(const std::string& profile)
{
    return etc + ("system-connections/" + profile + ".nmconnection");
}

} // namespace

SystemBus::SystemBus(const Box& box) : box_(&box)
{
    box.write_file(bus_config, "<!DOCTYPE busconfig PUBLIC "
                               "\"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
                               "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
                               "<busconfig><type>system</type>"
                               "<servicedir>/run/lab-bus/services</servicedir>"
                               "<listen>unix:path=/run/dbus/system_bus_socket</listen>"
                               "<auth>EXTERNAL</auth><policy context=\"default\">"
                               "<allow user=\"*\"/><allow own=\"*\"/>"
                               "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/>"
                               "</policy></busconfig>\n");
    box.must({"mkdir", "-p", "/run/dbus", services});
    for (const std::string name :
         {"org.freedesktop.nm_dispatcher", "org.freedesktop.nm_priv_helper"}) {
        const std::string file = name + ".service";
        if (box.exists(host_services + file)) {
            // Without systemd the bus runs the program itself.
            std::string text = std::regex_replace(box.read_file(host_services + file),
                                                  std::regex("SystemdService=[^\n]*\n"), "");
            // NetworkManager 1.52 leaves it to GLib which messages are shown.
            text = std::regex_replace(text, std::regex("Exec=([^\n]*nm-dispatcher)"),
                                      "Exec=/usr/bin/env G_MESSAGES_DEBUG=all $1 --debug");
            box.write_file(services + file, text);
        }
    }
    start();
}

void SystemBus::start()
{
    process_.reset();
    box_->must({"rm", "-f", "/run/dbus/system_bus_socket"});
    process_.emplace(*box_, Command{"dbus-daemon", std::string("--config-file=") + bus_config,
                                    "--nofork", "--print-address=1"});
    if (!process_->wait_for("unix:")) {
        throw LabError(box_->name() + ": the system bus does not start:\n" + log());
    }
}

bool SystemBus::wait_for_name(const std::string& name, std::chrono::milliseconds timeout) const
{
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(timeout);
    return box_
        ->run({"gdbus", "wait", "--system", "--timeout", std::to_string(seconds.count()), name},
              timeout + patience)
        .ok();
}

NetworkManager::NetworkManager(SystemBus& bus, Options options)
    : bus_(&bus), box_(&bus.box()), options_(std::move(options))
{
    configure();
    if (options_.record) {
        recorder_.emplace(*box_);
        install_recorders();
    }
    if (options_.start) {
        start();
    }
}

void NetworkManager::configure() const
{
    box_->in(remove_foreign_files);
    std::string text =
        "[main]\nplugins=keyfile\nno-auto-default=*\nauth-polkit=root-only\ndhcp=" + options_.dhcp +
        "\ndns=" + options_.dns + "\nrc-manager=" + options_.rc_manager +
        "\n[device]\nmatch-device=*\ncarrier-wait-timeout=" +
        std::to_string(options_.carrier_wait.count()) + "\n[logging]\nlevel=" + options_.log_level +
        "\n";
    if (!options_.connectivity_uri.empty()) {
        text += "[connectivity]\nuri=" + options_.connectivity_uri +
                "\ninterval=" + std::to_string(options_.connectivity_interval) + "\n";
    }
    box_->write_file(std::string(etc) + "NetworkManager.conf", text + options_.extra);
    for (const auto& profile : options_.profiles) {
        box_->write_file(path_of(profile.device), text_of(profile), 0600);
    }
}

void NetworkManager::install_recorders() const
{
    for (const std::string folder : {"", "pre-up.d/", "pre-down.d/"}) {
        const auto install = [&](const std::string& name, const std::string& source) {
            box_->write_file(etc + ("dispatcher.d/" + folder + name),
                             "#!/bin/sh\n" + Recorder::lines(source, "\"${2-}\"", "\"${1-}\"",
                                                             recorded_variables()),
                             0755);
        };
        install("00-recorder", "dispatcher");
        install("99zz-recorder", "dispatcher-end");
    }
}

void NetworkManager::start()
{
    process_.reset();
    process_.emplace(*box_, Command{"NetworkManager", "--debug"});
    if (!bus_->wait_for_name("org.freedesktop.NetworkManager")) {
        throw LabError(box_->name() + ": NetworkManager does not start:\n" + log());
    }
}

void NetworkManager::stop()
{
    process_->signal(SIGTERM);
    if (!process_->wait()) {
        throw LabError(box_->name() + ": NetworkManager does not end:\n" + log());
    }
}

void NetworkManager::kill()
{
    process_->kill();
}

void NetworkManager::restart()
{
    stop();
    start();
}

Outcome NetworkManager::try_nmcli(std::vector<std::string> arguments) const
{
    arguments.insert(arguments.begin(), "nmcli");
    return box_->run(arguments, 3 * patience);
}

std::string NetworkManager::nmcli(std::vector<std::string> arguments) const
{
    std::string text;
    for (const auto& argument : arguments) {
        text += " " + argument;
    }
    Outcome outcome = try_nmcli(std::move(arguments));
    if (!outcome.ok()) {
        throw LabError("nmcli" + text + ": status " + std::to_string(outcome.status) + "\n" +
                       outcome.err + outcome.out + log());
    }
    return outcome.out;
}

void NetworkManager::add_profile(const std::string& name, const std::string& keyfile) const
{
    box_->write_file(path_of(name), keyfile, 0600);
    nmcli({"connection", "load", path_of(name)});
}

void NetworkManager::connect_ethernet(const EthernetProfile& profile)
{
    const std::size_t before = activations(profile.device);
    add_profile(profile.device, text_of(profile));
    if (!profile.autoconnect) {
        nmcli({"connection", "up", profile.device});
    }
    if (!wait_activated(profile.device, before + 1)) {
        throw LabError(profile.device + " is not activated:\n" + log());
    }
}

std::size_t NetworkManager::activations(const std::string& device) const
{
    return process_->count("device (" + device + "): Activation: successful");
}

bool NetworkManager::wait_activated(const std::string& device, std::size_t times,
                                    std::chrono::milliseconds timeout) const
{
    return process_->wait_for("device (" + device + "): Activation: successful", times, timeout);
}

void NetworkManager::add_openvpn_profile(const OpenVpnProfile& profile) const
{
    const std::map<std::string, const std::string*> files = {{"ca", &pki().ca},
                                                             {"cert", &pki().client_certificate},
                                                             {"key", &pki().client_key},
                                                             {"tls-crypt", &pki().tls_crypt}};
    // The plugin's own user changes to this folder.
    box_->must({"mkdir", "-p", "/var/lib/openvpn/chroot"});
    Keyfile file;
    file.add("connection", "id=" + profile.name);
    file.add("connection", "type=vpn");
    file.add("connection", "autoconnect=" + yes_or_no(profile.autoconnect));
    file.add("vpn", "service-type=org.freedesktop.NetworkManager.openvpn");
    file.add("vpn", "connection-type=tls");
    file.add("vpn", "remote=" + profile.remote);
    file.add("vpn", "remote-cert-tls=server");
    file.add("vpn", "cert-pass-flags=0");
    file.add("vpn", "dev=" + profile.device);
    file.add("vpn", "dev-type=tun");
    for (const auto& [option, content] : files) {
        box_->write_file(pki_directory + option, *content, 0600);
        file.add("vpn", option + "=" + pki_directory + option);
    }
    for (const auto& line : profile.data) {
        file.add("vpn", line);
    }
    for (const char* family : {"ipv4", "ipv6"}) {
        file.add(family, "method=auto");
        file.add(family, "never-default=" + yes_or_no(!profile.default_route));
    }
    file.add(profile.extra);
    add_profile(profile.name, file.text());
    nmcli({"connection", "modify", profile.name, "vpn.timeout", std::to_string(profile.timeout)});
}

void NetworkManager::add_wireguard_profile(const std::string& name, const std::string& endpoint,
                                           const std::string& device) const
{
    Keyfile file;
    file.add("connection", "id=" + name);
    file.add("connection", "type=wireguard");
    file.add("connection", "interface-name=" + device);
    file.add("connection", "autoconnect=false");
    file.add("wireguard", "private-key=" + WireGuardKeys::make(*box_).secret);
    const std::string peer = "wireguard-peer." + WireGuardKeys::make(*box_).shared;
    file.add(peer, "endpoint=" + endpoint);
    file.add(peer, "allowed-ips=0.0.0.0/0;::/0;");
    file.add("ipv4", "method=manual");
    file.add("ipv4", "address1=10.66.0.2/32");
    file.add("ipv6", "method=disabled");
    add_profile(name, file.text());
}

} // namespace failclosed::lab
