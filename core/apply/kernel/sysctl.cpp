// SPDX-License-Identifier: GPL-3.0-or-later
// Reading and writing below /proc/sys.
#include "core/apply/kernel/sysctl.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "core/model/names.hpp"

namespace failclosed {

namespace {

bool is_plain(const std::string& part)
{
    return !part.empty() && part != "." && part != ".." && part.find('/') == std::string::npos &&
           !has_control_characters(part);
}

/// Opens the parameter's file, after `name` was validated as part of a path.
Result<UniqueFd> open_parameter(const std::vector<std::string>& name, int flags)
{
    if (name.empty() || !std::ranges::all_of(name, is_plain)) {
        return fail("kernel parameter: not a valid name", EINVAL);
    }
    std::string path = "/proc/sys";
    for (const auto& part : name) {
        path += "/" + part;
    }
    UniqueFd file(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) {
        return fail_errno(path);
    }
    return file;
}

std::string to_text(const std::vector<std::string>& name)
{
    std::string text;
    for (const auto& part : name) {
        text += (text.empty() ? "" : "/") + part;
    }
    return text;
}

/// `nullopt` if the parameter has the value already.
Result<std::optional<SysctlRecord>> set(const Sysctl& wanted)
{
    const auto current = read_sysctl(wanted.name);
    if (!current) {
        return Failure(current.error());
    }
    if (*current == wanted.value) {
        return std::nullopt;
    }
    if (const auto written = write_sysctl(wanted.name, wanted.value); !written) {
        return Failure(written.error());
    }
    return SysctlRecord{wanted.name, wanted.value, *current};
}

Status restore(const SysctlRecord& change)
{
    const auto current = read_sysctl(change.name);
    if (!current) {
        return current.error().number() == ENOENT ? Status() : Status(Failure(current.error()));
    }
    return *current == change.ours ? write_sysctl(change.name, change.previous) : Status();
}

} // namespace

Result<std::string> read_sysctl(const std::vector<std::string>& name)
{
    const auto file = open_parameter(name, O_RDONLY);
    if (!file) {
        return Failure(file.error());
    }
    std::array<char, 4096> text{};
    const auto size = read(file->get(), text.data(), text.size());
    if (size < 0) {
        return fail_errno("reading " + to_text(name));
    }
    std::string value(text.data(), static_cast<std::size_t>(size));
    if (value.ends_with('\n')) {
        value.pop_back();
    }
    return value;
}

Status write_sysctl(const std::vector<std::string>& name, const std::string& value)
{
    const auto file = open_parameter(name, O_WRONLY);
    if (!file) {
        return Failure(file.error());
    }
    // In a single write: the kernel reads each write as a complete value.
    if (write(file->get(), value.data(), value.size()) < 0) {
        return fail_errno("writing " + to_text(name));
    }
    return {};
}

SysctlOutcome set_sysctls(const std::vector<Sysctl>& wanted)
{
    SysctlOutcome outcome;
    for (const auto& parameter : wanted) {
        const auto change = set(parameter);
        if (!change) {
            outcome.refused.push_back(change.error());
        } else if (*change) {
            outcome.changes.push_back(**change);
        }
    }
    return outcome;
}

Status restore_sysctls(const std::vector<SysctlRecord>& changes)
{
    Status first;
    for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
        if (auto restored = restore(*change); !restored && first) {
            first = std::move(restored);
        }
    }
    return first;
}

} // namespace failclosed
