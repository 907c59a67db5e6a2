// SPDX-License-Identifier: GPL-3.0-or-later
// The groups of NetworkManager-intern.conf that hold a GlobalDnsConfiguration.
#include "core/codec/network_manager/file.hpp"

#include <algorithm>

#include <glib.h>

#include "core/base/owned.hpp"

namespace failclosed {
namespace {

using Variant = Owned<GVariant, g_variant_unref>;

constexpr std::string_view kGroup = ".intern.global-dns";
constexpr std::string_view kDomainGroups = ".intern.global-dns-domain-";
constexpr std::string_view kComment = "# Internal section. Not overwritable via user configuration "
                                      "in 'NetworkManager.conf'\n";

/// Removes the next line and its line end from `text`, and returns both.
std::string_view next_line(std::string_view& text)
{
    const std::string_view line = text.substr(0, text.find('\n') + 1);
    const std::string_view whole = line.empty() ? text : line;
    text.remove_prefix(whole.size());
    return whole;
}

bool starts_global_dns(std::string_view line)
{
    line.remove_prefix(1);
    return line.starts_with(std::string(kGroup) + "]") || line.starts_with(kDomainGroups);
}

/// `contents` without the groups, without the comment above each group, and without the empty line
/// above that comment.
std::string without_global_dns(std::string_view contents)
{
    std::string kept;
    std::string above;
    bool in_group = false;
    while (!contents.empty()) {
        const std::string_view line = next_line(contents);
        if (line == "\n") {
            kept += above;
            above = line;
        } else if (line.starts_with('#')) {
            above += line;
        } else {
            if (line.starts_with('[')) {
                in_group = starts_global_dns(line);
            }
            kept += in_group ? "" : above.append(line);
            above.clear();
        }
    }
    return kept + above;
}

/// Whether NetworkManager writes `text` without escapes. It accepts no other text as a name, an
/// address or an option.
bool is_plain(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](unsigned char c) {
        return c <= ' ' || c == ',' || c == '[' || c == ']' || c == '\\';
    });
}

/// The line of the list `key` of `dictionary`; without items if the list does not exist.
std::string list_line(GVariant* dictionary, const char* key)
{
    const Variant list(g_variant_lookup_value(dictionary, key, G_VARIANT_TYPE_STRING_ARRAY));
    std::string items;
    for (gsize i = 0; list && i < g_variant_n_children(list.get()); i++) {
        const char* item = nullptr;
        g_variant_get_child(list.get(), i, "&s", &item);
        if (is_plain(item)) {
            items += (items.empty() ? "" : ",") + std::string(item);
        }
    }
    return std::string(key) + "=" + items + "\n";
}

std::string render_group(const std::string& name, GVariant* dictionary, const char* first_key)
{
    return "\n" + std::string(kComment) + "[" + name + "]\n" + list_line(dictionary, first_key) +
           list_line(dictionary, "options");
}

std::string render_global_dns(GVariant* value)
{
    if (g_variant_n_children(value) == 0) {
        return "";
    }
    std::string text = render_group(std::string(kGroup), value, "searches");
    const Variant domains(g_variant_lookup_value(value, "domains", G_VARIANT_TYPE_VARDICT));
    for (gsize i = 0; domains && i < g_variant_n_children(domains.get()); i++) {
        const char* name = nullptr;
        GVariant* boxed = nullptr;
        g_variant_get_child(domains.get(), i, "{&sv}", &name, &boxed);
        const Variant domain(boxed);
        if (is_plain(name) && g_variant_is_of_type(domain.get(), G_VARIANT_TYPE_VARDICT)) {
            text += render_group(std::string(kDomainGroups) + name, domain.get(), "servers");
        }
    }
    return text;
}

} // namespace

Result<std::string> replace_global_dns(std::string_view contents, const std::string& value)
{
    const Variant before(
        g_variant_parse(G_VARIANT_TYPE_VARDICT, value.c_str(), nullptr, nullptr, nullptr));
    if (!before) {
        return fail("not a GlobalDnsConfiguration");
    }
    std::string others = without_global_dns(contents);
    return others == contents ? others : others + render_global_dns(before.get());
}

} // namespace failclosed
