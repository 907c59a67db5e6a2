// SPDX-License-Identifier: GPL-3.0-or-later
// Options of a verb: parsed by GLib, validated here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cli/commands.hpp"
#include "core/base/result.hpp"

namespace failclosed::cli {

/// A flag, or an option with a value, which can be given several times.
struct OptionSpec {
    std::string name;
    std::string help;
    /// The name of the value in the help, such as "HOST:PORT/PROTO"; empty for a flag.
    std::string value;
};

/// The given options, by name.
class Options {
  public:
    /// Fails if an option is unknown or an argument is left over. For --help, prints the help and
    /// exits.
    static Result<Options> parse(const std::string& verb, const std::vector<OptionSpec>& specs,
                                 const Arguments& arguments);

    [[nodiscard]] bool has(const std::string& name) const { return !all(name).empty(); }

    [[nodiscard]] const std::vector<std::string>& all(const std::string& name) const;

    /// The value that was given last; `nullopt` if there is none.
    [[nodiscard]] std::optional<std::string> last(const std::string& name) const;

  private:
    struct Given {
        std::string name;
        std::vector<std::string> values;
    };

    std::vector<Given> given_;
};

/// Parses the values of all uses of the option with `parse`. `expected` describes a valid value.
template <typename T, typename Parse>
Result<std::vector<T>> parse_values(const Options& options, const std::string& name,
                                    const char* expected, Parse parse)
{
    std::vector<T> values;
    for (const auto& text : options.all(name)) {
        auto value = parse(text);
        if (!value) {
            return fail("--" + name + ": '" + text + "' is not " + expected);
        }
        values.push_back(*std::move(value));
    }
    return values;
}

/// Parses all values and returns the last one; `nullopt` if the option was not given.
template <typename T, typename Parse>
Result<std::optional<T>> parse_value(const Options& options, const std::string& name,
                                     const char* expected, Parse parse)
{
    auto values = parse_values<T>(options, name, expected, parse);
    if (!values) {
        return Failure(values.error());
    }
    return values->empty() ? std::optional<T>() : std::optional<T>(std::move(values->back()));
}

/// Parses a firewall mark: decimal, or hexadecimal with 0x.
std::optional<std::uint32_t> parse_mark(const std::string& text);

/// Parses a uid; the highest number is not a user (chown(2)).
std::optional<uid_t> parse_uid(const std::string& text);

/// The exit code without privileges: the state is unknown and counts as not closed.
inline constexpr int kNotPermitted = 2;

/// Whether the caller is root. If not, prints that only root can run `verb`.
bool is_permitted(const std::string& verb);

/// Prints the error and returns kUsageError.
int usage_error(const std::string& verb, const Error& error);

} // namespace failclosed::cli
