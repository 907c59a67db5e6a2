// SPDX-License-Identifier: GPL-3.0-or-later
// Marks by which the sniffer knows a packet again, wherever it turns up.
#include "tests/support/traffic/tag.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>

#include "tests/support/lab/process.hpp"

namespace failclosed::lab {

namespace {

std::mutex mutex;
std::array<std::optional<std::string>, tag_limit> names;

constexpr char mark[] = "fctag-";
constexpr std::size_t mark_size = sizeof(mark) - 1;
constexpr std::size_t digits = 5;

} // namespace

int take_tag(const std::string& name)
{
    const std::lock_guard lock(mutex);
    // Not the lowest one: what is still on its way from the last holder must not be taken for ours.
    static std::size_t next = 0;
    for (std::size_t tried = 0; tried < names.size(); ++tried) {
        const std::size_t tag = next++ % names.size();
        if (!names[tag]) {
            names[tag] = name;
            return static_cast<int>(tag);
        }
    }
    throw LabError("all tags are taken");
}

void release_tag(int tag)
{
    const std::lock_guard lock(mutex);
    names.at(static_cast<std::size_t>(tag)).reset();
}

std::string tag_name(int tag)
{
    const std::lock_guard lock(mutex);
    return tag < 0 || tag >= tag_limit ? "" : names[static_cast<std::size_t>(tag)].value_or("");
}

std::string tag_text(int tag)
{
    char text[mark_size + digits + 2];
    std::snprintf(text, sizeof(text), "%s%05d-", mark, tag);
    return text;
}

int find_tag(std::span<const std::uint8_t> bytes)
{
    const std::uint8_t* at = bytes.data();
    const std::uint8_t* const end = at + bytes.size();
    while ((at = static_cast<const std::uint8_t*>(
                memmem(at, static_cast<std::size_t>(end - at), mark, mark_size))) != nullptr) {
        at += mark_size;
        int tag = 0;
        std::size_t read = 0;
        for (; read < digits && at < end && *at >= '0' && *at <= '9'; ++read) {
            tag = tag * 10 + (*at++ - '0');
        }
        if (read == digits && tag < tag_limit) {
            return tag;
        }
    }
    return -1;
}

} // namespace failclosed::lab
