// SPDX-License-Identifier: GPL-3.0-or-later
// The journal as a key file. All values are base64: they hold bytes that other programs wrote.
#include "core/codec/files/journal.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

#include <glib.h>

#include "core/base/owned.hpp"

namespace failclosed {
namespace {

using KeyFile = Owned<GKeyFile, g_key_file_unref>;
using Text = Owned<char, g_free>;

constexpr const char* kBefore = "before";
constexpr const char* kResolved = "resolved";
constexpr const char* kSysctls = "sysctls";
/// One key of kBefore for each ResolvConfBefore::Kind, in the order of the enumerators.
constexpr std::array kResolvConfKeys = {"resolv.conf-absent", "resolv.conf-link",
                                        "resolv.conf-contents"};
constexpr const char* kLeftKey = "resolv.conf-left";

std::string checksum_line(std::string_view text)
{
    const Text sum(g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(text.data()), text.size()));
    return "# " + std::string(sum.get()) + "\n";
}

void put(GKeyFile* file, const char* group, const char* key, const std::string& bytes)
{
    const Text encoded(
        g_base64_encode(reinterpret_cast<const guchar*>(bytes.data()), bytes.size()));
    g_key_file_set_string(file, group, key, encoded.get());
}

std::optional<std::string> get(GKeyFile* file, const char* group, const char* key)
{
    const Text encoded(g_key_file_get_string(file, group, key, nullptr));
    if (!encoded) {
        return std::nullopt;
    }
    gsize size = 0;
    const Owned<guchar, g_free> bytes(g_base64_decode(encoded.get(), &size));
    return std::string(reinterpret_cast<const char*>(bytes.get()), size);
}

/// Lists are numbered keys: "0", "1", ...
void put_list(GKeyFile* file, const char* group, const std::vector<std::string>& list)
{
    for (std::size_t i = 0; i < list.size(); i++) {
        put(file, group, std::to_string(i).c_str(), list[i]);
    }
}

std::vector<std::string> get_list(GKeyFile* file, const char* group)
{
    std::vector<std::string> list;
    while (const auto item = get(file, group, std::to_string(list.size()).c_str())) {
        list.push_back(*item);
    }
    return list;
}

std::optional<ResolvConfBefore> get_resolv_conf(GKeyFile* file)
{
    for (std::size_t i = 0; i < kResolvConfKeys.size(); i++) {
        if (const auto data = get(file, kBefore, kResolvConfKeys.at(i))) {
            return ResolvConfBefore{static_cast<ResolvConfBefore::Kind>(i), *data};
        }
    }
    return std::nullopt;
}

Result<std::optional<std::int64_t>> get_left(GKeyFile* file)
{
    const auto text = get(file, kBefore, kLeftKey);
    const auto seconds = text ? parse_number(*text, 0, INT64_MAX) : std::nullopt;
    if (text && !seconds) {
        return fail("damaged: invalid time");
    }
    return seconds ? std::optional(static_cast<std::int64_t>(*seconds)) : std::nullopt;
}

/// Each record is our value, the value before, the number of parts of the name, and the parts.
void put_sysctls(GKeyFile* file, const std::vector<SysctlRecord>& sysctls)
{
    std::vector<std::string> list;
    for (const SysctlRecord& sysctl : sysctls) {
        list.insert(list.end(), {sysctl.ours, sysctl.previous, std::to_string(sysctl.name.size())});
        list.insert(list.end(), sysctl.name.begin(), sysctl.name.end());
    }
    put_list(file, kSysctls, list);
}

Result<std::vector<SysctlRecord>> get_sysctls(GKeyFile* file)
{
    std::vector<std::string> list = get_list(file, kSysctls);
    std::vector<SysctlRecord> sysctls;
    for (auto next = list.begin(); next != list.end();) {
        const auto left = static_cast<std::size_t>(list.end() - next);
        const auto parts = left < 3 ? std::nullopt : parse_number(next[2], 0, left - 3);
        if (!parts) {
            return fail("damaged: invalid record of kernel parameters");
        }
        const auto name = next + 3;
        const auto end = name + static_cast<std::ptrdiff_t>(*parts);
        sysctls.push_back({{name, end}, next[0], next[1]});
        next = end;
    }
    return sysctls;
}

Result<std::vector<InterfaceName>> get_links(GKeyFile* file)
{
    std::vector<InterfaceName> links;
    for (const std::string& text : get_list(file, kResolved)) {
        const std::optional<InterfaceName> name = InterfaceName::parse(text);
        if (!name) {
            return fail("damaged: invalid interface name");
        }
        links.push_back(*name);
    }
    return links;
}

} // namespace

std::string render_journal(const Journal& journal)
{
    const KeyFile file(g_key_file_new());
    if (journal.resolv_conf) {
        const auto kind = static_cast<std::size_t>(journal.resolv_conf->kind);
        put(file.get(), kBefore, kResolvConfKeys.at(kind), journal.resolv_conf->data);
    }
    if (journal.resolv_conf_left) {
        put(file.get(), kBefore, kLeftKey, std::to_string(*journal.resolv_conf_left));
    }
    if (journal.network_manager) {
        put(file.get(), kBefore, "network-manager", *journal.network_manager);
    }
    if (journal.resolvconf) {
        put(file.get(), kBefore, "resolvconf", *journal.resolvconf);
    }
    std::vector<std::string> links;
    for (const InterfaceName& link : journal.resolved_links) {
        links.push_back(link.text());
    }
    put_list(file.get(), kResolved, links);
    put_sysctls(file.get(), journal.sysctls);
    gsize size = 0;
    const Text text(g_key_file_to_data(file.get(), &size, nullptr));
    const std::string_view body(text.get(), size);
    return checksum_line(body).append(body);
}

Result<Journal> parse_journal(std::string_view text)
{
    const std::size_t end = text.find('\n');
    const std::string_view body = text.substr(end == text.npos ? text.size() : end + 1);
    if (text.substr(0, text.size() - body.size()) != checksum_line(body)) {
        return fail("damaged: wrong checksum");
    }
    const KeyFile file(g_key_file_new());
    // GLib refuses empty data; an empty journal has an empty body.
    if (!body.empty() && !g_key_file_load_from_data(file.get(), body.data(), body.size(),
                                                    G_KEY_FILE_NONE, nullptr)) {
        return fail("damaged: not a key file");
    }
    Result<std::vector<InterfaceName>> links = get_links(file.get());
    if (!links) {
        return Failure(links.error());
    }
    Result<std::vector<SysctlRecord>> sysctls = get_sysctls(file.get());
    if (!sysctls) {
        return Failure(sysctls.error());
    }
    Result<std::optional<std::int64_t>> left = get_left(file.get());
    if (!left) {
        return Failure(left.error());
    }
    return Journal{.resolv_conf = get_resolv_conf(file.get()),
                   .resolv_conf_left = *left,
                   .network_manager = get(file.get(), kBefore, "network-manager"),
                   .resolvconf = get(file.get(), kBefore, "resolvconf"),
                   .resolved_links = std::move(*links),
                   .sysctls = std::move(*sysctls)};
}

} // namespace failclosed
