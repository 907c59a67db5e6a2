// SPDX-License-Identifier: GPL-3.0-or-later
// The programs that own resolv.conf, run in a machine of the lab and never installed on the host.
#include "tests/support/daemons/resolvers.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace failclosed::lab {

namespace {

namespace fs = std::filesystem;

constexpr char user[] = "systemd-resolve";

void add_line(const Box& box, const std::string& path, const std::string& line)
{
    box.write_file(path, box.read_file(path) + line + "\n");
}

} // namespace

void unpack(const Box& box, const std::string& package)
{
    const char* packages = std::getenv("FAILCLOSED_PACKAGES");
    if (packages == nullptr) {
        throw LabError("FAILCLOSED_PACKAGES is not set: it names a folder made by "
                       "tests/support/fetch_packages.sh");
    }
    const fs::path tree = fs::path(packages) / package;
    if (!fs::is_directory(tree)) {
        throw LabError(tree.string() + " is not there: run tests/support/fetch_packages.sh");
    }
    for (const auto& entry : fs::recursive_directory_iterator(tree)) {
        if (entry.is_regular_file() && !entry.is_symlink()) {
            std::ifstream file(entry.path(), std::ios::binary);
            const std::string content{std::istreambuf_iterator<char>(file), {}};
            box.write_file("/" + fs::relative(entry.path(), tree).string(), content,
                           static_cast<mode_t>(entry.status().permissions()));
        }
    }
}

Resolved::Resolved(SystemBus& bus) : bus_(&bus)
{
    const Box& box = bus.box();
    unpack(box, "systemd-resolved");
    if (!box.run({"getent", "passwd", user}).ok()) {
        add_line(box, "/etc/passwd", std::string(user) + ":x:993:993::/:/usr/sbin/nologin");
        add_line(box, "/etc/group", std::string(user) + ":x:993:");
    }
    box.must({"install", "-d", "-o", user, "-g", user, "/run/systemd/resolve"});
    // Queries only the servers that a test names, and sends no multicast.
    box.write_file("/etc/systemd/resolved.conf",
                   "[Resolve]\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n");
    start();
    box.must({"ln", "-sf", "../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf"});
}

void Resolved::start()
{
    process_.reset();
    process_.emplace(bus_->box(), Command{"/lib/systemd/systemd-resolved"});
    if (!bus_->wait_for_name("org.freedesktop.resolve1")) {
        throw LabError("systemd-resolved does not start:\n" + log());
    }
}

void Resolved::stop()
{
    process_->signal(SIGTERM);
    if (!process_->wait()) {
        throw LabError("systemd-resolved does not end:\n" + log());
    }
}

std::string Resolved::settings(const std::string& link) const
{
    std::string text;
    for (const char* setting : {"dns", "domain", "default-route"}) {
        text += bus_->box().must({"resolvectl", "--no-pager", setting, link});
    }
    return text;
}

} // namespace failclosed::lab
