// SPDX-License-Identifier: GPL-3.0-or-later
// Parsing with GKeyFile.
#include "core/codec/files/key_file.hpp"

#include "core/codec/warnings.hpp"

namespace failclosed {

namespace {

using Text = Owned<gchar, g_free>;
using TextList = Owned<gchar*, g_strfreev>;

std::vector<std::string> to_strings(const TextList& list)
{
    std::vector<std::string> strings;
    for (gchar** next = list.get(); next != nullptr && *next != nullptr; ++next) {
        strings.emplace_back(*next);
    }
    return strings;
}

std::string_view trim(std::string_view text)
{
    const auto begin = text.find_first_not_of(" \t\r");
    const auto end = text.find_last_not_of(" \t\r");
    return begin == std::string_view::npos ? std::string_view{}
                                           : text.substr(begin, end - begin + 1);
}

} // namespace

Result<KeyFile> KeyFile::parse(std::string_view text)
{
    // GLib's strings end at a NUL: text after it would be ignored.
    if (text.find('\0') != std::string_view::npos ||
        g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr) == FALSE) {
        return fail("not a text file (invalid UTF-8 or a NUL byte)");
    }
    Handle handle(g_key_file_new());
    GError* error = nullptr;
    // Without KEEP_TRANSLATIONS, GLib drops keys such as "lan[de]" without an error. An empty file
    // is a key file without keys, but GLib refuses empty data.
    if (!text.empty() && g_key_file_load_from_data(handle.get(), text.data(), text.size(),
                                                   G_KEY_FILE_KEEP_TRANSLATIONS, &error) == FALSE) {
        const std::string message = in_quotes(error->message);
        g_error_free(error);
        return fail("not a key file: " + message);
    }
    return KeyFile(std::move(handle));
}

std::vector<std::string> KeyFile::groups() const
{
    return to_strings(TextList(g_key_file_get_groups(handle_.get(), nullptr)));
}

std::vector<std::string> KeyFile::keys(const std::string& group) const
{
    return to_strings(
        TextList(g_key_file_get_keys(handle_.get(), group.c_str(), nullptr, nullptr)));
}

std::optional<std::string> KeyFile::get(const std::string& group, const std::string& key) const
{
    const Text value(g_key_file_get_value(handle_.get(), group.c_str(), key.c_str(), nullptr));
    return value ? std::optional<std::string>(trim(value.get())) : std::nullopt;
}

std::vector<std::string> split_list(std::string_view text)
{
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = text.find(';');
        if (const auto part = trim(text.substr(0, end)); !part.empty()) {
            parts.emplace_back(part);
        }
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return parts;
}

} // namespace failclosed
