// SPDX-License-Identifier: GPL-3.0-or-later
// Parses options with GLib; values are strings.
#include "cli/options.hpp"

#include <algorithm>
#include <deque>

#include <glib.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "core/base/report.hpp"
#include "core/model/names.hpp"

namespace failclosed::cli {

namespace {

/// GLib stores the values of an option here.
struct Slot {
    gboolean flag = FALSE;
    gchar** values = nullptr;

    ~Slot() { g_strfreev(values); }
};

} // namespace

Result<Options> Options::parse(const std::string& verb, const std::vector<OptionSpec>& specs,
                               const Arguments& arguments)
{
    std::deque<Slot> slots(specs.size());
    std::vector<GOptionEntry> entries;
    for (std::size_t i = 0; i < specs.size(); ++i) {
        const bool is_flag = specs[i].value.empty();
        entries.push_back({specs[i].name.c_str(), 0, 0,
                           is_flag ? G_OPTION_ARG_NONE : G_OPTION_ARG_STRING_ARRAY,
                           is_flag ? static_cast<gpointer>(&slots[i].flag)
                                   : static_cast<gpointer>(&slots[i].values),
                           specs[i].help.c_str(), is_flag ? nullptr : specs[i].value.c_str()});
    }
    entries.push_back({});
    const Owned<GOptionContext, g_option_context_free> context(g_option_context_new(nullptr));
    g_option_context_add_main_entries(context.get(), entries.data(), nullptr);
    // g_option_context_parse_strv removes the options that it knows from the list.
    gchar** strings = g_new0(gchar*, arguments.size() + 2);
    strings[0] = g_strdup(("failclosed " + verb).c_str());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        strings[i + 1] = g_strdup(arguments[i].c_str());
    }
    GError* error = nullptr;
    const bool understood = g_option_context_parse_strv(context.get(), &strings, &error) != FALSE;
    const Owned<gchar*, g_strfreev> rest(strings);
    if (!understood) {
        const Owned<GError, g_error_free> owned(error);
        return fail(owned->message);
    }
    if (strings[1] != nullptr) {
        return fail("unexpected argument: " + std::string(strings[1]));
    }
    Options options;
    for (std::size_t i = 0; i < specs.size(); ++i) {
        Given given{specs[i].name, {}};
        if (slots[i].flag != FALSE) {
            given.values.emplace_back();
        }
        for (gchar** value = slots[i].values; value != nullptr && *value != nullptr; ++value) {
            given.values.emplace_back(*value);
        }
        options.given_.push_back(std::move(given));
    }
    return options;
}

const std::vector<std::string>& Options::all(const std::string& name) const
{
    static const std::vector<std::string> none;
    const auto found = std::ranges::find(given_, name, &Given::name);
    return found == given_.end() ? none : found->values;
}

std::optional<std::string> Options::last(const std::string& name) const
{
    const auto& values = all(name);
    return values.empty() ? std::nullopt : std::optional(values.back());
}

int usage_error(const std::string& verb, const Error& error)
{
    report_error(verb + ": " + error.message() + " (see failclosed " + verb + " --help)");
    return kUsageError;
}

bool is_permitted(const std::string& verb)
{
    if (geteuid() == 0) {
        return true;
    }
    report_error(verb + ": only root can do this; nothing was changed: run it as root (sudo)");
    return false;
}

std::optional<std::uint32_t> parse_mark(const std::string& text)
{
    const bool hexadecimal =
        text.starts_with("0x") && text.size() > 2 && text.size() <= 10 &&
        text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos;
    if (hexadecimal) {
        return static_cast<std::uint32_t>(std::stoul(text.substr(2), nullptr, 16));
    }
    const auto number = parse_number(text, 0, UINT32_MAX);
    return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

std::optional<uid_t> parse_uid(const std::string& text)
{
    const auto number = parse_number(text, 0, UINT32_MAX - 1);
    return number ? std::optional(static_cast<uid_t>(*number)) : std::nullopt;
}

} // namespace failclosed::cli
