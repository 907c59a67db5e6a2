// SPDX-License-Identifier: GPL-3.0-or-later
// Key files ("[group]", "key=value", "# comment"), parsed by GLib.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <glib.h>

#include "core/base/owned.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// A parsed key file. Values are the text after '='; escapes are not replaced.
class KeyFile {
  public:
    /// An error if `text` is not a key file, is not UTF-8, or holds a NUL.
    static Result<KeyFile> parse(std::string_view text);

    [[nodiscard]] std::vector<std::string> groups() const;

    /// Empty if there is no such group.
    [[nodiscard]] std::vector<std::string> keys(const std::string& group) const;

    [[nodiscard]] std::optional<std::string> get(const std::string& group,
                                                 const std::string& key) const;

  private:
    using Handle = Owned<GKeyFile, g_key_file_free>;

    explicit KeyFile(Handle handle) : handle_(std::move(handle)) {}

    Handle handle_;
};

/// The items of "a;b;" without blanks around them; empty items are ignored.
std::vector<std::string> split_list(std::string_view text);

} // namespace failclosed
