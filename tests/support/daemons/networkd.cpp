// SPDX-License-Identifier: GPL-3.0-or-later
// Real systemd-networkd in a machine of the lab, and the path unit that watches it.
#include "tests/support/daemons/networkd.hpp"

#include <array>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

namespace fs = std::filesystem;

constexpr char user[] = "systemd-network";
constexpr char units[] = "/usr/lib/systemd/system/";

/// What of the host's would count in the box, but for a product's.
void remove_foreign_files()
{
    for (const char* folder :
         {"/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network",
          "/etc/systemd/networkd.conf.d", "/usr/lib/systemd/networkd.conf.d"}) {
        std::vector<fs::path> found;
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(folder, error)) {
            if (entry.path().filename().string().find("failclosed") == std::string::npos) {
                found.push_back(entry.path());
            }
        }
        for (const auto& path : found) {
            fs::remove_all(path);
        }
    }
    fs::remove("/etc/systemd/networkd.conf");
}

/// Whether one of the events that are there to be read is about one of these watches.
bool names_any(int notes, const std::set<int>& watches)
{
    alignas(inotify_event) std::array<char, 4096> buffer;
    bool found = false;
    for (ssize_t size = 0; (size = read(notes, buffer.data(), buffer.size())) > 0;) {
        for (ssize_t at = 0; at < size;) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            found = found || watches.contains(event.wd);
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
    return found;
}

} // namespace

Networkd::Networkd(SystemBus& bus, std::string network) : bus_(&bus), box_(&bus.box())
{
    box_->in(remove_foreign_files);
    if (!box_->run({"getent", "passwd", user}).ok()) {
        for (const auto& [path, line] :
             {std::pair("/etc/passwd", ":x:994:994::/:/usr/sbin/nologin\n"),
              std::pair("/etc/group", ":x:994:\n")}) {
            box_->write_file(path, box_->read_file(path) + user + line);
        }
    }
    box_->must({"install", "-d", "-o", user, "-g", user, "/run/systemd/netif"});
    // With a writable /sys it waits for udev to have seen a device, as on a real machine, and so
    // configures it when it knows all rules and routes: then it deletes those of others.
    box_->must({"mount", "-o", "remount,bind,rw", "/sys"});
    box_->must({"mkdir", "-p", "/run/udev/data"});
    box_->write_file("/run/udev/control", "");
    write_network(network);
    start();
}

void Networkd::start()
{
    // What udevd notes about each device that it has seen.
    box_->must({"sh", "-c",
                "for i in /sys/class/net/*/ifindex; do "
                "echo I:1 >/run/udev/data/n$(cat $i); done"});
    process_.reset();
    process_.emplace(*box_, Command{"/lib/systemd/systemd-networkd"}.with_env(
                                {"SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console"}));
    if (!wait_configured(1)) {
        throw LabError("systemd-networkd does not configure eth0:\n" + log());
    }
}

void Networkd::stop()
{
    process_->signal(SIGTERM);
    if (!process_->wait()) {
        throw LabError("systemd-networkd does not end:\n" + log());
    }
}

void Networkd::restart()
{
    stop();
    start();
}

void Networkd::write_network(const std::string& network) const
{
    box_->write_file("/run/systemd/network/10-netplan-eth0.network",
                     "[Match]\nName=eth0\n" + network);
}

void Networkd::networkctl(std::vector<std::string> arguments) const
{
    if (!bus_->wait_for_name("org.freedesktop.network1")) {
        throw LabError("systemd-networkd is not on the bus:\n" + log());
    }
    arguments.insert(arguments.begin(), "networkctl");
    box_->must(arguments);
}

std::vector<std::string> unit_values(const Box& box, const std::string& unit,
                                     const std::string& key)
{
    std::vector<std::string> values;
    std::istringstream lines(box.read_file(units + unit));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(key + "=")) {
            values.push_back(line.substr(key.size() + 1));
        }
    }
    return values;
}

Outcome run_unit_command(const Box& box, const std::string& command)
{
    const auto begin = command.find_first_not_of("-+@:!");
    const bool may_fail = command.substr(0, begin).find('-') != std::string::npos;
    std::istringstream words(command.substr(begin));
    std::vector<std::string> argv;
    for (std::string word; words >> word;) {
        argv.push_back(word);
    }
    Outcome outcome = box.run(argv);
    if (may_fail) {
        outcome.status = 0;
    }
    return outcome;
}

PathUnit::PathUnit(const Box& box)
    : box_(&box), paths_(unit_values(box, "failclosed-networkd.path", "PathChanged")),
      service_(unit_values(box, "failclosed-networkd.service", "ExecStart")),
      pause_(unit_values(box, "failclosed-networkd.service", "ExecStopPost"))
{
    const auto next = unit_values(box, "failclosed-networkd.service", "OnSuccess");
    if (paths_.empty() || service_.empty() || next.empty()) {
        throw LabError("failclosed-networkd.path or its service is incomplete");
    }
    settled_ = unit_values(box, next.front(), "ExecStart");
    if (pipe2(stop_, O_CLOEXEC) != 0) {
        throw LabError("pipe2");
    }
    thread_ = std::thread([this] { watch(); });
}

PathUnit::~PathUnit()
{
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
}

void PathUnit::watch()
{
    const auto run = [&](const std::vector<std::string>& commands) {
        for (const auto& command : commands) {
            if (!run_unit_command(*box_, command).ok()) {
                break;
            }
        }
    };
    for (bool is_settled = true;;) {
        const int notes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        std::set<int> primary;
        for (const auto& path : paths_) {
            // As path_spec_watch() of systemd 252 does for PathChanged=.
            const int watch =
                inotify_add_watch(notes, box_->outside_path(path).c_str(),
                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_CLOSE_WRITE |
                                      IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
            if (watch >= 0) {
                primary.insert(watch);
            }
            // Of what is not there yet the folders above it tell.
            fs::path folder = fs::path(path).parent_path();
            while (watch < 0 && inotify_add_watch(notes, box_->outside_path(folder).c_str(),
                                                  IN_CREATE | IN_MOVED_TO) < 0) {
                folder = folder.parent_path();
            }
        }
        if (!is_settled) {
            run(settled_);
            busy_ = false;
        }
        std::array<pollfd, 2> both = {{{notes, POLLIN, 0}, {stop_[0], POLLIN, 0}}};
        poll(both.data(), both.size(), -1);
        is_settled = !names_any(notes, primary);
        close(notes);
        if (both[1].revents != 0) {
            return;
        }
        if (!is_settled) {
            busy_ = true;
            ++runs_;
            run(service_);
            run(pause_);
        }
    }
}

} // namespace failclosed::lab
