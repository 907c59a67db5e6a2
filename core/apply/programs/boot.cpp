// SPDX-License-Identifier: GPL-3.0-or-later
// Reading the boot id and enabling the boot unit.
#include "core/apply/programs/boot.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <string_view>

#include <unistd.h>

#include "core/apply/programs/child.hpp"
#include "core/base/file.hpp"

namespace failclosed {

namespace {

constexpr const char* kUnit = "failclosed-lock.service";
constexpr const char* kUnitFile = "/usr/lib/systemd/system/failclosed-lock.service";
constexpr const char* kLink = "/etc/systemd/system/sysinit.target.wants/failclosed-lock.service";
constexpr std::array kSystemctl = {"/usr/bin/systemctl", "/bin/systemctl"};
constexpr std::chrono::seconds kTimeLimit{10};

bool exists(const char* path)
{
    return access(path, F_OK) == 0;
}

/// Whether systemd starts this machine: it runs (sd_booted(3)), or /sbin/init leads to it. True if
/// there is no /sbin/init, as in a container or in an image that is being built.
bool is_started_by_systemd()
{
    std::error_code error;
    return exists("/run/systemd/system") ||
           std::filesystem::canonical("/sbin/init", error).filename() == "systemd" || error;
}

} // namespace

bool is_enabled_at_boot()
{
    return exists(kLink) && is_started_by_systemd();
}

std::vector<std::string> units_without_boot_lock()
{
    constexpr std::string_view kRequiredBy = "RequiredBy=";
    std::vector<std::string> units;
    std::istringstream text(read_file(kUnitFile, 1 << 20).value_or(""));
    for (std::string line; std::getline(text, line);) {
        if (!line.starts_with(kRequiredBy)) {
            continue;
        }
        std::istringstream names(line.substr(kRequiredBy.size()));
        for (std::string name; names >> name;) {
            const std::string link = "/etc/systemd/system/" + name + ".requires/" + kUnit;
            if (!exists(link.c_str())) {
                units.push_back(name);
            }
        }
    }
    return units;
}

Status enable_at_boot()
{
    if (!exists(kUnitFile)) {
        return fail(std::string(kUnitFile) + " is not installed");
    }
    constexpr const char* kToDo =
        "; make your init system run `failclosed lock --at-boot` before it starts the network";
    if (!is_started_by_systemd()) {
        return fail(std::string("/sbin/init is not systemd") + kToDo);
    }
    for (const char* program : kSystemctl) {
        if (exists(program)) {
            return run_program({program, "--quiet", "enable", kUnit}, "", kTimeLimit);
        }
    }
    return fail(std::string("systemctl is not installed") + kToDo);
}

} // namespace failclosed
