// SPDX-License-Identifier: GPL-3.0-or-later
// Reading the boot id and enabling the boot unit.
#include "core/apply/boot.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <unistd.h>

#include "core/apply/child.hpp"
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

} // namespace

std::string read_boot_id(const std::string& file)
{
    std::string id = read_file(file, 64).value_or("");
    id.erase(std::min(id.find('\n'), id.size()));
    return id;
}

bool is_enabled_at_boot()
{
    return exists(kLink);
}

Status enable_at_boot()
{
    if (!exists(kUnitFile)) {
        return fail(std::string(kUnitFile) + " is not installed");
    }
    for (const char* program : kSystemctl) {
        if (exists(program)) {
            return run_program({program, "--quiet", "enable", kUnit}, "", kTimeLimit);
        }
    }
    return fail("systemctl is not installed; make your init system run `failclosed lock --at-boot` "
                "before it starts the network");
}

} // namespace failclosed
